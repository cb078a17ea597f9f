"""Frozen records that all modules share: names, rows, cases, results. Standard library only, no I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .generation import Generation
from .judgement import Judgement, Verdict


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
    """Names a case: one row of a table, one model, one decoding variant (empty without variants)."""

    group: GroupKey
    prompt_id: str
    variant: str = ""

    @property
    def row(self) -> RowKey:
        """The part of the name that does not depend on the model."""
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
        target: The expected answer; None if the table has none.
        examples: Few-shot examples of this row, put before the input; None if the row has none of its own.
        gen_config: Decoding settings of this row alone.
        columns: All other columns.
    """

    id: str
    input: str
    target: str | None = None
    examples: str | None = None
    gen_config: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One prompt for one model, with everything that decides its output.

    Attributes:
        key: Name of the case.
        row: The row of the table.
        examples: Few-shot examples in force, put before `row.input`.
        gen_config: Decoding settings in force, defaults included.
        seed: Seed for sampling; unused if `gen_config` is greedy.
        template: Chat template in force: `""` none, `"tokenizer"` the tokenizer's own, else a Jinja template.
        sample: Number of the sample of its row, from 0. Each sample is a case of its own; the names of those after the
            first have their number in the variant.
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
        """The expected answer; None if the table has none."""
        return self.row.target

    @property
    def columns(self) -> Mapping[str, Any]:
        """The table's other columns."""
        return self.row.columns

    @property
    def prompt(self) -> str:
        """The whole text before the output: examples, then input."""
        return self.examples + self.row.input

    @property
    def samples(self) -> bool:
        """Whether the output is sampled; otherwise decoding is greedy or a beam search."""
        return bool(self.gen_config.get("do_sample"))

    @cached_property
    def input_hash(self) -> str:
        """8 hex digits that change with the prompt or its examples."""
        return digest(self.prompt)

    @cached_property
    def settings_hash(self) -> str:
        """8 hex digits that change with the decoding settings, the chat template or (if it samples) the seed."""
        facts: dict[str, Any] = {"gen_config": dict(self.gen_config)}
        if self.template:
            facts["template"] = self.template
        if self.samples:
            facts["seed"] = self.seed
        return digest(json.dumps(facts, sort_keys=True, default=str))


@dataclass(frozen=True)
class Baseline:
    """The approved generation of a case, with hashes of its prompt and settings."""

    row: RowKey
    generation: Generation
    input_hash: str
    settings_hash: str


@dataclass(frozen=True)
class CaseResult:
    """Result of one test for one case; attached to the test report, from a worker as JSON.

    Attributes:
        key: Name of the case.
        nodeid: The test.
        generation: The candidate; None if there is none.
        judgement: The verdict; None if the test did not compare.
        baseline_text: Text of the baseline compared with, or None.
        input: The prompt's own text (without examples), to show.
        input_hash, settings_hash: As in `Case`, for the record to write.
        target: The expected answer, where the table has one.
        passed: Whether the test passed.
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


@dataclass(frozen=True)
class Attempt:
    """How one test of ours went; attached to the test report, from a worker as JSON.

    Attributes:
        nodeid: The test.
        outcome: `passed`, `failed`, `skipped`, `xfailed` or `xpassed`.
        wants_baseline: Whether it asked for `llm_baseline`.
        reached: Whether it came as far as its model's output; not if a mark skipped it.
        verdict: Worst verdict of its comparison; None if it did not compare.
        looked: Whether it read the baseline itself (text, tokens, judgement).
        reason: Why it was skipped, in pytest's words.
    """

    nodeid: str
    outcome: str
    wants_baseline: bool = False
    reached: bool = False
    verdict: Verdict | None = None
    looked: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Gate:
    """A threshold on a metric of one table and model, with the value of the metric.

    Attributes:
        metric: Name of the metric, as the threshold has it.
        wanted: The condition: `>=0.8`.
        value: Value of the metric; None if it could not be computed.
        passed: Whether the value meets the condition.
        cases: Cases that it was computed over.
        total: Cases of the whole table.
        why: Why there is no value, or a hint on one that missed, as a sentence; empty for nothing.
    """

    metric: str
    wanted: str
    value: float | None
    passed: bool
    cases: int
    total: int
    why: str = ""


@dataclass(frozen=True)
class GroupResult:
    """Result of a group; evaluated once per run, under pytest-xdist by the first worker that needs it.

    Attributes:
        key: Name of the group.
        generations: Outputs of the model, by row.
        failures: Why a row has no output.
        judgements: Verdicts, for the rows that have an output.
        baseline_texts: Texts of the baselines compared with, by row.
        baseline_tokens: Their token ids, if they are recorded.
        error: Why the whole group failed; empty if it did not.
        notes: What the user should know: metrics left out, baselines read in part.
        remarks: Further notes that only `-v` shows.
        run_id: MLflow run.
        model_uri: MLflow URI of the model that was evaluated.
        evaluation: Folder with MLflow's saved `EvaluationResult`; empty if a metric failed.
        evaluation_fault: Why there is no evaluation; empty if there is one.
        notification_fault: What went wrong in the hooks that are notified of it.
        gates: The thresholds on its metrics, with their values.
        seconds: Time spent generating.
        tokens: Tokens generated.
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
    run_id: str = ""
    model_uri: str = ""
    evaluation: str = ""
    evaluation_fault: str = ""
    notification_fault: str = ""
    gates: tuple[Gate, ...] = ()
    seconds: float = 0.0
    tokens: int = 0

    def without_outputs(self) -> GroupResult:
        """The same result without what the tests report case by case."""
        return replace(self, generations={}, failures={}, judgements={}, baseline_texts={}, baseline_tokens={})


def digest(text: str) -> str:
    """First 8 hex digits of the SHA-256 of `text`; lone surrogates count as themselves."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
