"""Calls our own hooks, and says whose a hook is that does wrong."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, get_type_hints

from pytest_llmcompare.baselines.sources.plugin_source import GivenBaselines
from pytest_llmcompare.baselines.sources.registry import FORMS
from pytest_llmcompare.errors import HookError, LlmCompareError, SourceError, did_you_mean
from pytest_llmcompare.evaluation.foreign_pyfunc import described
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import COMPARED, Judgement, Verdict
from pytest_llmcompare.models.faults import reason
from pytest_llmcompare.models.warning_filters import users_filter
from pytest_llmcompare.records import Baseline, Case, GroupResult
from pytest_llmcompare.suite.extensions import Given
from pytest_llmcompare.suite.raw_rows import is_frame
from pytest_llmcompare.text import source_without_secrets

if TYPE_CHECKING:
    from pluggy import HookImpl, HookRelay

    from pytest_llmcompare.baselines.sources.protocol import BaselineReader, OutputsOf
    from pytest_llmcompare.comparison.summary import Summary
    from pytest_llmcompare.models.spec import ModelSpec

OURS = "pytest_llmcompare."
"""How the names of our own modules begin."""

TABLE, MODEL, JUDGE = "pytest_llmcompare_load_table", "pytest_llmcompare_load_model", "pytest_llmcompare_judge"
METRICS, BASELINES = "pytest_llmcompare_metrics", "pytest_llmcompare_open_baselines"
GROUP_FINISHED, RUN_FINISHED = "pytest_llmcompare_group_finished", "pytest_llmcompare_run_finished"

ROWS = "an iterable of dicts, a pandas DataFrame, or None"
VERDICTS = (*COMPARED, Verdict.ERROR)


class Hooks:
    """The hooks of plugins and `conftest.py` files, as far as they concern one folder.

    Args:
        relay: Gives pytest's hooks of the folder; asked each time, because a `conftest.py` may be loaded later.
        everywhere: pytest's hooks of the whole run.
        root: pytest's root folder, for messages.
    """

    def __init__(self, relay: Callable[[], HookRelay], everywhere: HookRelay, root: Path) -> None:
        self.relay = relay
        self.everywhere = everywhere
        self.root = root

    @property
    def loads_models(self) -> bool:
        """Whether there is anybody to ask for models of another kind."""
        return loads_models(self.everywhere)

    def load_table(self, source: Any, base: Path) -> Given | None:
        """The rows of a table, as a list or a pandas DataFrame; None where nobody knows the source."""
        found = self.call(self.relay(), TABLE, source=source, base=base)
        if found is None or is_frame(found):
            return None if found is None else Given(found, self.owner(self.relay(), TABLE))
        if isinstance(found, (str, bytes, Mapping)) or not isinstance(found, Iterable):
            raise self.wrong(self.relay(), TABLE, f"returned {described(found)}, expected {ROWS}.")
        return Given(self.guarded(self.relay(), TABLE, lambda: list(found)), self.owner(self.relay(), TABLE))

    def load_model(self, spec: ModelSpec) -> Given | None:
        """A model of another kind; None where nobody knows the kind."""
        found = self.call(self.everywhere, MODEL, spec=spec)
        return None if found is None else Given(found, self.owner(self.everywhere, MODEL))

    def open_baselines(self, source: str, pinned: str, outputs: OutputsOf) -> BaselineReader:
        """A source of baselines, ours or a plugin's.

        Raises:
            SourceError: Nobody knows it, or it cannot be opened.
        """
        relay = self.everywhere
        found = self.call(relay, BASELINES, source=source, root=self.root, pinned=pinned, outputs=outputs)
        if found is None:
            raise SourceError(f"there is no such source of baselines.{did_you_mean(source, FORMS)}")
        if type(found).__module__.startswith(OURS):
            ours: BaselineReader = found
            return ours
        if not callable(getattr(found, "load", None)):
            raise self.wrong(relay, BASELINES, f"returned {described(found)}, expected an object with load, or None.")
        return GivenBaselines(
            *(source_without_secrets(source), found),
            guarded=partial(self.guarded, relay, BASELINES),
            wrong=partial(self.wrong, relay, BASELINES),
        )

    def judge(self, case: Case, baseline: Baseline, candidate: Generation, judgement: Judgement) -> Judgement:
        """The verdict on an output, by default ours; `error` with the reason where a plugin does wrong."""
        relay = self.relay()
        try:
            found = self.call(relay, JUDGE, case=case, baseline=baseline, candidate=candidate, judgement=judgement)
            if found is not judgement and (fault := judgement_fault(found)):
                raise self.wrong(relay, JUDGE, fault)
        except HookError as error:
            return Judgement(Verdict.ERROR, reason=str(error))
        given: Judgement = found
        return given

    def metrics(self, table: str, model: str) -> Given:
        """A list of further MLflow metrics of a table."""
        relay = self.relay()
        found = self.call(relay, METRICS, table=table, model=model)
        for part in found:
            if not isinstance(part, (list, tuple)):
                raise self.wrong(relay, METRICS, f"returned {described(part)}, expected a list of metrics, or None.")
        return Given([metric for part in found for metric in part], self.owner(relay, METRICS))

    def group_finished(self, result: GroupResult) -> str:
        """Tell that a group is evaluated; what went wrong in that."""
        return self.tell(self.relay(), GROUP_FINISHED, result=result)

    def run_finished(self, summary: Summary) -> str:
        """Tell that the run is over; what went wrong in that."""
        return self.tell(self.everywhere, RUN_FINISHED, summary=summary)

    def tell(self, relay: HookRelay, name: str, **payload: Any) -> str:
        """Call a hook that gives nothing back; what went wrong in that."""
        try:
            self.call(relay, name, **payload)
        except HookError as error:
            return str(error)
        return ""

    def call(self, relay: HookRelay, name: str, **arguments: Any) -> Any:
        """Call a hook.

        Raises:
            HookError: A plugin raised.
        """
        return self.guarded(relay, name, lambda: getattr(relay, name)(**arguments))

    def guarded(self, relay: HookRelay, name: str, work: Callable[[], Any]) -> Any:
        """Do something that runs a plugin's code.

        Raises:
            HookError: It raised.
        """
        try:
            with users_filter():
                return work()
        except SourceError:  # our own say all there is to say
            raise
        except Exception as error:  # it is somebody else's code
            what = str(error) if isinstance(error, LlmCompareError) else reason(error)
            raise HookError(f"{name} in {self.guilty(relay, name, error)}, raised {what}") from error

    def wrong(self, relay: HookRelay, name: str, what: str) -> HookError:
        """The error for a hook that gives what it must not."""
        return HookError(f"{self.owner(relay, name)} {what}")

    def guilty(self, relay: HookRelay, name: str, error: Exception) -> str:
        """Which plugin raised an error, and in which line."""
        codes = {code: impl for impl in implementations(relay, name) for code in codes_of(impl)}
        frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        own = next((code for code, _ in reversed(frames) if code in codes), None)
        if own is None:  # what it returned raises later
            return self.owner(relay, name).removeprefix(f"{name} in ")
        lines = [line for code, line in frames if code.co_filename == own.co_filename]
        return f"{self.place(codes[own])}, line {lines[-1]}"

    def owner(self, relay: HookRelay, name: str) -> str:
        """A hook and whose it is. pluggy does not tell which of several gave a result."""
        places = [self.place(impl) for impl in reversed(implementations(relay, name))]
        return f"{name} in {places[0] if len(places) == 1 else 'one of ' + ', '.join(places)}"

    def place(self, impl: HookImpl) -> str:
        """Where a plugin is found: the path of a `conftest.py`, else its name, or its class where it has none."""
        path = Path(impl.plugin_name)
        if path.is_absolute():
            return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()
        return type(impl.plugin).__qualname__ if impl.plugin_name.isdecimal() else impl.plugin_name


def loads_models(relay: HookRelay) -> bool:
    """Whether there is anybody to ask for models of another kind."""
    return bool(implementations(relay, MODEL))


def implementations(relay: HookRelay, name: str) -> Sequence[HookImpl]:
    """What plugins have for a hook, ours left out."""
    found: Sequence[HookImpl] = getattr(relay, name).get_hookimpls()
    return [impl for impl in found if not impl.function.__module__.startswith(OURS)]


def codes_of(impl: HookImpl) -> list[CodeType]:
    """The code that runs for a hook: of its function, and of the one behind a decorator."""
    functions = (impl.function, inspect.unwrap(impl.function))
    return [function.__code__ for function in functions if hasattr(function, "__code__")]


def judgement_fault(found: object) -> str:
    """What is wrong with a judgement of a plugin's; empty where nothing is."""
    if type(found) is not Judgement:
        return f"returned {described(found)}, expected a pytest_llmcompare.Judgement, or None."
    for name, kind in kinds().items():
        value = getattr(found, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not isinstance(value, kind) and not (whole and isinstance(0.0, kind)):
            return f"returned a Judgement with {name}={described(value)}, expected {shown_kind(kind)}."
    if found.verdict not in VERDICTS:
        known = ", ".join(map(str, VERDICTS))
        return f"returned the verdict {found.verdict}, which is none on an output. Expected one of {known}."
    return ""


@cache
def kinds() -> Mapping[str, Any]:
    """What the parts of a judgement are."""
    return get_type_hints(Judgement)


def shown_kind(kind: Any) -> str:
    """A type as it is written."""
    return kind.__name__ if isinstance(kind, type) else str(kind)
