"""Compare language models on the same prompts, and gate CI on output drift against stored baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison.summary import Summary
    from .errors import LlmCompareError
    from .evaluation.compare import Comparison, compare
    from .evaluation.model_logging import log as log_model
    from .evaluation.pyfunc import PyfuncTransformer, PyfuncTransformerWithParams
    from .generation import Generation
    from .judgement import Finding, Judgement, ModelVerdict, Verdict
    from .models.spec import ModelSpec
    from .records import Baseline, Case, GroupResult

__all__ = [
    "Baseline",
    "Case",
    "Comparison",
    "Finding",
    "Generation",
    "GroupResult",
    "Judgement",
    "LlmCompareError",
    "ModelSpec",
    "ModelVerdict",
    "PyfuncTransformer",
    "PyfuncTransformerWithParams",
    "Summary",
    "Verdict",
    "compare",
    "log_model",
]

_PLACES = {
    "Baseline": ("records", "Baseline"),
    "Case": ("records", "Case"),
    "Comparison": ("evaluation.compare", "Comparison"),
    "Finding": ("judgement", "Finding"),
    "Generation": ("generation", "Generation"),
    "GroupResult": ("records", "GroupResult"),
    "Judgement": ("judgement", "Judgement"),
    "LlmCompareError": ("errors", "LlmCompareError"),
    "ModelSpec": ("models.spec", "ModelSpec"),
    "ModelVerdict": ("judgement", "ModelVerdict"),
    "PyfuncTransformer": ("evaluation.pyfunc", "PyfuncTransformer"),
    "PyfuncTransformerWithParams": ("evaluation.pyfunc", "PyfuncTransformerWithParams"),
    "Summary": ("comparison.summary", "Summary"),
    "Verdict": ("judgement", "Verdict"),
    "compare": ("evaluation.compare", "compare"),
    "log_model": ("evaluation.model_logging", "log"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the pyfuncs bring torch, transformers and mlflow with them."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from .models.warning_filters import library_warnings_ignored

    module, attribute = _PLACES[name]
    with library_warnings_ignored():
        return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return [*__all__]
