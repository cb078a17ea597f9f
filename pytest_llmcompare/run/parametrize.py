"""Parametrize tests by the rows of their tables and by models. Loads no model and uses no network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.errors import LlmCompareError, UsageError
from pytest_llmcompare.models.warning_filters import library_warnings_ignored
from pytest_llmcompare.records import GroupKey, RowKey
from pytest_llmcompare.suite.marker import Declaration, declare

from .hook_calls import Hooks
from .items import MARKER
from .marker_faults import PARAMETER, PER_CASE, PER_MODEL, PER_TABLE, TABLE_PARAMETER
from .session import Session
from .stash import SETTINGS, is_worker, session_of

Asked = tuple[GroupKey, RowKey | None]
"""What a test asks for: group and row; the row is None for the whole table."""

NO_MODELS = (
    "no models to compare. Name them with --llm-models=gpt2-large,distilgpt2, as default_models or "
    "[tool.llmcompare.models.NAME] in pyproject.toml, or in the marker with models=[...]."
)

NO_MODELS_ID = "no_models"
"""Id of the only parameter set of a test without models."""

ONE_MODEL = (
    "llm_comparison compares models, and there is only {!r}. "
    "Name another one with it: --llm-models=A,B, default_models in pyproject.toml, or models=[...] in the marker."
)


DECLARATIONS: pytest.StashKey[dict[tuple[int, str], tuple[pytest.Mark, Declaration]]] = pytest.StashKey()
"""On the config: the markers that were read, by id and test name, since several tests may carry one marker."""


def expand(metafunc: pytest.Metafunc) -> None:
    """Parametrize a test that asks for our fixtures.

    Raises:
        pytest.Collector.CollectError: A faulty marker or table, or baselines that cannot be opened.
    """
    try:
        session = session_of(metafunc.config)
    except UsageError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    fixtures = set(metafunc.fixturenames)
    mark = metafunc.definition.get_closest_marker(MARKER)
    if mark is None or fixtures.isdisjoint((PARAMETER, TABLE_PARAMETER)):
        return  # `marker_faults` reports what is missing
    test = metafunc.definition.nodeid
    try:
        check_alone(fixtures)
        hooks = hooks_of(metafunc)
        with library_warnings_ignored():  # of pandas and pyarrow, if the table needs them
            groups = session.declare(read_marker(mark, metafunc, hooks), test, hooks)
    except LlmCompareError as error:
        raise pytest.Collector.CollectError(f"{test}: {error}") from None
    if TABLE_PARAMETER in fixtures:
        keys = tuple(group.key for group in groups)
        metafunc.parametrize(TABLE_PARAMETER, [keys], ids=[keys[0].table if keys else NO_MODELS_ID], indirect=True)
        return
    asked: list[Asked] = []
    for group in groups:
        asked.extend(group.asked if fixtures & PER_CASE else [(group.key, None)])
    ids = unique_ids([label(key, row) for key, row in asked])
    metafunc.parametrize(PARAMETER, asked or [None], ids=ids or [NO_MODELS_ID], indirect=True)


def hooks_of(metafunc: pytest.Metafunc) -> Hooks:
    """Our own hooks as they are in the test's folder."""
    config, module = metafunc.config, metafunc.definition.parent
    assert module is not None  # only the session has no parent
    return Hooks(lambda: module.ihook, config.hook, config.rootpath)


def read_marker(mark: pytest.Mark, metafunc: pytest.Metafunc, hooks: Hooks) -> Declaration:
    """Read a marker, once for all tests that carry it.

    Raises:
        LlmCompareError: It is faulty.
    """
    test = metafunc.function.__name__
    declarations = metafunc.config.stash.setdefault(DECLARATIONS, {})
    known = declarations.get((id(mark), test))
    if known is None:
        base = metafunc.definition.path.parent
        folder = relative_folder(base, metafunc.config.rootpath)
        config = metafunc.config
        declaration = declare(
            mark.args,
            mark.kwargs,
            test=test,
            folder=folder,
            base=base,
            root=config.rootpath,
            semantic_model=config.stash[SETTINGS].semantic_model,
            load=hooks.load_table,
        )
        known = declarations[id(mark), test] = (mark, declaration)  # the mark is kept, so that its id stays its own
    return known[1]


def arrange(items: list[pytest.Item], session: Session, config: pytest.Config) -> None:
    """Put the tests of one model next to each other, and leave out those that compare the reference with itself."""
    if session.reference and (own := remove_self_comparisons(items, session.reference)):
        config.hook.pytest_deselected(items=own)
    model_major(items, session.groups, session.reference)


def select(collected: pytest.Session, session: Session) -> None:
    """Record which cases the selected tests need, and check that their models can be asked.

    Raises:
        UsageError: An environment variable that a served model needs is not set.
    """
    wanted = [need for item in collected.items for need in asked(item)]
    session.select(wanted)
    session.any_selected = bool(wanted)
    session.all_collected = collected.testsfailed == 0  # so far, only collecting can have failed
    if not (collected.config.option.collectonly or is_worker(collected.config)):
        session.check_variables()


def relative_folder(base: Path, root: Path) -> str:
    """Folder of a test file relative to pytest's root; the path itself if it lies outside."""
    try:
        return base.relative_to(root).as_posix()
    except ValueError:
        return base.as_posix()


def label(key: GroupKey, row: RowKey | None) -> str:
    """The part of a test's name in brackets: `model-prompt_id`, or `model`."""
    return key.model if row is None else f"{key.model}-{row}"


def unique_ids(labels: Sequence[str]) -> list[str]:
    """Make equal labels (`a-b`,`c` and `a`,`b-c`) unique; pytest's own suffixes depend on its version."""
    seen: dict[str, int] = {}
    unique = []
    for text in labels:
        count = seen[text] = seen.get(text, 0) + 1
        unique.append(text if count == 1 else f"{text}~{hashlib.sha256(f'{text}{count}'.encode()).hexdigest()[:4]}")
    return unique


def check_alone(wanted: Set[str]) -> None:
    """Check that a test on all models does not ask for a single model, too.

    Raises:
        UsageError: It asks for both.
    """
    single = sorted(wanted & (PER_CASE | PER_MODEL))
    if wanted & PER_TABLE and single:
        raise UsageError(
            f"llm_comparison is about all models of the table, {', '.join(single)} about one of them. "
            "Use them in separate tests."
        )


def asked(item: pytest.Item) -> tuple[Asked, ...]:
    """What a marked test asks for; empty for any other test."""
    callspec = getattr(item, "callspec", None)
    parameters: Mapping[str, Any] = {} if callspec is None else callspec.params
    one: Asked | None = parameters.get(PARAMETER)
    return ((one,) if one else ()) + tuple((key, None) for key in parameters.get(TABLE_PARAMETER, ()))


def remove_self_comparisons(items: list[pytest.Item], reference: str) -> list[pytest.Item]:
    """Remove the tests that would compare the reference with itself, and return them.

    If no other test compares, they stay and fail, because a run that compares nothing must not pass.
    """
    comparing = [item for item in items if asks_for_baseline(item)]
    own = [item for item in comparing if {key.model for key, _ in asked(item)} == {reference}]
    if len(own) == len(comparing):
        return []
    gone = set(map(id, own))
    items[:] = [item for item in items if id(item) not in gone]
    return own


def asks_for_baseline(item: pytest.Item) -> bool:
    """True if a test asks for a baseline."""
    return "llm_baseline" in getattr(item, "fixturenames", ())


def model_major(items: list[pytest.Item], groups: Iterable[GroupKey], reference: str = "") -> None:
    """Put the tests of one model next to each other, so that one model is in memory at a time.

    A test on all models comes after those of the last of its models. Only our own items change places among themselves;
    all others stay where they are.

    Args:
        items: All tests, in order; sorted in place.
        groups: The groups.
        reference: The model whose outputs are the baselines of the others: it comes first.
    """
    models = dict.fromkeys(key.model for key in groups)
    order = {model: at for at, model in enumerate(sorted(models, key=lambda model: model != reference))}
    ours: list[tuple[int, int, int]] = []  # place of the last model, number of models, index of the item
    for index, item in enumerate(items):
        if models_asked := {key.model for key, _ in asked(item)}:
            ours.append((max(order[model] for model in models_asked), len(models_asked), index))
    sorted_items = [items[index] for *_, index in sorted(ours)]
    for (*_, index), item in zip(ours, sorted_items, strict=True):
        items[index] = item
