"""Torch may be set to round float32 while it multiplies, in an old and a new way that do not mix well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from pytest_llmcompare.decoding.numerics import torch_switches
from pytest_llmcompare.models.device import highest_matmul_precision, matmul_precision
from pytest_llmcompare.models.machine import TORCH_DEFAULTS

backends: Any = torch.backends


def legacy(word: str) -> Callable[[], None]:
    return lambda: torch.set_float32_matmul_precision(word)


def of_all(word: str) -> Callable[[], None]:
    return lambda: setattr(backends, "fp32_precision", word)


def of_onednn(word: str) -> Callable[[], None]:
    return lambda: setattr(backends.mkldnn.matmul, "fp32_precision", word)


LOWERED = {
    "high": legacy("high"),
    "medium": legacy("medium"),
    "tf32/tf32": of_all("tf32"),
    "bf16/none": of_onednn("bf16"),
}


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Nothing set, as in a new process; other tests may have left `ieee`."""
    reset()
    yield
    reset()


def reset() -> None:
    torch.set_float32_matmul_precision("highest")
    backends.fp32_precision = backends.mkldnn.matmul.fp32_precision = backends.cuda.matmul.fp32_precision = "none"


@pytest.mark.parametrize(("word", "lower"), LOWERED.items(), ids=LOWERED)
def test_a_pass_in_full_precision_leaves_the_switches_as_they_were(word: str, lower: Callable[[], None]) -> None:
    lower()
    before = torch_switches()
    assert matmul_precision() == word
    with highest_matmul_precision():
        assert matmul_precision() == "highest"
    assert torch_switches() == before != TORCH_DEFAULTS


def test_nothing_is_touched_where_nothing_is_lowered() -> None:
    with highest_matmul_precision():
        assert backends.mkldnn.matmul.fp32_precision == "none"


@pytest.mark.parametrize("lower", LOWERED.values(), ids=LOWERED)
def test_a_precision_that_was_lowered_for_a_while_changes_no_answer(lower: Callable[[], None]) -> None:
    """Kept answers are those of this process again; torch itself shows `ieee` from then on instead of `none`."""
    lower()
    backends.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    assert {**TORCH_DEFAULTS, **torch_switches()} == TORCH_DEFAULTS
