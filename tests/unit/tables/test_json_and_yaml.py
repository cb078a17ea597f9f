"""Broken JSON and YAML: whole sentences with the place and what to do, and nothing that hides something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_llmcompare.errors import TableError
from pytest_llmcompare.suite.table import read_table


def message(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(TableError) as caught:
        read_table(name, base=folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "where", "what", "advice"),
    [
        (
            '{"prompt": "x"},\n{"prompt": "y"},\n',
            "line 1",
            "a comma follows the object (column 16)",
            "Remove the commas",
        ),
        ('{"prompt": "x"} , \n', "line 1", "a comma follows", "Remove the commas"),
        (
            '{"prompt": "x"}{"prompt": "y"}\n',
            "line 1",
            "a second object begins at column 16",
            "one JSON object per line",
        ),
        ('[{"prompt": "x"}]\n', "", "the file is one JSON list", "name the file .json"),
        ('[\n{"prompt": "x"},\n{"prompt": "y"}\n]\n', "", "the file is one JSON list", "name the file .json"),
        ('{"prompt": "x"}\n["y"]\n', "line 2", "['y'], expected one object or text", "name the file .json"),
        ('{"prompt": "x",}\n', "line 1", "trailing comma", "Remove the comma after the last value"),
        ('{"prompt": ["x",]}\n', "line 1", "trailing comma", "Remove the comma after the last value"),
        (
            "{'prompt': 'x'}\n",
            "line 1",
            "property name enclosed in double quotes",
            "Put names and text into double quotes",
        ),
        ('{"prompt": "C:\\new\\quiz"}\n', "line 1", "escape", "write a backslash as \\\\"),
        ('{"prompt": "a\tb"}\n', "line 1", "Invalid control character at column", "a tab as \\t"),
        ('{"prompt": "say "hi""}\n', "line 1", "delimiter", 'write a double quote as \\"'),
        ('{"prompt": "a\n', "line 1", "Unterminated string starting at column", "Close the double quote on its line"),
        ('{"prompt": "x", "prompt": "y"}\n', "line 1", "'prompt' occurs twice", "Write each name once"),
        ('{"prompt": "x", "meta": {"a": 1, "a": 2}}\n', "line 1", "'a' occurs twice", "Write each name once"),
        ('{"prompt": x}\n', "line 1", "Expecting value at column 12", "one JSON object per line"),
    ],
)
def test_json_lines(
    text: str, where: str, what: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = message(tmp_path, "t.jsonl", text, monkeypatch)
    assert found.startswith(f"t.jsonl{where and f', {where}'}: ")
    assert what in found
    assert advice in found


@pytest.mark.parametrize(
    ("text", "what", "advice"),
    [
        ('[{"prompt": "x"},]', "t.json, line 1, column 18: broken JSON: trailing comma.", "Remove the comma"),
        (
            '{"prompt": "x"}\n{"prompt": "y"}',
            "t.json, line 2, column 1: broken JSON: Extra data.",
            "name the file .jsonl",
        ),
        ("[{'prompt': 'x'}]", "t.json, line 1, column 3: broken JSON: Expecting property name", "in double quotes"),
        ('[{"prompt": "x", "prompt": "y"}]', "t.json: broken JSON: 'prompt' occurs twice", "Write each name once"),
        ('{"data": [{"prompt": "x"}], "version": 1}', "expected a list", "The rows seem to be under 'data'"),
        ('{"prompt": ["x"], "id": ["a"]}', "expected a list", 'to_json(..., orient="records")'),
        ('{"prompt": "x"}', "expected a list", "Put a single row into a list, too."),
        ('"What is it?"', "'What is it?', expected a list", ""),
    ],
)
def test_json(text: str, what: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = message(tmp_path, "t.json", text, monkeypatch)
    assert what in found
    assert advice in found


QUOTE = "Put text into quotes that holds ': ' or ' #' or begins with a sign such as"


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        ("- prompt: a\n---\n- prompt: b\n", "line 2, column 1", "Remove the line of --- between them."),
        ("- prompt: {{name}} is what?\n", "line 1", QUOTE),
        ("- prompt: {{name}}\n", "line 1", QUOTE),
        ("- id: a\n  prompt: @user says\n", "line 2, column 11", QUOTE),
        ("- `a`\n", "line 1, column 3", QUOTE),
        ("- prompt: %d items\n", "line 1, column 11", QUOTE),
        ("- prompt: *bold*\n", "line 1", QUOTE),
        ("- prompt: Q: What?\n", "line 1, column 12", QUOTE),
        ("- Translate this: Q: What?\n", "line 1", QUOTE),
        ('- prompt: "a" or "b"?\n', "line 1, column 15", QUOTE),
        ("- prompt: 'it's'\n", "line 1", QUOTE),
        ('- prompt: "a\\q"\n', "line 1", QUOTE),
        ("- prompt: [a] b\n", "line 1", QUOTE),
        ("- prompt: [a\n", "line 2, column 1", QUOTE),
        ("- prompt: a\n\tid: b\n", "line 2, column 1", "Indent with spaces, not tabs."),
        ("- prompt: a\n  prompt: b\n", "line 2, column 3", "Write each name once per row."),
        ("- !ruby/object:A a\n", "line 1, column 3", "remove the tag"),
        ("- prompt: é\n- prompt: \x07\n", "line 2", "Write it as an escape"),
        ("-\tprompt: a\n", "line 1, column 2", "Indent with spaces, not tabs."),
    ],
)
@pytest.mark.parametrize("loader", ["C", "Python"])
def test_yaml(text: str, place: str, advice: str, loader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole sentence, whichever of YAML's two loaders is there: they use other words."""
    if loader == "Python":
        monkeypatch.delattr("yaml.CSafeLoader", raising=False)
    found = message(tmp_path, "t.yaml", text, monkeypatch)
    assert found.startswith(f"t.yaml{place and f', {place}'}")
    assert re.search(r": broken YAML: (?!but)[\w'].*\. [A-Z]", found)
    assert advice in found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- prompt: {a}\n", "prompt is {'a': None}, expected text."),
        ("- prompt: [a, b]\n", "prompt is a list: ['a', 'b'], expected one text."),
        ("- prompt: no\n", "prompt is False, expected text."),
        ("- prompt: 2024-01-02\n", "prompt is datetime.date(2024, 1, 2), expected text."),
        ("- prompt: x\n  id: 2024-01-02\n", "id is datetime.date(2024, 1, 2), expected text or a number."),
        ("- prompt: x\n  target: yes\n", "target is true, expected text."),
        ("- prompt: &a [*a]\n", "a value contains itself"),
        ("- &a [*a]\n", 'expected an object such as {"prompt": "..."}'),
    ],
)
def test_yaml_that_means_something_else(text: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert message(tmp_path, "t.yaml", text, monkeypatch).startswith(
        f"t.yaml, row 1: {what}" if "holds" in what else "t.yaml"
    )
    assert what in message(tmp_path, "t.yaml", text, monkeypatch)


def test_yaml_may_share_and_merge(tmp_path: Path) -> None:
    """A name given by a merge and again by the row is no name twice."""
    text = "- &first\n  prompt: a\n  topic: t\n- <<: *first\n  prompt: b\n"
    (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
    rows = read_table("t.yaml", base=tmp_path)
    assert [(row.input, row.columns) for row in rows] == [("a", {"topic": "t"}), ("b", {"topic": "t"})]


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("t.json", '[{"prompt": "x"}, // no\n{"prompt": "y"}]', "JSON has no comments: remove it."),
        ("t.jsonl", '# rows\n{"prompt": "x"}\n', "JSON has no comments: remove it."),
        ("t.jsonl", '["id", "prompt"]\n["1", "x"]\n', "Write each row as an object"),
        ("t.jsonl", '{"prompt": "x", "n": ' + "[" * 100_000 + "]" * 100_000 + "}\n", "Nest values less deeply."),
        ("t.json", '{"prompt": {"0": "x"}}', "These are columns"),
        ("t.json", '{"0": {"prompt": "x"}}', "write a list of the rows"),
        ("t.yaml", "sky: {prompt: a}\nsea: {prompt: b}\n", "write a list of the rows"),
    ],
)
def test_the_advice_fits(name: str, text: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is sent from one ending to another that does not fit either."""
    assert advice in message(tmp_path, name, text, monkeypatch)


@pytest.mark.parametrize("inside", ["", "- id: q\n  prompt: hi\n  "], ids=["file", "cell"])
def test_aliases_that_grow_without_bound(inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 400 bytes makes 9 ** 9 values: it is refused before anybody looks at each."""
    between = "\n  " if inside else "\n"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    assert "anchors and aliases" in message(tmp_path, "t.yaml", inside + between.join(lines) + "\n", monkeypatch)
