"""Gates that did not open, in words. Pure."""

from __future__ import annotations

from pytest_llmcompare.records import Gate, GroupKey, GroupResult

from .escaping import disarm
from .quantities import count


def failed_gates(result: GroupResult) -> list[str]:
    """A line per threshold that a table and model did not reach."""
    return [gate_line(result.key, gate) for gate in result.gates if not gate.passed]


def gate_line(key: GroupKey, gate: Gate) -> str:
    """`gate failed: table 'trivia', model 'm': exact_match/v1 is 0.5 over 3 of 10 cases, wanted >=0.8`."""
    value = "was not computed" if gate.value is None else f"is {gate.value:.6g}"
    line = f"gate failed: table {key.table!r}, model {key.model!r}: {gate.metric} {value} {over(gate)}"
    return disarm(f"{line}, wanted {gate.wanted}" + (f". {gate.why}" if gate.why else ""))


def over(gate: Gate) -> str:
    """What the metric was computed over: `over 10 cases`, `over 3 of 10 cases`."""
    part = f"{gate.cases:,} of " if gate.cases != gate.total else ""
    return f"over {part}{count(gate.total, 'case')}"
