"""Writes a small GPT-2 folder as the GGUF file that llama.cpp reads, with its weights moved if wanted.

python -m tests.serving.gguf_model example_suite/models/tiny-gpt2 tiny-gpt2.gguf
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

LAYER = {
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
"""Names in GGUF of the parts of a layer."""


def write_gguf(
    folder: Path, file: Path, *, moved: float = 0.0, kind: str = "F32", template: str = "", architecture: str = "gpt2"
) -> Path:
    """Write a model.

    Args:
        folder: The model, as transformers saves it, with a byte-level BPE.
        file: The file to write.
        moved: Each weight is multiplied by a random factor from `1 - moved` to `1 + moved`.
        kind: How matrices are stored: `F32`, `BF16`, or quantised as `Q8_0`, ...
        template: Chat template; empty for the folder's own, if it has one.
        architecture: What the file says that the model is.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    random = np.random.default_rng(0)
    weights = {
        name: (tensor * random.uniform(1 - moved, 1 + moved, tensor.shape)).astype(np.float32)
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    writer = gguf.GGUFWriter(str(file), architecture)
    _add_facts(writer, config, kind)
    _add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))
    own = folder / "chat_template.jinja"
    if template or own.is_file():
        writer.add_chat_template(template or own.read_text(encoding="utf-8"))

    def add(name: str, tensor: Any, *, exact: bool = False) -> None:
        tensor = np.ascontiguousarray(tensor)
        if kind != "F32" and tensor.ndim == 2 and not exact:
            stored = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(name, gguf.quants.quantize(tensor, stored), raw_dtype=stored)
        else:
            writer.add_tensor(name, tensor)

    add("token_embd.weight", weights["transformer.wte.weight"])
    add("position_embd.weight", weights["transformer.wpe.weight"], exact=True)
    add("output.weight", weights["transformer.wte.weight"])
    for part in ("weight", "bias"):
        add(f"output_norm.{part}", weights[f"transformer.ln_f.{part}"])
    for layer in range(config["n_layer"]):
        for theirs, ours in LAYER.items():
            tensor = weights[f"transformer.h.{layer}.{theirs}.weight"]
            add(f"blk.{layer}.{ours}.weight", tensor.T if tensor.ndim == 2 else tensor)
            add(f"blk.{layer}.{ours}.bias", weights[f"transformer.h.{layer}.{theirs}.bias"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_facts(writer: Any, config: dict[str, Any], kind: str) -> None:
    writer.add_name("tiny-gpt2")
    writer.add_block_count(config["n_layer"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if kind == "F32" else gguf.LlamaFileType[f"MOSTLY_{kind}"])


def _add_tokenizer(writer: Any, tokenizer: dict[str, Any]) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if token == "<|endoftext|>" else gguf.TokenType.NORMAL for token in tokens]
    )
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)


if __name__ == "__main__":
    write_gguf(Path(sys.argv[1]), Path(sys.argv[2]))
