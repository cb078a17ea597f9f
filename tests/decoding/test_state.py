"""Every call of a model starts from the state of one that was just loaded, whatever the model keeps in itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pytest_llmcompare.decoding.module_state import fresh


class Keeper(nn.Module):
    """Keeps state in every way that a module can."""

    def __init__(self, config: object = None) -> None:
        super().__init__()
        self.config = config
        self.scale = nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(2))
        self.seen: Tensor
        self.inner: nn.Module = nn.Identity()
        self.last: Tensor | None = None
        self.most = 0
        self.texts: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        """The input, and what earlier calls left."""
        found = x * self.scale + self.seen + self.most + len(self.texts) + (0 if self.last is None else self.last)
        if hasattr(self, "late"):
            found = found + 1
        self.seen.add_(1)
        self.last, self.most, self.late = x, self.most + 1, True
        self.texts.append(1)
        self.inner = nn.ReLU()
        return found


class Converting(Keeper):
    """Converts its parameters at the first call, for good, as RWKV does."""

    converted = False

    def forward(self, x: Tensor) -> Tensor:
        """The input, scaled."""
        if not self.converted:
            with torch.no_grad():
                self.scale.div_(2)
            self.converted = True
        return x * self.scale


def called(model: Any, times: int = 3) -> list[list[float]]:
    """What a model gives to the same input, several times."""
    found = []
    for _ in range(times):
        with fresh(model), torch.no_grad():
            found.append(model(torch.ones(2)).tolist())
    return found


def test_what_a_call_leaves_is_gone_before_the_next() -> None:
    """Tensors, numbers, lists, buffers changed in place, replaced modules and new attributes are put back."""
    assert called(Keeper()) == [[1.0, 1.0]] * 3


def test_a_call_that_fails_leaves_nothing_either() -> None:
    """An exception in the middle doesn't keep the state from being put back."""
    model = Keeper()
    try:
        with fresh(model):
            model(torch.ones(2))
            raise RuntimeError("in the middle")
    except RuntimeError:
        assert model.most == 0


def test_tensors_that_others_left_are_forgotten() -> None:
    """An attribute that a new model has empty is emptied, whoever filled it."""
    model = Keeper()
    model.last = torch.ones(2) * 5
    assert called(model) == [[1.0, 1.0]] * 3


def test_conversion_of_parameters_stays() -> None:
    """A call that changed parameters has noted so in the model; forgetting that would make it change them again."""
    assert called(Converting()) == [[0.5, 0.5]] * 3


def test_what_the_user_changes_between_calls_stays() -> None:
    """Only what a call changes is put back, not what someone changes on purpose."""
    model = Keeper()
    called(model)
    model.most = 10
    assert called(model, 1) == [[11.0, 11.0]]
