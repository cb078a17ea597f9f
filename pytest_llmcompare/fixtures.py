"""The fixtures. Imported in every pytest run, so it imports little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pytest

from .run.stash import MODEL_COMPARISON, OBSERVATION, is_worker, session_of

if TYPE_CHECKING:
    from pathlib import Path

    from .comparison.model_comparison import ModelComparison
    from .generation import Generation
    from .judgement import AssertionResult, ModelVerdict
    from .records import Case, GroupKey, GroupResult, RowKey
    from .run.assertion import Observation, StoredBaseline
    from .run.session import Session


def no_models(request: pytest.FixtureRequest) -> str:
    """The fault of a run without models; mentions a file that names models and is not read."""
    from .models.pyproject_file import unread_note
    from .run.parametrize import NO_MODELS

    config = request.config
    return NO_MODELS + unread_note(request.node.path, config.rootpath, config.invocation_params.dir)


@contextmanager
def evaluating(item: pytest.Item, session: Session, *keys: GroupKey) -> Iterator[None]:
    """Evaluate groups on behalf of a test; a group that pytest-timeout ends is not evaluated again."""
    from .run.timeouts import time_for

    try:
        with time_for(item, session.remaining(*keys)):
            yield
    except pytest.fail.Exception as error:
        session.give_up(keys, str(error))
        raise


def use_scratch(request: pytest.FixtureRequest) -> None:
    """Set the folder for files of this run, inside the temporary folder of this process; workers share one."""
    config, factory = request.config, request.getfixturevalue("tmp_path_factory")
    base: Path = factory.getbasetemp()
    session_of(config).scratch = (base.parent if is_worker(config) else base) / "llmcompare"


def fail_late(request: pytest.FixtureRequest) -> NoReturn:
    """Fail a test that asks for one of our fixtures only while it runs, so that it was not parametrized."""
    from .run.marker_faults import asked_late

    pytest.fail(asked_late(request.node), pytrace=False)


class Parameter(NamedTuple):
    """What one test asks for.

    The other fixtures take it instead of `request`, which costs pytest as much for each fixture as the fixture itself.

    Attributes:
        request: pytest's request of the test.
        key: Table and model.
        row: The row of the table; None for the whole table.
    """

    request: pytest.FixtureRequest
    key: GroupKey
    row: RowKey | None

    @property
    def session(self) -> Session:
        """The session of this process."""
        return session_of(self.request.config)

    @property
    def observation(self) -> Observation:
        """What the test has seen of its case."""
        item: pytest.Item = self.request.node
        return item.stash[OBSERVATION]

    def result(self) -> GroupResult:
        """The result of the test's table and model; the first test that needs it evaluates them."""
        session = self.session
        result = session.results.get(self.key)
        if result is None:
            use_scratch(self.request)
            with evaluating(self.request.node, session, self.key):
                result = session.result(self.key)
        if result.error:
            self.fail(result.error)
        return result

    def fail(self, reason: str) -> NoReturn:
        """Fail the test because its model gave no output."""
        from .run.reporting import fail_without_output

        fail_without_output(self.request.node, reason, self.session)


@pytest.fixture
def llm_parameter(request: pytest.FixtureRequest) -> Parameter:
    """The case, or the table and model, of this test (internal)."""
    if not hasattr(request, "param"):
        fail_late(request)
    if request.param is None:
        pytest.fail(no_models(request), pytrace=False)
    return Parameter(request, *request.param)


@pytest.fixture
def llm_case(llm_parameter: Parameter) -> Case:
    """The case of this test: prompt, examples, target, decoding settings, the table's other columns."""
    from .run.assertion import Observation

    request, key, row = llm_parameter
    if row is None:  # a test whose arguments ask for a case is parametrised by rows
        fail_late(request)
    first, *further = llm_parameter.session.groups[key].samples(row).values()
    nodeid = request.node.nodeid
    seen = tuple(Observation(case, nodeid) for case in further)
    request.node.stash[OBSERVATION] = Observation(first, nodeid, further=seen)
    return first


@pytest.fixture
def llm_output(llm_parameter: Parameter, llm_case: Case) -> Generation:
    """The model's output for this test's case: a `str` with its tokens; of several samples the first."""
    result, observation = llm_parameter.result(), llm_parameter.observation
    for seen in observation.samples:
        row = seen.case.key.row
        if row in result.failures:
            llm_parameter.fail(result.failures[row])
        seen.generation, seen.model_changed = result.generations[row], row in result.changed_rows
        seen.assertions, seen.seconds = result.assertions.get(row, ()), result.latencies.get(row)
        seen.metrics = result.metrics.get(row, {})
    generation = result.generations[llm_case.key.row]
    if not observation.further:
        return generation
    from dataclasses import replace

    return replace(generation, samples=tuple(result.generations[seen.case.key.row] for seen in observation.samples))


@pytest.fixture
def llm_assertions(llm_parameter: Parameter, llm_output: Generation) -> tuple[AssertionResult, ...]:
    """Results of the assertions on this test's output: `.text`, `.passed`, `.why`; of several samples the first's.

    A failed one fails the test anyway.
    """
    del llm_output  # requested so that they are known
    return llm_parameter.observation.assertions


@pytest.fixture
def llm_baseline(llm_parameter: Parameter, llm_case: Case) -> StoredBaseline:
    """The stored baseline of this test's case: `assert llm_output == llm_baseline`."""
    from .run.assertion import StoredBaseline

    del llm_case  # requested so that the observation exists
    result, session = llm_parameter.result(), llm_parameter.session
    return StoredBaseline(llm_parameter.observation, result, session.settings, session.command_line.accepting)


@pytest.fixture
def llm_model(llm_parameter: Parameter) -> Any:
    """The MLflow-logged, loaded `mlflow.pyfunc.PyFuncModel` of this test's model."""
    llm_parameter.result()  # evaluated first, so that its model is the one in memory
    return llm_parameter.session.model(llm_parameter.key)


@pytest.fixture
def llm_model_verdict(llm_parameter: Parameter) -> ModelVerdict:
    """Whether this test's model changed since its baselines were recorded: `.finding`, `.moved`, `.noise`, `.tokens`.

    A test that asks for it without `llm_output` or `llm_case` runs once per model, over the whole table. It is an error
    if no output was compared with a baseline.
    """
    verdict = llm_parameter.result().model_verdict
    if verdict is None:
        pytest.fail(
            "no output was compared with a baseline, so there is no model verdict. To record some: pytest --llm-update",
            pytrace=False,
        )
    return verdict


@pytest.fixture
def llm_evaluation(llm_parameter: Parameter) -> Any:
    """MLflow's `EvaluationResult` of this test's table and model: `.metrics`, `.tables`.

    A test that asks for it without `llm_output` or `llm_case` runs once per model, over the whole table. It fails if
    the table misses one of its marker's thresholds.
    """
    from .reports.threshold_lines import failed_thresholds

    result = llm_parameter.result()
    if faults := [text for text in (result.evaluation_fault, *failed_thresholds(result)) if text]:
        pytest.fail("\n".join(faults), pytrace=False)
    return llm_parameter.session.evaluation(llm_parameter.key)


@pytest.fixture
def llm_table(request: pytest.FixtureRequest) -> tuple[GroupKey, ...]:
    """The table of a test on all models, one group per model (internal)."""
    if not hasattr(request, "param"):
        fail_late(request)
    parameter: tuple[GroupKey, ...] = request.param
    if not parameter:
        pytest.fail(no_models(request), pytrace=False)
    if len(parameter) == 1:
        from .run.parametrize import ONE_MODEL

        pytest.fail(ONE_MODEL.format(parameter[0].model), pytrace=False)
    return parameter


@pytest.fixture
def llm_comparison(request: pytest.FixtureRequest, llm_table: tuple[GroupKey, ...]) -> ModelComparison:
    """All models of this test's table, for comparison with each other; the test runs once per table.

    `llm_comparison["B"].not_worse_than("A", metric="exact_match", margin=0.05)`, `llm_comparison.agreement("A", "B")`.
    """
    session = session_of(request.config)
    use_scratch(request)
    with evaluating(request.node, session, *llm_table):
        comparison = request.node.stash[MODEL_COMPARISON] = session.compare_models(llm_table)
    return comparison
