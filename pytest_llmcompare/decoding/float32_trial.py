"""Whether a low-precision checkpoint can be read in float32: looked up in its weights, then tried on a few tokens.

The trial watches every operation of a pass. Where none has a result in low precision, the pass is that of a float32
copy of the model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_llmcompare.models.device import dtype_of, highest_matmul_precision
from pytest_llmcompare.models.load import LocalModel, transformers_quiet
from pytest_llmcompare.text import error_line

from .failures import EngineWarning, is_out_of_memory, warn_once
from .float32_reading import LOW, NotFloat32Error, Upcast, blocks_of, in_float32, is_wrapped, low_in, names_of_dtypes
from .module_state import fresh

TRIAL_TOKENS = 8
EXACT = frozenset({torch.ops.aten.embedding.default, torch.ops.aten.detach.default})
"""Operations that only move numbers: upcasting rows after a look-up gives the rows of the upcast table."""

log = logging.getLogger(__name__)
_trials: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def why_not_in_float32(model: LocalModel) -> str:
    """Return why a model can't be read in float32, with the name of a module; empty if it can.

    A model without low-precision weights can. The others are tried once, on a few tokens. The answer stays the same as
    long as the model is loaded, because a KV cache and what follows it have to be of one precision.
    """
    inner = model.model
    if inner not in _trials:
        _trials[inner] = _unsuitable(inner) or (_trial_fault(model) if blocks_of(inner) else "")
    return _trials[inner]


@contextmanager
def reading(model: LocalModel) -> Iterator[None]:
    """Read a low-precision checkpoint in float32, if that is possible; a model of another precision as it is.

    Only for passes whose log-probs are looked at: what they choose is not what the checkpoint would write. So
    `torch.set_float32_matmul_precision`, which may let a processor multiply in bfloat16, does not apply to them.
    """
    if not is_read_in_float32(model):
        yield
        return
    with highest_matmul_precision(), in_float32(model.model):
        yield


def is_read_in_float32(model: LocalModel) -> bool:
    """Return whether it is a low-precision checkpoint that `reading` upcasts."""
    return dtype_of(model.model) in LOW and not why_not_in_float32(model)


def is_read_in_low_precision(model: LocalModel) -> bool:
    """Return whether it is a low-precision checkpoint that can't be read in float32."""
    return dtype_of(model.model) in LOW and bool(why_not_in_float32(model))


def warn_of_low_precision(model: LocalModel) -> None:
    """Warn of a low-precision checkpoint that can't be read in float32."""
    if dtype_of(model.model) in LOW and (why := why_not_in_float32(model)):
        precision = str(dtype_of(model.model)).removeprefix("torch.")
        warn_once(
            model,
            f"log-probs are read in {precision}, whose rounding hides small changes of the model. It can't be read in "
            f"float32: {why}.",
            EngineWarning,
        )


def _unsuitable(model: nn.Module) -> str:
    """Why its weights can't be upcast, without a pass; empty if they can."""
    quantised = getattr(getattr(model, "config", None), "quantization_config", None) is not None
    for name, module in model.named_modules():
        if hasattr(module, "_hf_hook"):
            return f"accelerate moves the weights of {name or type(module).__name__}"
    for name, weight in model.named_parameters():
        if weight.is_meta:
            return f"{name} is not in memory"
        if quantised and is_wrapped(weight) and type(weight.data).__name__ != "DTensor":
            continue  # it computes in the precision of what it is multiplied with, or the trial shows that it does not
        if not weight.is_floating_point() or weight.element_size() < 2 or is_wrapped(weight):
            return f"{name} is quantised or distributed ({names_of_dtypes([weight])})"
    return ""


def _trial_fault(model: LocalModel) -> str:
    """What a short pass computes in low precision; empty if nothing."""
    ids = torch.tensor([[(37 * at + 11) % model.vocabulary for at in range(TRIAL_TOKENS)]], device=model.device)
    options = {"decoder_input_ids": ids} if model.is_encoder_decoder else {}
    quiet = transformers_quiet()
    try:
        with quiet, torch.no_grad(), fresh(model.model), in_float32(model.model) as upcast, OperationWatch(upcast):
            model.model(input_ids=ids, use_cache=False, **options)
    except NotFloat32Error as error:
        return str(error)
    except Exception as error:  # from the model, of any kind
        log.debug("model %r cannot be read in float32", model.name, exc_info=True)
        if is_out_of_memory(error):
            return "there is not enough memory for its largest block"
        return f"the model could not be tried ({error_line(error)})"
    return ""


class OperationWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises at the first operation whose result is in low precision.

    Args:
        upcast: Knows where a pass is.
    """

    def __init__(self, upcast: Upcast) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.upcast = upcast

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute an operation.

        Raises:
            NotFloat32Error: It is in low precision; one that changes tensors in place has not changed them.
        """
        kwargs = kwargs or {}
        changed = low_in((args, kwargs)) if func._schema.is_mutable else []
        result = None if changed else func(*args, **kwargs)
        low = changed or low_in(result)
        if low and func not in EXACT:
            raise NotFloat32Error(f"the model computes {func} in {names_of_dtypes(low)} {self.upcast.place}")
        return result
