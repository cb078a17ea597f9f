"""File names made from the names of tables and models: safe everywhere, and stable once written."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.paths import safe_name, without_suffix
from pytest_llmcompare.records import GroupKey

from .samples import by_row, contents_of, many

WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?")
ANY_NAME = st.text(st.characters(codec=None, categories=None), max_size=300)


def digits(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]


@pytest.mark.parametrize("name", ["distilgpt2", "gpt2-large", "Qwen2.5_0.5B", "a", "0", "-", "_", "con1", "x" * 242])
def test_safe_names_stay(name: str) -> None:
    """Letters, digits, `.`, `_` and `-` need no change."""
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("bigscience/bloom-560m", "bigscience_bloom-560m"),
        (r"a\b", "a_b"),
        ("..", "_."),
        (".", "_"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        (".hidden", "_hidden"),
        ("a.", "a."),
        ("a ", "a_"),
        ("", "_"),
        ("qa~0a1b2c", "qa_0a1b2c"),
        ("models:/qa@champion", "models__qa_champion"),
        ("a\0b\nc", "a_b_c"),
        ("naïve", "na_ve"),
        ("模型", "__"),
        ("\ud800", "_"),
        ("con", "_con"),
        ("NUL", "_NUL"),
        ("aux.v2", "_aux.v2"),
        ("LPT9", "_LPT9"),
        ("x" * 243, "x" * 235),
        ("y" * 5000, "y" * 235),
        ("é" * 300, "_" * 235),
    ],
)
def test_changed_names_carry_digits_of_the_true_one(name: str, start: str) -> None:
    """Whatever is changed, too long or reserved gets `~` and 6 hex digits of its SHA-256."""
    assert safe_name(name) == f"{start}~{digits(name)}"


@given(ANY_NAME | st.from_regex(WINDOWS, fullmatch=True))
def test_every_name_is_safe_on_every_system(name: str) -> None:
    """Plain ASCII, within 255 bytes, no dot at either end, nothing that Windows reserves."""
    made = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(~[0-9a-f]{6})?", made)
    assert len(f"{made}.tokens.jsonl") <= 255
    assert not made.endswith(".")
    assert not WINDOWS.fullmatch(made)


@given(st.lists(ANY_NAME | st.sampled_from(["Qa", "qa", "QA", "a/b", "a_b", "a:b"]), max_size=8, unique=True))
def test_no_two_names_share_a_file_and_each_keeps_its_own(names: list[str]) -> None:
    """Apart after casefold too; once there, a name finds its file again, whatever has come beside it."""
    taken: dict[str, str] = {}
    for name in names:
        taken[name] = safe_name(name, taken.values())
    assert len({made.casefold() for made in taken.values()}) == len(names)
    assert {name: safe_name(name, taken.values()) for name in names} == taken


def test_a_twin_keeps_its_file_when_the_first_one_goes() -> None:
    """`qa` beside `Qa` gets digits, and keeps them without `Qa`."""
    marked = f"qa~{digits('qa')}"
    assert safe_name("qa", ["Qa"]) == marked
    assert safe_name("qa", [marked]) == marked
    assert safe_name("Qa", ["Qa", marked]) == "Qa"
    assert safe_name("Qa", [marked]) == "Qa"


@pytest.mark.parametrize("name", ["a", "a.baseline", "a.tokens.jsonl", "a.baseline.tokens.jsonl"])
def test_names_that_look_like_files(name: str) -> None:
    """One suffix is ours, whatever the name before it ends with."""
    assert without_suffix(f"{name}.baseline") == without_suffix(f"{name}.tokens.jsonl") == name


@pytest.mark.parametrize(
    "name",
    ["../../escape", "/abs", "..", "a/b", "A" * 300, "nul", "模型", "\ud800", "x.baseline", "x.tokens.jsonl", "\x00"],
)
def test_any_name_of_table_and_model_works_on_disk(tmp_path: Path, name: str) -> None:
    """Files stay in the folder of the test; every model of every table gets its own baselines back."""
    root = tmp_path / "root"
    groups = [GroupKey("t", table, model) for table in (name, "Qa", "qa") for model in (name, "Qa", "qa", "x", "X")]
    for at, group in enumerate(groups):
        store.update(root, group, many(2, f"{at} {{}}"))
    for at, group in enumerate(groups):
        assert store.load(root, group).baselines == by_row(many(2, f"{at} {{}}"))
    found = contents_of(tmp_path)
    assert len({path.casefold() for path in found}) == len(found) == 2 * len(groups) + 1
    assert all(re.fullmatch(r"root/t/__baselines__/(\.gitattributes|[^/]+/[^/]+)", path) for path in found)
    for group in groups[1:]:
        store.prune(root, group, [], confirmed=True)
    assert store.load(root, groups[0]).baselines == by_row(many(2, "0 {}"))


def test_the_true_name_is_in_the_head(tmp_path: Path) -> None:
    """People and programs read the name there, not from the file's."""
    group = GroupKey("t", "my table", "bigscience/bloom-560m")
    path = store.update(tmp_path, group, many(1)).path
    assert path.name == f"bigscience_bloom-560m~{digits('bigscience/bloom-560m')}.baseline"
    assert path.read_text("utf-8").splitlines()[1:3] == ["#table my table", "#model bigscience/bloom-560m"]
