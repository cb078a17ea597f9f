"""What a run says of its models besides their outputs: settings and templates that do not count, each once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from .suites import Suite

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
TWO = """
import pytest

@pytest.mark.llm_prompts(["Q: Is ice cold?\\nA:"], name="one", gen_config={"max_new_tokens": 6}, model_type=None)
def test_one(llm_output, llm_baseline):
    assert llm_output == llm_baseline

@pytest.mark.llm_prompts(["Q: Who is Hamlet?\\nA:"], name="two", gen_config={"max_new_tokens": 6}, model_type=None)
def test_two(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""


@pytest.fixture
def model(suite: Suite) -> Path:
    """A copy of a small model in the suite, asked by two tables."""
    suite.write("test_two.py", TWO)
    return Path(shutil.copytree(suite.models / "tiny-gpt2", suite.path / "m"))


def table(suite: Suite, name: str = "m", **entries: Any) -> None:
    """A model's table in pyproject.toml."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"source": "./m", **entries}.items()]
    suite.write("pyproject.toml", "\n".join(["[tool.pytest.ini_options]", f"[tool.llmcompare.models.{name}]", *lines]))


def told(result: pytest.RunResult) -> str:
    """The output as one line, because notes are wrapped."""
    return " ".join(result.stdout.str().split())


def configure(model: Path, **settings: Any) -> None:
    path = model / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_settings_of_the_checkpoint_that_do_not_count(suite: Suite, model: Path) -> None:
    """They're named once per model, with what to do; given by the user they count, and are not named."""
    outputs = suite.path / "__baselines__/two/m.baseline"
    suite.run("--llm-update", models=["m=./m"]).assert_outcomes(passed=2)
    plain = outputs.read_text()
    configure(model, repetition_penalty=1.8, no_repeat_ngram_size=2)
    result = suite.run(models=["m=./m"])
    result.assert_outcomes(passed=2)
    own = "no_repeat_ngram_size=2, repetition_penalty=1.8"
    note = f"model 'm': settings in its generation_config.json are not used: {own}."
    assert told(result).count(note) == 1
    assert outputs.read_text() == plain
    table(suite)
    with (suite.path / "pyproject.toml").open("a") as file:
        file.write("\ngen_config = {repetition_penalty = 1.8, no_repeat_ngram_size = 2}\n")
    again = suite.run("--llm-update", models=["m"])
    assert "generation_config.json" not in told(again)
    assert outputs.read_text() != plain


def test_chat_model_that_is_asked_without_its_template(suite: Suite, model: Path) -> None:
    """It's said once; `chat_template = false` says that this is meant, and changes no baseline."""
    suite.run("--llm-update", models=["m=./m"]).assert_outcomes(passed=2)
    (model / "chat_template.jinja").write_text(TEMPLATE)
    result = suite.run(models=["m=./m"])
    result.assert_outcomes(passed=2)
    assert told(result).count("model 'm' has a chat template, but its prompts are sent without it.") == 1
    assert "chat_template = true in [tool.llmcompare.models.m] of pyproject.toml" in told(result)
    table(suite, chat_template=False)
    result = suite.run(models=["m"])
    result.assert_outcomes(passed=2)
    assert "chat template" not in told(result)


def test_template_in_a_file(suite: Suite, model: Path) -> None:
    """Its content counts: another makes baselines stale, the same text in the table does not."""
    suite.write("templates/chat.jinja", TEMPLATE)
    table(suite, chat_template="templates/chat.jinja")
    suite.run("--llm-update", models=["m"]).assert_outcomes(passed=2)
    table(suite, chat_template=TEMPLATE)
    suite.run(models=["m"]).assert_outcomes(passed=2)
    table(suite, chat_template="templates/chat.jinja")
    suite.write("templates/chat.jinja", f"{TEMPLATE}!")
    result = suite.run(models=["m"])
    result.assert_outcomes(failed=2)
    assert "stale" in told(result)


def test_template_that_is_no_template(suite: Suite, model: Path) -> None:
    """The run ends before it starts where its text tells it, else each test says it once."""
    table(suite, chat_template="templates/chat.jinja")
    result = suite.run(models=["m"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "chat_template: there is no file" in " ".join(result.stderr.str().split())
    table(suite, chat_template="{{ bos_token }}hello")
    result = suite.run(models=["m"])
    result.assert_outcomes(errors=2)
    assert "model 'm': chat_template: the template leaves out the user's message" in told(result)
