"""Pyfuncs that are asked conversations: ours, in this process and in another, and those of users."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.types import ColSpec
from mlflow.types.schema import Array, Object, Property

from pytest_llmcompare.errors import GenerationError, ModelError
from pytest_llmcompare.evaluation import model_logging
from pytest_llmcompare.evaluation.foreign_pyfunc import Questions, input_frame
from pytest_llmcompare.evaluation.pyfunc import PyfuncTransformer, PyfuncTransformerWithParams
from pytest_llmcompare.models.conversation import Conversation
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row

from .test_foreign_models import signature, users_model

SKY = [{"role": "user", "content": "What color is the sky?"}]
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, *SKY]
CLOCK = {"type": "function", "function": {"name": "clock"}}
SETTINGS = {"max_new_tokens": 12, "stop_strings": "."}


@pytest.fixture(scope="module")
def chat(example_models: Path) -> str:
    """Folder of a small model with a chat template."""
    return str(example_models / "tiny-chat")


def test_predict(chat: str) -> None:
    """Messages as a list or as JSON text, with tools or without, beside texts."""
    model: Any = PyfuncTransformer(chat, SETTINGS, chat_template="tokenizer")
    (expected,) = model.predict(None, ["What color is the sky?"])
    whole = json.dumps({"messages": SKY, "tools": [CLOCK]})
    for given in (
        pd.DataFrame({"messages": [SKY]}),
        pd.DataFrame({"messages": [json.dumps(SKY)]}),
        [{"messages": SKY, "tools": [CLOCK]}],
        {"messages": SKY},
        [{"messages": whole}],
        [{"messages": "What color is the sky?"}],
        [{"input_text": "What color is the sky?", "tools": json.dumps([CLOCK])}],
        [{"input_text": "What color is the sky?", "messages": None}],
    ):
        assert model.predict(None, given) == [expected] == [" The sky is blue."]
    rows: Any = PyfuncTransformerWithParams(chat)
    config = json.dumps(SETTINGS)
    assert rows.predict(None, [{"messages": SKY, "config_dict": config}]) == [expected]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"messages": [{"role": "bot", "content": "x"}]}, "message 1 of 1: role is 'bot', expected"),
        ({"messages": '[{"role": "user"'}, "which is not JSON"),
        ({"messages": SKY, "few_shot_examples": "Q: x"}, "few-shot examples cannot be put before a conversation."),
        ({"messages": SKY, "tools": "x"}, "tools is 'x', which is not JSON"),
        ({"messages": 3}, "expected a list of messages"),
        ({"messages": [{"role": "user", "content": "\ud83d"}]}, "half a character"),
    ],
)
def test_faulty_conversations(chat: str, row: dict[str, Any], what: str) -> None:
    model: Any = PyfuncTransformerWithParams(chat)
    with pytest.raises(GenerationError) as caught:
        model.predict(None, [row])
    assert what in str(caught.value)


@pytest.mark.usefixtures("warm_executable")
def test_loaded_in_another_process(run: str, store: Any, chat: str) -> None:
    """By MLflow's own function, from its input example and from columns."""
    info = model_logging.log(PyfuncTransformerWithParams(chat, chat_template="tokenizer"), "chat")
    frame = {"messages": json.dumps(CHAT), "config_dict": json.dumps(SETTINGS)}
    code = (
        "import mlflow, pandas, sys; mlflow.set_tracking_uri(sys.argv[2]); "
        "model = mlflow.pyfunc.load_model(sys.argv[1]); "
        "print(model.predict(model.input_example), model.predict(pandas.DataFrame([eval(sys.argv[3])])))"
    )
    command = [sys.executable, "-c", code, info.model_uri, store.uri, repr(frame)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout.split("\n")[-2] == "[' The sky is blue.\\n\\nQ'] [' The sky is blue.']", ended.stderr


def test_served_by_fixed_settings(run: str, chat: str) -> None:
    """A signature of one column without a name lets messages through under their own."""
    loaded: Any = model_logging.load(model_logging.log(PyfuncTransformer(chat, SETTINGS), "chat").model_uri)
    assert loaded.predict(pd.DataFrame({"messages": [json.dumps(CHAT)]})) == [" The sky is blue."]


def case(conversation: Conversation | None, text: str = "What color is the sky?") -> Case:
    row = Row("row", text, conversation=conversation.as_json() if conversation else "")
    return Case(CaseKey(GroupKey("tests", "chats", "m"), row.id), row, "", complete({}), seed=0)


def test_users_models(run: str, tmp_path: Path) -> None:
    """A column `messages` gets JSON text or objects, as the signature has it; a text is one message there."""
    cases = [case(Conversation(SKY, [CLOCK])), case(None)]
    text = users_model(tmp_path, "echo", signature(ColSpec("string", "messages"), ColSpec("string", "tools", False)))
    assert input_frame(text, cases).to_dict("records") == [
        {"messages": json.dumps(SKY), "tools": json.dumps([CLOCK])},
        {"messages": json.dumps(SKY), "tools": None},
    ]
    kind: Any = Array(Object([Property("role", "string"), Property("content", "string")]))
    objects = users_model(tmp_path, "echo", signature(ColSpec(kind, "messages")))
    assert [str(answer) for answer in Questions(objects, cases).ask(range(2))] == [f"messages={SKY}"] * 2


def test_users_model_that_takes_texts(run: str, tmp_path: Path) -> None:
    for given in (signature(ColSpec("string", "question")), signature(ColSpec("string")), None):
        model = users_model(tmp_path, "echo", given)
        with pytest.raises(ModelError, match="holds conversations, and its signature has no column 'messages'"):
            input_frame(model, [case(Conversation(SKY))])
