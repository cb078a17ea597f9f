"""The order of models and rows in reports: as the user wrote them, whatever order the results came in. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from pytest_llmcompare.records import CaseKey, GroupKey, RowKey


class Order:
    """Sort keys: models as named for the run, rows as in their table; whatever is unknown comes last, by name.

    Args:
        specs: Model specs of the run, as text.
        declared: Rows as the tables have them; a set of rows has no order and is sorted by name.
    """

    def __init__(self, specs: Sequence[str], declared: Mapping[GroupKey, Iterable[RowKey]]) -> None:
        self._models: dict[str, int] = {}
        for at, spec in enumerate(specs):
            for name in names_in(spec):
                self._models.setdefault(name, at)
        self._rows: dict[tuple[str, str], dict[RowKey, int]] = {}
        for key, rows in declared.items():
            listed = sorted(rows) if isinstance(rows, Set) else rows
            places = self._rows.setdefault((key.folder, key.table), {})
            for row in listed:
                places.setdefault(row, len(places))

    def of_model(self, model: str) -> tuple[int, str]:
        """Sort key of a model."""
        return self._models.get(model, len(self._models)), model

    def of_row(self, folder: str, table: str, row: RowKey) -> tuple[int, RowKey]:
        """Sort key of a row in its table."""
        places = self._rows.get((folder, table), {})
        return places.get(row, len(places)), row

    def of_group(self, key: GroupKey) -> tuple[str, str, tuple[int, str]]:
        """Sort key of a group."""
        return key.folder, key.table, self.of_model(key.model)

    def of_case(self, key: CaseKey) -> tuple[tuple[str, str, tuple[int, str]], tuple[int, RowKey]]:
        """Sort key of a case."""
        return self.of_group(key.group), self.of_row(key.group.folder, key.group.table, key.row)


def names_in(spec: str) -> Iterator[str]:
    """The names that a model with this spec may have: what stands before `=`, else the source or its last part."""
    name, equals, _ = spec.partition("=")
    yield name
    if not equals:
        source = name.partition("@")[0].rstrip("/")
        yield source
        yield source.rpartition("/")[2]
