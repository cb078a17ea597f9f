"""Fields that some servers refuse: the probe learns their names, and what is sent follows."""

from __future__ import annotations

import json
from typing import Any

from pytest_llmcompare.serving.server import Server
from tests.plugin.suites import Suite, says

from .servers import Faulty, Reply, completion
from .test_faults import ROWS, client

WORDS = {
    "return_token_ids": "Unknown parameter: 'return_token_ids'.",
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
    "instead.",
    "temperature": "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is "
    "supported.",
    "logprobs": "You are not allowed to request logprobs from this model.",
}
"""How OpenAI's reasoning models refuse fields, in this order."""


def like_newer_models(_: int, body: dict[str, Any]) -> Reply | bytes:
    words = next((words for name, words in WORDS.items() if name in body), "")
    return (400, {}, json.dumps({"error": {"message": words}}).encode()) if words else completion()


def test_models_that_refuse_max_tokens_and_temperature(suite: Suite) -> None:
    """The probe learns it; a greedy case says what to do, and samples are asked as the model takes them."""
    test = """
    import pytest

    @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 9}, model_type=None, variants={
        "greedy": {}, "sampled": {"do_sample": True, "temperature": 1.0, "top_k": 0}})
    def test_trivia(llm_output, llm_baseline):
        assert llm_output == llm_baseline
    """
    suite.trivia(ROWS[:2], test)
    with Faulty(like_newer_models) as faulty:
        result = suite.run("--llm-update", models=[f"m=openai:m@{faulty.url}"])
        result.assert_outcomes(passed=2, errors=2)
        assert says(result, "the model takes no temperature, so it can neither decode greedily")
        assert len(faulty.requests) == 5 + 2
        for _, body in faulty.requests[5:]:
            assert body["max_completion_tokens"] == 9
            assert not {"max_tokens", "temperature", "top_k", "logprobs"} & body.keys()


def test_an_echo_of_the_request_is_no_refusal_of_its_fields() -> None:
    """Some servers repeat the whole request in the message of a refusal."""
    echo: Reply = 422, {}, b'{"detail": [{"msg": "no", "input": {"max_completion_tokens": 1, "temperature": 0}}]}'
    with Faulty(lambda _, body: echo if "return_token_ids" in body else completion()) as faulty:
        Server(client(faulty.url)).probe("m")
        assert [set(body) & {"max_tokens", "temperature"} for _, body in faulty.requests] == [
            {"max_tokens", "temperature"}
        ] * 2
