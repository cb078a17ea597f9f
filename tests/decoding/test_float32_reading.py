"""A low-precision checkpoint is read as its float32 copy would be, and stays as it is; what can't be is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, DynamicCache

from pytest_llmcompare.decoding.float32_reading import (
    Block,
    NotFloat32Error,
    Upcast,
    blocks_of,
    in_float32,
    is_mask,
)
from pytest_llmcompare.decoding.float32_trial import why_not_in_float32
from pytest_llmcompare.decoding.prefix_cache import cache_keyword
from pytest_llmcompare.models.load import LocalModel, load_model

from .small_models import SIZE, VOCABULARY, make, make_model, make_tokenizer

MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "falcon": ("FalconConfig", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}),
    "gpt_oss": ("GptOssConfig", {**SIZE, "num_local_experts": 4, "rope_parameters": {"rope_type": "default"}}),
    "mixtral": ("MixtralConfig", {**SIZE, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3_moe": (
        "Qwen3MoeConfig",
        {**SIZE, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2},
    ),
    "rwkv": ("RwkvConfig", {"hidden_size": 32, "num_hidden_layers": 2}),
}
READABLE = ("gpt2", "bloom", "llama", "mistral", "gemma2", "qwen2", "t5", "falcon", "gpt_oss", "mixtral", "qwen3_moe")
LOW = (torch.bfloat16, torch.float16)
IDS = torch.tensor([[5, 9, 30, 44, 2, 7, 81, 90], [8, 9, 11, 44, 2, 7, 0, 0]])


def low_model(name: str, dtype: torch.dtype = torch.bfloat16) -> LocalModel:
    """A small model with random weights in low precision."""
    if name not in MORE:
        local = make(name)
    else:
        kind, facts = MORE[name]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            auto: Any = AutoModelForCausalLM
            config = getattr(transformers, kind)(**{**facts, "vocab_size": VOCABULARY})
            local = LocalModel(name, auto.from_config(config).eval(), make_tokenizer())
    local.model.to(dtype)
    return local


def logits_of(model: Any, ids: Tensor = IDS, **options: Any) -> Tensor:
    """What a model gives for token ids, [rows, seq, vocab]."""
    if model.config.is_encoder_decoder:
        options["decoder_input_ids"] = ids[:, :5]
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids, **{"use_cache": False, **options}).logits
    return logits


def tensors_of(model: nn.Module) -> list[tuple[Any, ...]]:
    """All that must be as before of each parameter and buffer."""
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return [(name, id(tensor), tensor.data_ptr(), tensor.dtype, tensor._version) for name, tensor in tensors]


def hooks_of(model: nn.Module) -> int:
    """How many hooks its modules have."""
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """The same weights and hooks at the end as at the beginning."""
    tensors, hooks = tensors_of(model), hooks_of(model)
    yield
    assert (tensors_of(model), hooks_of(model)) == (tensors, hooks)


@pytest.mark.parametrize("dtype", LOW, ids=str)
@pytest.mark.parametrize("name", READABLE)
def test_bit_equal_to_a_float32_copy(name: str, dtype: torch.dtype) -> None:
    """Logits of padded rows, and after the KV cache of a shared prefix, are those of the model in float32."""
    local = low_model(name, dtype)
    cached = not local.is_encoder_decoder
    with untouched(local.model):
        assert why_not_in_float32(local) == ""
        expected = copy.deepcopy(local.model).float()
        with in_float32(local.model):
            logits = logits_of(local.model)
            after_prefix = after_cache(local.model) if cached else None
        assert logits.dtype == torch.float32
        assert torch.equal(logits, logits_of(expected))
        assert after_prefix is None or torch.equal(after_prefix, after_cache(expected))
        assert not torch.equal(logits_of(local.model).float(), logits)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_loaded_checkpoint(tmp_path: Path, device: str) -> None:
    """Loading leaves no hooks or dtypes behind that make it impossible."""
    make_model("llama").bfloat16().save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    local = load_model(tmp_path, device=device)
    assert (local.model.dtype, why_not_in_float32(local)) == (torch.bfloat16, "")
    expected = logits_of(copy.deepcopy(local.model).float())
    with untouched(local.model), in_float32(local.model):
        assert torch.equal(logits_of(local.model), expected)


def after_cache(model: Any) -> Tensor:
    """Logits of one row after a KV cache of its first tokens."""
    options = {cache_keyword(LocalModel("", model, None)): DynamicCache(), "use_cache": True}
    logits_of(model, IDS[:1, :4], **options)
    return logits_of(model, IDS[:1, 4:], **options)


def test_one_block_at_a_time() -> None:
    """Inside of a block only its own weights are in float32; those of a table of tokens never are."""
    model = low_model("gpt2").model
    upcast: dict[str, set[str]] = {}

    def note(name: str) -> Callable[..., None]:
        return lambda *_: upcast.update({name: {at for at, one in model.named_parameters() if one.dtype is not LOW[0]}})

    for name in ("transformer.drop", "transformer.h.0.mlp", "transformer.h.1.mlp"):
        model.get_submodule(name).register_forward_hook(note(name))
    with in_float32(model):
        logits_of(model)
    assert upcast == {
        "transformer.drop": set(),
        "transformer.h.0.mlp": {at for at, _ in model.named_parameters() if ".h.0." in at},
        "transformer.h.1.mlp": {at for at, _ in model.named_parameters() if ".h.1." in at},
    }


class Raises(nn.Module):
    """A block that raises in the middle of its pass."""

    def __init__(self, inner: nn.Module, error: BaseException) -> None:
        super().__init__()
        self.inner = inner
        self.error = error

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Raise after the inner block."""
        self.inner(*args, **kwargs)
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
@pytest.mark.parametrize("name", ["gpt2", "mixtral"])
def test_weights_are_put_back_whatever_is_raised(name: str, error: BaseException) -> None:
    """Inside of a block, where its weights are in float32."""
    model = low_model(name).model
    layers = next(part for part in model.modules() if isinstance(part, nn.ModuleList))
    layers[1] = Raises(layers[1], error)
    with untouched(model), pytest.raises(type(error)), in_float32(model):
        logits_of(model)


def test_a_tied_weight_is_put_back_by_its_last_user() -> None:
    """Two blocks that run at the same time share a weight."""
    weight = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    one, other = (Block(name, nn.Linear(1, 1), (weight,)) for name in ("one", "other"))
    upcast = Upcast()
    dtypes: list[torch.dtype] = []
    for act in (upcast.begin, upcast.begin, upcast.end, upcast.end):
        act(one if len(dtypes) in (0, 3) else other)
        dtypes.append(weight.dtype)
    assert dtypes == [torch.float32, torch.float32, torch.float32, torch.bfloat16]


def test_blocks_are_items_of_outermost_lists() -> None:
    """What is in none of them counts by itself; a block without low-precision weights is none."""
    model = low_model("mixtral").model
    model.model.norm.float()
    model.model.rotary_emb.float()  # as it is when a checkpoint has been loaded
    assert [block.name for block in blocks_of(model)] == [
        "model.embed_tokens",
        "model.layers.0",
        "model.layers.1",
        "lm_head",
    ]


def test_a_float32_model_is_left_alone() -> None:
    """It has no blocks, so no hook is set."""
    local = make("gpt2")
    expected = logits_of(local.model)
    with untouched(local.model), in_float32(local.model):
        assert (why_not_in_float32(local), hooks_of(local.model)) == ("", 0)
        assert torch.equal(logits_of(local.model), expected)


class Casts(nn.Module):
    """A block that rounds its result to bfloat16, with or without a way back to float32."""

    def __init__(self, inner: nn.Module, *, back: bool) -> None:
        super().__init__()
        self.inner = inner
        self.back = back

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the inner block, rounded."""
        result = self.inner(*args, **kwargs)
        hidden = (result[0] if isinstance(result, tuple) else result).bfloat16()
        hidden = hidden.float() if self.back else hidden
        return (hidden, *result[1:]) if isinstance(result, tuple) else hidden


def offloaded() -> LocalModel:
    """A model whose weights accelerate fetches when they are needed."""
    local = low_model("gpt2")
    accelerate.cpu_offload(local.model, execution_device=torch.device("cpu"))
    return local


def with_block(**options: bool) -> LocalModel:
    """A model whose second block casts by itself."""
    local = low_model("gpt2")
    local.model.transformer.h[1] = Casts(local.model.transformer.h[1], **options)
    return local


def with_weight(dtype: torch.dtype, device: str = "cpu") -> LocalModel:
    """A model with one weight of another kind."""
    local = low_model("gpt2")
    weight = local.model.transformer.h[0].mlp.c_fc.weight
    local.model.transformer.h[0].mlp.c_fc.weight = nn.Parameter(weight.data.to(device, dtype), requires_grad=False)
    return local


REFUSED: dict[str, tuple[Callable[[], LocalModel], str]] = {
    "mamba": (lambda: low_model("mamba"), "in bfloat16 after backbone.norm_f"),
    "rwkv": (lambda: low_model("rwkv"), "the model computes aten.div_.Tensor in bfloat16"),
    "casts to low precision": (lambda: with_block(back=False), "in transformer.h.1"),
    "casts there and back": (lambda: with_block(back=True), "in transformer.h.1"),
    "offloaded": (offloaded, "accelerate moves the weights of "),
    "meta": (lambda: with_weight(torch.bfloat16, "meta"), "transformer.h.0.mlp.c_fc.weight is not in memory"),
    "int8": (lambda: with_weight(torch.int8), "transformer.h.0.mlp.c_fc.weight is quantised or distributed (int8)"),
    "float8": (lambda: with_weight(torch.float8_e4m3fn), "c_fc.weight is quantised or distributed (float8_e4m3fn)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_with_a_name(kind: str) -> None:
    """The reason names the module; trying leaves the model as it was."""
    make_it, reason = REFUSED[kind]
    local = make_it()
    with untouched(local.model):
        assert reason in why_not_in_float32(local)
        assert why_not_in_float32(local) == why_not_in_float32(local)


@pytest.mark.parametrize(
    ("name", "message"), [("mamba", "lm_head is given bfloat16"), ("gpt2", "transformer.h.1 gives bfloat16")]
)
def test_each_pass_notices_low_precision(name: str, message: str) -> None:
    """Without a trial, too: what reaches or leaves a block is looked at."""
    local = low_model(name) if name == "mamba" else with_block(back=False)
    with untouched(local.model), pytest.raises(NotFloat32Error, match=message), in_float32(local.model):
        logits_of(local.model)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, float("-inf")], True), ([0.0, "lowest"], True), ([0.0, -1.5], False), ([1.0], False), ([], True)],
)
@pytest.mark.parametrize("dtype", LOW, ids=str)
def test_masks_lose_nothing(dtype: torch.dtype, values: list[Any], expected: bool) -> None:
    """A mask in low precision may be given to a block; anything else was rounded."""
    lowest = torch.finfo(dtype).min
    assert is_mask(torch.tensor([lowest if one == "lowest" else one for one in values], dtype=dtype)) is expected


def test_a_mask_in_low_precision_reaches_a_block() -> None:
    """It is upcast like the block."""
    model = make_model("gpt2").bfloat16()
    hidden = torch.randn(1, 3, 32)
    mask = torch.zeros(1, 1, 3, 3, dtype=torch.bfloat16)
    with torch.no_grad(), in_float32(model):
        result = model.transformer.h[0](hidden, attention_mask=mask)
        assert (result[0] if isinstance(result, tuple) else result).dtype == torch.float32
        with pytest.raises(NotFloat32Error, match=r"transformer\.h\.0 is given bfloat16"):
            model.transformer.h[0](hidden.bfloat16(), attention_mask=mask)
