"""The marker: every keyword is read, every wrong one refused, and the nearer setting wins."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.similarity import Similarity
from pytest_llmcompare.errors import LlmCompareError, TableError, UsageError
from pytest_llmcompare.models.spec import ModelSpec, SourceKind
from pytest_llmcompare.records import CaseKey, GroupKey, RowKey
from pytest_llmcompare.suite.marker import SIGNATURE, Declaration, declare, derived_seed, first_given
from pytest_llmcompare.suite.thresholds import Threshold
from pytest_llmcompare.suite.variants import Variant

SPEC = ModelSpec("distilgpt2", "distilgpt2", SourceKind.HUB)
KNOWN = (
    "examples, expect, experiment, gen_config, input, metrics, model_type, models, name, samples, seed, similarity, "
    "table, target, thresholds, tolerance, variants"
)
WANT_VARIANTS = 'expected e.g. {"greedy": {"do_sample": False}}.'
WANT_MODELS = 'expected model specs, e.g. ["gpt2-large", "distilgpt2"].'
WANT_METRICS = "expected a list of MLflow metrics or of their names."
WANT_CONFIG = 'expected decoding settings, e.g. {"max_new_tokens": 10}.'
TWO_FAULTS = (
    "llm_prompts, gen_config: unknown decoding setting 'max_new_token'. Did you mean 'max_new_tokens'?\n"
    "llm_prompts, gen_config: top_k=-1, expected a whole number from 0 (0 switches it off)."
)
LEAVE_OUT = "is blank, expected a name. Leave it out to have one made."


def read(*args: Any, **kwargs: Any) -> Declaration:
    return declare(args or (["What color is the sky?"],), kwargs, test="test_trivia", folder="tests", base=Path.cwd())


class Metric:
    """Has a name, as MLflow's metrics do."""

    name = "length"


def test_a_marker_with_nothing_but_a_table() -> None:
    """Names come from the test, everything else from the defaults."""
    declaration = read(["a"])
    assert declaration == Declaration("trivia", "tests", declaration.rows, experiment="trivia")
    assert [row.input for row in declaration.rows] == ["a"]
    assert declaration.variants == (Variant("", {}, None),)
    assert not declaration.targets


def test_a_marker_with_every_keyword() -> None:
    """Each one arrives where it belongs."""
    given: dict[str, Any] = {
        "table": [{"q": "a", "a": "b", "id": "x", "topic": "air"}],
        "name": "geo",
        "input": "q",
        "target": "a",
        "examples": "E",
        "gen_config": {"max_new_tokens": 5},
        "variants": {"greedy": {}, "top": {"top_k": 2, "examples": "V"}},
        "models": ["m", "n"],
        "seed": 3,
        "samples": 2,
        "tolerance": 0.5,
        "similarity": {"ratio": 0.8},
        "metrics": ["exact_match", Metric],
        "thresholds": {"exact_match/v1": ">=0.5"},
        "expect": ["json", "contains: b"],
        "model_type": "question-answering",
        "experiment": "exp",
    }
    assert given.keys() == SIGNATURE.parameters.keys()
    declaration = declare((), given, test="test_x", folder="t", base=Path.cwd())
    (row,) = declaration.rows
    assert (row.id, row.input, row.target, row.columns) == ("x", "a", "b", {"topic": "air"})
    assert declaration.targets
    assert declaration.expect == tuple(declaration.assertions) == ("json", "contains: b")
    assert dataclasses.replace(declaration, assertions={}, expect=()) == Declaration(
        table="geo",
        folder="t",
        rows=(row,),
        examples="E",
        gen_config={"max_new_tokens": 5},
        variants=(Variant("greedy", {}, None), Variant("top", {"top_k": 2}, "V")),
        models=("m", "n"),
        seed=3,
        samples=2,
        tolerance=0.5,
        similarity=Similarity("ratio", 0.8),
        metrics=("exact_match", Metric),
        thresholds=(Threshold("exact_match/v1", 0.5, greater_is_better=True),),
        model_type="question-answering",
        experiment="exp",
    )


@pytest.mark.parametrize(
    ("test", "table", "expected"),
    [
        ("test_trivia", ["a"], "trivia"),
        ("trivia", ["a"], "trivia"),
        ("test_", ["a"], "test_"),
        ("test_x", "prompts/geo.v2.csv", "geo.v2"),
        ("test_x", Path("geo.jsonl"), "geo"),
    ],
)
def test_a_table_is_named_after_its_file_or_test(tmp_path: Path, test: str, table: Any, expected: str) -> None:
    """The stem of a file, the test without `test_` else; the experiment is named after the test."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/geo.v2.csv").write_text("prompt\na\n")
    (tmp_path / "geo.jsonl").write_text('{"prompt": "a"}\n')
    declaration = declare((table,), {}, test=test, folder=".", base=tmp_path)
    assert declaration.table == expected
    assert declaration.experiment == (test.removeprefix("test_") or test)


@pytest.mark.parametrize("value", ["m", ["m"], ("m",)])
def test_models_are_one_text_or_several(value: Any) -> None:
    """The others of the run are left out then."""
    assert read(models=value).models == ("m",)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"tabel": 1}, "llm_prompts: unknown keyword 'tabel'. Did you mean 'table'?"),
        ({"gen_confg": {}}, "llm_prompts: unknown keyword 'gen_confg'. Did you mean 'gen_config'?"),
        ({"zzz": 1}, f"llm_prompts: unknown keyword 'zzz'. Known: {KNOWN}."),
        ({"table": ["b"]}, "llm_prompts: got 2 tables, expected one. Give all other arguments by keyword."),
        ({"input": 5}, "llm_prompts: input=5 is int, expected text."),
        ({"target": ["x"]}, "llm_prompts: target=['x'] is list, expected text."),
        ({"examples": ["Q"]}, "llm_prompts: examples=['Q'] is list, expected text."),
        ({"model_type": 1}, "llm_prompts: model_type=1 is int, expected text."),
        ({"name": 1}, "llm_prompts: name=1 is int, expected text."),
        ({"name": " "}, f"llm_prompts: name=' ' {LEAVE_OUT}"),
        ({"experiment": ""}, f"llm_prompts: experiment='' {LEAVE_OUT}"),
        ({"seed": "1"}, "llm_prompts: seed='1', expected a whole number."),
        ({"seed": 1.0}, "llm_prompts: seed=1.0, expected a whole number."),
        ({"seed": True}, "llm_prompts: seed=True, expected a whole number."),
        ({"samples": 0}, "llm_prompts: samples=0, expected how many outputs to draw, 1 or more."),
        ({"samples": "2"}, "llm_prompts: samples='2', expected how many outputs to draw, 1 or more."),
        (
            {"variants": {"a#2": {}}},
            "llm_prompts: variants['a#2'] ends like the number of a sample. Rename it.",
        ),
        ({"tolerance": -0.1}, "llm_prompts: tolerance=-0.1, expected a number of nats, 0 or more, and finite."),
        ({"tolerance": "1"}, "llm_prompts: tolerance='1', expected a number of nats, 0 or more, and finite."),
        ({"tolerance": float("nan")}, "llm_prompts: tolerance=nan, expected a number of nats, 0 or more, and finite."),
        ({"models": []}, f"llm_prompts: models=[], {WANT_MODELS}"),
        ({"models": [1]}, f"llm_prompts: models=[1], {WANT_MODELS}"),
        ({"models": 1}, f"llm_prompts: models=1, {WANT_MODELS}"),
        ({"metrics": "exact_match"}, f"llm_prompts: metrics='exact_match', {WANT_METRICS}"),
        ({"metrics": [3]}, f"llm_prompts: metrics=[3], {WANT_METRICS}"),
        ({"metrics": None}, f"llm_prompts: metrics=None, {WANT_METRICS}"),
        ({"gen_config": []}, f"llm_prompts: gen_config=[], {WANT_CONFIG}"),
        ({"gen_config": 0}, f"llm_prompts: gen_config=0, {WANT_CONFIG}"),
        (
            {"gen_config": {"max_new_token": 1, "top_k": -1}},
            TWO_FAULTS,
        ),
        (
            {"gen_config": {"seed": 1}},
            "llm_prompts, gen_config: seed cannot be set: the seed belongs to the marker: llm_prompts(..., seed=1).",
        ),
        ({"variants": {}}, f"llm_prompts: variants={{}}, {WANT_VARIANTS}"),
        ({"variants": ["greedy"]}, f"llm_prompts: variants=['greedy'], {WANT_VARIANTS}"),
        ({"variants": {"": {}}}, "llm_prompts: variants[''] = {}, expected a name and its settings."),
        ({"variants": {1: {}}}, "llm_prompts: variants[1] = {}, expected a name and its settings."),
        ({"variants": {"a": 3}}, "llm_prompts: variants['a'] = 3, expected a name and its settings."),
        ({"variants": {"a": {"examples": 3}}}, "llm_prompts: variants['a']['examples']=3 is int, expected text."),
        (
            {"variants": {"a": {"top_kk": 3}}},
            "llm_prompts, variants['a']: unknown decoding setting 'top_kk'. Did you mean 'top_k'?",
        ),
    ],
)
def test_what_is_wrong_with_a_keyword(kwargs: dict[str, Any], message: str) -> None:
    """The keyword, its value and what was expected."""
    with pytest.raises(UsageError) as caught:
        read(**kwargs)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), 'llm_prompts: no prompt table. Give a file, e.g. @pytest.mark.llm_prompts("prompts.csv"), or a list.'),
        ((["a"], ["b"]), "llm_prompts: got 2 tables, expected one. Give all other arguments by keyword."),
        ((["a"], "b", "c"), "llm_prompts: got 3 tables, expected one. Give all other arguments by keyword."),
    ],
)
def test_a_marker_has_one_table(args: tuple[Any, ...], message: str) -> None:
    """None and several are refused."""
    with pytest.raises(UsageError) as caught:
        declare(args, {}, test="test_x", folder=".", base=Path.cwd())
    assert str(caught.value) == message


@given(
    st.dictionaries(
        st.sampled_from(list(SIGNATURE.parameters)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just({}) | st.just([()]),
        max_size=4,
    )
)
def test_nonsense_is_an_error_of_ours_or_fits(kwargs: dict[str, Any]) -> None:
    """No value of any type escapes as another exception."""
    with contextlib.suppress(LlmCompareError):
        assert declare((), kwargs, test="test_x", folder=".", base=Path("/nonexistent")).cases(SPEC)


def test_faults_of_the_table_pass_through() -> None:
    """The table's own message says which rows."""
    with pytest.raises(TableError, match="no such file"):
        read("missing.csv")


@pytest.mark.parametrize("levels", range(16))
def test_the_nearer_setting_wins(levels: int) -> None:
    """Row over variant over marker over model, for decoding settings and for examples."""
    of_row, of_variant, of_marker, of_model = (bool(levels & bit) for bit in (1, 2, 4, 8))
    row: dict[str, Any] = {"prompt": "a"}
    if of_row:
        row |= {"few_shot_examples": "row", "config_dict": {"top_k": 1}}
    declaration = read(
        [row],
        variants={"v": {"top_k": 2, "examples": "variant"} if of_variant else {}},
        **({"gen_config": {"top_k": 3}, "examples": "marker"} if of_marker else {}),
    )
    model = {"gen_config": {"top_k": 4}, "examples": "model"} if of_model else {}
    (case,) = declaration.cases(ModelSpec("m", "m", SourceKind.HUB, **model))  # type: ignore[arg-type]
    given = [
        *([("row", 1)] if of_row else []),
        *([("variant", 2)] if of_variant else []),
        *([("marker", 3)] if of_marker else []),
        *([("model", 4)] if of_model else []),
        ("", None),
    ]
    assert (case.examples, case.gen_config.get("top_k")) == given[0]


def test_settings_of_all_levels_are_merged() -> None:
    """Each level adds its keys; None takes back what a farther one set; the rest are the defaults."""
    declaration = read(
        [{"prompt": "a", "config_dict": {"top_k": None, "top_p": 0.5}}],
        gen_config={"top_k": 3, "max_new_tokens": 5},
        variants={"v": {"repetition_penalty": 1.5}},
    )
    (case,) = declaration.cases(ModelSpec("m", "m", SourceKind.HUB, gen_config={"num_beams": 2}))
    assert case.gen_config == {
        "do_sample": False,
        "max_new_tokens": 5,
        "num_beams": 2,
        "repetition_penalty": 1.5,
        "top_p": 0.5,
    }


def test_empty_examples_of_a_variant_or_row_count() -> None:
    """They say that there are none, while an empty text in the marker leaves it to the model."""
    model = ModelSpec("m", "m", SourceKind.HUB, examples="model")
    declaration = read([{"prompt": "a"}], variants={"with": {}, "without": {"examples": ""}}, examples="")
    assert [case.examples for case in declaration.cases(model)] == ["model", ""]


def test_variants_multiply_the_rows() -> None:
    """Row by row, in the order of the marker; every case has its key, its row and the model's chat template."""
    declaration = read(
        [{"id": "a", "prompt": "A"}, {"id": "b", "prompt": "B"}], variants={"greedy": {}, "top": {"top_k": 2}}
    )
    cases = declaration.cases(ModelSpec("m", "x", SourceKind.HUB, chat_template="tokenizer"))
    group = GroupKey("tests", "trivia", "m")
    assert [case.key for case in cases] == [CaseKey(group, row, name) for row in "ab" for name in ("greedy", "top")]
    assert [case.input for case in cases] == ["A", "A", "B", "B"]
    assert {case.template for case in cases} == {"tokenizer"}


def test_seeds_depend_on_the_row_and_not_on_its_place() -> None:
    """A row keeps its seed when others come, go or change places; rows, variants and seeds have different ones."""
    rows = [{"id": f"row {at}", "prompt": f"prompt {at}"} for at in range(50)]
    variants: dict[str, Any] = {"greedy": {}, "top": {"top_k": 2}}

    def seeds(table: list[dict[str, str]], seed: int = 0) -> dict[RowKey, int]:
        return {case.key.row: case.seed for case in read(table, variants=variants, seed=seed).cases(SPEC)}

    first = seeds(rows)
    assert len(set(first.values())) == 100
    assert all(0 <= seed < 2**31 for seed in first.values())
    shuffled = random.Random(0).sample(rows, 30)
    assert seeds(shuffled).items() <= first.items()
    assert not set(seeds(rows, seed=1).values()) & set(first.values())


def test_seeds_stay_from_version_to_version() -> None:
    """Recorded draws are replayed with them."""
    assert derived_seed(0, "sky", "") == 771631698
    assert derived_seed(7, "sky", "top_k") == 1203317918


BASE: dict[str, Any] = {"examples": "E", "gen_config": {"top_k": 3}, "variants": {"v": {}}, "seed": 1}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"models": ["x"]}, True),
        ({"metrics": ["m"]}, True),
        ({"thresholds": {"m": ">=1"}}, True),
        ({"similarity": "ratio"}, False),
        ({"examples": "F"}, False),
        ({"gen_config": {"top_k": 4}}, False),
        ({"variants": {"w": {}}}, False),
        ({"variants": {"v": {"top_k": 1}}}, False),
        ({"seed": 2}, False),
        ({"experiment": "other"}, False),
        ({"table": [{"id": "a", "prompt": "B"}]}, False),
        ({"table": [{"id": "b", "prompt": "A"}]}, False),
        ({"table": [{"id": "a", "prompt": "A", "target": "t"}]}, False),
        ({"table": [{"id": "a", "prompt": "A", "topic": "t"}]}, False),
        ({"table": [{"id": "a", "prompt": "A"}, {"id": "b", "prompt": "B"}]}, False),
    ],
)
def test_tests_share_a_table_when_its_cases_are_the_same(changes: dict[str, Any], same: bool) -> None:
    """The fingerprint changes with whatever changes the cases, and not with what a test wants to know of them."""
    kwargs = {"table": [{"id": "a", "prompt": "A"}], **BASE}
    one, other = (
        declare((), given, test="test_x", folder="t", base=Path.cwd()) for given in (kwargs, {**kwargs, **changes})
    )
    assert (one.fingerprint == other.fingerprint) is same


@pytest.mark.parametrize(
    ("texts", "expected"), [((), ""), ((None, None), ""), ((None, "", "b"), ""), (("a", None), "a"), ((None, "b"), "b")]
)
def test_first_given(texts: tuple[str | None, ...], expected: str) -> None:
    """An empty text is given, None is not."""
    assert first_given(*texts) == expected


def test_keywords_can_only_be_given_by_keyword() -> None:
    """The table alone is positional, so that keywords can be added without breaking a suite."""
    kinds = [parameter.kind for parameter in SIGNATURE.parameters.values()]
    assert kinds[0] is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert set(kinds[1:]) == {inspect.Parameter.KEYWORD_ONLY}
