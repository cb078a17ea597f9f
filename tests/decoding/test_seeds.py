"""A draw depends on model, prompt, settings and seed, and on nothing else."""

from __future__ import annotations

import random

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.models.gen_config import complete

from .small_models import PROMPTS, ask, reference

DRAWN = {"max_new_tokens": 4, "do_sample": True, "top_k": 20, "temperature": 1.3}


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(len(PROMPTS))), st.integers(0, 7), st.integers(0, 2**32))
def test_draw_depends_neither_on_order_nor_on_batch_nor_on_the_global_generator(
    order: list[int], rows: int, other: int
) -> None:
    """Any order, batch size and state of torch's generator give the same draws."""
    requests = ask(DRAWN, seed=11)
    expected = generate(reference("gpt2").local, requests)
    torch.manual_seed(other)
    found = generate(reference("gpt2").local, [requests[place] for place in order], batch_size=rows)
    assert found == [expected[place] for place in order]


def test_draws_of_other_seeds_differ() -> None:
    """The seed decides: of some seeds, not all give the same."""
    requests = [Request("x", complete(DRAWN), seed) for seed in range(5)]
    assert len({str(found) for found in generate(reference("gpt2").local, requests)}) > 1


def test_random_numbers_of_others_are_left_alone() -> None:
    """Seeded draws and greedy outputs move neither torch's nor Python's generator."""
    torch.manual_seed(5)
    before, python = torch.get_rng_state(), random.getstate()
    generate(reference("gpt2").local, [*ask(DRAWN, seed=3), *ask({"max_new_tokens": 2})])
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == python


def test_draw_without_a_seed_is_torchs_next() -> None:
    """Without a seed the draws follow torch's generator, as a call of the pipeline does."""
    request = ask(DRAWN, ["hello"])[0]
    torch.manual_seed(21)
    found = [generate(reference("gpt2").local, [request])[0] for _ in range(3)]
    torch.manual_seed(21)
    assert [str(one) for one in found] == [reference("gpt2").by_pipeline(request)[0] for _ in range(3)]
    assert len(set(map(str, found))) > 1


def test_seed_is_of_no_consequence_where_nothing_is_drawn() -> None:
    """Greedy outputs are the same with any seed."""
    local = reference("gpt2").local
    greedy = complete({"max_new_tokens": 3})
    first, second = generate(local, [Request("x", greedy, 1), Request("x", greedy, 2)])
    assert first == second
