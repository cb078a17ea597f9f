"""One record of a run, whatever order its parts came in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.summary import Summary, summarize
from pytest_llmcompare.judgement import Judgement, ThresholdResult, Verdict
from pytest_llmcompare.records import CaseResult, GroupKey, GroupResult, RowKey
from pytest_llmcompare.settings import Settings, Update

from .samples import DRIFTED, IDENTICAL, MISSING, MODELS, TEXTS, case, declared, groups, trivia

RUN = Settings()
STALE = Judgement(Verdict.STALE, reason="other prompt")


def summary_of(*results: CaseResult, update: Update = Update.NOTHING) -> Summary:
    return summarize(results, [], Settings(update=update))


def test_a_line_per_model() -> None:
    """Each model has its cases by verdict, its tokens and its time."""
    lines = summarize(trivia(), groups(), RUN, declared=declared()).models
    assert [line.model for line in lines] == list(MODELS)
    assert [dict(line.counts) for line in lines] == [
        {Verdict.IDENTICAL: 5},
        {Verdict.IDENTICAL: 4, Verdict.DRIFTED: 1},
        {Verdict.IDENTICAL: 5},
    ]
    assert [(line.cases, line.comparable, line.tokens, line.seconds) for line in lines] == [
        (5, 5, 50, 1.7),
        (5, 5, 50, 8.7),
        (5, 5, 50, 15.7),
    ]


def test_models_and_rows_stand_as_the_user_wrote_them() -> None:
    """Models follow the command line, rows follow their table."""
    (table,) = summarize(trivia(), groups(), RUN, declared=declared()).tables
    assert (table.folder, table.name, table.models) == ("tests", "trivia", MODELS)
    assert [str(row.row) for row in table.rows] == list(TEXTS)
    assert table.rows[0].input == "Tell me about sky_color."


def test_without_declared_rows_names_decide() -> None:
    """Rows and models that nothing orders are sorted by name; sets have no order to follow."""
    sets = {key: frozenset(rows) for key, rows in declared().items()}
    for rows, models in ((None, tuple(sorted(MODELS))), (sets, MODELS)):
        (table,) = summarize(trivia(), [], Settings(), declared=rows).tables
        assert table.models == models
        assert [str(row.row) for row in table.rows] == sorted(TEXTS)


def test_models_follow_the_names_of_the_run() -> None:
    """Those that the run doesn't name come last, sorted by name."""
    results = [case(model=model, judgement=IDENTICAL) for model in ("a", "m", "b", "z")]
    summary = summarize(results, [], Settings(), models=("z", "absent", "m"))
    assert [line.model for line in summary.models] == ["z", "m", "a", "b"]


def test_models_of_a_marker_keep_its_order() -> None:
    """In its own table; over all tables the run's models come first."""
    tables = {"one": ("b", "a"), "two": ("a", "b", "c")}
    rows = {GroupKey("tests", table, model): [RowKey("paris")] for table, own in tables.items() for model in own}
    results = [case(model=key.model, table=key.table, judgement=IDENTICAL) for key in rows]
    gates = [GroupResult(key, gates=(ThresholdResult("n", ">=1", 1.0, True, 1, 1),)) for key in rows]
    summary = summarize(results, gates[::-1], Settings(), declared=rows, models=("a", "b"))
    assert {table.name: table.models for table in summary.tables} == tables
    assert [line.model for line in summary.models] == ["a", "b", "c"]
    assert [key for key, _ in summary.gates] == list(rows)


@given(st.randoms())
def test_order_of_arrival_does_not_matter(shuffler: random.Random) -> None:
    """Results and groups in any order give the same summary."""
    results = [*trivia(), case("hamlet", "distilgpt2", judgement=DRIFTED, table="trivia", test="test_more")]
    evaluated, rows = groups(), list(declared().items())
    expected = summarize(results, evaluated, RUN, declared=dict(rows), obsolete={rows[0][0]: [RowKey("gone")]})
    for items in (results, evaluated):
        shuffler.shuffle(items)
    found = summarize(
        results,
        evaluated,
        RUN,
        declared=dict(rows),
        obsolete={GroupKey("tests", "trivia", MODELS[0]): [RowKey("gone")]},
    )
    assert found == expected


ERROR = Judgement(Verdict.ERROR, reason="row 3")


@pytest.mark.parametrize(
    ("judgements", "worst"),
    [
        ((IDENTICAL, None), Verdict.IDENTICAL),
        ((IDENTICAL, MISSING), Verdict.MISSING),
        ((MISSING, STALE), Verdict.STALE),
        ((DRIFTED, STALE), Verdict.DRIFTED),
        ((DRIFTED, ERROR, IDENTICAL), Verdict.ERROR),
    ],
)
def test_the_worst_of_several_tests_counts(judgements: tuple[Judgement | None, ...], worst: Verdict) -> None:
    """A case that several tests share is counted once."""
    results = [case(judgement=judgement, test=f"test_{at}") for at, judgement in enumerate(judgements)]
    (line,) = summary_of(*results).models
    assert dict(line.counts) == {worst: 1}


def test_a_test_that_fails_before_there_is_an_output_is_an_error() -> None:
    """A failed generation counts, also where no test could compare; an output that nobody compared is no verdict."""
    (line,) = summary_of(case("a", text=None, baseline=None), case("b")).models
    assert dict(line.counts) == {Verdict.ERROR: 1, None: 1}
    assert (line.cases, line.comparable) == (2, 0)


@pytest.mark.parametrize(
    ("update", "accepted", "left"),
    [(Update.NOTHING, 0, 2), (Update.MISSING, 1, 1), (Update.CHANGED, 2, 0), (Update.ALL, 2, 0)],
)
def test_accepted_cases_are_not_open(update: Update, accepted: int, left: int) -> None:
    """What an update option takes as the baseline needs no command any more."""
    both = [
        CaseResult(**{**vars(case(name, judgement=judgement)), "passed": update.accepts(judgement.verdict)})
        for name, judgement in (("a", DRIFTED), ("b", MISSING))
    ]
    summary = summary_of(*both, case("c", judgement=IDENTICAL), update=update)
    assert summary.models[0].accepted == accepted
    assert summary.open(Verdict.DRIFTED, Verdict.MISSING) == left


def test_a_case_that_failed_another_check_is_not_accepted() -> None:
    """An update does not take an output that a test of the user's rejects."""
    summary = summary_of(case(judgement=DRIFTED), update=Update.CHANGED)
    assert summary.models[0].accepted == 0


def test_rows_differ_between_models_or_from_their_baselines() -> None:
    """A row is worth a look where texts or verdicts differ."""
    (table,) = summarize(trivia(), [], RUN, declared=declared()).tables
    assert [str(row.row) for row in table.rows if row.differs] == ["hamlet", "capital_of_france", "bees"]


def test_rows_without_a_model_are_gaps() -> None:
    """A model that was not asked has no cell, and makes no difference."""
    (table,) = summary_of(case("a", "one", judgement=IDENTICAL), case("b", "two", judgement=IDENTICAL)).tables
    assert [[cell is not None for cell in row.cells] for row in table.rows] == [[True, False], [False, True]]
    assert not any(row.differs for row in table.rows)


def test_equal_drifts_are_put_together() -> None:
    """The same change of a model counts as one wherever it stands; the most frequent comes first."""
    later = Judgement(Verdict.DRIFTED, 1, 3, " Paris", " Lyon")
    other = Judgement(Verdict.DRIFTED, 1, 3, " a", " b")
    results = [
        case("a", judgement=other),
        case("b", judgement=DRIFTED),
        case("c", judgement=later),
        case("b", "gpt2-large", judgement=DRIFTED),
    ]
    found = [
        (group.model, group.candidate_token, [str(key.row) for key in group.cases])
        for group in summary_of(*results).equal_drifts
    ]
    assert found == [("distilgpt2", " Lyon", ["b", "c"]), ("distilgpt2", " b", ["a"]), ("gpt2-large", " Lyon", ["b"])]


def test_drifts_with_equal_texts_are_put_together() -> None:
    """By both texts; a drift of the tokens alone changed no text, and one without a baseline's text is not known."""
    pair = [case(prompt_id, text="Lyon", baseline="Paris", judgement=DRIFTED) for prompt_id in "bc"]
    same = case("d", text="Paris", baseline="Paris", judgement=DRIFTED)
    unknown = case("e", text="Lyon", baseline=None, judgement=DRIFTED)
    alone = case("a", text="Nice", baseline="Paris", judgement=DRIFTED)
    summary = summary_of(alone, *pair, same, unknown)
    assert [
        (group.baseline, group.candidate, [key.prompt_id for key in group.cases]) for group in summary.equal_texts
    ] == [
        ("Paris", "Lyon", ["b", "c"]),
        ("Paris", "Nice", ["a"]),
    ]


def test_notes_stand_once() -> None:
    """A note of each group is said once, before those of the run; obsolete baselines are sorted."""
    key = GroupKey("tests", "trivia", "gpt2-large")
    evaluated = [*groups(), GroupResult(GroupKey("t", "u", "x"), notes=("second", ""))]
    summary = summarize(
        [],
        evaluated,
        RUN,
        notes=["from the run", "second"],
        obsolete={key: [RowKey("b"), RowKey("a")], GroupKey("a", "b", "c"): []},
    )
    assert summary.notes == ("second", groups()[0].notes[0], "from the run")
    assert summary.obsolete == ((key, (RowKey("a"), RowKey("b"))),)


def test_one_table_name_in_two_folders_is_two_tables() -> None:
    """Folders keep tables of the same name apart; a model's line covers both."""
    one = case("a", judgement=IDENTICAL)
    moved = GroupKey("other", one.key.group.table, one.key.group.model)
    two = CaseResult(**{**vars(one), "key": type(one.key)(moved, "a")})
    summary = summary_of(one, two)
    assert [table.folder for table in summary.tables] == ["other", "tests"]
    assert [line.cases for line in summary.models] == [2]
