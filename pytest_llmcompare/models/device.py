"""Device and precision that a model is loaded with, and how many processors a worker may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pytest_llmcompare.errors import ModelError, UsageError, did_you_mean
from pytest_llmcompare.settings import DTYPES
from pytest_llmcompare.text import error_line


def dtype_of(model: Any) -> torch.dtype:
    """Number format of a transformers model's weights; that of its configuration if all of them are quantised."""
    try:
        dtype: torch.dtype = model.dtype
    except StopIteration:  # transformers looks for the first floating-point weight
        configured = getattr(model.config, "dtype", None)
        dtype = configured if isinstance(configured, torch.dtype) else torch.get_default_dtype()
    return dtype


def checked_device(device: str | None, name: str) -> str:
    """The device to load model `name` on: by default a GPU if there is one.

    Raises:
        UsageError: The device is unknown.
        ModelError: This machine does not have it.
    """
    if not device:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "auto":
        return device
    try:
        kind = torch.device(device).type
    except RuntimeError:
        known = ("auto", "cpu", "cuda", "mps", "xpu")
        raise UsageError(f"model {name!r}: device {device!r} is not known.{did_you_mean(device, known)}") from None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"model {name!r}: this machine has no device {device!r} that torch {torch.__version__} can use "
            f"({error_line(error)}).\nUse --llm-device=cpu, or install a torch built for {kind}."
        ) from None
    return device


def checked_dtype(dtype: str | None, name: str) -> Any:
    """The precision of model `name` as transformers takes it.

    Raises:
        UsageError: It is not known.
    """
    if dtype and dtype not in DTYPES:
        raise UsageError(f"model {name!r}: dtype {dtype!r} is not known.{did_you_mean(dtype, DTYPES)}")
    return getattr(torch, dtype) if dtype and dtype != "auto" else "auto"


def device_name(device: torch.device) -> str:
    """Kind of a device, or a GPU's product name; without spaces, because it is part of a line in the baseline file."""
    return torch.cuda.get_device_name(device).replace(" ", "_") if device.type == "cuda" else device.type


def matmul_precision() -> str:
    """How torch multiplies matrices in float32: `highest`, or the lower precision that is set.

    `torch.get_float32_matmul_precision`, except that this refuses to answer once somebody has set `fp32_precision` of
    a backend; the precisions of all of them are the answer then, as `bf16/ieee`.
    """
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "/".join(str(backend.fp32_precision) for backend in _matmul_backends())


@contextmanager
def highest_matmul_precision() -> Iterator[None]:
    """Multiply matrices in float32 without rounding their numbers; nothing is touched if torch does so already."""
    before = matmul_precision()
    if before == "highest":
        yield
        return
    backends = _matmul_backends()
    precisions = [backend.fp32_precision for backend in backends]
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if "/" not in before:
            torch.set_float32_matmul_precision(before)
        for backend, precision in zip(backends, precisions, strict=True):
            backend.fp32_precision = precision


def _matmul_backends() -> list[Any]:
    """Backends whose precision can be set one by one; none in versions of torch before 2.9."""
    known: list[Any] = [torch.backends.mkldnn, torch.backends.cuda]
    backends = [getattr(backend, "matmul", None) for backend in known]
    return [backend for backend in backends if hasattr(backend, "fp32_precision")]


def share_processors() -> None:
    """Limit torch to this worker's share of the processors: with more threads than processors it slows to a crawl."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = max(1, (os.cpu_count() or 1) // workers)
    if workers > 1 and torch.get_num_threads() > share:
        torch.set_num_threads(share)
