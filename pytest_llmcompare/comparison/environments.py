"""Entries of an environment: which of them identify a model, decide its numbers, or only inform people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pytest_llmcompare.generation import Environment

WEIGHTS = "weights"
"""The entry of an environment that identifies the model."""

DEVICE = "device"

SERVER = "server"
"""The entry of an environment that only served models have."""

MATMUL = "matmul"
"""The entry of an environment with torch's precision of multiplying matrices in float32, if it is not the highest."""

QUANTIZATION = "quantization"
"""The entry of an environment with how a model's weights are quantised."""

NUMERICS = (DEVICE, "dtype", "capability", "attention", MATMUL)
"""The entries of a local model's environment that decide how numbers are summed: the kind of device, the number format,
the instruction set of a CPU, and the implementation of attention. Versions of libraries only inform people."""

VERSION = "version"
"""The entry of an environment with the version of a server, which only some servers tell."""

NOISE = "noise"
"""The entry of an environment with the noise that was measured when recording.

Baseline files hold it in a line of its own. Environments that differ only in it count as equal.
"""


def without_noise(environment: Environment) -> Environment:
    """An environment without the noise measured in it, as it identifies the model and its numerics."""
    return tuple(pair for pair in environment if pair[0] != NOISE)


def usual_environment(environments: Iterable[Environment]) -> dict[str, str]:
    """The environment of most outputs, without noise; empty if there is no output."""
    return dict(next(iter(Counter(map(without_noise, environments)).most_common(1)), ((), 0))[0])


def lowers_matmul(environment: Environment) -> bool:
    """True if a float32 checkpoint may be multiplied in a lower precision; others are read in the highest one."""
    facts = dict(environment)
    return MATMUL in facts and facts.get("dtype") == "float32"


def rounds_activations(*environments: Environment) -> bool:
    """True if a model rounds its activations to a few bits, which makes a large step of the smallest difference."""
    return any(dict(environment).get(QUANTIZATION, "").endswith("+activations") for environment in environments)


def numerics(environment: Environment) -> tuple[tuple[str, str], ...]:
    """Entries of an environment that decide how numbers are summed; for a served model, all that its server shows."""
    if SERVER in dict(environment):
        return tuple(pair for pair in environment if pair[0] not in (WEIGHTS, NOISE))
    return tuple(pair for pair in environment if pair[0] in NUMERICS)


def same_numerics(one: Environment, other: Environment) -> bool:
    """True if no entry says that numbers are summed in another order; an entry that one of them lacks counts as equal.

    For a served model only a missing version counts as equal.
    """
    facts, others = dict(numerics(one)), dict(numerics(other))
    if SERVER not in facts and SERVER not in others:
        return all(others.get(name, value) == value for name, value in facts.items())
    if VERSION not in facts or VERSION not in others:
        facts.pop(VERSION, None)
        others.pop(VERSION, None)
    return facts == others


def same_device(one: Environment, other: Environment) -> bool:
    """True if two environments are not known to have different kinds of devices: CPU and GPU, or two kinds of GPU."""
    kinds = {str(facts[DEVICE]).partition(":")[0] for facts in (dict(one), dict(other)) if DEVICE in facts}
    return len(kinds) < 2
