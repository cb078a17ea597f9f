"""Chat templates: what the setting stands for, and which templates are refused because they say nothing of a prompt."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.evaluation.pyfunc import PyfuncTransformer
from pytest_llmcompare.models.chat_template import probe, read_template, tells_the_time
from pytest_llmcompare.models.spec import ModelSpec, parse_specs

GOOD = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"


def spec(value: object, root: Path) -> ModelSpec:
    return parse_specs(["chat"], {"chat": {"source": "gpt2", "chat_template": value}}, root)[0]


def refusal(value: object, root: Path) -> str:
    with pytest.raises(UsageError) as error:
        spec(value, root)
    message = str(error.value)
    assert message.startswith("[tool.llmcompare.models.chat] in pyproject.toml: chat_template: ")
    return message


@pytest.mark.parametrize("name", ["chat.jinja", "chat.jinja2", "chat.txt", "chat", "a b/chät.j2", "sub/../chat.jinja"])
def test_path_of_a_template_is_read(name: str, tmp_path: Path) -> None:
    """The content of the file counts, wherever it lies below the root, as if it stood in the table."""
    (tmp_path / "sub").mkdir()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(GOOD, encoding="utf-8")
    assert spec(name, tmp_path) == spec(GOOD, tmp_path)
    assert spec(str(tmp_path / name), tmp_path).chat_template == GOOD
    before = spec(name, tmp_path)
    (tmp_path / name).write_text(f"{GOOD}!", encoding="utf-8")
    assert spec(name, tmp_path) != before


def test_bom_and_line_ends_of_a_file_do_not_count(tmp_path: Path) -> None:
    """Windows' editors write them."""
    (tmp_path / "chat.jinja").write_bytes(b"\xef\xbb\xbf" + f"{GOOD}\r\nx".encode())
    assert spec("chat.jinja", tmp_path).chat_template == f"{GOOD}\nx"


@pytest.mark.parametrize(
    "content", [{"chat_template": GOOD}, {"chat_template": [{"name": "default", "template": GOOD}, {"name": "rag"}]}]
)
def test_template_in_a_tokenizers_configuration(content: object, tmp_path: Path) -> None:
    """A tokenizer_config.json or chat_template.json is read by its key."""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(content))
    assert spec("tokenizer_config.json", tmp_path).chat_template == GOOD


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("templates/chat.jinja", "there is no file {root}/templates/chat.jinja."),
        ("chat.jinj", "there is no file {root}/chat.jinj. Did you mean 'chat.jinja' beside it?"),
        ("chat2.txt", "there is no file {root}/chat2.txt."),
        ("C:\\templates\\chat", "there is no file "),
        ("templates", "{root}/templates is a folder"),
        ("/dev/null", "/dev/null is no file"),
        ("empty.jinja", "the text of {root}/empty.jinja never inserts the message"),
        ("plain.jinja", "the text of {root}/plain.jinja never inserts the message"),
        ("latin.jinja", "{root}/latin.jinja is not UTF-8"),
        ("lfs.jinja", "{root}/lfs.jinja is a git-lfs pointer"),
        ("broken.jinja", "{root}/broken.jinja: the template is not valid Jinja, line 2"),
        ("none.json", "{root}/none.json has no text under the key 'chat_template'"),
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("User: PROMPT", "'User: PROMPT' never inserts the message"),
        ("{# only a comment #}", "never inserts the message"),
        ("{% for m in messages %}{{ m.content }}", "the template is not valid Jinja, line 1"),
        ("{{ messages[0].content", "the template is not valid Jinja, line 1"),
        ("{{ messages | nonsense( }}", "the template is not valid Jinja, line 1"),
    ],
)
def test_template_that_is_none(value: str, says: str, tmp_path: Path) -> None:
    """One error, when the settings are read, with the name of the setting and the file."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "chat.jinja").write_text(GOOD)
    (tmp_path / "empty.jinja").write_text("")
    (tmp_path / "plain.jinja").write_text("Answer the question.")
    (tmp_path / "latin.jinja").write_bytes("{{ é }}".encode("latin-1"))
    (tmp_path / "lfs.jinja").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    (tmp_path / "broken.jinja").write_text("{{ messages }}\n{% if %}")
    (tmp_path / "none.json").write_text("{}")
    if value == "/dev/null" and os.name == "nt":
        pytest.skip("Windows has no /dev/null")
    assert says.format(root=tmp_path) in refusal(value, tmp_path)


def test_what_only_transformers_has_is_valid() -> None:
    """`generation` blocks, `break` and transformers' functions are no syntax errors."""
    text = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    assert read_template(text, "x", Path()) == text


def test_pyfuncs_take_a_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logged model holds the text, so that it depends on no file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.jinja").write_text(GOOD)
    assert PyfuncTransformer("gpt2", chat_template="chat.jinja").config()["chat_template"] == GOOD
    with pytest.raises(UsageError, match="chat_template: there is no file"):
        PyfuncTransformer("gpt2", chat_template="other.jinja")


def test_false_says_that_raw_prompts_are_meant(tmp_path: Path) -> None:
    """It asks the model as no setting does, and makes no other baselines."""
    plain = parse_specs(["chat"], {"chat": {"source": "gpt2"}}, tmp_path)[0]
    assert spec(False, tmp_path).raw_prompts
    assert not plain.raw_prompts
    assert spec(False, tmp_path) == plain


def test_models_in_mlflow_take_no_template(tmp_path: Path) -> None:
    """It would count in the settings and not in the prompt."""
    table = {"source": "models:/qa@champion", "chat_template": True}
    with pytest.raises(UsageError, match="chat_template has no effect on it"):
        parse_specs(["qa"], {"qa": table}, tmp_path)


def jinja(text: str) -> Callable[..., str]:
    """Renders as a tokenizer does."""
    import jinja2

    def fail(message: str) -> None:
        raise jinja2.TemplateError(message)

    def render(prompt: str, **variables: Any) -> str:
        message = {"role": "user", "content": prompt}
        facts = {"messages": [message], "raise_exception": fail, "strftime_now": str, **variables}
        return jinja2.Environment().from_string(text).render(facts)

    return render


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD, ""),
        ("{{ messages }}", ""),
        ("{{ messages[0].content | trim | upper }}", ""),
        ("{{ messages[-1]['content'] }}{{ strftime_now('%d') }}", ""),
        ("{{ bos_token }}hello", "leaves out the user's message"),
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "leaves out the user's message"),
        (
            "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}",
            "leaves out the user's message",
        ),
        ("{{ messages[0].content | length }}", "leaves out the user's message"),
        ("{{ messages[0].content[:20] }}", "leaves out a part of the user's message"),
        ("{{ messages[0].content.split()[-1] }}", "leaves out a part of the user's message"),
        (
            "{% if messages[0].role != 'system' %}{{ raise_exception('no system prompt') }}{% endif %}",
            "no system prompt",
        ),
        ("{{ messages[1].content }}", "raises UndefinedError"),
        ("{% if %}", "raises TemplateSyntaxError"),
    ],
)
def test_probe(text: str, fault: str) -> None:
    """A template is tried once with a few messages, which tells more than its text."""
    found = probe(jinja(text))
    assert (fault in found) if fault else not found


def test_templates_that_tell_the_time() -> None:
    """Only one that really writes the date does."""
    assert tells_the_time(jinja("{{ strftime_now('%d') }}{{ messages[0].content }}"))
    assert not tells_the_time(jinja("{% if strftime_now is defined %}{% endif %}{{ messages[0].content }}"))
    assert not tells_the_time(jinja(GOOD))
