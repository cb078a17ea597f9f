"""Verdicts: every pair of baseline and candidate has one, and its evidence is the first difference."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.judge import judge, prompt_change, stale_reason, word_at
from pytest_llmcompare.generation import Generation, first_difference
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row, RowKey

CASE = Case(CaseKey(GroupKey("tests", "trivia", "distilgpt2"), "sky"), Row("sky", "Q: sky?"), "", {"top_k": 5}, 0)
PROMPT = "the prompt or its examples"
SETTINGS = "the decoding settings, the seed or the chat template"
CHANGED = "changed since the baseline was recorded"
WORDS = {1: " blue", 2: " sky", 3: "."}
MISSING = Judgement(Verdict.MISSING, reason="no baseline is recorded for this case")

TEXTS = st.text(st.sampled_from("ab \n\t.é🙂\u2028\ud800"), max_size=40)
GENERATIONS = st.builds(
    Generation,
    TEXTS,
    st.none() | st.lists(st.integers(0, 3), max_size=5).map(tuple),
    st.none(),
    st.sampled_from(["", "eos", "length", "stop"]),
)


def approved(generation: Generation, case: Case = CASE) -> Baseline:
    return Baseline(case.key.row, generation, case.input_hash, case.settings_hash)


def verdict(expected: Generation, actual: Generation) -> Judgement:
    return judge(CASE, approved(expected), actual, lambda token: WORDS.get(token, f"#{token}"))


def said(text: str, *token_ids: int, stop: str = "length") -> Generation:
    return Generation(text, token_ids or None, None, stop)


@pytest.mark.parametrize(
    ("expected", "actual", "judgement"),
    [
        (said("a", 1, 2), said("a", 1, 2), Judgement(Verdict.IDENTICAL, length=2)),
        (said("a", 1, 2), said("b", 1, 3), Judgement(Verdict.DRIFTED, 1, 2, " sky", ".")),
        (said("a", 1, 2), said("b", 3, 2), Judgement(Verdict.DRIFTED, 0, 2, " blue", ".")),
        (said("a", 1, 2), said("b", 1), Judgement(Verdict.DRIFTED, 1, 2, " sky", "<length>")),
        (said("a", 1), said("b", 1, 9), Judgement(Verdict.DRIFTED, 1, 1, "<length>", "#9")),
        (said("a", 1), said("a", 1, stop="eos"), Judgement(Verdict.DRIFTED, 1, 1, "<length>", "<eos>")),
        (said("a", 1, stop=""), said("a", 1, stop="eos"), Judgement(Verdict.IDENTICAL, length=1)),
        (said("a", 1), said("a", 1, stop=""), Judgement(Verdict.IDENTICAL, length=1)),
        # a tokenizer that makes another text of the same tokens
        (said("a b", 1, 2), said("a  b", 1, 2), Judgement(Verdict.DRIFTED, 2, 3, "b", " b", "char")),
        # another way to spell the same text in tokens
        (said("a", 1, 2), said("a", 3), Judgement(Verdict.DRIFTED, 0, 2, " blue", ".")),
        # no tokens on one side or both
        (said("blue."), said("blue."), Judgement(Verdict.IDENTICAL, length=5, unit="char")),
        (said("blue.", 1), said("blue."), Judgement(Verdict.IDENTICAL, length=5, unit="char")),
        (said("blue."), said("blue.", 1), Judgement(Verdict.IDENTICAL, length=5, unit="char")),
        (said("is blue."), said("is black."), Judgement(Verdict.DRIFTED, 5, 8, "blue.", "black.", "char")),
        (said("blue."), said("blue. Yes"), Judgement(Verdict.DRIFTED, 5, 5, "<length>", " Yes", "char")),
        (said("blue."), said("blue"), Judgement(Verdict.DRIFTED, 4, 5, "blue.", "<length>", "char")),
        (said("", stop=""), said("x"), Judgement(Verdict.DRIFTED, 0, 0, "<end>", "x", "char")),
        (said("a\nb"), said("a b"), Judgement(Verdict.DRIFTED, 1, 3, "\nb", " b", "char")),
        (said("a"), said("a", stop="eos"), Judgement(Verdict.DRIFTED, 1, 1, "<length>", "<eos>", "char")),
        (said("a", stop=""), said("a", stop="eos"), Judgement(Verdict.IDENTICAL, length=1, unit="char")),
    ],
)
def test_the_first_difference_decides(expected: Generation, actual: Generation, judgement: Judgement) -> None:
    """Tokens where both have them, the texts in any case, and why each ended where both know."""
    assert verdict(expected, actual) == judgement


def test_no_baseline_is_missing() -> None:
    """It never passes."""
    assert judge(CASE, None, said("a")) == MISSING


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"examples": "Q: a?\n"}, f"{PROMPT} {CHANGED}"),
        ({"row": Row("sky", "Q: Sky?")}, f"{PROMPT} {CHANGED}"),
        ({"row": Row("sky", "Q: sky?", target="x")}, ""),
        (
            {"gen_config": {"top_k": 6}},
            f"{SETTINGS} {CHANGED}",
        ),
        ({"template": "t"}, f"{SETTINGS} {CHANGED}"),
        ({"seed": 1}, ""),
        ({"examples": "x", "template": "t"}, f"{PROMPT} and {SETTINGS} {CHANGED}"),
    ],
)
def test_another_question_makes_a_baseline_stale(changes: dict[str, Any], reason: str) -> None:
    """Also where the output would be equal; the reason says what changed."""
    case = dataclasses.replace(CASE, **changes)
    baseline = approved(said("a", 1))
    assert stale_reason(case, baseline) == reason
    expected = Judgement(Verdict.STALE, reason=reason) if reason else Judgement(Verdict.IDENTICAL, length=1)
    assert judge(case, baseline, said("a", 1)) == expected


@pytest.mark.parametrize(("then", "now"), [("a\n\nb\n", "a\r\n\r\nb\r\n"), ("a\r\nb", "a\nb")])
def test_a_stale_baseline_says_where_only_line_ends_differ(then: str, now: str) -> None:
    """A table of pandas' or a plugin's may have those of a checkout on another system."""
    case = dataclasses.replace(CASE, row=Row("sky", now))
    baseline = dataclasses.replace(
        approved(said("a", 1)), input_hash=dataclasses.replace(case, row=Row("sky", then)).input_hash
    )
    assert stale_reason(case, baseline) == f"only the line ends of {PROMPT} {CHANGED}"


@given(GENERATIONS, GENERATIONS)
def test_every_pair_has_one_verdict(expected: Generation, actual: Generation) -> None:
    """The same one each time; identical exactly when text, tokens and end agree as far as both sides know them."""
    found = verdict(expected, actual)
    assert found == verdict(expected, actual)
    same = (
        expected.text == actual.text
        and (None in (expected.token_ids, actual.token_ids) or expected.token_ids == actual.token_ids)
        and ("" in (expected.stop, actual.stop) or expected.stop == actual.stop)
    )
    assert found.verdict is (Verdict.IDENTICAL if same else Verdict.DRIFTED)
    assert found.reason == ""
    assert (found.position is None) is same


@given(GENERATIONS, GENERATIONS)
def test_the_evidence_is_the_first_difference(expected: Generation, actual: Generation) -> None:
    """Up to the position both sides are equal; what stands there is shown, and is not the same on both sides."""
    found = verdict(expected, actual)
    if found.verdict is Verdict.IDENTICAL:
        return
    sides: list[Any] = [expected.text, actual.text] if found.unit == "char" else [expected.token_ids, actual.token_ids]
    assert found.length == len(sides[0])
    assert found.position is not None
    assert sides[0][: found.position] == sides[1][: found.position]
    assert sides[0][found.position : found.position + 1] != sides[1][found.position : found.position + 1] or (
        sides[0] == sides[1]
    )
    assert found.baseline_token
    assert found.candidate_token
    assert found.baseline_token != found.candidate_token


@given(st.lists(st.integers(0, 1), max_size=6), st.lists(st.integers(0, 1), max_size=6))
def test_first_difference(one: list[int], other: list[int]) -> None:
    """None exactly for equal sequences, else the length of what they begin with alike."""
    at = first_difference(one, other)
    assert at == first_difference(other, one)
    assert (at is None) is (one == other)
    assert at is None or (one[:at] == other[:at] and one[at : at + 1] != other[at : at + 1])


@pytest.mark.parametrize(
    ("text", "at", "word"),
    [
        ("the sky is", 4, "sky"),
        ("the sky is", 6, "sky"),
        ("the sky is", 7, " is"),
        ("the\n\n", 3, "\n\n"),
        ("the sky", 7, ""),
        ("", 0, ""),
        ("x" * 100, 50, "x" * 24),
        ("a" * 40 + "b" + "c" * 40, 40, "a" * 12 + "b" + "c" * 11),
        (" " * 100, 3, " " * 24),
    ],
)
def test_word_at(text: str, at: int, word: str) -> None:
    """The whole word where it is short, else what is around the place."""
    assert word_at(text, at) == word


def test_tokens_are_shown_as_ids_where_no_text_is_known() -> None:
    """The default is the id itself."""
    baseline = Baseline(RowKey("sky"), said("a", 1), CASE.input_hash, CASE.settings_hash)
    assert judge(CASE, baseline, said("b", 2)) == Judgement(Verdict.DRIFTED, 0, 1, "1", "2")


@pytest.mark.parametrize(
    ("then", "now", "reason"),
    [
        ("", "", ""),
        ("", "12:ab", ""),
        ("12", "", ""),
        ("12", "12", ""),
        ("12", "14", "14 prompt tokens, 12 when recorded"),
        ("12:ab", "12:ab", ""),
        ("12:ab", "14:cd", "14 prompt tokens, 12 when recorded"),
        ("12:ab", "12:cd", "12 prompt tokens, 12 when recorded, with other ids"),
        ("12:ab", "14", ""),  # ids are compared with ids alone
        ("12", "14:cd", ""),
    ],
)
def test_another_template_or_tokenizer_on_a_server(then: str, now: str, reason: str) -> None:
    """Shown by the tokens of the prompt, whether the output is another one or not."""
    expected = reason and f"the server's chat template or tokenizer changed: {reason}"
    assert prompt_change(then, now) == expected
    for text in ("a", "b"):
        one, other = Generation("a", (1,), prompt_shown=then), Generation(text, (1,), prompt_shown=now)
        judgement = verdict(one, other)
        assert (judgement.verdict is Verdict.STALE, judgement.reason) == (bool(reason), expected)
