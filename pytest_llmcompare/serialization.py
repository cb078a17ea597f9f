"""Records as JSON text: how they travel between processes. ASCII only, so that any text survives any channel."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from .generation import Generation, Path
from .judgement import Judgement, Likelihood, Verdict
from .records import Attempt, CaseKey, CaseResult, Gate, GroupKey, GroupResult, RowKey


def case_result_to_json(result: CaseResult) -> str:
    """One test's result as one JSON string."""
    return json.dumps(dataclasses.asdict(result))


def case_result_from_json(text: str) -> CaseResult:
    """The inverse of `case_result_to_json`."""
    data = json.loads(text)
    data["key"] = case_key(data["key"])
    data["generation"] = generation(data["generation"]) if data["generation"] else None
    data["judgement"] = judgement(data["judgement"]) if data["judgement"] else None
    return CaseResult(**data)


def attempt_to_json(attempt: Attempt) -> str:
    """How a test went, as one JSON string."""
    return json.dumps(dataclasses.asdict(attempt))


def attempt_from_json(text: str) -> Attempt:
    """The inverse of `attempt_to_json`."""
    data = json.loads(text)
    verdict = data.pop("verdict", None)
    return Attempt(**data, verdict=Verdict(verdict) if verdict else None)


def group_result_to_json(result: GroupResult) -> str:
    """A group's result as one JSON string."""
    plain = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    plain["key"] = dataclasses.asdict(result.key)
    plain["generations"] = pairs({row: dataclasses.asdict(value) for row, value in result.generations.items()})
    plain["judgements"] = pairs({row: dataclasses.asdict(value) for row, value in result.judgements.items()})
    plain["gates"] = [dataclasses.asdict(gate) for gate in result.gates]
    plain["failures"] = pairs(result.failures)
    plain["baseline_texts"] = pairs(result.baseline_texts)
    plain["baseline_tokens"] = pairs(result.baseline_tokens)
    return json.dumps(plain)


def group_result_from_json(text: str) -> GroupResult:
    """The inverse of `group_result_to_json`."""
    data = json.loads(text)
    data["key"] = GroupKey(**data["key"])
    data["generations"] = {row: generation(value) for row, value in unpaired(data["generations"])}
    data["judgements"] = {row: judgement(value) for row, value in unpaired(data["judgements"])}
    data["failures"] = dict(unpaired(data["failures"]))
    data["baseline_texts"] = dict(unpaired(data["baseline_texts"]))
    data["baseline_tokens"] = {row: tuple(value) for row, value in unpaired(data.get("baseline_tokens", []))}
    data["gates"] = tuple(Gate(**gate) for gate in data["gates"])
    data["notes"] = tuple(data["notes"])
    data["remarks"] = tuple(data["remarks"])
    return GroupResult(**data)


def declared_to_json(declared: Mapping[GroupKey, Iterable[RowKey]]) -> str:
    """The rows that the tables have, by group."""
    return json.dumps(
        [[dataclasses.astuple(group), [dataclasses.astuple(row) for row in rows]] for group, rows in declared.items()]
    )


def declared_from_json(text: str) -> dict[GroupKey, tuple[RowKey, ...]]:
    """The inverse of `declared_to_json`."""
    return {GroupKey(*group): tuple(RowKey(*row) for row in rows) for group, rows in json.loads(text)}


def pairs(by_row: Mapping[RowKey, Any]) -> list[Any]:
    """A mapping as a list: JSON has no records as keys."""
    return [[row.prompt_id, row.variant, value] for row, value in by_row.items()]


def unpaired(listed: list[Any]) -> list[tuple[RowKey, Any]]:
    """The inverse of `pairs`."""
    return [(RowKey(prompt_id, variant), value) for prompt_id, variant, value in listed]


def case_key(data: dict[str, Any]) -> CaseKey:
    """A case's name from its parts."""
    return CaseKey(GroupKey(**data["group"]), data["prompt_id"], data["variant"])


def generation(data: dict[str, Any]) -> Generation:
    """A generation from its parts; a journal of an earlier version lacks the last ones."""
    margins, along, lengths = data.get("margins"), data.get("path"), data.get("lengths")
    return Generation(
        text=data["text"],
        token_ids=None if data["token_ids"] is None else tuple(data["token_ids"]),
        logprobs=None if data["logprobs"] is None else tuple(data["logprobs"]),
        stop=data["stop"],
        environment=tuple((name, value) for name, value in data["environment"]),
        margins=None if margins is None else tuple(margins),
        verified=bool(data.get("verified", False)),
        unverified=str(data.get("unverified", "")),
        path=None if along is None else path(along),
        lengths=None if lengths is None else tuple(lengths),
    )


def path(data: dict[str, Any]) -> Path:
    """A path from its parts."""
    parts: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return Path(**parts)


def judgement(data: dict[str, Any]) -> Judgement:
    """A judgement from its parts."""
    likelihood = data["likelihood"]
    return Judgement(
        **{
            **data,
            "verdict": Verdict(data["verdict"]),
            "likelihood": None if likelihood is None else Likelihood(**likelihood),
        }
    )
