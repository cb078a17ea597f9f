"""Records that travel between processes arrive as they were sent, as ASCII on one line."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcompare.comparison.attempts import Attempt
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import AnswerCount, Judgement, ThresholdResult, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey, GroupResult, MlflowRun, RowKey
from pytest_llmcompare.serialization import (
    declared_from_json,
    declared_to_json,
    from_json,
    group_result_from_json,
    group_result_to_json,
    to_json,
)

# A high surrogate right before a low one is one character in JSON; no decoder of bytes makes such a pair.
TEXTS = st.text(st.characters(codec=None, categories=None), max_size=20).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
NUMBERS = st.integers(0, 2**31) | st.none()
NATS = st.none() | st.floats(allow_nan=False)
GROUPS = st.builds(GroupKey, TEXTS, TEXTS, TEXTS)
ROWS = st.builds(RowKey, TEXTS, TEXTS)
JUDGEMENTS = st.builds(Judgement, st.sampled_from(Verdict), NUMBERS, NUMBERS, TEXTS, TEXTS, TEXTS, NATS)
GENERATIONS = st.builds(
    Generation,
    TEXTS,
    st.none() | st.lists(st.integers(0, 2**31), max_size=5).map(tuple),
    st.none() | st.lists(st.floats(max_value=0, allow_nan=False), max_size=5).map(tuple),
    TEXTS,
    st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
    st.none() | st.lists(st.floats(min_value=0, allow_nan=False), max_size=5).map(tuple),
    st.booleans(),
    TEXTS,
)
METRICS = st.dictionaries(TEXTS, TEXTS | st.floats(allow_nan=False), max_size=3)
CASE_RESULTS = st.builds(
    CaseResult,
    st.builds(CaseKey, GROUPS, TEXTS, TEXTS),
    TEXTS,
    st.none() | GENERATIONS,
    st.none() | JUDGEMENTS,
    st.none() | TEXTS,
    *(TEXTS, TEXTS, TEXTS),
    st.none() | TEXTS,
    st.booleans(),
    metrics=METRICS,
)
ATTEMPTS = st.builds(
    Attempt, TEXTS, TEXTS, st.booleans(), st.booleans(), st.none() | st.sampled_from(Verdict), st.booleans(), TEXTS
)
GATES = st.builds(
    ThresholdResult,
    *(TEXTS, TEXTS, st.none() | st.floats(allow_nan=False), st.booleans(), st.integers(0), st.integers(0), TEXTS),
)
GROUP_RESULTS = st.builds(
    GroupResult,
    key=GROUPS,
    generations=st.dictionaries(ROWS, GENERATIONS, max_size=3),
    failures=st.dictionaries(ROWS, TEXTS, max_size=3),
    judgements=st.dictionaries(ROWS, JUDGEMENTS, max_size=3),
    baseline_texts=st.dictionaries(ROWS, TEXTS, max_size=3),
    baseline_tokens=st.dictionaries(ROWS, st.lists(st.integers(0, 2**31), max_size=3).map(tuple), max_size=3),
    metrics=st.dictionaries(ROWS, METRICS, max_size=3),
    error=TEXTS,
    notes=st.lists(TEXTS, max_size=3).map(tuple),
    mlflow=st.builds(MlflowRun, TEXTS, TEXTS, TEXTS, TEXTS),
    answered=st.builds(AnswerCount, st.integers(0, 2**31), st.integers(0, 2**31)),
    evaluation=TEXTS,
    evaluation_fault=TEXTS,
    notification_fault=TEXTS,
    gates=st.lists(GATES, max_size=2).map(tuple),
    seconds=st.floats(0, allow_infinity=False),
    tokens=st.integers(0, 2**31),
)


def evidence(generation: Generation) -> tuple[object, ...]:
    """What counts for nothing when two are compared."""
    return generation.margins, generation.verified, generation.unverified


@given(CASE_RESULTS)
@settings(deadline=None)
def test_a_result_of_a_case_arrives(result: CaseResult) -> None:
    """Equal in every part, and of the same types."""
    sent = to_json(result)
    assert sent.isascii()
    assert "\n" not in sent
    arrived = from_json(CaseResult, sent)
    assert arrived == result
    assert repr(arrived) == repr(result)
    assert hash(arrived.generation) == hash(result.generation)
    if arrived.generation and result.generation:
        assert evidence(arrived.generation) == evidence(result.generation)


@given(ATTEMPTS)
def test_how_a_test_went_arrives(attempt: Attempt) -> None:
    """Equal in every part, and of the same types."""
    sent = to_json(attempt)
    assert sent.isascii()
    assert repr(from_json(Attempt, sent)) == repr(attempt)


def test_all_that_a_group_has_by_row_arrives() -> None:
    """JSON has no records as keys; what is added to a group has to be added there, too."""
    by_row: dict[str, Any] = {part.name: {} for part in fields(GroupResult) if "Mapping[RowKey" in str(part.type)}
    times = {RowKey("a", "v"): 0.5, RowKey("b"): 1.5}
    group = GroupResult(GroupKey(".", "t", "m"), **{**by_row, "latencies": times})
    sent = group_result_to_json(group)
    assert all(json.loads(sent)[name] == [] for name in by_row if name != "latencies")
    assert group_result_from_json(sent) == group


def test_a_group_of_an_earlier_version_arrives() -> None:
    """It has no tokens of its baselines."""
    sent = json.loads(group_result_to_json(GroupResult(GroupKey(".", "t", "m"))))
    del sent["baseline_tokens"]
    assert group_result_from_json(json.dumps(sent)) == GroupResult(GroupKey(".", "t", "m"))


@given(GROUP_RESULTS)
@settings(deadline=None)
def test_a_result_of_a_group_arrives(result: GroupResult) -> None:
    """Mappings by row and their order included."""
    sent = group_result_to_json(result)
    assert sent.isascii()
    arrived = group_result_from_json(sent)
    assert arrived == result
    assert repr(arrived) == repr(result)


@given(st.dictionaries(GROUPS, st.lists(ROWS, max_size=4, unique=True), max_size=3))
def test_declared_rows_arrive(declared: dict[GroupKey, list[RowKey]]) -> None:
    """By group and in order; a table without rows is there too."""
    sent = declared_to_json(declared)
    assert sent.isascii()
    assert declared_from_json(sent) == {group: tuple(rows) for group, rows in declared.items()}


@pytest.mark.parametrize("text", ["\ud800", "\udfff x", "\x00", "\u2028", "🙂", '"\\', "::error::", "\x1b[31m"])
def test_any_text_is_ascii_on_one_line(text: str) -> None:
    """A lone surrogate kills an xdist worker, a raw control character may act on a terminal: neither is sent."""
    result = CaseResult(CaseKey(GroupKey("t", text, "m"), text, text), text, Generation(text), baseline_text=text)
    sent = to_json(result)
    assert sent.isascii()
    assert sent.isprintable()
    assert from_json(CaseResult, sent) == result


def test_verdicts_are_words() -> None:
    """Whoever reads the JSON sees the verdict by its name."""
    result = CaseResult(CaseKey(GroupKey("t", "x", "m"), "a"), "n", judgement=Judgement(Verdict.DRIFTED, 1, 2))
    assert json.loads(to_json(result))["judgement"]["verdict"] == "drifted"
    found = from_json(CaseResult, to_json(result)).judgement
    assert found is not None
    assert found.verdict is Verdict.DRIFTED


@given(st.none() | st.lists(st.integers(0, 99), max_size=5).map(tuple))
def test_lengths_of_tokens_arrive(lengths: tuple[int, ...] | None) -> None:
    """They count for nothing when generations are compared, so equality does not show that they are there."""
    sent = CaseResult(CaseKey(GroupKey(".", "t", "m"), "a"), "test", Generation("text", lengths=lengths))
    arrived = from_json(CaseResult, to_json(sent)).generation
    assert arrived is not None
    assert arrived.lengths == lengths
