"""The vocabulary: frozen records that every other module speaks in. Standard library only, no I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Environment = tuple[tuple[str, str], ...]
"""What a generation depended on besides the prompt, as sorted pairs: library versions, device, dtype, weights."""


class Verdict(str, Enum):
    """What the comparison of a candidate with its baseline says."""

    IDENTICAL = "identical"
    NEAR_TIE = "near_tie"
    SHIFTED = "shifted"
    DRIFTED = "drifted"
    MISSING = "missing"
    STALE = "stale"
    ERROR = "error"

    def __str__(self) -> str:
        return self.value


COMPARED = (Verdict.IDENTICAL, Verdict.NEAR_TIE, Verdict.SHIFTED, Verdict.DRIFTED)
"""Verdicts on an output that could be compared: the whole that a drift rate is a part of."""


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
    """Names a case: one row of a table, one model, one decoding variant (empty where there are no variants)."""

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
        target: The expected answer, where the table has one.
        examples: Few-shot examples of this row, put before the input; None where the row has none of its own.
        gen_config: Decoding settings of this row alone.
        columns: All other columns, kept and shown.
    """

    id: str
    input: str
    target: str | None = None
    examples: str | None = None
    gen_config: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What a model is asked: the row with everything that decides the output settled.

    Attributes:
        key: Name of the case.
        row: The row of the table.
        examples: Few-shot examples in force, put before `row.input`.
        gen_config: Decoding settings in force, defaults included.
        seed: Seed of this case's draws; it counts where `gen_config` samples.
        template: Chat template in force: `""` none, `"tokenizer"` the tokenizer's own, else a Jinja template.
        sample: Which of several draws of the same row it is, from 0. Each is a case of its own; those after the first
            are named by their number, in the place of the variant.
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
        """The expected answer, where the table has one."""
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
        """Whether the output is drawn instead of chosen."""
        return bool(self.gen_config.get("do_sample"))

    @property
    def input_hash(self) -> str:
        """8 hex digits that change with the prompt or its examples."""
        return digest(self.prompt)

    @property
    def settings_hash(self) -> str:
        """8 hex digits that change with the decoding settings, the chat template or (where it draws) the seed."""
        facts: dict[str, Any] = {"gen_config": dict(self.gen_config)}
        if self.template:
            facts["template"] = self.template
        if self.samples:
            facts["seed"] = self.seed
        return digest(json.dumps(facts, sort_keys=True, default=str))


@dataclass(frozen=True)
class Path:
    """What a model says along given tokens, whatever it would have said itself (teacher forcing).

    All per position, in the processed distribution. Where the output would have ended before the given tokens do, what
    follows is not told.

    Attributes:
        tokens: The given tokens.
        choices: The model's own choice after the given tokens before it: the likeliest token, or its draw.
        logprobs: Natural logarithm of the given token's probability.
        margins: By how much (nats) the likeliest token is ahead of the given one; 0 where that is the likeliest.
        leads: By how much (nats) the likeliest token is ahead of the second.
        scale: Largest score (logit) of a likeliest token by magnitude: numerical noise grows with it.
        stop: Why the output ends after the last of `choices`; empty where it would go on.
        draws: Whether tokens are drawn, so that another choice than the likeliest token means nothing.
    """

    tokens: tuple[int, ...]
    choices: tuple[int, ...]
    logprobs: tuple[float, ...]
    margins: tuple[float, ...]
    leads: tuple[float, ...]
    scale: float = 0.0
    stop: str = ""
    draws: bool = False


@dataclass(frozen=True, repr=False)
class Generation:
    """Output of a model for a case. `str()` is its text.

    Attributes:
        text: The generated text, without the prompt.
        token_ids: Generated tokens, or None for a model that we cannot look into.
        logprobs: Natural logarithm of each token's probability in the processed distribution (nats), where known.
        stop: Why it ended: `eos`, `length`, `stop` (a stop string) or `` (unknown).
        environment: What it depended on besides the prompt.
        margins: By how much (nats) the likeliest token led the second, at each position, where known.
        verified: Whether it is a draft that one forward pass confirmed.
        unverified: Why it is not, where there was a draft; empty otherwise.
        path: What the model says along the draft, where there was one and the model can be looked into.
        samples: All draws of the case, this one the first, where a test asked for several.
        lengths: How many characters of `text` each token makes, for reports to mark them; None where tokens by
            themselves do not make up the text.

    The last six tell how it came about, and count for nothing when two are compared.
    """

    text: str
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    stop: str = ""
    environment: Environment = ()
    margins: tuple[float, ...] | None = field(default=None, compare=False)
    verified: bool = field(default=False, compare=False)
    unverified: str = field(default="", compare=False)
    path: Path | None = field(default=None, compare=False)
    samples: tuple[Generation, ...] = field(default=(), compare=False)
    lengths: tuple[int, ...] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        # pytest shows it with every failure, where tokens and log-probabilities would be a screenful.
        tokens = "" if self.token_ids is None else f", {len(self.token_ids)} tokens"
        return f"<generation {harmless(self.text)}{tokens}>"


def end_of(generation: Generation) -> str:
    """What to show where a generation has ended."""
    return f"<{generation.stop or 'end'}>"


def first_difference(one: Sequence[Any], other: Sequence[Any]) -> int | None:
    """Index of the first item that differs, the shorter length where one begins the other, None where equal."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return None if len(one) == len(other) else min(len(one), len(other))


def harmless(text: str) -> str:
    """The `repr` of a text, with nothing in it that a CI service obeys in the middle of a line (`##[group]`)."""
    return re.sub(r"##(?=[A-Za-z]*\[)", r"#\\x23", repr(text))


@dataclass(frozen=True)
class Baseline:
    """The approved generation of a case, with the hashes of what it answered."""

    row: RowKey
    generation: Generation
    input_hash: str
    settings_hash: str


@dataclass(frozen=True)
class Likelihood:
    """How today's model rates the baseline's tokens, against how it rated them when the baseline was recorded.

    Attributes:
        rms: Root mean square of the differences of log-probability (nats); signs would cancel in a mean.
        mean: Mean of the differences, now minus then; for drawn outputs an estimate of the divergence per token.
        worst: The difference that is largest by magnitude.
        position: Index of its token.
        band: Largest `rms` that counts as numerical noise here.
    """

    rms: float
    mean: float
    worst: float
    position: int
    band: float

    @property
    def is_noise(self) -> bool:
        """Whether it says nothing; what is not a number is no noise."""
        return self.rms <= self.band


@dataclass(frozen=True)
class Judgement:
    """A verdict with its evidence.

    Attributes:
        verdict: The verdict.
        position: Index of the first token (or, for models without tokens, the first character) that differs.
        length: Number of the baseline's tokens (or characters).
        baseline_token: What the baseline has at `position`, as text; empty where it had ended.
        candidate_token: What the candidate has at `position`, as text; empty where it had ended.
        unit: `tok` or `char`, what `position` and `length` count.
        margin: By how much (nats) today's choice at `position` is ahead of the baseline's token, where that is known.
        mismatches: At how many of the baseline's tokens the model would choose another one, where that is known.
        tolerance: Largest margin (nats) that counts as a tie here; None where margins do not count.
        likelihood: How far likelihoods moved, where both sides know theirs.
        reason: One sentence for `stale`, `missing` and `error`: what does not fit, and how to mend it; else how
            similar texts are, where that was asked.
    """

    verdict: Verdict
    position: int | None = None
    length: int | None = None
    baseline_token: str = ""
    candidate_token: str = ""
    unit: str = "tok"
    margin: float | None = None
    mismatches: int | None = None
    tolerance: float | None = None
    likelihood: Likelihood | None = None
    reason: str = ""


@dataclass(frozen=True)
class CaseResult:
    """What one test found for one case; travels from worker to controller as JSON on the test report.

    Attributes:
        key: Name of the case.
        nodeid: The test.
        generation: The candidate, or None where there was none.
        judgement: The verdict, or None where the test did not compare.
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
class Gate:
    """What a threshold on a metric of one table and model said.

    Attributes:
        metric: Name of the metric, as the threshold has it.
        wanted: The condition: `>=0.8`.
        value: Value of the metric; None where there is none.
        passed: Whether the value meets the condition.
        cases: Cases that it was computed over.
        total: Cases of the whole table.
        why: Why there is no value, as a sentence; empty where there is one.
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
    """What evaluating a group gave; computed once per run, on whichever worker came first.

    Attributes:
        key: Name of the group.
        generations: What the model said, by row.
        failures: Why there is no generation, by row.
        judgements: Verdicts, for the rows that have a generation.
        baseline_texts: Texts of the baselines compared with, by row.
        error: Why the whole group failed; empty where it did not.
        notes: What the user should know once: metrics left out, baselines read in part.
        run_id: MLflow run.
        model_uri: MLflow URI of the model that was evaluated.
        evaluation: Folder with MLflow's saved `EvaluationResult`; empty where a metric failed.
        evaluation_fault: Why there is no evaluation.
        gates: What the thresholds on its metrics said.
        seconds: Time the model took to generate.
        tokens: Tokens generated.
    """

    key: GroupKey
    generations: Mapping[RowKey, Generation] = field(default_factory=dict)
    failures: Mapping[RowKey, str] = field(default_factory=dict)
    judgements: Mapping[RowKey, Judgement] = field(default_factory=dict)
    baseline_texts: Mapping[RowKey, str] = field(default_factory=dict)
    error: str = ""
    notes: tuple[str, ...] = ()
    run_id: str = ""
    model_uri: str = ""
    evaluation: str = ""
    evaluation_fault: str = ""
    gates: tuple[Gate, ...] = ()
    seconds: float = 0.0
    tokens: int = 0


def digest(text: str) -> str:
    """First 8 hex digits of the SHA-256 of `text`; lone surrogates count as themselves."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
