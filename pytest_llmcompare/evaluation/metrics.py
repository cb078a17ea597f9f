"""MLflow metrics of an evaluation: those of a model type where they can be computed, and those that are asked for."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import io
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any, NamedTuple

import mlflow
import pandas as pd
from mlflow.models import EvaluationMetric

from pytest_llmcompare.errors import UsageError, did_you_mean
from pytest_llmcompare.models.warning_filters import computed_under_users_filter, library_warnings_ignored
from pytest_llmcompare.records import GroupKey

from .row_metrics import TAKEN

SAMPLE = "The sky is blue. It is blue because the air scatters blue light more than red light."
READABILITY = ("flesch_kincaid_grade_level", "ari_grade_level")
TEXT_TYPES = ("text", "question-answering", "text-summarization")
MODEL_TYPES = (*TEXT_TYPES, "retriever", "classifier", "regressor")
PATIENCE = 20.0  # seconds to try a metric
LONGEST = 500  # characters of an error that are shown
TOXICITY_MODEL = "facebook/roberta-hate-speech-dynabench-r4-target"  # what the `evaluate` library loads for it


class Chosen(NamedTuple):
    """What `mlflow.models.evaluate` is to compute.

    Attributes:
        model_type: MLflow's model type, or None where its metrics cannot be computed here.
        metrics: Metrics besides those.
        note: What was left out and how to get it; empty where nothing was.
    """

    model_type: str | None
    metrics: list[EvaluationMetric]
    note: str

    @property
    def counts_tokens(self) -> bool:
        """Whether MLflow counts tokens itself."""
        return self.model_type is not None or "token_count" in {found.name for found in self.metrics}


def choose(model_type: str | None, asked: Sequence[Any]) -> Chosen:
    """Settle the metrics of a table.

    One metric that cannot be computed makes the whole of MLflow's evaluation fail, so a model type is only passed on
    where all of its metrics were seen to work; else our equivalents stand in.

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
    names = {found.name for found in extra}
    return Chosen(None, [*(found for found in usable if found.name not in names), *extra], note)


@functools.cache
def lacks(model_type: str) -> Mapping[str, str]:
    """Which packages (or their data) are missing for a model type's metrics, and what each of them computes."""
    if model_type not in TEXT_TYPES:
        return {}
    needed: dict[str, tuple[str, Callable[[], bool]]] = {
        "tiktoken": ("tiktoken's count", tiktoken_works),
        "textstat": ("readability", textstat_works),
        "evaluate": ("toxicity", toxicity_works),
    }
    if model_type == "text-summarization":
        needed["rouge_score"] = ("ROUGE", lambda: False)  # `evaluate` loads it from the hub, which may be out of reach
    return {name: what for name, (what, works) in needed.items() if not (installed(name) and works())}


def installed(name: str) -> bool:
    """Whether a package is there, without importing it."""
    return importlib.util.find_spec(name) is not None


def tiktoken_works() -> bool:
    """Whether tiktoken has its vocabulary; it downloads it on first use, which takes long to fail offline."""
    if os.environ.get("HF_HUB_OFFLINE") == "1" and not os.environ.get("TIKTOKEN_CACHE_DIR"):
        return False
    return computes("token_count")


def textstat_works() -> bool:
    """Whether textstat has its corpora."""
    return all(computes(name) for name in READABILITY)


def toxicity_works() -> bool:
    """Whether the model that judges toxicity is in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(TOXICITY_MODEL, "config.json"), str) and computes("toxicity")


def computes(name: str) -> bool:
    """Whether one of MLflow's metrics gives a score for a plain sentence, within a time that one waits for.

    Each of them may download something first, without a limit of its own.
    """
    found: list[bool] = []

    def attempt() -> None:
        with suppress(Exception):  # a library's, of any kind: no network, no corpus, no package
            value = getattr(mlflow.metrics, name)().eval_fn(pd.Series([SAMPLE]), pd.Series([SAMPLE]), {})
            found.append(value is not None and bool(value.scores))

    # The filter is that of the whole process, so the thread has it, too: until the block ends.
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()), library_warnings_ignored():
        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(PATIENCE)
    return any(found)


def further(given: Sequence[Any], asked: Sequence[Any], where: str) -> list[EvaluationMetric]:
    """The metrics that plugins add to those that a table asks for; of two of one name the table's counts.

    Raises:
        UsageError: One that is not known, or cannot be used.
    """
    names = {metric(wanted).name for wanted in asked} if given else set()
    added = {found.name: found for found in (metric(wanted, where) for wanted in given)}
    return [found for name, found in added.items() if name not in names]


def metric(wanted: object, where: str = "llm_prompts: metrics") -> EvaluationMetric:
    """A metric from its name or itself; `where` it stands is for messages.

    Raises:
        UsageError: It is not one, or it makes MLflow ask the model row by row.
    """
    if isinstance(wanted, str):
        known = named_metrics()
        if wanted not in known:
            near = did_you_mean(wanted, known)
            raise UsageError(f"{where} holds {wanted!r}, which MLflow does not have.{near}")
        wanted = known[wanted]()
    if not isinstance(wanted, EvaluationMetric):
        raise UsageError(
            f"{where} holds {wanted!r}, expected the name of an MLflow metric, such as 'exact_match', "
            "or an object made by mlflow.metrics.make_metric."
        )
    if wanted.name in TAKEN and not wanted.version:
        raise UsageError(
            f"{where} holds a metric named {wanted.name!r}, which is a metric of pytest-llmcompare. "
            "Give yours another name: make_metric(..., name=...)."
        )
    if wanted.name == "latency":
        raise UsageError(
            "llm_prompts: mlflow.metrics.latency() makes MLflow ask the model row by row, which takes the speed that "
            "it is to measure. Leave it out: seconds and tokens per second are reported anyway."
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
    """Whether less of a metric is better, as the metric itself has it; of one that nobody knows, more is.

    Args:
        name: Name of the metric.
        asked: The metrics that a table asks for.
    """
    if name == "token_count":
        return True  # also where we count them; MLflow's own says the opposite
    with library_warnings_ignored():  # MLflow would rather have us not use some of its metrics
        declared = {found.name: found for found in map(metric, asked)}
        known = named_metrics()
        found = declared.get(name) or (known[name]() if name in known else None)
    return found is not None and not found.greater_is_better


def fault(key: GroupKey, asked: Sequence[Any], error: Exception) -> str:
    """What to say where the model answered but the metrics failed."""
    names = ", ".join(str(getattr(wanted, "name", wanted)) for wanted in asked) or "MLflow's own"
    # MLflow puts the cause on the second line, then a trace, or after an empty line the columns that there are.
    why = str(error).partition("Traceback (most recent call last)")[0].strip().partition("\n\n")[0]
    return (
        f"table {key.table!r}, model {key.model!r}: MLflow could not compute the metrics ({names}): "
        f"{' '.join(why.split())[:LONGEST] or type(error).__name__}\n"
        "The outputs were compared all the same. Mend the metric, or take it out of metrics=[...]."
    )
