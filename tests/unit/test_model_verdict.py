"""Whether a model changed: the limit follows its noise, and whatever is unknown is not called unchanged."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pytest_llmcompare.comparison.model_verdict import (
    NAN,
    NO_NOISE,
    NOT_READ,
    TOO_FEW,
    Finding,
    RecordedLine,
    model_verdict,
    pooled_rms,
)
from pytest_llmcompare.generation import Environment

CHANGED, UNCHANGED, UNKNOWN = Finding.CHANGED, Finding.UNCHANGED, Finding.UNKNOWN
HERE: Environment = (("device", "cpu"), ("dtype", "float32"), ("weights", "a1"))
BFLOAT: Environment = (("device", "cpu"), ("dtype", "bfloat16"), ("weights", "a1"))
SERVED: Environment = (("server", "vllm"), ("version", "0.9"), ("weights", "a1"))


def with_facts(environment: Environment, **facts: str) -> Environment:
    """An environment with other facts."""
    return tuple(sorted({**dict(environment), **facts}.items()))


def line(rms: float, environment: Environment = HERE, tokens: int = 20, noise: float | None = 1e-7) -> RecordedLine:
    """Baselines all of whose tokens moved by as much, in either direction."""
    return RecordedLine(environment, [rms if at % 2 else -rms for at in range(tokens)], 2, noise)


@pytest.mark.parametrize(
    ("environment", "noise", "limit"),
    [
        (HERE, 0.0, 2e-6),
        (HERE, 1e-5, 3e-5),
        (BFLOAT, 0.0, 1e-5),
        (BFLOAT, 1e-4, 3e-4),
        (SERVED, 0.0, 1e-4),
        (SERVED, 1e-3, 3e-3),
    ],
)
def test_the_limit_is_three_times_the_noise(environment: Environment, noise: float, limit: float) -> None:
    """And not too little, which depends on the precision."""
    for factor, finding in ((0.9, UNCHANGED), (1.1, CHANGED)):
        verdict = model_verdict([line(limit * factor, environment, noise=noise)], environment, in_float32=True)
        assert (verdict.finding, verdict.same_weights, verdict.tokens) == (finding, True, 20)
        assert verdict.limit == pytest.approx(limit)
        assert verdict.rms == pytest.approx(limit * factor)


@pytest.mark.parametrize(
    ("then", "now", "factor"),
    [
        (HERE, with_facts(HERE, device="cuda"), 10),
        (HERE, with_facts(HERE, weights="b2", torch="3.0", attention="sdpa"), 1),
        (SERVED, with_facts(SERVED, version="1.0"), 5),
        (SERVED, with_facts(SERVED, weights="b2"), 5),
        (with_facts(SERVED, noise="1e-4/1e-2"), SERVED, 1),
    ],
)
def test_elsewhere_the_limit_is_wider(then: Environment, now: Environment, factor: int) -> None:
    """On another device or server; a version of a library or a fact that one side lacks does not count."""
    here = model_verdict([line(0.0, then)], then, in_float32=True)
    verdict = model_verdict([line(0.0, then)], now, in_float32=True)
    assert here.limit is not None
    assert verdict.limit == pytest.approx(factor * here.limit)


@pytest.mark.parametrize(
    ("recorded", "reason"),
    [
        (line(1.0, tokens=15), TOO_FEW),
        (line(1.0, tokens=0), TOO_FEW),
        (line(math.nan), NAN),
        (line(math.inf), NAN),
        (line(0.0, noise=None), NO_NOISE),
        (line(0.0, noise=math.nan), NO_NOISE),
        (line(0.0, noise=-1.0), NO_NOISE),
    ],
)
def test_what_cannot_be_told(recorded: RecordedLine, reason: str) -> None:
    """It is neither changed nor unchanged, and says why."""
    verdict = model_verdict([recorded], HERE, in_float32=True)
    assert (verdict.finding, verdict.reason) == (UNKNOWN, reason)


def test_without_baselines() -> None:
    """There is nothing to tell it by."""
    assert model_verdict([], HERE, in_float32=True).finding is UNKNOWN


def test_not_read_in_float32() -> None:
    """In the same environment low precision is bit-equal; elsewhere its noise hides what changed."""
    same = model_verdict([line(0.0, BFLOAT)], BFLOAT, in_float32=False)
    elsewhere = model_verdict([line(0.0, BFLOAT)], with_facts(BFLOAT, device="cuda"), in_float32=False)
    assert same.finding is UNCHANGED
    assert (elsewhere.finding, elsewhere.reason, elsewhere.differing) == (UNKNOWN, NOT_READ, ("device",))


def test_each_environment_is_judged_by_itself() -> None:
    """Baselines with today's weights decide; the others are named beside them."""
    old = with_facts(HERE, weights="older")
    lines = [line(0.1, old, tokens=200), line(0.0, HERE, tokens=20)]
    verdict = model_verdict(lines, HERE, in_float32=True)
    assert (verdict.finding, verdict.same_weights) == (UNCHANGED, True)
    assert [(one.finding, one.same_weights, one.baselines) for one in verdict.others] == [(CHANGED, False, 2)]
    few = model_verdict([lines[0], line(0.0, HERE, tokens=3)], HERE, in_float32=True)
    assert (few.finding, few.tokens) == (CHANGED, 200)


def test_the_order_of_the_baselines_does_not_matter() -> None:
    """The same verdict for any order of environments."""
    sizes = {"b": 30, "c": 30, "d": 40, "a1": 17}
    lines = [line(0.1, with_facts(HERE, weights=name), tokens=size) for name, size in sizes.items()]
    assert model_verdict(lines, HERE, in_float32=True) == model_verdict(lines[::-1], HERE, in_float32=True)


def test_opposite_movements_do_not_cancel() -> None:
    """The root mean square of movements whose mean is zero."""
    assert pooled_rms([3.0, -3.0]) == 3.0
    assert pooled_rms([]) is None
    assert model_verdict([replace(line(0.5), movements=[0.5, -0.5] * 8)], HERE, in_float32=True).finding is CHANGED
