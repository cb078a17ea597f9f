"""Conversations asked of models in this process: tokens of the chat template, answers of `generate`, every shortcut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.errors import GenerationError, ModelError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.conversation import Conversation
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.load import LocalModel, load_model

from .small_models import TRAINED, make

SYSTEM = {"role": "system", "content": "Answer every question of the user in one short and friendly sentence."}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "Tells the time."}}
TEMPLATE = (
    "{{ bos_token }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def asked(question: str, *before: dict[str, Any], tools: tuple[Any, ...] = ()) -> Conversation:
    return Conversation([SYSTEM, *before, {"role": "user", "content": question}], tools)


@pytest.fixture(scope="module")
def chat() -> LocalModel:
    """The trained model with a chat template."""
    return load_model(TRAINED / "tiny-chat", name="chat", device="cpu")


CONVERSATIONS = [
    asked("What color is the sky?"),
    asked("Who is Hamlet?"),
    asked("Who is Hamlet?", {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}),
    asked("Is a bat a bird?"),
]


def expected_tokens(model: LocalModel, conversation: Conversation, count: int) -> list[int]:
    """What transformers itself generates, token by token."""
    given: Any = model.tokenizer.apply_chat_template(
        list(conversation.messages),
        add_generation_prompt=True,
        return_dict=True,
    )
    ids = torch.tensor([given["input_ids"]])
    output = model.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    return output[0, ids.shape[1] :].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("shortcuts", [False, True])
def test_answers_are_those_of_generate(chat: LocalModel, shortcuts: bool) -> None:
    """With batches and a shared prefix or without, and with drafts, right and wrong ones."""
    requests = [Request(one, complete({"max_new_tokens": 12})) for one in CONVERSATIONS]
    expected = [expected_tokens(chat, one, 12) for one in CONVERSATIONS]
    outputs = generate(chat, requests, shortcuts=shortcuts)
    assert [list(one.token_ids or ()) for one in outputs if isinstance(one, Generation)] == expected
    drafts = [replace(one, draft=tuple(tokens)) for one, tokens in zip(requests, expected, strict=True)]
    drafts[1] = replace(drafts[1], draft=tuple(expected[0]))
    again = generate(chat, drafts, shortcuts=shortcuts)
    assert [list(one.token_ids or ()) for one in again if isinstance(one, Generation)] == expected
    assert [isinstance(one, Generation) and one.verified for one in again] == [shortcuts, False, shortcuts, shortcuts]


def test_a_text_stays_one_message_of_the_user() -> None:
    """With a template; without one it is asked as it is, beside a conversation."""
    plain, templated = (
        load_model(TRAINED / "tiny-chat", device="cpu", chat_template=name) for name in ("", "tokenizer")
    )
    question = Conversation.of_text("Who is Hamlet?")
    assert templated.encode("Who is Hamlet?") == templated.encode(question) == plain.encode(question)
    assert plain.tokenizer.decode(plain.encode("Who is Hamlet?")) == "Who is Hamlet?"


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_tools_calls_and_one_bos(name: str) -> None:
    """Tools and calls reach the template, in the user's order; a tokenizer that adds BOS adds none to its text."""
    local = make(name)
    local.tokenizer.chat_template = TEMPLATE
    call = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC", "at": 1}}}
    conversation = asked("Time?", {"role": "assistant", "content": "", "tool_calls": [call]}, tools=(CLOCK,))
    text = local.tokenizer.apply_chat_template(
        list(conversation.messages), tools=[CLOCK], add_generation_prompt=True, tokenize=False
    )
    assert '"name": "clock", "description"' in text
    assert local.encode(conversation) == local.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert local.encode(Conversation.from_json(conversation.as_json())) == local.encode(conversation)


def test_own_template_goes_before_the_tokenizers() -> None:
    local = load_model(
        TRAINED / "tiny-chat", device="cpu", chat_template="{{ messages | length }}:{{ messages[-1].content }}"
    )
    assert local.tokenizer.decode(local.encode(CONVERSATIONS[2])) == "4:Who is Hamlet?"


def test_a_model_without_template() -> None:
    """The conversation is at fault alone, with what to do."""
    local = load_model(TRAINED / "tiny-gpt2", name="plain", device="cpu")
    settings = complete({"max_new_tokens": 2})
    fault, fine = generate(local, [Request(CONVERSATIONS[0], settings), Request("Q: Why?\nA:", settings)])
    assert isinstance(fine, Generation)
    assert isinstance(fault, GenerationError)
    assert "has no chat template, so it cannot be asked a conversation (column messages)." in str(fault)
    assert "in [tool.llmcompare.models.plain] of pyproject.toml, or name a chat model." in str(fault)
    with pytest.raises(ModelError, match="no chat template"):
        local.check_has_template()


def test_a_role_that_the_template_refuses(chat: LocalModel) -> None:
    conversation = Conversation([{"role": "tool", "content": "12:00"}])
    (fault,) = generate(chat, [Request(conversation, complete({}))])
    assert isinstance(fault, GenerationError)
    assert "the prompt cannot be made into tokens: TemplateError: this model knows no role tool" in str(fault)
