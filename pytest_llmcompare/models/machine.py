"""Facts that decide a model's numerics and are known without torch: libraries, machine, environment variables.

Standard library only.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    *("pytest-llmcompare", "torch", "transformers", "tokenizers", "accelerate", "peft", "safetensors", "numpy"),
    *("jinja2", "sentencepiece", "tiktoken", "protobuf", "mistral-common", "sacremoses", "einops", "kernels", "triton"),
    *("flash-attn", "xformers", "bitsandbytes", "torchao", "compressed-tensors", "optimum", "gptqmodel", "autoawq"),
    *("auto-round", "hqq", "aqlm", "intel-extension-for-pytorch"),
)
"""Packages that compute, tokenize, render chat templates or unpack quantized weights."""

SWITCHES = re.compile(
    r"(ACCELERATE|ATEN|BLIS|BNB|CUBLAS|CUDA|CUDNN|DNNL|FLASH_ATTENTION|GOMP|HIP|HSA|KERNELS|KMP|MIOPEN|MKL|NVIDIA|OMP|ONEDNN"
    r"|OPENBLAS|PJRT|PYTORCH|ROCM|ROCR|TORCH|TORCHINDUCTOR|TRITON|TRANSFORMERS|XLA)_|USE_HUB_KERNELS"
    r"|GLIBC_TUNABLES|LD_PRELOAD|DYLD_INSERT_LIBRARIES"
)
"""Environment variables that can choose other kernels, or another library in their place."""

NO_SWITCHES = re.compile(
    r"\w+_NUM_THREADS|\w+_(HOME|CACHE|CACHE_DIR|LOGS|LOG_LEVEL|VERBOSITY|PATH|DIR)|TRANSFORMERS_OFFLINE"
    r"|TRANSFORMERS_NO_ADVISORY_WARNINGS|CUDA_MODULE_LOADING|CUDA_VISIBLE_DEVICES|CUDA_VERSION"
    r"|KMP_INIT_AT_FORK|KMP_DUPLICATE_LIB_OK"
)
"""Variables of the same families that change no number, or that libraries set themselves when they are imported."""

GPU_FILES = ("driver/nvidia/version", "driver/nvidia/gpus/*/information")
LOADED = ("device", "devices", "dtype", "attention", "quantization", "CPU capability", "CUDA")
"""Facts that are known only once a model is loaded (`decoding/numerics.py`)."""

TORCH_DEFAULTS: Mapping[str, str] = {
    "torch matmul precision": "highest",
    "torch default dtype": "torch.float32",
    "torch deterministic": "False",
    "torch onednn": "True",
    "torch onednn matmul": "none",
    "torch onednn convolution": "none",
    "torch cuda matmul": "none",
    "torch cudnn": "True",
    "torch cudnn deterministic": "False",
    "torch cudnn benchmark": "False",
    "torch cudnn convolution": "tf32",
    "torch reduced bfloat16": "True",
    "torch reduced float16": "True",
    "torch flash attention": "True",
    "torch efficient attention": "True",
    "torch plain attention": "True",
}
"""Torch's switches as they are in a process in which nothing has changed them (`decoding/numerics.py`)."""


@cache
def versions() -> Mapping[str, str]:
    """Versions of the installed libraries, as `version NAME`."""
    known = {}
    for name in LIBRARIES:
        try:
            known[f"version {name}"] = version(name)
        except PackageNotFoundError:
            continue
    return known


def switches() -> dict[str, str]:
    """Environment variables that can choose other kernels, as `variable NAME`."""
    return {
        f"variable {name}": value
        for name, value in sorted(os.environ.items())
        if SWITCHES.match(name) and not NO_SWITCHES.fullmatch(name)
    }


def machine() -> dict[str, str]:
    """Processor and GPUs: with equal ones a model gets the same device, dtype and kernels."""
    return {**_hardware(), "visible GPUs": os.environ.get("CUDA_VISIBLE_DEVICES", "all")}


@cache
def _hardware() -> dict[str, str]:
    facts = {"processor": _processor(Path("/proc/cpuinfo")), "system": f"{platform.system()} {platform.machine()}"}
    for pattern in GPU_FILES:
        for path in sorted(Path("/proc").glob(pattern)):
            facts[f"GPU {path.parent.name}"] = _text(path)
    return facts


def _processor(path: Path) -> str:
    """Model and instruction sets of the first processor."""
    lines = [line.partition(":") for line in _text(path).split("\n\n")[0].splitlines()]
    known = {name.strip(): " ".join(sorted(value.split())) for name, _, value in lines}
    names = ("vendor_id", "model name", "CPU implementer", "CPU part", "flags", "Features")
    return "; ".join(known[name] for name in names if name in known) or platform.processor()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
