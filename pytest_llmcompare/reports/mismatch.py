"""Explanations of failed assertions on `llm_output`: how the output differs from the other text. Pure.

Model output is escaped, because the explanation is shown in terminals and CI logs.
"""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Set
from typing import NamedTuple

from pytest_llmcompare.generation import Generation, first_difference
from pytest_llmcompare.records import Case
from pytest_llmcompare.text import cut, disarm, escape, quoted

from .text_diff import differing_pair, single

OUTPUT, EXPECTED = "  output    ", "  expected  "

SHOWN = 40  # columns of a text in the first line
WORD = 30  # columns of a piece of text in a hint
MOST_WORDS = 5  # words named
AROUND = 30  # characters shown around a place in the output

NO_TARGET = "None is not a text. llm_case.target is None in a row without a target."
GAPS = {" ": "a blank", "\n": "a line break", "\t": "a tab", "\r\n": "a line break (CRLF)"}


INSTEAD: Mapping[type, str] = {
    bool: "compare with a text, such as {0!r}",
    int: "compare llm_output.strip() with {0!r}, or int(llm_output)",
    float: "compare llm_output.strip() with {0!r}, or float(llm_output)",
    bytes: "write it as a str, without the b",
    re.Pattern: "write re.search(pattern, llm_output)",
    Mapping: "compare json.loads(llm_output)",
    list: "for one of several texts write `in`; to read JSON, json.loads(llm_output)",
    tuple: "for one of several texts write `in`",
    Set: "for one of several texts write `in`",
}
"""Advice for comparing an output with an object that no text equals; the first type that fits counts."""


class Alike(NamedTuple):
    """A way in which two texts can be equal although their characters are not.

    Attributes:
        normal: Normalises a text for the comparison.
        what: A sentence on the difference.
        advice: The expression to compare instead of `llm_output`.
    """

    normal: Callable[[str], str]
    what: str
    advice: str


def _words_alone(text: str) -> str:
    return " ".join(text.split())


ALIKE = (
    Alike(str.strip, "only the white space around it differs", "llm_output.strip()"),
    Alike(_words_alone, "only its white space differs", '" ".join(llm_output.split())'),
    Alike(
        lambda text: unicodedata.normalize("NFKC", _words_alone(text)),
        "they look alike, but are written with other Unicode characters",
        'unicodedata.normalize("NFKC", llm_output)',
    ),
    Alike(
        lambda text: _words_alone(text).casefold(),
        "upper and lower case differ",
        "llm_output.strip().lower() with it in lower case",
    ),
)
"""The first one that makes two texts equal is named."""


def mismatch_lines(op: str, left: object, right: object) -> list[str] | None:
    """Explain a failed comparison; the first line is the comparison itself. None leaves it to pytest.

    Args:
        op: The operator: `==`, `in`, ...
        left: Its left operand.
        right: Its right operand.
    """
    lines = list(_explained(op, left, right))
    return [f"{_shown(left)} {op} {_shown(right)}", *lines] if lines else None


def _explained(op: str, left: object, right: object) -> Iterator[str]:
    """Yield the lines below the comparison; none if it does not involve an output."""
    if op == "==" and isinstance(left, Generation):
        yield from _unequal(left, right)
    elif op == "==" and isinstance(right, Generation):
        yield from _unequal(right, left)
    elif op == "is" and (isinstance(left, Generation) or isinstance(right, Generation)):
        yield "`is` asks whether both are one object, which no two texts are; write `==`"
    elif op == "in" and isinstance(left, str) and isinstance(right, Generation):
        yield from _lacking(left, right)
    elif op == "not in" and isinstance(left, str) and isinstance(right, Generation):
        yield from _contained(left, right)
    elif op == "in" and isinstance(left, Generation) and isinstance(right, (list, tuple, Set, Mapping)):
        yield from _not_one_of(left, [text for text in right if isinstance(text, str)])


def _unequal(output: Generation, other: object) -> Iterator[str]:
    """`llm_output == other`."""
    if isinstance(other, Generation) and output.text == other.text:
        parts = [name for name in ("token_ids", "logprobs", "stop", "environment") if _differ(output, other, name)]
        yield f"the texts are equal; {', '.join(parts)} differ. To compare the texts: .text"
    elif isinstance(other, str):
        yield _text_hint(output, str(other))
        yield from _both(output.text, str(other))
    elif advice := _type_advice(output, other):
        yield advice
        yield from single(OUTPUT, output.text)


def _differ(one: Generation, other: Generation, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _text_hint(output: Generation, expected: str) -> str:
    """Describe how an output differs from a text, and what to compare instead if that is probably meant."""
    text, bare, wanted = output.text, output.strip(), expected.strip()
    if not text:
        return "the output is empty"
    if bare == wanted:
        return f"{_ends(text, expected)}; compare llm_output.strip(){'' if expected == wanted else ' with the other'}"
    if way := next((way for way in ALIKE if way.normal(text) == way.normal(expected)), None):
        return f"{way.what}; compare {way.advice}"
    return _part_hint(bare, wanted, output.stop) or _parting(text, expected)


def _part_hint(bare: str, wanted: str, stop: str) -> str:
    """Describe how one text is a part of the other; empty if neither is."""
    if not wanted:
        return "the expected text is empty"
    if bare.startswith(wanted):
        return f"the output goes on after the expected text: {quoted(bare[len(wanted) :], WORD)}; `in` would hold"
    if wanted in bare:
        return "the expected text is in the output, with more around it; `in` would hold"
    if wanted.startswith(bare):
        cut_off = " (cut off at max_new_tokens)" if stop == "length" else ""
        return f"the output ends early{cut_off}; missing: {quoted(wanted[len(bare) :], WORD)}"
    return ""


def _ends(text: str, expected: str) -> str:
    """Describe how the white space around two texts differs."""
    start, other_start = (side[: len(side) - len(side.lstrip())] for side in (text, expected))
    end, other_end = (side[len(side.rstrip()) :] if side.strip() else "" for side in (text, expected))
    differences = []
    for verb, own, other in (("begins", start, other_start), ("ends", end, other_end)):
        if own and own != other:
            instead = f"with {_gap(other)}" if other else "does not"
            differences.append(f"the output {verb} with {_gap(own)}, the expected text {instead}")
        elif own != other:
            differences.append(f"the expected text {verb} with {_gap(other)}, the output does not")
    return "; ".join(differences)


def _gap(white: str) -> str:
    """Name white space."""
    return GAPS.get(white) or quoted(white, WORD)


def _parting(text: str, expected: str) -> str:
    """Describe the first words in which two texts differ, not counting white space at their beginnings."""
    bare, wanted = text.strip(), expected.strip()
    at = first_difference(bare, wanted) or 0
    start = max(bare.rfind(" ", 0, at), bare.rfind("\n", 0, at)) + 1
    word, expected_word = (re.match(r"\S*", side[start:]) for side in (bare, wanted))
    assert word is not None and expected_word is not None  # noqa: PT018  # an empty match is one
    where = text.find(bare) + at + 1
    return f"they part at character {where}: {quoted(word[0], WORD)} instead of {quoted(expected_word[0], WORD)}"


def _both(text: str, expected: str) -> Iterator[str]:
    """Yield both texts, or the first lines that differ."""
    ours, theirs = expected.split("\n"), text.split("\n")
    at = first_difference(ours, theirs) or 0
    if len(ours) > 1 or len(theirs) > 1:
        yield f"  line {at + 1} of the output's {len(theirs)} and the expected text's {len(ours)}:"
    wanted, own = differing_pair(*(lines[at] if at < len(lines) else "" for lines in (ours, theirs)))
    yield OUTPUT + (own or ("(an empty line)" if at < len(theirs) and text else "(no text)"))
    yield EXPECTED + (wanted or ("(an empty line)" if at < len(ours) and expected else "(no text)"))


def _type_advice(output: Generation, other: object) -> str:
    """Advise what to write if the other side is not a text; empty for objects that can have an `==` of their own."""
    if other is None:
        return NO_TARGET
    if isinstance(other, Case):
        return "llm_case is the whole row; compare with llm_case.target"
    if isinstance(other, (list, tuple, Set)) and any(output.strip() == text for text in other):
        return f"{_kinds(other)}; write llm_output.strip() in {type(other).__name__}"
    if advice := next((advice for kind, advice in INSTEAD.items() if isinstance(other, kind)), ""):
        return f"{_kinds(other)}; {advice.format(str(other), type(other).__name__)}"
    return ""


def _kinds(other: object) -> str:
    return f"llm_output is text (str), the other is {type(other).__name__}"


def _lacking(text: str, output: Generation) -> Iterator[str]:
    """`text in llm_output`."""
    way = next((way for way in ALIKE if way.normal(text) in way.normal(output.text)), None)
    if not output.text:
        yield "the output is empty"
    elif way is ALIKE[0]:
        yield f"it is in the output without the white space around it: {quoted(text.strip(), WORD)}"
    elif way is ALIKE[3]:
        yield f"upper and lower case differ; look for {quoted(text.lower(), WORD)} in llm_output.lower()"
    elif way:
        yield f"{way.what}; look in {way.advice}"
    elif words := _missing_words(text, output.text):
        yield f"not in the output: {', '.join(words)}"
    else:
        yield "its words are in the output, but not in a row"
    yield from single(OUTPUT, output.text) if output.text else ()


def _missing_words(text: str, output: str) -> list[str]:
    """Words of a text that an output lacks."""
    words = dict.fromkeys(word for word in text.split() or [text] if word not in output)
    return [quoted(word, WORD) for word in [*words][:MOST_WORDS]] + (["..."] if len(words) > MOST_WORDS else [])


def _contained(text: str, output: Generation) -> Iterator[str]:
    """`text not in llm_output`."""
    at = output.text.find(text)
    before, after = output.text[max(at - AROUND, 0) : at], output.text[at + len(text) :][:AROUND]
    yield f"it is at character {at + 1} of the output"
    yield OUTPUT + escape(f"{'…' if at > AROUND else ''}{before}{cut(text, 2 * AROUND)}{after}")


def _not_one_of(output: Generation, texts: list[str]) -> Iterator[str]:
    """`llm_output in texts`."""
    ways = ((way, text) for way in ALIKE for text in texts if way.normal(text) == way.normal(output.text))
    way, text = next(ways, (None, ""))
    if way:
        what = _ends(output.text, text) if way is ALIKE[0] else f"nearest is {quoted(text, WORD)}: {way.what}"
        yield f"{what}; look for {way.advice}"
    elif inside := next((text for text in texts if text and text in output.text), None):
        yield f"{quoted(inside, WORD)} is in the output, with more around it; any(text in llm_output for text in ...)"
    else:
        yield "the output is not one of them"
    yield from single(OUTPUT, output.text)


def _shown(value: object) -> str:
    """An operand of the comparison, cut to a part of a line."""
    return quoted(str(value), SHOWN) if isinstance(value, str) else cut(disarm(reprlib.repr(value)), SHOWN)
