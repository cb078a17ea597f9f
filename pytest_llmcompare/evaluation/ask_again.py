"""Asks a served model again, alone, for answers that differ from their baselines.

A server sums in another order if other requests are in flight. In bfloat16 that moves few answers, but those by much
(measured on llama.cpp: 15 % of the cases, by up to 1,000 times the median), so the noise that some repeats show is no
bound for all of them. An answer of a model that changed differs both times.
"""

from __future__ import annotations

from collections.abc import Callable

from pytest_llmcompare.comparison.judge import judge
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import Baseline, Case

from .answers import Outcomes

MOST_CONFIRMED = 16
"""After so many answers that differ when asked alone, too, no more are asked again: the model changed."""
DIFFERENT = (Verdict.SHIFTED, Verdict.DRIFTED)


def ask_again(outcomes: Outcomes, ask: Callable[[int], Generation | None]) -> str:
    """Ask again, one at a time, for greedy answers that are shifted or drifted.

    Args:
        outcomes: Outcomes of all cases; those of cases that are as recorded when asked alone are replaced.
        ask: Asks for a case by its index; None if it fails.

    Returns:
        A note for the user; empty if no outcome was replaced.
    """
    asking = outcomes.asking
    confirmed = replaced = 0
    for index, case in enumerate(asking.cases):
        outcome, baseline = outcomes.by_index[index], asking.expected.get(case.key.row)
        if case.samples or baseline is None or not isinstance(outcome, Generation) or outcome.token_ids is None:
            continue
        if confirmed == MOST_CONFIRMED or not _differs(case, baseline, outcome):
            continue
        again = ask(index)
        if again is None or _differs(case, baseline, again):
            confirmed += 1
            continue
        outcomes.by_index[index] = again
        replaced += 1
    if not replaced:
        return ""
    subject = "1 answer differs" if replaced == 1 else f"{replaced} answers differ"
    return (
        f"model {asking.group.model!r}: {subject} from the baseline only while other requests are in flight; asked "
        "alone, the server answers as recorded"
    )


def _differs(case: Case, baseline: Baseline, generation: Generation) -> bool:
    return judge(case, baseline, generation).verdict in DIFFERENT
