"""Read a marker: its prompt table, decoding settings and models, and the cases that they make."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from pytest_llmcompare.comparison.similarity import Similarity, read_similarity
from pytest_llmcompare.errors import UsageError, did_you_mean
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.spec import ModelSpec, SourceKind
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row
from pytest_llmcompare.settings import SEMANTIC_MODEL

from .assertion_kinds import Place
from .conversation import check_no_examples, template_of
from .marker_values import (
    checked_column,
    checked_config,
    checked_metrics,
    checked_models,
    checked_name,
    checked_samples,
    checked_seed,
    checked_text,
    checked_tolerance,
)
from .readers import relative_file, table_name
from .row_assertions import AssertionReader, RowAssertion
from .table import Loader, read_table
from .thresholds import Threshold, read_thresholds
from .variants import EXAMPLES, Variant, read_variants


@dataclass(frozen=True)
class Declaration:
    """A marker, read and checked.

    Attributes:
        table: Name of the prompt table.
        folder: Folder of the test file, relative to pytest's root.
        rows: The rows.
        examples: Few-shot examples put before each input; None if the marker gives none.
        gen_config: Decoding settings of the marker.
        variants: Named decoding settings that multiply the rows; a single nameless variant by default.
        models: Model specs in place of the run's; empty takes the run's.
        seed: Seed that the seeds of the cases are derived from.
        samples: Number of outputs per row, for rows that sample.
        tolerance: Margin (nats) that still counts as a near tie; None takes the run's.
        similarity: How similar texts must be if a model gives only texts; None compares them character by character.
        metrics: MLflow metrics and scorers computed besides ours.
        thresholds: Bounds for metrics; missing one fails the run.
        model_type: MLflow's model type, which chooses its built-in metrics.
        names_model_type: Whether the marker names the model type; otherwise it is the default.
        assertions: Assertions on outputs, of rows and of the marker, by their texts.
        expect: Assertions on the outputs of all rows, as text.
        experiment: Name of the MLflow experiment.
        file: The table's file, relative to pytest's root if it lies inside; empty if the table is not a file.
        names_experiment: Whether the marker names it; otherwise it is named after the test.
    """

    table: str
    folder: str
    rows: tuple[Row, ...]
    examples: str | None = None
    gen_config: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[Variant, ...] = (Variant("", {}, None),)
    models: tuple[str, ...] = ()
    seed: int = 0
    samples: int = 1
    tolerance: float | None = None
    similarity: Similarity | None = None
    metrics: tuple[Any, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    model_type: str | None = "text"
    assertions: Mapping[str, RowAssertion] = field(default_factory=dict)
    expect: tuple[str, ...] = ()
    experiment: str = ""
    file: str = field(default="", compare=False)
    names_experiment: bool = field(default=False, compare=False)
    names_model_type: bool = field(default=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the table's cases; tests that share the table have the same."""
        facts = [
            [*(row.id, row.input, row.target, row.examples), dict(row.gen_config), dict(row.columns), row.conversation]
            + [row.expect] * bool(row.expect)
            for row in self.rows
        ]
        variants = [[v.name, dict(v.gen_config), v.examples] for v in self.variants]
        own: list[Any] = [self.examples, dict(self.gen_config), variants, self.seed, self.samples, self.tolerance]
        own += [self.similarity, self.experiment]
        everything = [facts, *own]
        text = json.dumps(everything, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def targets(self) -> bool:
        """True if every row has a target."""
        return all(row.target is not None for row in self.rows)

    def cases(self, spec: ModelSpec) -> tuple[Case, ...]:
        """The cases of one model, row by row. Precedence of settings: row, variant, marker, model.

        Raises:
            UsageError: Several samples are asked for, but the settings are greedy.
        """
        cases = tuple(
            case for row in self.rows for variant in self.variants for case in self.cases_of(spec, row, variant)
        )
        if self.samples > 1 and not any(case.sample for case in cases):
            raise UsageError(
                f"llm_prompts: samples={self.samples}, but no row samples, so all outputs would be equal. "
                'Add gen_config={"do_sample": True}, or leave samples out.'
            )
        return cases

    def cases_of(self, spec: ModelSpec, row: Row, variant: Variant) -> Iterator[Case]:
        """The cases of one row in one variant: one, or one per sample.

        A model in MLflow, or a plugin's, may sample although the table does not ask for it.

        Raises:
            UsageError: The model has few-shot examples, and the row is a conversation.
        """
        group = GroupKey(self.folder, self.table, spec.name)
        if row.conversation:
            check_no_examples([row], {f"model {spec.name!r}, examples": spec.examples})
        gen_config = complete(spec.gen_config, self.gen_config, variant.gen_config, row.gen_config)
        draws = gen_config.get("do_sample") or spec.kind in (SourceKind.MLFLOW, SourceKind.OTHER)
        for sample in range(self.samples if draws else 1):
            yield Case(
                key=CaseKey(group, row.id, f"{variant.name}#{sample + 1}" if sample else variant.name),
                row=row,
                examples=first_given(row.examples, variant.examples, self.examples, spec.examples),
                gen_config=gen_config,
                seed=derived_seed(self.seed, row.id, variant.name, sample),
                template=template_of(spec, row, self.rows),
                sample=sample,
            )


def llm_prompts(
    table: Any,
    *,
    name: str | None = None,
    input: str | None = None,  # noqa: A002 - the marker's public keyword
    target: str | None = None,
    examples: str = "",
    gen_config: Mapping[str, Any] | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    models: str | Sequence[str] | None = None,
    seed: int = 0,
    samples: int = 1,
    tolerance: float | None = None,
    similarity: str | Mapping[str, float] | None = None,
    metrics: Sequence[Any] = (),
    thresholds: Mapping[str, Any] | None = None,
    expect: str | Sequence[Any] | Mapping[str, Any] | None = None,
    model_type: str | None = "text",
    experiment: str | None = None,
) -> None:
    """The keywords of `@pytest.mark.llm_prompts`; see `declare`."""


SIGNATURE = inspect.signature(llm_prompts)


def declare(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    test: str,
    folder: str,
    base: Path,
    root: Path | None = None,
    semantic_model: str = SEMANTIC_MODEL,
    load: Loader | None = None,
) -> Declaration:
    """Read and check a marker.

    Args:
        args: Positional arguments of the marker: the table.
        kwargs: Its keywords.
        test: Name of the test function, for what the marker leaves out.
        folder: Folder of the test file, relative to pytest's root, with `/`.
        base: The same folder as a path; the table's path is relative to it.
        root: pytest's root folder; None takes `base`.
        semantic_model: Embedding model of the run, for similarity of meaning.
        load: The plugins' hook, asked for the rows of a table first; None if no plugin reads tables.

    Raises:
        UsageError: Unknown or wrong keywords.
        TableError: A table that cannot be read, or faulty rows.
    """
    given = bind(args, kwargs)
    source, short = given["table"], test.removeprefix("test_") or test
    variants = read_variants(given["variants"])
    columns = {role: checked_column(given, role) for role in ("input", "target")}
    similarity = read_similarity(given["similarity"])
    assertions = AssertionReader(place_of_assertions(base, root, similarity, semantic_model))
    rows = read_table(source, base=base, load=load, assertions=assertions, **columns)
    examples = checked_text(given[EXAMPLES], EXAMPLES) or None
    check_no_examples(rows, {EXAMPLES: examples, **{f"variants[{one.name!r}]": one.examples for one in variants}})
    return Declaration(
        table=checked_name(given["name"], "name") or (table_name(source) if is_path(source) else short),
        folder=folder,
        rows=rows,
        examples=examples,
        variants=variants,
        similarity=similarity,
        expect=assertions.marker(given["expect"]),
        assertions=assertions.known,  # of rows and marker, so it comes after both were read
        experiment=checked_name(given["experiment"], "experiment") or short,
        file=relative_file(base / source, root or base) if is_path(source) else "",
        names_model_type="model_type" in kwargs,
        **checked_values(given),
    )


def place_of_assertions(base: Path, root: Path | None, similarity: Similarity | None, semantic_model: str) -> Place:
    """Where assertions look for files and functions, and how they measure similarity."""
    by_meaning = similarity and dataclasses.replace(similarity, model=semantic_model)
    return Place(base, root if root and base.is_relative_to(root) else base, by_meaning)


def checked_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the keywords that depend on no other; return the fields of `Declaration` that they give.

    Raises:
        UsageError: One is wrong.
    """
    return {
        "gen_config": checked_config({} if given["gen_config"] is None else given["gen_config"], "gen_config"),
        "models": checked_models(given["models"]),
        "seed": checked_seed(given["seed"]),
        "samples": checked_samples(given["samples"]),
        "tolerance": checked_tolerance(given["tolerance"]),
        "metrics": checked_metrics(given["metrics"]),
        "thresholds": read_thresholds(given["thresholds"]),
        "model_type": checked_text(given["model_type"], "model_type") or None,
        "names_experiment": given["experiment"] is not None,
    }


def bind(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Bind the marker's arguments to its signature.

    Raises:
        UsageError: An unknown keyword, no table, or more than one positional argument.
    """
    for key in kwargs:
        if key not in SIGNATURE.parameters:
            raise UsageError(f"llm_prompts: unknown keyword {key!r}.{did_you_mean(key, SIGNATURE.parameters)}")
    if not args and "table" not in kwargs:
        raise UsageError(
            'llm_prompts: no prompt table. Give a file, e.g. @pytest.mark.llm_prompts("prompts.csv"), or a list.'
        )
    if len(args) + ("table" in kwargs) > 1:
        raise UsageError(
            f"llm_prompts: got {len(args) + ('table' in kwargs)} tables, expected one. "
            "Give all other arguments by keyword."
        )
    bound = SIGNATURE.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def is_path(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """True if the table is a file."""
    return isinstance(source, (str, os.PathLike))


def first_given(*texts: str | None) -> str:
    """The first that is not None."""
    return next((text for text in texts if text is not None), "")


def derived_seed(seed: int, prompt_id: str, variant: str, sample: int = 0) -> int:
    """A seed of 31 bits for one case, independent of other rows, their order and the batch."""
    text = f"{seed}\0{prompt_id}\0{variant}" + (f"\0{sample}" if sample else "")
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big") >> 1
