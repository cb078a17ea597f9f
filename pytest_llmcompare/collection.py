"""Marker x models -> parametrised tests. Loads no model and calls nothing over a network."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path

import pytest

from .declaration import Declaration, declare
from .errors import LlmCompareError, UsageError
from .records import GroupKey, RowKey
from .session import Group, Session

MARKER = "llm_prompts"
PARAMETER = "llm_parameter"
PER_CASE = frozenset({"llm_case", "llm_output", "llm_baseline"})
PER_MODEL = frozenset({"llm_model", "llm_evaluation"})

Asked = tuple[GroupKey, RowKey | None]
"""What one item asks for: a case, or (None) its whole table."""

NO_MODELS = (
    "no models to compare. Name them with --llm-models=gpt2-large,distilgpt2, as default_models or "
    "[tool.llmcompare.models.NAME] in pyproject.toml, or in the marker with models=[...]."
)


class Collection:
    """Expands markers; remembers what it has read, since several tests may carry one marker."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.read: dict[tuple[int, str], tuple[pytest.Mark, Declaration]] = {}

    def expand(self, metafunc: pytest.Metafunc) -> None:
        """Parametrise a test that asks for our fixtures.

        Raises:
            pytest.Collector.CollectError: A faulty marker or table, or no marker at all.
        """
        wanted = set(metafunc.fixturenames)
        if not wanted & (PER_CASE | PER_MODEL):
            return
        mark = metafunc.definition.get_closest_marker(MARKER)
        test = metafunc.definition.nodeid
        try:
            if mark is None:
                own = wanted & (PER_CASE | PER_MODEL)  # what these ask for in turn is in it, too
                names = ", ".join(sorted(own & set(inspect.signature(metafunc.function).parameters) or own))
                raise UsageError(
                    f'the test asks for {names} but has no prompt table. Add @pytest.mark.llm_prompts("prompts.csv").'
                )
            groups = self.session.declare(self.declaration(mark, metafunc), test)
        except LlmCompareError as error:
            raise pytest.Collector.CollectError(f"{test}: {error}") from None
        asked: list[Asked] = []
        for group in groups:
            asked.extend(group.asked if wanted & PER_CASE else [(group.key, None)])
        ids = unique_ids([label(key, row) for key, row in asked])
        if not asked:
            metafunc.parametrize(PARAMETER, [None], ids=["no_models"], indirect=True)
            return
        metafunc.parametrize(PARAMETER, asked, ids=ids, indirect=True)

    def declaration(self, mark: pytest.Mark, metafunc: pytest.Metafunc) -> Declaration:
        """Read a marker, once for all tests that carry it.

        Raises:
            LlmCompareError: It is faulty.
        """
        test = metafunc.function.__name__
        known = self.read.get((id(mark), test))
        if known is None:
            base = metafunc.definition.path.parent
            folder = relative_folder(base, metafunc.config.rootpath)
            declaration = declare(mark.args, mark.kwargs, test=test, folder=folder, base=base)
            known = self.read[id(mark), test] = (mark, declaration)  # the mark is kept, so that its id stays its own
        return known[1]


def relative_folder(base: Path, root: Path) -> str:
    """Folder of a test file relative to pytest's root; the path itself where it lies outside."""
    try:
        return base.relative_to(root).as_posix()
    except ValueError:
        return base.as_posix()


def label(key: GroupKey, row: RowKey | None) -> str:
    """The part of a test's name in brackets: `model-prompt_id`, or `model`."""
    return key.model if row is None else f"{key.model}-{row}"


def unique_ids(labels: Sequence[str]) -> list[str]:
    """Tell equal labels (`a-b`,`c` and `a`,`b-c`) apart by our own rule: pytest's suffixes differ by its version."""
    seen: dict[str, int] = {}
    unique = []
    for text in labels:
        count = seen[text] = seen.get(text, 0) + 1
        unique.append(text if count == 1 else f"{text}~{hashlib.sha256(f'{text}{count}'.encode()).hexdigest()[:4]}")
    return unique


def asked(item: pytest.Item) -> Asked | None:
    """What an item asks for, or None where it is not one of ours."""
    callspec = getattr(item, "callspec", None)
    found: Asked | None = callspec.params.get(PARAMETER) if callspec is not None else None
    return found


def model_major(items: list[pytest.Item], groups: dict[GroupKey, Group]) -> None:
    """Put the tests of one model next to each other, so that one model is in memory at a time.

    Only our own items change places among themselves; all others stay where they are.
    """
    places = [place for place, item in enumerate(items) if asked(item)]
    order = {model: at for at, model in enumerate(dict.fromkeys(key.model for key in groups))}
    ours = [items[place] for place in places]
    ours.sort(key=lambda item: order[found[0].model] if (found := asked(item)) else 0)
    for place, item in zip(places, ours, strict=True):
        items[place] = item
