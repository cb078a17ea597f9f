"""Quantised checkpoints: recorded and checked as others, told apart from their base, refused without a library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TorchAoConfig

from pytest_llmcompare.models.load import transformers_quiet

from .suites import TEST, TRIVIA, Suite, says

LONG = TEST.replace('"max_new_tokens": 6', '"max_new_tokens": 12')
SCHEMES = {"int8": Int8WeightOnlyConfig, "int8 activations": Int8DynamicActivationInt8WeightConfig}
SAVED: dict[str, tuple[str | None, torch.dtype]] = {
    "int8": ("int8", torch.float32),
    "activations": ("int8 activations", torch.float32),
    "bf16": (None, torch.bfloat16),
    "int8-bf16": ("int8", torch.bfloat16),
}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory, example_models: Path) -> Path:
    """Folder with copies of `tiny-bloom`; `tiny-gpt2` has no linear layers, which are all that torchao quantises."""
    base, folder = example_models / "tiny-bloom", tmp_path_factory.mktemp("copies")
    with transformers_quiet():
        for name, (scheme, dtype) in SAVED.items():
            config = {"quantization_config": TorchAoConfig(SCHEMES[scheme]())} if scheme else {}
            model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, device_map="cpu", **config)
            model.save_pretrained(folder / name)
            AutoTokenizer.from_pretrained(base).save_pretrained(folder / name)
    return folder


def plain(folder: Path, prompt: str) -> str:
    """What transformers' own `generate` answers."""
    with transformers_quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", device_map="cpu")
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    tokens = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
    return str(tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True))


@pytest.mark.parametrize("name", ["int8", "activations", "int8-bf16"])
def test_an_unchanged_copy(suite: Suite, copies: Path, name: str) -> None:
    """It answers as plain `generate` does, and is identical and unchanged, with other batches, too."""
    suite.trivia(test=LONG)
    models = [f"m={copies / name}"]
    first = suite.compared("--llm-update", models=models)
    assert first.answers == [plain(copies / name, row["prompt"]) for row in TRIVIA]
    for option in ("-v", "--llm-batch-size=1"):
        again = suite.compared("--llm-cache=off", option, models=models)
        assert (again.verdicts, again.findings) == ({"identical"}, ["unchanged"])
    assert suite.compared("--llm-decode=plain", models=models).verdicts == {"identical"}


def test_an_unchanged_copy_in_workers(suite: Suite, copies: Path) -> None:
    """Other processes load the same."""
    suite.trivia(test=LONG)
    models = [f"m={copies / 'int8'}"]
    suite.run("--llm-update", models=models).assert_outcomes(passed=3)
    result = suite.run_apart("-n2", "--llm-cache=off", models=models)
    result.assert_outcomes(passed=3)
    assert says(result, "m: unchanged. Log-probs of 3")


@pytest.mark.parametrize(
    ("base", "copy"), [("tiny-bloom", "int8"), ("tiny-bloom", "activations"), ("bf16", "int8-bf16")]
)
def test_a_copy_is_told_from_its_base(suite: Suite, copies: Path, base: str, copy: str) -> None:
    """Weights rounded to 8 bits change few texts; the model verdict sees them, in either direction."""
    folder = suite.models / base if base == "tiny-bloom" else copies / base
    suite.trivia(test=LONG)
    for one, other in (folder, copies / copy), (copies / copy, folder):
        suite.compared("--llm-update-all", models=[f"m={one}"])
        assert suite.compared(models=[f"m={other}"]).findings == ["changed"]


def test_quantisation_is_shown(suite: Suite, copies: Path) -> None:
    """Terminal, reports and environment name the method and its scheme."""
    suite.trivia()
    models = [f"m={copies / 'int8'}"]
    result = suite.run("--llm-update", "--llm-report=r.html", "--llm-report=r.md", models=models)
    note = "is a quantised checkpoint (torchao:Int8WeightOnlyConfig)"
    assert says(result, f"model 'm' {note}")
    for name in ("r.html", "r.md"):
        assert note in (suite.path / name).read_text(encoding="utf-8").replace("\\_", "_")
    again = suite.compared(models=models)
    assert again.facts("quantization") == {"torchao:Int8WeightOnlyConfig"}
    assert says(suite.run(models=models), "3 of 3 answers from the cache")


METHODS = [
    ({"quant_method": "gptq", "bits": 4}, "gptq:4bit", "'optimum' and 'gptqmodel'", "optimum gptqmodel"),
    ({"quant_method": "awq", "bits": 4}, "awq:4bit", "'gptqmodel'", "gptqmodel"),
    ({"load_in_8bit": True}, "bitsandbytes:8bit+activations", "'bitsandbytes'", "bitsandbytes"),
    (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        *("bitsandbytes:4bit-nf4", "'bitsandbytes'", "bitsandbytes"),
    ),
    (
        {"quant_method": "compressed-tensors", "format": "int-quantized"},
        *("compressed-tensors:int-quantized", "'compressed-tensors'", "compressed-tensors"),
    ),
    ({"quant_method": "hqq"}, "hqq", "'hqq'", "hqq"),
]


@pytest.mark.parametrize(("config", "shown", "lacks", "install"), METHODS)
def test_a_copy_without_its_library(suite: Suite, config: dict[str, Any], shown: str, lacks: str, install: str) -> None:
    """The message has the package and the command; the tests of other models go on."""
    shutil.copytree(suite.models / "tiny-gpt2", suite.path / "copy")
    path = suite.path / "copy/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": config}))
    suite.trivia(recorded=True)
    result = suite.run(models=[suite.spec(), "x=./copy"])
    result.assert_outcomes(passed=3, errors=3)
    package = "packages" if " and " in lacks else "package"
    assert says(result, f"are quantised ({shown}), which needs the Python {package} {lacks}, not installed here.")
    assert says(result, f"pip install {install}")
