"""Any text survives: what a model returns, what a table holds, on every way to a file, a report and another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.pending import PendingFile
from pytest_llmcompare.cli.apply_decisions import Applied
from pytest_llmcompare.cli.web.page import ReviewPage
from pytest_llmcompare.cli.web.server import ReviewServer
from pytest_llmcompare.records import GroupKey
from tests.cli.serving import ask

from .suites import Suite

ODD = [
    "half an emoji \ud83d",
    "\udc00 the other half",
    "both halves, apart: \ud83d" + "\ude00 \U0001f600",
    "nul \0, bell \x07, escape \x1b[31m",
    "separators \u2028\u2029\x85\x0b\x0c\x1c",
    "\r\n line \n breaks \r",
    "\ufeffmarks\u202e\u200b\u00ad",
    "noncharacters \uffff\ufffe\U0010ffff",
    "</script>]]>&#0;&lt;\\ud83d\\",
    "::error::##[group]|`<b>",
    "",
    " ",
]
PREPARATION = f"""
    import pytest

    ODD = {ODD!a}
    ROWS = [
        {{"id": f"n{{at:02}}", "prompt": str(at), "note": text, "mixed": [text, at], "na\\ud83dme": at, "target": "x"}}
        for at, text in enumerate(ODD)
    ]

    class Odd:
        fingerprint = "v1"

        def __init__(self, end):
            self.end = end

        def predict(self, prompts):
            end = {{"same": "", "half": "\\udbff"}}[self.end]
            return [ODD[int(prompt)] + end for prompt in prompts]
"""
MODEL = """
    from odd import Odd

    def pytest_llmcompare_load_model(spec):
        return Odd(spec.source.partition(":")[2])
"""
TEST = """
    import pytest
    from odd import ODD, ROWS

    @pytest.mark.llm_prompts(ROWS, name="odd", metrics=["exact_match"])
    def test_odd(llm_output, llm_baseline):
        assert llm_output == llm_baseline
"""
OWN = """
    import pytest
    from odd import ODD, ROWS

    @pytest.mark.llm_prompts(ROWS[:4], name="own", model_type=None)
    def test_own(llm_output, llm_case):
        text = str(llm_output)
        if llm_case.id == "n00":
            assert text == "x"
        if llm_case.id == "n01":
            assert not text, text
        if llm_case.id == "n02":
            raise ValueError(text)
        pytest.fail(text)
"""
GROUP = GroupKey(".", "odd", "m")
SAME, HALF = ["m=odd:same"], ["m=odd:half"]


@pytest.fixture
def odd(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite whose table and model are full of odd texts, recorded."""
    monkeypatch.setenv("PYTHONPATH", str(suite.path))
    monkeypatch.syspath_prepend(suite.path)
    suite.write("odd.py", PREPARATION)
    suite.write("conftest.py", MODEL)
    suite.write("test_odd.py", TEST)
    result = suite.run("--llm-update", models=SAME)
    result.assert_outcomes(passed=len(ODD))
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*could not compute*")
    return suite


def texts(suite: Suite) -> list[str]:
    stored = store.load(suite.path, GROUP).baselines
    return [stored[row].generation.text for row in sorted(stored)]


def test_what_was_recorded_is_identical(odd: Suite) -> None:
    """In the next run, in the baseline file, and with scores of every row; two halves of one character are that one."""
    result = odd.run(models=SAME)
    result.assert_outcomes(passed=len(ODD))
    result.stdout.fnmatch_lines([f"m * {len(ODD)} * {len(ODD)} *"])
    result.stdout.no_fnmatch_line("*could not compute*")
    assert texts(odd) == [text.replace("\ud83d" + "\ude00", "\U0001f600") for text in ODD]


def test_reports(odd: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each is written whole, as UTF-8; pending outputs can be accepted, and are identical then."""
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    options = [f"--llm-report={name}" for name in ("r.html", "r.md", "r.json", "github")]
    result = odd.run(*options, "--junitxml=r.xml", models=HALF)
    result.assert_outcomes(failed=len(ODD))
    assert len(ET.parse(odd.path / "r.xml").findall(".//failure")) == len(ODD)
    for path in (odd.path / "r.html", odd.path / "r.md", summary):
        assert "the other half" in path.read_text("utf-8")
    drawn = json.loads((odd.path / "r.json").read_text("utf-8"))
    assert "\\udc00 the other half\\udbff" in json.dumps(drawn)
    for encoding in ("ascii", "utf-8"):
        for command in (["pending"], ["pending", "--json"], ["report", "r.json", "again.html", "again.md"]):
            assert commanded(odd, encoding, *command).returncode == 0
    assert (odd.path / "again.html").read_bytes() == (odd.path / "r.html").read_bytes()
    accepted = commanded(odd, "ascii", "accept", "--all")
    assert (accepted.returncode, accepted.stderr) == (0, "")
    odd.run(models=HALF).assert_outcomes(passed=len(ODD))


def commanded(suite: Suite, encoding: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run the command with an output in this encoding."""
    return subprocess.run(
        [sys.executable, "-m", "pytest_llmcompare.cli.main", *command],
        cwd=suite.path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        encoding=encoding,
        timeout=60,
        check=False,
    )


def test_the_review_page(odd: Suite) -> None:
    """It shows every output, and takes a decision about each."""
    odd.run(models=HALF)
    entries = list(PendingFile(odd.path).read().entries.values())
    taken: list[Sequence[str | None]] = []

    def take(decisions: Sequence[str | None]) -> Applied:
        taken.append(decisions)
        return Applied()

    server = ReviewServer(0, ReviewPage(entries), take)
    with server.serving():
        page = ask(server.access.address)
        assert page.status == 200
        assert page.text.count("the other half") >= 2
        answer = ask(server.access.address, "decisions", ["accept"] * len(entries))
        assert json.loads(answer.text)["fates"] == ["left"] * len(entries)
    assert taken == [["accept"] * len(entries)]


def test_workers_of_xdist(odd: Suite) -> None:
    """Results and failures reach the controller, also those of the user's own assertions, whatever they quote."""
    odd.write("test_own.py", OWN)
    result = odd.run_apart("-n2", "--llm-update", models=HALF)
    result.assert_outcomes(passed=len(ODD), failed=4)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.fnmatch_lines(["*the other half\\udbff*"])
    assert all(text.endswith("\udbff") for text in texts(odd))
    odd.run("test_odd.py", models=HALF).assert_outcomes(passed=len(ODD))


UNFORESEEN = """
    class Odd:
        fingerprint = "v1"

        def predict(self, prompts):
            return ["text" for _ in prompts]

    def pytest_llmcompare_load_model(spec):
        return Odd()

    def pytest_configure(config):
        from pytest_llmcompare.evaluation import evaluate

        def judge_answers(*arguments, **options):
            raise RuntimeError("nobody\\nforesaw this")

        config.add_cleanup(lambda before=evaluate.judge_answers: setattr(evaluate, "judge_answers", before))
        evaluate.judge_answers = judge_answers
"""


def test_an_error_that_nobody_foresaw_names_itself_first(suite: Suite) -> None:
    """In the short summary, where the word Traceback would tell nothing; its trace follows once."""
    suite.trivia()
    suite.write("conftest.py", UNFORESEEN)
    result = suite.run(models=["m=odd:same"])
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["ERROR *- error: RuntimeError: nobody foresaw this*"])
    assert result.stdout.str().count("Traceback (most recent call last)") == 1
