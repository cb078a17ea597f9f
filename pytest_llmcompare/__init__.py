"""Compare language models on the same prompts, and gate CI on output drift against stored baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import LlmCompareError
    from .generations import Generation
    from .judgements import Judgement, Verdict
    from .models.pyfunc import PyfuncTransformer, PyfuncTransformerWithParams
    from .models.registry import log as log_model
    from .models.spec import ModelSpec
    from .records import Baseline, Case, GroupResult
    from .reports.summary import Summary

__all__ = [
    "Baseline",
    "Case",
    "Generation",
    "GroupResult",
    "Judgement",
    "LlmCompareError",
    "ModelSpec",
    "PyfuncTransformer",
    "PyfuncTransformerWithParams",
    "Summary",
    "Verdict",
    "log_model",
]

_PLACES = {
    "Baseline": ("records", "Baseline"),
    "Case": ("records", "Case"),
    "Generation": ("generations", "Generation"),
    "GroupResult": ("records", "GroupResult"),
    "Judgement": ("judgements", "Judgement"),
    "LlmCompareError": ("errors", "LlmCompareError"),
    "ModelSpec": ("models.spec", "ModelSpec"),
    "PyfuncTransformer": ("models.pyfunc", "PyfuncTransformer"),
    "PyfuncTransformerWithParams": ("models.pyfunc", "PyfuncTransformerWithParams"),
    "Summary": ("reports.summary", "Summary"),
    "Verdict": ("judgements", "Verdict"),
    "log_model": ("models.registry", "log"),
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
