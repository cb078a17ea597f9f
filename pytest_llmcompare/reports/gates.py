"""Gates: thresholds on metrics with their values, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_llmcompare.records import Gate, GroupKey, GroupResult

from .escaping import disarm, encodable, pad, width
from .quantities import count
from .style import Page, Styled

OK, FAILED = "ok", "FAILED"

MOST_HOLDING = 20
"""Tables and models whose thresholds all hold that are shown; those with a failed one are shown in any case."""


def failed_gates(result: GroupResult) -> list[str]:
    """A line per threshold that a table and model did not reach."""
    return [gate_line(result.key, gate) for gate in result.gates if not gate.passed]


def gate_line(key: GroupKey, gate: Gate) -> str:
    """`gate failed: table 'trivia', model 'm': exact_match/v1 is 0.5 over 3 of 10 cases, wanted >=0.8`."""
    value = "was not computed" if gate.value is None else f"is {value_of(gate)}"
    line = f"gate failed: table {key.table!r}, model {key.model!r}: {gate.metric} {value} {over(gate)}"
    return disarm(f"{line}, wanted {gate.wanted}" + (f". {gate.why}" if gate.why else ""))


def over(gate: Gate) -> str:
    """What the metric was computed over: `over 10 cases`, `over 3 of 10 cases`."""
    part = f"{gate.cases:,} of " if gate.cases != gate.total else ""
    return f"over {part}{count(gate.total, 'case')}"


def value_of(gate: Gate) -> str:
    """The value with six digits, or with all of them if rounding would hide why the gate failed."""
    if gate.value is None:
        return "not computed"
    short = f"{gate.value:.6g}"
    hides = not gate.passed and gate.value != float(short) == float(gate.wanted.lstrip("<>="))
    return repr(gate.value) if hides else short


def result_of(gate: Gate) -> str:
    """Whether the threshold holds, in a word."""
    return OK if gate.passed else FAILED


def gate_blocks(
    groups: Iterable[tuple[GroupKey, Sequence[Gate]]], page: Page, *, every: bool
) -> Iterator[list[Styled]]:
    """A block per table and model: a heading, then metric, value, what was wanted and the result.

    Args:
        groups: The gates by table and model.
        page: What lines are made to fit.
        every: Whether all thresholds are shown, however many hold.
    """
    left_out = shown = 0
    for key, gates in groups:
        holds = all(gate.passed for gate in gates)
        if holds and not every and shown >= MOST_HOLDING:
            left_out += len(gates)
            continue
        shown += holds
        yield [*gate_block(key, gates, page)]
    if left_out:
        yield [page.line(f"{count(left_out, 'more threshold')} held (-v shows all)")]


def gate_block(key: GroupKey, gates: Sequence[Gate], page: Page) -> Iterator[Styled]:
    """The thresholds of one table and model."""
    name = page.name(f"{key.table}/{key.model}", page.columns // 2)
    yield page.line(f"thresholds of {name}, {over(gates[0])}:", bold=True)
    cells = [
        (result_of(gate), page.name(gate.metric, page.columns // 2), value_of(gate), encodable(gate.wanted, "ascii"))
        for gate in gates
    ]
    spans = [max(width(line[at]) for line in cells) for at in range(3)]
    for gate, line in zip(gates, cells, strict=True):
        text = "  ".join(pad(cell, span) for cell, span in zip(line, (*spans, 0), strict=True))
        yield page.line(f"  {text}", **({} if gate.passed else {"red": True}))
