"""Private names of pytest, MLflow and transformers: each does what we need, in the version that is installed."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mlflow
import pytest
import torch
import transformers
from mlflow.entities.trace_location import MlflowExperimentLocation

from pytest_llmcompare.compat import (
    active_span,
    assertion_rewriting_off,
    beam_search_loop,
    fixture_arguments,
    fixture_definitions,
    no_active_experiment,
    requirements_unchecked,
    sampling_loop,
    takes_positions_to_keep,
    use_tracking_uri,
    users_of_memory,
)

CONFTEST = """
import pytest
from pytest_llmcompare.compat import add_junit_case, terminal_width, paint_red

NAME = "threshold[a::b/c.py: x[1] \\x00\\ud800 <&>]"

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    add_junit_case(session.config, "llmcompare::holds[x]", "tests", "", [("llmcompare.value", "1")])
    add_junit_case(session.config, f"llmcompare::{NAME}", "tests", "too low\\n\\x07<&>\\ud800")
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    paint_red(reporter)
    print(f"columns: {terminal_width(reporter)}")
"""
TWO_TESTS = "def test_passes(): pass\ndef test_fails(): assert False"


@pytest.mark.parametrize("family", ["xunit1", "xunit2", "legacy"])
def test_cases_in_a_junit_file(pytester: pytest.Pytester, family: str) -> None:
    """They stand beside the tests, are counted, and hold any name and message; pytest's own outcome is as before."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TWO_TESTS)
    result = pytester.runpytest_inprocess("--junitxml=j.xml", "-o", f"junit_family={family}")
    result.assert_outcomes(passed=1, failed=1)
    (whole,) = ElementTree.parse(pytester.path / "j.xml").getroot().iter("testsuite")
    assert {name: whole.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "4",
        "failures": "2",
        "errors": "0",
    }
    ours = {str(case.get("name")): case for case in whole.iter("testcase") if case.get("classname") == "llmcompare"}
    assert list(ours) == ["holds[x]", "threshold[a::b/c.py: x[1] #x00#xD800 <&>]"]
    holds, fails = ours.values()
    assert [(p.get("name"), p.get("value")) for p in holds.iter("property")] == [("llmcompare.value", "1")]
    assert holds.find("failure") is None
    assert [failure.text for failure in fails.iter("failure")] == ["too low\n#x07<&>#xD800"]


def test_without_a_junit_file(pytester: pytest.Pytester) -> None:
    """Nothing happens: none is asked for, or the plugin that writes it is off."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_passes(): pass")
    for options in ([], ["-p", "no:junitxml"]):
        assert pytester.runpytest_inprocess(*options).ret == 0


def test_last_line_is_red(pytester: pytest.Pytester) -> None:
    """Although all tests passed, and with the words that pytest has for them."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_passes(): pass")
    result = pytester.runpytest_inprocess("--color=yes")
    (last,) = [line for line in result.outlines if "passed" in line and " in " in line]
    assert last.startswith("\x1b[31m=")
    assert result.ret == 0


def test_a_failure_is_hidden_and_counted(pytester: pytest.Pytester) -> None:
    """It is not in pytest's list of failures, but in the short summary and in all counts."""
    pytester.makeconftest("""
        from pytest_llmcompare.compat import hide_failure

        def pytest_runtest_logreport(report):
            if report.failed and report.nodeid.endswith("test_hidden"):
                hide_failure(report)
    """)
    pytester.makepyfile("def test_hidden(): assert 1 == 2\ndef test_seen(): assert 3 == 4")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    assert "_ test_seen _" in text
    assert "_ test_hidden _" not in text
    assert "FAILED test_a_failure_is_hidden_and_counted.py::test_hidden" in text


def test_columns_of_the_terminal(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The width that pytest draws to."""
    monkeypatch.setenv("COLUMNS", "67")
    pytester.makeconftest(CONFTEST)
    result = pytester.runpytest_inprocess("-s")
    assert "columns: 67" in result.stdout.str()


def test_fixtures_of_a_test(pytester: pytest.Pytester) -> None:
    """Those that it names itself, and the definitions of all that it uses; of several the last is in force."""
    item = pytester.getitem(
        "import pytest\n"
        "@pytest.fixture\ndef tmp_path(tmp_path): return 1\n"
        "@pytest.fixture\ndef inner(): return 2\n"
        "@pytest.fixture\ndef outer(inner): return 3\n"
        "@pytest.mark.usefixtures('tmp_path')\ndef test_func(outer): pass\n"
    )
    assert fixture_arguments(item) == ("outer",)
    definitions = fixture_definitions(item)
    assert {"inner", "outer", "tmp_path"} <= definitions.keys()
    assert [fixture.func.__module__ for fixture in definitions["tmp_path"]][-1] == item.module.__name__  # type: ignore[attr-defined]
    assert definitions["outer"][-1].argnames == ("inner",)


def test_another_store_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Afterwards no store is set, as before: MLflow takes the one of the working folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    with use_tracking_uri(f"sqlite:///{tmp_path / 'other.db'}"):
        assert mlflow.get_tracking_uri() == f"sqlite:///{tmp_path / 'other.db'}"
    assert mlflow.get_tracking_uri() == before


def test_no_active_experiment(tmp_path: Path) -> None:
    """A run of another experiment can be opened again, which MLflow refuses while one is set."""
    with use_tracking_uri(f"sqlite:///{tmp_path / 'store.db'}"), no_active_experiment():
        other = mlflow.MlflowClient().create_run(mlflow.MlflowClient().create_experiment("other"))
        mlflow.set_experiment("mine")
        with pytest.raises(mlflow.MlflowException, match="active experiment ID"):
            mlflow.start_run(run_id=other.info.run_id)
        with no_active_experiment(), mlflow.start_run(run_id=other.info.run_id) as run:
            assert run.info.experiment_id == other.info.experiment_id
        with pytest.raises(mlflow.MlflowException, match="active experiment ID"):  # that is in force again
            mlflow.start_run(run_id=other.info.run_id)


def mask(span: object) -> None:
    """A span processor of the user."""


def test_tracing_is_as_before(tmp_path: Path) -> None:
    """Inside, nothing that the user set about tracing decides where traces go; afterwards all of it holds again."""
    user: Any = importlib.import_module("mlflow.tracing.provider")
    mlflow.tracing.set_destination(MlflowExperimentLocation("7"))
    mlflow.tracing.configure(span_processors=[mask])
    mlflow.tracing.disable()
    try:
        with use_tracking_uri(f"sqlite:///{tmp_path / 'other.db'}"):
            assert user._MLFLOW_TRACE_USER_DESTINATION.get() is None
            assert user.is_tracing_enabled()
        assert user._MLFLOW_TRACE_USER_DESTINATION.get().experiment_id == "7"
        assert not user.is_tracing_enabled()
        assert mlflow.tracing.config.get_config().span_processors == [mask]
    finally:
        mlflow.tracing.reset()


def test_loops_of_generate() -> None:
    """The inner loops of `generate` take what `generate` has prepared."""
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=16))
    for loop in (sampling_loop(model), beam_search_loop(model)):
        wanted = {"input_ids", "logits_processor", "stopping_criteria", "generation_config"}
        assert wanted <= inspect.signature(loop).parameters.keys()


def test_positions_whose_logits_are_kept() -> None:
    """A mask gives the logits of its positions, row after row; earlier versions of transformers take none."""
    config = transformers.GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=16)
    model: Any = transformers.GPT2LMHeadModel(config)
    model.eval()
    assert takes_positions_to_keep(model) is hasattr(transformers.modeling_utils, "slice_logits_to_keep")
    assert not takes_positions_to_keep(transformers.GPT2DoubleHeadsModel(config))
    if not takes_positions_to_keep(model):
        return
    ids = torch.arange(6).reshape(2, 3)
    mask = torch.tensor([[False, True, True], [True, False, False]])
    with torch.no_grad():
        whole, kept = model(ids).logits, model(ids, logits_to_keep=mask).logits
    torch.testing.assert_close(kept, torch.stack([whole[0, 1], whole[0, 2], whole[1, 0]]))


def test_assertion_rewriting_is_off_and_on_again() -> None:
    """pytest's hook is not among Python's finders inside the block, and where it was after it."""
    before = list(sys.meta_path)
    assert any(type(finder).__name__ == "AssertionRewritingHook" for finder in before)
    with assertion_rewriting_off():
        assert not any(type(finder).__name__ == "AssertionRewritingHook" for finder in sys.meta_path)
    assert sys.meta_path == before


def test_requirements_are_unchecked_and_checked_again() -> None:
    """MLflow has the check where we replace it."""
    environment: Any = importlib.import_module("mlflow.utils.environment")
    check = environment.warn_dependency_requirement_mismatches
    with requirements_unchecked():
        assert environment.warn_dependency_requirement_mismatches is not check
    assert environment.warn_dependency_requirement_mismatches is check


def test_an_active_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is active inside the block alone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    span = mlflow.start_span_no_context("answer")
    with active_span(span):
        assert mlflow.get_current_active_span() == span
    assert mlflow.get_current_active_span() is None
    span.end()


def test_users_of_memory() -> None:
    """A tensor, and each that is alive and has the same memory."""
    tensor = torch.zeros(4)
    assert users_of_memory(tensor) == 1
    view = tensor[1:].view(3, 1)
    assert users_of_memory(tensor) == 2
    del view
    assert users_of_memory(tensor) == 1
