"""What a run decides about baselines, from what its tests reported. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_llmcompare.judgement import MATCHING, UNDECIDED, Verdict
from pytest_llmcompare.records import Baseline, CaseKey, CaseResult, GroupKey, RowKey
from pytest_llmcompare.settings import Settings, Update


@dataclass(frozen=True)
class Acceptance:
    """What is to be written for one group.

    Attributes:
        group: The group.
        baselines: Today's outputs, to be its baselines.
        shifted: Those that say the same as before with other likelihoods, which are what is accepted.
    """

    group: GroupKey
    baselines: tuple[Baseline, ...]
    shifted: frozenset[RowKey] = frozenset()


def acceptances(results: Iterable[CaseResult], update: Update) -> list[Acceptance]:
    """The outputs that an update option turns into baselines, group by group.

    A case counts where a test compared it and all tests that saw it passed: an output that fails another check of the
    user's is not worth keeping.
    """
    by_case: dict[CaseKey, list[CaseResult]] = {}
    for result in results:
        by_case.setdefault(result.key, []).append(result)
    wanted: dict[GroupKey, list[Baseline]] = {}
    shifted: dict[GroupKey, set[RowKey]] = {}
    for key, seen in sorted(by_case.items()):
        accepted = next((result for result in seen if is_accepted(result, update)), None)
        if accepted is not None and all(result.passed for result in seen):
            wanted.setdefault(key.group, []).append(baseline_of(accepted))
            if is_shifted(accepted):
                shifted.setdefault(key.group, set()).add(key.row)
    return [
        Acceptance(group, tuple(baselines), frozenset(shifted.get(group, ()))) for group, baselines in wanted.items()
    ]


def is_shifted(result: CaseResult) -> bool:
    """Whether only likelihoods moved, so that these are what there is to accept."""
    return result.judgement is not None and result.judgement.verdict is Verdict.SHIFTED


def is_accepted(result: CaseResult, update: Update) -> bool:
    """Whether the update option takes this output."""
    judged = result.judgement is not None and update.accepts(result.judgement.verdict)
    return judged and result.generation is not None


def is_open(result: CaseResult) -> bool:
    """Whether an output differs from its baseline, or has none, so that somebody has to decide about it."""
    judged = result.judgement is not None and result.judgement.verdict in UNDECIDED
    return judged and result.generation is not None


def is_match(result: CaseResult) -> bool:
    """Whether an output was compared and stands."""
    return result.judgement is not None and result.judgement.verdict in MATCHING


def failed_otherwise(samples: Iterable[CaseResult], settings: Settings) -> bool:
    """Whether a test failed for another reason than a comparison.

    Args:
        samples: What one test found, sample by sample.
        settings: Settings of the run: which verdicts make a test fail.
    """
    found = list(samples)
    compared = [result.judgement for result in found if result.judgement is not None]
    stands = all(settings.lets_stand(judgement.verdict) for judgement in compared)
    return stands and not all(result.passed for result in found)


def baseline_of(result: CaseResult) -> Baseline:
    """A result's output as a baseline."""
    assert result.generation is not None  # only outputs are accepted
    return Baseline(result.key.row, result.generation, result.input_hash, result.settings_hash)


def merged(parts: Iterable[Mapping[GroupKey, Iterable[RowKey]]]) -> dict[GroupKey, tuple[RowKey, ...]]:
    """The rows that the tables have, in their order, put together from several processes."""
    rows: dict[GroupKey, dict[RowKey, None]] = {}
    for part in parts:
        for group, declared in part.items():
            rows.setdefault(group, {}).update(dict.fromkeys(declared))
    return {group: tuple(declared) for group, declared in rows.items()}
