"""Decides whether a model changed, from the log-probs of all tokens of a table's baselines together. Pure.

A single case has few tokens, so a small change hides in their noise. The root mean square over 16 tokens or more showed
95 % of real changes, over 160 tokens all of them, without a false alarm; `docs/measurements.md` has the measurements.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_llmcompare.generation import Environment, Generation
from pytest_llmcompare.judgement import Finding, Likelihood, ModelVerdict

from .environments import SERVER, WEIGHTS, lowers_matmul, rounds_activations, same_device, same_numerics, without_noise
from .measured_noise import MeasuredNoise
from .noise import ELSEWHERE

LEAST_TOKENS = 16
"""Fewest tokens that a verdict is based on."""
TIMES_NOISE = 3
FEW_OUTPUTS = 3
"""The limit is multiplied by sqrt(1 + FEW_OUTPUTS / outputs), which is 2 for one output and 1.04 for forty: the noise
of one output can be three times that of its whole table."""
LEAST_READ, LEAST_SERVED, LEAST_ROUNDED = 2e-6, 1e-4, 1e-3
"""Smallest limits (nats): of a local model, of one behind a server, and of one with quantised activations."""
OTHER_DEVICE = 10
"""Factor of the limit on another kind of device, where the noise has not been measured."""
FULL_PRECISION = ("float32", "float64")


@dataclass(frozen=True)
class Movement:
    """How far the log-probs of one case moved.

    Attributes:
        environment: Environment of its baseline, with its noise.
        likelihood: The differences; None if the baseline or today's output has no log-probs.
        shows_change: Whether the output differs in a way that no log-prob shows (`is_beyond_noise`).
    """

    environment: Environment
    likelihood: Likelihood | None
    shows_change: bool = False


def is_beyond_noise(expected: Generation, actual: Generation) -> bool:
    """True if a local model ends its baseline's output at another token, or is not allowed to choose one of its tokens.

    The log-probs of the baseline's tokens can be unchanged then: only `generation_config.json` names other tokens that
    end an output, or that are suppressed.
    """
    path = actual.path
    if path is None or path.is_partial or path.tokens != expected.token_ids or SERVER in dict(actual.environment):
        return False
    is_barred = not path.draws and -math.inf in path.logprobs
    ends_elsewhere = len(path.choices) < len(path.tokens) or (bool(expected.stop) and path.stop != expected.stop)
    return is_barred or ends_elsewhere


def judge_model(movements: Iterable[Movement], now: Environment) -> ModelVerdict | None:
    """Compare a model with the one that its baselines were recorded with.

    Baselines of several environments are judged separately. The verdict is that of the environment with today's
    weights if its baselines have enough tokens, else that of the environment with the most tokens.

    Args:
        movements: The compared cases; missing, stale and failed ones are left out.
        now: Today's environment.

    Returns:
        The verdict; None if no case was compared.
    """
    verdicts = judge_environments(movements, now).values()
    return decisive(verdicts) if verdicts else None


def judge_environments(movements: Iterable[Movement], now: Environment) -> dict[Environment, ModelVerdict]:
    """A verdict per environment that baselines were recorded in.

    Args:
        movements: The compared cases; missing, stale and failed ones are left out.
        now: Today's environment.

    Returns:
        The verdicts by environment, without the noise that was measured in it.
    """
    by_environment: dict[Environment, list[Movement]] = {}
    for movement in movements:
        by_environment.setdefault(without_noise(movement.environment), []).append(movement)
    return {environment: _judged(own, now) for environment, own in by_environment.items()}


def decisive(verdicts: Collection[ModelVerdict]) -> ModelVerdict:
    """Choose the verdict that counts, out of at least one; it gets the number of baselines behind the others."""
    chosen = max(verdicts, key=lambda verdict: (_is_of_today(verdict), verdict.tokens, verdict.cases))
    return replace(chosen, others=sum(verdict.cases for verdict in verdicts) - chosen.cases)


def _is_of_today(verdict: ModelVerdict) -> bool:
    return verdict.same_weights is True and verdict.tokens >= LEAST_TOKENS


def _judged(movements: Sequence[Movement], now: Environment) -> ModelVerdict:
    """The verdict from the baselines of one environment."""
    verdict = _judged_by_logprobs(movements, now)
    beyond_noise = sum(movement.shows_change for movement in movements)
    if not beyond_noise:
        return verdict
    return replace(verdict, finding=Finding.CHANGED, reason="", beyond_noise=beyond_noise)


def _judged_by_logprobs(movements: Sequence[Movement], now: Environment) -> ModelVerdict:
    """The verdict from the log-probs of the baselines of one environment."""
    then = movements[0].environment
    weights = [dict(environment).get(WEIGHTS) for environment in (then, now)]
    same_weights = None if None in weights else weights[0] == weights[1]
    cases = len(movements)
    dtype = _low_precision(then, now)
    known = [
        movement.likelihood
        for movement in movements
        if movement.likelihood is not None and math.isfinite(movement.likelihood.rms)
    ]
    if dtype and any(likelihood.as_read for likelihood in known):
        known, dtype = [likelihood for likelihood in known if likelihood.as_read], ""
    tokens = sum(likelihood.tokens for likelihood in known)
    if not tokens:
        reason = "its outputs are compared by text alone"
        return ModelVerdict(Finding.UNKNOWN, cases=cases, same_weights=same_weights, reason=reason)
    moved = math.sqrt(sum(likelihood.rms**2 * likelihood.tokens for likelihood in known) / tokens)
    noises = (MeasuredNoise.read(movement.environment) for movement in movements)
    today = MeasuredNoise.read(now)
    noise = max((one.rms for one in noises if one is not None), default=today.rms if today else None)
    limit = _limit(then, now, noise, max(likelihood.band for likelihood in known), len(known))
    finding, reason = Finding.CHANGED if moved > limit else Finding.UNCHANGED, ""
    if dtype:
        reason = f"its baselines hold no log-probs that were read in float32, and in {dtype} noise hides small changes"
        finding = Finding.UNKNOWN
    elif finding is Finding.CHANGED and lowers_matmul(then) != lowers_matmul(now):
        reason = "matrices in float32 are multiplied in a lower precision on one side, which moves log-probs, too"
        finding = Finding.UNKNOWN
    elif tokens < LEAST_TOKENS:
        finding, reason = Finding.UNKNOWN, f"{tokens} tokens can be compared, {LEAST_TOKENS} are needed"
    return ModelVerdict(finding, moved, noise, limit, tokens, cases, same_weights, reason=reason)


def _low_precision(then: Environment, now: Environment) -> str:
    """The number format of a local model in which log-probs are too noisy to compare; empty if there is none."""
    formats = [dict(environment).get("dtype", "") for environment in (now, then) if SERVER not in dict(environment)]
    return next((dtype for dtype in formats if dtype and dtype not in FULL_PRECISION), "")


def _limit(then: Environment, now: Environment, noise: float | None, band: float, outputs: int) -> float:
    """The largest movement that counts as noise (nats).

    Args:
        then: Environment of the baselines.
        now: Today's.
        noise: Noise measured when recording (nats, root mean square).
        band: Limit of a single case (nats), which is used if no noise was measured.
        outputs: Number of compared outputs.
    """
    if noise is None:
        return max(band, LEAST_ROUNDED) if rounds_activations(then, now) else band
    if SERVER in dict(then):
        return max(LEAST_SERVED, TIMES_NOISE * noise) * (1 if same_numerics(then, now) else ELSEWHERE)
    least = LEAST_ROUNDED if rounds_activations(then, now) else LEAST_READ
    times = TIMES_NOISE * math.sqrt(1 + FEW_OUTPUTS / outputs)
    return max(least, times * noise) * (1 if same_device(then, now) else OTHER_DEVICE)
