"""Near ties pass and are told; silent drift warns, or fails where that is asked for."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from .suites import TEST, TRIVIA, Suite
from .test_verdicts import message

DISTIL = "tiny-gpt2-distil"
SAME_TEXTS = TRIVIA[:2]
TOKENS = "__baselines__/trivia/m.tokens.jsonl"


def edited(suite: Suite, name: str, lead: float) -> str:
    """A copy of `tiny-gpt2` in which a token is as likely as ` The`, but for a factor; its spec, named `m`."""
    folder = suite.path / name
    shutil.copytree(suite.models / "tiny-gpt2", folder)
    path = folder / "model.safetensors"
    weights = load_file(path)
    (words,) = (key for key in weights if key.endswith("wte.weight"))
    table = weights[words].clone()
    table[twin(folder)] = table[the(folder)] * (1 + lead)
    save_file({**weights, words: table}, path, metadata={"format": "pt"})
    return f"m={folder}"


def the(folder: Path) -> int:
    """The token ` The`."""
    return int(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]["ĠThe"])


def twin(folder: Path) -> int:
    """A token that the model never says."""
    return int(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]["~"])


def test_a_near_tie_passes_and_is_listed(suite: Suite) -> None:
    """Another token is ahead by next to nothing and all else agrees: the test passes, and the summary tells it."""
    suite.trivia(SAME_TEXTS)
    suite.run("--llm-update", models=[edited(suite, "before", -5e-7)]).assert_outcomes(passed=2)
    kept = (suite.path / TOKENS).read_bytes()
    after = [edited(suite, "after", 5e-7)]
    result = suite.run("--llm-update", models=after)
    result.assert_outcomes(passed=2)
    assert (suite.path / TOKENS).read_bytes() == kept
    result.stdout.fnmatch_lines(
        [
            "sky     ≈ [[]- The-[]]{+~+} sky is blue",
            "≈ near tie",
            "near tie trivia/m/sky @tok 1/6 ' The' -> '~' margin * (tie: up to 0.001 nats)",
            "model  cases  identical  near tie  drifted  drift rate *",
            "m          2          1         1        0          0%*",
        ]
    )
    strict = suite.run("-v", "--llm-tolerance=0", models=after)
    strict.assert_outcomes(passed=1, failed=1)
    lines = message(strict, "test_trivia[m-sky]")
    assert lines[0].startswith("drift @tok 1/6 ' The' -> '~' margin ")
    assert lines[2].endswith(" nats (tie: up to 0)")


def test_silent_drift_warns(suite: Suite) -> None:
    """Other weights, the same texts: the tests pass, and the summary says how far likelihoods moved."""
    suite.recorded(SAME_TEXTS)
    other = suite.spec("m", DISTIL)
    result = suite.run(models=[other])
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    text = " ".join(result.stdout.str().replace(" \\\n  ", " ").split())
    assert (
        "m: 2 answers read the same but are not from the same model: log-probs moved up to 710 times more than noise "
        "(0.0071 nats per token in sky; noise is at most 1e-05)"
    ) in text
    assert f"Accept 2 (2 shifted): pytest {shlex.quote(f'--llm-models={other}')} --llm-update" in text
    result.stdout.fnmatch_lines(["model  cases  identical  shifted  drifted *", "m          2          0        2 *"])


@pytest.mark.parametrize("where", ["option", "environment", "file"])
def test_silent_drift_fails_where_that_is_asked_for(suite: Suite, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how far likelihoods moved, and the command it gives accepts."""
    suite.recorded(SAME_TEXTS)
    if where == "environment":
        monkeypatch.setenv("LLMCOMPARE_SHIFT", "fail")
    if where == "file":
        suite.write("pyproject.toml", '[tool.llmcompare]\nshift = "fail"\n')
    options = ["--llm-shift=fail"] if where == "option" else []
    other = suite.spec("m", DISTIL)
    result = suite.run("-v", *options, models=[other])
    result.assert_outcomes(failed=2)
    assert message(result, "test_trivia[m-sky]") == [
        "shift 0.0071 nats (noise 1e-05)",
        "test_trivia[m-sky] reads the same but is not from the same model",
        "  likelihood drift 0.0071 nats per token (noise: up to 1e-05), worst -0.016 at token 3",
        "  both        The sky is blue",
        f"Accept: pytest {shlex.quote(f'--llm-models={other}')} --llm-update 'test_trivia.py::test_trivia[m-sky]'",
    ]
    suite.run("--llm-update", *options, models=[other]).assert_outcomes(passed=2)
    again = suite.run(*options, models=[other])
    again.assert_outcomes(passed=2)
    again.stdout.fnmatch_lines(["m          2          2        0          0% *"])


def test_accepting_a_shift_writes_likelihoods_alone(suite: Suite) -> None:
    """The texts keep their lines; log-probabilities and environment are today's."""
    suite.recorded(SAME_TEXTS)
    before = suite.cases()
    result = suite.run("--llm-update", models=[suite.spec("m", DISTIL)])
    result.stdout.fnmatch_lines(["__baselines__/trivia/m.baseline: 2 refreshed"])
    after = suite.cases()
    assert set(before) == set(after)
    lines = {name: [line for line in text.splitlines() if line.startswith("|")] for name, text in before.items()}
    assert lines == {name: [line for line in text.splitlines() if line.startswith("|")] for name, text in after.items()}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--llm-tolerance=-1", "tolerance -1 (command line) must be 0 or more nats, and finite."),
        ("--llm-tolerance=nan", "tolerance nan (command line) must be 0 or more nats, and finite."),
        ("--llm-tolerance=much", "command line: tolerance = 'much', expected a number of nats."),
        ("--llm-shift=warm", "shift 'warm' (command line) is not known. Did you mean 'warn'?"),
    ],
)
def test_limits_that_are_none_end_the_run(suite: Suite, option: str, said: str) -> None:
    """A wrong option is a usage error."""
    suite.trivia()
    result = suite.run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_the_marker_has_a_tolerance(suite: Suite) -> None:
    """It counts for its table; the command line beats it, the file does not."""
    suite.trivia(SAME_TEXTS, TEST.replace("model_type=None", "model_type=None, tolerance=0"))
    suite.run("--llm-update", models=[edited(suite, "before", -5e-7)])
    after = [edited(suite, "after", 5e-7)]
    suite.run(models=after).assert_outcomes(passed=1, failed=1)
    suite.run("--llm-tolerance=0.01", models=after).assert_outcomes(passed=2)
    suite.write("pyproject.toml", "[tool.llmcompare]\ntolerance = 0.01\n")
    suite.run(models=after).assert_outcomes(passed=1, failed=1)


def test_a_tokens_file_that_holds_no_numbers_is_an_error(suite: Suite) -> None:
    """`NaN` in it never passes."""
    suite.recorded(SAME_TEXTS)
    path = suite.path / TOKENS
    lines = path.read_text(encoding="utf-8").splitlines()
    broken = [line.partition('"logprobs": [')[0] + '"logprobs": [NaN, NaN, NaN, NaN, NaN, NaN]}' for line in lines]
    path.write_text("\n".join([broken[0], lines[1], ""]), encoding="utf-8")
    result = suite.run()
    assert result.parseoutcomes()["passed"] == 1
    result.stdout.fnmatch_lines(["*error: log-probabilities are NaN, so the output cannot be compared*"])
