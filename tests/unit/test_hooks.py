"""What plugins give by our own hooks: taken as it is meant, or refused in words that name the hook and whose it is."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pytest_llmcompare import hookspecs
from pytest_llmcompare.baselines.sources.plugin_source import EXPECTED
from pytest_llmcompare.baselines.sources.protocol import BaselineWriter, Outputs
from pytest_llmcompare.comparison.summary import Summary
from pytest_llmcompare.errors import HookError, ModelError, SourceError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.models.spec import ModelSpec, SourceKind
from pytest_llmcompare.plugin import pytest_llmcompare_judge
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, GroupResult, Row, RowKey
from pytest_llmcompare.run.hook_calls import Hooks

KEY = GroupKey("tests", "trivia", "m")
CASE = Case(CaseKey(KEY, "sky"), Row("sky", "Sky?"), "", {}, seed=0)
BASELINE = Baseline(CASE.key.row, Generation("Blue."), "", "")
OURS = Judgement(Verdict.DRIFTED, position=0, length=5, baseline_token="Blue.", candidate_token="Red.")
SPEC = ModelSpec("m", "mine:x", SourceKind.OTHER)
ROOT = Path(__file__).parent
NONE = "which does not judge an output. Expected one of identical, near_tie, shifted, drifted, error."


def hooks(*plugins: object, names: dict[int, str] | None = None) -> Hooks:
    """Our hooks with some plugins, of which the last is asked first."""
    manager = pytest.PytestPluginManager()
    manager.add_hookspecs(hookspecs)
    manager.register(OurJudge(), "ours")
    for number, plugin in enumerate(plugins):
        manager.register(plugin, (names or {}).get(number, f"plugin{number}"))
    return Hooks(lambda: manager.hook, manager.hook, ROOT)


class OurJudge:
    """The one that is part of the plugin."""

    pytest_llmcompare_judge = staticmethod(pytest_llmcompare_judge)


def plugin(**functions: Callable[..., Any]) -> object:
    """A plugin with hooks, named without their common beginning."""
    found = {f"pytest_llmcompare_{name}": staticmethod(function) for name, function in functions.items()}
    return type("Plugin", (), found)()


def judged(found: Hooks) -> Judgement:
    return found.judge(CASE, BASELINE, Generation("Red."), OURS)


def fail(text: str) -> Any:
    raise ValueError(text)


def test_nobody_adds_anything() -> None:
    """Without plugins the verdict is ours, there is no table, no model, no metric and nothing goes wrong."""
    found = hooks()
    assert judged(found) is OURS
    assert found.load_table("t.csv", ROOT) is None
    assert found.load_model(SPEC) is None
    assert not found.loads_models
    assert found.metrics("trivia", "m").value == []
    assert found.group_finished(GroupResult(KEY)) == found.run_finished(Summary()) == ""


def test_first_answer_counts() -> None:
    """The plugin that was registered last is asked first, and one that says None leaves it to the next."""
    same, tie = Judgement(Verdict.IDENTICAL), dataclasses.replace(OURS, verdict=Verdict.NEAR_TIE)
    yes, maybe = plugin(judge=lambda case, baseline: same), plugin(judge=lambda judgement: tie)
    nothing = plugin(judge=lambda candidate: None)
    assert judged(hooks(nothing)) is OURS
    assert judged(hooks(yes, maybe, nothing)) is tie
    assert judged(hooks(maybe, yes, nothing)) is same


def test_a_wrapper_sees_our_verdict() -> None:
    """What a wrapper is given is the verdict of the others, ours at last."""

    class Wrapper:
        @pytest.hookimpl(wrapper=True)
        def pytest_llmcompare_judge(self) -> Any:
            found = yield
            return dataclasses.replace(found, reason=f"it was {found.verdict}")

    assert judged(hooks(Wrapper())) == dataclasses.replace(OURS, reason="it was drifted")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("drifted", "returned 'drifted' (str), expected a pytest_llmcompare.Judgement, or None."),
        (True, "returned True (bool), expected a pytest_llmcompare.Judgement, or None."),
        (
            Judgement("drifted"),  # type: ignore[arg-type]
            "returned a Judgement with verdict='drifted' (str), expected Verdict.",
        ),
        (
            Judgement(Verdict.MISSING),
            f"returned the verdict missing, {NONE}",
        ),
        (
            Judgement(Verdict.STALE),
            f"returned the verdict stale, {NONE}",
        ),
        (
            Judgement(Verdict.DRIFTED, position="3"),  # type: ignore[arg-type]
            "returned a Judgement with position='3' (str), expected int | None.",
        ),
        (
            Judgement(Verdict.DRIFTED, margin=True),
            "returned a Judgement with margin=True (bool), expected float | None.",
        ),
        (
            Judgement(Verdict.DRIFTED, reason=None),  # type: ignore[arg-type]
            "returned a Judgement with reason=None, expected str.",
        ),
    ],
)
def test_judgements_that_are_none(given: object, what: str) -> None:
    """The case is an error that says what came from where; it does not pass."""
    found = judged(hooks(plugin(judge=lambda: given)))
    assert found == Judgement(Verdict.ERROR, reason=f"pytest_llmcompare_judge in plugin0 {what}")


def test_whole_numbers_are_numbers() -> None:
    """A margin of 2 is as good as one of 2.0."""
    whole = Judgement(Verdict.DRIFTED, margin=2, tolerance=0, reason="far")
    assert judged(hooks(plugin(judge=lambda: whole))) is whole


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (3, "returned 3 (int), expected an iterable of dicts, a pandas DataFrame, or None."),
        ("a,b", "returned 'a,b' (str), expected an iterable of dicts, a pandas DataFrame, or None."),
        ({"a": 1}, "returned {'a': 1} (dict), expected an iterable of dicts, a pandas DataFrame, or None."),
    ],
)
def test_tables_that_are_none(given: object, what: str) -> None:
    """What has no rows is refused."""
    with pytest.raises(HookError) as caught:
        hooks(plugin(load_table=lambda: given)).load_table("t.x", ROOT)
    assert str(caught.value) == f"pytest_llmcompare_load_table in plugin0 {what}"


def test_tables() -> None:
    """Rows may come one by one; a DataFrame stays one."""
    frame = pd.DataFrame({"prompt": ["Hi"]})
    found = hooks(plugin(load_table=lambda source: ({"prompt": text} for text in source))).load_table("ab", ROOT)
    assert found is not None
    assert found.value == [{"prompt": "a"}, {"prompt": "b"}]
    assert found.source == "pytest_llmcompare_load_table in plugin0"
    found = hooks(plugin(load_table=lambda: frame)).load_table("ab", ROOT)
    assert found is not None
    assert found.value is frame


def nothing_said(key: GroupKey) -> Outputs:
    return Outputs()


class Source:
    """A plugin's source of baselines that gives whatever it was made with."""

    pinned = "version 3"

    def __init__(self, given: object) -> None:
        self.given = given

    def load(self, group: GroupKey, cases: Sequence[Case]) -> object:
        return self.given if not isinstance(self.given, Exception) else fail(str(self.given))


def test_baselines_that_plugins_read() -> None:
    """Texts and outputs answer the case as it is asked; a `Baseline` says itself what it answers."""
    other = Case(CaseKey(KEY, "ice"), Row("ice", "Ice?"), "", {}, seed=0)
    third = Case(CaseKey(KEY, "tea", "hot"), Row("tea", "Tea?"), "", {}, seed=0)
    output, stale = Generation("Cold.", (1, 2)), Baseline(RowKey("another"), Generation("Hot."), "then", "then")
    given = {CASE.key: "Blue.", other.key: output, third.key: stale}
    asked: list[tuple[object, ...]] = []

    def open_baselines(source: str, root: Path, pinned: str) -> Source:
        asked.append((source, root, pinned))
        return Source(given)

    source = hooks(plugin(open_baselines=open_baselines)).open_baselines("golden:x", "version 3", nothing_said)
    assert asked == [("golden:x", ROOT, "version 3")]
    assert (source.title, source.pinned, source.copying) == ("golden:x", "version 3", "")
    assert not isinstance(source, BaselineWriter)
    found = source.load(KEY, [CASE, other, third])
    assert found.baselines == {
        RowKey("sky"): Baseline(RowKey("sky"), Generation("Blue."), CASE.input_hash, CASE.settings_hash),
        RowKey("ice"): Baseline(RowKey("ice"), output, other.input_hash, other.settings_hash),
        RowKey("tea", "hot"): Baseline(RowKey("tea", "hot"), Generation("Hot."), "then", "then"),
    }
    assert found.lacking == "golden:x has no baseline of this case"


def test_sources_that_nobody_knows() -> None:
    """A plugin that says None leaves them to the next, and at last they are unknown."""
    with pytest.raises(SourceError) as caught:
        hooks(plugin(open_baselines=lambda: None)).open_baselines("model:", "", nothing_said)
    assert str(caught.value).startswith("there is no such source of baselines. ")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("text", "returned 'text' (str), expected an object with load, or None."),
        (Source(None), f"gave baselines whose load returned NoneType, expected {EXPECTED}."),
        (Source({CASE.key: 3}), f"gave baselines whose load returned int values, expected {EXPECTED}."),
        (Source({"sky": "Blue."}), "gave a baseline for 'sky', which is not the key of any case."),
        (Source(ValueError("no file")), "raised ValueError: no file"),
    ],
)
def test_baselines_that_are_none(given: object, what: str) -> None:
    """It says which hook of whose gave what."""
    found = hooks(plugin(open_baselines=lambda: given))
    with pytest.raises(HookError) as caught:
        found.open_baselines("golden:x", "", nothing_said).load(KEY, [CASE])
    comma = "," if what.startswith("raised") else ""
    assert str(caught.value) == f"pytest_llmcompare_open_baselines in plugin0{comma} {what}"


def test_metrics_of_all_plugins_are_put_together() -> None:
    """Each plugin adds some; whose one of several is cannot be told."""
    some, none, more = (plugin(metrics=lambda given=given: given) for given in (["exact_match"], None, ("a", "b")))
    found = hooks(some, none, more).metrics("trivia", "m")
    assert found == (["a", "b", "exact_match"], "pytest_llmcompare_metrics in one of plugin2, plugin1, plugin0")
    with pytest.raises(HookError) as caught:
        hooks(plugin(metrics=lambda: "exact_match")).metrics("trivia", "m")
    assert str(caught.value) == (
        "pytest_llmcompare_metrics in plugin0 returned 'exact_match' (str), expected a list of metrics, or None."
    )


def line_of(function: Callable[..., Any]) -> int:
    return function.__code__.co_firstlineno


def test_an_error_names_hook_plugin_and_line() -> None:
    """The one of several plugins that raised is the one that is named, with the line in its own file."""
    first, guilty, last = (
        plugin(judge=lambda: None),
        plugin(judge=lambda: fail("no digits")),
        plugin(judge=lambda: None),
    )
    line = line_of(fail) + 1
    assert judged(hooks(first, guilty, last)) == Judgement(
        Verdict.ERROR, reason=f"pytest_llmcompare_judge in plugin1, line {line}, raised ValueError: no digits"
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (str(ROOT / "sub" / "conftest.py"), "sub/conftest.py"),
        ("/elsewhere/conftest.py", "/elsewhere/conftest.py"),
        ("acme", "acme"),
        ("140312345678", "Plugin"),
    ],
)
def test_plugins_are_named_as_users_know_them(name: str, shown: str) -> None:
    """A conftest by its path from pytest's root, a plugin by its name, or its class where pytest knows no name."""
    found = hooks(plugin(run_finished=lambda: fail("late")), names={0: name})
    line = line_of(fail) + 1
    assert found.run_finished(Summary()) == (
        f"pytest_llmcompare_run_finished in {shown}, line {line}, raised ValueError: late"
    )


def test_the_line_is_that_of_the_function_behind_a_decorator() -> None:
    """`functools.cache` has no code of its own; the function that it calls has."""

    @functools.cache
    def load_model(spec: ModelSpec) -> Any:
        return fail(spec.source)

    with pytest.raises(HookError) as caught:
        hooks(plugin(load_model=load_model)).load_model(SPEC)
    line = line_of(fail) + 1
    assert str(caught.value) == f"pytest_llmcompare_load_model in plugin0, line {line}, raised ValueError: mine:x"


def test_rows_that_fail_while_they_are_read_name_the_plugin() -> None:
    """What a hook returned may raise later, when the hook itself has long returned: then there is no line."""
    found = hooks(plugin(load_table=lambda source: ({"prompt": fail(text)} for text in source)))
    with pytest.raises(HookError) as caught:
        found.load_table("ab", ROOT)
    assert str(caught.value) == "pytest_llmcompare_load_table in plugin0, raised ValueError: a"


def test_our_errors_are_told_without_their_class_and_others_without_secrets() -> None:
    """A plugin that raises one of ours has words of its own; a key in an address is not shown."""
    own = hooks(plugin(load_model=lambda spec: raises(ModelError("two lines\nof advice"))))
    with pytest.raises(HookError, match=r"raised two lines\nof advice$"):
        own.load_model(SPEC)
    leaky = hooks(plugin(load_model=lambda spec: fail("GET https://me:secret@host/x?key=1 failed")))
    with pytest.raises(HookError, match=r"raised ValueError: GET https://host/x failed$"):
        leaky.load_model(SPEC)


def raises(error: Exception) -> Any:
    raise error
