"""The order of models and rows in reports: as the user wrote them, not as their results came in. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from pytest_llmcompare.records import CaseKey, GroupKey, RowKey


class Order:
    """Sort keys: models as the user listed them, rows as in their table; unknown ones come last, by name.

    Args:
        models: Names of the run's models.
        declared: Rows of each table and model. The models of a table are in its own order, which a marker may give;
            a set of rows has no order and is sorted by name.
    """

    def __init__(self, models: Sequence[str], declared: Mapping[GroupKey, Iterable[RowKey]]) -> None:
        self._models = places_of((*models, *(key.model for key in declared)))
        self._models_of_table: dict[tuple[str, str], dict[str, int]] = {}
        self._rows: dict[tuple[str, str], dict[RowKey, int]] = {}
        for key, rows in declared.items():
            own = self._models_of_table.setdefault((key.folder, key.table), {})
            own.setdefault(key.model, len(own))
            listed = sorted(rows) if isinstance(rows, Set) else rows
            places = self._rows.setdefault((key.folder, key.table), {})
            for row in listed:
                places.setdefault(row, len(places))

    def of_model(self, model: str) -> tuple[int, str]:
        """Sort key of a model."""
        return self._models.get(model, len(self._models)), model

    def in_table(self, folder: str, table: str, model: str) -> tuple[int, tuple[int, str]]:
        """Sort key of a model in a table."""
        own = self._models_of_table.get((folder, table), {})
        return own.get(model, len(own)), self.of_model(model)

    def of_row(self, folder: str, table: str, row: RowKey) -> tuple[int, RowKey]:
        """Sort key of a row in its table."""
        places = self._rows.get((folder, table), {})
        return places.get(row, len(places)), row

    def of_group(self, key: GroupKey) -> tuple[str, str, tuple[int, tuple[int, str]]]:
        """Sort key of a group."""
        return key.folder, key.table, self.in_table(key.folder, key.table, key.model)

    def of_case(self, key: CaseKey) -> tuple[tuple[str, str, tuple[int, tuple[int, str]]], tuple[int, RowKey]]:
        """Sort key of a case."""
        return self.of_group(key.group), self.of_row(key.group.folder, key.group.table, key.row)


def places_of(names: Iterable[str]) -> dict[str, int]:
    """The index of each name at its first occurrence, repetitions not counted."""
    return {name: at for at, name in enumerate(dict.fromkeys(names))}
