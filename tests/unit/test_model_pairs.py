"""Two models on the same rows: agreement, targets, and questions that a test asks about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.model_comparison import ModelComparison, ModelResult, PairedResult, metric_of
from pytest_llmcompare.comparison.model_pairs import Answer, pair_of, pairs_of
from pytest_llmcompare.comparison.statistics import Interval, PairedFinding, PairedScores
from pytest_llmcompare.errors import LlmCompareError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Case, CaseKey, GroupKey, GroupResult, Row, RowKey

TEXTS = st.none() | st.sampled_from(["", "a", " a", "b"])
ANSWERS = st.dictionaries(st.integers(0, 30), TEXTS)


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("Blue.", "Blue.", True),
        (" Blue.\n", "Blue.", True),
        ("Blue.", "\tBlue. ", True),
        ("", " ", True),
        ("blue.", "Blue.", False),
        ("Blue. ", "Blue", False),
        ("Blue  sky", "Blue sky", False),
        ("\u3000Blue.\u00a0", "Blue.", True),
        ("Blue.\r\n", "\u2028Blue.", True),
        ("\u200bBlue.", "Blue.", False),
        ("Caf\u00e9", "Cafe\u0301", False),
        (" one\ntwo\n", "one\ntwo", True),
        (" 4", "4", True),
        ("4.0", "4", False),
        ("True", "true", False),
        ("Blue.", None, False),
        (None, "", False),
        (None, None, False),
    ],
)
def test_what_meets_a_target(text: str | None, target: str | None, expected: bool) -> None:
    """The same text but for white space around it; no output meets nothing."""
    assert Answer(text, target).on_target is expected


def test_pair() -> None:
    """Rows that both were asked count; a row without an output is a difference; targets where there are some."""
    ones = {1: Answer("a", "a"), 2: Answer("b", "x"), 3: Answer(None, "c"), 4: Answer("d"), 5: Answer("only here")}
    others = {1: Answer(" a", "a"), 2: Answer("x", "x"), 3: Answer(None, "c"), 4: Answer("d"), 6: Answer("only there")}
    pair = pair_of("one", "other", ones, others)
    assert (pair.first, pair.second) == ("one", "other")
    assert (pair.agreement.count, pair.agreement.total) == (1, 4)
    targets = pair.targets
    assert targets is not None
    assert (targets.both, targets.first_only, targets.second_only, targets.neither) == (1, 0, 1, 1)


def test_all_pairs_in_order() -> None:
    """Each pair once, as the models are listed, but for models that said nothing and pairs without common rows."""
    answers: Mapping[str, Any] = {
        "b": {1: Answer("x")},
        "broken": {1: Answer(None)},
        "a": {1: Answer("x"), 2: Answer("y")},
        "c": {2: Answer("y")},
    }
    assert [(pair.first, pair.second) for pair in pairs_of(answers)] == [("b", "a"), ("a", "c")]
    assert pairs_of({}) == pairs_of({"a": {1: Answer("x")}}) == ()


@given(ANSWERS, ANSWERS)
def test_agreement_has_no_order(ones: dict[int, str | None], others: dict[int, str | None]) -> None:
    """Which of two models is named first does not matter."""
    first, second = ({row: Answer(text) for row, text in texts.items()} for texts in (ones, others))
    found = pair_of("a", "b", first, second).agreement
    assert found == pair_of("b", "a", second, first).agreement
    assert found.total == len(ones.keys() & others.keys())


ROWS = ("sky", "sum", "tree", "ice")


def model_result(
    model: str,
    texts: Mapping[str, str | None],
    scores: Mapping[str, Mapping[str, float]] | None = None,
    *,
    targets: Mapping[str, str] | None = None,
    less: str = "",
    **facts: str,
) -> ModelResult:
    """A model with these outputs, scores by metric and row, and targets by row."""
    key = GroupKey(".", "trivia", model)
    cases = {
        RowKey(row): Case(CaseKey(key, row), Row(row, "?", target=(targets or {}).get(row)), "", {}, 0) for row in texts
    }
    said = {RowKey(row): Generation(text) for row, text in texts.items() if text is not None}
    read = {name: {RowKey(row): score for row, score in by_row.items()} for name, by_row in (scores or {}).items()}
    return ModelResult(GroupResult(key, said, **facts), cases, lambda: read, lambda metric: metric == less)  # type: ignore[arg-type]


def comparison(**metrics: tuple[Mapping[str, float], Mapping[str, float]]) -> ModelComparison:
    """Models `a` and `b` with scores by metric: first those of `a`, then those of `b`."""
    texts = dict.fromkeys(ROWS, "x")
    both = [{f"{name}/score": scores[at] for name, scores in metrics.items()} for at in (0, 1)]
    return ModelComparison(
        {name: model_result(name, texts, scores, less="toxicity") for name, scores in zip("ab", both, strict=True)}
    )


def scored(*values: float) -> dict[str, float]:
    return dict(zip(ROWS, values, strict=False))


def test_agreement_of_a_table() -> None:
    """A number to compare with, and the pair behind it."""
    texts = ({"sky": "x", "sum": "y", "tree": None, "ice": "z"}, {"sky": "x", "sum": "Y", "tree": None, "ice": "z"})
    found = ModelComparison({name: model_result(name, own) for name, own in zip("ab", texts, strict=True)})
    assert found.agreement("a", "b") == 0.5
    assert found.pair("a", "b").agreement.interval == found.pair("b", "a").agreement.interval
    assert found.pair("a", "b").targets is None
    assert (list(found), len(found), repr(found)) == (["a", "b"], 2, "<comparison of 'a', 'b'>")


def test_exact_match_needs_no_metric() -> None:
    """It is counted from outputs and targets; a row without an output has missed it."""
    targets = dict.fromkeys(ROWS, "x")
    right, wrong = dict.fromkeys(ROWS, " x"), {**dict.fromkeys(ROWS, "x"), "sum": None}
    found = ModelComparison(
        {"a": model_result("a", right, targets=targets), "b": model_result("b", wrong, targets=targets)}
    )
    evidence = found["b"].not_worse_than("a", metric="exact_match", margin=0.05)
    assert not evidence
    assert evidence.finding is PairedFinding.INCONCLUSIVE
    assert evidence.scores.difference == -0.25
    assert found["a"].not_worse_than("b")
    assert not found["a"].better_than("b")


def test_rows_without_a_target_are_left_out() -> None:
    """As in the metric and in the summary."""
    targets, texts = {"sky": "x", "sum": "x"}, dict.fromkeys(ROWS, "x")
    found = ModelComparison({name: model_result(name, texts, targets=targets) for name in "ab"})
    evidence = found["b"].not_worse_than("a")
    pair = found.pair("a", "b")
    assert pair.targets is not None
    assert (evidence.scores.total, pair.targets.total, bool(evidence)) == (2, 2, True)


@pytest.mark.parametrize(
    ("ours", "theirs", "margin", "not_worse", "better"),
    [
        (scored(1, 2, 3, 4), scored(1, 2, 3, 4), 0.0, True, False),
        (scored(2, 3, 4, 6), scored(1, 2, 3, 4), 0.0, True, False),
        (scored(1, 2, 3, 4), scored(2, 3, 4, 6), 0.0, False, False),
        (scored(1, 2, 3, 4), scored(2, 3, 4, 6), 2.0, True, False),
    ],
)
def test_scores_are_paired_by_row(
    ours: dict[str, float], theirs: dict[str, float], margin: float, not_worse: bool, better: bool
) -> None:
    """By row, whatever order the results table has them in; a margin excuses."""
    model = comparison(quality=(dict(reversed(theirs.items())), ours))["b"]
    for name in ("quality", "quality/score"):
        assert bool(model.not_worse_than("a", metric=name, margin=margin)) is not_worse
        assert bool(model.better_than("a", metric=name, margin=margin)) is better


def test_less_may_be_better() -> None:
    """As the metric has it, or as the test says."""
    found = comparison(
        toxicity=(scored(0, 0, 0, 0), scored(1, 1, 1, 1)), quality=(scored(0, 0, 0, 0), scored(1, 1, 1, 1))
    )
    assert not found["b"].not_worse_than("a", metric="toxicity")
    assert found["b"].not_worse_than("a", metric="toxicity", lower_is_better=False)
    assert found["b"].not_worse_than("a", metric="quality")
    assert not found["b"].not_worse_than("a", metric="quality", lower_is_better=True)
    assert found["a"].not_worse_than("b", metric="toxicity").scores.difference == 1


def test_evidence_tells_itself() -> None:
    """What a failed assertion shows: the finding with its numbers, in the 240 characters that pytest shows."""
    scores = PairedScores(12, -0.25, Interval(-0.5, 0.0), 0.0625)
    evidence = PairedResult("distilgpt2", "gpt2-large", "exact_match", scores, 0.05, PairedFinding.INCONCLUSIVE, False)
    assert repr(evidence) == (
        "<'distilgpt2' against 'gpt2-large': inconclusive; exact_match better by -0.25 "
        "(95% interval -0.5 to 0, p 0.062, 12 rows), margin 0.05>"
    )
    assert not evidence


NO_TARGET = "llm_comparison: exact_match needs targets; 4 rows ('sky', 'sum', 'tree', ...) without one."
UNKNOWN = (
    "llm_comparison: metric 'qualty' has no score per row for model 'b'. Did you mean 'quality'?\n"
    "Have it computed: llm_prompts(..., metrics=[...])."
)
FAULTS: dict[str, tuple[Any, str]] = {
    "unknown model": (lambda c: c["B1"], "llm_comparison: this table has no model 'B1'. Known: a, b."),
    "near model": (lambda c: c.agreement("a", "bb"), "llm_comparison: this table has no model 'bb'. Did you mean 'b'?"),
    "unknown other": (
        lambda c: c["a"].not_worse_than("aa", metric="quality"),
        "llm_comparison: this table has no model 'aa'. Did you mean 'a'?",
    ),
    "itself": (
        lambda c: c["a"].not_worse_than("a", metric="quality"),
        "llm_comparison: model 'a' is compared with itself. Name two of 'a', 'b'.",
    ),
    "agreement with itself": (
        lambda c: c.agreement("b", "b"),
        "llm_comparison: model 'b' is compared with itself. Name two of 'a', 'b'.",
    ),
    "unknown metric": (lambda c: c["b"].not_worse_than("a", metric="qualty"), UNKNOWN),
    "no targets": (lambda c: c["b"].not_worse_than("a"), NO_TARGET),
    "negative margin": (
        lambda c: c["b"].not_worse_than("a", metric="quality", margin=-0.1),
        "llm_comparison: margin=-0.1, expected a number of 0 or more.",
    ),
    "margin that is no number": (
        lambda c: c["b"].better_than("a", metric="quality", margin=float("nan")),
        "llm_comparison: margin=nan, expected a number of 0 or more.",
    ),
    "row without a score": (
        lambda c: c["b"].not_worse_than("a", metric="partial"),
        "llm_comparison: partial of model 'a': 1 row ('ice') without a score.",
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_cannot_be_asked(what: str) -> None:
    """What is wrong, and the nearest name; never a pass."""
    ask, message = FAULTS[what]
    full = scored(1, 2, 3, 4)
    with pytest.raises(LlmCompareError) as caught:
        ask(comparison(quality=(full, full), partial=(scored(1, 2, 3), full)))
    assert str(caught.value) == message


def test_models_that_failed_are_not_compared() -> None:
    """A model that could not be asked, metrics that failed, and the score of an output that is not there."""
    texts = dict.fromkeys(ROWS, "x")
    scores = {"quality/score": scored(1, 2, 3, 4)}
    found = ModelComparison(
        {
            "a": model_result("a", texts, scores),
            "gone": model_result("gone", texts, error="no such folder"),
            "unscored": model_result("unscored", texts, evaluation_fault="MLflow could not compute the metrics"),
            "partly": model_result("partly", {**texts, "ice": None}, scores),
        }
    )
    for other, message in (
        ("gone", "llm_comparison: model 'gone' gave no output: no such folder"),
        ("unscored", "llm_comparison: MLflow could not compute the metrics"),
        ("partly", "llm_comparison: quality of model 'partly': 1 row ('ice') without a score."),
    ):
        with pytest.raises(LlmCompareError) as caught:
            found["a"].not_worse_than(other, metric="quality")
        assert str(caught.value) == message
    assert found.agreement("a", "partly") == 0.75


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("token_count", "token_count"),
        ("quality/score", "quality"),
        ("toxicity/v1/score", "toxicity"),
        ("exact_match/v1", "exact_match"),
        ("a/b/score", "a/b"),
        ("v1/score", "v1"),
    ],
)
def test_names_of_metrics(column: str, expected: str) -> None:
    """A metric is named without MLflow's version and without `/score`."""
    assert metric_of(column) == expected


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (("is Paris.", "stop"), ("is Paris", ""), True),  # transformers, and a server that does not name the end
        (("is Paris.", "stop"), ("is Paris", "stop"), True),
        (("is Paris.", "stop"), ("is Paris", "eos"), False),  # which ended by itself
        (("is Paris.", "stop"), ("is Paris", "length"), False),
        (("is P.aris", "stop"), ("is P.ride", "stop"), False),  # both as transformers writes them
        (("is Rome.", "stop"), ("is Paris", "stop"), False),
    ],
)
def test_a_stop_string_may_be_left_out(one: tuple[str, str], other: tuple[str, str], is_same: bool) -> None:
    """Servers leave it out, transformers leaves it in; any other difference is one."""
    first, second = (Answer.of(Generation(text, stop=stop), None, ["."]) for text, stop in (one, other))
    assert first.is_same(second) is second.is_same(first) is is_same
    assert not Answer.of(None, None, ["."]).is_same(Answer.of(None, None, ["."]))
