"""Whether a model changed, by the log-probs of all tokens of a table together. Pure.

A change of weights moves every log-prob a little, where noise moves most of them by nothing. So the tokens of all
baselines are pooled, also those of cases whose texts drifted, and their root mean square is compared with the noise of
this model. Baselines that were recorded in different environments are judged apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pytest_llmcompare.generation import Environment

from .noise import WEIGHTS

LEAST_TOKENS = 16
"""Fewest tokens of a verdict: they show 95 % of real changes, 160 all."""

NUMERICS = ("device", "dtype", "capability", "attention")
"""Facts of an environment that decide how numbers are summed; versions of libraries did not matter where measured."""

LEAST_LIMITS = {"float64": 2e-6, "float32": 2e-6}
"""Smallest limit (nats) by the precision of the checkpoint."""
LEAST_LIMIT = 1e-5
LEAST_LIMIT_SERVED = 1e-4
NOISES = 3
"""How many times its noise a model may move and count as unchanged."""
OTHER_DEVICE = 10
"""Factor of the limit on another device, which was not measured."""
OTHER_SERVER = 5
"""Factor of the limit if server, version or weights differ."""

SERVER = "server"
NAN = "log-probs are NaN or infinite"
TOO_FEW = f"the baselines have fewer than {LEAST_TOKENS} tokens whose log-probs can be compared"
NO_NOISE = "the baselines do not say how large the noise of this model is"
NOT_READ = "the model could not be read in float32, and the baselines were recorded elsewhere"


class Finding(StrEnum):
    """What the pooled log-probs say of a model."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class RecordedLine:
    """Baselines of one table and model that were recorded in one environment.

    Attributes:
        environment: The environment, weights included.
        movements: Today's log-prob minus the recorded one (nats) of each token, of all baselines together; both before
            logits processors.
        baselines: Number of the baselines.
        noise: Root mean square (nats) of what such movements were while nothing had changed; None if not recorded.
    """

    environment: Environment
    movements: Sequence[float]
    baselines: int
    noise: float | None = None


@dataclass(frozen=True)
class ModelVerdict:
    """What is known of a model, by the baselines of one environment.

    Attributes:
        finding: Whether it changed.
        environment: The environment of the baselines.
        tokens: Number of tokens that were compared.
        baselines: Number of their baselines.
        rms: Root mean square (nats) of their movements; None if there is none.
        noise: Noise of the model (nats), as recorded.
        limit: Largest `rms` that counts as noise; None if that is unknown.
        same_weights: Whether the files of the weights are those of the baselines; None if that is unknown.
        differing: Names of the facts of `NUMERICS` that are known on both sides and differ.
        reason: Why it cannot be told, as a clause; else empty.
        others: Verdicts by the baselines of other environments.
    """

    finding: Finding
    environment: Environment = ()
    tokens: int = 0
    baselines: int = 0
    rms: float | None = None
    noise: float | None = None
    limit: float | None = None
    same_weights: bool | None = None
    differing: tuple[str, ...] = ()
    reason: str = ""
    others: tuple[ModelVerdict, ...] = ()


def model_verdict(lines: Iterable[RecordedLine], now: Environment, *, in_float32: bool) -> ModelVerdict:
    """Judge a model by all its baselines of a table.

    The baselines with today's weights decide if they have enough tokens, else those with the most tokens.

    Args:
        lines: The baselines by environment, without those that are missing, stale, of texts alone or of a beam search.
        now: Today's environment.
        in_float32: Whether log-probs were read in float32, today and when they were recorded.
    """
    verdicts = [_verdict(line, now, in_float32=in_float32) for line in lines]
    if not verdicts:
        return ModelVerdict(Finding.UNKNOWN, reason=TOO_FEW)
    first, *others = sorted(verdicts, key=_precedence, reverse=True)
    return replace(first, others=tuple(others))


def pooled_rms(movements: Sequence[float]) -> float | None:
    """Return the root mean square of movements (nats); None if there is none."""
    return math.sqrt(math.fsum(one * one for one in movements) / len(movements)) if movements else None


def _precedence(verdict: ModelVerdict) -> tuple[bool, int, Environment]:
    is_todays = verdict.same_weights is True and verdict.tokens >= LEAST_TOKENS
    return is_todays, verdict.tokens, verdict.environment


def _verdict(line: RecordedLine, now: Environment, *, in_float32: bool) -> ModelVerdict:
    """Judge a model by the baselines of one environment."""
    differing = differing_facts(line.environment, now, NUMERICS)
    limit = _limit(line, now, differing)
    rms = pooled_rms(line.movements)
    reason = _why_unknown(line, rms, limit, is_sound=in_float32 or not differing)
    moved = rms is not None and limit is not None and rms > limit
    finding = Finding.UNKNOWN if reason else Finding.CHANGED if moved else Finding.UNCHANGED
    return ModelVerdict(
        finding,
        line.environment,
        tokens=len(line.movements),
        baselines=line.baselines,
        rms=rms,
        noise=line.noise,
        limit=limit,
        same_weights=_same(line.environment, now, WEIGHTS),
        differing=differing,
        reason=reason,
    )


def _why_unknown(line: RecordedLine, rms: float | None, limit: float | None, *, is_sound: bool) -> str:
    if rms is None or len(line.movements) < LEAST_TOKENS:
        return TOO_FEW
    if not math.isfinite(rms):
        return NAN
    if limit is None:
        return NO_NOISE
    return "" if is_sound else NOT_READ


def _limit(line: RecordedLine, now: Environment, differing: Sequence[str]) -> float | None:
    """Largest rms that counts as noise; None if the noise is unknown or is no number."""
    if line.noise is None or not 0 <= line.noise < math.inf:
        return None
    facts = dict(now)
    if SERVER in facts:
        changed = differing_facts(line.environment, now, (SERVER, "version", WEIGHTS))
        return max(LEAST_LIMIT_SERVED, NOISES * line.noise) * (OTHER_SERVER if changed else 1)
    least = LEAST_LIMITS.get(facts.get("dtype", ""), LEAST_LIMIT)
    return max(least, NOISES * line.noise) * (OTHER_DEVICE if "device" in differing else 1)


def differing_facts(one: Environment, other: Environment, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of facts that differ; a fact that one side lacks is unknown, not different."""
    return tuple(name for name in names if _same(one, other, name) is False)


def _same(one: Environment, other: Environment, name: str) -> bool | None:
    """Whether both have the same value of a fact; None if one lacks it."""
    values = dict(one).get(name), dict(other).get(name)
    return None if None in values else values[0] == values[1]
