"""Attaches a PEFT adapter to a base model in memory, and takes it off again, so that the base is loaded once.

An adapter of most kinds replaces modules of the base by modules that hold the old ones. The model that is asked is then
a shallow copy of the base's outermost module: another object, with the same modules inside. So what is remembered about
a model, such as which shortcuts are sound for it, is remembered for each adapter and for the base by itself. An adapter
of virtual tokens changes nothing in the base; the model that is asked is PEFT's wrapper around it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.text import error_line

from .pyproject_tables import CONFIG_FILE, header

NAME = "default"
"""What PEFT calls the only adapter of a model."""

TRIAL = (5, 3, 2, 4, 3, 5, 2, 3)
"""Token ids of a short text, to try an adapter with."""

ROUNDING = 0.02
"""Largest movement of scores that rounding in bfloat16 explains, as a share of the best score minus the median."""

State = Mapping[str, tuple[Any, int, int]]
"""Of each parameter by name: the object, the address of its data, and how often it was changed in place."""


@dataclass
class Attached:
    """An adapter and the base that it is attached to.

    Attributes:
        model: The model to ask.
        base: The base's outermost module.
        wrapper: PEFT's model.
        before: State of the base's weights before the adapter was attached.
        virtual_tokens: How many virtual tokens come before each prompt.
    """

    model: Any
    base: Any
    wrapper: Any
    before: State
    virtual_tokens: int = 0

    @property
    def loses_tokens(self) -> bool:
        """True if `generate` gives other scores than a pass over the same tokens, with the virtual ones before them.

        Versions of PEFT and transformers that do not belong together lose the virtual tokens in `generate`.
        """
        return bool(self.virtual_tokens) and not _writes_as_it_reads(self.wrapper)

    def detach(self) -> bool:
        """Take the adapter off; False if the base may not be what it was before, so that it has to be loaded again."""
        wrapper, self.wrapper, self.model = self.wrapper, None, None
        if not wrapper.active_peft_config.is_prompt_learning:
            try:
                wrapper.base_model.unload()
            except Exception:  # a kind of adapter that cannot be taken off
                return False
        return _is_equal(_state_of(self.base), self.before)


def attach(base: Any, folder: str, name: str, base_folder: str) -> Attached:
    """Attach the adapter in a folder to a base.

    Its weights take the precision of the base's, as in `AutoModelForCausalLM.from_pretrained(FOLDER)`.

    Args:
        base: The transformers model.
        folder: The adapter.
        name: Name of the model, for messages.
        base_folder: Where the base was loaded from, for messages.

    Raises:
        ModelError: It does not fit the base, lacks weights, or cannot be loaded.
    """
    from peft import PeftModel

    before = _state_of(base)
    outer = copy.copy(base)
    if len(set(getattr(outer, "hf_device_map", {"": ""}).values())) == 1:
        vars(outer).pop("hf_device_map", None)  # else PEFT spreads the model over all devices again
    options: dict[str, Any] = {"autocast_adapter_dtype": False, "torch_device": str(base.device)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrapper = PeftModel.from_pretrained(outer, folder, NAME, **options)
            result = wrapper.load_adapter(folder, NAME, **options)  # once more: only this says which weights it lacks
    except Exception as error:  # from a library, of any kind
        raise _not_attached(name, folder, base_folder, error) from error
    config = wrapper.active_peft_config
    is_prompt = bool(config.is_prompt_learning)
    missing, unexpected = sorted(result.missing_keys), sorted(result.unexpected_keys)
    if not is_prompt and (missing or unexpected):  # virtual tokens are no part of the model's own state
        raise _other_base(name, folder, base_folder, _difference(missing, unexpected))
    wrapper.eval()
    model = wrapper if is_prompt else wrapper.get_base_model()
    return Attached(model, base, wrapper, before, int(config.num_virtual_tokens) if is_prompt else 0)


def _writes_as_it_reads(wrapper: Any) -> bool:
    """True if two steps of `generate` give the scores of a forward pass, up to rounding."""
    ids = torch.tensor([TRIAL], device=wrapper.device)
    options: dict[str, Any] = {"output_logits": True, "return_dict_in_generate": True, "do_sample": False}
    with torch.no_grad():
        written = wrapper.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=2, **options)
        read = wrapper(input_ids=written.sequences[:, :-1]).logits[0, -len(written.logits) :].float()
    steps = torch.stack([step[0] for step in written.logits]).float()  # [steps, vocab]
    return bool((steps - read).abs().max() <= ROUNDING * (read.max() - read.median()))


def _state_of(base: Any) -> State:
    return {
        name: (weight, weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        for name, weight in base.named_parameters(remove_duplicate=False)
    }


def _is_equal(one: State, other: State) -> bool:
    same = (one[name][0] is other[name][0] and one[name][1:] == other[name][1:] for name in one if name in other)
    return one.keys() == other.keys() and all(same)


def _difference(missing: list[str], unexpected: list[str]) -> str:
    parts = [f"it lacks {len(missing)} weights, such as {missing[0]!r}"] if missing else []
    parts += [f"{len(unexpected)} of its weights have no place there, such as {unexpected[0]!r}"] if unexpected else []
    return " and ".join(parts)


def _not_attached(name: str, folder: str, base: str, error: Exception) -> ModelError:
    """The error for an adapter that PEFT cannot attach."""
    text = error_line(error)
    if "size mismatch" in str(error) or "arget modules" in str(error) or "not found in the base model" in str(error):
        mismatch = next((line.strip() for line in str(error).splitlines() if "size mismatch" in line), text)
        return _other_base(name, folder, base, mismatch.rstrip("."))
    return ModelError(
        f"model {name!r}: the adapter in {folder} cannot be attached to its base in {base}: {text}\n"
        "To see the whole error: "
        f'python -c "from peft import AutoPeftModelForCausalLM as A; A.from_pretrained({folder!r})"'
    )


def _other_base(name: str, folder: str, base: str, why: str) -> ModelError:
    """The error for an adapter that was trained on another base."""
    return ModelError(
        f"model {name!r}: the adapter in {folder} was not trained on the base in {base}: {why}.\n"
        f'Name the base that it was trained on: base = "FOLDER_OR_HUB_ID" in {header(name)} of {CONFIG_FILE}'
    )


def lost_tokens_note(name: str, attached: Attached) -> tuple[str, ...]:
    """A note on virtual tokens that `generate` loses; empty if it does not."""
    if not attached.loses_tokens:
        return ()
    versions = f"transformers {version('transformers')} and peft {version('peft')}"
    note = (
        f"model {name!r}: generate() of {versions} loses the adapter's virtual tokens. Outputs are what generate() "
        "returns, so they are not what the adapter was trained for. Install other versions of both packages"
    )
    return (note,)
