"""Looks up the answers of a group's model in the answer cache, before the model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_llmcompare.baselines.answer_cache import AnswerFile
from pytest_llmcompare.baselines.answer_lines import FORMAT, key_of
from pytest_llmcompare.baselines.content_digests import keep_digests
from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.config_tables import header
from pytest_llmcompare.models.machine import versions
from pytest_llmcompare.models.spec import SourceKind
from pytest_llmcompare.records import Baseline, Case, RowKey
from pytest_llmcompare.settings import OFF, ONLY, PLAIN

from .answer_facts import facts_of_model, facts_of_place, is_self_contained, notes_depend_on
from .cached_answers import CachedAnswers, OtherAnswers
from .local_answers import LocalAnswers

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
    """Look up the answers of a model; None if they are not kept.

    Args:
        group: Table and model.
        cases: What to ask.
        ours: The model's pyfunc; None if it was logged elsewhere or gives texts alone.
        identity: All of the model that decides its answers.
        expected: Baselines by row.
        resources: Settings and root folder of the run.

    Raises:
        ModelError: No model may be asked, and this one's answers are not kept.
    """
    mode, decode = resources.settings.cache, group.spec.decode or resources.settings.decode
    is_kept = ours is not None if group.spec.cache is None else group.spec.cache
    cached: CachedAnswers | None = None
    if is_kept and mode != OFF and decode != PLAIN and group.spec.kind is not SourceKind.ECHO:
        file = AnswerFile(resources.root, group.key)
        common = (cases, expected, mode == ONLY, file, file.read())
        if ours is None:
            cached = OtherAnswers(*common, facts_of_other(identity, decode))
        elif is_self_contained(ours):
            facts = facts_of_model(ours, is_logged=group.spec.kind is SourceKind.MLFLOW)
            about_notes = key_of(notes_depend_on(group, ours))
            cached = LocalAnswers(*common, facts, place=facts_of_place(ours), about_notes=about_notes)
    if cached is not None:
        cached.look_up()
        keep_digests(resources.root)
    elif mode == ONLY and group.spec.kind is not SourceKind.ECHO:
        raise ModelError(
            f"model {group.spec.name!r} may not be asked (--llm-cache=only), and no answers of it are cached. Those of "
            f"served models and of models logged elsewhere are cached only with cache = true in "
            f"{header(group.spec.name)} of pyproject.toml; with --llm-decode=plain none are.\n"
            "Leave it out with --llm-models, or run with --llm-cache=on."
        )
    return cached


def facts_of_other(identity: Identity, decode: str) -> dict[str, str]:
    """Facts that are part of the key of each answer of a model that is not loaded here."""
    return {"format": str(FORMAT), "model": key_of(identity.text), "decode": decode, **versions()}
