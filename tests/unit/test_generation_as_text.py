"""An output is a text: whatever takes a `str` takes it, and equality means what it says on both sides."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey
from pytest_llmcompare.serialization import from_json, to_json

PARIS = Generation(" Paris, 42", (1, 2), (-0.1, -0.2), stop="eos", environment=(("device", "cpu"),))

AS_ON_TEXT: dict[str, Callable[[Any], Any]] = {
    "in": lambda text: ("Paris" in text, "Rome" in text),
    "len": len,
    "bool": bool,
    "str": str,
    "format": lambda text: (f"{text}", f"{text:>20}", "%s" % text, "{!s}".format(text)),  # noqa: UP031, UP032
    "add": lambda text: ("<" + text + ">", text * 2, "".join([text, text])),
    "slice": lambda text: (text[0], text[-2:], text[::2]),
    "iterate": list,
    "order": lambda text: (text > "a", text < "a", sorted(["b", text, "a"])),
    "strip": lambda text: (text.strip(), text.lower(), text.split(), text.startswith(" P"), text.find("42")),
    "re": lambda text: (re.findall(r"\d+", text), re.sub("P", "M", text)),
    "int": lambda text: int(text[-2:]),
    "encode": lambda text: text.encode(),
    "hash": lambda text: {text: 1}[" Paris, 42"],
    "set": lambda text: len({text, " Paris, 42"}),
}


@pytest.mark.parametrize("what", AS_ON_TEXT)
def test_as_on_its_text(what: str) -> None:
    """What is done with it gives what it gives with the text."""
    assert AS_ON_TEXT[what](PARIS) == AS_ON_TEXT[what](" Paris, 42")


def test_json_is_read_from_it() -> None:
    """A model that answers in JSON needs no `str()`."""
    assert json.loads(Generation('{"city": "Paris"}')) == {"city": "Paris"}


@pytest.mark.parametrize("text", ["", " ", "Paris", "\n", "\ud800"])
def test_equal_to_its_text_alone(text: str) -> None:
    """To the character, in both directions; `!=` is the opposite of `==`."""
    output = Generation(text, (1,))
    for one, other in ((output, text), (text, output)):
        assert one == other
        assert not one != other  # noqa: SIM202
    for different in (f"{text}.", None, 1, [text]):
        assert output != different
        assert different != output
        assert not output == different  # noqa: SIM201
    assert bool(output) is bool(text)


def test_two_outputs_are_equal_with_their_tokens() -> None:
    """Other tokens, log-probabilities or another stop are another output, although both equal the text."""
    for changed in ({"token_ids": (1, 3)}, {"logprobs": None}, {"stop": "length"}, {"environment": ()}):
        other = dataclasses.replace(PARIS, **changed)
        assert other != PARIS
        assert not other == PARIS  # noqa: SIM201
        assert other == " Paris, 42"
    assert dataclasses.replace(PARIS, verified=True, samples=(PARIS,)) == PARIS


@pytest.mark.parametrize(
    "travel",
    [
        copy.copy,
        copy.deepcopy,
        lambda output: pickle.loads(pickle.dumps(output)),
        lambda output: (
            from_json(CaseResult, to_json(CaseResult(CaseKey(GroupKey(".", "t", "m"), "a"), "n", output))).generation
        ),
    ],
    ids=["copy", "deepcopy", "pickle", "wire"],
)
def test_it_travels(travel: Callable[[Generation], Any]) -> None:
    """With all that it knows, an empty text as well."""
    for output in (PARIS, dataclasses.replace(PARIS, text="")):
        arrived = travel(output)
        assert arrived == output
        assert type(arrived) is Generation
        assert str(arrived) == arrived.text == output.text


def test_what_is_made_of_it_is_plain() -> None:
    """A changed text has no tokens any more."""
    for made in (PARIS.strip(), PARIS[:], PARIS + "", str(PARIS), f"{PARIS}", PARIS.text):
        assert type(made) is str
    assert repr(PARIS) == "<generation ' Paris, 42', 2 tokens>"
