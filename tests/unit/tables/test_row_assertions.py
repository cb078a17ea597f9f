"""Assertions on outputs: what each kind holds on, how they are written, and what is not an assertion."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.errors import TableError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row
from pytest_llmcompare.suite import assertion_kinds, bounded_search
from pytest_llmcompare.suite.assertion_kinds import KINDS, Check, Kind, Place
from pytest_llmcompare.suite.marker import declare
from pytest_llmcompare.suite.row_assertions import AssertionReader, RowAssertion
from pytest_llmcompare.suite.table import read_table

CASE = Case(CaseKey(GroupKey(".", "t", "m"), "a"), Row("a", "prompt"), "", {}, 0)
TOKENS = Generation("one two", token_ids=(1, 2))
SCHEMA = {
    "type": "object",
    "properties": {"price": {"$ref": "#/$defs/price"}},
    "$defs": {"price": {"type": "number"}},
    "enum": [{"price": 1}, {"price": "x"}, {"$ref": "data, not a reference"}],
}
CHECKS = """
def plain(output): return output == "yes"
def with_case(output, case): return output == case.input
def asserts(output):
    assert "please" in output
def raises(output): raise KeyError(output.text)
def number(output): return 0.3
def none(output): pass
async def later(output): return True
def three(one, two, three): return True
value = 3
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "checks_of_rows.py").write_text(CHECKS)
    (tmp_path / "price.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "wrong.json").write_text('{"type": "strin"}')
    (tmp_path / "text.json").write_text("not JSON")
    (tmp_path / "remote.json").write_text('{"properties": {"a": {"$ref": "https://example.com/a.json"}}}')
    (tmp_path / "pattern.json").write_text('{"properties": {"pattern": {"pattern": "(a"}}}')
    (tmp_path / "names.json").write_text('{"patternProperties": {"[": {}}}')
    (tmp_path / "missing.json").write_text('{"$ref": "#/$defs/none"}')
    yield Place(tmp_path, tmp_path)
    sys.modules.pop("checks_of_rows", None)  # the next test has it in another folder


def read_assertions(value: object, place: Place) -> tuple[list[RowAssertion], list[str]]:
    reader = AssertionReader(place)
    texts, faults = reader.read(value)
    return [reader.known[text] for text in texts], faults


def why(value: object, output: str, place: Place) -> str:
    assertions, faults = read_assertions(value, place)
    assert faults == []
    (assertion,) = assertions
    return assertion.result(output if isinstance(output, Generation) else Generation(output), CASE).why


@pytest.mark.parametrize(
    ("text", "holds", "fails", "reason"),
    [
        ("contains: 30 days", "in 30 days.", "in 30  days", "not in the output"),
        ("contains: a: b", "a: b", "a", "not in the output"),
        ("icontains: ÜBER", "über alles", "uber", "whatever the case"),
        ("not-contains: sorry", "fine", "I am sorry", "at character 6"),
        ("equals: Yes.", " Yes.\n", "yes.", "not equal to it"),
        ("starts-with: Yes", "\n Yes, of course", "Oh Yes", "does not start with it"),
        (r"regex: \b[0-9]+ days\b", "30 days", "thirty days", "no match"),
        ("regex: (?i)YES", "yes", "no", "no match"),
        ("json", ' {"a": [1, null]} ', '{"a": 1,}', "not JSON"),
        ("json", "3", "NaN", "NaN is not a JSON value"),
        ("json", "3", "[" * 100_000, "not JSON"),
        ("json-schema: price.json", '{"price": 1}', "no", "not JSON"),
        ("json-schema: price.json", '{"price": 1}', '{"price": "x"}', "at $.price: 'x' is not of type 'number'"),
        ("max-tokens: 2", TOKENS, Generation("x", token_ids=(1, 2, 3)), "3 tokens"),
        ("max-tokens: 2", TOKENS, "only a text", "only texts"),
        ("python: checks_of_rows.plain", "yes", "no", "returned False"),
        ("python: checks_of_rows.with_case", "prompt", "no", "returned False"),
        ("python: checks_of_rows.asserts", "please", "no", 'raised AssertionError: assert "please" in output'),
        ("similar(0.8): You have 30 days.", "You have 31 days.", "No.", "similar (ratio)"),
        ("similar: You have 30 days.", "You have 30 days", "No.", "similar (ratio)"),
    ],
)
def test_kinds(text: str, holds: str, fails: str, reason: str, place: Place) -> None:
    assert why(text, holds, place) == ""
    assert reason in why(text, fails, place)


def test_a_function_that_raises_or_returns_something_else_fails(place: Place) -> None:
    assert why("python: checks_of_rows.raises", "x", place) == "raised KeyError: 'x'"
    assert "returned 0.3, expected True, False or None" in why("python: checks_of_rows.number", "x", place)
    assert why("python: checks_of_rows.none", "x", place) == ""


def test_a_schema_that_points_nowhere_fails_and_ends_nothing(place: Place) -> None:
    assert "missing.json cannot be followed" in why("json-schema: missing.json", "{}", place)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, ()),
        ("", ()),
        ("  ", ()),
        ([], ()),
        ("json", ("json",)),
        (" contains :  x ", ("contains: x",)),
        ("similar( 0.9 ): x", ("similar(0.9): x",)),
        (["json", {"max-tokens": 40}, "contains: a"], ("json", "max-tokens: 40", "contains: a")),
        ({"contains": "x", "json": None}, ("contains: x", "json")),
        ({"similar(0.5)": "x"}, ("similar(0.5): x",)),
        ('["json", "contains: x"]', ("json", "contains: x")),
        ('{"contains": 30}', ("contains: 30",)),
        (["json", "json"], ("json",)),
        ("contains: [1]", ("contains: [1]",)),
        ("contains: two\nlines", ("contains: two\nlines",)),
    ],
)
def test_ways_to_write_them(value: object, texts: tuple[str, ...], place: Place) -> None:
    assertions, faults = read_assertions(value, place)
    assert (tuple(one.text for one in assertions), faults) == (texts, [])


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("Paris", "'Paris' is not an assertion. Known: contains,"),
        ("the answer is Paris", "'the answer is Paris' is not an assertion"),
        ("contain: x", "'contain: x' is not an assertion. Did you mean 'contains'?"),
        ("is-json", "Did you mean 'json'?"),
        ("contains:", "there is nothing after the colon"),
        ("contains", "there is nothing after the colon"),
        ("json: x", "json takes no text; to check what the JSON holds, write json-schema: FILE"),
        ("regex: (", "not a regular expression: missing )"),
        ("max-tokens: -1", "expected a whole number, 1 or more"),
        ("max-tokens: ²", "expected a whole number"),
        ("contains(3): x", "only similar takes a number in parentheses"),
        ("similar(1.5): x", "expected a number above 0, at most 1"),
        ("similar(nan): x", "expected a number above 0, at most 1"),
        ("similar(much): x", "'much' in the parentheses is not a number"),
        ("json-schema: none.json", "none.json is not a file beside the test"),
        ("json-schema: text.json", "text.json cannot be read as JSON"),
        ("json-schema: list.json", "expected an object, got []"),
        ("json-schema: wrong.json", "wrong.json is not a JSON schema: at $.type: 'strin' is not valid"),
        ("json-schema: remote.json", "refers to 'https://example.com/a.json'"),
        (
            "json-schema: pattern.json",
            "at $.properties.pattern.pattern: '(a' is not a 'regex'",
        ),
        ("json-schema: names.json", "at $.patternProperties: '[' is not a 'regex'"),
        ("python: plain", "expected module.function"),
        ("python: checks_of_rows.plan", "has no function 'plan'. Did you mean 'plain'?"),
        ("python: checks_of_rows.value", "has no function 'value'"),
        ("python: checks_of_rows.later", "expected a plain function"),
        ("python: checks_of_rows.three", "cannot be called with an output"),
        ("python: nothing_there.check", "no module nothing_there"),
        ("python: os.system", "module os is not in"),
        ("python: json.loads", "write a function of your own that calls it"),
        (3, "3 is not an assertion"),
        ([["json"]], "['json'] is not an assertion"),
        ({"contains": ["a"]}, "['a'], expected text"),
        ({3: "x"}, "'3: x' is not an assertion"),
    ],
)
def test_faults(value: object, fault: str, place: Place) -> None:
    _, (shown,) = read_assertions(value, place)
    assert fault in shown


def test_all_faults_of_a_table_are_named_at_once(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "expect": ["contain: x", "regex: ("]}, {"prompt": "b", "expect": "Paris"}]
    with pytest.raises(TableError) as caught:
        read_table(rows, base=tmp_path)
    message = str(caught.value)
    assert [place in message for place in ("item 1: expect: 'contain", "item 1: expect: 'regex", "item 2: expect")]
    assert message.count("Write KIND: TEXT, such as 'contains: 30 days'.") == 1


def test_each_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows have it, and the marker, too."""
    read: list[str] = []

    def reading(wanted: str, place: Place) -> Check:
        read.append(wanted)
        return lambda output, case: ""

    monkeypatch.setattr(assertion_kinds, "KINDS", {**KINDS, "contains": Kind(reading, "contains: x")})
    rows = [{"prompt": prompt, "expect": ["contains: x", f"contains: {prompt}"]} for prompt in "abc"]
    declaration = declare([rows], {"expect": "contains: x"}, test="test_t", folder=".", base=tmp_path)
    assert read == ["x", "a", "b", "c"]
    assert [*declaration.assertions] == [f"contains: {wanted}" for wanted in read]
    assert declaration.expect == ("contains: x",)


def test_a_pattern_that_backtracks_ends_in_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails with pattern and case, and the next search is answered."""
    monkeypatch.setattr(bounded_search, "SECONDS", 0.3)
    shown = why("regex: ^(a+)+$", "a" * 40 + "!", place)
    assert shown.startswith("the search in the 41 characters of t/m/a took more than 0.3 s. Repetitions inside")
    assert why("regex: ^(a+)+!$", "a" * 40 + "!", place) == ""


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 40 + "!"),
        ({"items": {"properties": {"x": {"pattern": "^(a+)+$"}}}}, [{"x": "a" * 40 + "!"}]),
        ({"patternProperties": {"^(a+)+$": {}}}, {"a" * 40 + "!": 1}),
        ({"additionalProperties": False, "patternProperties": {"^(a+)+$": {}}}, {"a" * 40 + "!": 1}),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"}, "a" * 40 + "!"),
    ],
)
def test_a_pattern_of_a_schema_ends_in_time(
    schema: object, value: object, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In values and in names, in any draft of JSON schema."""
    monkeypatch.setattr(bounded_search, "SECONDS", 0.3)
    (place.folder / "slow.json").write_text(json.dumps(schema))
    shown = why("json-schema: slow.json", json.dumps(value), place)
    assert shown.startswith("the search for a pattern of slow.json took more than 0.3 s. Repetitions inside")


def test_patterns_of_a_schema_hold(place: Place) -> None:
    schema = {"patternProperties": {"^a": {"pattern": "^[0-9]+$"}}, "additionalProperties": False}
    (place.folder / "named.json").write_text(json.dumps(schema))
    assert why("json-schema: named.json", '{"a1": "12", "a2": "3"}', place) == ""
    assert "at $.a1: 'x' does not match" in why("json-schema: named.json", '{"a1": "x"}', place)
    assert "'b' does not match" in why("json-schema: named.json", '{"b": "12"}', place)


def test_a_search_that_dies_is_named(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text("import sys; sys.stdin.readline(); sys.exit(3)")
    monkeypatch.setattr(bounded_search, "PROGRAM", tmp_path / "dies.py")
    monkeypatch.setattr(bounded_search, "_searchers", {})
    assert "ended its process, exit code 3" in why("regex: a", "a", place)


def test_where_no_process_can_be_started_a_search_has_no_limit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_search, "_searchers", {})
    monkeypatch.setattr(sys, "executable", str(place.folder / "none"))
    assert why("regex: a", "a", place) == ""
    assert why("regex: b", "a", place) == "no match in the output"


@pytest.mark.parametrize(
    ("pattern", "output"), [("\\A\ud800\\Z", "\ud800"), ("a.b", "a\u2028b"), ("(?i)ſ", "S"), ("(?s)^.$", "\n")]
)
def test_patterns_and_outputs_arrive_as_they_are(pattern: str, output: str, place: Place) -> None:
    assert why(f"regex: {pattern}", output, place) == ""


def test_two_modules_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checks_of_two.py").write_text(f"def check(output): return output == {name!r}\n")
    first = read_assertions("python: checks_of_two.check", Place(tmp_path / "one", tmp_path))
    second = read_assertions("python: checks_of_two.check", Place(tmp_path / "two", tmp_path))
    assert first[1] == []
    assert "Rename one of them" in second[1][0]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_anything_in_a_cell_is_read_or_a_fault(value: Any) -> None:
    assertions, faults = read_assertions(value, Place(Path.cwd(), Path.cwd()))
    assert all(isinstance(one.text, str) for one in assertions)
    assert all(faults)


@given(st.text(), st.sampled_from(["contains: a", "json", "regex: a", "similar(0.5): a", "max-tokens: 3"]))
def test_any_output_can_be_checked(output: str, text: str) -> None:
    (assertion,), _ = read_assertions(text, Place(Path.cwd(), Path.cwd()))
    result = assertion.result(Generation(output), CASE)
    assert result.passed is (result.why == "")


def test_each_kind_has_an_example_that_is_one_of_its_kind() -> None:
    assert [kind for kind, one in KINDS.items() if not one.example.startswith(kind)] == []
