"""Several samples of a row: each has a seed and a baseline of its own, one test looks at all, likelihoods decide."""

from __future__ import annotations

import pytest

from .suites import TRIVIA, Suite
from .test_verdicts import message

DRAWN = """
import pytest

@pytest.mark.llm_prompts(
    "trivia.jsonl", gen_config={"max_new_tokens": 6, "do_sample": True, "temperature": 2.5, "top_k": 0},
    samples=SAMPLES, model_type=None,
)
def test_trivia(llm_output, llm_baseline):
    assert len(llm_output.samples) == (SAMPLES if SAMPLES > 1 else 0)
    assert not llm_output.samples or llm_output == llm_output.samples[0]
    assert llm_output == llm_baseline
"""
DISTIL = "tiny-gpt2-distil"


def drawn(suite: Suite, samples: int) -> None:
    """Write the suite."""
    suite.trivia(TRIVIA[:2], DRAWN.replace("SAMPLES", str(samples)))


def test_each_sample_has_a_baseline(suite: Suite) -> None:
    """One test per row, as many cases as samples; the same ones are drawn again, alone or together."""
    drawn(suite, 3)
    result = suite.run("--llm-update")
    result.assert_outcomes(passed=2)
    cases = suite.cases()
    assert set(cases) == {f"{row}{sample}" for row in ("sky", "hamlet") for sample in ("", " @#2", " @#3")}
    assert len({text.partition("|")[2] for name, text in cases.items() if name.startswith("sky")}) > 1
    again = suite.run("--llm-batch-size=1")
    again.assert_outcomes(passed=2)
    again.stdout.fnmatch_lines(["m          6          6        0 *"])
    suite.run("-k", "hamlet").stdout.fnmatch_lines(["m          3          3        0 *"])


def test_more_samples_than_stored_are_missing(suite: Suite) -> None:
    """They never pass; the option for missing ones adds them and leaves the others."""
    drawn(suite, 2)
    suite.run("--llm-update").assert_outcomes(passed=2)
    before = suite.cases()
    drawn(suite, 3)
    result = suite.run("-vv")
    result.assert_outcomes(failed=2)
    assert message(result, "test_trivia[m-sky]")[:3] == [
        "missing: no baseline is recorded for this case",
        "1 of 3 samples; this is number 3",
        "test_trivia[m-sky] has nothing to compare with; today's output:",
    ]
    suite.run("--llm-update-missing").assert_outcomes(passed=2)
    after = suite.cases()
    assert set(after) - set(before) == {"sky @#3", "hamlet @#3"}
    assert {name: after[name] for name in before} == before
    drawn(suite, 2)
    fewer = suite.run()
    fewer.assert_outcomes(passed=2)
    fewer.stdout.fnmatch_lines(["trivia/m: 2 obsolete baselines (hamlet@#3, sky@#3), no longer in the table"])


def test_likelihoods_of_the_stored_samples_decide(suite: Suite) -> None:
    """Another model drifts, with the sample that is worst; within a wide tolerance the same is a shift."""
    drawn(suite, 3)
    suite.run("--llm-update").assert_outcomes(passed=2)
    other = [suite.spec("m", DISTIL)]
    result = suite.run(models=other)
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] >= 1
    lines = [line for line in result.outlines if " of 3 samples; this is number " in line]
    assert len(lines) == outcomes["failed"]
    wide = suite.run("--llm-tolerance=50", models=other)
    wide.assert_outcomes(passed=2)
    wide.stdout.fnmatch_lines(["m          6          0        6        0 *"])


def test_samples_of_what_does_not_draw_are_refused(suite: Suite) -> None:
    """All of them would be equal."""
    greedy = DRAWN.replace('"do_sample": True, "temperature": 2.5, "top_k": 0', "")
    suite.trivia(TRIVIA, greedy.replace("SAMPLES", "4"))
    result = suite.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    text = " ".join(result.stdout.str().split())
    assert (
        "llm_prompts: samples=4, but no row samples, so all outputs would be equal. Add "
        'gen_config={"do_sample": True}, or leave samples out.'
    ) in text


def test_rows_that_do_not_draw_have_one_sample(suite: Suite) -> None:
    """Where variants differ in that, only those that draw have several; their names go together."""
    test = DRAWN.replace("samples=SAMPLES", 'samples=2, variants={"greedy": {"do_sample": False}, "hot": {}}')
    test = "\n".join(line for line in test.splitlines() if "len(llm_output" not in line)
    suite.trivia(TRIVIA[:1], test)
    suite.run("--llm-update").assert_outcomes(passed=2)
    assert set(suite.cases()) == {"sky @greedy", "sky @hot", "sky @hot#2"}
