"""A finished run as plain data for report files: dicts, lists, texts and numbers. Pure.

`docs/reports.md` describes the data. Removing a key or changing its meaning raises `SCHEMA_VERSION`; readers ignore
unknown keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from itertools import accumulate
from typing import Any

from pytest_llmcompare.comparison.drift_budget import BudgetCheck
from pytest_llmcompare.comparison.model_pairs import Pair
from pytest_llmcompare.comparison.percentiles import percentiles
from pytest_llmcompare.comparison.statistics import Rate
from pytest_llmcompare.comparison.summary import Cell, EqualDrifts, ModelLine, Table
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import (
    ModelVerdict,
    ThresholdResult,
    Verdict,
)
from pytest_llmcompare.records import GroupKey, GroupResult, RowKey

from .assertion_lines import assertion_count
from .messages import open_counts
from .mlflow_pages import mlflow_places
from .model_sentences import sentence
from .model_table import pairs_in
from .report import Report
from .threshold_lines import value_of

SCHEMA_VERSION = 1

ReportData = dict[str, Any]
"""A report, or a part of one, as in JSON."""


def report_data(report: Report) -> ReportData:
    """Convert a report to plain data."""
    summary = report.summary
    data: ReportData = _plain(
        {
            "schema_version": SCHEMA_VERSION,
            "program": "pytest-llmcompare",
            "outcome": report.outcome,
            "sentence": report.sentence,
            "texts": summary.texts,
            "assertions": assertion_count(summary.models),
            "faults": list(summary.faults),
            "gates": [_gate(key, gate) for key, gates in summary.gates for gate in gates],
            "model_verdicts": [_model_verdict(key, verdict) for key, verdict in summary.model_verdicts],
            "identity": dict(report.identity),
            "command": report.command,
            "accept": report.accept_all,
            "accept_counts": open_counts(summary) if report.accept_all else "",
            "models": [_model(line) for line in summary.models],
            "tables": [_table(table, report) for table in summary.tables],
            "equal_drifts": [_equal_drifts(drifts) for drifts in summary.equal_drifts],
            "pairs": [_pair(pair) for pair in pairs_in(summary.tables)],
            "budgets": [_budget(check) for check in summary.budgets],
            "groups": [_group(result) for result in sorted(report.groups, key=lambda result: result.key)],
            "obsolete": [{**_names(key), **_row(row)} for key, rows in summary.obsolete for row in rows],
            "notes": list(summary.notes),
            "remarks": list(summary.remarks),
            "mlflow": mlflow_places(summary),
        }
    )
    return data


def json_report(data: ReportData) -> str:
    """Write a report as JSON. It is ASCII, so that every text survives every channel, lone surrogates included."""
    return json.dumps(data, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Make a value fit for JSON, which has neither infinity nor NaN; they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _names(key: GroupKey) -> ReportData:
    return {"folder": key.folder, "table": key.table, "model": key.model}


def _row(key: RowKey) -> ReportData:
    return {"prompt_id": key.prompt_id, "variant": key.variant}


def _rate(rate: Rate) -> ReportData:
    return {"count": rate.count, "total": rate.total, "low": rate.interval.low, "high": rate.interval.high}


def _model(line: ModelLine) -> ReportData:
    drifted = line.counts.get(Verdict.DRIFTED, 0)
    return {
        "model": line.model,
        "cases": line.cases,
        "verdicts": {str(verdict): line.counts.get(verdict, 0) for verdict in Verdict},
        "not_compared": line.counts.get(None, 0),
        "accepted": line.accepted,
        "drift_rate": drifted / line.comparable if line.comparable else None,
        "tokens": line.tokens,
        "seconds": line.seconds,
        "latency": dict(line.latency) or None,
        "level": line.level,
        "expect": {"passed": line.holding, "cases": line.asserted} if line.asserted else None,
    }


def _table(table: Table, report: Report) -> ReportData:
    return {
        "folder": table.folder,
        "table": table.name,
        "models": list(table.models),
        "rows": [
            {
                **_row(row.row),
                "input": row.input,
                "conversation": json.loads(row.conversation) if row.conversation else None,
                "columns": dict(row.columns),
                "differs": row.differs,
                "cases": [None if cell is None else _case(cell, report) for cell in row.cells],
            }
            for row in table.rows
        ],
    }


def _case(cell: Cell, report: Report) -> ReportData:
    result = cell.result
    return {
        "name": str(cell.key),
        **_names(cell.key.group),
        **_row(cell.key.row),
        "test": result.nodeid,
        "passed": result.passed,
        "verdict": cell.verdict,
        "accepted": cell.accepted,
        "differs": cell.differs,
        "target": result.target,
        "baseline": result.baseline_text,
        "candidate": None if result.generation is None else _generation(result.generation),
        "assertions": [asdict(one) for one in result.assertions],
        "seconds": result.seconds,
        "token_count": _token_count(result.generation),
        "metrics": dict(result.metrics),
        "judgement": None if result.judgement is None else asdict(result.judgement),
        "input_hash": result.input_hash,
        "settings_hash": result.settings_hash,
        "accept": report.accept(cell),
    }


def _generation(output: Generation) -> ReportData:
    return {
        "text": output.text,
        "stop": output.stop,
        "reasoning": output.reasoning,
        "tokens": _token_texts(output),
        "token_ids": output.token_ids,
        "logprobs": output.logprobs,
        "margins": output.margins,
        "verified": output.verified,
        "unverified": output.unverified,
        "path": None if output.path is None else asdict(output.path),
        "environment": dict(output.environment),
    }


def _token_count(output: Generation | None) -> int | None:
    return None if output is None or output.token_ids is None else len(output.token_ids)


def _token_texts(output: Generation) -> list[str] | None:
    """Text of each token; None if it is not known where tokens end."""
    if output.lengths is None:
        return None
    ends = [*accumulate(output.lengths)]
    return [output.text[end - length : end] for end, length in zip(ends, output.lengths, strict=True)]


def _equal_drifts(drifts: EqualDrifts) -> ReportData:
    return {
        "model": drifts.model,
        "baseline_token": drifts.baseline_token,
        "candidate_token": drifts.candidate_token,
        "cases": [{**_names(key.group), **_row(key.row)} for key in drifts.cases],
    }


def _gate(key: GroupKey, gate: ThresholdResult) -> ReportData:
    return {**_names(key), **asdict(gate), "shown": value_of(gate)}


def _pair(pair: Pair) -> ReportData:
    targets = pair.targets and {**asdict(pair.targets), "finding": pair.targets.finding}
    return {"first": pair.first, "second": pair.second, "agreement": _rate(pair.agreement), "targets": targets}


def _budget(check: BudgetCheck) -> ReportData:
    return {"model": check.model, "percent": check.budget, "drifted": _rate(check.rate), "failed": check.fails}


def _model_verdict(key: GroupKey, verdict: ModelVerdict) -> ReportData:
    data = asdict(verdict)
    data.update(data.pop("answered"))
    return {**_names(key), **data, "text": sentence(key, verdict)}


def _group(result: GroupResult) -> ReportData:
    return {
        **_names(result.key),
        "error": result.error,
        "evaluation_fault": result.evaluation_fault,
        "run_id": result.run_id,
        "model_uri": result.model_uri,
        "experiment_id": result.experiment_id,
        "environment": dict(result.environment),
        "baseline_environment": dict(result.baseline_environment),
        "tokens": result.tokens,
        "seconds": result.seconds,
        "latency": percentiles(result.latencies.values()) or None,
        "level": result.level,
        "cached": result.cached,
        "gates": [asdict(gate) for gate in result.gates],
    }
