"""Our own hooks, for plugins and `conftest.py` files. It is imported in every pytest run, so it imports little.

As with pytest's own hooks, a hook in a folder's `conftest.py` is called for the tests of that folder and below; models
are loaded for the whole run. Payloads are frozen records of `records.py` and `comparison/summary.py`. `docs/hooks.md`
has an example of each hook. Mark implementations with `@pytest.hookimpl(optionalhook=True)`, so that pytest accepts
them without this plugin, too.
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
    from .judgement import Judgement, ModelVerdict
    from .models.spec import ModelSpec
    from .records import Baseline, Case, GroupKey, GroupResult


@pytest.hookspec(firstresult=True)
def pytest_llmcompare_load_table(source: Any, base: Path) -> Iterable[Mapping[str, Any]] | Any | None:
    """Read a prompt table from a source of your own: another kind of file, an address, an object.

    Called at collection for every table, so it should be fast.

    Args:
        source: The table as given in the marker.
        base: Folder of the test file, which a path is relative to.

    Returns:
        The rows as an iterable of dicts or a pandas DataFrame; they are checked like those of a file. None leaves the
        source to the next plugin and finally to pytest-llmcompare.
    """


@pytest.hookspec(firstresult=True)
def pytest_llmcompare_load_model(spec: ModelSpec) -> Any | None:
    """Load a model of a kind of your own, named on the command line as `NAME=KIND:ANYTHING`.

    Called before the first prompt, in each process that needs the model. Kinds that have a meaning already
    (`models:`, `runs:`, `openai:`, `http:`, `https:`, `hf:`) never reach this hook.

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
        outputs: Returns the outputs of a table and model of this run, given its `GroupKey`. Call it in `load` only.

    Returns:
        An object with `load(group: GroupKey, cases: Sequence[Case])`, which is called once per table and model and
        returns a dict from `case.key` to the baseline: a text, a `Generation`, or a `Baseline` with the hashes of what
        it answers. A case that is not in it is `missing`. Attributes `pinned`, a text as above, and `copying`, a
        command that copies the baselines into files, are optional. None leaves the source to the next plugin and
        finally to pytest-llmcompare.
    """


@pytest.hookspec(firstresult=True)
def pytest_llmcompare_judge(
    case: Case, baseline: Baseline, candidate: Generation, judgement: Judgement
) -> Judgement | None:
    """Replace the verdict on an output that was compared with its baseline.

    Not called if nothing was compared (`missing`, `stale`, `error`): such a case never passes.

    Args:
        case: What was asked.
        baseline: What was approved; its text is `baseline.generation.text`.
        candidate: What the model says now.
        judgement: The verdict of pytest-llmcompare with its evidence.

    Returns:
        Another judgement, of the verdict `identical`, `near_tie`, `shifted`, `drifted` or `error`, its `reason` in a
        sentence. None leaves it to the next plugin and finally to pytest-llmcompare.
    """


@pytest.hookspec(firstresult=True)
def pytest_llmcompare_judge_model(group: GroupKey, verdict: ModelVerdict) -> ModelVerdict | None:
    """Replace the verdict on a model, whether it changed since its baselines of a table were recorded.

    Not called if no output was compared with a baseline. A hook that fails makes the group an error.

    Args:
        group: Table and model.
        verdict: The verdict of pytest-llmcompare with its evidence.

    Returns:
        Another verdict; its `reason` is shown if its `finding` is `cannot tell`. None leaves it to the next plugin and
        finally to pytest-llmcompare.
    """


@pytest.hookspec
def pytest_llmcompare_metrics(table: str, model: str) -> Sequence[Any] | None:
    """MLflow metrics for a table, besides those of its marker.

    Called before a table and model are evaluated. A metric of the marker replaces one of the same name.

    Args:
        table: Name of the prompt table.
        model: Name of the model.

    Returns:
        Names of MLflow metrics, such as `exact_match`, and objects made by `mlflow.metrics.make_metric`; None for none.
    """


@pytest.hookspec
def pytest_llmcompare_group_finished(result: GroupResult) -> None:
    """Called when a table and model are evaluated, or could not be (`result.error` says why).

    Once per run for each of them, in the process that evaluated it: under pytest-xdist a worker.
    """


@pytest.hookspec
def pytest_llmcompare_run_finished(summary: Summary) -> None:
    """Called once when the run is over and its baselines are written, under pytest-xdist in the main process.

    Not called for a run that only collects, nor for one without tests of pytest-llmcompare.
    """
