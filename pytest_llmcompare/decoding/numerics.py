"""What decides how a loaded model's numbers are summed: device, dtype, kernels, and torch's switches."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from pytest_llmcompare.models.device import device_name, dtype_of, matmul_precision

if TYPE_CHECKING:
    from pytest_llmcompare.models.load import LocalModel

_backends: Any = torch.backends  # some of its attributes are of newer versions only
_SWITCHES: dict[str, Callable[[], object]] = {
    "matmul precision": matmul_precision,
    "default dtype": torch.get_default_dtype,
    "deterministic": torch.are_deterministic_algorithms_enabled,
    "onednn": lambda: torch.backends.mkldnn.enabled,
    "cudnn": lambda: torch.backends.cudnn.enabled,
    "cudnn deterministic": lambda: torch.backends.cudnn.deterministic,
    "cudnn benchmark": lambda: torch.backends.cudnn.benchmark,
    "reduced bfloat16": lambda: torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
    "reduced float16": lambda: torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
    "onednn matmul": lambda: _set_precision(_backends.mkldnn.matmul),
    "onednn convolution": lambda: _backends.mkldnn.conv.fp32_precision,
    "cuda matmul": lambda: _set_precision(_backends.cuda.matmul),
    "cudnn convolution": lambda: _backends.cudnn.conv.fp32_precision,
    "flash attention": torch.backends.cuda.flash_sdp_enabled,
    "efficient attention": torch.backends.cuda.mem_efficient_sdp_enabled,
    "plain attention": torch.backends.cuda.math_sdp_enabled,
}


def torch_switches() -> dict[str, str]:
    """Torch's switches as they are now, as `torch NAME`; `models/machine.py` has their defaults."""
    return {f"torch {name}": _shown(read) for name, read in _SWITCHES.items()}


def _set_precision(backend: Any) -> str:
    """How a backend multiplies; `ieee` is what it does while nothing is set, and setting it twice leaves it behind."""
    return str(backend.fp32_precision).replace("ieee", "none")


def _shown(read: Callable[[], object]) -> str:
    try:
        return str(read())
    except (AttributeError, RuntimeError):  # another version of torch
        return "none"


def numerics(model: LocalModel) -> dict[str, str]:
    """Facts of a loaded model, as in the key of its cached answers."""
    config: Any = model.model.config
    return {
        "device": device_name(model.device),
        "devices": json.dumps(getattr(model.model, "hf_device_map", {}), default=str, sort_keys=True),
        "dtype": str(dtype_of(model.model)).removeprefix("torch."),
        "attention": str(getattr(config, "_attn_implementation", "")),
        "quantization": model.quantization,
        "CPU capability": torch.backends.cpu.get_cpu_capability(),
        "CUDA": str(torch.version.cuda or torch.version.hip or ""),
    }
