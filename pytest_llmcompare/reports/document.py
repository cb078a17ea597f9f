"""A report as plain data: dicts, lists, texts and numbers, in the order of the summary. Pure.

`docs/reports.md` describes it. Removing a key or changing its meaning raises `SCHEMA_VERSION`; what
reads a report has to bear more than it knows.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import accumulate
from typing import Any

from pytest_llmcompare.comparison.drift_budget import BudgetCheck
from pytest_llmcompare.comparison.model_pairs import Pair
from pytest_llmcompare.comparison.statistics import Interval, Rate
from pytest_llmcompare.comparison.summary import Cell, EqualDrifts, ModelLine, Summary, Table
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import (
    ACCEPTED,
    NO_VERDICT,
    UNDECIDED,
    WORST_FIRST,
    Judgement,
    Likelihood,
    Verdict,
    look_of,
)
from pytest_llmcompare.records import CaseKey, CaseResult, Gate, GroupKey, GroupResult, RowKey
from pytest_llmcompare.text import count, disarm

from .messages import value_of
from .pair_table import pairs_in


def json_report(document: Document) -> str:
    """A report as JSON text. It is ASCII, so that any text survives any channel, lone surrogates too."""
    return json.dumps(document, allow_nan=False) + "\n"


def case_result(case: Document) -> CaseResult:
    """What a test found, as far as messages need it."""
    said, judged = case["candidate"], case["judgement"]
    return CaseResult(
        CaseKey(GroupKey(case["folder"], case["table"], case["model"]), case["prompt_id"], case["variant"]),
        case["test"],
        None if said is None else Generation(said["text"], stop=said["stop"]),
        None if judged is None else judgement(judged),
        case["baseline"],
        target=case["target"],
        passed=case["passed"],
    )


def judgement(judged: Document) -> Judgement:
    """A verdict with its evidence."""
    moved = judged["likelihood"]
    usable = moved is not None and None not in moved.values()
    rest = {**judged, "verdict": Verdict(judged["verdict"]), "likelihood": Likelihood(**moved) if usable else None}
    return Judgement(**rest)


@dataclass(frozen=True)
class Report:
    """A run, to be written to a file.

    Attributes:
        summary: What the run found.
        groups: What evaluating the groups gave, outputs left out.
        passed: Whether the run passed.
        finished: Whether it came to its end.
        command: The pytest command of this run, without options that update or prune.
        accepting: The command that takes a test's output as its baseline, given the test.
    """

    summary: Summary
    groups: tuple[GroupResult, ...] = ()
    passed: bool = True
    finished: bool = True
    command: str = "pytest"
    accepting: Callable[[str], str] = "pytest --llm-update {}".format

    @property
    def outcome(self) -> str:
        """How the run ended: `passed`, `failed` or `interrupted`."""
        return "interrupted" if not self.finished else "passed" if self.passed else "failed"

    @property
    def sentence(self) -> str:
        """What was found, worst first: `15 cases: 2 drifted, 13 identical`."""
        counts = self.counts
        return f"{count(len(self.summary.cells), 'case')}: {counts}" if counts else "no case was looked at"

    @property
    def counts(self) -> str:
        """Cases by verdict, worst first: `2 drifted, 13 identical`."""
        counts = Counter(look_of(cell.verdict, accepted=cell.accepted) for cell in self.summary.cells)
        looks = (*(verdict.look for verdict in WORST_FIRST), NO_VERDICT, ACCEPTED)
        return ", ".join(f"{counts[look]:,} {look.label}" for look in looks if counts[look])

    @property
    def accept_all(self) -> str:
        """The command that takes all outputs as baselines; empty where there is nothing to accept."""
        acceptable = any(self.accept(cell) for cell in self.summary.cells)
        return disarm(f"{self.command} --llm-update") if acceptable else ""

    def accept(self, cell: Cell) -> str:
        """The command that takes today's output of a case as its baseline; empty where there is nothing to accept."""
        if cell.accepted or cell.verdict not in UNDECIDED or cell.text is None:
            return ""
        return disarm(self.accepting(cell.result.nodeid))


SCHEMA_VERSION = 1

Document = dict[str, Any]


def document(report: Report) -> Document:
    """All of a report."""
    summary = report.summary
    whole = {
        "schema_version": SCHEMA_VERSION,
        "program": "pytest-llmcompare",
        "outcome": report.outcome,
        "sentence": report.sentence,
        "faults": list(summary.faults),
        "gates": [gate(key, one) for key, gates in summary.gates for one in gates],
        "command": report.command,
        "accept": report.accept_all,
        "models": [model(line) for line in summary.models],
        "tables": [table(one, report) for one in summary.tables],
        "equal_drifts": [equal_drifts(drifts) for drifts in summary.equal_drifts],
        "pairs": [pair(one) for one in pairs_in(summary.tables)],
        "budgets": [budget(check) for check in summary.budgets],
        "groups": [group(result) for result in sorted(report.groups, key=lambda result: result.key)],
        "obsolete": [{**names(key), **row(one)} for key, rows in summary.obsolete for one in rows],
        "notes": list(summary.notes),
        "remarks": list(summary.remarks),
    }
    plain_whole: Document = plain(whole)
    return plain_whole


def plain(value: Any) -> Any:
    """A value as JSON can hold it: JSON has no infinite numbers, and none that are not a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    return value


def names(key: GroupKey) -> Document:
    """The names of a group."""
    return {"folder": key.folder, "table": key.table, "model": key.model}


def row(key: RowKey) -> Document:
    """The names of a row."""
    return {"prompt_id": key.prompt_id, "variant": key.variant}


def rate(found: Rate) -> Document:
    """A rate with its interval."""
    return {"count": found.count, "total": found.total, "low": found.interval.low, "high": found.interval.high}


def rate_of(record: Document) -> Rate:
    """The rate that a report holds."""
    return Rate(record["count"], record["total"], Interval(record["low"], record["high"]))


def model(line: ModelLine) -> Document:
    """A model over all tables."""
    counts = {str(verdict): line.counts.get(verdict, 0) for verdict in Verdict}
    drifted = line.counts.get(Verdict.DRIFTED, 0)
    return {
        "model": line.model,
        "cases": line.cases,
        "verdicts": counts,
        "not_compared": line.counts.get(None, 0),
        "accepted": line.accepted,
        "drift_rate": drifted / line.comparable if line.comparable else None,
        "tokens": line.tokens,
        "seconds": line.seconds,
    }


def table(one: Table, report: Report) -> Document:
    """A table, its rows beside its models."""
    return {
        "folder": one.folder,
        "table": one.name,
        "models": list(one.models),
        "rows": [
            {
                **row(line.row),
                "input": line.input,
                "differs": line.differs,
                "cases": [None if cell is None else case(cell, report) for cell in line.cells],
            }
            for line in one.rows
        ],
    }


def case(cell: Cell, report: Report) -> Document:
    """A case with its evidence."""
    result = cell.result
    return {
        "name": str(cell.key),
        **names(cell.key.group),
        **row(cell.key.row),
        "test": result.nodeid,
        "passed": result.passed,
        "verdict": cell.verdict,
        "accepted": cell.accepted,
        "differs": cell.differs,
        "target": result.target,
        "baseline": result.baseline_text,
        "candidate": None if result.generation is None else generation(result.generation),
        "judgement": None if result.judgement is None else asdict(result.judgement),
        "input_hash": result.input_hash,
        "settings_hash": result.settings_hash,
        "accept": report.accept(cell),
    }


def generation(found: Generation) -> Document:
    """An output, and what is known of its tokens."""
    return {
        "text": found.text,
        "stop": found.stop,
        "tokens": pieces(found),
        "token_ids": found.token_ids,
        "logprobs": found.logprobs,
        "margins": found.margins,
        "verified": found.verified,
        "unverified": found.unverified,
        "path": None if found.path is None else asdict(found.path),
        "environment": dict(found.environment),
    }


def pieces(found: Generation) -> list[str] | None:
    """The text, cut into what its tokens make; None where that is not known."""
    if found.lengths is None:
        return None
    ends = [*accumulate(found.lengths)]
    return [found.text[end - length : end] for end, length in zip(ends, found.lengths, strict=True)]


def equal_drifts(drifts: EqualDrifts) -> Document:
    """Cases of a model with the same change."""
    return {
        "model": drifts.model,
        "baseline_token": drifts.baseline_token,
        "candidate_token": drifts.candidate_token,
        "cases": [{**names(key.group), **row(key.row)} for key in drifts.cases],
    }


def gate(key: GroupKey, one: Gate) -> Document:
    """A threshold with the value of its metric."""
    return {**names(key), **asdict(one), "shown": value_of(one)}


def pair(one: Pair) -> Document:
    """Two models against each other."""
    targets = one.targets and {**asdict(one.targets), "finding": one.targets.finding}
    return {"first": one.first, "second": one.second, "agreement": rate(one.agreement), "targets": targets}


def budget(check: BudgetCheck) -> Document:
    """A model against the drift budget."""
    return {"model": check.model, "percent": check.budget, "drifted": rate(check.rate), "failed": check.fails}


def group(result: GroupResult) -> Document:
    """What evaluating a group gave."""
    return {
        **names(result.key),
        "error": result.error,
        "evaluation_fault": result.evaluation_fault,
        "run_id": result.run_id,
        "model_uri": result.model_uri,
        "tokens": result.tokens,
        "seconds": result.seconds,
        "gates": [asdict(gate) for gate in result.gates],
    }
