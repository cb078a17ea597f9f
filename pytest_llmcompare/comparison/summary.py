"""What a run found, as one frozen record that all reports are drawn from. Pure.

Everything is derived from the records of tests and groups, whatever order they came in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pytest_llmcompare.comparison.drift_budget import BudgetCheck
from pytest_llmcompare.judgement import COMPARED, MATCHING, Verdict, severity_of
from pytest_llmcompare.records import CaseKey, CaseResult, Gate, GroupKey, GroupResult, RowKey
from pytest_llmcompare.settings import Settings

from .ordering import Order


@dataclass(frozen=True)
class Cell:
    """One case, as its tests found it.

    Attributes:
        key: Name of the case.
        verdict: The worst verdict of its tests; None where none of them compared.
        accepted: Whether an update option takes today's output as the baseline.
        result: The result that the verdict is from.
    """

    key: CaseKey
    verdict: Verdict | None
    accepted: bool
    result: CaseResult

    @property
    def text(self) -> str | None:
        """Today's text, or None where there is none."""
        return None if self.result.generation is None else self.result.generation.text

    @property
    def differs(self) -> bool:
        """Whether there is something to look at: where only a likelihood moved, the texts are equal."""
        if self.verdict is Verdict.SHIFTED:
            return self.text != self.result.baseline_text
        return self.verdict not in (None, Verdict.IDENTICAL)


@dataclass(frozen=True)
class TableRow:
    """One row of a prompt table, with a cell per model; None where no selected test had that model."""

    row: RowKey
    input: str
    cells: tuple[Cell | None, ...]

    @property
    def differs(self) -> bool:
        """Whether models differ here, or a model from its baseline."""
        cells = [cell for cell in self.cells if cell is not None]
        return len({cell.text for cell in cells}) > 1 or any(cell.differs for cell in cells)


@dataclass(frozen=True)
class Table:
    """One prompt table: its rows beside its models."""

    folder: str
    name: str
    models: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class ModelLine:
    """One model over all tables.

    Attributes:
        model: Its name.
        counts: Cases by verdict; None counts the cases that no test compared.
        accepted: Cases whose output an update option takes as the baseline.
        tokens: Tokens generated.
        seconds: Time it took to generate.
    """

    model: str
    counts: Mapping[Verdict | None, int]
    accepted: int
    tokens: int
    seconds: float

    @property
    def cases(self) -> int:
        """All cases that a test looked at."""
        return sum(self.counts.values())

    @property
    def comparable(self) -> int:
        """Cases that could drift: the whole that the drift rate is a part of."""
        return sum(self.counts.get(verdict, 0) for verdict in COMPARED)


@dataclass(frozen=True)
class EqualDrifts:
    """Cases of one model in which the same token became the same other token, wherever that was."""

    model: str
    baseline_token: str
    candidate_token: str
    cases: tuple[CaseKey, ...]


@dataclass(frozen=True)
class Summary:
    """What a run found.

    Attributes:
        models: One line per model.
        tables: Side by side, prompts and models.
        equal_drifts: The drifts, equal ones together, the most frequent first.
        notes: What the user should know, each once; the reasons in `faults` are among them.
        obsolete: Baselines that are in a file but no longer in the table, by group.
        budgets: The models against the drift budget, where there is one.
        gates: The thresholds on metrics with their values, passed or not, by table and model.
        faults: Why the run fails although its tests may have passed, each once.
        remarks: What is worth saying only if the user asks for more.
    """

    models: tuple[ModelLine, ...] = ()
    tables: tuple[Table, ...] = ()
    equal_drifts: tuple[EqualDrifts, ...] = ()
    notes: tuple[str, ...] = ()
    obsolete: tuple[tuple[GroupKey, tuple[RowKey, ...]], ...] = ()
    budgets: tuple[BudgetCheck, ...] = ()
    gates: tuple[tuple[GroupKey, tuple[Gate, ...]], ...] = ()
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def further_notes(self) -> tuple[str, ...]:
        """The notes that are not among the faults."""
        faults = set(self.faults)
        return tuple(note for note in self.notes if note not in faults)

    def with_notes(self, notes: Iterable[str]) -> Summary:
        """The same summary with further notes."""
        return replace(self, notes=each_once((*self.notes, *notes)))

    def with_fault(self, fault: str) -> Summary:
        """The same summary with a further reason to fail, which is a note, too."""
        return replace(self.with_notes([fault]), faults=each_once((*self.faults, fault)))

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cases, in the order of the tables."""
        return tuple(cell for table in self.tables for row in table.rows for cell in row.cells if cell is not None)

    def open(self, *verdicts: Verdict) -> int:
        """How many cases have one of these verdicts and are not accepted."""
        return sum(cell.verdict in verdicts and not cell.accepted for cell in self.cells)


def summarize(
    results: Sequence[CaseResult],
    groups: Sequence[GroupResult],
    settings: Settings,
    *,
    declared: Mapping[GroupKey, Iterable[RowKey]] | None = None,
    notes: Iterable[str] = (),
    obsolete: Mapping[GroupKey, Sequence[RowKey]] | None = None,
    budgets: Iterable[BudgetCheck] = (),
    models: Sequence[str] = (),
    faults: Iterable[str] = (),
) -> Summary:
    """Put a run's records together.

    Args:
        results: What the tests found; several may be of one case.
        groups: What evaluating the groups gave.
        settings: Settings of the run: what an update accepts.
        declared: Rows as the tables have them; gives the order of models and rows. Without it they are sorted by name.
        notes: More notes, after those of the groups.
        obsolete: Baselines of rows that are gone, by group.
        budgets: The models against the drift budget.
        models: Names of the run's models, in the order they were given.
        faults: Why the run fails although its tests may have passed.
    """
    return summary_of(
        worst_cells(results, settings),
        groups,
        declared=declared,
        notes=notes,
        obsolete=obsolete,
        budgets=budgets,
        models=models,
        faults=faults,
    )


def summary_of(
    cells: Mapping[CaseKey, Cell],
    groups: Sequence[GroupResult],
    *,
    declared: Mapping[GroupKey, Iterable[RowKey]] | None = None,
    notes: Iterable[str] = (),
    obsolete: Mapping[GroupKey, Sequence[RowKey]] | None = None,
    budgets: Iterable[BudgetCheck] = (),
    models: Sequence[str] = (),
    faults: Iterable[str] = (),
) -> Summary:
    """Put a run's cells and records together; the arguments are those of `summarize`."""
    order = Order(models, declared or {})
    by_group = {result.key: result for result in sorted(groups, key=lambda result: order.of_group(result.key))}
    said = [note for result in by_group.values() for note in result.notes]
    return Summary(
        models=model_lines(cells, by_group, order),
        tables=tables(cells, order),
        equal_drifts=equal_drifts(cells, order),
        notes=each_once((*said, *notes)),
        obsolete=tuple(
            (key, tuple(sorted(rows)))
            for key, rows in sorted((obsolete or {}).items(), key=lambda item: order.of_group(item[0]))
            if rows
        ),
        budgets=tuple(sorted(budgets, key=lambda check: order.of_model(check.model))),
        gates=tuple((key, result.gates) for key, result in by_group.items() if result.gates),
        faults=each_once(faults),
        remarks=each_once(remark for result in by_group.values() for remark in result.remarks),
    )


def each_once(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts without blanks around them, empty and repeated ones left out."""
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def worst_cells(results: Iterable[CaseResult], settings: Settings) -> dict[CaseKey, Cell]:
    """One cell per case. Of equally bad results the first by test name counts, so that their order does not."""
    by_case: dict[CaseKey, list[CaseResult]] = {}
    for result in results:
        by_case.setdefault(result.key, []).append(result)
    return {key: worst_cell(key, seen, settings) for key, seen in by_case.items()}


def worst_cell(key: CaseKey, seen: Sequence[CaseResult], settings: Settings) -> Cell:
    """What the tests of one case found together."""
    chosen = min(seen, key=lambda result: (-severity_of(verdict_of(result)), result.generation is None, result.nodeid))
    verdict = verdict_of(chosen)
    changed = verdict not in (None, *MATCHING)
    accepted = verdict is not None and changed and settings.update.accepts(verdict)
    return Cell(key, verdict, accepted and all(result.passed for result in seen), chosen)


def verdict_of(result: CaseResult) -> Verdict | None:
    """A test's verdict; one that failed before there was an output has met an error."""
    if result.judgement is not None:
        return result.judgement.verdict
    return Verdict.ERROR if result.generation is None and not result.passed else None


def model_lines(
    cells: Mapping[CaseKey, Cell], groups: Mapping[GroupKey, GroupResult], order: Order
) -> tuple[ModelLine, ...]:
    """One line per model that was asked anything."""
    by_model: dict[str, list[Cell]] = {key.model: [] for key in groups}
    for key, cell in cells.items():
        by_model.setdefault(key.group.model, []).append(cell)
    lines = []
    for model in sorted(by_model, key=order.of_model):
        counts = Counter(cell.verdict for cell in by_model[model])
        results = [groups[key] for key in sorted(groups) if key.model == model]
        lines.append(
            ModelLine(
                model=model,
                counts={verdict: counts[verdict] for verdict in (*Verdict, None) if counts[verdict]},
                accepted=sum(cell.accepted for cell in by_model[model]),
                tokens=sum(result.tokens for result in results),
                seconds=sum(result.seconds for result in results),
            )
        )
    return tuple(lines)


def tables(cells: Mapping[CaseKey, Cell], order: Order) -> tuple[Table, ...]:
    """The side-by-side tables."""
    by_table: dict[tuple[str, str], dict[CaseKey, Cell]] = {}
    for key, cell in cells.items():
        by_table.setdefault((key.group.folder, key.group.table), {})[key] = cell
    return tuple(table(folder, name, own, order) for (folder, name), own in sorted(by_table.items()))


def table(folder: str, name: str, cells: Mapping[CaseKey, Cell], order: Order) -> Table:
    """One side-by-side table."""
    names = {key.group.model for key in cells}
    models = tuple(sorted(names, key=lambda model: order.in_table(folder, name, model)))
    by_row: dict[RowKey, dict[str, Cell]] = {}
    for key, cell in cells.items():
        by_row.setdefault(key.row, {})[key.group.model] = cell
    rows = [
        TableRow(row, prompt_of(by_row[row].values()), tuple(by_row[row].get(model) for model in models))
        for row in sorted(by_row, key=lambda row: order.of_row(folder, name, row))
    ]
    return Table(folder, name, models, tuple(rows))


def prompt_of(cells: Iterable[Cell]) -> str:
    """The prompt of a row; all of its cells have the same."""
    return min((cell.result.input for cell in cells), default="")


def equal_drifts(cells: Mapping[CaseKey, Cell], order: Order) -> tuple[EqualDrifts, ...]:
    """Drifts with the same change in the same model, put together."""
    alike: dict[tuple[str, str, str], list[CaseKey]] = {}
    for key, cell in cells.items():
        judgement = cell.result.judgement
        if judgement is not None and cell.verdict is Verdict.DRIFTED and judgement.position is not None:
            change = (key.group.model, judgement.baseline_token, judgement.candidate_token)
            alike.setdefault(change, []).append(key)
    found = [EqualDrifts(*change, tuple(sorted(keys, key=order.of_case))) for change, keys in alike.items()]
    return tuple(sorted(found, key=lambda drifts: (-len(drifts.cases), order.of_case(drifts.cases[0]))))
