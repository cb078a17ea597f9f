"""Settings: what each update option writes, and the checks of the file and of the values."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.models.uris import split_specs
from pytest_llmcompare.settings import (
    DTYPES,
    FILE_KEYS,
    Settings,
    Update,
    check_file,
    check_values,
    percentage,
)

WANT_TABLES = "tables [tool.llmcompare.models.NAME]; to list what a plain run compares use default_models"
WHERE = "[tool.llmcompare] in pyproject.toml"


@pytest.mark.parametrize(
    ("update", "accepted"),
    [
        (Update.NOTHING, set()),
        (Update.MISSING, {Verdict.MISSING}),
        (Update.CHANGED, {Verdict.MISSING, Verdict.DRIFTED, Verdict.SHIFTED, Verdict.STALE}),
        (Update.ALL, set(Verdict) - {Verdict.ERROR}),
    ],
)
def test_what_an_update_accepts(update: Update, accepted: set[Verdict]) -> None:
    """No option writes a case that failed to generate."""
    assert {verdict for verdict in Verdict if update.accepts(verdict)} == accepted


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ()),
        (["a"], ("a",)),
        (["a,b"], ("a", "b")),
        (["a,b", "c"], ("a", "b", "c")),
        ([" a , ,b,", ""], ("a", "b")),
        (["big=org/model@main,./folder"], ("big=org/model@main", "./folder")),
        (["a,a"], ("a", "a")),
    ],
)
def test_models_are_separated_by_commas_and_options(values: list[str], expected: tuple[str, ...]) -> None:
    """In order; blanks between them mean nothing."""
    assert split_specs(values) == expected


def test_a_good_file_passes() -> None:
    """Every key that the file may hold."""
    table = {
        "default_models": ["a", "b"],
        "models": {"big": {"source": "org/model"}},
        "baseline": "git:origin/main",
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 4,
        "decode": "plain",
        "cache": "only",
        "tolerance": 1,
        "shift": "fail",
        "semantic_model": "./MiniLM",
        "tracking_uri": "sqlite:///x.db",
        "traces": True,
        "drift_budget": 2.5,
    }
    assert set(table) == set(FILE_KEYS)
    check_file(table, WHERE)
    check_file({}, WHERE)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"dtyp": "x"}, "unknown key 'dtyp'. Did you mean 'dtype'?"),
        ({"zzz": 1}, f"unknown key 'zzz'. Known: {', '.join(sorted(FILE_KEYS))}."),
        ({"default_models": "a"}, "default_models = 'a', expected a list of model specs."),
        ({"default_models": ["a", 1]}, "default_models holds 1, expected model specs as text."),
        (
            {"models": ["a"]},
            f"models = ['a'], expected {WANT_TABLES}.",
        ),
        ({"models": {"a": "b"}}, "models.a = 'b', expected a table with at least `source = ...`."),
        ({"baseline": 1}, "baseline = 1, expected files, git:REF, runs:/ID or model:NAME."),
        ({"device": 0}, "device = 0, expected text such as 'cpu' or 'cuda'."),
        ({"dtype": 32}, f"dtype = 32, expected one of {', '.join(DTYPES)}."),
        ({"batch_size": "4"}, "batch_size = '4', expected a whole number."),
        ({"batch_size": True}, "batch_size = True, expected a whole number."),
        ({"batch_size": 4.0}, "batch_size = 4.0, expected a whole number."),
        ({"decode": True}, "decode = True, expected one of auto, verify, plain."),
        ({"tolerance": "0.1"}, "tolerance = '0.1', expected a number of nats."),
        ({"shift": 1}, "shift = 1, expected one of warn, fail."),
        ({"tracking_uri": []}, "tracking_uri = [], expected text."),
        ({"traces": "yes"}, "traces = 'yes', expected true or false."),
        ({"drift_budget": True}, "drift_budget = True, expected a percentage such as 5 or '5%'."),
        ({"drift_budget": [5]}, "drift_budget = [5], expected a percentage such as 5 or '5%'."),
    ],
)
def test_what_is_wrong_with_a_file(table: dict[str, Any], message: str) -> None:
    """The place, the key, its value and what was expected."""
    with pytest.raises(UsageError) as caught:
        check_file(table, WHERE)
    assert str(caught.value) == f"{WHERE}: {message}"


@pytest.mark.parametrize("dtype", ["", *DTYPES])
@pytest.mark.parametrize("batch_size", [0, 1, 1000])
def test_good_values_pass(dtype: str, batch_size: int) -> None:
    """Nothing given is good too."""
    check_values(Settings(dtype=dtype, batch_size=batch_size))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            Settings(dtype="flot32", origins={"dtype": "LLMCOMPARE_DTYPE"}),
            "dtype 'flot32' (LLMCOMPARE_DTYPE) is not known. Did you mean 'float32'?",
        ),
        (Settings(dtype="x"), f"dtype 'x' (dtype) is not known. Known: {', '.join(sorted(DTYPES))}."),
        (
            Settings(batch_size=-1, origins={"batch_size": "command line"}),
            "batch size -1 (command line) must be 1 or more, or 0 to have it chosen.",
        ),
        (
            Settings(shift="fial", origins={"shift": "command line"}),
            "shift 'fial' (command line) is not known. Did you mean 'fail'?",
        ),
        (
            Settings(tolerance=-0.5, origins={"tolerance": "command line"}),
            "tolerance -0.5 (command line) must be 0 or more nats, and finite.",
        ),
        (
            Settings(tolerance=float("nan"), origins={"tolerance": "LLMCOMPARE_TOLERANCE"}),
            "tolerance nan (LLMCOMPARE_TOLERANCE) must be 0 or more nats, and finite.",
        ),
        (
            Settings(decode="plane", origins={"decode": "command line"}),
            "decode 'plane' (command line) is not known. Did you mean 'plain'?",
        ),
        (Settings(batch_size=-1), "batch size -1 (batch_size) must be 1 or more, or 0 to have it chosen."),
    ],
)
def test_what_is_wrong_with_a_value(settings: Settings, message: str) -> None:
    """The message says where the value came from."""
    with pytest.raises(UsageError) as caught:
        check_values(settings)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("models", "origin", "expected"),
    [
        (("a",), "command line", True),
        (("a",), "LLMCOMPARE_MODELS", True),
        (("a",), "pyproject.toml", False),
        (("a",), None, False),
        ((), "command line", False),
    ],
)
def test_models_asked_for(models: tuple[str, ...], origin: str | None, expected: bool) -> None:
    """Only models that were named for this run oblige it to compare something."""
    settings = Settings(models=models, origins={"models": origin} if origin else {})
    assert settings.models_are_asked_for is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("5", 5.0), ("5%", 5.0), (" 2.5 % ", 2.5), ("0", 0.0), ("100%", 100.0), (5, 5.0), (0.1, 0.1), ("1e-1", 0.1)],
)
def test_percentages(given: object, expected: float) -> None:
    """A number from 0 to 100, with or without its sign, as text or as TOML has it."""
    assert percentage(given, "drift budget", "command line") == expected


@pytest.mark.parametrize(
    "given", ["", "%", "-1", "-0.001%", "100.1", "101%", "nan", "inf", "-inf", "five", "5%%", "5,5", "1/20", -1, 1000]
)
def test_what_is_no_percentage(given: object) -> None:
    """Anything else is refused, with its value and where it came from."""
    with pytest.raises(UsageError) as caught:
        percentage(given, "drift budget", "LLMCOMPARE_DRIFT_BUDGET")
    assert str(caught.value) == (
        f"drift budget {given!r} (LLMCOMPARE_DRIFT_BUDGET) must be a percentage from 0 to 100, such as 5 or 5%."
    )
