"""Whether shortcuts are sound, over every architecture that transformers knows: `python benchmarks/architectures.py`.

Each architecture that loads as a causal or sequence-to-sequence language model is made tiny, with random weights large
enough for outputs to vary. The engine answers the same prompts (ragged, of one token, with a shared beginning) without
drafts and with right, wrong, short and long ones, at several batch sizes. Every output has to be, token for token, that
of `model.generate` of a fresh copy of the model for that prompt alone. A line per architecture names the shortcuts that
it has; the exit status is 1 if any token differed.

    python benchmarks/architectures.py                  # all of them, about half an hour on a CPU
    python benchmarks/architectures.py trocr xlm        # some
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from pytest_llmcompare.decoding.engine import Outcome, ShortcutWarning, generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel, transformers_quiet

VOCABULARY = 260
MOST_PARAMETERS = 4_000_000
NEW_TOKENS = 9
SHARED = "one two three four five "
PROMPTS = ("Q: Red?\nA:", "x", "Why? Because", "the sky over the sea", "Z", "a b c a b c", "!")
BATCH_SIZES = (1, 2, 5)
SMALL: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "n_words", "decoder_vocab_size", "vocab_size_per_layer_input"), VOCABULARY),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "emb_dim", "dim", "embedding_size", "lru_width"), 32),
    **dict.fromkeys(("cross_attention_hidden_size", "attention_hidden_size", "dim_model", "hidden_dim"), 32),
    **dict.fromkeys(("intermediate_size", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim", "n_inner"), 48),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "feed_forward_size"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers"), 2),
    **dict.fromkeys(("decoder_layers", "num_decoder_layers", "num_encoder_layers", "num_blocks"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "num_decoder_attention_heads", "num_encoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok", "num_kv_heads", "n_groups", "mamba_n_groups"), 2),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("head_dim", "d_kv", "attention_head_size", "rotary_dim", "q_lora_rank", "kv_lora_rank"), 8),
    **dict.fromkeys(("qk_nope_head_dim", "v_head_dim", "state_size", "ssm_state_size", "mamba_d_state"), 8),
    **dict.fromkeys(("qk_rope_head_dim",), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length"), 256),
    **dict.fromkeys(("max_encoder_position_embeddings", "max_decoder_position_embeddings"), 256),
    "initializer_range": 0.4,
    "init_std": 0.4,
    "expert_capacity": 3,
    "sliding_window": 8,
    "attention_window_size": 8,
}
"""Values for those of these settings that a configuration has."""
IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
EXTRA: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 20},
    "nllb-moe": {"moe_eval_capacity_token_fraction": 0.4, "encoder_sparse_step": 1, "decoder_sparse_step": 1},
    "switch_transformers": {
        "num_sparse_encoder_layers": 2,
        "num_sparse_decoder_layers": 2,
        "encoder_sparse_step": 1,
        "decoder_sparse_step": 1,
        "num_sparse_encoder": 2,
    },
    **{
        name: {"is_decoder": True}
        for name in (
            "bert",
            "bert-generation",
            "big_bird",
            "camembert",
            "data2vec-text",
            "electra",
            "ernie",
            "megatron-bert",
            "rembert",
            "roberta",
            "roberta-prelayernorm",
            "roc_bert",
            "roformer",
            "xlm-roberta",
            "xlm-roberta-xl",
            "xmod",
            "reformer",
            "prophetnet",
        )
    },
    "xlm": {"causal": True},
    "flaubert": {"causal": True},
    "reformer": {
        "is_decoder": True,
        "axial_pos_embds": False,
        "attn_layers": ["local", "local"],
        "local_attn_chunk_length": 64,
    },
    "xmod": {"is_decoder": True, "default_language": "en_XX"},
    "recurrent_gemma": {"num_hidden_layers": 3},
}


class Bytes:
    """A tokenizer whose tokens are bytes."""

    eos_token_id, pad_token_id, vocab_size, chat_template = 2, 1, VOCABULARY, None

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": list(text.encode("utf-8"))}

    def decode(self, tokens: Sequence[int], **_: Any) -> str:
        """Text of tokens."""
        return "".join(chr(32 + token) for token in tokens)


def small_config(kind: str) -> Any:
    """A tiny configuration of a model type.

    Raises:
        Exception: Whatever the configuration's own checks raise.
    """
    build: Any = CONFIG_MAPPING[kind]
    default = build()
    known = vars(default).keys() | set(getattr(default, "attribute_map", {}))
    settings = {name: value for name, value in {**SMALL, **IDS}.items() if name in known or name in IDS}
    settings |= EXTRA.get(kind, {})
    lists = [name for name in ("layer_types", "mlp_layer_types", "no_rope_layers") if getattr(default, name, None)]
    try:  # lists with an entry per layer are to be made anew
        return build(**{**settings, **dict.fromkeys(lists)})
    except Exception:
        return build(**settings)


def small_model(kind: str, seed: int = 0) -> Any:
    """A tiny model of a type, with weights large enough for outputs to vary.

    Raises:
        Exception: It cannot be made so small, or not at all without more than a configuration.
    """
    config = small_config(kind)
    causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not config.is_encoder_decoder
    auto: Any = AutoModelForCausalLM if causal else AutoModelForSeq2SeqLM
    with torch.device("meta"):
        size = sum(weight.numel() for weight in auto.from_config(config).parameters())
    if size > MOST_PARAMETERS:
        raise ValueError(f"it has {size:,} parameters even so")
    torch.manual_seed(seed)
    model = auto.from_config(config).float().eval()
    with torch.no_grad():
        for part in model.modules():
            weight = getattr(part, "weight", None)
            if isinstance(part, torch.nn.Embedding):
                weight.normal_()
            elif isinstance(part, torch.nn.Linear) or type(part).__name__ == "Conv1D":
                weight.normal_(std=2 / part.weight.shape[-1] ** 0.5)
    return model


@dataclass
class Finding:
    """Figures of one architecture."""

    cases: int = 0
    wrong: int = 0
    confirmed: int = 0
    rows: int = 1
    reasons: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    def take(self, what: str, expected: tuple[int, ...], outcome: Outcome) -> None:
        """Count an outcome."""
        self.cases += 1
        self.confirmed += isinstance(outcome, Generation) and outcome.verified
        tokens = outcome.token_ids if isinstance(outcome, Generation) else str(outcome)
        if tokens != expected:
            self.wrong += 1
            if len(self.different) < 3:
                self.different += (f"{what}: {tokens} instead of {expected}",)


def alone(model: Any, ids: Sequence[int], gen_config: dict[str, Any]) -> tuple[int, ...]:
    """Output of a fresh copy for one prompt."""
    fresh, tokens = copy.deepcopy(model), torch.tensor([ids])
    with transformers_quiet():
        found = fresh.generate(tokens, attention_mask=torch.ones_like(tokens), **gen_config)
    start = 1 if model.config.is_encoder_decoder else len(ids)
    return tuple(found[0, start:].tolist())


def drafts_of(answer: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """Drafts of every kind, by name."""
    yield "no draft", None
    yield "right draft", answer
    for at in (0, len(answer) // 2, len(answer) - 1):
        yield f"wrong at token {at + 1}", (*answer[:at], (answer[at] + 1) % 256, *answer[at + 1 :])
    yield "short draft", answer[: max(1, len(answer) - 3)]
    yield "long draft", (*answer, 7, 9, 11)


def check(kind: str) -> Finding:
    """Compare the engine with one-by-one `generate` in every way."""
    model, found = small_model(kind), Finding()
    model.generation_config = transformers.GenerationConfig(**IDS)
    gen_config = {"do_sample": False, "max_new_tokens": NEW_TOKENS}
    texts = [*PROMPTS, *(SHARED + prompt for prompt in PROMPTS)]
    local = LocalModel(kind, model, Bytes())
    answers = [alone(model, local.encode(text), gen_config) for text in texts]
    rows: list[int] = []
    model.register_forward_pre_hook(lambda _, args, given: rows.append(rows_of(given)), with_kwargs=True)
    names = [name for name, _ in drafts_of(answers[0])]
    reasons: set[str] = set()
    for size in BATCH_SIZES:
        for which, name in enumerate(names):
            drafts = [list(drafts_of(answer))[which][1] for answer in answers]
            requests = [Request(text, gen_config, draft=draft) for text, draft in zip(texts, drafts, strict=True)]
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                outcomes = generate(local, requests, batch_size=size)
            reasons |= {str(one.message) for one in said if issubclass(one.category, ShortcutWarning)}
            for text, answer, outcome in zip(texts, answers, outcomes, strict=True):
                found.take(f"{name}, {size} at once, {text!r}", answer, outcome)
                if name == "right draft" and isinstance(outcome, Generation) and outcome.unverified:
                    reasons.add(outcome.unverified)
    found.rows = max(rows, default=1)
    found.reasons = tuple(sorted(reasons))
    return found


def rows_of(given: dict[str, Any]) -> int:
    """Rows of a pass; an encoder's output that is read again counts as one."""
    return 1 if given.get("input_ids") is None else len(given["input_ids"])


def main() -> int:
    """Check the architectures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="model types, such as gpt2; all by default")
    given = parser.parse_args()
    torch.set_num_threads(1)
    known = [*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES]
    cases = wrong = done = 0
    for kind in given.kinds or sorted(set(known)):
        started = time.perf_counter()
        try:
            found = check(kind)
        except Exception as error:  # not every architecture can be made from a few numbers
            print(f"{kind:<24} left out: {type(error).__name__}: {str(error).splitlines()[:1]}", flush=True)
            continue
        cases, wrong, done = cases + found.cases, wrong + found.wrong, done + 1
        print(
            f"{kind:<24}{found.wrong:>4} of {found.cases} wrong, {found.confirmed:>4} confirmed, at most {found.rows}"
            f" at once, {time.perf_counter() - started:.1f} s",
            flush=True,
        )
        for line in (*found.reasons, *found.different):
            print(f"    {line}", flush=True)
    print(f"{done} architectures, {cases} cases, {wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
