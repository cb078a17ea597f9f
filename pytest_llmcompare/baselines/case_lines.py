"""The lines of one case: name, prompt, facts and text.

case sky_color @greedy
# Q: What color is the sky? …
.input 3f1c9a2e  .settings 7d21a0c4  .env e1  .stop length  .tokens 10
| Blue.
|
|Q: What color is the grass?

The line with the prompt is a comment for reviewers. It is above the facts, which touch the text, so that git takes
changes of facts on one branch and of the text on another for a conflict.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from pytest_llmcompare.errors import did_you_mean
from pytest_llmcompare.records import Baseline, RowKey
from pytest_llmcompare.text import escape, width

from .document import CaseRecord, LineFault
from .escapes import escape_line_end, escape_name, escape_word, unescape

WIDE = 100  # columns; longer lines of text are split after sentences
PROMPT_WIDTH = 80  # columns of a prompt's first line
MARKER_BAR = "|" * 7
"""Start of git's diff3 marker. Lines of text start with a bar, too, so one that goes on with six more is escaped."""

_SENTENCE = re.compile(r"""(?:(?<=\w\w[.!?…])|(?<=\w[.!?…]["'”’)]))(?= \S)|(?<=[。！？])(?=\S)""")
_LINES = re.compile(r"([^\n]+)\n((?:[.#][^\n]*\n)*)(\|[^\n]*(?:\n[|~][^\n]*)*)\n*")
_BLANK = re.compile(r"\n+")
_FACTS = {"input", "settings", "env", "stop", "tokens", "prompt"}
_KNOWN = frozenset(f".{fact}" for fact in _FACTS)


def record_of(baseline: Baseline, environment: str) -> CaseRecord:
    """The record of a baseline in a file that calls its environment by this name."""
    generation = baseline.generation
    tokens = None if generation.token_ids is None else len(generation.token_ids)
    return written(
        CaseRecord(
            baseline.row,
            generation.text,
            generation.stop,
            environment,
            baseline.input_hash,
            baseline.settings_hash,
            tokens,
            "",
            prompt=generation.prompt_shown,
            comment=first_line(baseline.input),
        )
    )


def first_line(prompt: str) -> str:
    """The first line of a prompt, escaped and cut to 80 columns; cutting the result again changes nothing."""
    first, *more = prompt.strip().splitlines() or [""]
    first = first.rstrip()
    if not more and len(first) <= PROMPT_WIDTH and width(escape(first)) <= PROMPT_WIDTH:
        return escape(first)
    lengths = range(min(len(first), PROMPT_WIDTH - 2) + 1)  # room for the mark
    fits = bisect_right(lengths, PROMPT_WIDTH - 2, key=lambda length: width(escape(first[:length]))) - 1
    return escape(first[:fits]).rstrip() + ("…" if fits < len(first) else " …")


def written(record: CaseRecord) -> CaseRecord:
    """The record with its lines rewritten from its fields."""
    name = escape_name(record.row.prompt_id)
    if record.row.variant:
        name += f" @{escape_name(record.row.variant)}"
    facts = (
        ("input", record.input_hash),
        ("settings", record.settings_hash),
        ("env", record.environment),
        ("stop", record.stop),
        ("tokens", "" if record.tokens is None else str(record.tokens)),
        ("prompt", record.prompt),  # only of served models
    )
    lines = (
        f"case {name}",
        record.comment and f"# {record.comment}",
        "  ".join([f".{fact} {escape_word(value)}" for fact, value in facts if value]),
    )
    return record._replace(lines="\n".join([*filter(None, lines), *text_lines(record.text)]))


def text_lines(text: str) -> list[str]:
    """The lines of a text: `|` starts one, `~` continues the one before.

    Lines are split by sentences, so that a changed word changes one line.
    """
    lines = []
    for line in text.split("\n"):
        first, *more = [line] if len(line) <= WIDE else _SENTENCE.split(line)
        first = "|" + escape_line_end(first)
        lines.append(f"|\\{first[1:]}" if first.startswith(MARKER_BAR) else first)
        lines += ["~" + escape_line_end(part) for part in more]
    return lines


def read_record(block: str, number: int) -> CaseRecord:
    """Parse a case from its lines, without the word `case`.

    Raises:
        LineFault: A line cannot be parsed.
    """
    try:
        return _read(block, number)
    except ValueError:
        raise _fault(block, number) from None


def _read(block: str, number: int) -> CaseRecord:
    match = _LINES.fullmatch(block) or _LINES.fullmatch(_BLANK.sub("\n", block))
    if match is None or "\n" + MARKER_BAR in block:
        raise ValueError
    above = match[2].split("\n")
    facts = _facts(" ".join([line for line in above if line.startswith(".")]))
    body: str = match[3]
    return CaseRecord(
        _read_name(match[1]),
        unescape(body[1:].replace("\n~", "").replace("\n|", "\n")),
        unescape(facts.get(".stop", "")),
        facts.get(".env", ""),
        unescape(facts.get(".input", "")),
        unescape(facts.get(".settings", "")),
        int(facts[".tokens"]) if ".tokens" in facts else None,
        f"case {match[0].rstrip()}",
        number,
        unescape(facts.get(".prompt", "")),
        next((line[1:].strip() for line in above if line.startswith("#")), ""),
    )


def prompt_of(comment: str) -> str:
    """The first line of a prompt, as its comment shows it; a comment that a person wrote is returned unchanged."""
    try:
        return unescape(comment)
    except ValueError:
        return comment


def _read_name(line: str) -> RowKey:
    """Parse the name of a case after the word `case`.

    Raises:
        ValueError: It is incomplete, or has an unknown escape.
    """
    name, mark, variant = line.partition(" @")
    if not name or (mark and not variant):
        raise ValueError
    return RowKey(unescape(name), unescape(variant))


def _facts(lines: str) -> dict[str, str]:
    parts = lines.split()
    facts = dict(zip(parts[::2], parts[1::2], strict=True))
    if not facts.keys() <= _KNOWN:
        raise ValueError
    return facts


def _fault(block: str, number: int) -> LineFault:
    """The first faulty line of a case."""
    name, *lines = block.split("\n")
    what = _wrong_name(name)
    if what:
        return LineFault(number, what)
    before = "."
    for offset, line in enumerate(lines, start=1):
        what = _wrong_line(line, before)
        if what:
            return LineFault(number + offset, what)
        before = line[:1] or before
    return LineFault(number, f"case {shortened(name)} has no text; an empty text is a line '|'.")


def _wrong_name(name: str) -> str:
    try:
        _read_name(name)
    except ValueError:
        return _wrong_escape(name) or f"{shortened(f'case {name}')} lacks the name of the case or of its variant."
    return ""


def _wrong_line(line: str, before: str) -> str:
    kind = line[:1]
    if not line.strip():
        return ""
    if line.startswith((MARKER_BAR, "=" * 7, ">" * 7)):
        return f"{shortened(line)} belongs to a merge conflict whose beginning ('<<<<<<<') is gone."
    if kind not in set(".#|~"):
        return f"{shortened(line)} begins with neither 'case ', '#', '.', '|' nor '~'."
    if kind in ".#" and before not in ".#":
        what = "states facts" if kind == "." else "is a comment"
        return f"{shortened(line)} {what} after the text; they belong right below the case."
    if kind == "~" and before in ".#":
        return f"{shortened(line)} continues a text that has not begun."
    return _wrong_facts(line) if kind == "." else _wrong_escape("" if kind == "#" else line)


def _wrong_facts(line: str) -> str:
    parts = line.split()
    for key in parts[::2]:
        if key not in _KNOWN:
            return f"there is no fact {key!r}.{did_you_mean(key, _KNOWN)}"
    if len(parts) % 2:
        return f"fact {parts[-1]!r} has no value."
    if not dict(zip(parts[::2], parts[1::2], strict=True)).get(".tokens", "0").isdecimal():
        return f"{shortened(line)}: .tokens must be a number."
    return _wrong_escape(line)


def _wrong_escape(line: str) -> str:
    try:
        unescape(line)
    except ValueError as error:
        return f"there is no escape {str(error)!r}; a backslash is written as two."
    return ""


def shortened(line: str) -> str:
    """A line for a message, at most 60 characters."""
    return repr(line if len(line) <= 60 else line[:57] + "...")
