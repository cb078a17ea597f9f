"""Requests and tokens of a served model: expected before a table is asked, limited, and counted afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.gen_config import DEFAULTS
from pytest_llmcompare.records import Case
from pytest_llmcompare.serving.measure_noise import REQUESTS
from pytest_llmcompare.serving.server import Level, Server
from pytest_llmcompare.settings import PLAIN, VERIFY
from pytest_llmcompare.text import count

from .answers import Asking
from .served_model import ServedModel

CHARACTERS_PER_TOKEN = 4
"""Of usual tokenizers and English text; prompts are not tokenized here."""

_SCORINGS: Mapping[str, int] = {PLAIN: 0, VERIFY: 3}  # most requests of a case besides its own; else 1


@dataclass(frozen=True)
class Usage:
    """Requests sent, and tokens by the server's count."""

    requests: int
    prompt_tokens: int
    output_tokens: int

    @classmethod
    def of(cls, server: Server) -> Usage:
        """What this process has sent to a server so far."""
        return cls(server.client.sent, server.prompt_tokens, server.output_tokens)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.requests - other.requests,
            self.prompt_tokens - other.prompt_tokens,
            self.output_tokens - other.output_tokens,
        )

    def note(self, asking: Asking) -> str:
        """What a table has used, for the summary."""
        return (
            f"table {asking.group.table!r}, model {asking.group.model!r}: {count(self.requests, 'request')}, "
            f"{self.prompt_tokens:,} prompt and {self.output_tokens:,} output tokens"
        )


def expected(asking: Asking, server: Server) -> Usage:
    """What a table takes at most, except for requests that fail: cases, noise, scorings, and one for the probe.

    A request that scores a baseline is counted as another request for its case.
    """
    repeats = asking.cases[:REQUESTS]
    asked = [*asking.cases, *repeats, *cases_to_score(asking, Level.PATH)]
    characters = sum(len(case.prompt) for case in asked)
    lengths = [int(case.gen_config.get("max_new_tokens", DEFAULTS["max_new_tokens"])) for case in asked]
    return Usage(len(asked) + (0 if server.is_probed else 1), -(-characters // CHARACTERS_PER_TOKEN), sum(lengths))


def cases_to_score(asking: Asking, level: Level) -> list[Case]:
    """The cases whose baselines may be scored, each repeated for every request that its scoring may take.

    Args:
        asking: The cases and their baselines. A baseline that answers another question is not scored.
        level: What the server showed when the baseline was recorded.
    """
    drafts = asking.drafts()
    cases = [asking.cases[index] for index, draft in drafts.items() if dict(draft.environment).get("level") == level]
    return cases * _SCORINGS.get(asking.decode, 1)


def set_aside_scorings(asking: Asking, model: ServedModel, server: Server) -> None:
    """Set aside requests that score baselines recorded when the server showed less; known after the probe.

    Raises:
        ModelError: `max_requests` would be exceeded.
    """
    if server.capabilities.level is Level.PATH:
        _set_aside(asking, model, server, len(cases_to_score(asking, Level.OUTPUT)), "further ")


def _set_aside(asking: Asking, model: ServedModel, server: Server, requests: int, further: str = "") -> None:
    budget = server.client.budget
    if not budget.set_aside(requests):
        raise ModelError(
            f"model {model.name!r}: {count(len(asking.cases), 'case')} take up to {requests} {further}requests, and "
            f"this run has sent or set aside {budget.total} before; max_requests = {budget.limit} in its table of "
            "pyproject.toml allows no more. None of them was sent: raise max_requests, or select fewer tests."
        )


@contextmanager
def announced(asking: Asking, model: ServedModel, server: Server) -> Iterator[None]:
    """Say what is about to be asked, and set the requests aside; those that are not needed are given back.

    Raises:
        ModelError: `max_requests` would be exceeded.
    """
    usage = expected(asking, server)
    _set_aside(asking, model, server, usage.requests)
    asking.progress.announce(
        f"asking {model.name}: up to {usage.requests:,} requests, about {usage.prompt_tokens:,} prompt tokens and "
        f"{usage.output_tokens:,} output tokens"
    )
    try:
        yield
    finally:
        server.client.budget.give_back()
