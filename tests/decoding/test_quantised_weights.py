"""Models all of whose weights are quantised, so that transformers knows no number format of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from pytest_llmcompare.comparison.judge import judge
from pytest_llmcompare.comparison.model_verdict import Movement, judge_model
from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.failures import EngineWarning
from pytest_llmcompare.decoding.float32_trial import why_not_in_float32
from pytest_llmcompare.decoding.measure_noise import measure_noise
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Finding
from pytest_llmcompare.models.load import LocalModel
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row

from .small_models import PROMPTS, ask, make

PLAIN: dict[str, Any] = {"max_new_tokens": 5}


class Quantised(nn.Module):
    """A module whose weights are integers, each with one scale, and are made anew for each pass."""

    def __init__(self, original: nn.Module, factor: float) -> None:
        super().__init__()
        self.original = [original]  # no part of this module
        self.scales: dict[str, float] = {}
        for name, weight in original.state_dict().items():
            self.scales[name] = factor * (float(weight.abs().max()) / 127)
            integers = (weight.float() * factor / self.scales[name]).round().to(torch.int8)
            self.register_parameter(name, nn.Parameter(integers, requires_grad=False))
        self.format = next(original.parameters()).dtype

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        weights = {name: getattr(self, name).to(self.format) * scale for name, scale in self.scales.items()}
        return torch.func.functional_call(self.original[0], weights, args, kwargs)


def quantised(dtype: torch.dtype, factor: float = 1.0) -> LocalModel:
    """A small llama that computes in a number format."""
    local = make("llama")
    local.model.to(dtype)
    local.model.config.dtype = dtype
    for name, part in list(local.model.named_modules()):
        if not list(part.children()) and list(part.parameters()):
            parent, _, last = name.rpartition(".")
            setattr(local.model.get_submodule(parent), last, Quantised(part, factor))
    with pytest.raises(StopIteration):
        _ = local.model.dtype
    return local


def finding(recorded: list[Generation], local: LocalModel) -> Finding:
    """The verdict on a model by outputs, read along them."""
    movements = []
    key = CaseKey(GroupKey(".", "t", "m"), "1")
    for request, then in zip(ask(PLAIN, PROMPTS), recorded, strict=True):
        (now,) = generate(local, [replace(request, draft=then.token_ids)], read=True)
        assert isinstance(now, Generation)
        case = Case(key, Row("1", str(request.prompt)), "", request.gen_config, seed=0)
        judged = judge(case, Baseline(key.row, then, case.input_hash, case.settings_hash), now)
        movements.append(Movement(then.environment, judged.likelihood))
    verdict = judge_model(movements, recorded[0].environment)
    assert verdict is not None
    return verdict.finding


def outputs_of(local: LocalModel) -> list[Generation]:
    """Outputs, read along themselves."""
    return [one for one in generate(local, ask(PLAIN, PROMPTS), read=True) if isinstance(one, Generation)]


def test_in_full_precision_it_is_judged() -> None:
    """It is read, its noise is known, and scales that change by a thousandth are seen."""
    local = quantised(torch.float32)
    recorded = outputs_of(local)
    assert dict(recorded[0].environment)["dtype"] == "float32"
    noise = measure_noise(local, list(zip(ask(PLAIN, PROMPTS), recorded, strict=True)))
    assert 0 < (noise or 0) < 1e-5
    assert finding(recorded, local) is Finding.UNCHANGED
    assert finding(recorded, quantised(torch.float32, factor=1.001)) is Finding.CHANGED


def test_in_low_precision_nothing_can_be_told() -> None:
    """It cannot be read in float32, so that rounding could hide a change; it answers all the same."""
    local = quantised(torch.bfloat16)
    assert "is quantised" in why_not_in_float32(local)
    recorded = outputs_of(local)
    assert dict(recorded[0].environment)["dtype"] == "bfloat16"
    assert [one.as_read for one in recorded] == [None] * len(PROMPTS)
    with pytest.warns(EngineWarning, match="can't be read in float32"):
        assert finding(recorded, local) is Finding.UNKNOWN
