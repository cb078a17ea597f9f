"""The top of an HTML report: facts that identify the run, a tile per model, findings as sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_llmcompare.text import count, duration, percent

from .messages import budget_sentence
from .mlflow_pages import is_link
from .report_data import ReportData
from .restored_records import rate_of

FEW_NOTES = 3  # are shown at once

ON_TOP = 3  # facts of the run that are shown before its details are opened


def header_of(document: ReportData) -> ReportData:
    """The header of the page. Reports that an earlier version saved lack some of its parts."""
    gates = sorted(document.get("gates", ()), key=lambda gate: bool(gate["passed"]))
    identity = identity_items(document)
    return {
        "outcome": document["outcome"],
        "sentence": document["sentence"],
        "texts": ". ".join(filter(None, (document.get("texts"), document.get("assertions")))),
        "faults": document.get("faults", []),
        "identity": identity,
        "run": " · ".join(["This run", *(item["text"] for item in identity[:ON_TOP])]),
        "changes": [_model_verdict(verdict) for verdict in document.get("model_verdicts", ())],
        "gates": [_gate(gate) for gate in gates],
        "models": [_model(model) for model in document["models"]],
        "details": [part for part in _details(document) if part["lines"]],
    }


def identity_items(document: ReportData) -> list[dict[str, Any]]:
    """Facts that identify the run, by name; reports of earlier versions have only the command.

    Returns:
        Items with `name` and `text`, a `command` to copy, and `links` as pairs of words and address.
    """
    facts = {**document.get("identity", {}), "command": document["command"]}
    items: list[dict[str, Any]] = [{"name": name, "text": text} for name, text in facts.items()]
    for group in document["groups"]:
        then, now = group.get("baseline_environment", {}), group.get("environment", {})
        compared = [f"{name} {_then_and_now(then.get(name), now.get(name))}" for name in {**now, **then}]
        if compared:
            items.append({"name": f"{group['table']}/{group['model']}", "text": ", ".join(compared)})
    return [*items, *_mlflow_items(document)]


def _mlflow_items(document: ReportData) -> Iterator[dict[str, Any]]:
    """Where MLflow shows the runs: links if a server does, else the command that starts its pages and the addresses."""
    places = document.get("mlflow", ())
    for place in places:
        pages = [("runs", place.get("runs", place["address"])), ("answers side by side", place.get("compare", ""))]
        pages = [(words, address) for words, address in pages if is_link(address)]
        tables = dict.fromkeys(
            group["table"] for group in document["groups"] if group.get("experiment_id") == place.get("experiment_id")
        )
        item = {"name": f"MLflow: {', '.join(tables)}" if len(places) > 1 and tables else "MLflow", "text": ""}
        if command := place["command"]:
            yield {**item, "command": command, "text": "\n".join(f"{words}: {address}" for words, address in pages)}
        elif pages:
            yield {**item, "links": pages}


def _then_and_now(then: str | None, now: str | None) -> str:
    """A fact of the environment, and what it was when the baselines were recorded."""
    if then is None or now is None or then == now:
        return str(now if now is not None else f"{then} (baselines)")
    return f"{now} (baselines: {then})"


def _model_verdict(verdict: ReportData) -> ReportData:
    look = {"changed": "bad", "unchanged": "ok"}.get(verdict["finding"], "unsure")
    title = f"{verdict['table']}/{verdict['model']}"
    return {"look": look, "title": title, "small": verdict["finding"], "lines": [verdict["text"]]}


def _gate(gate: ReportData) -> ReportData:
    part = "" if gate["cases"] == gate["total"] else f"{gate['cases']:,} of "
    over = f"{gate['table']}/{gate['model']}, over {part}{count(gate['total'], 'case')}"
    return {
        "look": "ok" if gate["passed"] else "bad",
        "title": gate["metric"],
        "small": "ok" if gate["passed"] else "FAILED",
        "value": gate["shown"],
        "wanted": f"wanted {gate['wanted']}",
        "lines": [over, *([gate["why"]] if gate["why"] else [])],
    }


def _model(model: ReportData) -> ReportData:
    """A model's tile; `counts` has its cases by verdict, which the page sorts, the worst first."""
    counts: Mapping[str, int] = {"none": model["not_compared"], "accepted": model["accepted"], **model["verdicts"]}
    latency, expect = model.get("latency") or {}, model.get("expect")
    facts = (
        "" if model["drift_rate"] is None else f"drift rate {percent(model['drift_rate'])}",
        count(model["tokens"], "token") if model["tokens"] else "",
        duration(model["seconds"]) if model["seconds"] else "",
        f"per case {duration(latency['p50'])}, 90% within {duration(latency['p90'])}" if latency else "",
        f"level {model['level']}" if model.get("level") else "",
        f"{expect['passed']:,} of {expect['cases']:,} pass their assertions" if expect else "",
    )
    return {
        "title": model["model"],
        "small": count(model["cases"], "case"),
        "counts": counts,
        "lines": [" · ".join(filter(None, facts))],
    }


def _details(document: ReportData) -> Iterator[ReportData]:
    """Further findings, to be folded away."""
    budgets, faults = document["budgets"], document.get("faults", ())
    failed = any(check["failed"] for check in budgets)
    yield {"title": "Drift budget", "lines": list(map(_budget_line, budgets)), "open": failed}
    notes = [note for note in document["notes"] if note not in faults]
    yield {"title": count(len(notes), "note"), "lines": notes, "open": len(notes) <= FEW_NOTES}
    yield {"title": "Models against each other", "lines": list(map(_pair_line, document["pairs"])), "open": True}
    obsolete = [f"{one['table']}/{one['model']}/{_row_name(one)}" for one in document["obsolete"]]
    yield {"title": count(len(obsolete), "obsolete baseline"), "lines": obsolete, "open": False}


def _row_name(row: ReportData) -> str:
    return f"{row['prompt_id']}@{row['variant']}" if row["variant"] else str(row["prompt_id"])


def _budget_line(check: ReportData) -> str:
    rate = rate_of(check["drifted"])
    text = budget_sentence(rate, check["percent"], over=check["failed"])
    return f"{check['model']}: {text}" if rate.total else text


def _pair_line(pair: ReportData) -> str:
    agreement, targets = pair["agreement"], pair["targets"]
    line = f"{pair['first']} / {pair['second']}: {agreement['count']:,} of {count(agreement['total'], 'text')} alike"
    if targets is None:
        return line
    names = {"better": f"{pair['second']} is better", "worse": f"{pair['first']} is better"}
    better = names.get(targets["finding"], targets["finding"])
    return f"{line}; on targets: {better} (McNemar p {targets['p_value']:.3f})"
