"""Device and precision that a model is loaded with, and how many processors a worker may use."""

from __future__ import annotations

import os
from typing import Any

import torch

from pytest_llmcompare.errors import ModelError, UsageError, did_you_mean
from pytest_llmcompare.settings import DTYPES
from pytest_llmcompare.text import error_line


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


def share_processors() -> None:
    """Limit torch to this worker's share of the processors: with more threads than processors it slows to a crawl."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = max(1, (os.cpu_count() or 1) // workers)
    if workers > 1 and torch.get_num_threads() > share:
        torch.set_num_threads(share)
