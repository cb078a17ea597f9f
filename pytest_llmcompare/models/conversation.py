"""Conversations: the messages and tools that a chat model is asked with. Pure.

A row of a table carries its conversation as JSON text, which is also what its hash is made of: the names within a
message are sorted, all else is in the user's order, which templates may print.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmcompare.records import Case

ROLES = ("system", "developer", "user", "assistant", "tool")

Message = Mapping[str, Any]
"""`role`, `content` and what else a template reads: `name`, `tool_calls`, `tool_call_id`."""


@dataclass(frozen=True)
class Conversation:
    """What a chat model is asked with.

    Attributes:
        messages: The messages; the last one is a user's or a tool's.
        tools: Tools that the model may call, as OpenAI describes them.
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of_text(cls, prompt: str) -> Conversation:
        """A text as the only message, from the user."""
        return cls(({"role": "user", "content": prompt},))

    @classmethod
    def from_json(cls, text: str) -> Conversation:
        """The inverse of `as_json`."""
        return cls(**json.loads(text))

    def as_json(self) -> str:
        """The conversation as JSON text."""
        parts: dict[str, Any] = {"messages": [dict(sorted(one.items(), key=_place)) for one in self.messages]}
        if self.tools:
            parts["tools"] = list(self.tools)
        return json.dumps(parts, ensure_ascii=False)

    @property
    def last_user_text(self) -> str:
        """Content of the last message of the user; of the last message if none is the user's."""
        texts = [message["content"] for message in self.messages if message["role"] == "user"]
        return str(texts[-1] if texts else self.messages[-1]["content"])

    def messages_json(self) -> str:
        """The messages alone as JSON text."""
        return json.dumps([*map(dict, self.messages)], ensure_ascii=False)

    def tools_json(self) -> str | None:
        """The tools as JSON text; None if there are none."""
        return json.dumps([*map(dict, self.tools)], ensure_ascii=False) if self.tools else None

    def fields(self) -> dict[str, Any]:
        """`messages` and, if there are any, `tools`, as chat templates and servers name them."""
        fields: dict[str, Any] = {"messages": [*map(dict, self.messages)]}
        return {**fields, "tools": [*map(dict, self.tools)]} if self.tools else fields


def _place(item: tuple[str, Any]) -> tuple[int, str]:
    """Sort key of a message's fields: the role, the content, then the others by name."""
    return ("role", "content").index(item[0]) if item[0] in ("role", "content") else 2, item[0]


Prompt = str | Conversation
"""What a model is asked."""


def prompt_of(case: Case) -> Prompt:
    """What a model is asked for a case."""
    return Conversation.from_json(case.row.conversation) if case.row.conversation else case.prompt
