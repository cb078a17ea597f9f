"""Frozen records that all other modules pass around. Standard library only, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .generation import Generation, harmless
from .judgement import AnswerCount, AssertionResult, Finding, Judgement, ModelVerdict, ThresholdResult
from .text import digest, digest_of


@dataclass(frozen=True, order=True)
class GroupKey:
    """Names a group: all cases of one table and one model.

    Attributes:
        folder: Folder of the test file, relative to pytest's root, with `/`; `.` for the root itself.
        table: Name of the prompt table.
        model: Name of the model.
    """

    folder: str
    table: str
    model: str


@dataclass(frozen=True, order=True)
class CaseKey:
    """Names a case: one row of a table, one model, one decoding variant (empty if there are none)."""

    group: GroupKey
    prompt_id: str
    variant: str = ""

    @property
    def row(self) -> RowKey:
        """The case's row and variant, without the model."""
        return RowKey(self.prompt_id, self.variant)

    def __str__(self) -> str:
        return f"{self.group.table}/{self.group.model}/{self.row}"


@dataclass(frozen=True, order=True)
class RowKey:
    """Names a row of a table in one decoding variant; unique in its table and in a baseline file."""

    prompt_id: str
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.prompt_id}@{self.variant}" if self.variant else self.prompt_id


@dataclass(frozen=True)
class Row:
    """One row of a prompt table, read and checked.

    Attributes:
        id: Prompt id, unique in the table.
        input: The prompt.
        target: The expected answer, if the table has one.
        examples: Few-shot examples of this row, put before the input; None if the row has none.
        gen_config: Decoding settings of this row.
        columns: All other columns, which reports show.
        conversation: Messages and tools as JSON text, if it is one; `input` is then the last message of the user.
        expect: Assertions on the output, as written: `contains: 30 days`.
    """

    id: str
    input: str
    target: str | None = None
    examples: str | None = None
    gen_config: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    conversation: str = ""
    expect: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One prompt for one model: a row with the examples, decoding settings and seed that apply to it.

    Attributes:
        key: Name of the case.
        row: The row of the table.
        examples: Few-shot examples that apply, put before `row.input`.
        gen_config: Decoding settings that apply, defaults included.
        seed: Seed for sampling; greedy decoding ignores it.
        template: Chat template: `""` none, `"tokenizer"` or `"server"` that one's own, else a Jinja template.
        sample: Number of this sample of the row, from 0. Each is a case; those after the first have it as variant.
    """

    key: CaseKey
    row: Row
    examples: str
    gen_config: Mapping[str, Any]
    seed: int
    template: str = ""
    sample: int = 0

    @property
    def id(self) -> str:
        """The prompt id."""
        return self.row.id

    @property
    def input(self) -> str:
        """The prompt of the row, without examples."""
        return self.row.input

    @property
    def target(self) -> str | None:
        """The expected answer, if the table has one."""
        return self.row.target

    @property
    def columns(self) -> Mapping[str, Any]:
        """The table's other columns."""
        return self.row.columns

    @property
    def prompt(self) -> str:
        """The whole text before the output: examples, then input; of a conversation its messages and tools as JSON."""
        return self.row.conversation or self.examples + self.row.input

    def __repr__(self) -> str:
        # pytest shows it with every failure, where all fields would be a screenful.
        return f"<case {self.key}: {harmless(self.row.input)}>"

    @property
    def samples(self) -> bool:
        """True for sampled decoding."""
        return bool(self.gen_config.get("do_sample"))

    @cached_property
    def input_hash(self) -> str:
        """8 hex digits that change with the prompt or its examples, or with messages and tools."""
        return digest(self.prompt)

    @cached_property
    def settings_hash(self) -> str:
        """8 hex digits that change with the decoding settings, the chat template or (if it samples) the seed."""
        facts: dict[str, Any] = {"gen_config": dict(self.gen_config)}
        if self.template:
            facts["template"] = self.template
        if self.samples:
            facts["seed"] = self.seed
        return digest_of(facts)


@dataclass(frozen=True)
class Baseline:
    """The approved generation of a case, with hashes of prompt and settings, and the prompt's own text if known."""

    row: RowKey
    generation: Generation
    input_hash: str
    settings_hash: str
    input: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class CaseResult:
    """Result of one test for one case; travels from worker to controller as JSON on the test report.

    Attributes:
        key, nodeid: Name of the case, and the test.
        generation, judgement: The candidate and the verdict; None if there was none.
        baseline_text: Text of the baseline compared with, or None.
        input, conversation: The prompt's own text (without examples), and its conversation as in `Row`, to show.
        input_hash, settings_hash: As in `Case`, for a new baseline.
        target, stop_strings: The expected answer, if the table has one, and texts that end an output.
        passed, seconds: Whether the test passed, and the time that the model took; None if that is not known.
        model_changed: As `GroupResult.changed_rows`; then its log-probs are accepted, whatever its own verdict.
        columns, metrics, assertions: The table's other columns as text, scores of metrics, results of assertions.
    """

    key: CaseKey
    nodeid: str
    generation: Generation | None = None
    judgement: Judgement | None = None
    baseline_text: str | None = None
    input: str = ""
    input_hash: str = ""
    settings_hash: str = ""
    target: str | None = None
    passed: bool = False
    stop_strings: tuple[str, ...] = ()
    conversation: str = ""
    model_changed: bool = False
    assertions: tuple[AssertionResult, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    metrics: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class MlflowRun:
    """Where MLflow has an evaluation: the run, the logged model, their experiment, and the store without secrets."""

    run_id: str = ""
    model_uri: str = ""
    experiment_id: str = ""
    tracking_uri: str = ""


@dataclass(frozen=True)
class GroupResult:
    """Result of evaluating a group; computed once per run, by the worker that comes first.

    Attributes:
        key: Name of the group.
        generations, failures: Outputs of the model, and reasons for missing ones, by row.
        judgements: Verdicts, for the rows that have a generation.
        baseline_texts, baseline_tokens: Texts of the baselines compared with, and their tokens if recorded, by row.
        error, notification_fault: Why the whole group failed, and what a plugin's hook for it raised; else empty.
        notes, remarks: Messages for the user, shown once (metrics left out, baselines read in part) or only with `-v`.
        mlflow: Where MLflow has the evaluation.
        environment, baseline_environment: Environment of today's outputs, and of most of the baselines.
        evaluation, evaluation_fault: Folder with MLflow's saved `EvaluationResult`, or why there is none.
        gates, assertions: Results of the thresholds on its metrics, and of the assertions on outputs, by row.
        model_verdict: Whether the model changed; None if no output was compared with a baseline.
        changed_rows: If so, rows whose baselines are of the model before. Their log-probs are accepted together.
        seconds, tokens: Time the model took to generate, and number of tokens generated.
        level: What the server of a served model shows of its answers: `path`, `output` or `text`; else empty.
        answered: Number of answers, and how many of them are from the answer cache.
        latencies, metrics: Seconds that the model took, and scores by metric's name; by row.
    """

    key: GroupKey
    generations: Mapping[RowKey, Generation] = field(default_factory=dict)
    failures: Mapping[RowKey, str] = field(default_factory=dict)
    judgements: Mapping[RowKey, Judgement] = field(default_factory=dict)
    baseline_texts: Mapping[RowKey, str] = field(default_factory=dict)
    baseline_tokens: Mapping[RowKey, tuple[int, ...]] = field(default_factory=dict)
    error: str = ""
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    mlflow: MlflowRun = MlflowRun()
    environment: Mapping[str, str] = field(default_factory=dict)
    baseline_environment: Mapping[str, str] = field(default_factory=dict)
    evaluation: str = ""
    evaluation_fault: str = ""
    notification_fault: str = ""
    gates: tuple[ThresholdResult, ...] = ()
    model_verdict: ModelVerdict | None = None
    changed_rows: tuple[RowKey, ...] = ()
    seconds: float = 0.0
    tokens: int = 0
    level: str = ""
    answered: AnswerCount = field(default_factory=AnswerCount)
    assertions: Mapping[RowKey, tuple[AssertionResult, ...]] = field(default_factory=dict)
    latencies: Mapping[RowKey, float] = field(default_factory=dict)
    metrics: Mapping[RowKey, Mapping[str, float | str]] = field(default_factory=dict)

    @property
    def model_changed(self) -> bool:
        """True if the model gives other log-probs than the one that its baselines were recorded with."""
        return self.model_verdict is not None and self.model_verdict.finding is Finding.CHANGED

    @property
    def run_id(self) -> str:
        """Id of the MLflow run."""
        return self.mlflow.run_id

    @property
    def model_uri(self) -> str:
        """URI of the logged model."""
        return self.mlflow.model_uri

    @property
    def experiment_id(self) -> str:
        """Id of the run's experiment."""
        return self.mlflow.experiment_id

    @property
    def tracking_uri(self) -> str:
        """Address of the tracking store, without secrets."""
        return self.mlflow.tracking_uri

    @property
    def cached(self) -> int:
        """Number of answers from the answer cache."""
        return self.answered.cached

    @property
    def answers(self) -> int:
        """Number of answers."""
        return self.answered.asked

    def without_outputs(self) -> GroupResult:
        """The same result without outputs and verdicts, which the tests' own reports carry."""
        judged = ("judgements", "baseline_texts", "baseline_tokens", "assertions", "metrics")
        return replace(self, **{name: {} for name in ("generations", "failures", *judged)})  # type: ignore[arg-type]
