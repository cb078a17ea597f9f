"""pytest's hooks; each forwards. It is imported in every pytest run, so it imports little."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from . import hookspecs
from .errors import UsageError
from .fixtures import (
    RUN,
    llm_baseline,
    llm_case,
    llm_comparison,
    llm_evaluation,
    llm_group,
    llm_model,
    llm_output,
    llm_parameter,
    llm_table,
    run_of,
    source_of,
)
from .options import add_options, read_settings
from .run.header import header_lines
from .run.marker_faults import ALL, MARKERS, PARAMETER, TABLE_PARAMETER, MarkerFaults, added_late
from .run.stash import ATTEMPT, ENDED, GROUPS, OBSERVATION, PINNED, REPORT, SETTINGS, SOURCE, TIMER
from .settings import FILES

if TYPE_CHECKING:
    from pathlib import Path

    from .baselines.sources.protocol import BaselineReader, OutputsOf
    from .judgement import Judgement
    from .run.interruption import Termination

__all__ = [
    "llm_baseline",
    "llm_case",
    "llm_comparison",
    "llm_evaluation",
    "llm_group",
    "llm_model",
    "llm_output",
    "llm_parameter",
    "llm_table",
]

OURS = ALL
"""The fixtures that tests ask for; each leads to one of those below."""

PARAMETERS = frozenset({PARAMETER, TABLE_PARAMETER})

LISTINGS = ("collectonly", "showfixtures", "show_fixtures_per_test", "cacheshow")
"""Options (as pytest keeps them) with which it lists something and runs no test."""

MARKER = (
    "llm_prompts(table, *, name, input, target, examples, gen_config, variants, models, seed, samples, tolerance, "
    "similarity, metrics, thresholds, model_type, experiment): run the test for each row of a prompt table and each "
    "model (pytest-llmcompare)"
)

TERMINATION: pytest.StashKey[Termination] = pytest.StashKey()
"""On the config: what SIGTERM does in this run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the command line."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare our own hooks."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Settle the settings, so that a wrong one ends the run before it starts."""
    config.addinivalue_line("markers", MARKER)
    try:
        settings = config.stash[SETTINGS] = read_settings(config)
        if settings.needs_source:
            source_of(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller(config), "llmcompare-controller")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which settings are not at their default, and where they came from."""
    return header_lines(config.stash[SETTINGS], getattr(config.stash.get(SOURCE, None), "title", ""))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Expand marker and models into tests."""
    if PARAMETERS.isdisjoint(metafunc.fixturenames):
        return
    try:
        run = run_of(metafunc.config)
    except UsageError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    from .models.warning_filters import library_warnings_ignored

    with library_warnings_ignored():  # pandas and pyarrow, where a table needs them
        run.collection.expand(metafunc)


@pytest.hookimpl(wrapper=True, trylast=True)  # inside the wrappers that leave tests out, such as that of --lf
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse tests that use the marker or our fixtures in a way that compares nothing."""
    report = yield
    collector.config.stash.setdefault(MARKERS, MarkerFaults()).look(collector, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Forget what an earlier collection of this process saw."""
    session.config.stash[MARKERS] = MarkerFaults()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse markers that no test uses, and put the tests of one model together."""
    faults = config.stash.setdefault(MARKERS, MarkerFaults())
    faults.refuse_unused(session)
    faults.refuse_late(session, items)
    if run := config.stash.get(RUN, None):
        run.arrange(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what is left after `-k`, `--lf` and the like."""
    if run := session.config.stash.get(RUN, None):
        run.select(session)
        if run.session.groups:
            watch_sigterm(session.config)


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Note how long pytest-timeout lets a test run, and leave the timer to it."""
    item.stash.setdefault(TIMER, settings)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Note when the body of a test has ended: subtests report before that."""
    item.stash[ENDED] = False
    try:
        return (yield)
    finally:
        item.stash[ENDED] = True
        if (observation := item.stash.get(OBSERVATION, None)) is not None:
            observation.ended = True


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside the wrapper that turns failures into expected ones
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report say and carry what the test found."""
    run = item.config.stash.get(RUN, None)
    if run:
        run.reporting.explain(item, call)
    report = yield
    if call.when == "call" and report.passed and (text := added_late(item)):
        report.outcome, report.longrepr = "failed", text
    if run:
        run.reporting.attach(item, call, report)
    return report


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """Say what sets `llm_output` apart from the text that a test compared it with."""
    if RUN not in config.stash:
        return None
    from .reports.mismatch import mismatch_lines

    return mismatch_lines(op, left, right)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(config: pytest.Config) -> Generator[None, Any, Any]:
    """Let reports that quote a model travel from xdist's workers: a lone surrogate would end the worker."""
    data = yield
    if data is None or RUN not in config.stash:
        return data
    from .run.xdist import sendable

    return sendable(data)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Hand over to the controller, or write the baselines, and say last of all why the run failed.

    Only collecting changes nothing, whatever else is asked.
    """
    config = session.config
    asked_for = config.stash[SETTINGS].models_are_asked_for or config.stash[SETTINGS].reports
    lists = any(getattr(config.option, name, None) for name in LISTINGS)
    if not lists and (RUN in config.stash or asked_for):
        from .models.warning_filters import library_warnings_ignored

        with library_warnings_ignored():
            run_of(config).end(session)
    try:
        return (yield)
    finally:
        run = config.stash.get(RUN, None)
        if run and run.display:
            run.display.show_faults()


@pytest.hookimpl(trylast=True)
def pytest_llmcompare_open_baselines(source: str, root: Path, pinned: str, outputs: OutputsOf) -> BaselineReader | None:
    """The sources that come with the plugin, where no other plugin knows better."""
    from .baselines.sources.registry import open_source

    return open_source(source, root, pinned, outputs)


@pytest.hookimpl(trylast=True)
def pytest_llmcompare_judge(judgement: Judgement) -> Judgement:
    """Our own verdict, where no plugin has another."""
    return judgement


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Models side by side, a line per model, and how to go on."""
    if run := config.stash.get(RUN, None):
        run.show(terminalreporter)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Free the model, and give SIGTERM back."""
    if termination := config.stash.get(TERMINATION, None):
        termination.release()
    if run := config.stash.get(RUN, None):
        run.session.close()


def watch_sigterm(config: pytest.Config) -> None:
    """Have SIGTERM end this run as Ctrl-C does."""
    from .run.interruption import Termination

    config.stash[TERMINATION] = Termination()
    config.stash[TERMINATION].watch()


class Controller:
    """Takes in what tests report: from the tests of this process, or from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.started = time.time() - 1  # file systems have coarser clocks

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Say at the very end what an interrupted run has kept, whatever the verbosity."""
        yield
        ended = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter and session.exitstatus in ended:
            from .run.interruption import kept_line

            if line := kept_line(self.config.rootpath, self.started):
                reporter.write_line(line, yellow=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what a report carries: how the test went, and the result of its case."""
        if text := getattr(report, ATTEMPT, ""):
            run_of(self.config).note_attempt(text, report.location)
        if text := getattr(report, REPORT, ""):
            failed_at_end = report.when == "teardown" and report.failed
            run_of(self.config).record(text, report.location, at_end=failed_at_end)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Have a worker compare with the very baselines that this process has opened."""
        if self.config.stash[SETTINGS].models:
            watch_sigterm(self.config)
        pinned = ""
        if self.config.stash[SETTINGS].baseline != FILES:
            with contextlib.suppress(UsageError):  # a worker that needs them says so
                pinned = source_of(self.config).pinned
        node.workerinput[PINNED] = pinned

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in what a worker hands over at its end; one that crashed hands over nothing."""
        output = getattr(node, "workeroutput", {})
        if GROUPS in output:
            run_of(self.config).take_over(output)
