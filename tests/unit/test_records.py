"""Records: what the hashes of a case depend on, how names read, and that records stay as they are."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row, RowKey
from pytest_llmcompare.text import digest

GROUP = GroupKey("tests", "trivia", "distilgpt2")
CASE = Case(
    CaseKey(GROUP, "sky", "greedy"),
    Row("sky", "Q: sky?\nA:", "blue", columns={"topic": "air"}),
    "Q: grass?\nA: green\n",
    {"do_sample": False, "max_new_tokens": 10},
    7,
)
SAMPLED = dataclasses.replace(CASE, gen_config={"do_sample": True, "top_k": 10})


def changed(case: Case, changes: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the hash of the input and that of the settings change."""
    other = dataclasses.replace(case, **changes)
    return other.input_hash != case.input_hash, other.settings_hash != case.settings_hash


@pytest.mark.parametrize(
    ("case", "changes", "expected"),
    [
        (CASE, {}, (False, False)),
        (CASE, {"row": dataclasses.replace(CASE.row, input="Q: Sky?\nA:")}, (True, False)),
        (CASE, {"examples": "Q: grass?\nA: Green\n"}, (True, False)),
        (CASE, {"examples": ""}, (True, False)),
        (CASE, {"row": dataclasses.replace(CASE.row, target="red", columns={})}, (False, False)),
        (CASE, {"row": dataclasses.replace(CASE.row, id="other")}, (False, False)),
        (CASE, {"key": CaseKey(GroupKey("a", "b", "c"), "d")}, (False, False)),
        (CASE, {"gen_config": {"do_sample": False, "max_new_tokens": 11}}, (False, True)),
        (CASE, {"gen_config": {"do_sample": False, "max_new_tokens": 10, "top_k": 1}}, (False, True)),
        (CASE, {"gen_config": {"max_new_tokens": 10, "do_sample": False}}, (False, False)),
        (CASE, {"template": "tokenizer"}, (False, True)),
        (CASE, {"seed": 8}, (False, False)),
        (SAMPLED, {"seed": 8}, (False, True)),
        (SAMPLED, {"gen_config": {"do_sample": True, "top_k": 11}}, (False, True)),
    ],
)
def test_hashes_change_with_what_decides_the_output(
    case: Case, changes: dict[str, Any], expected: tuple[bool, bool]
) -> None:
    """Prompt and examples in one, settings, template and (where it draws) seed in the other; nothing else."""
    assert changed(case, changes) == expected


def test_hashes_stay_from_version_to_version() -> None:
    """They stand in committed baselines: another way to make them would turn every baseline stale."""
    assert (CASE.input_hash, CASE.settings_hash) == ("6afe8f95", "4ae63add")
    assert SAMPLED.settings_hash == "012b2424"
    assert dataclasses.replace(CASE, template="tokenizer").settings_hash == "11ee8572"


def test_a_case_shows_its_row() -> None:
    """Tests read prompt, target and columns from the case itself."""
    assert (CASE.id, CASE.input, CASE.target, CASE.columns) == ("sky", "Q: sky?\nA:", "blue", {"topic": "air"})
    assert CASE.prompt == "Q: grass?\nA: green\nQ: sky?\nA:"
    assert (CASE.samples, SAMPLED.samples) == (False, True)
    assert CASE.key.row == RowKey("sky", "greedy")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (RowKey("sky"), "sky"),
        (RowKey("sky", "top_k"), "sky@top_k"),
        (CaseKey(GROUP, "sky"), "trivia/distilgpt2/sky"),
        (CaseKey(GROUP, "sky", "top_k"), "trivia/distilgpt2/sky@top_k"),
        (Generation(" Blue.", (1,)), " Blue."),
        (Verdict.DRIFTED, "drifted"),
    ],
)
def test_how_records_read(name: object, expected: str) -> None:
    """`str` is what users see and type."""
    assert str(name) == expected


@given(st.text(st.characters(codec=None, categories=None)))
def test_a_digest_is_the_beginning_of_sha_256(text: str) -> None:
    """8 hex digits, of any text."""
    assert digest(text) == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def test_records_are_frozen() -> None:
    """They are shared between tests: none can change another's."""
    for record in (CASE, CASE.row, CASE.key, GROUP, RowKey("a"), Generation("a")):
        field = dataclasses.fields(record)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field, "changed")


def test_a_case_is_shown_on_one_line() -> None:
    """As pytest shows it with a failure: its name and prompt, without what a CI service would obey."""
    assert repr(CASE) == "<case trivia/distilgpt2/sky@greedy: 'Q: sky?\\nA:'>"
    hostile = dataclasses.replace(CASE, row=dataclasses.replace(CASE.row, input="\x1b[2J##[group]"))
    assert repr(hostile) == r"<case trivia/distilgpt2/sky@greedy: '\x1b[2J#\x23[group]'>"
