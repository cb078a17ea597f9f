"""Results of thresholds: a sentence per failed one, and a table of all for the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_llmcompare.judgement import ThresholdResult
from pytest_llmcompare.records import GroupKey, GroupResult
from pytest_llmcompare.text import count, disarm, encodable

from .style import Page, Styled
from .terminal_table import GAP, natural_widths, table_lines, text_line

OK, FAILED = "ok", "FAILED"

MOST_HOLDING = 20
"""Most blocks shown of tables and models whose thresholds all hold; blocks with a failed one are always shown."""


def failed_thresholds(result: GroupResult) -> list[str]:
    """Return a line per failed threshold of a group."""
    return [threshold_line(result.key, gate) for gate in result.gates if not gate.passed]


def threshold_line(key: GroupKey, gate: ThresholdResult) -> str:
    """Describe a failed threshold: `threshold failed: table 't', model 'm': n is 5 over 10 cases, wanted >=8`."""
    value = "was not computed" if gate.value is None else f"is {value_of(gate)}"
    line = f"threshold failed: table {key.table!r}, model {key.model!r}: {gate.metric} {value} {over(gate)}"
    return disarm(f"{line}, wanted {gate.wanted}" + (f". {gate.why}" if gate.why else ""))


def over(gate: ThresholdResult) -> str:
    """Number of cases that a metric was computed over: `over 10 cases`, `over 3 of 10 cases`."""
    part = f"{gate.cases:,} of " if gate.cases != gate.total else ""
    return f"over {part}{count(gate.total, 'case')}"


def value_of(gate: ThresholdResult) -> str:
    """Format a value with six digits, or with all if rounding would hide why the threshold failed."""
    if gate.value is None:
        return "not computed"
    short = f"{gate.value:.6g}"
    hides = not gate.passed and gate.value != float(short) == float(gate.wanted.lstrip("<>="))
    return repr(gate.value) if hides else short


def threshold_blocks(
    groups: Iterable[tuple[GroupKey, Sequence[ThresholdResult]]], page: Page, *, every: bool
) -> Iterator[list[Styled]]:
    """Return a block per table and model: a heading, then result, metric, value and threshold line by line.

    Args:
        groups: Thresholds by table and model.
        page: Width and encoding of the terminal.
        every: Whether to show all blocks, however many hold.
    """
    left_out = shown = 0
    for key, gates in groups:
        holds = all(gate.passed for gate in gates)
        if holds and not every and shown >= MOST_HOLDING:
            left_out += len(gates)
            continue
        shown += holds
        yield [*threshold_block(key, gates, page)]
    if left_out:
        yield [page.line(f"{count(left_out, 'more threshold')} held (-v shows all)")]


def threshold_block(key: GroupKey, gates: Sequence[ThresholdResult], page: Page) -> Iterator[Styled]:
    """Return the heading and the table of one group; a metric with a long name has a line of its own."""
    yield from page.wrapped(f"thresholds of {key.table}/{key.model}, {over(gates[0])}:", bold=True)
    lines = []
    for gate in gates:
        cells = [OK if gate.passed else FAILED, page.name(gate.metric), value_of(gate), encodable(gate.wanted, "ascii")]
        lines.append(text_line(cells, **({} if gate.passed else {"red": True})))
    if sum(natural_widths(lines)) + 3 * len(GAP) + 2 <= page.columns:
        yield from table_lines(lines, page, indent="  ")
        return
    for gate in gates:
        text = f"{OK if gate.passed else FAILED} {gate.metric} {value_of(gate)}, wanted {gate.wanted}"
        yield from page.wrapped(text, **({} if gate.passed else {"red": True}))
