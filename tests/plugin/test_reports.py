"""`--llm-report`: files that say what the run found, whatever way it ended."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.reports.markdown import MOST_BYTES

from .suites import TRIVIA, Suite

USAGE = pytest.ExitCode.USAGE_ERROR
ALL = ("--llm-report=r.html", "--llm-report=out/r.md", "--llm-report=r.json")


def read(suite: Suite, name: str = "r.json") -> Any:
    return json.loads((suite.path / name).read_text(encoding="ascii"))


def embedded(suite: Suite) -> Any:
    """The data in an HTML report."""
    page = (suite.path / "r.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def cases(report: Any) -> dict[str, str]:
    """Verdicts by name."""
    found = [case for table in report["tables"] for row in table["rows"] for case in row["cases"] if case]
    return {case["name"]: case["verdict"] for case in found}


def timeless(report: Any) -> Any:
    """A report without times, places in MLflow and notes on what was written."""
    for one in [*report["models"], *report["groups"]]:
        for key in ("seconds", "latency", "run_id", "model_uri"):
            one.pop(key, None)
    for case in (case for table in report["tables"] for row in table["rows"] for case in row["cases"] if case):
        case.pop("seconds")
    report["identity"].pop("time")
    return report


def test_a_report_per_option(suite: Suite) -> None:
    """Each is written by its ending, relative to the folder that pytest was started in, and named in the summary."""
    suite.trivia(recorded=True)
    result = suite.run(*ALL, models=[suite.spec("m", "tiny-gpt2-distil"), suite.spec("b", "tiny-bloom")])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    verdicts = {
        "trivia/m/sky": "shifted",
        "trivia/m/hamlet": "shifted",
        "trivia/m/ice": "drifted",
        "trivia/b/sky": "missing",
        "trivia/b/hamlet": "missing",
        "trivia/b/ice": "missing",
    }
    assert cases(read(suite)) == cases(embedded(suite)) == verdicts
    assert read(suite)["outcome"] == "failed"
    text = (suite.path / "out/r.md").read_text(encoding="utf-8")
    assert text.startswith("## Model comparison: failed\n\n**6 cases: 1 drifted, 3 missing, 2 shifted.**\n")
    result.stdout.fnmatch_lines(["report: r.html", "report: out/r.md", "report: r.json"])


def test_a_case_tells_how_to_accept_it(suite: Suite) -> None:
    """The command in the report is that of the failure's message."""
    suite.trivia(recorded=True)
    result = suite.run("-v", "--llm-report=r.json", models=[suite.spec("m", "tiny-gpt2-distil")])
    accept = read(suite)["tables"][0]["rows"][2]["cases"][0]["accept"]
    assert accept.endswith("--llm-update 'test_trivia.py::test_trivia[m-ice]'")
    assert f"Accept: {accept}" in result.stdout.str()


def test_tokens_of_a_real_model_are_known(suite: Suite) -> None:
    """The text of each token and its log-probability are there."""
    suite.trivia(TRIVIA[:1], recorded=True)
    suite.run("--llm-report=r.json")
    said = read(suite)["tables"][0]["rows"][0]["cases"][0]["candidate"]
    assert "".join(said["tokens"]) == said["text"]
    assert len(said["tokens"]) == len(said["token_ids"]) == len(said["logprobs"]) == 6


def test_workers_change_nothing(suite: Suite) -> None:
    """With `-n2` the controller writes the same report, once."""
    suite.trivia(recorded=True)
    models = [suite.spec("m", "tiny-gpt2-distil")]
    suite.run("-p", "no:xdist", "--llm-cache=off", "--llm-report=alone.json", models=models)
    suite.run_apart("-n2", "--llm-cache=off", "--llm-report=shared.json", models=models)
    assert timeless(read(suite, "shared.json")) == timeless(read(suite, "alone.json"))


def test_an_interrupted_run_tells_what_finished(suite: Suite) -> None:
    """After Ctrl-C in the third test the report has the first two."""
    suite.trivia(
        recorded=True,
        test="""
        import pytest

        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
        def test_trivia(llm_case, llm_output, llm_baseline):
            if llm_case.id == "ice":
                raise KeyboardInterrupt
            assert llm_output == llm_baseline
        """,
    )
    assert suite.run(*ALL).ret == pytest.ExitCode.INTERRUPTED
    assert read(suite)["outcome"] == embedded(suite)["header"]["outcome"] == "interrupted"
    assert cases(read(suite)) == {"trivia/m/sky": "identical", "trivia/m/hamlet": "identical"}


def test_one_that_cannot_be_written_keeps_nothing_back(suite: Suite) -> None:
    """It is a note and exit 1; the baselines and the other reports are there."""
    suite.trivia()
    suite.write("file", "")
    result = suite.run("--llm-update", "--llm-report=file/r.html", "--llm-report=r.json")
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert len(suite.cases()) == len(cases(read(suite))) == 3
    assert (suite.path / "file").read_text() == ""
    said = " ".join(result.stdout.str().split())
    assert "--llm-report=file/r.html was not written:" in said
    assert "The rest of the run is complete. Name a path that can be written." in said


def test_an_old_report_is_replaced(suite: Suite) -> None:
    """Whole, and nothing is left beside it."""
    suite.trivia(TRIVIA[:1], recorded=True)
    suite.write("r.md", "old " * 10_000)
    before = {path.name for path in suite.path.iterdir()}
    assert suite.run("--llm-report=r.md", "-p", "no:cacheprovider").ret == 0
    assert (suite.path / "r.md").read_text(encoding="utf-8").startswith("## Model comparison: passed\n\n**1 case: 1 ")
    assert {path.name for path in suite.path.iterdir()} - before <= {"__pycache__", ".llmcompare", "mlruns"}


def test_a_run_without_a_comparison_says_so(suite: Suite) -> None:
    """Whoever asks for a report gets one; only collecting writes none."""
    suite.write("test_plain.py", "def test_plain(): ...")
    assert suite.run("--llm-report=r.md", "--collect-only", models=[]).ret == 0
    assert not (suite.path / "r.md").exists()
    assert suite.run("--llm-report=r.md", models=[]).ret == 0
    expected = "## Model comparison: passed\n\n**No case was looked at.**\n"
    assert (suite.path / "r.md").read_text(encoding="utf-8") == expected


def test_github_summary_is_appended_to(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tools wrote to the step's summary stays, and together they fit what GitHub shows."""
    summary = suite.path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    suite.trivia(TRIVIA[:1], recorded=True)
    result = suite.run("--llm-report=github")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["report: the summary of this step"])
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n\n## Model comparison: passed\n")
    summary.write_text("x" * (MOST_BYTES - 300), encoding="utf-8")
    suite.run("--llm-report=github")
    assert summary.stat().st_size <= MOST_BYTES
    assert "left out" in summary.read_text(encoding="utf-8")


FAULTS = {
    "x.pdf": "report 'x.pdf' (command line) must end in .html, .md or .json, or be 'github' for the step summary of a "
    "GitHub workflow. Known: .html, .json, .md.",
    "x.htm": "report 'x.htm' (command line) must end in .html, .md or .json, or be 'github' for the step summary of a "
    "GitHub workflow. Did you mean '.html'?",
    "report": "report 'report' (command line) must end in .html, .md or .json, or be 'github' for the step summary of "
    "a GitHub workflow.",
    "github": "--llm-report=github: GITHUB_STEP_SUMMARY is not set, so this is not a step of a GitHub workflow.",
}


@pytest.mark.parametrize("path", FAULTS)
def test_where_no_report_can_go(suite: Suite, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A path that does not say what to write ends the run before it begins."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    suite.trivia()
    result = suite.run(f"--llm-report={path}")
    assert result.ret == USAGE
    assert f"ERROR: {FAULTS[path]}" in result.stderr.str()
    assert [found for found in Path(suite.path).iterdir() if found.name == path] == []
