"""The verdict benchmarks run, raise no false alarm, see what texts do not, and the docs say what they found."""

from __future__ import annotations

import json
import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.comparison.model_verdict import LEAST_READ
from pytest_llmcompare.comparison.noise import ELSEWHERE, PRECISIONS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "verdicts.md").read_text(encoding="utf-8")
MEASUREMENTS = (DOCS / "measurements.md").read_text(encoding="utf-8")
KEYS = {"verdicts.py": "results", "noise.py": "found"}
SVG = "{http://www.w3.org/2000/svg}"


def run(python: str, script: str, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Figures and output of a benchmark in its small mode."""
    figures = folder / "figures.json"
    other = ["--other", python] if script == "verdicts.py" else []  # here with the same libraries
    done = subprocess.run(
        [python, str(ROOT / "benchmarks" / script), "--quick", "--json", str(figures), *other],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(figures.read_text(encoding="ascii"))[KEYS[script]], done.stdout


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory, warm_interpreter: Callable[[], str]) -> list[dict[str, Any]]:
    """What the verdict benchmark found."""
    return run(warm_interpreter(), "verdicts.py", tmp_path_factory.mktemp("verdicts"))[0]


def test_no_harmless_change_alarms(verdicts: list[dict[str, Any]]) -> None:
    """Other batches, padding, threads and kernels leave every output identical, and the model unchanged."""
    harmless = [one for one in verdicts if not one["real"]]
    tried = {"batch of 8", "plain, batch of 8 (left padding)", "2 threads", "older libraries"}
    assert {one["change"] for one in harmless} >= tried
    assert {one["dtype"] for one in harmless} == {"float32", "bfloat16"}
    for one in harmless:
        assert one["verdicts"] == {"identical": one["cases"]}, one["change"]
        assert one["finding"] == "unchanged", one["change"]
        assert 0 < one["moved"] < one["limit"], one["change"]
        assert 0 < one["largest"] < 1, one["change"]


@pytest.mark.parametrize("change", ["weights rounded to bfloat16", "int8 per tensor", "10 fine-tuning steps"])
def test_silent_changes_are_seen(verdicts: list[dict[str, Any]], change: str) -> None:
    """Each moves log-probs, of outputs that stay the same to the character, in every precision."""
    results = [one for one in verdicts if one["change"] == change]
    assert results
    for one in results:
        assert one["flagged"]["text"] == one["flagged"]["edit"] == one["flagged"]["top-5"] == 0
        assert one["flagged"]["cases"] == one["verdicts"]["shifted"] > 0
        assert (one["finding"], one["flagged"]["model"]) == ("changed", 1)


def test_loud_changes_are_drifts(verdicts: list[dict[str, Any]]) -> None:
    """A missing layer changes texts, which every way of comparing sees."""
    for one in [one for one in verdicts if one["change"] == "last layer dropped"]:
        assert all(one["flagged"].values())
        assert one["verdicts"]["drifted"] > 0


def test_noise_stays_within_its_limits(tmp_path: Path, warm_interpreter: Callable[[], str]) -> None:
    """Whatever way scores are computed in, in every precision; and the small mode does measure something."""
    found, shown = run(warm_interpreter(), "noise.py", tmp_path)
    assert all(one["holds"] for one in found)
    assert {one["dtype"] for one in found if one["rms"] > 0} == {"float32", "bfloat16", "float16"}
    assert "NO" not in shown.split()


@pytest.mark.parametrize("name", ["verdicts", "noise"])
def test_the_docs_show_the_figures(name: str, warm_interpreter: Callable[[], str]) -> None:
    """The tables in `docs/measurements.md` are what the benchmark prints of the figures that are kept beside it."""
    done = subprocess.run(
        [warm_interpreter(), str(ROOT / "benchmarks" / f"{name}.py"), "--show", str(DOCS / f"{name}.json")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert f"```text\n{done.stdout.rstrip()}\n```" in MEASUREMENTS


def test_the_docs_show_the_limits() -> None:
    """The limits in the docs are those in force."""
    for name, own in PRECISIONS.items():
        band = f"{own.band:g} units, at least {own.least_band:g} nats"
        tie = f"{own.tie:g} units, at least {own.least_tie:g} nats"
        assert f"| `{name}` | {band} | {tie} |\n" in MEASUREMENTS
    assert f"the band is {ELSEWHERE} times as wide" in PAGE
    assert f"at least {LEAST_READ:g} nats" in PAGE


def test_the_docs_tell_how_often_the_verdict_was_right() -> None:
    """False alarms and changes seen, by the model verdict and by texts, in each precision."""
    results = json.loads((DOCS / "verdicts.json").read_text(encoding="ascii"))["results"]
    for dtype in ("float32", "bfloat16", "float16"):
        parts = [f"| `{dtype}` |"]
        for method in ("model", "text", "edit", "top-5"):
            for is_real in (False, True):
                own = [one for one in results if one["dtype"] == dtype and one["real"] is is_real]
                parts.append(f" {sum(bool(one['flagged'][method]) for one in own)} of {len(own)} |")
        assert "".join(parts) in PAGE


def test_the_picture_shows_the_figures() -> None:
    """Every change that can be compared stands in it, in order, with the share of other texts."""
    results = json.loads((DOCS / "verdicts.json").read_text(encoding="ascii"))["results"]
    compared = sorted((one for one in results if one["limit"]), key=lambda one: one["real"])
    expected = list(dict.fromkeys(one["change"] for one in compared))
    shares = []
    for name in expected:
        group = [one for one in compared if one["change"] == name]
        shares.append(f"{sum(one['flagged']['text'] for one in group) / sum(one['cases'] for one in group):.0%}")
    shown = [text.text for text in ET.parse(DOCS / "images" / "verdicts.svg").iter(f"{SVG}text")]
    assert [text for text in shown if text in expected] == expected
    assert [text for text in shown if text and text.endswith("%")] == shares
