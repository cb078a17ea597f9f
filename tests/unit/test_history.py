"""Runs of a table over time: sorted by commit, drawn as curves and tables."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.history import (
    BLOCKS,
    DRIFT_RATE,
    UNKNOWN,
    PastRun,
    histories,
    known_metrics,
    sparkline,
)
from pytest_llmcompare.reports.history_lines import history_lines
from pytest_llmcompare.reports.history_page import history_page
from pytest_llmcompare.reports.style import Page

HOSTILE = "\x1b[31m<script>alert(1)</script>\u202e"


def run(at: float, commit: str = "", model: str = "m", *, folder: str = ".", **facts: object) -> PastRun:
    metrics = {DRIFT_RATE: at / 10} if "metrics" not in facts else facts.pop("metrics")
    return PastRun(f"r{at}", folder, model, at, commit, metrics, **facts)  # type: ignore[arg-type]


RUNS = [
    run(3, "bbb", finding="changed"),
    run(1, "aaa"),
    run(2, "aaa"),
    run(4, "ccc", metrics={"exact_match": 0.5}, failed=True),
    run(1, "aaa", "other"),
]


def test_the_newest_run_stands_for_its_commit() -> None:
    mine, other = histories(RUNS)
    assert [(commit.run.started, commit.runs) for commit in mine.commits] == [(2, 2), (3, 1), (4, 1)]
    assert mine.values(DRIFT_RATE) == [0.2, 0.3, None]
    assert [commit.run.model for commit in other.commits] == ["other"]


def test_runs_without_a_commit_stand_for_themselves() -> None:
    (model,) = histories([run(1), run(2)])
    assert [commit.runs for commit in model.commits] == [1, 1]


def test_a_commit_that_is_tried_again_moves_to_its_newest_run() -> None:
    (model,) = histories([run(1, "aaa"), run(2, "bbb"), run(3, "aaa")])
    assert [commit.run.commit for commit in model.commits] == ["bbb", "aaa"]


@pytest.mark.parametrize(
    ("values", "curve"),
    [
        ([], ""),
        ([1.0], "▁"),
        ([1.0, 1.0], "▁▁"),
        ([0.0, 1.0], "▁█"),
        ([0.0, None, 1.0], "▁·█"),
        ([None, None], "··"),
        ([3, 2, 1, 0], "█▆▃▁"),
        ([-1.0, 1e300], "▁█"),
    ],
)
def test_sparklines(values: list[float | None], curve: str) -> None:
    assert sparkline(values) == curve


@given(st.lists(st.none() | st.floats(-1e12, 1e12)))
@example([0.0, 1.1e-308])
def test_a_sparkline_has_a_sign_per_value(values: list[float | None]) -> None:
    curve = sparkline(values)
    assert len(curve) == len(values)
    assert set(curve) <= set(BLOCKS + UNKNOWN)


def test_usual_metrics_are_shown_if_a_run_has_them() -> None:
    models = histories(RUNS)
    assert known_metrics(models, []) == [DRIFT_RATE, "exact_match"]
    assert known_metrics(models, ["margin/max"]) == ["margin/max"]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_lines_fit_the_terminal(columns: int) -> None:
    models = histories([*RUNS, *(run(at, f"{at:09}", "long" * 30) for at in range(100, 300))])
    lines = list(history_lines(models, [DRIFT_RATE, "exact_match"], Page(columns)))
    assert max(len(line.text) for line in lines) <= columns
    text = "\n".join(line.text for line in lines)
    assert "4 runs at 3 commits" in text
    assert "20% to 30%" in text


def test_a_terminal_without_blocks_gets_the_table_alone() -> None:
    lines = [line.text for line in history_lines(histories(RUNS), [DRIFT_RATE], Page(80, "ascii"))]
    assert all(line.isascii() for line in lines)
    assert any("30%" in line for line in lines)


def test_changed_models_and_failed_runs_are_marked() -> None:
    marked = {line.text.split()[2]: dict(line.markup) for line in history_lines(histories(RUNS[:4]), [], Page(80))}
    assert marked["bbb"] == {"yellow": True}
    assert marked["ccc"] == {"red": True}


class Elements(HTMLParser):
    """Counts elements, and keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.names.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_a_curve_and_the_same_numbers_as_a_table() -> None:
    elements = Elements()
    elements.feed(history_page("trivia", histories(RUNS), [DRIFT_RATE]))
    assert elements.names.count("svg") == 1  # one model has a single run
    assert elements.names.count("circle") == 2
    assert elements.names.count("tr") == 2 + 4
    assert all(value in elements.text for value in ("30%", "20%", "changed", "failed", "5 runs of 2 models"))


def test_names_stay_inert() -> None:
    models = histories([run(at, HOSTILE, HOSTILE, folder=HOSTILE, metrics={HOSTILE: at}) for at in (1, 2)])
    page = history_page(HOSTILE, models, [HOSTILE])
    assert "<script" not in page
    assert not re.search("[\x1b\u202e]", page)
    lines = "".join(line.text for line in history_lines(models, [HOSTILE], Page(80)))
    assert not re.search("[\x1b\u202e]", lines)
