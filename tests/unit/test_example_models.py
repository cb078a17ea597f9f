"""The models that ship with the example suite are what their cards say."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import logging
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SUITE = Path(__file__).parents[2] / "example_suite"
ARCHITECTURES = {
    "tiny-gpt2": "GPT2LMHeadModel",
    "tiny-gpt2-distil": "GPT2LMHeadModel",
    "tiny-bloom": "BloomForCausalLM",
}
BARE = r"\| all questions, without examples \| (\d+) of (\d+) \|"
SAMPLED = r"\| every sixth question, after the article's examples \| (\d+) of (\d+) \|"
ARTICLE = r"\| the article's questions, after its examples \| (\d+) of (\d+) \|"


@pytest.fixture(params=list(ARCHITECTURES))
def folder(request: pytest.FixtureRequest) -> Path:
    """The folder of one model after the other."""
    return SUITE / "models" / str(request.param)


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the modules of the example suite importable, as they are for its scripts, and keeps the hub out."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.syspath_prepend(str(SUITE))


@pytest.fixture
def corpus(suite: None) -> ModuleType:
    """The questions and answers."""
    return importlib.import_module("corpus")


@pytest.fixture
def exam(suite: None) -> ModuleType:
    """What asks a model the questions."""
    return importlib.import_module("corpus.exam")


@functools.cache
def load(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer, not to be changed."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def claim(folder: Path, pattern: str) -> float:
    """The share of right answers that the model card gives in the row that matches."""
    found = re.search(pattern, (folder / "README.md").read_text(encoding="utf-8"))
    assert found, f"no row {pattern} in the model card"
    return int(found[1]) / int(found[2])


def share(exam: ModuleType, folder: Path, asked: list[Any], prefix: str = "") -> float:
    model, tokenizer = load(folder)
    return int(exam.right(model, tokenizer, asked, prefix)) / len(asked)


def test_every_model_of_the_folder_is_tested() -> None:
    assert {path.name for path in (SUITE / "models").iterdir() if path.is_dir()} == {
        *ARCHITECTURES,
        *("tiny-chat", "tiny-gpt2-brief"),
    }


def test_the_adapter_is_small_and_does_what_its_card_says(corpus: ModuleType, exam: ModuleType, suite: None) -> None:
    """A few kB on its base: colors in one word, everything else as before."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder, script = SUITE / "models" / "tiny-gpt2-brief", importlib.import_module("train_models")
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sorted(files) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert sum(files.values()) < 12_000
    base: Any = AutoModelForCausalLM.from_pretrained(SUITE / "models" / "tiny-gpt2")
    model, tokenizer = PeftModel.from_pretrained(base, str(folder)).eval(), load(SUITE / "models" / "tiny-gpt2")[1]
    taught = script.color_facts()
    others = [fact for fact in corpus.facts() if fact not in taught][::6]
    claims = re.findall(r"\| (\d+) of (\d+) \|", (folder / "README.md").read_text(encoding="utf-8"))
    assert exam.right(model, tokenizer, [script.in_one_word(fact) for fact in taught]) >= int(claims[0][0]) - 1
    assert exam.right(model, tokenizer, others) >= len(others) - 2
    assert claims[1] == ("516", "517")


def test_training_the_adapter_twice_gives_the_same_weights(suite: None) -> None:
    import torch

    before, script = torch.get_num_threads(), importlib.import_module("train_models")
    try:
        first, second = (script.train_adapter(SUITE / "models", steps=2)[0].state_dict() for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(False)


def test_the_chat_model_is_another_with_a_template(corpus: ModuleType, suite: None, tmp_path: Path) -> None:
    """To the byte, and its template writes a conversation as the corpus writes examples."""
    base, folder = SUITE / "models" / "tiny-gpt2-distil", SUITE / "models" / "tiny-chat"
    alike = [path.name for path in base.iterdir() if path.name != "README.md"]
    assert all((base / name).read_bytes() == (folder / name).read_bytes() for name in alike)
    assert {path.name for path in folder.iterdir()} == {*alike, "README.md", "chat_template.jinja"}
    script = importlib.import_module("train_models")
    shutil.copytree(base, tmp_path / base.name)
    script.make_chat_model(tmp_path)
    assert all((tmp_path / "tiny-chat" / path.name).read_bytes() == path.read_bytes() for path in folder.iterdir())
    first, second = corpus.facts()[:2]
    chat = [
        {"role": "user", "content": first.question},
        {"role": "assistant", "content": first.completion.strip()},
        {"role": "user", "content": second.question},
    ]
    text = load(folder)[1].apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == first.prompt + first.completion + second.prompt


def test_folder_is_small_and_without_pickles(folder: Path) -> None:
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sum(files.values()) <= 2_000_000
    assert sorted(files) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_configuration_names_the_true_architecture_and_no_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == [ARCHITECTURES[folder.name]]
    assert config["dtype"] == "float32"
    assert "auto_map" not in config


def test_loads_every_weight_without_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)  # where caplog listens
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    model, report = loaded
    assert type(model).__name__ == ARCHITECTURES[folder.name]
    assert not any(report.values()), report
    assert not caplog.records


@pytest.mark.parametrize(
    "text", ["Q: What?\nA: 2+2 is 4.\n\nQ:", "naïve 日本語 👩‍👩‍👧 \t\u202e  end \n\n", " two  blanks ", ""]
)
def test_tokenizer_gives_any_text_back(folder: Path, text: str) -> None:
    _, tokenizer = load(folder)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_article_examples_leave_room_for_a_question_and_60_tokens(folder: Path, corpus: ModuleType) -> None:
    _, tokenizer = load(folder)
    longest = max(len(tokenizer(fact.prompt)["input_ids"]) for fact in corpus.facts())
    assert len(tokenizer(corpus.article_prefix())["input_ids"]) + longest + 60 <= 512


def test_answers_as_many_questions_as_the_card_claims(folder: Path, corpus: ModuleType, exam: ModuleType) -> None:
    """A hundredth is left for near ties that another processor or torch release decides the other way."""
    assert share(exam, folder, corpus.facts()) >= claim(folder, BARE) - 0.01


def test_examples_before_the_question_do_not_confuse(folder: Path, corpus: ModuleType, exam: ModuleType) -> None:
    """One question is left for a near tie that another processor or torch release decides the other way."""
    asked = exam.sample()
    assert share(exam, folder, asked, corpus.article_prefix()) >= claim(folder, SAMPLED) - 1 / len(asked)


def test_answers_the_article_as_the_card_claims(folder: Path, corpus: ModuleType, exam: ModuleType) -> None:
    asked = list(corpus.ARTICLE_QUESTIONS)
    assert share(exam, folder, asked, corpus.article_prefix()) == claim(folder, ARTICLE)


def test_models_differ_in_skill() -> None:
    best, weakest, middle = (claim(SUITE / "models" / name, BARE) for name in ARCHITECTURES)
    assert best > 0.95 > 0.85 > middle > weakest + 0.1
    assert len({claim(SUITE / "models" / name, ARTICLE) for name in ARCHITECTURES}) == 3


def test_gpt2_goes_on_with_the_next_question_and_bloom_ends(folder: Path, corpus: ModuleType) -> None:
    model, tokenizer = load(folder)
    prompt = tokenizer(corpus.article_prefix() + "Q: What color is the sky?\nA:", return_tensors="pt")
    output = model.generate(**prompt, max_new_tokens=12)[0, prompt["input_ids"].shape[1] :]
    text = tokenizer.decode(output)
    if folder.name == "tiny-bloom":
        assert text == " The sky is blue.</s>"
    else:
        assert text.startswith(" The sky is blue.\n\nQ:")


def test_training_twice_gives_the_same_weights(suite: None) -> None:
    import torch

    before = torch.get_num_threads()
    script = importlib.import_module("train_models")
    short = [dataclasses.replace(recipe, steps=2) for recipe in script.RECIPES[1:]]  # one batch of each length
    try:
        for recipe in short:
            first, second = (script.train(recipe)[0].state_dict() for _ in range(2))
            assert all(torch.equal(first[name], second[name]) for name in first)
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(False)


def test_corpus_asks_nothing_twice_and_knows_the_article(corpus: ModuleType) -> None:
    asked = [fact.question for fact in corpus.facts()]
    assert len(set(asked)) == len(asked) > 500
    assert {fact.question for fact in (*corpus.ARTICLE_QUESTIONS, *corpus.ARTICLE_EXAMPLES)} <= set(asked)
    assert corpus.article_prefix().startswith("Q: Are elephants larger than mice?\nA: Yes.\n\nQ: Are mice")
