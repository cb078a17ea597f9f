"""Served models that are asked conversations: of llama.cpp, of a server with vLLM's answers, and of a faulty one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.serving.answer import Answer, BadAnswerError, read_answer
from tests.plugin.suites import Suite, says

from .gguf_model import write_gguf
from .servers import Faulty, llama
from .test_llama import cells, configure, verdicts
from .vllm_like import VllmLike

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Are elephants larger than mice?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "What color is the sky?"},
]
ROWS = [
    {"id": "sky", "messages": CHAT},
    {"id": "hamlet", "messages": [{"role": "user", "content": "Who is Hamlet?"}]},
    {"id": "bat", "messages": [{"role": "user", "content": "Is a bat a bird?"}]},
]
TEXTS = [{"id": "hamlet", "prompt": "Who is Hamlet?"}, {"id": "bat", "prompt": "Is a bat a bird?"}]
TEST = """
import pytest

@pytest.mark.llm_prompts("chats.jsonl", gen_config={"max_new_tokens": 16, "stop_strings": "."}, model_type=None)
def test_chats(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
ANOTHER = "{% for m in messages %}{{ 'Q: Well, ' + m.content + '\\nA:' }}{% endfor %}"


def chats(suite: Suite, rows: Any = ROWS) -> None:
    suite.table("chats.jsonl", rows)
    suite.write("test_chats.py", TEST)


@pytest.fixture(scope="module")
def chat_file(tmp_path_factory: pytest.TempPathFactory, example_models: Path) -> Path:
    """`tiny-chat` in float32, with its template."""
    return write_gguf(example_models / "tiny-chat", tmp_path_factory.mktemp("gguf") / "chat.gguf")


@pytest.fixture(scope="module")
def chat_url(chat_file: Path) -> Iterator[str]:
    """Address of a llama.cpp server with `tiny-chat`."""
    with llama(chat_file) as url:
        yield url


@pytest.fixture
def vllm_chat(vllm: VllmLike, example_models: Path) -> VllmLike:
    """A server with vLLM's answers and `tiny-chat`."""
    vllm.serve(model=str(example_models / "tiny-chat"))
    return vllm


@pytest.mark.slow
def test_conversations_on_llama(suite: Suite, chat_url: str) -> None:
    """Recorded and identical at level output; the texts are those of the same model in this process."""
    chats(suite)
    configure(suite, chat_url)
    result = suite.run("--llm-update", models=["m", suite.spec("local", "tiny-chat")])
    result.assert_outcomes(passed=6)
    assert says(result, "model 'm': level output (llama.cpp)")
    served, local = (suite.cases(f"__baselines__/chats/{name}.baseline") for name in ("m", "local"))
    assert "  .prompt 37" in served["sky"]
    assert ".prompt" not in local["sky"]
    for name, text in local.items():  # which has the stop string
        assert text.partition("|")[2] == served[name].partition("|")[2] + "."
    assert verdicts(suite, models=["m"]) == {"identical": 3}


@pytest.mark.slow
def test_texts_as_messages(suite: Suite, chat_url: str) -> None:
    """With `chat = true` a text is the only message; without it, another question."""
    chats(suite, ROWS[1:])
    configure(suite, chat_url)
    suite.run("--llm-update", models=["m"]).assert_outcomes(passed=2)
    as_messages = suite.cases("__baselines__/chats/m.baseline")
    chats(suite, TEXTS)
    configure(suite, chat_url, "chat = true")
    suite.run("--llm-update-all", models=["m"]).assert_outcomes(passed=2)
    as_texts = suite.cases("__baselines__/chats/m.baseline")
    assert [one.partition("|")[2] for one in as_texts.values()] == [
        one.partition("|")[2] for one in as_messages.values()
    ]
    configure(suite, chat_url)
    result = suite.run(models=["m"])
    result.assert_outcomes(failed=2)
    assert says(result, "the decoding settings, the seed or the chat template changed since the baseline was recorded")


@pytest.mark.slow
def test_another_template_on_the_server(suite: Suite, chat_file: Path, tmp_path: Path, example_models: Path) -> None:
    """The count of prompt tokens shows it; accepting the outputs settles it."""
    chats(suite)
    with llama(chat_file) as url:
        configure(suite, url)
        suite.run("--llm-update", models=["m"]).assert_outcomes(passed=3)
    file = write_gguf(example_models / "tiny-chat", tmp_path / "chat.gguf", template=ANOTHER)
    with llama(file) as url:
        configure(suite, url)
        found = cells(suite, models=["m"])
        assert {cell["verdict"] for cell in found} == {"stale"}
        reasons = [cell["judgement"]["reason"] for cell in found]
        assert all("the server's chat template or tokenizer changed: " in reason for reason in reasons)
        suite.run("--llm-update", models=["m"]).assert_outcomes(passed=3)
        assert verdicts(suite, models=["m"]) == {"identical": 3}


@pytest.mark.slow
def test_a_role_that_the_template_refuses(suite: Suite, chat_url: str) -> None:
    """The case is an error with the server's words; the others keep their verdicts."""
    chats(suite, [*ROWS[:2], {"id": "clock", "messages": [*CHAT, {"role": "tool", "content": "12:00"}]}])
    configure(suite, chat_url)
    result = suite.run("--llm-update", models=["m"])
    result.assert_outcomes(passed=2, errors=1)
    assert says(result, "this model knows no role tool")
    assert set(suite.cases("__baselines__/chats/m.baseline")) == {"sky", "hamlet"}


@pytest.mark.slow
@pytest.mark.usefixtures("warm_executable")
def test_predict_in_another_process(suite: Suite, chat_url: str) -> None:
    """A model logged for conversations answers them wherever it is loaded."""
    chats(suite)
    configure(suite, chat_url)
    suite.run("--llm-update", models=["m"]).assert_outcomes(passed=3)
    (run, *_) = suite.mlflow_runs()
    assert run.data.params["gen_config.max_new_tokens"] == "16"
    outputs = mlflow.MlflowClient().get_run(run.info.run_id).outputs
    assert outputs is not None
    row = {"messages": json.dumps(CHAT), "config_dict": json.dumps({"max_new_tokens": 16, "stop_strings": "."})}
    code = (
        "import mlflow, pandas, sys; model = mlflow.pyfunc.load_model(sys.argv[1]); "
        "print(model.predict(pandas.DataFrame([eval(sys.argv[2])])))"
    )
    command = [sys.executable, "-c", code, f"models:/{outputs.model_outputs[0].model_id}", repr(row)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout.strip().splitlines()[-1] == "[' The sky is blue']", ended.stderr


@pytest.mark.slow
def test_conversations_on_vllm(suite: Suite, vllm_chat: VllmLike, example_models: Path) -> None:
    """Level path: other tokens are scored at the completions endpoint, after the ids of the server's own prompt."""
    chats(suite)
    configure(suite, vllm_chat.url)
    result = suite.run("--llm-update", models=["m"])
    result.assert_outcomes(passed=3)
    assert says(result, "model 'm': level path (vllm)")
    case = suite.cases("__baselines__/chats/m.baseline")["sky"]
    assert "  .prompt 37:" in case
    assert verdicts(suite, models=["m"]) == {"identical": 3}
    vllm_chat.serve(model=str(example_models / "tiny-chat"), moved=0.3)
    found = cells(suite, models=["m"])
    assert {cell["verdict"] for cell in found} <= {"shifted", "drifted", "near_tie"}
    differing = [cell for cell in found if cell["judgement"]["position"] is not None]
    assert any(cell["judgement"]["mismatches"] for cell in differing)
    (first, *further) = vllm_chat.scorings()
    assert len(further) == len(differing) - 1
    prompts = [body for body in vllm_chat.requests() if "messages" in body]
    assert len(prompts) >= 3
    assert first["prompt_logprobs"] == 2
    vllm_chat.serve(model=str(example_models / "tiny-chat"), template=ANOTHER)
    found = cells(suite, models=["m"])
    assert {cell["verdict"] for cell in found} == {"stale"}
    assert "prompt tokens, 37 when recorded" in found[0]["judgement"]["reason"]


@pytest.mark.slow
def test_a_server_without_a_template(suite: Suite, vllm: VllmLike) -> None:
    chats(suite)
    configure(suite, vllm.url)
    result = suite.run(models=["m"])
    result.assert_outcomes(errors=3)
    assert says(result, "default chat template is no longer allowed.")
    assert says(result, "the server needs that endpoint, and its model a chat template.")
    assert len(vllm.requests()) <= 3


def reply(message: dict[str, Any], reason: str = "stop", **fields: Any) -> bytes:
    """The body of an answer to a chat."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason, **fields}
    return json.dumps(
        {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    ).encode()


def read(message: dict[str, Any], reason: str = "stop", **fields: Any) -> Answer:
    return read_answer(reply(message, reason, **fields), has_stop_strings=False)


def call(name: str, arguments: object, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def test_a_server_without_the_endpoint(suite: Suite) -> None:
    """One request, and what is needed."""
    chats(suite)
    with Faulty(lambda *_: (404, {}, b'{"error": {"message": "Not Found"}}')) as faulty:
        result = suite.run(models=[f"m=openai:m@{faulty.url}"])
        result.assert_outcomes(errors=3)
        assert says(result, "answered 404: Not Found")
        assert says(result, "are asked at /v1/chat/completions: the server needs that endpoint")
        assert len(faulty.requests) == 1


def test_what_is_sent(suite: Suite) -> None:
    """Messages and tools as the table has them, and settings by OpenAI's names; a text beside them is a message."""
    tool = {"type": "function", "function": {"name": "clock", "parameters": {"b": 1, "a": 2}}}
    chats(suite, [{"id": "a", "messages": CHAT, "tools": [tool]}, {"id": "b", "messages": json.dumps(CHAT[1:])}])
    with Faulty(lambda *_: reply({"content": "hi"})) as faulty:
        suite.run("--llm-update", models=[f"m=openai:m@{faulty.url}"]).assert_outcomes(passed=2)
        (probe, *_), *rest = [[body] for _, body in faulty.requests]
    bodies = sorted((body for (body,) in rest), key=lambda body: "tools" not in body)
    assert probe["messages"] == [{"role": "user", "content": "The capital of"}]
    assert (bodies[0]["messages"], bodies[0]["tools"]) == (CHAT, [tool])
    assert json.dumps(bodies[0]["tools"]) == json.dumps([tool])
    assert (bodies[1]["messages"], bodies[1]["temperature"], bodies[1]["stop"]) == (CHAT[1:], 0.0, ["."])
    assert "tools" not in bodies[1]
    assert not {"prompt", "logprobs"} & bodies[1].keys()


def test_tool_calls_are_the_text() -> None:
    """With sorted keys, without the ids, which are others each time; arguments as JSON where they are."""
    calls = [call("clock", '{"zone": "UTC", "at": 1}', id="call_1", index=0), call("b", "not JSON", id="2")]
    answer = read({"content": None, "tool_calls": calls}, "tool_calls")
    assert answer.text == (
        '[{"function": {"arguments": {"at": 1, "zone": "UTC"}, "name": "clock"}, "type": "function"}, '
        '{"function": {"arguments": "not JSON", "name": "b"}, "type": "function"}]'
    )
    assert (answer.stop, answer.tokens) == ("", None)
    assert read({"content": "So:", "tool_calls": calls[1:]}).text.startswith('So:\n[{"function"')
    assert read({"content": "x", "tool_calls": []}).text == "x"
    assert read({"content": None, "tool_calls": [3, {"function": "x"}]}).text == '[3, {"function": "x"}]'


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_and_not_compared(suite: Suite, name: str) -> None:
    """It is in the reports, also where it took all tokens; another one changes no verdict."""
    shown = {"id": 1, "token": "x", "bytes": [120], "logprob": -0.5}
    logprobs = {"content": [{**shown, "top_logprobs": [shown]}]}
    answer = read({"content": "hi", name: "Let me <b>see</b>."}, logprobs=logprobs)
    assert (answer.text, answer.reasoning, answer.tokens) == ("hi", "Let me <b>see</b>.", None)
    assert read({"content": None, name: "Let me"}, "length").text == ""
    chats(suite)
    thoughts = iter(f"thought {number}" for number in range(100))

    def think(number: int, body: dict[str, Any]) -> bytes:
        if body["max_tokens"] == 1:
            return reply({"content": "x"}, "length", logprobs=logprobs)
        return reply({"content": "hi", name: next(thoughts)}, logprobs=logprobs)

    with Faulty(think) as faulty:
        models = [f"m=openai:m@{faulty.url}"]
        suite.run("--llm-update", models=models).assert_outcomes(passed=3)
        found = cells(suite, "--llm-report=report.html", models=models)
    assert [cell["verdict"] for cell in found] == ["identical"] * 3
    assert all(cell["candidate"]["reasoning"].startswith("thought ") for cell in found)
    assert found[0]["candidate"]["reasoning"] in (suite.path / "report.html").read_text(encoding="utf-8")
    assert not any(b"thought" in content for content in suite.stored().values())


@pytest.mark.parametrize(
    ("message", "reason", "what"),
    [
        ({"content": None}, "stop", "no text"),
        ({"content": None, "refusal": "I cannot."}, "stop", "no text"),
        ({"content": [{"type": "text", "text": "x"}]}, "stop", "no text"),
        ({"content": "x"}, "content_filter", "content filter"),
        ({"content": "x"}, None, "no finish reason"),
    ],
)
def test_bad_answers_to_chats(message: dict[str, Any], reason: Any, what: str) -> None:
    with pytest.raises(BadAnswerError, match=what):
        read(message, reason)


def test_what_a_server_shows_of_its_prompt() -> None:
    """Ids as a hash with their count, in a chat beside the choices; else the count alone, else nothing."""
    body = json.loads(reply({"content": "x"}))
    assert read_answer(json.dumps(body).encode(), has_stop_strings=False).prompt_shown == "7"
    shown = read_answer(json.dumps({**body, "prompt_token_ids": [1, 2, 3]}).encode(), has_stop_strings=False)
    assert shown.prompt_ids == (1, 2, 3)
    assert shown.prompt_shown.startswith("3:")
    other = read_answer(json.dumps({**body, "prompt_token_ids": [1, 2, 4]}).encode(), has_stop_strings=False)
    assert other.prompt_shown != shown.prompt_shown
    del body["usage"]
    assert not read_answer(json.dumps(body).encode(), has_stop_strings=False).prompt_shown
    assert Generation("x", prompt_shown="7") == Generation("x", prompt_shown="8")
