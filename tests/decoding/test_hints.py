"""A pyfunc takes drafts as a hint of its process: they save time, travel nowhere, and decide nothing."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_llmcompare.decoding.drafts import draft_of
from pytest_llmcompare.decoding.engine import Outcome
from pytest_llmcompare.decoding.request import PredictOptions, predict_options
from pytest_llmcompare.evaluation.pyfunc import PyfuncTransformer
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models import in_memory

from .small_models import reference

EXAMPLES = "Q: What color is the grass?\nA: Green.\n\nQ: What color is snow?\nA: White.\n\n"
QUESTIONS = [f"Q: What color is {thing}?\nA:" for thing in ("coal", "the sun", "a frog")]


@pytest.fixture
def pyfunc(example_models: Path) -> Iterator[PyfuncTransformer]:
    """A trained model."""
    yield PyfuncTransformer(str(example_models / "tiny-gpt2"), {"max_new_tokens": 8}, EXAMPLES, device="cpu")
    in_memory.release()


def outcomes(
    pyfunc: PyfuncTransformer, drafts: dict[int, tuple[int, ...]], *, shortcuts: bool = True
) -> dict[int, Generation]:
    """What an observer hears of each row."""
    heard: dict[int, Outcome] = {}
    with predict_options(PredictOptions(pyfunc, heard.__setitem__, drafts, shortcuts)):
        texts = pyfunc.predict(None, QUESTIONS)
    assert texts == [str(heard[place]) for place in range(len(QUESTIONS))]
    return {place: found for place, found in heard.items() if isinstance(found, Generation)}


def test_drafts_are_confirmed_and_change_nothing(pyfunc: PyfuncTransformer) -> None:
    """Rows with a right, a wrong and no draft are those without any, and say what became of their draft."""
    plain = outcomes(pyfunc, {})
    right = plain[0].token_ids or ()
    found = outcomes(pyfunc, {0: right, 1: (*(plain[1].token_ids or ())[:2], 9)})
    assert found == plain
    assert [found[place].verified for place in range(3)] == [True, False, False]
    assert [found[place].unverified for place in range(3)] == ["", "the model chooses another token at token 3", ""]


def test_drafts_are_not_used_without_shortcuts(pyfunc: PyfuncTransformer) -> None:
    """Plain decoding tells nothing of drafts, and gives the same."""
    plain = outcomes(pyfunc, {})
    found = outcomes(pyfunc, {0: plain[0].token_ids or ()}, shortcuts=False)
    assert (found, found[0].verified, found[0].unverified) == (plain, False, "")


def test_hints_are_for_one_pyfunc_and_one_block(pyfunc: PyfuncTransformer) -> None:
    """A pickled copy, another pyfunc and a later call know neither drafts nor observers."""
    heard: dict[int, Outcome] = {}
    with predict_options(PredictOptions(pyfunc, heard.__setitem__, {0: (1, 2)})):
        copy = pickle.loads(pickle.dumps(pyfunc))
        expected = copy.predict(None, QUESTIONS)
        assert heard == {}
    assert pyfunc.predict(None, QUESTIONS) == expected
    assert heard == {}


def test_an_observer_that_raises_ends_the_call(pyfunc: PyfuncTransformer) -> None:
    """Ctrl-C in the middle: the model is held no longer, not even by another thread."""

    def interrupt(index: int, outcome: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), predict_options(PredictOptions(pyfunc, interrupt)):
        pyfunc.predict(None, QUESTIONS)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_memory.release).result(timeout=30)
    assert len(pyfunc.predict(None, QUESTIONS)) == len(QUESTIONS)


def test_draft_is_made_from_the_text_where_tokens_are_not_known() -> None:
    """The tokenizer's tokens, without special ones in front, and with the one that ended the output.

    So too where the tokens that are known are another tokenizer's, and mean another text.
    """
    local = reference("gpt2").local
    assert draft_of(local, Generation(local.decode([7, 8]), (7, 8))) == (7, 8)
    assert draft_of(local, Generation("ab", (7, 8))) == tuple(local.encode("ab"))
    assert draft_of(local, Generation("ab", stop="length")) == (*local.encode("a"), *local.encode("b"))
    assert draft_of(local, Generation("ab", stop="eos")) == (*local.encode("ab"), 257)
    assert draft_of(local, Generation("", stop="length")) == ()
