"""The summary of a run, which all reports are drawn from; it does not depend on the order of its records. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from pytest_llmcompare.comparison.drift_budget import BudgetCheck
from pytest_llmcompare.judgement import COMPARED, ModelVerdict, ThresholdResult, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey, GroupResult, RowKey
from pytest_llmcompare.settings import Settings

from .cells import Cell, verdict_of, worst_cells
from .drift_groups import EqualDrifts, EqualTexts, drift_groups
from .ordering import Order
from .percentiles import percentiles

__all__ = [
    "Cell",
    "EqualDrifts",
    "EqualTexts",
    "MlflowPlace",
    "ModelLine",
    "Summary",
    "Table",
    "TableRow",
    "each_once",
    "summarize",
    "verdict_of",
    "worst_cells",
]


@dataclass(frozen=True)
class TableRow:
    """One row of a prompt table, with a cell per model; None if no selected test had that model."""

    row: RowKey
    input: str
    cells: tuple[Cell | None, ...]
    conversation: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """True if models differ from each other, or a model from its baseline."""
        cells = [cell for cell in self.cells if cell is not None]
        return len({cell.text for cell in cells}) > 1 or any(cell.differs for cell in cells)


@dataclass(frozen=True)
class Table:
    """One prompt table: a row per prompt, a column per model."""

    folder: str
    name: str
    models: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class ModelLine:
    """One model, summed over all tables.

    Attributes:
        model: Its name.
        counts: Cases by verdict; None counts the cases that no test compared.
        accepted: Cases whose output an update option takes as the baseline.
        tokens: Tokens generated.
        seconds: Time spent generating.
        latency: Percentiles of the seconds per case, `p50`, `p90` and `p99`; empty if no time is known.
        level: What the server of a served model shows of its answers: `path`, `output` or `text`; else empty.
        asserted, holding: Number of outputs with assertions, and of those that pass all of them.
    """

    model: str
    counts: Mapping[Verdict | None, int]
    accepted: int
    tokens: int
    seconds: float
    level: str = ""
    latency: Mapping[str, float] = field(default_factory=dict)
    asserted: int = 0
    holding: int = 0

    @property
    def cases(self) -> int:
        """All cases that a test has asked for."""
        return sum(self.counts.values())

    @property
    def comparable(self) -> int:
        """Cases that were compared: the denominator of the drift rate."""
        return sum(self.counts.get(verdict, 0) for verdict in COMPARED)


@dataclass(frozen=True)
class MlflowPlace:
    """Where MLflow has runs of this run: address of the store without secrets, experiment, number of runs in it."""

    tracking_uri: str
    experiment_id: str
    runs: int


@dataclass(frozen=True)
class Summary:
    """Results of a run.

    Attributes:
        models: One line per model.
        tables: Side by side, prompts and models.
        equal_drifts: The drifts, grouped by the tokens that differ, the most frequent first.
        equal_texts: The drifts, grouped by both texts, the most frequent first.
        notes: Notes for the user, each once; the reasons in `faults` are among them.
        obsolete: Baselines that are in a file but no longer in the table, by group.
        budgets: Each model against the drift budget; empty without one.
        gates: The thresholds on metrics with their values, passed or missed, by table and model.
        model_verdicts: Whether each model changed, by table and model.
        faults: Why the run fails although its tests may have passed, each once.
        remarks: Notes that only `-v` shows.
        cached, answers: Number of answers from the answer cache, and of all answers.
        mlflow: The experiments with runs of this run, in the order of the tables.
    """

    models: tuple[ModelLine, ...] = ()
    tables: tuple[Table, ...] = ()
    equal_drifts: tuple[EqualDrifts, ...] = ()
    equal_texts: tuple[EqualTexts, ...] = ()
    notes: tuple[str, ...] = ()
    obsolete: tuple[tuple[GroupKey, tuple[RowKey, ...]], ...] = ()
    budgets: tuple[BudgetCheck, ...] = ()
    gates: tuple[tuple[GroupKey, tuple[ThresholdResult, ...]], ...] = ()
    model_verdicts: tuple[tuple[GroupKey, ModelVerdict], ...] = ()
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    cached: int = 0
    answers: int = 0
    mlflow: tuple[MlflowPlace, ...] = ()

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

    @property
    def texts(self) -> str:
        """How many texts differ, whatever their verdicts: `1 of 3 texts differs from its baseline`; empty for none."""
        compared = [cell for cell in self.cells if cell.verdict in COMPARED and cell.result.baseline_text is not None]
        differing = sum(cell.text != cell.result.baseline_text for cell in compared)
        if not compared:
            return ""
        differ = "differs from its baseline" if differing == 1 else "differ from their baselines"
        return f"{differing:,} of {len(compared):,} texts {differ}"

    def open(self, *verdicts: Verdict) -> int:
        """How many outputs an update option would accept, with one of these verdicts."""
        return sum(cell.waits_as in verdicts for cell in self.cells)


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
    cells: Mapping[CaseKey, Cell] | None = None,
) -> Summary:
    """Summarize the records of a run.

    Args:
        results: Results of the tests; several may be of one case.
        groups: Results of the groups.
        settings: Settings of the run: what an update accepts.
        declared: The rows of the tables; gives the order of models and rows. Without it they are sorted by name.
        notes: More notes, after those of the groups.
        obsolete: Baselines of rows that are gone, by group.
        budgets: Each model against the drift budget.
        models: Names of the run's models, in the order they were given.
        faults: Why the run fails although its tests may have passed.
        cells: The result of `worst_cells`, if the caller has it already.
    """
    cells = worst_cells(results, settings) if cells is None else cells
    order = Order(models, declared or {})
    by_group = {result.key: result for result in sorted(groups, key=lambda result: order.of_group(result.key))}
    group_notes = [note for result in by_group.values() for note in result.notes]
    return Summary(
        models=model_lines(cells, by_group, order),
        tables=tables(cells, order),
        equal_drifts=drift_groups(EqualDrifts, cells, order),
        equal_texts=drift_groups(EqualTexts, cells, order),
        notes=each_once((*group_notes, *notes)),
        obsolete=obsolete_rows(obsolete or {}, order),
        budgets=tuple(sorted(budgets, key=lambda check: order.of_model(check.model))),
        gates=tuple((key, result.gates) for key, result in by_group.items() if result.gates),
        model_verdicts=tuple(
            (key, result.model_verdict) for key, result in by_group.items() if result.model_verdict is not None
        ),
        faults=each_once(faults),
        remarks=each_once(remark for result in by_group.values() for remark in result.remarks),
        cached=sum(result.cached for result in by_group.values()),
        answers=sum(result.answers for result in by_group.values()),
        mlflow=mlflow_places(by_group.values()),
    )


def obsolete_rows(
    obsolete: Mapping[GroupKey, Sequence[RowKey]], order: Order
) -> tuple[tuple[GroupKey, tuple[RowKey, ...]], ...]:
    """Groups with obsolete baselines, and the rows of these."""
    groups = sorted((key for key, rows in obsolete.items() if rows), key=order.of_group)
    return tuple((key, tuple(sorted(obsolete[key]))) for key in groups)


def each_once(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts, stripped, without empty and repeated ones."""
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def model_lines(
    cells: Mapping[CaseKey, Cell], groups: Mapping[GroupKey, GroupResult], order: Order
) -> tuple[ModelLine, ...]:
    """One line per model of the run."""
    by_model: dict[str, list[Cell]] = {key.model: [] for key in groups}
    for key, cell in cells.items():
        by_model.setdefault(key.group.model, []).append(cell)
    lines = []
    for model in sorted(by_model, key=order.of_model):
        counts = Counter(cell.verdict for cell in by_model[model])
        asserted = [not cell.fails_assertion for cell in by_model[model] if cell.result.assertions]
        results = [groups[key] for key in sorted(groups) if key.model == model]
        lines.append(
            ModelLine(
                model=model,
                counts={verdict: counts[verdict] for verdict in (*Verdict, None) if counts[verdict]},
                accepted=sum(cell.accepted for cell in by_model[model]),
                tokens=sum(result.tokens for result in results),
                seconds=sum(result.seconds for result in results),
                level=" ".join(dict.fromkeys(result.level for result in results if result.level)),
                latency=percentiles(seconds for result in results for seconds in result.latencies.values()),
                asserted=len(asserted),
                holding=sum(asserted),
            )
        )
    return tuple(lines)


def tables(cells: Mapping[CaseKey, Cell], order: Order) -> tuple[Table, ...]:
    """The tables, by folder and name."""
    by_table: dict[tuple[str, str], dict[CaseKey, Cell]] = {}
    for key, cell in cells.items():
        by_table.setdefault((key.group.folder, key.group.table), {})[key] = cell
    return tuple(table_summary(folder, name, own, order) for (folder, name), own in sorted(by_table.items()))


def table_summary(folder: str, name: str, cells: Mapping[CaseKey, Cell], order: Order) -> Table:
    """One table, in the order of its rows and models."""
    names = {key.group.model for key in cells}
    models = tuple(sorted(names, key=lambda model: order.in_table(folder, name, model)))
    by_row: dict[RowKey, dict[str, Cell]] = {}
    for key, cell in cells.items():
        by_row.setdefault(key.row, {})[key.group.model] = cell
    rows = [
        TableRow(
            row,
            min(cell.result.input for cell in by_row[row].values()),
            tuple(by_row[row].get(model) for model in models),
            max(cell.result.conversation for cell in by_row[row].values()),
            max((cell.result.columns for cell in by_row[row].values()), key=len),
        )
        for row, own in sorted(by_row.items(), key=lambda item: order.of_row(folder, name, item[0]))
    ]
    return Table(folder, name, models, tuple(rows))


def mlflow_places(groups: Iterable[GroupResult]) -> tuple[MlflowPlace, ...]:
    """The experiments that hold the runs of groups."""
    runs = Counter((group.tracking_uri, group.experiment_id) for group in groups if group.experiment_id)
    return tuple(MlflowPlace(*place, number) for place, number in runs.items())
