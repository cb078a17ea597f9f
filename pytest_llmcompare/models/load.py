"""A transformers model in memory: loaded from a folder, with the facts that decoding needs."""

from __future__ import annotations

import gc
import inspect
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import DynamicCache, DynamicLayer, TextGenerationPipeline

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.generation import Environment

from .adapters import attach, lost_tokens_note
from .chat_template import TOKENIZER
from .conversation import Conversation, Prompt
from .device import checked_device, device_name, dtype_of, matmul_precision
from .load_checks import check_loaded, check_vocabulary, describe_quantization
from .loading_options import LoadingOptions
from .model_files import has_tokenizer
from .pyproject_tables import header
from .quantization import ACTIVATIONS
from .weights import Weights, load_tokenizer, load_weights, transformers_quiet

__all__ = ["LENGTH_DEPENDENT", "LocalModel", "load_model", "transformers_quiet"]
DEFAULTS = LoadingOptions()
LENGTH_DEPENDENT = ("'dynamic'", "'longrope'")
"""Kinds of RoPE whose frequencies change with the length of the batch."""


@dataclass
class LocalModel:
    """A loaded model with its tokenizer.

    Attributes:
        name: Name of the model, for messages.
        model: The transformers model, in evaluation mode, or PEFT's wrapper around it.
        tokenizer: Its tokenizer.
        chat_template: `""` none, `"tokenizer"` the tokenizer's own, else a Jinja template.
        fingerprint: Fingerprint of the weights, see `model_files.py`.
        quantization: How the weights are quantised, such as `torchao:Int8WeightOnlyConfig`; empty if they are not.
        pieces: Texts of single tokens, filled in as they are needed.
        notes: Notes on the model for the user.
        virtual_tokens: How many tokens of its context an adapter puts before each prompt.
        weights: What the model is made of.
    """

    name: str
    model: Any
    tokenizer: Any
    chat_template: str = ""
    fingerprint: str = ""
    quantization: str = ""
    pieces: dict[int, str] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    virtual_tokens: int = 0
    weights: Weights | None = field(default=None, repr=False)

    def encode(self, prompt: Prompt) -> list[int]:
        """Tokenize a prompt as transformers' text-generation pipeline does; a conversation by the chat template.

        Raises:
            ModelError: A conversation, and there is no chat template.
        """
        if isinstance(prompt, str) and not self.chat_template:
            return list(self.tokenizer(self.prefix + prompt)["input_ids"])
        conversation = Conversation.of_text(prompt) if isinstance(prompt, str) else prompt
        self.check_has_template()
        return list(self.chat(conversation, return_dict=True)["input_ids"])

    def check_has_template(self) -> None:
        """Check that there is a chat template.

        Raises:
            ModelError: There is none.
        """
        if not self.chat_template and not getattr(self.tokenizer, "chat_template", None):
            raise ModelError(
                f"model {self.name!r} has no chat template, so it cannot be asked a conversation (column messages).\n"
                f'Give it one, chat_template = "PATH_OR_TEXT" in {header(self.name)} of pyproject.toml, '
                "or name a chat model."
            )

    def chat_text(self, prompt: str, **variables: Any) -> str:
        """Render a prompt by the chat template, with further variables for the template."""
        with transformers_quiet():
            return str(self.chat(Conversation.of_text(prompt), tokenize=False, **variables))

    def chat(self, conversation: Conversation, **options: Any) -> Any:
        """Apply the chat template, the tokenizer's own if none is given, up to where the answer begins."""
        template = None if self.chat_template in ("", TOKENIZER) else self.chat_template
        fields = conversation.fields()
        return self.tokenizer.apply_chat_template(
            fields["messages"], fields.get("tools"), chat_template=template, add_generation_prompt=True, **options
        )

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of generated tokens, as the pipeline gives it."""
        # A tokenizer that parses answers (response_template) needs their special tokens; the pipeline keeps them, too.
        skip = not getattr(self.tokenizer, "response_template", None)
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=skip))

    def lengths(self, tokens: Sequence[int], text: str) -> tuple[int, ...] | None:
        """How many characters of the text each token makes; None if several tokens make one character together."""
        pieces = [self.piece(token) for token in tokens]
        if "".join(pieces) != text:  # SentencePiece drops the blank before the first token that it decodes
            pieces[1:] = [self.decode(pair)[len(self.piece(pair[0])) :] for pair in pairwise(tokens)]
        return tuple(map(len, pieces)) if "".join(pieces) == text else None

    def piece(self, token: int) -> str:
        """Text of a single token, empty for special ones."""
        if token not in self.pieces:
            self.pieces[token] = self.decode([token])
        return self.pieces[token]

    def show(self, token: int) -> str:
        """Text of a single token, special tokens included."""
        return str(self.tokenizer.decode([token]))

    @property
    def device(self) -> torch.device:
        """Device for the inputs."""
        own = torch.device(self.model.device)
        devices = set(getattr(self.model, "hf_device_map", {}).values())
        if own.type != "meta" or "disk" not in devices:
            return own
        # If not even the first weights fit into memory, accelerate fetches them from disk each time.
        return torch.device(next(iter(devices - {"cpu", "disk"}), "cpu"))

    @property
    def prefix(self) -> str:
        """Text that the pipeline puts before every prompt of this model; empty for nearly all models."""
        configured = getattr(self.model.config, "prefix", None)
        if configured is None and type(self.model).__name__ == "XLNetLMHeadModel":
            return str(TextGenerationPipeline.XL_PREFIX)
        return str(configured or "")

    @cached_property
    def environment(self) -> Environment:
        """All that an output depends on besides prompt and settings: weights, numerics, library versions."""
        facts = {
            "attention": str(getattr(self.model.config, "_attn_implementation", None) or ""),
            "capability": torch.backends.cpu.get_cpu_capability() if self.device.type == "cpu" else "",
            "device": device_name(self.device),
            "dtype": str(dtype_of(self.model)).removeprefix("torch."),
            "matmul": matmul_precision().replace("highest", ""),
            "quantization": self.quantization,
            "torch": str(torch.__version__),
            "transformers": str(transformers.__version__),
            "peft": version("peft") if self.weights and self.weights.attached else "",
            "weights": self.fingerprint,
        }
        return tuple(sorted((name, value.replace(" ", "_")) for name, value in facts.items() if value))

    @cached_property
    def vocabulary(self) -> int:
        """How many tokens the model embeds."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    @cached_property
    def is_encoder_decoder(self) -> bool:
        """True if the prompt goes to an encoder, so that the output is a separate sequence."""
        return bool(self.model.config.is_encoder_decoder)

    @cached_property
    def context(self) -> int | None:
        """Most tokens of a sequence, or None if the architecture sets no limit."""
        return self.positions and self.positions - self.virtual_tokens

    @cached_property
    def positions(self) -> int | None:
        """How many positions the model has; None if the architecture sets no limit."""
        config = self.model.config.get_text_config(decoder=True)
        limit = getattr(config, "max_position_embeddings", None)
        stretches = LENGTH_DEPENDENT[0] in str(getattr(config, "rope_parameters", None))
        return limit if isinstance(limit, int) and limit > 0 and not stretches else None

    @cached_property
    def context_is_hard(self) -> bool:
        """True if there are no positions beyond the context, because they are rows of a table."""
        token_embeddings = self.model.get_input_embeddings()
        sizes = []  # of tables with a row per position: learned ones (GPT-2), and computed ones that are kept (GPT-J)
        for part in self.model.modules():
            if isinstance(part, torch.nn.Embedding) and part is not token_embeddings:
                sizes.append(part.num_embeddings)
            elif not hasattr(part, "make_weights"):  # a table with `make_weights` grows
                sizes += [len(table) for table in part.buffers(recurse=False) if table.ndim == 2]
        # OPT and BART have two rows more than positions.
        return self.positions is not None and any(0 <= size - self.positions <= 2 for size in sizes)

    @cached_property
    def is_batchable(self) -> bool:
        """True if left padding and other rows leave a prompt's output as it is, judged by cache, RoPE and dtype.

        False if the cache forgets tokens (sliding window, recurrent state), if RoPE depends on the batch's length, if
        `forward` takes no KV cache, and if the precision is so low that the other rows of a batch change a row.
        """
        precise = dtype_of(self.model) in (torch.float32, torch.float64) and not self.quantization.endswith(ACTIVATIONS)
        if self.is_encoder_decoder or not precise:
            return False
        config = self.model.config.get_text_config(decoder=True)
        rope = str(getattr(config, "rope_parameters", None))
        takes_cache = inspect.signature(self.model.forward).parameters.keys() & {"cache", "past_key_values"}
        if not takes_cache or any(kind in rope for kind in LENGTH_DEPENDENT):
            return False
        return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)

    def let_go(self) -> Weights | None:
        """Give the weights up, for another model to be made of them; return them."""
        weights, self.model, self.tokenizer, self.weights = self.weights, None, None, None
        return weights

    def free(self) -> None:
        """Free the weights; may be called again."""
        weights = [weakref.ref(weight) for weight in self.model.parameters()] if self.model is not None else []
        scarce = self.model is not None and self.device.type != "cpu"
        self.model = self.tokenizer = self.weights = None
        # Few models refer to themselves, and gc.collect() walks all that torch and transformers have imported.
        if scarce or any(weight() is not None for weight in weights):
            gc.collect()
        torch.cuda.empty_cache()  # does nothing without CUDA


def load_model(
    location: str | Path,
    *,
    name: str = "",
    dtype: str | None = None,
    device: str | None = None,
    fingerprint: str = "",
    chat_template: str = "",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    tokenizer: str = "",
    adapter: str = "",
    options: LoadingOptions = DEFAULTS,
    weights: Weights | None = None,
) -> LocalModel:
    """Load tokenizer and weights from a folder or a GGUF file, without network.

    Args:
        location: Folder of the model, such as a snapshot in the hub's cache, or a GGUF file.
        name: Name of the model, for messages.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` (the default) for the checkpoint's own.
        device: `cpu`, `cuda`, `cuda:1`, ..., `auto` to spread it over all devices; by default a GPU if there is one.
        fingerprint: Fingerprint of the weights, which becomes part of the environment.
        chat_template: As in `ModelSpec`.
        trust_remote_code: Whether Python code in the folder may run.
        allow_pickle: Whether pickled weights may be read.
        tokenizer: Folder of the tokenizer; empty for the model's own.
        adapter: Folder of a PEFT adapter that is attached to the model; empty for none.
        options: How the weights are loaded; the folders have been found already.
        weights: The weights, if they are in memory, without an adapter.

    Raises:
        UsageError: An unknown device or dtype.
        ModelError: It cannot be loaded, is incomplete, or its tokenizer or adapter belongs to another model.
    """
    name = name or str(location)
    place = checked_device(device, name)
    code: dict[str, Any] = {"name": name, "trust_remote_code": trust_remote_code}
    encoder = load_tokenizer(tokenizer or location, place=place, **code)
    weights = weights or load_weights(
        location, dtype=dtype, device=device, allow_pickle=allow_pickle, options=options, **code
    )
    loaded = LocalModel(name, weights.model, encoder, chat_template, fingerprint, weights=weights)
    check_loaded(loaded, weights.report, str(location), str(tokenizer or location))
    describe_quantization(loaded, Path(location))
    if adapter:
        if tokenizer == adapter and has_tokenizer(Path(location)):
            own = load_tokenizer(location, place=place, **code)
            check_vocabulary(name, encoder.get_vocab(), own.get_vocab(), (adapter, str(location)))
        _attach(loaded, weights, adapter, str(location))
    return loaded


def _attach(loaded: LocalModel, weights: Weights, adapter: str, base: str) -> None:
    """Attach an adapter to a model that is loaded, whose weights then hold it."""
    with transformers_quiet():
        weights.attached = attach(weights.model, adapter, loaded.name, base)
        loaded.notes += lost_tokens_note(loaded.name, weights.attached)
    loaded.model, loaded.virtual_tokens = weights.attached.model, weights.attached.virtual_tokens
