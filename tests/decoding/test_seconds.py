"""The engine times what it generates: each batch, shared over its outputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import GenerationConfig

from pytest_llmcompare.decoding import engine, generate
from pytest_llmcompare.decoding.job import Job
from pytest_llmcompare.decoding.recorder import RowOutput
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation

from .small_models import PROMPTS, ask, make

SETTINGS = {"max_new_tokens": 5}


def seconds_of(requests: list[Request], **options: Any) -> dict[int, float]:
    """Seconds by index of the request; each is told before its outcome, and once."""
    told: dict[int, float] = {}

    def take(index: int, seconds: float) -> None:
        assert index not in told
        told[index] = seconds

    assert len(list(engine.answers(make("gpt2"), requests, take_seconds=take, **options))) == len(requests)
    return told


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the model takes a second, and nothing else takes time."""
    ticks = count()
    monkeypatch.setattr(generate, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize(("batch_size", "share"), [(1, 1.0), (2, 0.5)])
def test_a_batch_is_shared_by_its_outputs(batch_size: int, share: float, read: bool) -> None:
    """Whether they are yielded one right after the other, or held back to be read together."""
    requests = ask(SETTINGS, PROMPTS[:4])
    assert seconds_of(requests, batch_size=batch_size, read=read) == dict.fromkeys(range(4), share)


@pytest.mark.usefixtures("clock")
def test_drafts_that_are_confirmed_have_no_time() -> None:
    """Nothing was generated; where a draft was not confirmed, the rest of the output was."""
    requests = ask(SETTINGS, PROMPTS[:2])
    first, second = (one.token_ids or () for one in generate_outputs(requests))
    drafts = (first, (*second[:3], second[3] ^ 1, second[4]))
    assert set(seconds_of([replace(one, draft=draft) for one, draft in zip(requests, drafts, strict=True)])) == {1}


def generate_outputs(requests: list[Request]) -> list[Generation]:
    outcomes = engine.generate(make("gpt2"), requests)
    return [one for one in outcomes if isinstance(one, Generation)]


def test_shares_follow_the_tokens() -> None:
    """What takes several calls takes their sum; a batch of empty outputs is shared equally."""
    config = GenerationConfig()  # type: ignore[no-untyped-call]
    job = Job(model=make("gpt2"), gen_config={}, config=config, prompts={0: [1], 1: [2], 2: [3]}, seeds={})
    job.add_seconds([0, 1], [row(1), row(3)], 2.0)
    job.add_seconds([1], [row(5)], 0.25)
    assert job.seconds == {0: 0.5, 1: 1.75}
    job.add_seconds([0, 2], [row(0), row(0)], 1.0)
    assert job.seconds == {0: 1.0, 1: 1.75, 2: 0.5}


def row(tokens: int) -> RowOutput:
    """An output of so many tokens."""
    return RowOutput(tuple(range(tokens)), None, "length")
