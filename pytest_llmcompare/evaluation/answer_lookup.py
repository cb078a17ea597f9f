"""Looks up the answers of a group's model in the answer cache, before the model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_llmcompare.baselines.answer_cache import AnswerFile
from pytest_llmcompare.baselines.answer_lines import key_of
from pytest_llmcompare.baselines.content_digests import keep_digests
from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.spec import SourceKind
from pytest_llmcompare.records import Baseline, Case, RowKey
from pytest_llmcompare.settings import OFF, ONLY, PLAIN

from .answer_facts import facts_of_model, facts_of_place, is_self_contained, notes_depend_on
from .cached_answers import CachedAnswers

if TYPE_CHECKING:
    from pytest_llmcompare.suite.group import Group

    from .pyfunc import HeldTransformer
    from .resources import Resources


def look_up(
    group: Group,
    cases: Sequence[Case],
    ours: HeldTransformer | None,
    expected: Mapping[RowKey, Baseline],
    resources: Resources,
) -> CachedAnswers | None:
    """Look up the answers of a local model; None if they are not kept.

    Args:
        group: Table and model.
        cases: What to ask.
        ours: The model's pyfunc; None if it was logged elsewhere or gives texts alone.
        expected: Baselines by row.
        resources: Settings and root folder of the run.

    Raises:
        ModelError: No model may be asked, and this one's answers are not kept.
    """
    mode = resources.settings.cache
    is_plain = (group.spec.decode or resources.settings.decode) == PLAIN
    if ours is not None and mode != OFF and not is_plain and is_self_contained(ours):
        file = AnswerFile(resources.root, group.key)
        cached = CachedAnswers(
            cases,
            expected,
            mode == ONLY,
            file,
            file.read(),
            facts_of_model(ours, is_logged=group.spec.kind is SourceKind.MLFLOW),
            facts_of_place(ours),
            key_of(notes_depend_on(group, ours)),
        )
        cached.look_up()
        keep_digests(resources.root)
        return cached
    if mode == ONLY and group.spec.kind is not SourceKind.ECHO:
        raise ModelError(
            f"model {group.spec.name!r} may not be asked (--llm-cache=only), and its answers are not kept: those of "
            "served models, of models logged elsewhere, and with --llm-decode=plain never are.\n"
            "Leave it out with --llm-models, or run with --llm-cache=on."
        )
    return None
