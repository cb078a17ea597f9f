"""`pytest_llmcompare.compare`: the whole comparison in a notebook, with frames, and a grid in which no text acts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from io import StringIO
from typing import Any

import pytest

from pytest_llmcompare import Verdict, compare
from pytest_llmcompare.errors import TableError, UsageError

from .evaluations import CASES, Suite, datasets, made_template, suite

__all__ = ["made_template", "suite"]

NASTY = "<script>alert(1)</script> \u202e<img src=x onerror=alert(2)>\n::error::no"


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_two_models(suite: Suite) -> None:
    """Frames with all answers, scores and metrics; a run in MLflow for each model, over one dataset."""
    small = suite.spec("small", "tiny-gpt2-distil")
    both = compare(
        [suite.spec("large"), small], CASES, name="trivia", gen_config={"max_new_tokens": 4}, metrics=["exact_match"]
    )
    assert list(both.outputs.columns) == ["input_text", "prompt_id", "target", "large", "small"]
    assert list(both.outputs["prompt_id"]) == ["sky", "trees", "sum"]
    assert list(both.results.columns[:4]) == ["model", "input_text", "outputs", "baseline"]
    assert list(both.results["model"]) == ["large"] * 3 + ["small"] * 3
    assert list(both.results["outputs"]) == [*both.outputs["large"], *both.outputs["small"]]
    assert {"exact_match", "exact_match/v1", "seconds", "tokens"} <= set(both.metrics.columns)
    assert list(both.metrics.index) == ["large", "small"]
    assert both.groups["large"].judgements
    assert 0 <= both.models.agreement("large", "small") <= 1
    assert repr(both) == "<comparison of large, small: 3 cases>"
    runs = suite.runs("trivia")
    assert [run.info.run_name for run in runs] == ["log_model_large", "log_model_small"]
    assert len({data.digest for run in runs for data in datasets(run)}) == 1
    assert all(cell.result.metrics["exact_match"] in (0, 1) for cell in both.summary.cells)
    assert "<!doctype html>" in both.to_html()
    assert not (suite.path / "__baselines__").exists()


def test_against_a_model(suite: Suite) -> None:
    """With `baseline="model:NAME"` the other models have verdicts, and the words that differ are marked."""
    models = [suite.spec("small", "tiny-gpt2-distil"), suite.spec("large")]
    rows = [("hamlet", "Q: Who is Hamlet?\nA:"), ("ice", "Q: Is ice cold?\nA:")]
    cases = [{"id": name, "input_text": prompt} for name, prompt in rows]
    compared = compare(models, cases, baseline="model:large", gen_config={"max_new_tokens": 6})
    verdicts = {row.prompt_id: one.verdict for row, one in compared.groups["small"].judgements.items()}
    assert Verdict.DRIFTED in verdicts.values()
    page = compared._repr_html_()
    assert "<ins " in page
    assert "drifted" in page
    assert page.index(">small<") < page.index(">large<")


def test_no_text_of_a_model_acts(suite: Suite) -> None:
    """Prompts, names, targets and answers are shown as they are, and none is markup."""
    cases = [{"id": "nasty <b>", "prompt": NASTY, "target": NASTY}]
    shown = compare("m=echo:", cases, thresholds={"exact_match": ">=0.5"}, expect="contains: <i>")
    page = shown._repr_html_()
    elements = Elements(page)
    assert elements.names <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "ins"}
    assert elements.attributes <= {"style", "scope"}
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "expect failed: contains: &lt;i&gt;" in page
    assert not shown.passed


def test_a_table_of_a_file(suite: Suite) -> None:
    """Its name is the file's; a second call takes the answers from the cache."""
    (suite.path / "colors.json").write_text(json.dumps(CASES), encoding="utf-8")
    compare(suite.spec("a"), "colors.json", gen_config={"max_new_tokens": 4})
    again = compare(suite.spec("a"), "colors.json", gen_config={"max_new_tokens": 4})
    assert suite.experiments() == {"colors"}
    assert again.groups["a"].cached == 3


@pytest.mark.parametrize("terminal", [True, False])
def test_progress(suite: Suite, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    """A bar on a terminal, begun on the line where the cursor is and taken away; nothing in a log."""
    stream = StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", stream)
    compare("m=echo:", CASES, name="trivia")
    shown = stream.getvalue()
    assert ("trivia x m" in shown) is terminal
    assert "\n" not in shown
    assert shown.endswith("\r" * terminal)


def test_traces(suite: Suite) -> None:
    """As with `traces = true` of a run."""
    compare("m=echo:", CASES, name="trivia", traces=True)
    (experiment,) = (one for one in suite.client.search_experiments() if one.name == "trivia")
    assert len(suite.client.search_traces(locations=[experiment.experiment_id])) == len(CASES)


@pytest.mark.parametrize(
    ("arguments", "keywords", "kind", "told"),
    [
        (("", CASES), {}, UsageError, "empty"),
        (([], CASES), {}, UsageError, "compare: no models. Expected specs"),
        (("m=echo:", CASES), {"modles": 1}, UsageError, "unknown keyword 'modles'"),
        (("m=echo:", CASES), {"baseline": "model:n"}, UsageError, "no such model. Models: m."),
        (("m=echo:", CASES), {"baseline": "guess"}, UsageError, "Expected one of files, git:REF"),
        (("m=echo:", "no.csv"), {}, TableError, "no.csv"),
    ],
)
def test_faults(suite: Suite, arguments: Any, keywords: dict[str, Any], kind: type[Exception], told: str) -> None:
    """They are errors that say what is expected, before any model is asked."""
    with pytest.raises(kind, match=told):
        compare(*arguments, **keywords)
    assert suite.experiments() == set()
