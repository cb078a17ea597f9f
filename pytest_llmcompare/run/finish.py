"""The end of a run: baselines are written and deleted as the options say, and the run is summarized."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_llmcompare.baselines.sources.protocol import BaselineWriter
from pytest_llmcompare.comparison.acceptance import acceptances
from pytest_llmcompare.comparison.attempts import (
    Attempt,
    nothing_compared,
    own_comparisons,
    skipped_late,
    unseen_faults,
)
from pytest_llmcompare.comparison.cells import worst_cells
from pytest_llmcompare.comparison.drift_budget import check_budget
from pytest_llmcompare.comparison.summary import Summary, summarize
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey, GroupResult, RowKey
from pytest_llmcompare.reports.model_sentences import failed_verdict
from pytest_llmcompare.reports.terminal_findings import sentence
from pytest_llmcompare.reports.threshold_lines import failed_thresholds
from pytest_llmcompare.settings import Settings, Update

from .pending_tracker import PendingTracker


@dataclass(frozen=True)
class RunRecords:
    """All that the tests and groups of a run have reported.

    Attributes:
        results: Results of the cases; several tests may share a case.
        attempts: How the marked tests went, by node id.
        groups: Results of the groups.
        declared: The rows of the tables, in their order.
        models: Names of the run's models, in the order they were given.
        selected: Whether any test of a prompt table was selected to run.
        whole: Whether the run came to its end and knows all tables: not after an interruption or a collection error.
            Otherwise nothing is deleted, and missing comparisons are no fault.
        place: Gives where a test is defined, by its node id.
    """

    results: Sequence[CaseResult]
    attempts: Mapping[str, Attempt]
    groups: Mapping[GroupKey, GroupResult]
    declared: Mapping[GroupKey, tuple[RowKey, ...]]
    models: tuple[str, ...]
    selected: bool
    whole: bool
    place: Callable[[str], str]


@dataclass
class Notes:
    """Sentences about the end of a run, collected step by step.

    Attributes:
        notes: Notes for the user.
        faults: Why the run fails although its tests may have passed, in the order it was noticed.
    """

    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def fail(self, fault: str) -> None:
        """Add a reason to fail, which is a note, too."""
        self.notes.append(fault)
        self.faults.append(fault)


def finish(
    records: RunRecords, settings: Settings, writer: BaselineWriter | None, pending: PendingTracker, notes: Notes
) -> Summary:
    """Write the accepted outputs, look for what makes the run fail, and summarize the run.

    Args:
        records: What the run has reported.
        settings: Settings of the run.
        writer: Where baselines are written to; None if they are only read, so that nothing is written or deleted.
        pending: The outputs that wait to be accepted; it learns which of them are baselines now.
        notes: Notes so far; this function adds its own.
    """
    for key in sorted(records.groups):  # a missed threshold fails the run even if no test asks for its evaluation
        for line in failed_thresholds(records.groups[key]):
            notes.fail(line)
        if fault := changed_model(records.groups[key], settings):
            notes.fail(fault)
    cells = worst_cells(records.results, settings)
    written: set[CaseKey] = set()
    obsolete: dict[GroupKey, tuple[RowKey, ...]] = {}
    if writer is not None:
        written = write_accepted(records.results, settings, writer, notes)
        obsolete = delete_or_list_obsolete(records, settings, writer, notes)
    budgets = check_budget(cells, settings, whole=records.whole)
    notes.faults.extend(sentence(check) for check in budgets if check.fails)
    check_tests(records, settings, notes)
    pending.end(written)
    notes.notes.extend(pending.notes)
    for key in sorted(records.groups):
        if fault := records.groups[key].notification_fault:
            notes.fail(fault)
    return summarize(
        records.results,
        tuple(records.groups.values()),
        settings,
        declared=records.declared,
        notes=notes.notes,
        obsolete=obsolete,
        budgets=budgets,
        models=records.models,
        faults=notes.faults,
        cells=cells,
    )


def changed_model(result: GroupResult, settings: Settings) -> str:
    """Why a model that changed fails the run: `--llm-shift=fail`, unless an update option accepts it; else empty."""
    if result.model_verdict is None or not result.model_changed or settings.lets_stand(Verdict.SHIFTED):
        return ""
    return failed_verdict(result.key, result.model_verdict)


def write_accepted(
    results: Sequence[CaseResult], settings: Settings, writer: BaselineWriter, notes: Notes
) -> set[CaseKey]:
    """Write the outputs that the update option accepts.

    Returns:
        The cases that have their output as baseline now.
    """
    written: set[CaseKey] = set()
    if settings.update is Update.NOTHING:
        return written
    for acceptance in acceptances(results, settings.update):
        refresh = settings.update is Update.ALL
        try:
            report = writer.update(acceptance.group, acceptance.baselines, refresh=refresh, shifted=acceptance.shifted)
        except BaselineError as error:
            notes.fail(str(error))
            continue
        rows = (baseline.row for baseline in acceptance.baselines)
        written.update(CaseKey(acceptance.group, row.prompt_id, row.variant) for row in rows)
        if report.written:
            notes.notes.append(f"{_shown(report.path)}: {report.counts}")
    return written


def delete_or_list_obsolete(
    records: RunRecords, settings: Settings, writer: BaselineWriter, notes: Notes
) -> dict[GroupKey, tuple[RowKey, ...]]:
    """Find baselines whose rows are gone from their tables; delete them if `--llm-prune` says so.

    Returns:
        Those that were not deleted, by group.
    """
    obsolete: dict[GroupKey, tuple[RowKey, ...]] = {}
    if settings.prune and not records.whole:
        notes.fail("--llm-prune deleted nothing: the run was cut short, or a test file could not be collected.")
    for group, declared in records.declared.items():
        rows = frozenset(declared)
        try:
            if settings.prune and records.whole:
                if gone := writer.prune(group, rows, confirmed=settings.prune == "yes"):
                    names = ", ".join(map(str, gone))
                    notes.notes.append(f"{_shown(writer.path_of(group))}: {len(gone)} deleted: {names}")
            elif gone := writer.obsolete(group, rows):
                obsolete[group] = gone
        except BaselineError as error:
            if settings.prune:  # otherwise the tests of the group have reported it
                notes.fail(str(error))
    return obsolete


def check_tests(records: RunRecords, settings: Settings, notes: Notes) -> None:
    """Fail the run if a test passed over a difference, or if nothing was compared."""
    for fault in unseen_faults(records.results, records.attempts, settings, records.place):
        notes.fail(fault)
    attempts = records.attempts.values()
    nothing = ""
    if records.whole:
        tables = bool(records.declared)
        nothing = nothing_compared(attempts, settings, records.place, tables=tables, selected=records.selected)
    if nothing:
        notes.fail(nothing)
    also = [own_comparisons(attempts), "" if nothing else skipped_late(attempts, records.place)]
    notes.notes.extend(filter(None, also))


def _shown(path: Path) -> str:
    """A path as the user can open it: relative to the working folder if it lies below."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()


def source_note(title: str, model: str) -> str:
    """What the outputs were compared with, if not with files.

    Args:
        title: The source of baselines.
        model: Name of the model whose outputs are the baselines; empty if no model's are.
    """
    own = f"; model {model!r} is not compared itself, so its tests that compare are left out" if model else ""
    return f"baselines: {title}{own}"
