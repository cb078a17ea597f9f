"""Served models at level `path`, asked of a server with vLLM's answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_llmcompare.models.served import Address, ServerOptions
from pytest_llmcompare.serving.client import Client
from pytest_llmcompare.serving.server import Level, Question, Server
from tests.plugin.suites import Suite, says

from .test_llama import NAMES, cells, configure, verdicts
from .vllm_like import VllmLike

ROWS = [
    {"id": f"{thing}-{name}".lower(), "prompt": f"Q: What is the {thing} of {name}?\nA:"}
    for thing in ("capital", "color")
    for name in NAMES[:6]
]
TEST = """
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 24}, model_type=None)
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
GREEDY = {"do_sample": False, "max_new_tokens": 6}


def probed(vllm: VllmLike, **options: Any) -> Server:
    """The server after its probe."""
    server = Server(Client(Address("tiny-gpt2", vllm.url), ServerOptions(**options)))
    server.probe("m")
    return server


def spec(vllm: VllmLike) -> str:
    return f"m=openai:tiny-gpt2@{vllm.url}"


@pytest.mark.parametrize(
    ("what", "level", "alternatives", "requests"),
    [
        ({}, Level.PATH, 5, 1),
        ({"max_logprobs": 3}, Level.PATH, 3, 2),
        ({"max_logprobs": 1}, Level.PATH, 1, 2),
        ({"ignores": ["prompt_logprobs"]}, Level.OUTPUT, 5, 1),
        ({"ignores": ["return_token_ids"]}, Level.OUTPUT, 5, 1),
        ({"ignores": ["logprobs"]}, Level.TEXT, 0, 1),
        ({"refuses": ["prompt_logprobs"]}, Level.OUTPUT, 5, 2),  # then tokens are named by their texts
        ({"refuses": ["logprobs"]}, Level.TEXT, 0, 3),
    ],
)
def test_the_level_follows_from_the_answer(
    vllm: VllmLike, what: dict[str, Any], level: Level, alternatives: int, requests: int
) -> None:
    """Not from what the server accepts; with fewer alternatives where it gives no more."""
    vllm.serve(**what)
    server = probed(vllm)
    assert (server.capabilities.level, server.capabilities.alternatives) == (level, alternatives)
    assert len(vllm.requests()) == requests
    assert server.ask(Question("Q: Is ice cold?\nA:", GREEDY)).text


def test_the_level_is_named_everywhere(suite: Suite, vllm: VllmLike) -> None:
    """In the notes, the line of the model, the JSON report, MLflow and the baseline; a lower one later is a note."""
    suite.trivia(ROWS[:2], TEST)
    result = suite.run("--llm-update", "--llm-report=report.json", models=[spec(vllm)])
    result.assert_outcomes(passed=2)
    assert says(result, "model 'm': level path (vllm): tokens, log-probs and margins are compared")
    result.stdout.re_match_lines([r"model\s.*\slevel", r"m\s.*\spath"])
    assert b"level=path" in suite.stored()["__baselines__/trivia/m.baseline"]
    (run,) = suite.mlflow_runs()
    assert run.data.params["server.level"] == "path"
    report = json.loads((suite.path / "report.json").read_text(encoding="utf-8"))
    assert report["models"][0]["level"] == report["groups"][0]["level"] == "path"
    assert verdicts(suite, models=[spec(vllm)]) == {"identical": 2}
    for ignored, level in (("prompt_logprobs", "output"), ("logprobs", "text")):
        vllm.serve(ignores=[ignored])
        result = suite.run(models=[spec(vllm)])
        assert says(result, f"its baselines were recorded at level path, and today its server only shows level {level}")


def judged(suite: Suite, *args: str, models: list[str]) -> list[dict[str, Any]]:
    return [cell["judgement"] for cell in cells(suite, *args, models=models)]


@pytest.fixture
def recorded(suite: Suite, vllm: VllmLike) -> Suite:
    """A suite with baselines of the unchanged server."""
    suite.recorded(ROWS, TEST, {"m": spec(vllm)[2:]})
    return suite


def test_moved_weights(recorded: Suite, vllm: VllmLike) -> None:
    """A thousandth is seen behind an equal name and fingerprint; only baselines that differ are scored, one by one."""
    vllm.serve()
    assert verdicts(recorded, models=[spec(vllm)]) == {"identical": len(ROWS)}
    assert vllm.scorings() == []
    vllm.serve(moved=1e-3)
    counts = verdicts(recorded, models=[spec(vllm)])
    assert counts["shifted"] + counts["drifted"] >= len(ROWS) - 1, counts
    vllm.serve(moved=0.2)
    differing = [one for one in judged(recorded, models=[spec(vllm)]) if one["position"] is not None]
    assert differing
    assert len(vllm.scorings()) == len(differing)
    for judgement in differing:
        assert judgement["mismatches"] >= 1
        assert judgement["likelihood"]["rms"] > 0.01
    assert any(judgement["margin"] for judgement in differing)
    assert says(recorded.run("-v", models=[spec(vllm)]), "tokens would differ")


@pytest.mark.parametrize("what", [{}, {"moved": 1e-3}, {"moved": 1e-2}, {"model": "tiny-gpt2-distil"}])
def test_verifying_gives_the_same_outputs_and_verdicts(recorded: Suite, vllm: VllmLike, what: dict[str, Any]) -> None:
    """Scoring first generates only what the scoring does not confirm."""
    if "model" in what:
        what = {"model": str(recorded.models / what["model"])}
    configure(recorded, vllm.url, "concurrency = 1")  # with more, an answer that differs is asked again alone
    seen = []
    for decode in ("auto", "verify"):
        vllm.serve(**what)
        found = cells(recorded, f"--llm-decode={decode}", models=["m"])
        seen.append([(cell["candidate"]["text"], cell["verdict"], cell["judgement"]["position"]) for cell in found])
    assert seen[0] == seen[1]
    generated = [body for body in vllm.requests() if body["max_tokens"] > 1]
    assert len(vllm.scorings()) >= len(ROWS)
    assert len(generated) == sum(not cell["candidate"]["verified"] for cell in found)
    if not what:
        assert generated == []


def test_plain_scores_nothing(recorded: Suite, vllm: VllmLike) -> None:
    """Its margins are those that the alternatives show; a model's table may choose it, too."""
    configure(recorded, vllm.url, 'decode = "plain"')
    for arguments in ({"models": ["m"]}, {"args": ["--llm-decode=plain"], "models": [spec(vllm)]}):
        vllm.serve(model=str(recorded.models / "tiny-gpt2-distil"))
        differing = [
            one for one in judged(recorded, *arguments.get("args", ()), models=arguments["models"]) if one["position"]
        ]
        assert vllm.scorings() == []
        assert differing
        assert all(one["mismatches"] is None for one in differing)


def test_ends_are_tokens(suite: Suite, vllm: VllmLike) -> None:
    """An end token is the last token of a baseline: with other weights it is scored like any other."""
    full_stop = 14
    suite.trivia(ROWS, TEST)
    vllm.serve(ends=[full_stop])
    suite.run("--llm-update", models=[spec(vllm)]).assert_outcomes(passed=len(ROWS))
    assert all("stop eos" in lines for lines in suite.cases().values())
    for decode in ("auto", "verify"):
        vllm.serve(ends=[full_stop])
        assert verdicts(suite, f"--llm-decode={decode}", models=[spec(vllm)]) == {"identical": len(ROWS)}
        assert decode != "verify" or len(vllm.requests()) == 1 + 2 * len(ROWS)
        vllm.serve()
        assert verdicts(suite, f"--llm-decode={decode}", models=[spec(vllm)]) == {"drifted": len(ROWS)}


def test_no_margins_under_penalties(suite: Suite, vllm: VllmLike) -> None:
    """Log-probs are raw: they do not tell what a penalty makes of them."""
    suite.trivia(ROWS, TEST)
    configure(suite, vllm.url, "extra_body = { repetition_penalty = 1.3 }")
    suite.run("--llm-update", models=["m"]).assert_outcomes(passed=len(ROWS))
    for decode in ("auto", "verify"):
        vllm.serve()
        assert verdicts(suite, f"--llm-decode={decode}", models=["m"]) == {"identical": len(ROWS)}
        vllm.serve(model=str(suite.models / "tiny-gpt2-distil"))
        differing = [one for one in judged(suite, models=["m"]) if one["position"] is not None]
        assert differing
        assert all(one["margin"] is None and one["mismatches"] is None for one in differing)
        assert vllm.scorings() == []


def test_samples_are_compared_by_likelihood(suite: Suite, vllm: VllmLike) -> None:
    """The baseline's sample is scored, because another sample says nothing."""
    test = TEST.replace('"max_new_tokens": 24', '"max_new_tokens": 12, "do_sample": True, "temperature": 0.7')
    suite.trivia(ROWS, test)
    suite.run("--llm-update", models=[spec(vllm)]).assert_outcomes(passed=len(ROWS))
    vllm.serve(ignores=["seed"])
    assert set(verdicts(suite, models=[spec(vllm)])) <= {"identical", "near_tie"}
    assert vllm.scorings()
    vllm.serve(ignores=["seed"], moved=0.2)
    counts = verdicts(suite, models=[spec(vllm)])
    assert counts["drifted"] + counts["shifted"] >= len(ROWS) - 2, counts


def test_bfloat16_does_not_drift(suite: Suite, vllm: VllmLike) -> None:
    """Scoring rounds in another way than generating; both are the same model."""
    suite.trivia(ROWS, TEST)
    vllm.serve(dtype="bfloat16")
    configure(suite, vllm.url, 'dtype = "bfloat16"')
    suite.run("--llm-update", models=["m"]).assert_outcomes(passed=len(ROWS))
    assert b"dtype=bfloat16" in suite.stored()["__baselines__/trivia/m.baseline"]
    for decode in ("auto", "verify"):
        assert set(verdicts(suite, f"--llm-decode={decode}", models=["m"])) <= {"identical", "near_tie"}


def test_a_refused_scoring_is_a_note(recorded: Suite, vllm: VllmLike) -> None:
    """The margin at the first other token is known all the same."""
    vllm.serve(model=str(recorded.models / "tiny-gpt2-distil"), longest_prompt=30)
    result = recorded.run(models=[spec(vllm)])
    assert says(result, "could not be scored, so margins are known only at the first token that differs: ")
    assert says(result, f"{vllm.url} answered 400: This model's maximum context length is 30 tokens")
    assert result.parseoutcomes().get("errors", 0) == 0


def test_a_level_that_rose_counts_for_max_requests(suite: Suite, vllm: VllmLike) -> None:
    """Baselines of level output can be scored today; that is known after the probe, and refused before the cases."""
    suite.trivia(ROWS, TEST)
    vllm.serve(ignores=["prompt_logprobs"])
    suite.run("--llm-update", models=[spec(vllm)]).assert_outcomes(passed=len(ROWS))
    vllm.serve(model=str(suite.models / "tiny-gpt2-distil"))
    configure(suite, vllm.url, "max_requests = 30")
    result = suite.run(models=["m"])
    result.assert_outcomes(errors=len(ROWS))
    assert says(result, "12 cases take up to 12 further requests")
    assert len(vllm.requests()) == 1
    configure(suite, vllm.url, "max_requests = 37")
    vllm.serve(model=str(suite.models / "tiny-gpt2-distil"))
    assert "error" not in verdicts(suite, models=["m"])
    assert vllm.scorings()
