"""Quantised checkpoints: how their weights are stored, and which package reads them.

A configuration says it before anything is loaded; transformers then loads them as any other model.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from pytest_llmcompare.errors import ModelError

KEY = "quantization_config"
"""The entry of a model's configuration that describes how its weights are quantised."""

ACTIVATIONS = "+activations"
"""End of the description of a model that rounds what its weights are multiplied with to a few bits, too."""

PACKAGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "aqlm": (("aqlm", "aqlm"),),
    "auto-round": (("auto-round", "auto_round"),),
    "awq": (("gptqmodel", "gptqmodel"),),
    "bitsandbytes": (("bitsandbytes", "bitsandbytes"),),
    "compressed-tensors": (("compressed-tensors", "compressed_tensors"),),
    "eetq": (("kernels", "kernels"),),
    "fouroversix": (("fouroversix", "fouroversix"),),
    "fp_quant": (("fp_quant", "fp_quant"),),
    "gptq": (("optimum", "optimum"), ("gptqmodel", "gptqmodel")),
    "higgs": (("flute-kernel", "flute"), ("fast_hadamard_transform", "fast_hadamard_transform")),
    "hqq": (("hqq", "hqq"),),
    "quanto": (("optimum-quanto", "optimum.quanto"),),
    "quark": (("amd-quark", "quark"),),
    "sinq": (("sinq", "sinq"),),
    "spqr": (("spqr_quant", "spqr_quant"),),
    "torchao": (("torchao", "torchao"),),
    "vptq": (("vptq", "vptq"),),
}
"""Packages that each method of quantisation needs, with the modules by which they are found."""


def quantization_of(config: Mapping[str, Any]) -> str:
    """How a model's weights are quantised, such as `torchao:Int8WeightOnlyConfig` or `gptq:4bit`; empty if not at all.

    It ends with `+activations` if what they are multiplied with is rounded, too.

    Args:
        config: The model's configuration, as in `config.json`.
    """
    stated = config.get(KEY)
    if not isinstance(stated, Mapping):
        return ""
    parts = ":".join(filter(None, (_method(stated), _detail(stated))))
    return parts + (ACTIVATIONS if _rounds_activations(stated) else "")


def check_quantization(name: str, location: object, config: Mapping[str, Any]) -> None:
    """Check that the packages which a quantised model needs are installed.

    Raises:
        ModelError: One is not.
    """
    stated = config.get(KEY)
    needed = PACKAGES.get(_method(stated), ()) if isinstance(stated, Mapping) else ()
    lacking = [package for package, module in needed if not is_installed(module)]
    if lacking:
        several = len(lacking) > 1
        raise ModelError(
            f"model {name!r}: the weights in {location} are quantised ({quantization_of(config)}), which needs the "
            f"Python package{'s' if several else ''} {' and '.join(map(repr, lacking))}, not installed here.\n"
            f"Install {'them' if several else 'it'}: pip install {' '.join(lacking)}"
        )


def is_installed(module: str) -> bool:
    """True if a module can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def quantized_note(name: str, quantization: str) -> str:
    """A note on a model with quantised weights."""
    return f"model {name!r} is a quantised checkpoint ({quantization}): its outputs can differ from the full one's"


def _method(stated: Mapping[str, Any]) -> str:
    """The method as transformers names it; older checkpoints of bitsandbytes name none."""
    method = stated.get("quant_method") or ""
    method = str(getattr(method, "value", method))  # a loaded model has a member of an enumeration
    return "bitsandbytes" if not method and (stated.get("load_in_8bit") or stated.get("load_in_4bit")) else method


def _rounds_activations(stated: Mapping[str, Any]) -> bool:
    """True if the configuration has a scheme for activations."""
    if stated.get("load_in_8bit") or stated.get("activation_scheme") or "Activation" in _detail(stated):
        return True
    groups = stated.get("config_groups")  # of compressed-tensors
    groups = groups.values() if isinstance(groups, Mapping) else ()
    return any(isinstance(group, Mapping) and bool(group.get("input_activations")) for group in groups)


def _detail(stated: Mapping[str, Any]) -> str:
    """The number of bits or the name of the scheme."""
    if stated.get("load_in_4bit"):
        return f"4bit-{stated.get('bnb_4bit_quant_type', 'fp4')}"
    if stated.get("load_in_8bit"):
        return "8bit"
    scheme = stated.get("quant_type")
    if isinstance(scheme, Mapping):  # torchao: {"default": {"_type": "Int8WeightOnlyConfig", ...}}
        scheme = next((part.get("_type") for part in scheme.values() if isinstance(part, Mapping)), None)
    bits = stated.get("bits") or stated.get("w_bit") or stated.get("nbits")
    return str(scheme or stated.get("format") or stated.get("weights") or (f"{bits}bit" if bits else ""))
