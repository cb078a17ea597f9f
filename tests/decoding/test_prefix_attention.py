"""Rows attend to a prefix that is held once: the same logits as with a copy for each row, where a model allows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DiffLlamaConfig, FalconConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pytest_llmcompare.decoding import draft_logits as module
from pytest_llmcompare.decoding import prefix_attention, self_check
from pytest_llmcompare.decoding.buffers import Buffers
from pytest_llmcompare.decoding.draft_logits import draft_logits
from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.prefix_attention import LEAST_SIZE, PrefixError, PrefixLayer, prefix_apart
from pytest_llmcompare.decoding.prefix_cache import SharedPrefix, compute_prefix
from pytest_llmcompare.decoding.self_check import LENGTHS, STEPS, why_no_prefix
from pytest_llmcompare.models.load import LocalModel

from .small_models import CONFIGS, SIZE, Reference, ask, make, reference

SHARED = [(37 * at + 11) % 250 for at in range(20)]
LARGE_KEYS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_head": 2},
    **{name: {"head_dim": 16} for name in ("llama", "mistral", "qwen2", "gemma")},
}
"""Rows are kept apart from a prefix where they are short beside its keys."""
SDPA = ALL_ATTENTION_FUNCTIONS["sdpa"]


@dataclass
class Row:
    """A prompt and a draft."""

    prompt: list[int]
    draft: list[int]


ROWS = [
    Row([*SHARED, 5], [7, 8, 9]),
    Row([*SHARED, 6, 1, 2, 3], [9]),
    Row([*SHARED, 3, 200], [1, 2, 3, 4]),
]


@pytest.fixture
def attended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[PrefixLayer]]:
    """The layers that attend to a prefix apart, as they do."""
    layers: list[PrefixLayer] = []
    attention = prefix_attention.attention

    def noted(layer: PrefixLayer, *tensors: Any, **options: Any) -> Tensor:
        result = attention(layer, *tensors, **options)
        layers.append(layer)
        return result

    monkeypatch.setattr(prefix_attention, "attention", noted)
    yield layers
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is SDPA


def logits(local: LocalModel, prefix: SharedPrefix | None, rows: list[Row] = ROWS) -> list[Tensor]:
    """Logits of the rows' drafts."""
    width = max(len(row.prompt) for row in rows)
    with torch.no_grad():
        return draft_logits(local, rows, prefix, torch.zeros(len(rows), width, dtype=torch.long), {})


def copied(local: LocalModel, monkeypatch: pytest.MonkeyPatch, rows: list[Row] = ROWS) -> list[Tensor]:
    """The same, with a copy of the prefix for each row."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "can_attend_apart", lambda *_: False)
        return logits(local, compute_prefix(local, SHARED), rows)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt2", {}),
        ("llama", {"num_key_value_heads": 4}),
        ("llama", {"num_key_value_heads": 2}),
        ("llama", {"num_key_value_heads": 1}),
        ("mistral", {"sliding_window": 6}),
        ("mistral", {"sliding_window": 22}),
        ("qwen2", {}),
        ("gemma", {}),
    ],
)
def test_logits_are_those_of_whole_rows(
    name: str, changes: dict[str, Any], attended: list[PrefixLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rows of several lengths, with few key heads and with many, and where a window ends within the prefix."""
    local = make(name, **(LARGE_KEYS[name] | changes))
    apart = logits(local, compute_prefix(local, SHARED))
    assert len(attended) == 2
    for one, whole, plain in zip(apart, copied(local, monkeypatch), logits(local, None), strict=True):
        torch.testing.assert_close(one, whole, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one, plain, rtol=1e-4, atol=1e-5)
    assert len(attended) == 2


@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral"])
def test_drafts_are_verified_so(name: str, attended: list[PrefixLayer]) -> None:
    """And outputs stay those of plain `generate`."""
    asked = Reference(make(name, **LARGE_KEYS[name]))
    local = asked.local
    requests = ask({"max_new_tokens": 3}, [f"one two three four five six seven {own}" for own in ("a", "b", "cd")])
    expected = [asked.answer(one) for one in requests]
    drafts = [replace(one, draft=answer.tokens) for one, answer in zip(requests, expected, strict=True)]
    assert [outcome.token_ids for outcome in generate(local, drafts)] == [one.tokens for one in expected]  # type: ignore[union-attr]
    assert attended


@pytest.mark.parametrize("change", ["eager", "small keys", "long rows", "half precision"])
def test_rows_have_copies_otherwise(change: str, attended: list[PrefixLayer], monkeypatch: pytest.MonkeyPatch) -> None:
    """With another attention, with small keys or rows that are long beside them, and in low precision."""
    changes: dict[str, dict[str, Any]] = {"eager": {"attn_implementation": "eager"}, "small keys": {"n_head": 4}}
    local = make("gpt2", **(LARGE_KEYS["gpt2"] | changes.get(change, {})))
    if change == "half precision":
        local.model.to(torch.bfloat16)
    rows = [Row([*SHARED, 5], [3] * 17)] if change == "long rows" else ROWS
    after_prefix = logits(local, compute_prefix(local, SHARED), rows)
    assert not attended
    for one, whole in zip(after_prefix, copied(local, monkeypatch, rows), strict=True):
        assert torch.equal(one, whole)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        # Its values are split and put together in another way before they are summed up.
        (DiffLlamaConfig, {**SIZE, "head_dim": 16}),
        # It asks torch without the registry.
        (FalconConfig, {"vocab_size": SIZE["vocab_size"], "hidden_size": 64, "num_hidden_layers": 2}),
    ],
)
def test_a_model_with_an_attention_of_its_own(
    kind: Any, facts: dict[str, Any], attended: list[PrefixLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noticed, by the model's class or by its scores, and still shares prefixes, with copies."""
    monkeypatch.setitem(CONFIGS, "own", (kind.__name__, {**facts, "num_attention_heads": 4}))
    local = make("own")
    assert not why_no_prefix(local, for_writing=False)
    attended.clear()
    after_prefix = logits(local, compute_prefix(local, SHARED))
    assert not attended
    for one, plain in zip(after_prefix, logits(local, None), strict=True):
        torch.testing.assert_close(one, plain, rtol=1e-4, atol=1e-5)


def test_the_rows_of_the_self_check_are_short_enough() -> None:
    """Otherwise rows would be kept apart that it has tried with copies alone."""
    assert LENGTHS[1] - self_check.SHARED + STEPS <= LEAST_SIZE


def test_a_layer_that_does_not_attend() -> None:
    """It is noticed at the end of a pass, and at the next keys of the layer."""
    prefix = compute_prefix(reference("gpt2").local, SHARED)
    assert prefix
    own = torch.zeros(1, 4, 1, 8)
    with pytest.raises(PrefixError, match="has not attended"), prefix_apart(prefix.layers, prefix.buffers) as cache:
        cache.update(own, own, 0)
    layer = PrefixLayer(*prefix.layers[0], prefix.buffers)
    layer.update(own, own)
    with pytest.raises(PrefixError, match="twice"):
        layer.update(own, own)


def test_the_registry_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pass, after one that raised, and where somebody else's attention stands there."""

    def other(*tensors: Any, **options: Any) -> Any:
        return SDPA(*tensors, **options)

    with pytest.raises(KeyError), prefix_apart([], Buffers()):
        raise KeyError
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is SDPA
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", other)
    with prefix_apart([], Buffers()):
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is not other
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is other
