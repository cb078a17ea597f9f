"""Failed comparisons on the terminal: compact, of many the table alone, and never without their texts."""

from __future__ import annotations

import pytest

from .suites import Suite, says

DRIFTING = [
    {"id": f"question_{at:02}", "prompt": f"Question {at} of 50: how long may a parcel be on its way to the customer?"}
    for at in range(50)
]

GATED = """
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", thresholds={"verdict/drift_rate": "<=0.1"}, model_type=None)
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""

ASSERTIONS = """
import pytest

PROMPTS = pytest.mark.llm_prompts([{"id": "sky", "prompt": "Is the sky blue?"}], name="sky", model_type=None)

@PROMPTS
def test_plain(llm_output, llm_baseline):
    assert llm_output == llm_baseline

@PROMPTS
def test_message(llm_output, llm_baseline):
    assert llm_output == llm_baseline, "ask the weather desk"

@PROMPTS
def test_own(llm_output, llm_baseline):
    same = llm_output == llm_baseline
    assert "green" in llm_output

@PROMPTS
def test_printed(llm_output, llm_baseline):
    print("seen by the test")
    assert llm_output == llm_baseline
"""


def section(text: str, name: str) -> list[str]:
    """What pytest's list of failures has below the name of a test."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("_") and f" {name}" in line)
    end = next(at for at, line in enumerate(lines) if at > start and line.startswith(("____", "====", "----")))
    return lines[start + 1 : end]


@pytest.mark.parametrize("columns", [80, 120, 160])
def test_fifty_drifts_fit_in_150_lines(suite: Suite, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both texts of each, a gate that failed, and the lines to go on with."""
    monkeypatch.setenv("COLUMNS", str(columns))
    suite.trivia(DRIFTING, GATED)
    suite.run("--llm-update", models=["m=echo:"])
    result = suite.run(models=["m=echo:?drift=1"])
    result.assert_outcomes(failed=50)
    text = result.stdout.str()
    assert len(result.outlines) <= 150, text
    assert sum("{+ (drifted)+}" in line for line in result.outlines) == 50
    assert all(f"\nquestion_{at:02} " in text for at in range(50))
    assert says(result, "50 failures not listed above: their texts are in this table; -v shows each in full")
    assert "  FAILED  verdict/drift_rate  1  <=0.1" in text
    assert "compareRunsMode" not in text  # one model has nothing beside it
    assert "/runs?workflowType=machine_learning" in text
    assert "____ test" not in text
    assert result.outlines[-1].startswith("threshold failed: table 'trivia'")


def test_verbose_lists_every_failure(suite: Suite) -> None:
    """In full with `-v`; the twenty-first has its texts, too."""
    suite.trivia(DRIFTING[:22], GATED)
    suite.run("--llm-update", models=["m=echo:"])
    text = suite.run("-v", models=["m=echo:?drift=1"]).stdout.str()
    assert "not listed" not in text
    assert len([line for line in text.splitlines() if line.startswith("  candidate  ")]) == 22
    assert len([line for line in text.splitlines() if line.startswith("Accept: ")]) == 22


def test_a_failure_takes_four_lines(suite: Suite) -> None:
    """Name, evidence, old, new; with a message of the user's one more. Other assertions are shown as pytest does."""
    suite.write("test_sky.py", ASSERTIONS)
    suite.run("--llm-update", "-k", "plain", models=["m=echo:"])
    text = suite.run(models=["m=echo:?drift=1"]).stdout.str()
    compact = [
        "drift after char 16 <end> -> ' (drifted)'",
        "- Is the sky blue?",
        "+ Is the sky blue?{+ (drifted)+}",
    ]
    assert section(text, "test_plain") == compact
    assert section(text, "test_message") == [*compact, "ask the weather desk"]
    assert section(text, "test_printed") == compact
    assert "seen by the test" in text
    own = "\n".join(section(text, "test_own"))
    assert '>       assert "green" in llm_output' in own
    assert "same = llm_output == llm_baseline" in own


@pytest.mark.parametrize("option", ["-vv", "--tb=long", "--tb=short", "-l", "--full-trace"])
def test_the_source_is_there_if_asked_for(suite: Suite, option: str) -> None:
    """With the options that pytest has for it."""
    suite.write("test_sky.py", ASSERTIONS)
    suite.run("--llm-update", "-k", "plain", models=["m=echo:"])
    text = "\n".join(section(suite.run(option, "-k", "plain", models=["m=echo:?drift=1"]).stdout.str(), "test_plain"))
    assert "assert llm_output == llm_baseline" in text
    assert "candidate  Is the sky blue? (drifted)" in text


def test_workers_say_the_same(suite: Suite) -> None:
    """Reports of pytest-xdist are drawn by the main process."""
    suite.write("test_sky.py", ASSERTIONS)
    suite.run("--llm-update", "-k", "plain", models=["m=echo:"])
    text = suite.run_apart("-n1", models=["m=echo:?drift=1"]).stdout.str()
    assert section(text, "test_message")[2:] == [
        "- Is the sky blue?",
        "+ Is the sky blue?{+ (drifted)+}",
        "ask the weather desk",
    ]
