"""Checkpoints that load as a language model and are none, or lack a package: what is said of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.load import load_model
from pytest_llmcompare.models.load_checks import missing_package

from .test_local_models import save

GPT2 = {"vocab_size": 64, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
LLAMA = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "tie_word_embeddings": True,
}
BART = {
    "vocab_size": 64,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole small model, with its tokenizer."""
    return save(tmp_path)


def make(kind: str, facts: dict[str, Any], folder: Path) -> Path:
    """A model of this class in the place of the folder's, with its architecture left out."""
    config = getattr(transformers, f"{kind.partition('For')[0]}Config")(**facts)
    (folder / "model.safetensors").unlink()
    getattr(transformers, kind)(config).save_pretrained(folder)
    return change(folder, architectures=None)


def change(folder: Path, **facts: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **facts}))
    return folder


@pytest.mark.parametrize(
    ("kind", "facts", "weight"),
    [
        ("GPT2ForSequenceClassification", GPT2, "score.weight"),
        ("GPT2ForTokenClassification", GPT2, "classifier.bias"),
        ("GPT2ForQuestionAnswering", GPT2, "qa_outputs.bias"),
        ("LlamaForSequenceClassification", LLAMA, "score.weight"),
        ("BartForSequenceClassification", BART, "classification_head.dense.bias"),
    ],
)
def test_classifier_by_its_weights(kind: str, facts: dict[str, Any], weight: str, folder: Path) -> None:
    """Whatever config.json says: weights that the language model has no place for give it away."""
    with pytest.raises(ModelError) as error:
        load_model(make(kind, facts, folder), name="m", device="cpu")
    assert f"hold {weight!r}" in str(error.value)
    assert "not trained to write text" in str(error.value)


def test_classifier_by_its_architecture(folder: Path) -> None:
    """The class that config.json names, before the weights are read."""
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds a GPT2ForSequenceClassification"):
        load_model(change(folder, architectures=["GPT2ForSequenceClassification"]), name="m", device="cpu")


def test_weights_beside_those_of_a_language_model(folder: Path) -> None:
    """A value head of a training and a layer too many are no obstacle and are said; old buffers are not."""
    weights = load_file(folder / "model.safetensors")
    extra = {name: torch.zeros(1) for name in ("h.0.attn.bias", "h.0.attn.masked_bias", "rotary_emb.inv_freq")}
    whole = {**weights, **extra}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_model(folder, name="m", device="cpu").notes == ()
    save_file(
        {**whole, "v_head.summary.weight": torch.zeros(1)}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    (note,) = load_model(folder, name="m", device="cpu").notes
    assert "1 of its weights are not used, such as 'v_head.summary.weight'" in note


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("Answer the question.", "leaves out the user's message"),
        ("{{ messages[0].role }}", "leaves out the user's message"),
        ("{{ raise_exception('only for systems') }}", "only for systems"),
        ("{% if %}", "TemplateSyntaxError"),
        ("{{ messages[1].content }}", "UndefinedError"),
    ],
)
def test_template_of_the_checkpoint_that_is_none(template: str, says: str, tmp_path: Path) -> None:
    """It's found once, when the model is loaded, and the setting that asks for it is named."""
    made = save(tmp_path, template=template)
    with pytest.raises(ModelError) as error:
        load_model(made, name="m", device="cpu", chat_template="tokenizer")
    assert str(error.value).startswith(f"model 'm': chat_template: the template of the tokenizer in {made} ")
    assert says in str(error.value)
    load_model(made, name="m", device="cpu")


def test_template_with_todays_date_is_said(tmp_path: Path) -> None:
    """Such outputs drift overnight."""
    made = save(tmp_path, template="{{ strftime_now('%d %b') }} {{ messages[0].content }}")
    (note,) = load_model(made, name="m", device="cpu", chat_template="tokenizer").notes
    assert "writes today's date into each prompt" in note


def test_sentencepiece_that_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers complains of tiktoken, which it tries last; the file is SentencePiece's."""
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ModelError) as error:
        load_model(folder, name="m", device="cpu")
    assert "needs the Python package 'sentencepiece', which is not installed here" in str(error.value)
    assert str(error.value).endswith("pip install sentencepiece")


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("`tiktoken` is required to read a `tiktoken` file.", "tiktoken"),
        ("XTokenizer requires the protobuf library but it was not found", "protobuf"),
        ("Using bitsandbytes 4-bit quantization requires ...: `pip install -U bitsandbytes`", "bitsandbytes"),
        ("No module named 'sacremoses'", "sacremoses"),
        ("./models/tiktoken-x is broken", ""),
        ("Expecting value: line 1 column 1", ""),
    ],
)
def test_package_that_is_not_installed(
    text: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What transformers says it lacks, where that is true."""
    module = {"protobuf": "google.protobuf"}.get(package, package)
    if module:
        monkeypatch.setitem(sys.modules, module, None)
    assert missing_package(tmp_path, ImportError(text)) == package
    error = ValueError("no tokenizer")
    error.__cause__ = ImportError(text)
    assert missing_package(tmp_path, error) == package
    assert missing_package(tmp_path, ImportError("requires the torch and numpy libraries, and jinja2")) == ""
