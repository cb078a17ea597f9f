"""Sentences on whether models changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_llmcompare.judgement import Finding, ModelVerdict
from pytest_llmcompare.records import GroupKey
from pytest_llmcompare.text import count, disarm, number

from .style import Page, Styled

COLOURS = {Finding.CHANGED: {"red": True}, Finding.UNCHANGED: {}, Finding.UNKNOWN: {"yellow": True}}
MOST_UNCHANGED = 10
"""Most sentences shown on models that did not change, or on which nothing can be told; all others are always shown."""

Verdicts = Sequence[tuple[GroupKey, ModelVerdict]]


def sentence(key: GroupKey, verdict: ModelVerdict, *, names_table: bool = True) -> str:
    """Describe the verdict: `qa: weights changed. Log-probs of 640 tokens moved by 0.066 nats rms (...)`.

    Args:
        key: Table and model.
        verdict: The verdict.
        names_table: Whether to name the table, too.
    """
    table = f", table {key.table}" if names_table else ""
    others = f" {count(verdict.others, 'baseline')} of other weights or another environment." if verdict.others else ""
    cached = f" {cached_answers(verdict.cached, verdict.asked)}." if verdict.cached else ""
    return disarm(f"{key.model}{table}: {_finding(verdict)}.{_figures(verdict)}{others}{cached}")


def cached_answers(cached: int, asked: int) -> str:
    """How many answers are from the cache: `640 of 640 answers from the cache`."""
    return f"{cached:,} of {count(asked, 'answer')} from the cache"


def failed_verdict(key: GroupKey, verdict: ModelVerdict) -> str:
    """The reason to fail of a run in which a model may not change."""
    return f"model verdict failed: {sentence(key, verdict)}"


def _finding(verdict: ModelVerdict) -> str:
    if verdict.finding is Finding.UNKNOWN:
        return f"cannot tell whether the model changed: {verdict.reason}"
    if verdict.finding is Finding.CHANGED and verdict.beyond_noise:
        outputs = count(verdict.beyond_noise, "output")
        return f"changed: {outputs} with another end, or with a token that the model is not allowed to choose now"
    if verdict.finding is Finding.CHANGED:
        if verdict.same_weights:
            what = "a library, a kernel, the dtype, the template or its code"
            return f"changed, though its weights are the same: {what} changed"
        return "changed" if verdict.same_weights is None else "weights changed"
    return "unchanged" if verdict.same_weights is not False else "unchanged, though its files have another fingerprint"


def _figures(verdict: ModelVerdict) -> str:
    """The figures that a verdict is based on."""
    if verdict.moved is None or verdict.finding is Finding.UNKNOWN:
        return ""
    noise = f"noise {number(verdict.noise)}, " if verdict.noise is not None else ""
    moved = f"{count(verdict.tokens, 'token')} moved by {number(verdict.moved)} nats rms"
    return f" Log-probs of {moved} ({noise}limit {number(verdict.limit)})."


def sentences(verdicts: Verdicts) -> list[tuple[Finding, str]]:
    """A sentence per table and model, with changed models first; a table is named if there are several."""
    several = len({(key.folder, key.table) for key, _ in verdicts}) > 1
    order = [Finding.CHANGED, Finding.UNKNOWN, Finding.UNCHANGED]
    ordered = sorted(verdicts, key=lambda pair: order.index(pair[1].finding))
    return [(verdict.finding, sentence(key, verdict, names_table=several)) for key, verdict in ordered]


def verdict_lines(verdicts: Verdicts, page: Page, *, every: bool) -> Iterator[Styled]:
    """Yield the sentences as lines of a terminal.

    Args:
        verdicts: The verdicts.
        page: Width and encoding of the terminal.
        every: Whether to show all of them.
    """
    shown = sentences(verdicts)
    changed = sum(finding is Finding.CHANGED for finding, _ in shown)
    most = len(shown) if every else max(changed, MOST_UNCHANGED)
    for finding, text in shown[:most]:
        yield from page.wrapped(text, **COLOURS[finding])
    if len(shown) > most:
        yield page.line(f"and {len(shown) - most:,} more, unchanged or unknown (-v shows all)")
