"""GGUF files as models: read by transformers with their own tokenizer, compared by tokens, refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from pytest_llmcompare import PyfuncTransformer
from pytest_llmcompare.models.load import transformers_quiet
from tests.serving.gguf_model import write_gguf

from .suites import TEST, TRIVIA, Suite, says

LONG = TEST.replace('"max_new_tokens": 6', '"max_new_tokens": 12')


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory, example_models: Path) -> Path:
    """`tiny-gpt2` with its matrices in Q8_0."""
    return write_gguf(example_models / "tiny-gpt2", tmp_path_factory.mktemp("gguf") / "tiny.Q8_0.gguf", kind="Q8_0")


def plain(file: Path, prompt: str) -> str:
    """What transformers' own `generate` answers with the model that it reads from a file."""
    with transformers_quiet():
        config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
        config.n_positions = config.n_ctx  # transformers gives GPT-2 1024 positions, whatever the file says
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, config=config)
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    tokens = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
    return str(tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True))


def test_outputs_of_a_file(suite: Suite, quantised: Path) -> None:
    """They equal those of plain `generate`, and are identical when nothing changed, whatever the file is called."""
    suite.trivia(test=LONG)
    first = suite.compared("--llm-update", models=[f"m={quantised}"])
    assert first.answers == [plain(quantised, row["prompt"]) for row in TRIVIA]
    renamed = suite.path / "models" / "another name.gguf"
    renamed.parent.mkdir()
    renamed.write_bytes(quantised.read_bytes())
    suite.write("pyproject.toml", '[tool.llmcompare.models.m]\nsource = "models/another name.gguf"\n')
    for model, option in (f"m={quantised}", "--llm-cache=off"), (f"m={renamed}", "--llm-batch-size=1"), ("m", "-v"):
        again = suite.compared(option, models=[model])
        assert (again.verdicts, again.findings) == ({"identical"}, ["unchanged"])
        assert again.report["model_verdicts"][0]["same_weights"]


def test_what_the_file_holds_is_said(suite: Suite, quantised: Path) -> None:
    """The terminal, the reports and the environment of the outputs say that the weights are dequantised."""
    suite.trivia(test=LONG)
    result = suite.run("--llm-update", "--llm-report=r.html", "--llm-report=r.md", models=[f"m={quantised}"])
    note = "its weights (Q8_0 and F32) dequantised to float32"
    assert says(result, f"model 'm' is read from a GGUF file, {note}; llama.cpp computes with")
    for name in ("r.html", "r.md"):
        assert note in (suite.path / name).read_text(encoding="utf-8")
    again = suite.compared(models=[f"m={quantised}"])
    assert again.facts("quantization") == {"gguf:Q8_0"}
    assert note in str(again.report["notes"])
    assert "quantization=gguf:Q8_0" in (suite.path / "__baselines__/trivia/m.baseline").read_text(encoding="utf-8")


def test_the_file_is_told_from_the_model_it_was_made_from(suite: Suite, quantised: Path) -> None:
    """Weights rounded to 8 bits are weights that changed; a file with the same weights is not."""
    suite.trivia(test=LONG)
    suite.run("--llm-update").assert_outcomes(passed=3)
    assert suite.compared(models=[f"m={quantised}"]).findings == ["changed"]
    same = suite.compared(models=[f"m={write_gguf(suite.models / 'tiny-gpt2', suite.path / 'exact.gguf')}"])
    assert (same.verdicts, same.findings) == ({"identical"}, ["unchanged"])


def test_conversations_by_the_template_of_the_file(suite: Suite) -> None:
    """A chat template stands in the file, so a table of messages can be asked."""
    file = write_gguf(suite.models / "tiny-chat", suite.path / "chat.gguf")
    suite.trivia([{"id": "ice", "messages": [{"role": "user", "content": "Is ice cold?"}]}])
    asked = suite.compared("--llm-update", models=[f"m={file}"])
    folder = suite.compared(models=[suite.spec("m", "tiny-chat")])
    assert (asked.answers, folder.verdicts) == (folder.answers, {"identical"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("old.gguf", b"GGML", "is not a whole GGUF file: it begins with b'GGML', expected b'GGUF'."),
        ("new.gguf", b"GGUF\x09\0\0\0", "is not a whole GGUF file: it is of version 9, expected 2 or 3."),
        ("cut.gguf", b"GGUF\x03\0\0\0\x01", "is not a whole GGUF file: it ends inside its header."),
        ("empty.gguf", b"", "is not a whole GGUF file: it begins with b'', expected b'GGUF'."),
        ("a-00001-of-00003.gguf", b"GGUF", "is one of several parts of a model"),
        ("lfs.gguf", b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer, not the file itself."),
    ],
)
def test_files_that_are_no_model(suite: Suite, name: str, content: bytes, message: str) -> None:
    """Each is a sentence, and fails the tests of that model alone."""
    (suite.path / name).write_bytes(content)
    suite.trivia(recorded=True)
    result = suite.run(models=[suite.spec(), f"x=./{name}"])
    result.assert_outcomes(passed=3, errors=3)
    assert says(result, message)


def test_an_architecture_that_transformers_lacks(suite: Suite) -> None:
    """The error names it and points to a llama.cpp server; so does one for weights that end too early."""
    file = write_gguf(suite.models / "tiny-gpt2", suite.path / "odd.gguf", architecture="rwkv9")
    suite.trivia(recorded=True)
    result = suite.run(models=[suite.spec(), "x=./odd.gguf"])
    result.assert_outcomes(passed=3, errors=3)
    assert says(result, f"{file} is a GGUF file of the architecture 'rwkv9', which transformers")
    assert says(result, f"(llama-server --model {file} --port 8000), and name the server: ")
    assert says(result, "x=openai:odd@http://127.0.0.1:8000/v1")
    whole = write_gguf(suite.models / "tiny-gpt2", suite.path / "cut.gguf").read_bytes()
    (suite.path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    result = suite.run(models=["x=./cut.gguf"])
    result.assert_outcomes(errors=3)
    assert says(result, "cut.gguf is a GGUF file of the architecture 'gpt2', which transformers")


def test_a_file_that_is_not_there(suite: Suite, quantised: Path) -> None:
    """A near name is suggested, and ./ where a file has the name of a hub model."""
    (suite.path / "tiny.gguf").write_bytes(quantised.read_bytes())
    suite.trivia()
    (suite.path / "TINY.GGUF").write_bytes(b"GGUF")
    assert says(suite.run(models=["./TINY.GGUF"]), "TINY.GGUF is not read: it is GGUF, the format of llama.cpp")
    assert says(suite.run(models=["./tyny.gguf"]), "tyny.gguf. Did you mean 'tiny.gguf' beside it?")
    assert says(suite.run(models=["tiny.gguf"]), "Did you mean the file ./tiny.gguf? Then write the ./ too.")


def test_a_file_that_the_table_names(suite: Suite, quantised: Path) -> None:
    """The option is part of the logged model, which answers alike; a file that is not there is an error."""
    (suite.path / "files/q8").mkdir(parents=True)
    (suite.path / "files/q8/tiny.gguf").write_bytes(quantised.read_bytes())
    suite.trivia(test=LONG)
    table = '[tool.llmcompare.models.m]\nsource = "./files"\ngguf_file = "{}"\n'
    suite.write("pyproject.toml", table.format("q8/tiny.gguf"))
    asked = suite.compared("--llm-update", models=["m"])
    assert asked.facts("quantization") == {"gguf:Q8_0"}
    again = suite.compared(models=[f"m={quantised}"])
    assert (again.verdicts, again.findings) == ({"identical"}, ["unchanged"])
    ours = PyfuncTransformer("./files", {"max_new_tokens": 12}, gguf_file="q8/tiny.gguf")
    assert ours.predict(None, [row["prompt"] for row in TRIVIA]) == asked.answers
    suite.write("pyproject.toml", table.format("q8/tyny.gguf"))
    result = suite.run(models=["m"])
    assert says(result, "has no file 'q8/tyny.gguf' (gguf_file). Did you mean 'q8/tiny.gguf'?")
