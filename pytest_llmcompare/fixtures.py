"""The fixtures. Imported in every pytest run, so it imports little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from .run.stash import MODEL_COMPARISON, OBSERVATION, is_worker, session_of

if TYPE_CHECKING:
    from pathlib import Path

    from .comparison.model_comparison import ModelComparison
    from .generation import Generation
    from .records import Case, GroupKey, GroupResult
    from .run.assertion import StoredBaseline
    from .run.parametrize import Asked
    from .run.session import Session


def no_models(request: pytest.FixtureRequest) -> str:
    """The fault of a run without models; mentions a file that names models and is not read."""
    from .models.config_file import unread_note
    from .run.parametrize import NO_MODELS

    config = request.config
    return NO_MODELS + unread_note(request.node.path, config.rootpath, config.invocation_params.dir)


@contextmanager
def evaluating(item: pytest.Item, session: Session, *keys: GroupKey) -> Iterator[None]:
    """Evaluate groups on behalf of a test; a group that pytest-timeout ends is not evaluated again."""
    from .run.interruption import time_for

    try:
        with time_for(item, session.remaining(*keys)):
            yield
    except pytest.fail.Exception as error:
        session.give_up(keys, str(error))
        raise


def use_scratch(config: pytest.Config, base: Path) -> None:
    """Set the folder for files of this run, given the temporary folder of this process; workers share one."""
    session_of(config).scratch = (base.parent if is_worker(config) else base) / "llmcompare"


def fail_late(request: pytest.FixtureRequest) -> NoReturn:
    """Fail a test that asks for one of our fixtures only while it runs, so that it was not parametrized."""
    from .run.marker_faults import asked_late

    pytest.fail(asked_late(request.node), pytrace=False)


@pytest.fixture
def llm_parameter(request: pytest.FixtureRequest) -> Asked:
    """The case, or the table and model, of this test (internal)."""
    if not hasattr(request, "param"):
        fail_late(request)
    if request.param is None:
        pytest.fail(no_models(request), pytrace=False)
    parameter: Asked = request.param
    return parameter


@pytest.fixture
def llm_case(request: pytest.FixtureRequest, llm_parameter: Asked) -> Case:
    """The case of this test: prompt, examples, target, decoding settings, the table's other columns."""
    from .run.assertion import Observation

    key, row = llm_parameter
    if row is None:  # a test whose arguments ask for a case is parametrised by rows
        fail_late(request)
    first, *further = session_of(request.config).groups[key].samples(row).values()
    seen = tuple(Observation(case, request.node.nodeid) for case in further)
    request.node.stash[OBSERVATION] = Observation(first, request.node.nodeid, further=seen)
    return first


@pytest.fixture
def llm_group(
    request: pytest.FixtureRequest, llm_parameter: Asked, tmp_path_factory: pytest.TempPathFactory
) -> GroupResult:
    """The result of this test's table and model; the first test that needs it evaluates them (internal)."""
    session, key = session_of(request.config), llm_parameter[0]
    result = session.results.get(key)
    if result is None:
        use_scratch(request.config, tmp_path_factory.getbasetemp())
        with evaluating(request.node, session, key):
            result = session.result(key)
    if result.error:
        from .run.reporting import fail_without_output

        fail_without_output(request.node, result.error, session)
    return result


@pytest.fixture
def llm_output(request: pytest.FixtureRequest, llm_case: Case, llm_group: GroupResult) -> Generation:
    """The model's output for this test's case: a `str` with its tokens; of several samples the first."""
    del llm_case  # requested so that the observation exists
    observation = request.node.stash[OBSERVATION]
    for seen in observation.samples:
        row = seen.case.key.row
        if row in llm_group.failures:
            from .run.reporting import fail_without_output

            fail_without_output(request.node, llm_group.failures[row], session_of(request.config))
        seen.generation = llm_group.generations[row]
    generation = llm_group.generations[observation.case.key.row]
    if not observation.further:
        return generation
    from dataclasses import replace

    return replace(generation, samples=tuple(llm_group.generations[seen.case.key.row] for seen in observation.samples))


@pytest.fixture
def llm_baseline(request: pytest.FixtureRequest, llm_case: Case, llm_group: GroupResult) -> StoredBaseline:
    """The stored baseline of this test's case: `assert llm_output == llm_baseline`."""
    from .run.assertion import StoredBaseline

    del llm_case  # requested so that the observation exists
    session = session_of(request.config)
    return StoredBaseline(request.node.stash[OBSERVATION], llm_group, session.settings, session.command_line.accepting)


@pytest.fixture
def llm_model(request: pytest.FixtureRequest, llm_parameter: Asked, llm_group: GroupResult) -> Any:
    """The MLflow-logged, loaded `mlflow.pyfunc.PyFuncModel` of this test's model."""
    del llm_group  # evaluated first, so that its model is the one in memory
    return session_of(request.config).model(llm_parameter[0])


@pytest.fixture
def llm_evaluation(request: pytest.FixtureRequest, llm_parameter: Asked, llm_group: GroupResult) -> Any:
    """MLflow's `EvaluationResult` of this test's table and model: `.metrics`, `.tables`.

    A test that asks for it without `llm_output` or `llm_case` runs once per model, over the whole table. It fails if
    the table misses one of its marker's thresholds.
    """
    from .reports.messages import failed_gates

    if faults := [text for text in (llm_group.evaluation_fault, *failed_gates(llm_group)) if text]:
        pytest.fail("\n".join(faults), pytrace=False)
    return session_of(request.config).evaluation(llm_parameter[0])


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
def llm_comparison(
    request: pytest.FixtureRequest, llm_table: tuple[GroupKey, ...], tmp_path_factory: pytest.TempPathFactory
) -> ModelComparison:
    """All models of this test's table, for comparison with each other; the test runs once per table.

    `llm_comparison["B"].not_worse_than("A", metric="exact_match", margin=0.05)`, `llm_comparison.agreement("A", "B")`.
    """
    session = session_of(request.config)
    use_scratch(request.config, tmp_path_factory.getbasetemp())
    with evaluating(request.node, session, *llm_table):
        comparison = request.node.stash[MODEL_COMPARISON] = session.compare_models(llm_table)
    return comparison
