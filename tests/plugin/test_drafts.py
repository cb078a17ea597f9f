"""Baselines are drafts: a run confirms them in one pass, says where it cannot, and finds what it finds without them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from .suites import ICE, TRIVIA, Suite

CONFIG = '{"max_new_tokens": 6}'
TEST = """
import json
from pathlib import Path

import pytest


@pytest.mark.llm_prompts("trivia.jsonl", gen_config=CONFIG, model_type=None)
def test_trivia(llm_case, llm_output, llm_baseline):
    facts = [llm_case.id, llm_output.text, llm_output.verified, llm_output.unverified]
    with Path(__file__).with_name("outputs.jsonl").open("a", encoding="utf-8") as outputs:
        outputs.write(json.dumps(facts) + "\\n")
    assert llm_output == llm_baseline
"""
DISTIL = "tiny-gpt2-distil"


@dataclass(frozen=True)
class Told:
    """What a run's tests were handed, by prompt id, and how it ended.

    Attributes:
        outcomes: Numbers of passed, failed, ... tests.
        texts: The outputs.
        verified: Whether each was confirmed by its baseline.
        unverified: Why it was not, where there is something to say.
        output: The whole output of the run, on one line.
    """

    outcomes: dict[str, int]
    texts: dict[str, str]
    verified: dict[str, bool]
    unverified: dict[str, str]
    output: str


def told(suite: Suite, result: pytest.RunResult) -> Told:
    """What the tests of a run have noted."""
    notes = suite.path / "outputs.jsonl"
    lines = [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]
    notes.unlink()
    texts, verified, unverified = ({line[0]: line[at] for line in lines} for at in (1, 2, 3))
    assert len(texts) == len(lines)
    outcomes = {name: count for name, count in result.parseoutcomes().items() if name != "warnings"}
    return Told(outcomes, texts, verified, unverified, " ".join(result.stdout.str().split()))


def all_of(value: object) -> dict[str, object]:
    """The same value for each prompt."""
    return {str(row["id"]): value for row in TRIVIA}


def test_recorded_suite_is_confirmed(suite: Suite) -> None:
    """Run again, a suite answers every case from its draft; plain decoding answers none so, and says the same."""
    suite.trivia(test=TEST.replace("CONFIG", CONFIG), recorded=True)
    quick, plain = told(suite, suite.run()), told(suite, suite.run("--llm-decode=plain"))
    assert quick.verified == all_of(True)
    assert plain.verified == all_of(False)
    assert quick.unverified == plain.unverified == all_of("")
    assert quick.texts == plain.texts
    assert quick.outcomes == plain.outcomes == {"passed": 3}


@pytest.mark.parametrize(
    ("own", "general", "option", "confirmed"),
    [("plain", "verify", "", False), ("auto", "plain", "", True), ("plain", "auto", "--llm-decode=auto", True)],
)
def test_a_table_of_a_model_says_how(suite: Suite, own: str, general: str, option: str, confirmed: bool) -> None:
    """It beats that of all models, and the command line beats both."""
    suite.trivia(test=TEST.replace("CONFIG", CONFIG), recorded=True)
    source = (suite.models / "tiny-gpt2").as_posix()
    table = f'[tool.llmcompare.models.m]\nsource = "{source}"\ndecode = "{own}"\n'
    suite.write("pyproject.toml", f'[tool.llmcompare]\ndecode = "{general}"\n{table}')
    assert told(suite, suite.run(*filter(None, [option]), models=["m"])).verified == all_of(confirmed)


def test_recording_confirms_nothing(suite: Suite) -> None:
    """Without baselines nothing is confirmed; a run that has just written them, neither; the next one is."""
    suite.trivia(test=TEST.replace("CONFIG", CONFIG))
    missing, recording = told(suite, suite.run()), told(suite, suite.run("--llm-update"))
    assert missing.verified == recording.verified == all_of(False)
    again = told(suite, suite.run())
    assert again.verified == all_of(True)
    assert again.texts == recording.texts == missing.texts


def test_workers_confirm_too(suite: Suite) -> None:
    """Under xdist drafts are used, and what came of them reaches the tests of every worker."""
    suite.trivia(test=TEST.replace("CONFIG", CONFIG), recorded=True)
    alone, shared = told(suite, suite.run()), told(suite, suite.run_apart("-n2"))
    assert shared.verified == all_of(True)
    assert (shared.texts, shared.outcomes) == (alone.texts, alone.outcomes)


def test_drifted_model_says_the_same_either_way(suite: Suite) -> None:
    """A model that answers otherwise is told as it answers, whatever the draft said; what it still says passes."""
    suite.trivia(test=TEST.replace("CONFIG", CONFIG), recorded=True)
    models = [suite.spec("m", DISTIL)]
    quick, plain = told(suite, suite.run(models=models)), told(suite, suite.run("--llm-decode=plain", models=models))
    assert quick.verified == {**all_of(True), "ice": False}
    assert quick.unverified == {**all_of(""), "ice": "the model chooses another token at token 1"}
    assert quick.texts == plain.texts
    assert quick.texts["ice"].startswith(" Ice")
    assert quick.outcomes == plain.outcomes == {"passed": 2, "failed": 1}


def test_baseline_of_another_question_is_no_draft(suite: Suite) -> None:
    """A case whose prompt changed is asked without the old answer; the others are confirmed."""
    rows = [{**row, "prompt": "Q: Is fire cold?\nA:"} if row["prompt"] == ICE else row for row in TRIVIA]
    suite.trivia(rows, TEST.replace("CONFIG", CONFIG), recorded=True)
    found = told(suite, suite.run())
    assert found.verified == {**all_of(True), "ice": False}
    assert found.unverified == all_of("")
    assert found.outcomes == {"passed": 2, "failed": 1}


def test_text_alone_is_a_draft(suite: Suite) -> None:
    """Where a baseline's tokens are gone its text is made into tokens, and confirmed."""
    suite.trivia(test=TEST.replace("CONFIG", CONFIG), recorded=True)
    (suite.path / "__baselines__/trivia/m.tokens.jsonl").unlink()
    found = told(suite, suite.run())
    assert found.verified == all_of(True)
    assert found.outcomes == {"passed": 3}


def test_sampled_outputs_are_confirmed(suite: Suite) -> None:
    """Draws are replayed from their seeds, so sampled baselines are confirmed as well."""
    suite.trivia(test=TEST.replace("CONFIG", '{"max_new_tokens": 6, "do_sample": True, "top_k": 5}'))
    recorded = told(suite, suite.run("--llm-update"))
    quick, plain = told(suite, suite.run()), told(suite, suite.run("--llm-decode=plain"))
    assert quick.verified == all_of(True)
    assert quick.texts == plain.texts == recorded.texts
    assert quick.outcomes == plain.outcomes == {"passed": 3}


UNTRIED: dict[str, tuple[str, str, str]] = {
    "beams": ('{"max_new_tokens": 4, "num_beams": 2}', "", "a beam search looks at more than one output"),
    "no cache": (
        '{"max_new_tokens": 4, "use_cache": False}',
        "",
        "use_cache=False asks for every token to be read again",
    ),
    "bfloat16": (
        CONFIG,
        "--llm-dtype=bfloat16",
        "in bfloat16 one pass over many tokens rounds in another way than one token at a time",
    ),
}


@pytest.mark.parametrize("what", UNTRIED)
def test_the_run_says_why_drafts_are_not_tried(suite: Suite, what: str) -> None:
    """Where settings or precision rule drafts out, the summary says so once, with the reason; baselines still hold."""
    config, option, reason = UNTRIED[what]
    options = [option] if option else []
    suite.trivia(test=TEST.replace("CONFIG", config))
    recorded = told(suite, suite.run("--llm-update", *options))
    quick, plain = told(suite, suite.run(*options)), told(suite, suite.run("--llm-decode=plain", *options))
    assert quick.verified == all_of(False)
    assert quick.unverified == all_of(f"not tried: {reason}")
    note = f"table 'trivia', model 'm': 3 of 3 baselines are compared token by token, not in one pass: {reason}"
    assert [one.output.count(note) for one in (recorded, quick, plain)] == [0, 1, 0]
    assert quick.texts == plain.texts == recorded.texts
    assert quick.outcomes == plain.outcomes == {"passed": 3}


def test_automatic_device(suite: Suite) -> None:
    """On a machine with one device, `--llm-device=auto` gives what that device gives, drafts included."""
    suite.trivia(test=TEST.replace("CONFIG", CONFIG), recorded=True)
    usual, auto = told(suite, suite.run()), told(suite, suite.run("--llm-device=auto"))
    assert auto.verified == all_of(True)
    assert (auto.texts, auto.outcomes) == (usual.texts, usual.outcomes)
