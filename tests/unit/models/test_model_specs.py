"""Model specs: what a text on the command line or a table in pyproject.toml stands for, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.models.spec import ModelSpec, SourceKind, parse_specs
from pytest_llmcompare.models.uris import HOOK, folder_path
from pytest_llmcompare.text import without_secrets

HUB, FOLDER, MLFLOW = SourceKind.HUB, SourceKind.FOLDER, SourceKind.MLFLOW
RUN_ID = "1a2b3c4d5e6f708192a3b4c5d6e7f809"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with some folders that models may be in."""
    for folder in ("models/tiny", "outputs/lr=0.1/ckpt", "models/tiny@v2", "gpt2", "bigscience/local"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def parse(*texts: str, root: Path, named: Mapping[str, Mapping[str, Any]] | None = None) -> list[ModelSpec]:
    return list(parse_specs(texts, named or {}, root))


@pytest.mark.parametrize(
    ("text", "name", "kind", "source", "revision"),
    [
        ("gpt2-large", "gpt2-large", HUB, "gpt2-large", None),
        ("  gpt2-large ", "gpt2-large", HUB, "gpt2-large", None),
        ("bigscience/bloom-560m", "bloom-560m", HUB, "bigscience/bloom-560m", None),
        ("gpt2@main", "gpt2", HUB, "gpt2", "main"),
        ("gpt2@refs/pr/3", "gpt2", HUB, "gpt2", "refs/pr/3"),
        (
            "gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e",
            "gpt2",
            HUB,
            "gpt2",
            "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        ),
        ("big=gpt2-xl", "big", HUB, "gpt2-xl", None),
        ("big = gpt2-xl", "big", HUB, "gpt2-xl", None),
        ("größ [1]=org/m@v1", "größ [1]", HUB, "org/m", "v1"),
        ("a@b=gpt2", "a@b", HUB, "gpt2", None),
        # a plain name is a hub id, whatever folders there are
        ("gpt2", "gpt2", HUB, "gpt2", None),
        ("./gpt2", "gpt2", FOLDER, "./gpt2", None),
        ("models/tiny", "tiny", FOLDER, "models/tiny", None),
        ("models/tiny/", "tiny", FOLDER, "models/tiny/", None),
        ("models/tiny@v2", "tiny@v2", FOLDER, "models/tiny@v2", None),
        ("bigscience/local", "local", FOLDER, "bigscience/local", None),
        ("bigscience/elsewhere", "elsewhere", HUB, "bigscience/elsewhere", None),
        ("outputs/lr=0.1/ckpt", "ckpt", FOLDER, "outputs/lr=0.1/ckpt", None),
        ("new=outputs/lr=0.1/ckpt", "new", FOLDER, "outputs/lr=0.1/ckpt", None),
        ("a/b/c", "c", FOLDER, "a/b/c", None),
        ("../x", "x", FOLDER, "../x", None),
        ("~/x", "x", FOLDER, "~/x", None),
        ("/abs/x", "x", FOLDER, "/abs/x", None),
        ("./models/../models/tiny", "tiny", FOLDER, "./models/../models/tiny", None),
        ("w=C:\\models\\tiny", "w", FOLDER, "C:\\models\\tiny", None),
        ("w=c:/models/tiny", "w", FOLDER, "c:/models/tiny", None),
        ("w=models\\tiny", "w", FOLDER, "models\\tiny", None),
        ("models:/qa@champion", "qa-champion", MLFLOW, "models:/qa@champion", None),
        ("models:/qa/3", "qa-3", MLFLOW, "models:/qa/3", None),
        ("models:/qa/latest", "qa-latest", MLFLOW, "models:/qa/latest", None),
        ("models:/main.nlp.qa model/3", "main.nlp.qa model-3", MLFLOW, "models:/main.nlp.qa model/3", None),
        (f"models:/m-{RUN_ID}", "m-1a2b3c4d", MLFLOW, f"models:/m-{RUN_ID}", None),
        (f"runs:/{RUN_ID}/model", "model-1a2b3c4d", MLFLOW, f"runs:/{RUN_ID}/model", None),
        (f"runs:/{RUN_ID}/deep/model/", "model-1a2b3c4d", MLFLOW, f"runs:/{RUN_ID}/deep/model/", None),
        ("new=models:/qa@champion", "new", MLFLOW, "models:/qa@champion", None),
    ],
)
def test_text_names_source(
    text: str, name: str, kind: SourceKind, source: str, revision: str | None, root: Path
) -> None:
    """Each form of a spec gives its name, kind, source and revision."""
    assert parse(text, root=root) == [ModelSpec(name, source, kind, revision)]


def test_folder_without_name_is_called_as_the_folder_it_is(root: Path) -> None:
    """`.` and `..` take the name of the folder that they stand for."""
    assert [spec.name for spec in parse(".", "./models/tiny/..", root=root)] == [root.name, "models"]


def test_texts_hold_several_specs_in_order(root: Path) -> None:
    """Commas separate; a comma at the end is tolerated."""
    names = [spec.name for spec in parse("gpt2-large, distilgpt2,", "models/tiny", root=root)]
    assert names == ["gpt2-large", "distilgpt2", "tiny"]


def test_no_texts_give_no_specs(root: Path) -> None:
    """Whether that is an error is for the caller to say."""
    assert parse(root=root) == []


def test_one_source_under_two_names_is_fine(root: Path) -> None:
    """A model may be compared with itself."""
    assert [spec.name for spec in parse("a=gpt2,b=gpt2", root=root)] == ["a", "b"]


FORMS = (
    "a hub id (gpt2-large, bigscience/bloom-560m), a folder (./models/tiny), "
    "an MLflow URI (models:/qa@champion, models:/qa/3, runs:/ID/model), a served model (openai:MODEL@URL), "
    "or echo: for answers without a model"
)
MLFLOW_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID or runs:/RUN_ID/PATH"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"model spec '' is empty. Expected [NAME=]SOURCE[@REVISION], SOURCE {FORMS}."),
        (" , ", f"model spec ' , ' is empty. Expected [NAME=]SOURCE[@REVISION], SOURCE {FORMS}."),
        ("=gpt2", "model spec '=gpt2': there is no name before '='. Expected NAME=SOURCE, or the source alone."),
        ("a=", f"model spec 'a=': there is no source after '='. Expected {FORMS}."),
        ("gpt2@", "model spec 'gpt2@': there is nothing after '@'. Expected a branch, tag or commit."),
        ("gpt2@a b", "model spec 'gpt2@a b': revision 'a b' is not a branch, tag or commit."),
        ("gpt2@../../x", "model spec 'gpt2@../../x': revision '../../x' is not a branch, tag or commit."),
        ("gpt2@v1/../x", "model spec 'gpt2@v1/../x': revision 'v1/../x' is not a branch, tag or commit."),
        ("what?", f"model spec 'what?': 'what?' is not a model. Expected {FORMS}."),
        ("a..b", f"model spec 'a..b': 'a..b' is not a model. Expected {FORMS}."),
        ("-x", f"model spec '-x': '-x' is not a model. Expected {FORMS}."),
        (
            "gp\x1bt2",
            f"model spec 'gp\\x1bt2': 'gp\\x1bt2' holds a character that cannot be printed. Expected {FORMS}.",
        ),
        (
            "a\u202eb=gpt2",
            (
                "model spec 'a\\u202eb=gpt2': 'a\\u202eb' cannot be the name of a model. "
                "Use at least one character, all of them printable, without ',' and '=', and no space at the ends."
            ),
        ),
        (
            "bigscience/local@v1",
            "model spec 'bigscience/local@v1': a folder has no revisions, so 'v1' cannot be one. Leave it out.",
        ),
        (
            "/",
            (
                "model spec '/': '' cannot be the name of a model. Use at least one character, all of them printable, "
                "without ',' and '=', and no space at the ends. Give it one: NAME=/"
            ),
        ),
        (
            "models:/qa",
            f"model spec 'models:/qa': 'models:/qa' is not a complete MLflow model URI. Expected {MLFLOW_FORMS}.",
        ),
        (
            "models:/qa/Production",
            (
                "model spec 'models:/qa/Production': 'models:/qa/Production' is not a complete MLflow model URI. "
                f"Expected {MLFLOW_FORMS}."
            ),
        ),
        (
            "models:qa@champion",
            (
                "model spec 'models:qa@champion': 'models:qa@champion' is not a complete MLflow model URI. "
                f"Expected {MLFLOW_FORMS}."
            ),
        ),
        (
            "runs:/abc",
            f"model spec 'runs:/abc': 'runs:/abc' is not a complete MLflow model URI. Expected {MLFLOW_FORMS}.",
        ),
        (
            "s3://bucket/model",
            (
                f"model spec 's3://bucket/model': URIs of the scheme s3: are not supported. Expected {FORMS}.\n"
                f"Supported MLflow URIs: {MLFLOW_FORMS}. A folder is given by its path.\n{HOOK}"
            ),
        ),
        (
            "http://127.0.0.1:8000/v1",
            (
                "model spec 'http://127.0.0.1:8000/v1': the address of a server alone names no model. "
                "Write openai:MODEL@URL, with the URL up to and including /v1."
            ),
        ),
        (
            "openai:gpt-4",
            (
                "model spec 'openai:gpt-4': a served model needs a name and an address. Expected openai:MODEL@URL, "
                "with the URL up to and including /v1."
            ),
        ),
        (
            "openai:gpt-4@http://user:secret@127.0.0.1:8000/v1",
            (
                "model spec 'openai:gpt-4@http://127.0.0.1:8000/v1': the address holds a user, a query or a fragment, "
                "which would be stored with the model.\n"
                "Name an environment variable in the model's table of pyproject.toml instead: api_key_env for a key, "
                "headers_env for any other header."
            ),
        ),
        (
            "https://huggingface.co/bigscience/bloom-560m/tree/main",
            (
                "model spec 'https://huggingface.co/bigscience/bloom-560m/tree/main': a hub model is named by its id, "
                "not by its address. Write bigscience/bloom-560m"
            ),
        ),
        (
            "hf://gpt2",
            "model spec 'hf://gpt2': a hub model is named by its id, not by its address. Write gpt2",
        ),
        ("gpt2,gpt2", "model 'gpt2' (gpt2) is named twice. Leave one of the two out."),
        ("gpt2@v1,gpt2@v1", "model 'gpt2' (gpt2@v1) is named twice. Leave one of the two out."),
        (
            "a/tiny,b/tiny@v1",
            "two models are named 'tiny': a/tiny and b/tiny@v1. Give one of them another name: tiny-2=b/tiny@v1",
        ),
    ],
)
def test_faulty_text(text: str, message: str, root: Path) -> None:
    """A text that cannot be read says what is wrong, what was expected, and often what to write."""
    with pytest.raises(UsageError) as error:
        parse(text, root=root)
    assert str(error.value) == message


def test_very_long_name_is_a_usage_error(root: Path) -> None:
    """No file system error escapes for a source that no file system could hold."""
    with pytest.raises(UsageError, match="is not a model"):
        parse("a" * 5000, root=root)
    assert parse("x=" + "a/" * 5000 + "b", root=root)[0].kind is FOLDER


@example(text="~ :", others=False)
@example(text="#\\", others=False)
@given(
    st.one_of(st.text(), st.text(alphabet="ab./\\:@=, ~-\x00\ud800\u202e"), st.from_regex(r"(models|runs):.*")),
    st.booleans(),
)
def test_any_text_gives_specs_or_a_usage_error(text: str, others: bool) -> None:
    """No text makes anything else escape, and what it gives can be shown, stored and named again."""
    try:
        specs = parse_specs([text], {"a": {"source": "b"}}, Path("/nowhere"), others=others)
    except UsageError:
        return
    assert specs
    for spec in specs:
        assert spec.name.isprintable()
        assert not set(spec.name) & set(",=")
        assert spec.source.isprintable()
        revision = f"@{spec.revision}" if spec.revision else ""
        # A name that looks like a path or an address cannot be given on the command line: there these come first.
        name = re.sub("[:#?]", "", f"nn{spec.name}").rstrip()
        again = parse_specs([f"{name}={spec.source}{revision}"], {}, Path("/nowhere"), others=others)
        assert again == (dataclasses.replace(spec, name=name),)


NAMED: Mapping[str, Mapping[str, Any]] = {
    "tiny": {
        "source": "./models/tiny",
        "gen_config": {"max_new_tokens": 10},
        "examples": "Q: A: ",
        "dtype": "float32",
        "device": "cuda:1",
        "chat_template": True,
        "allow_pickle": True,
        "trust_remote_code": True,
    },
    "pinned": {"source": "gpt2", "revision": "v1"},
    "my model": {"source": "models:/qa@champion", "allow_pickle": True},
}


def test_configured_model(root: Path) -> None:
    """A name of a table stands for all that the table says."""
    assert parse("tiny,pinned", "my model", root=root, named=NAMED) == [
        ModelSpec(
            "tiny",
            "./models/tiny",
            FOLDER,
            gen_config={"max_new_tokens": 10},
            examples="Q: A: ",
            dtype="float32",
            device="cuda:1",
            chat_template="tokenizer",
            allow_pickle=True,
            trust_remote_code=True,
        ),
        ModelSpec("pinned", "gpt2", HUB, "v1"),
        ModelSpec("my model", "models:/qa@champion", MLFLOW, allow_pickle=True),
    ]


def test_configured_model_under_another_name_and_revision(root: Path) -> None:
    """A configured name may stand wherever a source may, and keeps its settings."""
    assert parse("pinned,new=pinned@v2,pinned@v3", root=root, named={**NAMED, "pinned@v3": {"source": "gpt3"}}) == [
        ModelSpec("pinned", "gpt2", HUB, "v1"),
        ModelSpec("new", "gpt2", HUB, "v2"),
        ModelSpec("pinned@v3", "gpt3", HUB),
    ]


def test_configured_source_is_never_another_configured_name(root: Path) -> None:
    """A table that calls the hub's gpt2 `gpt2` means the hub's."""
    named = {"gpt2": {"source": "gpt2", "examples": "x"}}
    assert parse("gpt2", root=root, named=named) == [ModelSpec("gpt2", "gpt2", HUB, examples="x")]


@pytest.mark.parametrize(("value", "template"), [(True, "tokenizer"), (False, ""), ("tokenizer", "tokenizer")])
def test_chat_template_of_a_table(value: object, template: str, root: Path) -> None:
    """True stands for the tokenizer's own template."""
    (spec,) = parse("t", root=root, named={"t": {"source": "gpt2", "chat_template": value}})
    assert spec.chat_template == template


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        (
            "tiny",
            {"source": "x", "gen_confg": {}},
            "[tool.llmcompare.models.tiny] in pyproject.toml: unknown key 'gen_confg'. Did you mean 'gen_config'?",
        ),
        (
            "tiny",
            {},
            (
                "[tool.llmcompare.models.tiny] in pyproject.toml: there is no source. "
                'Name the model, for example source = "gpt2-large".'
            ),
        ),
        (
            "tiny",
            {"source": 3},
            (
                "[tool.llmcompare.models.tiny] in pyproject.toml: source = 3, "
                "expected text: a hub id, a folder, an MLflow URI, openai:MODEL@URL or echo:."
            ),
        ),
        (
            'a "b"',
            {"source": "x", "allow_pickle": "yes"},
            '[tool.llmcompare.models."a \\"b\\""] in pyproject.toml: allow_pickle = \'yes\', expected true or false.',
        ),
        (
            "tiny",
            {"source": "x", "gen_config": "greedy"},
            (
                "[tool.llmcompare.models.tiny] in pyproject.toml: gen_config = 'greedy', "
                "expected a table of decoding settings."
            ),
        ),
        (
            "tiny",
            {"source": "x", "decode": "verifi"},
            "[tool.llmcompare.models.tiny] in pyproject.toml: decode 'verifi' is not known. Did you mean 'verify'?",
        ),
        (
            "tiny",
            {"source": "x", "dtype": "float23"},
            "[tool.llmcompare.models.tiny] in pyproject.toml: dtype 'float23' is not known. Did you mean 'float32'?",
        ),
        (
            "tiny",
            {"source": "x", "device": "GPU 1"},
            (
                "[tool.llmcompare.models.tiny] in pyproject.toml: device = 'GPU 1', "
                "expected text such as 'cpu', 'cuda', 'cuda:1' or 'auto'."
            ),
        ),
        (
            "a,b",
            {"source": "x"},
            (
                "[tool.llmcompare.models.\"a,b\"] in pyproject.toml: 'a,b' cannot be the name of a model. "
                "Use at least one character, all of them printable, without ',' and '=', and no space at the ends."
            ),
        ),
        (
            " x",
            {"source": "x"},
            (
                "[tool.llmcompare.models.\" x\"] in pyproject.toml: ' x' cannot be the name of a model. "
                "Use at least one character, all of them printable, without ',' and '=', and no space at the ends."
            ),
        ),
        (
            "tiny",
            {"source": "./models/tiny", "revision": "v1"},
            (
                "[tool.llmcompare.models.tiny] in pyproject.toml: a folder has no revisions, so 'v1' cannot be one. "
                "Leave it out."
            ),
        ),
        (
            "tiny",
            {"source": "models:/qa/3", "revision": "v1"},
            (
                "[tool.llmcompare.models.tiny] in pyproject.toml: an MLflow URI names its version itself "
                f"({MLFLOW_FORMS}); leave 'v1' out."
            ),
        ),
        (
            "tiny",
            {"source": "gpt2@v2", "revision": "v1"},
            "[tool.llmcompare.models.tiny] in pyproject.toml: two revisions, 'v2' and 'v1'. Give one of them.",
        ),
        (
            "tiny",
            {"source": "http://x"},
            (
                "[tool.llmcompare.models.tiny] in pyproject.toml: the address of a server alone names no model. "
                "Write openai:MODEL@URL, with the URL up to and including /v1."
            ),
        ),
    ],
)
def test_faulty_table(name: str, table: Mapping[str, Any], message: str, root: Path) -> None:
    """A faulty table is an error that names it, even in a run that does not use it."""
    with pytest.raises(UsageError) as error:
        parse("gpt2", root=root, named={name: table})
    assert str(error.value) == message


def test_name_resembling_a_configured_one_is_remembered(root: Path) -> None:
    """It is taken for a hub id, and the message where there is no such model can name the other."""
    near = {spec.name: spec.near for spec in parse("tini", "bigscience/bloom", root=root, named=NAMED)}
    assert near == {"tini": "tiny", "bloom": ""}


def test_home_of_an_unknown_user_is_left_as_it_stands(root: Path) -> None:
    """`~nobody-here/x` becomes a folder that does not exist, not a traceback."""
    assert folder_path("~nobody-here/x", root) == root / "~nobody-here/x"
    assert folder_path("~/x", root) == Path.home() / "x"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("https://user:key@host:5000/x", "https://host:5000/x"),
        ("https://key@host", "https://host"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("postgresql://u:p/w@host/db?password=x", "postgresql://host/db"),
        ("postgresql://u:p@ss@host/db", "postgresql://host/db"),
        ("./mlruns", "./mlruns"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    """User, password and query of an address never reach a message."""
    assert without_secrets(address) == shown
