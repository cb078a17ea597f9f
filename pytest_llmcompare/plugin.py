"""The hooks of pytest that the plugin implements. Imported in every pytest run, so it imports little."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from . import fixtures, hookspecs
from .options import OWN_OPTIONS, add_options, given_arguments, read_settings, usage_errors
from .run.controller import CONTROLLER, Controller, only_lists, worker_output
from .run.header import header_lines
from .run.interruption import release_sigterm, watch_sigterm
from .run.items import MARKER_HELP
from .run.marker_faults import INTERNAL, MARKERS, MarkerFaults, added_late
from .run.stash import ENDED, OBSERVATION, SESSION, SETTINGS, SOURCE, is_worker, source_of
from .run.timeouts import TIMER

if TYPE_CHECKING:
    from pathlib import Path

    from .baselines.sources.protocol import BaselineReader, OutputsOf
    from .judgement import Judgement

MLFLOW_FOLDERS = ("mlruns", "mlartifacts")
"""Where MLflow keeps files beside its database; pytest still looks into one that is named on the command line."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the command line, and refuse values for flags before argparse does so in words of its own."""
    add_options(parser)
    if ours := [argument for argument in given_arguments(pluginmanager) if argument.startswith(OWN_OPTIONS)]:
        from .run.misspelt_options import check_flags

        with usage_errors():
            check_flags(ours)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare our own hooks, and register the fixtures."""
    pluginmanager.add_hookspecs(hookspecs)
    pluginmanager.register(fixtures, fixtures.__name__)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> Generator[None]:
    """Suggest the nearest name for a misspelt option, after `conftest.py` files have declared theirs."""
    result = yield
    if any(argument.startswith(OWN_OPTIONS) for argument in args):
        from .run.misspelt_options import check_options

        with usage_errors():
            check_options(parser, args)
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Read the settings, so that a wrong one ends the run before it starts."""
    config.addinivalue_line("markers", MARKER_HELP)
    with usage_errors():
        settings = config.stash[SETTINGS] = read_settings(config)
        if settings.needs_source:
            source_of(config)
    if not is_worker(config):
        config.pluginmanager.register(Controller(config), CONTROLLER)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show the settings that are not at their default, and where each was given."""
    return header_lines(config.stash[SETTINGS], getattr(config.stash.get(SOURCE, None), "title", ""))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests by the rows of their tables and by models."""
    if not INTERNAL.isdisjoint(metafunc.fixturenames):  # each fixture for users depends on one of these
        from .run.parametrize import expand

        expand(metafunc)


@pytest.hookimpl(wrapper=True, trylast=True)  # inside wrappers that leave out tests, such as that of --lf
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail collection of tests that use the marker or our fixtures in a way that compares nothing."""
    report = yield
    collector.config.stash.setdefault(MARKERS, MarkerFaults()).look(collector, report)
    return report


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Look for no tests among the files that MLflow keeps: each run has a dozen folders, and a suite has many runs."""
    return True if collection_path.name in MLFLOW_FOLDERS and collection_path.is_dir() else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Forget an earlier collection of this process."""
    session.config.stash[MARKERS] = MarkerFaults()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Report markers that no test uses, and put the tests of one model next to each other."""
    faults = config.stash.setdefault(MARKERS, MarkerFaults())
    faults.refuse_unused(session)
    faults.refuse_late(session, items)
    if ours := config.stash.get(SESSION, None):
        from .run.parametrize import arrange

        arrange(items, ours, config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Record which tests are selected, after `-k`, `--lf` and the like."""
    if ours := session.config.stash.get(SESSION, None):
        from .run.parametrize import select

        with usage_errors():
            select(session, ours)
        if ours.groups:
            watch_sigterm(session.config)


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Record the timeout that pytest-timeout gives a test; pytest-timeout itself sets the timer."""
    item.stash.setdefault(TIMER, settings)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Record when the body of a test has ended: subtests report before that."""
    item.stash[ENDED] = False
    try:
        result = yield
        if (observation := item.stash.get(OBSERVATION, None)) is not None:
            from .run.reporting import fail_broken

            fail_broken(observation)
        return result
    finally:
        item.stash[ENDED] = True


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside pytest's wrapper for xfail
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Explain a failed comparison in the report, and attach the results of the test."""
    session = item.config.stash.get(SESSION, None)
    if session:
        from .run import reporting

        reporting.explain(item, call)
    report = yield
    if call.when == "call" and report.passed and (text := added_late(item)):
        report.outcome, report.longrepr = "failed", text
    if session:
        reporting.attach(item, call, report)
    return report


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """Explain how `llm_output` differs from a text that a test compared it with."""
    if SESSION not in config.stash:
        return None
    from .reports.mismatch import mismatch_lines

    return mismatch_lines(op, left, right)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(config: pytest.Config) -> Generator[None, Any, Any]:
    """Make what we attach to reports serializable for xdist."""
    data = yield
    if data is None or SESSION not in config.stash:
        return data
    from .run.reporting import serializable

    return serializable(data)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send a worker's results to the controller."""
    config = session.config
    if is_worker(config) and SESSION in config.stash and not only_lists(config):
        config.workeroutput.update(worker_output(config.stash[SESSION]))  # type: ignore[attr-defined]  # xdist's


@pytest.hookimpl(trylast=True)
def pytest_llmcompare_open_baselines(source: str, root: Path, pinned: str, outputs: OutputsOf) -> BaselineReader | None:
    """Open the sources that come with the plugin; other plugins are asked first."""
    from .baselines.sources.registry import open_known_source

    return open_known_source(source, root, pinned, outputs)


@pytest.hookimpl(trylast=True)
def pytest_llmcompare_judge(judgement: Judgement) -> Judgement:
    """Keep the verdict, if no other plugin replaces it."""
    return judgement


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the summary: models side by side, a line per model, what to do next."""
    if controller := config.pluginmanager.getplugin(CONTROLLER):
        controller.show(terminalreporter)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Free the models, and restore SIGTERM."""
    if session := config.stash.get(SESSION, None):
        session.close()
    release_sigterm(config)
