"""Our own hooks, for plugins and `conftest.py` files. It is imported in every pytest run, so it imports little.

A hook of a folder's `conftest.py` is asked about the tests of that folder and below, as pytest's own are; the kinds of
models are the whole run's. Payloads are frozen records of `records.py` and `reports/summary.py`. `docs/hooks.md` has an
example of each. Implementations are marked with `@pytest.hookimpl(optionalhook=True)`, so that pytest does not refuse
them where this plugin is off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .baselines.sources.protocol import OutputsOf
    from .comparison.summary import Summary
    from .generation import Generation
    from .judgement import Judgement
    from .models.spec import ModelSpec
    from .records import Baseline, Case, GroupResult


@pytest.hookspec(firstresult=True)
def pytest_llmcompare_load_table(source: Any, base: Path) -> Iterable[Mapping[str, Any]] | Any | None:
    """Read a prompt table from a source that we do not know: another kind of file, an address, an object.

    Called at collection, for every table, so it should do no more than the table takes.

    Args:
        source: What stands in the marker.
        base: Folder of the test file, which a path is relative to.

    Returns:
        The rows as an iterable of dicts or a pandas DataFrame, which are checked as those of a file are. None leaves
        the source to the next plugin and at last to us.
    """


@pytest.hookspec(firstresult=True)
def pytest_llmcompare_load_model(spec: ModelSpec) -> Any | None:
    """Load a model of a kind of your own, named on the command line as `NAME=KIND:ANYTHING`.

    Called before its first question, in each process that needs the model. Kinds that have a meaning already
    (`models:`, `runs:`, `openai:`, `http:`, `https:`, `hf:`) are never asked for.

    Args:
        spec: The model; `spec.source` is `KIND:ANYTHING`, and the settings of its table in `pyproject.toml` are there.

    Returns:
        One of

        - an object with `predict(prompts: list[str]) -> list[str]`,
        - an `mlflow.pyfunc.PythonModel`, asked as any pyfunc is,
        - the path of a file with models from code (`mlflow.models.set_model`), which gets the spec as its model config
          and is the only one that can be loaded from MLflow later.

        An attribute `fingerprint` (text) of an object is recorded as the version of its weights. None leaves the spec
        to the next plugin.
    """


@pytest.hookspec(firstresult=True)
def pytest_llmcompare_open_baselines(source: str, root: Path, pinned: str, outputs: OutputsOf) -> Any | None:
    """Open a source of baselines, named by `--llm-baseline` or `baseline` in `pyproject.toml`.

    Called once per run and process, before tests are collected where the source is not `files`. Sources are only read:
    an update option is refused with any but `files`.

    Args:
        source: What the user wrote, such as `KIND:ANYTHING`.
        root: pytest's root folder.
        pinned: Under pytest-xdist, the `pinned` of what was opened in the main process, so that all processes read the
            same; empty there.
        outputs: Gives what a table and model of this run said, given its `GroupKey`. To be called by `load`.

    Returns:
        An object with `load(group: GroupKey, cases: Sequence[Case])`, which is called once per table and model and
        returns a dict from `case.key` to the baseline: a text, a `Generation`, or a `Baseline` with the hashes of what
        it answers. A case that is not in it is `missing`. Attributes `pinned`, a text as above, and `copying`, a
        command that copies the baselines into files, need not be there. None leaves the source to the next plugin and
        at last to us.
    """


@pytest.hookspec(firstresult=True)
def pytest_llmcompare_judge(
    case: Case, baseline: Baseline, candidate: Generation, judgement: Judgement
) -> Judgement | None:
    """Replace the verdict on an output that was compared with its baseline.

    Not called where nothing was compared (`missing`, `stale`, `error`): such a case never passes.

    Args:
        case: What was asked.
        baseline: What was approved; its text is `baseline.generation.text`.
        candidate: What the model says now.
        judgement: Our verdict with its evidence.

    Returns:
        Another judgement, of the verdict `identical`, `near_tie`, `shifted`, `drifted` or `error`, its `reason` in a
        sentence. None leaves it to the next plugin and at last to us.
    """


@pytest.hookspec
def pytest_llmcompare_metrics(table: str, model: str) -> Sequence[Any] | None:
    """MLflow metrics for a table, besides those of its marker.

    Called before a table and model are evaluated. Of two metrics of one name that of the marker counts.

    Args:
        table: Name of the prompt table.
        model: Name of the model.

    Returns:
        Names of MLflow metrics, such as `exact_match`, and objects made by `mlflow.metrics.make_metric`; None for none.
    """


@pytest.hookspec
def pytest_llmcompare_group_finished(result: GroupResult) -> None:
    """A table and model are evaluated, or could not be (`result.error` says why).

    Called once per run for each, in the process that did it: under pytest-xdist a worker.
    """


@pytest.hookspec
def pytest_llmcompare_run_finished(summary: Summary) -> None:
    """The run is over and its baselines are written. Called once, under pytest-xdist in the main process.

    Not called for a run that only collects, nor for one without tests of ours.
    """
