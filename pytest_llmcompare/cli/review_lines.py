"""What a review on the terminal shows: one output, a group of outputs that changed alike, the keys. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.reports.assertion_lines import assertion_lines
from pytest_llmcompare.reports.compact_failure import COLOURS, LABELS, NEW, OLD, old_and_new
from pytest_llmcompare.reports.marked_words import COME, GONE
from pytest_llmcompare.reports.messages import headline, reason_lines
from pytest_llmcompare.reports.style import Page, Styled
from pytest_llmcompare.reports.text_diff import BASELINE, CANDIDATE, single, word_changes
from pytest_llmcompare.text import count, disarm, escape

from .review_state import Decision, Review

PROMPT = "  prompt     "
EXPECTED = "  expected   "
AGAINST = "  against    "
NO_TEXT = "(no text)"
KEYS = "a accept   r reject   s skip   u undo   b back   q quit   ? help"
HELP = """\
a r s    accept, reject or skip this output
A R S    the same for all that changed in the same way and are not decided yet; A shows them first
u        take the last decision back
b        back to the output before, to look at it or to decide it another way
n        on to the next output without a decision about this one
g        go to an output: type its number, or a part of its name, and Enter
m        sort by margin, the largest first; again: those that changed in the same way together
q Esc    quit, and carry out what was decided
Ctrl-C   quit, and drop what was decided
?        this help"""


def entry_lines(state: Review, entry: Entry, *, coloured: bool = False) -> list[Styled]:
    """The lines that show an output: verdict, prompt, expected answer, both texts, assertions, decision, keys.

    Args:
        state: The review.
        entry: The output.
        coloured: Whether the terminal shows colours; without them the words that changed are in brackets.
    """
    result = CaseResult(entry.key, entry.test, entry.new.generation, entry.judgement, entry.baseline)
    first, *lines = reason_lines(result)
    alike = len(state.alike)
    more = f"   A R S all {alike} alike" if alike > 1 else ""
    decision = state.decisions.get(entry.key)
    return [
        Styled(f"{state.place} {disarm(str(entry.key))}  {first}", {"bold": True}),
        *_plain(single(PROMPT, entry.prompt) if entry.prompt else []),
        *_plain(single(EXPECTED, entry.target) if entry.target is not None else []),
        *_with_changes(lines, coloured=coloured),
        *_assertions(entry),
        *_plain(single(AGAINST, entry.against) if entry.against else []),
        *_plain([f"  decided: {decision.value}"] if decision else []),
        Styled(f"{KEYS}{more}", {"bold": True}),
    ]


def group_lines(entries: Sequence[Entry], page: Page, *, coloured: bool) -> list[Styled]:
    """All outputs that one key is about to accept: name, evidence, old and new text."""
    lines = [Styled(f"All {len(entries):,} that changed in the same way:", {"bold": True})]
    for entry in entries:
        lines += page.wrapped(f"{disarm(str(entry.key))}  {headline(entry.judgement)}")
        text = entry.new.generation.text
        if entry.baseline is not None and entry.baseline != text:
            lines += old_and_new(entry.baseline, text, page, coloured=coloured)
        else:
            sign = NEW if entry.baseline is None else "= "
            lines.append(Styled(page.cut(sign + (escape(text.strip()) or NO_TEXT), page.columns), COLOURS[sign]))
        lines += _assertions(entry)
    return [*lines, Styled(f"A again accepts all {len(entries):,}, any other key goes back", {"bold": True})]


def dropped_line(state: Review) -> str:
    """What was dropped when a review was aborted."""
    decided = [(decision, len(state.decided(decision))) for decision in (Decision.ACCEPT, Decision.REJECT)]
    counts = " and ".join(f"{number:,} to {decision.value}" for decision, number in decided if number)
    total = count(sum(number for _, number in decided), "decision")
    dropped = f"{total} dropped ({counts})" if counts else "no decision was made"
    return f"Aborted: {dropped}. Nothing was written; all {len(state.entries):,} are still pending."


def _assertions(entry: Entry) -> list[Styled]:
    """How many assertions of the row hold on the new text, and which do not."""
    if not entry.assertions:
        return []
    holds = sum(one.passed for one in entry.assertions)
    failed = [Styled(line, {"red": True}) for line in assertion_lines(entry.assertions)]
    return [Styled(f"  {holds} of {count(len(entry.assertions), 'assertion')} hold"), *failed]


def _plain(lines: Sequence[str]) -> list[Styled]:
    return [Styled(line) for line in lines]


def _with_changes(lines: Sequence[str], *, coloured: bool) -> list[Styled]:
    """Lines of an explanation, those of both texts coloured; words that differ between a pair of them stand out."""
    shown: list[Styled] = []
    at = 0
    while at < len(lines):
        olds = _run(lines, at, BASELINE)
        news = _run(lines, at + len(olds), CANDIDATE) if olds else []
        if olds and len(olds) == len(news):
            pairs = [_pair(old, new, coloured=coloured) for old, new in zip(olds, news, strict=True)]
            shown += [*(pair[0] for pair in pairs), *(pair[1] for pair in pairs)]
            at += len(olds) + len(news)
        else:
            line = lines[at]
            shown.append(Styled(line, next((look for label, look in LABELS.items() if line.startswith(label)), {})))
            at += 1
    return shown


def _run(lines: Sequence[str], at: int, label: str) -> list[str]:
    """The lines with a label from a place on."""
    end = at
    while end < len(lines) and lines[end].startswith(label):
        end += 1
    return list(lines[at:end])


def _pair(old: str, new: str, *, coloured: bool) -> tuple[Styled, Styled]:
    size = len(BASELINE)
    texts = (old[size:], new[size:])
    if NO_TEXT in texts:
        return Styled(old, LABELS[BASELINE]), Styled(new, LABELS[CANDIDATE])
    changes = word_changes(*texts)
    gone, come = (("", ""), ("", "")) if coloured else (GONE, COME)
    return _marked(old, size, changes[0], COLOURS[OLD], gone), _marked(new, size, changes[1], COLOURS[NEW], come)


def _marked(
    line: str, start: int, ranges: Sequence[tuple[int, int]], look: dict[str, bool], marks: tuple[str, str]
) -> Styled:
    """A line in the colour of its text, with the words that changed in bold, or between marks."""
    text, spans, at = line[:start], [], start
    for begin, end in ((start + begin, start + end) for begin, end in ranges):
        text += line[at:begin] + marks[0]
        spans.append((len(text), len(text) + end - begin, {**look, "bold": True}))
        text += line[begin:end] + marks[1]
        at = end
    return Styled(text + line[at:], look, tuple(spans))
