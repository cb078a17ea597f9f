"""Chooses the MLflow metrics of an evaluation: those of a model type, if they can be computed, and the user's."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import mlflow
from mlflow.models import EvaluationMetric

from pytest_llmcompare.errors import UsageError, did_you_mean
from pytest_llmcompare.models.warning_filters import computed_under_users_filter, library_warnings_ignored
from pytest_llmcompare.records import GroupKey

from .row_metrics import TAKEN
from .scorers import ScorerMetric, is_scorer, scorer_metric

READABILITY = ("flesch_kincaid_grade_level", "ari_grade_level")
TEXT_TYPES = ("text", "question-answering", "text-summarization")
MODEL_TYPES = (*TEXT_TYPES, "retriever", "classifier", "regressor")
LONGEST = 500  # characters of an error that are shown
TOXICITY_MODEL = "facebook/roberta-hate-speech-dynabench-r4-target"  # what the `evaluate` library loads for it


class Chosen(NamedTuple):
    """What `mlflow.models.evaluate` is to compute.

    Attributes:
        model_type: MLflow's model type, or None if its metrics cannot be computed here.
        metrics: Further metrics; scorers among them are asked before MLflow computes the others.
        note: What was left out and how to get it; empty if nothing was.
    """

    model_type: str | None
    metrics: list[EvaluationMetric]
    note: str

    @property
    def classic(self) -> list[EvaluationMetric]:
        """The metrics that MLflow computes itself, which scorers are not."""
        return [metric for metric in self.metrics if not isinstance(metric, ScorerMetric)]

    @property
    def counts_tokens(self) -> bool:
        """True if MLflow counts tokens itself."""
        return self.model_type is not None or "token_count" in {metric.name for metric in self.metrics}


def choose(model_type: str | None, asked: Sequence[Any]) -> Chosen:
    """Choose the metrics of a table.

    One metric that cannot be computed makes MLflow's whole evaluation fail. So a model type is passed on only if
    everything that its metrics need is there; else those that can be computed are used one by one.

    Raises:
        UsageError: An unknown model type or metric, or one that cannot be used.
    """
    extra = [computed_under_users_filter(metric(wanted)) for wanted in asked]
    if model_type is None:
        return Chosen(None, extra, "")
    if model_type not in MODEL_TYPES:
        raise UsageError(f"llm_prompts: model_type={model_type!r} is not known.{did_you_mean(model_type, MODEL_TYPES)}")
    lacking = lacks(model_type)
    if not lacking:
        return Chosen(model_type, extra, "")
    usable = [getattr(mlflow.metrics, name)() for name in READABILITY if "textstat" not in lacking]
    if model_type == "question-answering":
        usable.append(mlflow.metrics.exact_match())
    note = (
        f"left out of model_type={model_type!r}: {', '.join(lacking.values())} "
        f"(pip install {' '.join(lacking)}, once with a network)"
    )
    names = {added.name for added in extra}
    return Chosen(None, [*(builtin for builtin in usable if builtin.name not in names), *extra], note)


@functools.cache
def lacks(model_type: str) -> Mapping[str, str]:
    """Packages (or their data) that a model type's metrics need and that are missing, with what each computes.

    A package that is installed but broken is reported by MLflow's own error.
    """
    if model_type not in TEXT_TYPES:
        return {}
    needed = {"tiktoken": "tiktoken's count", "textstat": "readability", "evaluate": "toxicity"}
    if model_type == "text-summarization":
        needed["rouge_score"] = "ROUGE"
    return {name: what for name, what in needed.items() if not (is_installed(name) and has_data(name))}


def is_installed(name: str) -> bool:
    """True if a package is there, without importing it."""
    return importlib.util.find_spec(name) is not None


def has_data(name: str) -> bool:
    """True if what a package downloads on first use is there or can be downloaded; offline, finding out takes long."""
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    if name == "tiktoken":
        return not offline or bool(os.environ.get("TIKTOKEN_CACHE_DIR"))
    if name == "evaluate":  # its model is large, so it is used only if it was downloaded before
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(TOXICITY_MODEL, "config.json"), str)
    if name == "textstat":  # newer versions count syllables by a word list of nltk's
        return not offline or not is_installed("nltk") or has_word_list()
    return name != "rouge_score" or not offline


def has_word_list() -> bool:
    """True if nltk's list of pronunciations is on this machine."""
    from nltk.data import find

    try:
        find("corpora/cmudict")
    except LookupError:
        return False
    return True


def further(given: Sequence[Any], asked: Sequence[Any], where: str) -> list[EvaluationMetric]:
    """The metrics that plugins add to those that a table asks for; if two share a name, the table's counts.

    Raises:
        UsageError: A metric that is not known, or cannot be used.
    """
    names = {metric(wanted).name for wanted in asked} if given else set()
    by_name = {added.name: added for added in (metric(wanted, where) for wanted in given)}
    return [added for name, added in by_name.items() if name not in names]


def metric(wanted: object, where: str = "llm_prompts: metrics") -> EvaluationMetric:
    """The metric that a name or an object stands for.

    Args:
        wanted: Name of one of MLflow's metrics, a metric, or a scorer.
        where: Where it was written, for messages.

    Raises:
        UsageError: It is not a metric, or one that makes MLflow ask the model row by row.
    """
    if isinstance(wanted, str):
        known = named_metrics()
        if wanted not in known:
            near = did_you_mean(wanted, known)
            raise UsageError(f"{where} holds {wanted!r}, which MLflow does not have.{near}")
        wanted = known[wanted]()
    if is_scorer(wanted):
        wanted = scorer_metric(wanted, where)
    if not isinstance(wanted, EvaluationMetric):
        raise UsageError(
            f"{where} holds {wanted!r}, expected the name of an MLflow metric, such as 'exact_match', "
            "an object made by mlflow.metrics.make_metric, or a scorer of mlflow.genai.scorers."
        )
    if wanted.name in TAKEN and not wanted.version:
        raise UsageError(
            f"{where} holds a metric named {wanted.name!r}, which is a metric of pytest-llmcompare. "
            "Give yours another name: make_metric(..., name=...)."
        )
    if wanted.name == "latency":
        raise UsageError(
            "llm_prompts: mlflow.metrics.latency() makes MLflow ask the model row by row, which slows down "
            "what it measures. Leave it out: the metrics latency/p50, latency/p90 and latency/p99 are logged anyway."
        )
    return wanted


def named_metrics() -> dict[str, Callable[[], EvaluationMetric]]:
    """MLflow's metrics that need no arguments, by name."""
    makers = {name: maker for name, maker in vars(mlflow.metrics).items() if inspect.isfunction(maker)}
    return {
        name: maker
        for name, maker in makers.items()
        if not name.startswith("_")
        and all(parameter.default is not parameter.empty for parameter in inspect.signature(maker).parameters.values())
    }


def lower_is_better(name: str, asked: Sequence[Any]) -> bool:
    """True if lower values of a metric are better, as the metric declares; of an unknown metric they are not.

    Args:
        name: Name of the metric.
        asked: The metrics that a table asks for.
    """
    if name == "token_count":
        return True  # also where we count them; MLflow's own says the opposite
    with library_warnings_ignored():  # MLflow would rather have us not use some of its metrics
        declared = {stated.name: stated for stated in map(metric, asked)}
        known = named_metrics()
        named = declared.get(name) or (known[name]() if name in known else None)
    return named is not None and not named.greater_is_better


def fault(key: GroupKey, asked: Sequence[Any], error: Exception) -> str:
    """The message if the model answered and a metric failed."""
    names = ", ".join(str(getattr(wanted, "name", wanted)) for wanted in asked) or "MLflow's own"
    # MLflow puts the cause on the second line, then a trace, or after an empty line the columns that there are.
    why = str(error).partition("Traceback (most recent call last)")[0].strip().partition("\n\n")[0]
    return (
        f"table {key.table!r}, model {key.model!r}: MLflow could not compute the metrics ({names}): "
        f"{' '.join(why.split())[:LONGEST] or type(error).__name__}\n"
        "The outputs were compared all the same. Fix the metric, or take it out of metrics=[...]."
    )
