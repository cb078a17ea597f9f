"""Chat completions: the fields of a request, and what the message of an answer says. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pytest_llmcompare.models.conversation import Conversation, Prompt

REASONING = ("reasoning", "reasoning_content")
"""Names by which servers give the reasoning before an answer, in a field of its own."""
OF_PROMPTS = ("prompt_token_ids", "prompt_logprobs")
"""Fields that vLLM puts beside the choices of a chat answer, and into the choice of a completion."""
NEEDS = (
    "Conversations (column messages, or chat = true) are asked at /v1/chat/completions: the server needs that "
    "endpoint, and its model a chat template."
)


def question_fields(prompt: Prompt, *, chat: bool) -> dict[str, Any]:
    """The fields of a request that hold the question.

    Args:
        prompt: A text, which is the only message of a chat; or a conversation.
        chat: Whether it goes to the chat endpoint.
    """
    if not chat:
        return {"prompt": prompt}
    return (Conversation.of_text(prompt) if isinstance(prompt, str) else prompt).fields()


def logprob_fields(alternatives: int, *, chat: bool) -> dict[str, Any]:
    """The fields that ask for log-probs of the output, with so many of the most likely tokens; 0 asks for none."""
    if not alternatives:
        return {}
    return {"logprobs": True, "top_logprobs": alternatives} if chat else {"logprobs": alternatives}


class Message(NamedTuple):
    """The message in a choice of an answer.

    Attributes:
        text: The text; of tool calls the calls as JSON. None if there is none.
        reasoning: Reasoning in a field of its own.
        is_spelled: False if the tokens spell something else than the text: tool calls, or reasoning, too.
    """

    text: str | None
    reasoning: str = ""
    is_spelled: bool = True


def message_of(choice: Mapping[str, Any]) -> Message:
    """The message in a choice (`choices[0]`) of a completion or a chat."""
    message = choice.get("message")
    if not isinstance(message, Mapping):
        text = choice.get("text")
        return Message(text if isinstance(text, str) else None)
    content, calls = message.get("content"), message.get("tool_calls")
    reasoning = next((str(message[name]) for name in REASONING if message.get(name)), "")
    parts = [content] if isinstance(content, str) and content else []
    if isinstance(calls, list) and calls:
        parts.append(calls_text(calls))
    is_empty = isinstance(content, str) or bool(reasoning) or choice.get("finish_reason") == "length"
    text = "\n".join(parts) if parts or is_empty else None
    return Message(text, reasoning, is_spelled=not calls and not reasoning)


def calls_text(calls: list[Any]) -> str:
    """Tool calls as JSON with sorted keys, without their ids, which are other ones each time."""
    return json.dumps([_call(call) for call in calls], sort_keys=True, ensure_ascii=False)


def _call(call: Any) -> Any:
    if not isinstance(call, Mapping):
        return call
    kept = {name: value for name, value in call.items() if name not in ("id", "index")}
    function = kept.get("function")
    if isinstance(function, Mapping) and isinstance(function.get("arguments"), str):
        kept["function"] = {**function, "arguments": _arguments(function["arguments"])}
    return kept


def _arguments(text: str) -> Any:
    """The arguments of a call, which are JSON as text; text that is not stays text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
