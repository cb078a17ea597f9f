"""Loading a model from a folder: what comes back, what is refused and with which words, how it is let go."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.errors import ModelError, UsageError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel, load_model, transformers_quiet

from .small_models import TRAINED, Reference, ask, make_model, make_tokenizer, reference

TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
)


def save(folder: Path, *, template: str = "", tokenizer: Any = None, **changes: Any) -> Path:
    """A whole model folder."""
    words = tokenizer or make_tokenizer()
    words.chat_template = template or None
    make_model("llama", **changes).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole llama."""
    return save(tmp_path / "llama")


def test_loaded_model_is_the_saved_one(folder: Path) -> None:
    """Weights, tokenizer, name and fingerprint are those of the folder, and dropout is off."""
    local = load_model(folder, name="small", device="cpu", fingerprint="0123456789ab")
    assert (local.name, local.model.training) == ("small", False)
    assert torch.equal(local.model.lm_head.weight, make_model("llama").lm_head.weight)
    assert local.encode("Z!") == make_tokenizer()("Z!")["input_ids"]
    assert local.vocabulary == 260
    assert dict(local.environment) == {
        "attention": "sdpa",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "device": "cpu",
        "dtype": "float32",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "weights": "0123456789ab",
    }


def test_trained_model_answers() -> None:
    """A model of the example suite gives the capital of France."""
    local = load_model(TRAINED / "tiny-gpt2", device="cpu")
    (found,) = generate(local, ask({"max_new_tokens": 8}, ["Q: What is the capital of France?\nA:"]))
    assert "Paris" in str(found)


@pytest.mark.parametrize(("dtype", "expected"), [(None, "float32"), ("auto", "float32"), ("bfloat16", "bfloat16")])
def test_precision(folder: Path, dtype: str | None, expected: str) -> None:
    """Weights have the precision asked for, else the checkpoint's own."""
    assert dict(load_model(folder, dtype=dtype, device="cpu").environment)["dtype"] == expected


def test_checkpoints_own_precision_is_kept(tmp_path: Path) -> None:
    """A checkpoint saved in bfloat16 is not blown up to float32."""
    make_model("llama").to(torch.bfloat16).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    assert load_model(tmp_path, device="cpu").model.dtype is torch.bfloat16


def test_encoder_decoder_is_loaded_as_such(tmp_path: Path) -> None:
    """A T5 gets its decoder and answers."""
    make_model("t5").save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    local = load_model(tmp_path, device="cpu")
    assert local.is_encoder_decoder
    requests = ask({"max_new_tokens": 3}, ["hello"])
    (found,) = generate(local, requests)
    assert isinstance(found, Generation)
    assert found.token_ids == reference("t5").answer(requests[0]).tokens


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"device": "cdua"}, UsageError, "model 'small': device 'cdua' is not known. Did you mean 'cuda'?"),
        ({"dtype": "float23"}, UsageError, "model 'small': dtype 'float23' is not known. Did you mean 'float32'?"),
        ({"device": "meta:x"}, UsageError, "model 'small': device 'meta:x' is not known."),
        (
            {"device": "cuda:77"},
            ModelError,
            f"model 'small': this machine has no device 'cuda:77' that torch {torch.__version__} can use (",
        ),
    ],
)
def test_device_or_precision_that_is_not_there(
    folder: Path, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """An unknown device or precision is named with the nearest known one, a device that is missing with a way out."""
    with pytest.raises(kind) as caught:
        load_model(folder, name="small", **options)
    assert str(caught.value).startswith(message)
    assert kind is UsageError or "Use --llm-device=cpu, or install a torch built for cuda." in str(caught.value)


def test_weights_that_are_missing_are_not_drawn_at_random(folder: Path) -> None:
    """A checkpoint that lacks some of the model's weights is refused, with their number and an example."""
    weights = load_file(folder / "model.safetensors")
    gone = [name for name in weights if ".layers.1.mlp" in name]
    kept = {name: tensor for name, tensor in weights.items() if name not in gone}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load_model(folder, name="small", device="cpu")
    assert str(caught.value) == (
        f"model 'small': the weights in {folder} lack 3 of LlamaForCausalLM's, "
        "such as 'model.layers.1.mlp.down_proj.weight'; they would be random numbers.\n"
        "Save the whole model there: model.save_pretrained(FOLDER)"
    )


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    """A configuration that does not fit the weights is an error that names the model and one of them."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(ModelError) as caught:
        load_model(folder, name="small", device="cpu")
    assert str(caught.value) == (
        f"model 'small': {folder} holds 6 weights of another shape than its config.json describes, such as "
        "'model.layers.0.mlp.down_proj.weight': (32, 48) instead of (32, 64).\n"
        "Save both together: model.save_pretrained(FOLDER)"
    )


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.safetensors", b"not weights"), ("config.json", b"{"), ("tokenizer.json", b"{}"), ("config.json", b"{}")],
)
def test_broken_file(folder: Path, file: str, content: bytes) -> None:
    """A file that cannot be read is an error of the model, in one line and without a traceback of the library."""
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_model(folder, name="small", device="cpu")
    assert str(caught.value).startswith(f"model 'small': {folder} cannot be loaded on cpu: ")


def test_folder_without_weights(folder: Path) -> None:
    """Weights that are not there are not looked for elsewhere."""
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded on cpu"):
        load_model(folder, name="small", device="cpu")


def test_pickled_weights_are_read_only_when_allowed(folder: Path) -> None:
    """A pickle beside no safetensors is refused, and read where the user allows it."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded on cpu"):
        load_model(folder, name="small", device="cpu")
    assert load_model(folder, device="cpu", allow_pickle=True).vocabulary == 260


def test_tokenizer_of_another_model(tmp_path: Path) -> None:
    """A tokenizer that knows more tokens than the model is refused, with both numbers."""
    folder = save(tmp_path, vocab_size=200, bos_token_id=1, eos_token_id=2)
    with pytest.raises(ModelError) as caught:
        load_model(folder, name="small", device="cpu")
    assert str(caught.value) == (
        f"model 'small': the tokenizer in {folder} has 260 tokens, the model embeds 200, "
        "so they do not belong together.\n"
        "Save the model's own tokenizer there: tokenizer.save_pretrained(FOLDER)"
    )


def test_chat_template_that_is_not_there(folder: Path) -> None:
    """Asking for a chat template that the tokenizer does not have is an error, not a plain prompt."""
    with pytest.raises(ModelError) as caught:
        load_model(folder, name="small", device="cpu", chat_template="tokenizer")
    assert str(caught.value) == (
        f"model 'small': chat_template is on, but the tokenizer in {folder} has no chat template.\n"
        "Leave chat_template out, or give a Jinja template of your own."
    )


def test_chat_template_makes_the_prompt_a_users_turn(tmp_path: Path) -> None:
    """With the tokenizer's template the output is that of the pipeline called with a chat."""
    local = load_model(save(tmp_path, template=TEMPLATE), device="cpu", chat_template="tokenizer")
    assert local.tokenizer.decode(local.encode("hi")) == "<s>user: hi</s>A:"
    (found,) = generate(local, ask({"max_new_tokens": 5}, ["hi"]))
    pipeline: Any = Reference(local).pipeline
    with transformers_quiet():
        chat = [{"role": "user", "content": "hi"}]
        (expected,) = pipeline(chat, max_new_tokens=5, do_sample=False, return_full_text=False)
    assert str(found) == expected["generated_text"]


def test_chat_template_of_the_users_own(folder: Path) -> None:
    """A Jinja template needs none of the tokenizer's, and goes before it."""
    local = load_model(folder, device="cpu", chat_template="[{{ messages[0].content }}]")
    assert local.encode("hi") == make_tokenizer()("[hi]")["input_ids"]


def test_prefix_of_the_configuration_stands_before_the_prompt() -> None:
    """A text that the model's configuration wants before every prompt is there, as in the pipeline."""
    local = LocalModel("llama", make_model("llama", prefix="ab "), make_tokenizer())
    (found,) = generate(local, ask({"max_new_tokens": 5}, ["hi"]))
    plain = LocalModel("llama", make_model("llama"), make_tokenizer())
    assert str(found) == str(generate(plain, ask({"max_new_tokens": 5}, ["ab hi"]))[0])


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """Whole collections that somebody asks for; Python itself starts none."""
    found: list[int] = []

    def note(phase: str, facts: dict[str, int]) -> None:
        if phase == "start" and facts["generation"] == 2:
            found.append(facts["generation"])

    gc.disable()
    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)
    gc.enable()


def test_freed_model_leaves_memory(folder: Path, collections: list[int]) -> None:
    """After `free` nothing holds the weights, and for that nobody looked through all objects of the process."""
    local = load_model(folder, device="cpu")
    weights = weakref.ref(local.model.lm_head.weight)
    generate(local, ask({"max_new_tokens": 2}, ["a", "b"]))
    collections.clear()
    local.free()
    assert weights() is None
    assert collections == []


def test_freed_model_that_refers_to_itself_leaves_memory(folder: Path, collections: list[int]) -> None:
    """Where a part of the model is in a ring of references, `free` collects it."""
    local = load_model(folder, device="cpu")
    local.model.lm_head.itself = [local.model.lm_head]
    weights = weakref.ref(local.model.lm_head.weight)
    local.free()
    local.free()
    assert weights() is None
    assert len(collections) == 1


def test_loading_and_asking_print_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither bars nor warnings of transformers reach the terminal, and its own settings are as before."""
    before = transformers.logging.get_verbosity()
    local = load_model(folder, device="cpu")
    generate(local, ask({"max_new_tokens": 2, "temperature": 0.5}, ["a" * 300]))
    assert capfd.readouterr() == ("", "")
    assert transformers.logging.get_verbosity() == before


@pytest.mark.parametrize(
    ("kind", "facts", "hard", "batchable"),
    [
        ("GPTJConfig", {"n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 4, "rotary_dim": 4}, True, True),
        ("OpenAIGPTConfig", {"n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 4}, True, False),
        (
            "OPTConfig",
            {
                "hidden_size": 32,
                "ffn_dim": 48,
                "num_hidden_layers": 1,
                "num_attention_heads": 4,
                "max_position_embeddings": 64,
                "word_embed_proj_dim": 32,
            },
            True,
            True,
        ),
        (
            "XGLMConfig",
            {"d_model": 32, "ffn_dim": 48, "num_layers": 1, "attention_heads": 4, "max_position_embeddings": 64},
            False,
            True,
        ),
        ("RwkvConfig", {"hidden_size": 32, "num_hidden_layers": 2}, False, False),
    ],
)
def test_where_positions_end_is_known(kind: str, facts: dict[str, Any], hard: bool, batchable: bool) -> None:
    """Which architectures end at their context and which can be padded is told by a property, and holds."""
    config = getattr(transformers, kind)(vocab_size=260, bos_token_id=256, eos_token_id=257, **facts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        auto: Any = transformers.AutoModelForCausalLM
        local = LocalModel(kind, auto.from_config(config).eval(), make_tokenizer())
    assert (local.context_is_hard, local.is_batchable) == (hard, batchable)
    ids = torch.tensor([[5] * ((local.context or 0) + 3)])
    if hard:
        with pytest.raises((IndexError, RuntimeError)):
            local.model(ids)
    elif local.context == 64:
        assert local.model(ids).logits.shape == (1, 67, 260)


def test_dynamic_positions_are_asked_one_prompt_at_a_time() -> None:
    """Positions that depend on the length of a batch keep prompts apart, and have no end."""
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    local = LocalModel("llama", make_model("llama", rope_parameters=rope), make_tokenizer())
    assert (local.is_batchable, local.context) == (False, None)


def test_lengths_of_tokens_make_up_the_text(example_models: Path) -> None:
    """Each token's share of the text is known, special tokens have none, and several for one character no answer."""
    local = load_model(example_models / "tiny-gpt2", name="tiny")
    tokens = local.encode("The sky is blue.")
    text = local.decode(tokens)
    found = local.lengths(tokens, text)
    assert found is not None
    assert sum(found) == len(text)
    assert [text[sum(found[:at]) : sum(found[: at + 1])] for at in range(len(tokens))] == [*map(local.show, tokens)]
    assert local.lengths([*tokens, local.tokenizer.eos_token_id], text) == (*found, 0)
    emoji = local.encode("\N{CLOUD}")
    assert local.lengths(emoji, local.decode(emoji)) is None
