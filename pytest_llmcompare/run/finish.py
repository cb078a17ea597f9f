"""The end of a run, on the controller: baselines are written and deleted as the options say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pytest_llmcompare.baselines.sources.protocol import BaselineWriter
from pytest_llmcompare.baselines.store import UpdateReport
from pytest_llmcompare.comparison.acceptance import acceptances, merged
from pytest_llmcompare.comparison.attempts import Place, nothing_compared, own_comparisons, skipped_late, unseen_faults
from pytest_llmcompare.comparison.drift_budget import BudgetCheck, check_budget
from pytest_llmcompare.comparison.summary import Summary, summarize, worst_cells
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import Attempt, CaseKey, CaseResult, GroupKey, GroupResult, RowKey
from pytest_llmcompare.reports.messages import failed_gates
from pytest_llmcompare.reports.terminal import sentence
from pytest_llmcompare.settings import Settings, Update

Declared = Mapping[GroupKey, Iterable[RowKey]]


class Conclusion:
    """What became of the baselines.

    Attributes:
        writer: Where they are written to; None where they were only read, which leaves nothing to write or to tidy.
        results: What the tests found.
        notes: What the user should know.
        faults: Why the run fails although its tests may have passed: all reasons, in the order they were found.
        obsolete: Baselines of rows that are gone from their tables, where they were not deleted.
        budgets: The models against the drift budget.
        kept: Cases whose output is now their baseline.
        models: Names of the run's models, in the order they were given.
    """

    def __init__(
        self,
        settings: Settings,
        results: Collection[CaseResult],
        groups: Mapping[GroupKey, GroupResult],
        writer: BaselineWriter | None,
    ) -> None:
        self.settings = settings
        self.writer = writer
        self.results = tuple(results)
        self.groups = groups
        self.notes: list[str] = []
        self.faults: list[str] = []
        self.obsolete: dict[GroupKey, tuple[RowKey, ...]] = {}
        self.budgets: tuple[BudgetCheck, ...] = ()
        self.kept: set[CaseKey] = set()
        self.models: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether something that was asked for could not be done, or too much drifted."""
        return bool(self.faults)

    def reach(self, declared: Iterable[Declared], *, whole: bool) -> None:
        """Write what is accepted, then look for what is obsolete.

        Args:
            declared: The rows that the tables have, by process.
            whole: Whether the run came to its end and knows all tables: not after an interruption or a collection
                error. Else nothing is deleted, and nothing follows from what did not happen.
        """
        tables = merged(declared)
        self.look_at_gates()
        if self.writer is not None:
            self.write(self.writer)
            self.tidy(self.writer, tables, safe_to_delete=whole)
        self.budgets = check_budget(worst_cells(self.results, self.settings), self.settings, whole=whole)
        self.faults.extend(sentence(check) for check in self.budgets if check.fails)

    def judge_tests(
        self, attempts: Mapping[str, Attempt], place: Place, *, tables: bool, selected: bool, whole: bool
    ) -> None:
        """Fail the run if tests passed unseen, or if none compared.

        Args:
            attempts: How the tests went, by node id.
            place: Where a test stands.
            tables: Whether any test that was collected has a prompt table.
            selected: Whether any of those was selected to run.
            whole: As in `reach`.
        """
        tried = attempts.values()
        for fault in unseen_faults(self.results, attempts, self.settings, place):
            self.fail(fault)
        nothing = nothing_compared(tried, self.settings, place, tables=tables, selected=selected) if whole else ""
        if nothing:
            self.fail(nothing)
        notes = [own_comparisons(tried), "" if nothing else skipped_late(tried, place)]
        self.notes.extend(note for note in notes if note)

    def fail(self, note: str) -> None:
        """Note what could not be done."""
        self.notes.append(note)
        self.faults.append(note)

    def look_at_gates(self) -> None:
        """A threshold that a table did not reach fails the run, whether or not a test asked for its evaluation."""
        for key in sorted(self.groups):
            for line in failed_gates(self.groups[key]):
                self.fail(line)

    def write(self, writer: BaselineWriter) -> None:
        """Write the accepted outputs."""
        refresh = self.settings.update is Update.ALL
        for acceptance in acceptances(self.results, self.settings.update):
            try:
                report = writer.update(
                    acceptance.group, acceptance.baselines, refresh=refresh, shifted=acceptance.shifted
                )
            except BaselineError as error:
                self.fail(str(error))
                continue
            self.kept.update(
                CaseKey(acceptance.group, baseline.row.prompt_id, baseline.row.variant)
                for baseline in acceptance.baselines
            )
            if report.written:
                self.notes.append(self.written(report))

    def written(self, report: UpdateReport) -> str:
        """One line on what an update wrote."""
        return f"{self.shown(report.path)}: {report.counts}"

    def tidy(self, writer: BaselineWriter, declared: Declared, *, safe_to_delete: bool) -> None:
        """Look for baselines of rows that are gone from their tables; delete them where `--llm-prune` says so."""
        if self.settings.prune and not safe_to_delete:
            self.fail("--llm-prune deleted nothing: the run was cut short, or a test file could not be collected.")
        for group, rows in declared.items():
            try:
                if self.settings.prune and safe_to_delete:
                    self.prune(writer, group, frozenset(rows))
                elif gone := writer.obsolete(group, frozenset(rows)):
                    self.obsolete[group] = gone
            except BaselineError as error:
                if self.settings.prune:  # else the group's own tests have said so
                    self.fail(str(error))

    def prune(self, writer: BaselineWriter, group: GroupKey, rows: frozenset[RowKey]) -> None:
        """Delete the obsolete baselines of one group."""
        gone = writer.prune(group, rows, confirmed=self.settings.prune == "yes")
        if gone:
            path = self.shown(writer.path_of(group))
            self.notes.append(f"{path}: {len(gone)} deleted: {', '.join(map(str, gone))}")

    def shown(self, path: Path) -> str:
        """A path as the user can open it: relative to the working folder where it lies below."""
        here = Path.cwd()
        return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()

    def summary(self, declared: Iterable[Declared]) -> Summary:
        """What the reports are drawn from."""
        return summarize(
            self.results,
            tuple(self.groups.values()),
            self.settings,
            declared=merged(declared),
            notes=self.notes,
            obsolete=self.obsolete,
            budgets=self.budgets,
            models=self.models,
            faults=self.faults,
        )
