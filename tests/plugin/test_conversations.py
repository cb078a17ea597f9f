"""Tables of conversations in a run: asked, recorded, compared and reported like any other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .suites import Suite, says

CHAT = [
    {"role": "system", "content": "Be <b>brief</b>."},
    {"role": "user", "content": "Who is Hamlet?"},
    {"role": "assistant", "content": "Hamlet is a prince of Denmark."},
    {"role": "user", "content": "What color is the sky?"},
]
CLOCK = {"type": "function", "function": {"name": "clock"}}
ROWS = [
    {"id": "sky", "messages": CHAT, "target": " The sky is blue."},
    {"id": "ice", "messages": [{"role": "user", "content": "Is ice cold?"}]},
]
TEST = """
import pytest

@pytest.mark.llm_prompts("chats.jsonl", gen_config={"max_new_tokens": 12, "stop_strings": "."}, model_type=None)
def test_chats(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""


def chats(suite: Suite, rows: Any = ROWS) -> None:
    suite.table("chats.jsonl", rows)
    suite.write("test_chats.py", TEST)


def test_a_local_model_with_a_template(suite: Suite) -> None:
    """Recorded and identical; a changed message is stale, another history is not the same prompt."""
    chats(suite)
    models = [suite.spec("m", "tiny-chat")]
    suite.run("--llm-update", models=models).assert_outcomes(passed=2)
    assert suite.cases("__baselines__/chats/m.baseline")["sky"].endswith("| The sky is blue.")
    result = suite.run("--llm-report=report.json", "--llm-report=report.html", models=models)
    result.assert_outcomes(passed=2)
    report = json.loads((suite.path / "report.json").read_text(encoding="utf-8"))
    first, second = report["tables"][0]["rows"]
    assert (first["input"], first["conversation"]) == ("What color is the sky?", {"messages": CHAT})
    assert second["conversation"]["messages"] == ROWS[1]["messages"]
    assert first["cases"][0]["verdict"] == "identical"
    page = (suite.path / "report.html").read_text(encoding="utf-8")
    assert json.dumps(CHAT[1:], separators=(",", ":"))[1:] in page
    assert "<b>brief" not in page
    (run, *_) = suite.mlflow_runs()
    assert run.data.params["gen_config.max_new_tokens"] == "12"
    chats(suite, [{**ROWS[0], "messages": CHAT[1:]}, ROWS[1]])
    result = suite.run(models=models)
    result.assert_outcomes(passed=1, failed=1)
    assert says(result, "the prompt or its examples changed since the baseline was recorded")


def test_a_model_without_a_template(suite: Suite) -> None:
    chats(suite)
    result = suite.run()
    result.assert_outcomes(errors=2)
    assert says(result, "model 'm' has no chat template, so it cannot be asked a conversation (column messages).")
    assert says(result, "in [tool.llmcompare.models.m] of pyproject.toml, or name a chat model.")
    assert not suite.stored()


def test_echo_answers_the_last_message_of_the_user(suite: Suite) -> None:
    """Tools and a text beside conversations, too."""
    chats(suite, [*ROWS, {"id": "t", "messages": CHAT, "tools": [CLOCK]}])
    suite.run("--llm-update", models=["m=echo:"]).assert_outcomes(passed=3)
    cases = suite.cases("__baselines__/chats/m.baseline")
    assert all("|What color is the sky?" in cases[name].splitlines() for name in ("sky", "t"))
    suite.run(models=["m=echo:"]).assert_outcomes(passed=3)


def test_examples_in_the_marker_are_an_error(suite: Suite) -> None:
    chats(suite)
    suite.write("test_chats.py", TEST.replace("gen_config=", 'examples="Q: x", gen_config='))
    result = suite.run(models=["m=echo:"])
    result.assert_outcomes(errors=1)
    assert says(result, "llm_prompts: examples: in row 'sky' few-shot examples cannot be put before a conversation.")


@pytest.mark.parametrize("how", ["PyfuncTransformer", "PyfuncTransformerWithParams"])
def test_models_logged_before(suite: Suite, how: str) -> None:
    """With fixed settings, or reading them from columns: their signatures let conversations through."""
    import mlflow

    import pytest_llmcompare as ours

    with mlflow.start_run():
        kind: Any = getattr(ours, how)
        settings = [{"max_new_tokens": 12, "stop_strings": "."}] if how == "PyfuncTransformer" else []
        uri = ours.log_model(kind(str(suite.models / "tiny-chat"), *settings, chat_template="tokenizer"), "c").model_uri
    chats(suite, [*ROWS, {"id": "clock", "messages": CHAT, "tools": [CLOCK]}])
    suite.run("--llm-update", models=[f"m={uri}"]).assert_outcomes(passed=3)
    cases = suite.cases("__baselines__/chats/m.baseline")
    assert cases["sky"].endswith("| The sky is blue.")
    suite.run(models=[f"m={uri}"]).assert_outcomes(passed=3)


def test_logged_model_whose_signature_has_no_messages(suite: Suite) -> None:
    """MLflow would drop the column without a word."""
    import mlflow

    import pytest_llmcompare as ours

    with mlflow.start_run():
        uri = ours.log_model(ours.PyfuncTransformerWithParams(str(suite.models / "tiny-chat")), "c").model_uri
    chats(suite)
    result = suite.run(models=[f"m={uri}"])
    result.assert_outcomes(errors=2)
    assert says(result, "was logged with a signature that has no column 'messages'. Log it again with this version")
