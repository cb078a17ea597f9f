"""Decide which outputs become baselines and which wait for review, from the results of the tests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_llmcompare.judgement import MATCHING, UNDECIDED, Verdict
from pytest_llmcompare.records import Baseline, CaseKey, CaseResult, GroupKey, RowKey
from pytest_llmcompare.settings import Settings, Update


@dataclass(frozen=True)
class Acceptance:
    """The baselines to write for one group.

    Attributes:
        group: The group.
        baselines: Today's outputs, to be its baselines.
        shifted: Rows with unchanged texts, of which only the new log-probs are accepted.
    """

    group: GroupKey
    baselines: tuple[Baseline, ...]
    shifted: frozenset[RowKey] = frozenset()


def acceptances(results: Iterable[CaseResult], update: Update) -> list[Acceptance]:
    """The outputs that an update option turns into baselines, group by group.

    A case is accepted if a test has compared it and all its tests passed: an output that fails another of the user's
    checks is no good baseline.
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
    """True if the new log-probs are accepted though the text is the same, because they moved or the model changed."""
    return open_verdict(result) is Verdict.SHIFTED


def open_verdict(result: CaseResult) -> Verdict | None:
    """The verdict under which an output waits for review: `shifted` if only its model changed, else its own verdict."""
    if result.judgement is None or result.generation is None:
        return None
    verdict = result.judgement.verdict
    has_logprobs = result.judgement.likelihood is not None
    return Verdict.SHIFTED if result.model_changed and verdict in MATCHING and has_logprobs else verdict


def is_accepted(result: CaseResult, update: Update) -> bool:
    """True if the update option accepts this output."""
    verdict = open_verdict(result)
    return verdict is not None and update.accepts(verdict)


def is_open(result: CaseResult) -> bool:
    """True if an output differs from its baseline or has none, so that it waits for a decision."""
    return open_verdict(result) in UNDECIDED


def is_match(result: CaseResult) -> bool:
    """True if an output was compared, is identical or a near tie, and leaves nothing to decide."""
    return result.judgement is not None and open_verdict(result) in MATCHING


def failed_otherwise(samples: Iterable[CaseResult], settings: Settings) -> bool:
    """True if a test failed for another reason than a comparison.

    Args:
        samples: Results of one test, a result per sample.
        settings: Settings of the run: which verdicts make a test fail.
    """
    results = list(samples)
    if all(result.passed for result in results):
        return False
    return all(result.judgement is None or settings.lets_stand(result.judgement.verdict) for result in results)


def baseline_of(result: CaseResult) -> Baseline:
    """A result's output as a baseline."""
    assert result.generation is not None  # only outputs are accepted
    return Baseline(result.key.row, result.generation, result.input_hash, result.settings_hash, result.input)


def merged(parts: Iterable[Mapping[GroupKey, Iterable[RowKey]]]) -> dict[GroupKey, tuple[RowKey, ...]]:
    """The rows of the tables, in their order, merged from several processes."""
    rows: dict[GroupKey, dict[RowKey, None]] = {}
    for part in parts:
        for group, declared in part.items():
            rows.setdefault(group, {}).update(dict.fromkeys(declared))
    return {group: tuple(declared) for group, declared in rows.items()}
