"""pytest's hooks; each forwards. It is imported in every pytest run, so it imports little."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from . import hookspecs
from .errors import UsageError
from .fixtures import (
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
from .options import add_options, header_lines, read_settings
from .settings import FILES
from .stash import GROUPS, PINNED, REPORT, RUN, SETTINGS, SOURCE

if TYPE_CHECKING:
    from pathlib import Path

    from .judgements import Judgement
    from .sources.reader import BaselineReader, OutputsOf

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

OURS = frozenset({"llm_baseline", "llm_case", "llm_comparison", "llm_evaluation", "llm_model", "llm_output"})
MARKER = (
    "llm_prompts(table, *, name, input, target, examples, gen_config, variants, models, seed, samples, tolerance, "
    "similarity, metrics, thresholds, model_type, experiment): run the test for each row of a prompt table and each "
    "model (pytest-llmcompare)"
)


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
    if OURS.isdisjoint(metafunc.fixturenames):
        return
    try:
        run = run_of(metafunc.config)
    except UsageError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    run.collection.expand(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests of one model together."""
    if run := config.stash.get(RUN, None):
        run.arrange(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what is left after `-k`, `--lf` and the like."""
    if run := session.config.stash.get(RUN, None):
        run.select(session)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report say and carry what the test found."""
    run = item.config.stash.get(RUN, None)
    if run:
        run.explain(item, call)
    report = yield
    if run:
        run.attach(item, call, report)
    return report


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """Say what sets `llm_output` apart from the text that a test compared it with."""
    if RUN not in config.stash:
        return None
    from .reports.mismatch import mismatch_lines

    return mismatch_lines(op, left, right)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over to the controller, or write the baselines. Only collecting changes nothing, whatever else is asked."""
    config = session.config
    asked_for = config.stash[SETTINGS].models_are_asked_for or config.stash[SETTINGS].reports
    if not config.option.collectonly and (RUN in config.stash or asked_for):
        run_of(config).end(session)


@pytest.hookimpl(trylast=True)
def pytest_llmcompare_open_baselines(source: str, root: Path, pinned: str, outputs: OutputsOf) -> BaselineReader | None:
    """The sources that come with the plugin, where no other plugin knows better."""
    from .sources.opening import open_source

    return open_source(source, root, pinned, outputs)


@pytest.hookimpl(trylast=True)
def pytest_llmcompare_judge(judgement: Judgement) -> Judgement:
    """Our own verdict, where no plugin has another."""
    return judgement


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Models side by side, a line per model, and how to go on."""
    if run := config.stash.get(RUN, None):
        run.show(terminalreporter)
        run.annotate(terminalreporter)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Free the model."""
    if run := config.stash.get(RUN, None):
        run.session.close()


class Controller:
    """Takes in what tests report: from the tests of this process, or from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in the result that a report carries."""
        if text := getattr(report, REPORT, ""):
            run_of(self.config).record(text, report.location, at_end=report.when == "teardown")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Have a worker compare with the very baselines that this process has opened."""
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
