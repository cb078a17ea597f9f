"""Devices: which one a model is loaded on, what it is called, and how many processors a worker may use."""

from __future__ import annotations

import os

import torch

from pytest_llmcompare.errors import ModelError, UsageError, did_you_mean

from .faults import reason


def placement(device: str | None, name: str) -> str:
    """The device to load on.

    Raises:
        UsageError: It is no device.
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
            f"({reason(error)}).\nUse --llm-device=cpu, or install a torch built for {kind}."
        ) from None
    return device


def device_name(device: torch.device) -> str:
    """Kind of device, for a GPU its product name; without spaces, as it stands in a line of facts."""
    return torch.cuda.get_device_name(device).replace(" ", "_") if device.type == "cuda" else device.type


def share_processors() -> None:
    """Leave xdist's other workers their part of the processors: threads of torch that wait for each other crawl."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    fair = max(1, (os.cpu_count() or 1) // workers)
    if workers > 1 and torch.get_num_threads() > fair:
        torch.set_num_threads(fair)
