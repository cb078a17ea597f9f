"""Memory that is used again once nobody holds it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pytest_llmcompare.decoding.buffers import Buffers

LIKE = torch.zeros(1)


def test_memory_is_used_again_once_it_is_free() -> None:
    """Of a shape as large, of a smaller one, and of one that is a little larger."""
    buffers = Buffers()
    tensor = buffers.take((4, 10), LIKE)
    place = tensor.data_ptr()
    for shape in ((4, 10), (2, 3), (5, 9)):
        del tensor
        tensor = buffers.take(shape, LIKE)
        assert (tensor.data_ptr(), tuple(tensor.shape)) == (place, shape)


def test_what_is_held_stays_as_it_is() -> None:
    """A model may keep the keys of one layer for another."""
    buffers = Buffers()
    kept = [buffers.take((3,), LIKE).fill_(number) for number in range(4)]
    buffers.clear()
    buffers.take((3,), LIKE).fill_(9)
    assert [tensor.tolist() for tensor in kept] == [[float(number)] * 3 for number in range(4)]


@pytest.mark.parametrize(
    "view", [lambda one: one.transpose(0, 1), lambda one: one[1:], lambda one: one.expand(2, 3, 4)]
)
def test_a_view_keeps_it(view: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """An attention may turn its keys round, and drop the tensor that it got."""
    buffers = Buffers()
    kept = view(buffers.take((3, 4), LIKE).fill_(1))
    buffers.take((3, 4), LIKE).fill_(9)
    assert bool((kept == 1).all())


def test_without_torchs_count_nothing_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that doesn't tell costs time alone."""
    monkeypatch.delattr(torch._C, "_storage_Use_Count")
    buffers = Buffers()
    view = buffers.take((3,), LIKE).fill_(1)[1:]
    buffers.take((3,), LIKE).fill_(9)
    assert view.tolist() == [1, 1]


def test_another_dtype_has_memory_of_its_own() -> None:
    """The dtype is that of the example."""
    buffers = Buffers()
    assert buffers.take((2,), LIKE).dtype == torch.float32
    assert buffers.take((2,), LIKE.to(torch.bfloat16)).dtype == torch.bfloat16
