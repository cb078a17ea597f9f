"""Looks up the answers of a group's model in the answer cache, before the model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_llmcompare.baselines.answer_cache import CacheFile
from pytest_llmcompare.baselines.cache_lines import key_of
from pytest_llmcompare.baselines.content_digests import save_digests
from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.pyproject_tables import header
from pytest_llmcompare.models.spec import SourceKind
from pytest_llmcompare.records import Baseline, Case, RowKey
from pytest_llmcompare.settings import OFF, ONLY, PLAIN

from .cache_key import facts_of_model, facts_of_place, facts_of_unloaded, is_self_contained, notes_depend_on
from .cached_answers import AllOrNothingAnswers, CachedAnswers
from .cached_local_answers import CachedLocalAnswers

if TYPE_CHECKING:
    from pytest_llmcompare.suite.group import Group

    from .group_model import Identity
    from .pyfunc import HeldTransformer
    from .resources import Resources


def look_up(
    group: Group,
    cases: Sequence[Case],
    *,
    ours: HeldTransformer | None,
    identity: Identity,
    expected: Mapping[RowKey, Baseline],
    resources: Resources,
) -> CachedAnswers | None:
    """Look up the answers of a model; None if its answers are not cached.

    Args:
        group: Table and model.
        cases: What to ask.
        ours: The model's pyfunc; None if it was logged elsewhere or gives only texts.
        identity: All of the model that decides its answers.
        expected: Baselines by row.
        resources: Settings and root folder of the run.

    Raises:
        ModelError: No model may be asked, and this one's answers are not cached.
    """
    mode, decode = resources.settings.cache, group.spec.decode or resources.settings.decode
    is_cached = ours is not None if group.spec.cache is None else group.spec.cache
    cached: CachedAnswers | None = None
    if is_cached and mode != OFF and decode != PLAIN and group.spec.kind is not SourceKind.ECHO:
        file = CacheFile(resources.root, group.key)
        common = (cases, expected, mode == ONLY, file, file.read())
        if ours is None:
            cached = AllOrNothingAnswers(*common, facts_of_unloaded(identity, decode))
        elif is_self_contained(ours):
            facts = facts_of_model(ours, is_logged=group.spec.kind is SourceKind.MLFLOW)
            notes_key = key_of(notes_depend_on(group, ours))
            cached = CachedLocalAnswers(*common, facts, place=facts_of_place(ours), notes_key=notes_key)
    if cached is not None:
        cached.look_up()
        save_digests(resources.root)
    elif mode == ONLY and group.spec.kind is not SourceKind.ECHO:
        raise ModelError(
            f"model {group.spec.name!r} may not be asked (--llm-cache=only), and no answers of it are cached. Those of "
            f"served models and of models logged elsewhere are cached only with cache = true in "
            f"{header(group.spec.name)} of pyproject.toml; with --llm-decode=plain none are.\n"
            "Leave it out with --llm-models, or run with --llm-cache=on."
        )
    return cached
