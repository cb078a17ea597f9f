"""`runs:/ID`: outputs that an MLflow run keeps. Runs of this plugin have texts and tokens, other runs only texts."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.baselines import run_outputs
from pytest_llmcompare.baselines.document import DamagedFileError
from pytest_llmcompare.baselines.group_file import Contents
from pytest_llmcompare.baselines.store import BaselineSet
from pytest_llmcompare.errors import BaselineError, LlmCompareError, SourceError
from pytest_llmcompare.models.warning_filters import library_warnings_ignored
from pytest_llmcompare.records import Case, GroupKey

from . import results_table

if TYPE_CHECKING:
    from mlflow import MlflowClient

FORM = re.compile(r"runs:/([0-9A-Za-z_-]+)/?")
TABLE, MODEL, TEST_FOLDER = "llmcompare.table", "llmcompare.model", "llmcompare.folder"
"""Tags of this plugin's runs."""


@dataclass(frozen=True)
class RunContent:
    """Outputs that a run keeps.

    Attributes:
        table: Name of its prompt table; empty for a run that this plugin did not log.
        model: Name of its model.
        folder: Folder of the test file, relative to pytest's root.
        outputs: The outputs with their tokens; None for a run that has only a results table.
        rows: Rows of the results table.
    """

    table: str
    model: str
    folder: str
    outputs: Contents | None = None
    rows: list[results_table.OutputRow] = field(default_factory=list)


class RunBaselines:
    """The outputs of an MLflow run, of one model to one table.

    Args:
        run_id: The run, in the tracking store that is in use when they are first asked for.
    """

    pinned = ""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.title = f"runs:/{run_id}"
        self.copying = f"llmcompare copy {self.title}"
        self._content: RunContent | LlmCompareError | None = None

    def load(self, group: GroupKey, cases: Sequence[Case]) -> BaselineSet:
        """The outputs of the run, as baselines of a group.

        Raises:
            BaselineError: The run keeps no outputs, or those of another table.
            TrackingError: The store does not answer.
        """
        content = self.content()
        if content.table and content.table != group.table:
            raise BaselineError(
                f"{self.title} holds the outputs of table {content.table!r} and model {content.model!r}, not of table "
                f"{group.table!r}.\nRun the tests of {content.table!r} alone, or name a run of {group.table!r}."
            )
        whose = f"model {content.model!r}" if content.model else "its model"
        note = f"table {group.table!r}, model {group.model!r}: compared with the outputs of {whose} in {self.title}"
        of_model = content.model if content.model != group.model else ""
        if content.outputs is None:
            matched = results_table.matched(content.rows, cases, self.title)
            texts = f"{note}, by its text alone"
            return BaselineSet(None, matched.baselines, {}, (texts,), matched.lacking, matched.faults, of_model)
        lacking = f"{self.title} (table {content.table!r}, model {content.model!r}) has no output for this case"
        return BaselineSet(
            baselines=content.outputs.baselines,
            warnings=(note, *content.outputs.warnings_elsewhere),
            lacking=lacking,
            of_model=of_model,
        )

    def content(self) -> RunContent:
        """The outputs of the run, fetched once.

        Raises:
            LlmCompareError: As `load` does.
        """
        if self._content is None:
            try:
                self._content = _fetch(self.run_id)
            except LlmCompareError as error:
                self._content = error
        if isinstance(self._content, LlmCompareError):
            raise self._content
        return self._content


def open_run(source: str) -> RunBaselines:
    """Open the outputs of a run; it is fetched when they are first needed.

    Raises:
        SourceError: The source does not name a run.
    """
    match = FORM.fullmatch(source)
    if match is None:
        raise SourceError("expected runs:/ID, the id of an MLflow run. `mlflow ui` shows it.")
    return RunBaselines(match[1])


@library_warnings_ignored()
def _fetch(run_id: str) -> RunContent:
    """Fetch the outputs that a run in the current store keeps.

    Raises:
        BaselineError: There is no such run, or it keeps no outputs.
        TrackingError: The store does not answer.
    """
    from mlflow import MlflowClient

    from pytest_llmcompare.models.mlflow_store import ELSEWHERE, found_or_none, store, store_errors

    with store_errors(f"run {run_id}"):
        client = MlflowClient()
        run = found_or_none(lambda: client.get_run(run_id))
        if run is None:
            raise BaselineError(f"MLflow at {store()} has no run {run_id!r}.\n{ELSEWHERE}")
        table, model, test_folder = (str(run.data.tags.get(name, "")) for name in (TABLE, MODEL, TEST_FOLDER))
        artifacts = {artifact.path for artifact in client.list_artifacts(run_id)}
        with tempfile.TemporaryDirectory() as folder:
            if run_outputs.FOLDER in artifacts:
                downloaded = Path(client.download_artifacts(run_id, run_outputs.FOLDER, folder))
                outputs = _outputs_in(downloaded, f"runs:/{run_id}/{run_outputs.FOLDER}")
                if outputs is not None:
                    return RunContent(outputs.document.table, outputs.document.model, test_folder, outputs)
            if results_table.NAME in artifacts:
                return RunContent(table, model, test_folder, rows=_results_rows(client, run_id, folder))
    raise BaselineError(
        f"run {run_id!r} in MLflow at {store()} keeps no outputs: it has neither "
        f"{run_outputs.FOLDER}/{run_outputs.TEXT} nor {results_table.NAME}.\n"
        f"Name a run in which a model was evaluated. {ELSEWHERE}"
    )


def _outputs_in(folder: Path, source: str) -> Contents | None:
    """Outputs of a run of this plugin, read from a folder; None if it has none.

    Raises:
        BaselineError: It cannot be read.
    """
    try:
        return run_outputs.read(folder, source)
    except DamagedFileError as error:
        raise error.elsewhere("It is not as it was logged. Name another run.") from None


def _results_rows(client: MlflowClient, run_id: str, folder: str) -> list[results_table.OutputRow]:
    """Rows of the results table of a run, downloaded into a folder."""
    path = Path(client.download_artifacts(run_id, results_table.NAME, folder))
    return results_table.read(path.read_bytes(), f"runs:/{run_id}/{results_table.NAME}")
