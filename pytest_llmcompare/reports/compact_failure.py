"""A failed comparison on a terminal, below the name of its test: evidence, old text, new text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.text import cut_start, disarm, encodable, number, width

from .assertion_lines import assertion_lines
from .marked_words import COME, GONE, near_change, visible_changes
from .messages import EQUAL_TEXTS, failure_lines, headline, reason_lines
from .style import Page, Styled
from .text_diff import BASELINE, CANDIDATE, Range

OLD, NEW, BOTH = "- ", "+ ", "= "
COLOURS = {OLD: {"red": True}, NEW: {"green": True}, BOTH: {}}
LABELS = {BASELINE: COLOURS[OLD], CANDIDATE: COLOURS[NEW]}


def compact_failure(result: CaseResult, more: Sequence[str], page: Page, *, coloured: bool) -> list[Styled]:
    """Describe a failed comparison on three lines, or a few more if there is more to say.

    Args:
        result: The failed case.
        more: Further lines, such as the message of the assertion.
        page: Width and encoding of the terminal.
        coloured: Whether the terminal shows colours; without them the words that changed are in brackets.
    """
    judged = result.judgement
    if judged is None or result.generation is None:
        lines = [page.line(encodable(line, page.encoding)) for line in reason_lines(result)]
    else:
        lines = [*page.wrapped(_evidence(judged), red=True, bold=True)]
        lines += _texts(result.baseline_text, result.generation.text, judged.verdict, page, coloured=coloured)
        further = [*_reasons(judged), *assertion_lines(result.assertions)]
        lines += [line for text in further for line in page.wrapped(text)]
    return [*lines, *(line for text in more for part in text.splitlines() for line in page.wrapped(part))]


def full_failure(result: CaseResult, more: Sequence[str], command: str, page: Page) -> list[Styled]:
    """Describe a failed comparison with all lines of both texts that differ, and the command that accepts it."""
    lines = []
    for text in (*failure_lines(result, command), *more):
        colour = next((markup for label, markup in LABELS.items() if text.startswith(label)), {})
        lines += [Styled(encodable(part, page.encoding), colour) for part in text.splitlines()]
    return lines


def _evidence(judged: Judgement) -> str:
    """The verdict, with the margin up to which it would be a tie."""
    tie = judged.margin is not None and judged.tolerance is not None
    return headline(judged) + (f" (tie: up to {number(judged.tolerance or 0.0)} nats)" if tie else "")


def _reasons(judged: Judgement) -> list[str]:
    """What else there is to say: lines of the reason that the first line does not have."""
    lines = judged.reason.strip().splitlines()
    in_first_line = judged.verdict is not Verdict.DRIFTED or judged.position is None
    return [f"  {line.strip()}" for line in lines[1 if in_first_line else 0 :]]


def _texts(baseline: str | None, candidate: str, verdict: Verdict, page: Page, *, coloured: bool) -> list[Styled]:
    if baseline is None:
        return [_one(NEW, candidate, page)]
    if baseline != candidate:
        return old_and_new(baseline, candidate, page, coloured=coloured)
    equal = [_one(BOTH, candidate, page)]
    return [*equal, *page.wrapped(EQUAL_TEXTS.strip())] if verdict is Verdict.DRIFTED else equal


def _one(sign: str, text: str, page: Page) -> Styled:
    shown = page.text(text.strip()[: 4 * page.columns]) or "(no text)"
    return Styled(page.cut(sign + shown, page.columns), COLOURS[sign])


def old_and_new(baseline: str, candidate: str, page: Page, *, coloured: bool) -> list[Styled]:
    """Show two different texts below each other, both from the same place on, shortly before they part."""
    baseline, candidate = near_change(baseline, candidate, 2 * page.columns)
    changes = visible_changes(baseline, candidate, page.columns)
    olds, news = [change[0] for change in changes], [change[1] for change in changes]
    after = max(width(page.text(text[ranges[0][0] :])) for text, ranges in ((baseline, olds), (candidate, news)))
    room = max(page.columns - len(OLD) - after - 4 * len(changes), page.columns // 3)
    before = cut_start(page.text(candidate[: news[0][0]].lstrip()), room, page.sign("…"))
    lines = []
    for sign, text, ranges, marks in ((OLD, baseline, olds, GONE), (NEW, candidate, news, COME)):
        lines.append(_marked(sign + before, text, ranges, ("", "") if coloured else marks, page))
    return lines


def _marked(line: str, text: str, ranges: Sequence[Range], marks: tuple[str, str], page: Page) -> Styled:
    """Complete a line that holds a sign and the text before the first change; changed words are coloured."""
    sign = line[: len(OLD)]
    spans: list[Range] = []
    for at, (begin, end) in enumerate(ranges):
        if begin < end:
            word = marks[0] + page.text(text[begin:end]) + marks[1]
            spans.append((len(line), len(line) + len(word)))
            line += word
        following = ranges[at + 1][0] if at + 1 < len(ranges) else len(text)
        line += page.text(text[end:following])
    if line == sign:
        line += "(no text)"
    elif line.endswith(" "):
        line = line[:-1] + r"\x20"  # it may be all that differs
    if (harmless := disarm(line)) != line:  # its pieces together act
        return Styled(page.cut(harmless, page.columns), COLOURS[sign])
    shown = page.cut(line, page.columns)
    ends = ((begin, min(end, len(shown))) for begin, end in spans if begin < len(shown))
    return Styled(shown, COLOURS[sign], tuple((begin, end, {**COLOURS[sign], "bold": True}) for begin, end in ends))
