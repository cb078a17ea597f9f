"""Call the plugin's own hooks, check what they return, and name the hook and its plugin in every error."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from pytest_llmcompare.baselines.sources.plugin_source import GivenBaselines
from pytest_llmcompare.baselines.sources.registry import FORMS
from pytest_llmcompare.errors import HookError, LlmCompareError, SourceError, did_you_mean
from pytest_llmcompare.evaluation.pyfunc_output import described
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import COMPARED, Finding, Judgement, ModelVerdict, Verdict
from pytest_llmcompare.models.warning_filters import users_filter
from pytest_llmcompare.records import Baseline, Case, GroupKey, GroupResult
from pytest_llmcompare.suite.extensions import Given
from pytest_llmcompare.suite.raw_rows import is_frame
from pytest_llmcompare.text import error_line, source_without_secrets

if TYPE_CHECKING:
    import pytest
    from pluggy import HookImpl, HookRelay

    from pytest_llmcompare.baselines.sources.protocol import BaselineReader, OutputsOf
    from pytest_llmcompare.comparison.summary import Summary
    from pytest_llmcompare.models.spec import ModelSpec

OURS = "pytest_llmcompare."
"""Prefix of the names of our own modules."""

TABLE, MODEL, JUDGE = "pytest_llmcompare_load_table", "pytest_llmcompare_load_model", "pytest_llmcompare_judge"
JUDGE_MODEL = "pytest_llmcompare_judge_model"
METRICS, BASELINES = "pytest_llmcompare_metrics", "pytest_llmcompare_open_baselines"
GROUP_FINISHED, RUN_FINISHED = "pytest_llmcompare_group_finished", "pytest_llmcompare_run_finished"

ROWS = "an iterable of dicts, a pandas DataFrame, or None"
VERDICTS = (*COMPARED, Verdict.ERROR)


class Hooks:
    """The hooks of the plugins and `conftest.py` files that apply to one folder.

    Args:
        relay: Gives pytest's hooks of the folder; called each time, because a `conftest.py` may be loaded later.
        everywhere: pytest's hooks of the whole run.
        root: pytest's root folder, for messages.
    """

    def __init__(self, relay: Callable[[], HookRelay], everywhere: HookRelay, root: Path) -> None:
        self.relay = relay
        self.everywhere = everywhere
        self.root = root

    @classmethod
    def of_run(cls, config: pytest.Config) -> Hooks:
        """The hooks of the whole run."""
        return cls(lambda: config.hook, config.hook, config.rootpath)

    @property
    def loads_models(self) -> bool:
        """True if any plugin loads models of its own kind."""
        return bool(_implementations(self.everywhere, MODEL))

    def load_table(self, source: Any, base: Path) -> Given | None:
        """The rows of a table, as a list or a pandas DataFrame; None if no plugin knows the source."""
        relay = self.relay()
        rows = self.call(relay, TABLE, source=source, base=base)
        if rows is None:
            return None
        if is_frame(rows):
            return Given(rows, self.owner(relay, TABLE))
        if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
            raise self.wrong(relay, TABLE, f"returned {described(rows)}, expected {ROWS}.")
        return Given(self.guarded(relay, TABLE, lambda: list(rows)), self.owner(relay, TABLE))

    def load_model(self, spec: ModelSpec) -> Given | None:
        """A model of a kind that a plugin loads; None if no plugin knows the kind."""
        model = self.call(self.everywhere, MODEL, spec=spec)
        return None if model is None else Given(model, self.owner(self.everywhere, MODEL))

    def open_baselines(self, source: str, pinned: str, outputs: OutputsOf) -> BaselineReader:
        """Open a source of baselines, ours or a plugin's.

        Raises:
            SourceError: No plugin knows it, or it cannot be opened.
        """
        relay = self.everywhere
        opened = self.call(relay, BASELINES, source=source, root=self.root, pinned=pinned, outputs=outputs)
        if opened is None:
            raise SourceError(f"there is no such source of baselines.{did_you_mean(source, FORMS)}")
        if type(opened).__module__.startswith(OURS):
            ours: BaselineReader = opened
            return ours
        if not callable(getattr(opened, "load", None)):
            raise self.wrong(relay, BASELINES, f"returned {described(opened)}, expected an object with load, or None.")
        return GivenBaselines(
            source_without_secrets(source),
            opened,
            guarded=partial(self.guarded, relay, BASELINES),
            wrong=partial(self.wrong, relay, BASELINES),
        )

    def judge(self, case: Case, baseline: Baseline, candidate: Generation, judgement: Judgement) -> Judgement:
        """The verdict on an output, by default `judgement`; `error` with the reason if a plugin's hook fails."""
        relay = self.relay()
        if not _implementations(relay, JUDGE):
            return judgement
        try:
            verdict = self.call(relay, JUDGE, case=case, baseline=baseline, candidate=candidate, judgement=judgement)
            if verdict is not judgement and (fault := judgement_fault(verdict)):
                raise self.wrong(relay, JUDGE, fault)
        except HookError as error:
            return Judgement(Verdict.ERROR, reason=str(error))
        checked: Judgement = verdict
        return checked

    def judge_model(self, group: GroupKey, verdict: ModelVerdict) -> ModelVerdict:
        """The verdict on a model, by default `verdict`."""
        relay = self.relay()
        if not _implementations(relay, JUDGE_MODEL):
            return verdict
        judged = self.call(relay, JUDGE_MODEL, group=group, verdict=verdict)
        if type(judged) is not ModelVerdict or not isinstance(judged.finding, Finding):
            expected = "expected a pytest_llmcompare.ModelVerdict with a Finding, or None."
            raise self.wrong(relay, JUDGE_MODEL, f"returned {described(judged)}, {expected}")
        return judged

    def metrics(self, table: str, model: str) -> Given:
        """The MLflow metrics that plugins add to a table, as one list."""
        relay = self.relay()
        parts = self.call(relay, METRICS, table=table, model=model)
        for part in parts:
            if not isinstance(part, (list, tuple)):
                raise self.wrong(relay, METRICS, f"returned {described(part)}, expected a list of metrics, or None.")
        return Given([metric for part in parts for metric in part], self.owner(relay, METRICS))

    def group_finished(self, result: GroupResult) -> str:
        """Call the plugins' hook for a finished group; return the message of its error, empty if none failed."""
        return self._notify(self.relay(), GROUP_FINISHED, result=result)

    def run_finished(self, summary: Summary) -> str:
        """Call the plugins' hook for a finished run; return the message of its error, empty if none failed."""
        return self._notify(self.everywhere, RUN_FINISHED, summary=summary)

    def _notify(self, relay: HookRelay, name: str, **payload: Any) -> str:
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
        """Do work that runs a plugin's code.

        Raises:
            HookError: It raised; the message names the hook, the plugin and the line, the cause is the error itself.
        """
        try:
            with users_filter():
                return work()
        except SourceError:  # raised by our own sources; its message is complete
            raise
        except Exception as error:  # a plugin may raise anything
            what = str(error) if isinstance(error, LlmCompareError) else error_line(error)
            raise HookError(f"{self._raiser(relay, name, error)}, raised {what}") from error

    def wrong(self, relay: HookRelay, name: str, what: str) -> HookError:
        """The error for a hook that returned something unexpected."""
        return HookError(f"{self.owner(relay, name)} {what}")

    def _raiser(self, relay: HookRelay, name: str, error: Exception) -> str:
        """A hook, the plugin that raised in it, and the line in the plugin's own file.

        Something that a hook has returned may raise later; then there is no line.
        """
        functions = {inspect.unwrap(impl.function): impl for impl in _implementations(relay, name)}
        codes = {getattr(function, "__code__", None): impl for function, impl in functions.items()}
        frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        own = next((code for code, _ in reversed(frames) if code in codes), None)
        if own is None:
            return self.owner(relay, name)
        line = [line for code, line in frames if code.co_filename == own.co_filename][-1]
        return f"{name} in {self._place(codes[own])}, line {line}"

    def owner(self, relay: HookRelay, name: str) -> str:
        """A hook and its plugin, or its plugins: pluggy does not tell which of several returned the result."""
        places = [self._place(impl) for impl in reversed(_implementations(relay, name))]
        return f"{name} in {places[0] if len(places) == 1 else 'one of ' + ', '.join(places)}"

    def _place(self, impl: HookImpl) -> str:
        """A plugin by name: the path of a `conftest.py`, else its registered name, or its class if it has none."""
        path = Path(impl.plugin_name)
        if path.is_absolute():
            return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()
        return type(impl.plugin).__qualname__ if impl.plugin_name.isdecimal() else impl.plugin_name


def _implementations(relay: HookRelay, name: str) -> Sequence[HookImpl]:
    """A hook's implementations in plugins, without our own."""
    every: Sequence[HookImpl] = getattr(relay, name).get_hookimpls()
    return [impl for impl in every if not impl.function.__module__.startswith(OURS)]


def judgement_fault(judgement: object) -> str:
    """What is wrong with a plugin's judgement; empty for nothing."""
    if type(judgement) is not Judgement:
        return f"returned {described(judgement)}, expected a pytest_llmcompare.Judgement, or None."
    for name, kind in _field_types().items():
        value = getattr(judgement, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not isinstance(value, kind) and not (whole and isinstance(0.0, kind)):
            shown_kind = kind.__name__ if isinstance(kind, type) else str(kind)
            return f"returned a Judgement with {name}={described(value)}, expected {shown_kind}."
    if judgement.verdict not in VERDICTS:
        known = ", ".join(map(str, VERDICTS))
        return f"returned the verdict {judgement.verdict}, which does not judge an output. Expected one of {known}."
    return ""


@cache
def _field_types() -> Mapping[str, Any]:
    return get_type_hints(Judgement)
