"""Compare models on a prompt table without pytest, in a notebook or a script."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pytest_llmcompare.baselines.content_digests import load_digests
from pytest_llmcompare.baselines.journal import Journal
from pytest_llmcompare.baselines.sources.protocol import BaselineReader, Outputs
from pytest_llmcompare.baselines.sources.reference_model import reference_model
from pytest_llmcompare.baselines.sources.registry import FORMS, open_known_source
from pytest_llmcompare.comparison.model_comparison import ModelComparison, ModelResult
from pytest_llmcompare.comparison.model_pairs import stop_strings_of
from pytest_llmcompare.comparison.summary import Summary, summarize
from pytest_llmcompare.errors import BaselineError, UsageError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import ThresholdResult
from pytest_llmcompare.models.pyproject_file import read_config
from pytest_llmcompare.models.run_settings import with_settings
from pytest_llmcompare.models.spec import ModelSpec, parse_specs
from pytest_llmcompare.models.warning_filters import library_warnings_ignored
from pytest_llmcompare.records import Baseline, Case, CaseResult, GroupKey, GroupResult
from pytest_llmcompare.reports.html import html_report
from pytest_llmcompare.reports.notebook import grid_html
from pytest_llmcompare.reports.progress import Silent, TerminalProgress
from pytest_llmcompare.reports.report import Report
from pytest_llmcompare.reports.report_data import report_data
from pytest_llmcompare.settings import Settings
from pytest_llmcompare.suite.group import Group
from pytest_llmcompare.suite.marker import Declaration, declare
from pytest_llmcompare.suite.readers import table_name

from .evaluate import evaluate
from .resources import Resources
from .standalone import CALL, NoBaselines, NoPlugins

UNNAMED = "comparison"  # name of a table that is not a file, without `name=`


@dataclass(frozen=True, repr=False)
class Comparison:
    """The answers of several models to the prompts of a table; a notebook shows them side by side.

    Attributes:
        outputs: A row per case: `input_text`, `prompt_id`, `variant` and `target` if there are any, and a column per
            model with its texts.
        results: A row per model and case, as in MLflow's results table: column `model`, then `input_text`, `outputs`,
            `baseline`, scores of metrics.
        metrics: A row per model: its metrics, `seconds` and `tokens`.
        models: The models, to be compared two by two as with the fixture `llm_comparison`.
        groups: The full result of each model: outputs with tokens and log-probs, verdicts, MLflow run.
        summary: What reports are drawn from.
    """

    outputs: pd.DataFrame
    results: pd.DataFrame
    metrics: pd.DataFrame
    models: ModelComparison
    groups: Mapping[str, GroupResult]
    summary: Summary = field(repr=False)

    @property
    def gates(self) -> tuple[tuple[str, ThresholdResult], ...]:
        """The thresholds with the names of their models."""
        return tuple((name, gate) for name, result in self.groups.items() for gate in result.gates)

    @property
    def passed(self) -> bool:
        """True if all thresholds are reached and all assertions of `expect` hold."""
        assertions = (one for result in self.groups.values() for row in result.assertions.values() for one in row)
        return all(gate.passed for _, gate in self.gates) and all(one.passed for one in assertions)

    def to_html(self) -> str:
        """The report of the option `--llm-report=report.html`, as one page."""
        report = Report(self.summary, tuple(self.groups.values()), passed=self.passed, command=CALL)
        return html_report(report_data(report))

    def __repr__(self) -> str:
        return f"<comparison of {', '.join(self.groups)}: {len(self.outputs):,} cases>"

    def _repr_html_(self) -> str:
        return grid_html(self.summary, self.gates)


@library_warnings_ignored()
def compare(
    models: str | Sequence[str],
    table: Any,
    *,
    baseline: str = "",
    device: str = "",
    dtype: str = "",
    tracking_uri: str = "",
    traces: bool = False,
    **keywords: Any,
) -> Comparison:
    """Ask several models the prompts of a table, and log and evaluate each of them in MLflow.

    Like a pytest run over the table, but no baseline is written. On a terminal it shows its progress.

    Args:
        models: Specs as in `--llm-models`: `["gpt2-large", "small=./models/small"]`. Names in `pyproject.toml` of the
            working folder are known.
        table: Prompt table as in the marker: path of a file, list of texts or dicts, or pandas DataFrame.
        baseline: As in `--llm-baseline`: `model:NAME`, `runs:/ID`, `git:REF`, `files`; by default nothing.
        device: Where local models run; empty chooses.
        dtype: Precision of the weights; empty takes the checkpoint's own.
        tracking_uri: MLflow tracking store; empty leaves MLflow's own rules.
        traces: Whether MLflow gets a trace per case with its verdict, for its GenAI pages.
        keywords: Keywords of the marker `llm_prompts`: `examples`, `gen_config`, `metrics`, `expect` and so on.

    Returns:
        The comparison, with frames.

    Raises:
        LlmCompareError: Wrong arguments or a faulty table; no model, or no answer of the tracking store.
    """
    root = Path.cwd()
    declaration = _declaration(table, keywords, root)
    settings = _settings(models, root, device=device, dtype=dtype, tracking_uri=tracking_uri, traces=traces)
    specs = [with_settings(spec, settings) for spec in parse_specs(settings.models, settings.named, root)]
    groups = {spec.name: _group(declaration, spec) for spec in specs}
    results: dict[str, GroupResult] = {}
    source = _source(baseline, root, groups, results)
    first = reference_model(source)
    load_digests(root)
    with tempfile.TemporaryDirectory() as scratch:
        resources = Resources(settings, root, Path(scratch), root, source)
        try:
            for name in sorted(groups, key=lambda name: name != first):
                results[name] = _evaluated(groups[name], resources)
                Journal(root, groups[name].key).discard()
            return _comparison(groups, {name: results[name] for name in groups}, resources, settings)
        finally:
            resources.close()


def _evaluated(group: Group, resources: Resources) -> GroupResult:
    """The evaluation of a group; its progress is shown on a terminal, and nothing in a log."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    progress = TerminalProgress(sys.stderr, nullcontext, new_line=False) if terminal else Silent()
    try:
        return evaluate(group, tuple(group.cases.values()), resources, progress)
    finally:
        progress.end()


def _settings(models: str | Sequence[str], root: Path, **given: Any) -> Settings:
    """The settings of a run over these models."""
    settings = Settings(
        models=(models,) if isinstance(models, str) else tuple(models),
        named=read_config(root / "pyproject.toml").get("models", {}),
        origins=dict.fromkeys(("models", *given), CALL),
        **given,
    )
    if not settings.models:
        raise UsageError("compare: no models. Expected specs, such as ['gpt2-large', 'small=./models/small'].")
    return settings


def _declaration(table: Any, keywords: Mapping[str, Any], root: Path) -> Declaration:
    """The table and keywords, read and checked as those of a marker."""
    named = keywords.get("name") or (table_name(table) if isinstance(table, str | os.PathLike) else UNNAMED)
    return declare((table,), {"model_type": None, **keywords, "name": named}, test=str(named), folder="", base=root)


def _group(declaration: Declaration, spec: ModelSpec) -> Group:
    """A table and a model, with what the table asks for."""
    key = GroupKey(declaration.folder, declaration.table, spec.name)
    cases = {case.key.row: case for case in declaration.cases(spec)}
    group = Group(key, spec, declaration, CALL, cases, NoPlugins(), selected=cases)
    group.join(declaration, spec, CALL)
    return group


def _source(
    baseline: str, root: Path, groups: Mapping[str, Group], results: Mapping[str, GroupResult]
) -> BaselineReader:
    """What the answers are compared with."""

    def outputs_of(key: GroupKey) -> Outputs:
        result, group = results.get(key.model), groups.get(key.model)
        if result is None or group is None:
            raise BaselineError(f"model {key.model!r} is not one of {', '.join(groups)}.")
        return Outputs({row: _baseline(group.cases[row], one) for row, one in result.generations.items()})

    if not baseline:
        return NoBaselines()
    source = open_known_source(baseline, root, "", outputs_of)
    if source is None:
        raise UsageError(f"compare: baseline={baseline!r} is not known. Expected one of {', '.join(FORMS)}.")
    name = reference_model(source)
    if name and name not in groups:
        raise UsageError(f"compare: baseline={baseline!r}, but there is no such model. Models: {', '.join(groups)}.")
    return source


def _baseline(case: Case, generation: Generation) -> Baseline:
    """An output as the baseline of a case."""
    return Baseline(case.key.row, generation, case.input_hash, case.settings_hash)


def _comparison(
    groups: Mapping[str, Group], results: Mapping[str, GroupResult], resources: Resources, settings: Settings
) -> Comparison:
    """The frames and the summary of results."""
    compares = not isinstance(resources.source, NoBaselines)
    seen = [one for name, group in groups.items() for one in _case_results(group, results[name], compares=compares)]
    summary = summarize(
        seen,
        tuple(results.values()),
        settings,
        declared={group.key: tuple(group.cases) for group in groups.values()},
        models=tuple(groups),
    )
    evaluated = {name: resources.evaluation(result) for name, result in results.items() if result.evaluation}
    tables = [one.tables["eval_results_table"].assign(model=name) for name, one in evaluated.items()]
    long = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    metrics = {
        name: {
            **(evaluated[name].metrics if name in evaluated else {}),
            "seconds": result.seconds,
            "tokens": result.tokens,
        }
        for name, result in results.items()
    }
    pairs = {name: _model_result(groups[name], result, resources) for name, result in results.items()}
    return Comparison(
        outputs=_side_by_side(groups, results),
        results=long[sorted(long.columns, key=lambda column: column != "model")],
        metrics=pd.DataFrame.from_dict(metrics, orient="index").rename_axis("model"),
        models=ModelComparison(pairs),
        groups=results,
        summary=summary,
    )


def _side_by_side(groups: Mapping[str, Group], results: Mapping[str, GroupResult]) -> pd.DataFrame:
    """The texts of all models, a row per case."""
    first = {row: case for group in groups.values() for row, case in group.cases.items()}
    columns: dict[str, list[Any]] = {
        "input_text": [case.input for case in first.values()],
        "prompt_id": [row.prompt_id for row in first],
    }
    if any(row.variant for row in first):
        columns["variant"] = [row.variant for row in first]
    if any(case.target is not None for case in first.values()):
        columns["target"] = [case.target for case in first.values()]
    for name, result in results.items():
        given = result.generations
        columns[name] = [given[row].text if row in given else None for row in first]
    return pd.DataFrame(columns)


def _case_results(group: Group, result: GroupResult, *, compares: bool) -> Iterator[CaseResult]:
    """The results of a group's cases, as tests would report them."""
    for row, case in group.cases.items():
        assertions = result.assertions.get(row, ())
        yield CaseResult(
            key=case.key,
            nodeid=f"{CALL}[{case.key.group.model}-{row}]",
            generation=result.generations.get(row),
            judgement=result.judgements.get(row) if compares else None,
            baseline_text=result.baseline_texts.get(row),
            input=case.input,
            input_hash=case.input_hash,
            settings_hash=case.settings_hash,
            target=case.target,
            stop_strings=stop_strings_of(case.gen_config),
            passed=row in result.generations and all(one.passed for one in assertions),
            conversation=case.row.conversation,
            model_changed=result.model_changed,
            assertions=assertions,
            columns={name: str(value) for name, value in case.columns.items() if value is not None},
            seconds=result.latencies.get(row),
            metrics=result.metrics.get(row, {}),
        )


def _model_result(group: Group, result: GroupResult, resources: Resources) -> ModelResult:
    """A model to be compared with others; its scores are read now, while the evaluation is there."""
    scores = resources.scores(group, result) if result.evaluation else {}
    return ModelResult(
        result,
        group.cases,
        read_scores=lambda: scores,
        less_is_better=lambda metric: resources.lower_is_better(group, metric),
    )
