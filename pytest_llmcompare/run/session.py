"""The groups of a run in one process: declared by tests, selected, evaluated. Does not import pytest."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.baselines.sources.protocol import BaselineReader
from pytest_llmcompare.baselines.sources.reference_model import reference_model
from pytest_llmcompare.comparison.model_comparison import ModelComparison, ModelResult
from pytest_llmcompare.errors import LlmCompareError, UsageError, unforeseen
from pytest_llmcompare.models.run_settings import with_settings
from pytest_llmcompare.models.served import check_variables
from pytest_llmcompare.models.spec import ModelSpec, SourceKind, parse_specs
from pytest_llmcompare.models.warning_filters import library_warnings_ignored
from pytest_llmcompare.records import GroupKey, GroupResult, RowKey
from pytest_llmcompare.serving.request_fields import check_settings
from pytest_llmcompare.settings import OFF, Settings
from pytest_llmcompare.suite.group import Group
from pytest_llmcompare.suite.marker import Declaration
from pytest_llmcompare.text import in_text_without_secrets

from .command_line import CommandLine
from .model_lookup import ModelLookup

if TYPE_CHECKING:
    from pytest_llmcompare.evaluation.resources import Resources
    from pytest_llmcompare.suite.extensions import Extensions, Progress

Once = Callable[[Path, GroupKey, Callable[[], GroupResult]], GroupResult]
"""Computes a group's result, or takes it from another process that shares the folder."""


class Session:
    """One run in one process: its groups and their results.

    Args:
        settings: Settings of the run.
        root: pytest's root folder.
        progress: Shows how the evaluation of a group proceeds.
        once: Computes a group's result, or takes it from another process of the run.
        extensions: What plugins add to the whole run.
        source: Where baselines come from.
        command_line: The pytest command of the run.

    Attributes:
        reference: The model whose outputs are the baselines; empty if no model's are.
        groups, results: The groups that tests have declared, and the results of those that are evaluated.
        owners: For each folder and table, a fingerprint of its cases and the first test that declared it.
        shown_reasons: Reasons of failures that were shown in full: a model that cannot be loaded fails all its tests.
        all_collected: Whether all test files could be collected.
        any_selected: Whether any marked test was selected to run.
        scratch: Folder for files of this run, shared by xdist's workers; set by the first test that runs.
        started: Folder that pytest was started in; a test may change to another.
    """

    def __init__(
        self,
        settings: Settings,
        root: Path,
        progress: Progress,
        once: Once,
        extensions: Extensions,
        *,
        source: BaselineReader,
        command_line: CommandLine,
    ) -> None:
        self.settings = settings
        self.source = source
        self.reference = reference_model(source)
        self.root = root
        self.progress = progress
        self.once = once
        self.extensions = extensions
        self.groups: dict[GroupKey, Group] = {}
        self.results: dict[GroupKey, GroupResult] = {}
        self.owners: dict[tuple[str, str], tuple[str, str]] = {}
        self.parsed: dict[tuple[str, ...], tuple[ModelSpec, ...]] = {}
        self.lookup = ModelLookup(root, recalls=settings.cache != OFF)
        self.command_line = command_line
        self.shown_reasons: set[str] = set()
        self.all_collected = True
        self.any_selected = False
        self.scratch = Path()
        self.started = Path.cwd()
        self.resources: Resources | None = None

    def specs(self, texts: tuple[str, ...] = ()) -> tuple[ModelSpec, ...]:
        """The models of a marker, or else of the run, with the run's device and precision.

        Raises:
            UsageError: A spec that cannot be read.
        """
        wanted = texts or self.settings.models
        if wanted not in self.parsed:
            parsed = parse_specs(wanted, self.settings.named, self.root, others=self.extensions.loads_models)
            self.parsed[wanted] = tuple(with_settings(spec, self.settings) for spec in parsed)
        return self.parsed[wanted]

    def model_names(self) -> tuple[str, ...]:
        """Names of the run's models, in the order they were given; none if they cannot be read."""
        try:
            return tuple(spec.name for spec in self.specs())
        except UsageError:  # it has ended collection already
            return ()

    def declare(self, declaration: Declaration, owner: str, extensions: Extensions) -> list[Group]:
        """The groups of a test's table, one per model; tests that declare the same table share them.

        Args:
            declaration: The marker, read.
            owner: The test, for messages.
            extensions: What plugins add in the test's folder.

        Raises:
            UsageError: Another test of the same folder gave this table's name to other cases.
        """
        place = (declaration.folder, declaration.table)
        # Left out, an experiment is named after its test: tests that share a table would not share that.
        own = dataclasses.replace(declaration, experiment="").fingerprint
        fingerprint, first = self.owners.setdefault(place, (own, owner))
        if fingerprint != own:
            raise UsageError(
                f"{owner} and {first} both use a table named {declaration.table!r} in folder {declaration.folder}, "
                "with different rows or settings, so their baselines would overwrite each other.\n"
                f'Give one of them another name, llm_prompts(..., name="{declaration.table}_2"), '
                "or put both settings into variants={...}."
            )
        return [self.group(declaration, spec, owner, extensions) for spec in self.specs(declaration.models)]

    def group(self, declaration: Declaration, spec: ModelSpec, owner: str, extensions: Extensions) -> Group:
        """The group of a table and a model, created by the first test that declares it.

        Raises:
            UsageError: The same model name stands for two sources, two tests name different experiments, or a served
                model cannot follow the settings.
        """
        key = GroupKey(declaration.folder, declaration.table, spec.name)
        group = self.groups.get(key)
        if group is None:
            cases = {case.key.row: case for case in declaration.cases(spec)}
            for case in cases.values() if spec.kind is SourceKind.SERVER else ():
                check_settings(spec.name, case.gen_config)
            group = self.groups[key] = Group(key, spec, declaration, owner, cases, extensions)
        group.join(declaration, spec, owner)
        return group

    def select(self, asked: Iterable[tuple[GroupKey, RowKey | None]]) -> None:
        """Record which cases the selected tests need.

        Args:
            asked: Group and row of each test; None for the whole table.
        """
        for key, row in asked:
            group = self.groups[key]
            group.selected.update(group.cases if row is None else group.samples(row))
        for group in [*self.groups.values()] if self.reference else ():
            if first := self.groups.get(dataclasses.replace(group.key, model=self.reference)):
                first.selected.update({row: first.cases[row] for row in group.selected if row in first.cases})

    def check_variables(self) -> None:
        """Check that the environment holds the variables that served models need in the selected tests.

        Raises:
            UsageError: One is missing.
        """
        for group in self.groups.values():
            if group.selected:
                check_variables(group.spec.name, group.spec.server, os.environ)

    def result(self, key: GroupKey) -> GroupResult:
        """The result of a group, evaluated on first use; a failure is kept, so that other tests do not try again."""
        if self.reference not in ("", key.model):  # all of that model first, so that one is in memory at a time
            for group in [*self.groups.values()]:
                if group.key.model == self.reference and group.selected:
                    self.result(group.key)
        if key not in self.results:
            self.results[key] = self.once(self.scratch, key, lambda: self.evaluate_and_notify(self.groups[key]))
        return self.results[key]

    def remaining(self, *keys: GroupKey) -> int:
        """How many cases must be evaluated before these groups have their results."""
        wanted = {*keys, *(key for key in self.groups if self.reference and key.model == self.reference)}
        return sum(len(self.groups[key].selected) for key in wanted if key not in self.results)

    def give_up(self, keys: Iterable[GroupKey], why: str) -> None:
        """Record that the evaluation of the first of these groups without a result was ended, and why."""
        if late := next((key for key in keys if key not in self.results), None):
            self.results[late] = GroupResult(late, error=f"its evaluation was ended: {why}")

    def evaluate_and_notify(self, group: Group) -> GroupResult:
        """Evaluate a group and notify plugins."""
        result = self.evaluate(group)
        fault = group.extensions.group_finished(result)
        return dataclasses.replace(result, notification_fault=fault) if fault else result

    @library_warnings_ignored()
    def evaluate(self, group: Group) -> GroupResult:
        """Evaluate the selected cases of a group."""
        try:
            self.lookup.check_early(group.spec)
            from pytest_llmcompare.evaluation.heavy_imports import heavy_imports

            if "mlflow" not in sys.modules:
                self.progress.say("importing MLflow")
            with heavy_imports():
                from pytest_llmcompare.evaluation.evaluate import evaluate
            resolved = self.lookup.resolve(group.spec)
            return evaluate(group, tuple(group.selected.values()), self.heavy(), self.progress, resolved)
        except LlmCompareError as error:
            return GroupResult(group.key, error=str(error))
        except Exception as error:  # unexpected, so its traceback matters; but once, not for each test
            return GroupResult(group.key, error=in_text_without_secrets(unforeseen(error)))
        finally:
            self.progress.end()

    @library_warnings_ignored()
    def model(self, key: GroupKey) -> Any:
        """The MLflow-logged, loaded `PyFuncModel` of a group.

        Raises:
            ModelError: It cannot be loaded.
        """
        result = self.result(key)
        return self.heavy().model(self.groups[key], result)

    @library_warnings_ignored()
    def evaluation(self, key: GroupKey) -> Any:
        """MLflow's `EvaluationResult` of a group."""
        return self.heavy().evaluation(self.result(key))

    def compare_models(self, keys: Sequence[GroupKey]) -> ModelComparison:
        """All models of a table, evaluated one after the other, to be compared with each other."""
        return ModelComparison({key.model: self.model_result(key) for key in keys})

    def model_result(self, key: GroupKey) -> ModelResult:
        """One model of a table; its scores are read when they are used."""
        group, result = self.groups[key], self.result(key)
        return ModelResult(
            result,
            group.cases,
            read_scores=library_warnings_ignored()(lambda: self.heavy().scores(group, result)),
            less_is_better=library_warnings_ignored()(lambda metric: self.heavy().lower_is_better(group, metric)),
        )

    def heavy(self) -> Resources:
        """The tracking store and the loaded models; made on first use, because that imports mlflow."""
        if self.resources is None:
            from pytest_llmcompare.evaluation.resources import Resources

            self.resources = Resources(self.settings, self.root, self.scratch, self.started, self.source)
        return self.resources

    @library_warnings_ignored()
    def close(self) -> None:
        """Free the model, and prepare the end of the process."""
        if self.resources is not None:
            from pytest_llmcompare.evaluation.heavy_imports import end_quickly

            self.resources.close()
            end_quickly()

    def results_without_outputs(self) -> dict[GroupKey, GroupResult]:
        """The results without outputs and verdicts, which the tests' own reports carry."""
        return {key: result.without_outputs() for key, result in self.results.items()}

    def declared(self) -> dict[GroupKey, tuple[RowKey, ...]]:
        """All rows of the tables, selected or not."""
        return {key: tuple(group.cases) for key, group in self.groups.items()}
