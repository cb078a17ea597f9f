"""Records as JSON text: how they travel between processes. ASCII only, so that any text survives any channel.

pydantic converts the records and `json` the text: pydantic's own parser refuses lone surrogates, which models do write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .generation import Generation
from .judgement import AssertionResult, Judgement
from .records import GroupKey, GroupResult, RowKey

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

_BY_ROW: Mapping[str, Any] = {
    "generations": list[tuple[RowKey, Generation]],
    "failures": list[tuple[RowKey, str]],
    "judgements": list[tuple[RowKey, Judgement]],
    "baseline_texts": list[tuple[RowKey, str]],
    "baseline_tokens": list[tuple[RowKey, tuple[int, ...]]],
    "assertions": list[tuple[RowKey, tuple[AssertionResult, ...]]],
    "latencies": list[tuple[RowKey, float]],
    "metrics": list[tuple[RowKey, dict[str, float | str]]],
}
"""Mappings of a `GroupResult` as lists of pairs: JSON has no records as keys."""

_ROWS_BY_GROUP: Any = list[tuple[GroupKey, tuple[RowKey, ...]]]

_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def to_plain(record: Any, kind: Any = None) -> Any:
    """A record as dicts, tuples, texts and numbers, which `json.dumps` takes.

    Args:
        record: The record.
        kind: Its type, where `type(record)` does not say enough: `list[RowKey]`.
    """
    return _adapter(type(record) if kind is None else kind).dump_python(record, warnings=False)


def from_plain(kind: type[T], data: Any) -> T:
    """The inverse of `to_plain`. Keys that the record does not have are ignored.

    Raises:
        ValueError: The data are not those of such a record.
    """
    record: T = _adapter(kind).validate_python(data)
    return record


def to_json(record: Any) -> str:
    """A record as one JSON string."""
    return json.dumps(to_plain(record))


def from_json(kind: type[T], text: str) -> T:
    """The inverse of `to_json`. Raises as `from_plain` does."""
    return from_plain(kind, json.loads(text))


def group_result_to_json(result: GroupResult) -> str:
    """A group's result as one JSON string."""
    pairs = {name: to_plain([*getattr(result, name).items()], kind) for name, kind in _BY_ROW.items()}
    return json.dumps({**_adapter(GroupResult).dump_python(result, exclude={*_BY_ROW}, warnings=False), **pairs})


def group_result_from_json(text: str) -> GroupResult:
    """The inverse of `group_result_to_json`."""
    data = json.loads(text)
    for name in _BY_ROW.keys() & data.keys():
        data[name] = {RowKey(**row): value for row, value in data[name]}
    return from_plain(GroupResult, data)


def declared_to_json(declared: Mapping[GroupKey, Iterable[RowKey]]) -> str:
    """The rows that the tables have, by group."""
    return json.dumps(to_plain([(group, tuple(rows)) for group, rows in declared.items()], _ROWS_BY_GROUP))


def declared_from_json(text: str) -> dict[GroupKey, tuple[RowKey, ...]]:
    """The inverse of `declared_to_json`."""
    return dict(from_plain(_ROWS_BY_GROUP, json.loads(text)))


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """The cached converter of a type; making one takes milliseconds."""
    if kind not in _ADAPTERS:
        from pydantic import TypeAdapter

        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
