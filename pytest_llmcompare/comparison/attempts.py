"""Find tests that passed over a difference, and runs in which no test compared anything. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.settings import Settings
from pytest_llmcompare.text import count, source_without_secrets

Place = Callable[[str], str]
"""Returns where a test is defined, given its node id: `test_geo.py:4`."""

PASSED, FAILED, SKIPPED, XFAILED, XPASSED = "passed", "failed", "skipped", "xfailed", "xpassed"

MOST_NAMED = 3
"""Most tests or places that a sentence names."""

NOTHING_SEEN = (
    "compared nothing: the test asks for llm_baseline and ends without comparing it.\n"
    "{}: write `assert llm_output == llm_baseline`. Reading llm_baseline.text, llm_baseline.token_ids or "
    "str(llm_baseline) counts as a comparison of your own, unless there is nothing to read (None). "
    "A test that needs no baseline asks for llm_output alone."
)

NO_MODELS_COMPARED = (
    "compared nothing: the test asks for llm_comparison and ends without comparing two of its models.\n"
    '{}: write `assert llm_comparison["B"].not_worse_than("A")` or '
    '`assert llm_comparison.agreement("A", "B") >= 0.9`.'
)

NO_TESTS = 'Mark a test with @pytest.mark.llm_prompts("prompts.csv") and let it ask for llm_output and llm_baseline.'
NOT_SELECTED = (
    "The tests that would were not selected (paths, -k, -m, --lf, --deselect): select one, or name no models."
)
CUT_SHORT = "The run ended before a test of a prompt table did."


@dataclass(frozen=True)
class Attempt:
    """Outcome of one test that uses the plugin; travels from worker to controller as JSON on the test report.

    Attributes:
        nodeid: The test.
        outcome: `passed`, `failed`, `skipped`, `xfailed` or `xpassed`.
        wants_baseline: Whether it asked for `llm_baseline`.
        reached: Whether it got its model's outputs; False if a mark skipped it.
        verdict: Worst verdict of its comparison; None if it did not compare.
        looked: Whether the test read the baseline itself (text, tokens, judgement).
        reason: Why it was skipped, in pytest's words.
    """

    nodeid: str
    outcome: str
    wants_baseline: bool = False
    reached: bool = False
    verdict: Verdict | None = None
    looked: bool = False
    reason: str = ""


def compared(attempt: Attempt) -> bool:
    """True if a test has checked an output: against its baseline, or in its own way if it asks for none."""
    if attempt.looked or attempt.verdict not in (None, Verdict.ERROR):
        return True
    return attempt.reached and not attempt.wants_baseline and attempt.outcome != SKIPPED


def saw_nothing(attempt: Attempt) -> bool:
    """True if a test asked for its baseline and passed without comparing it."""
    unseen = attempt.verdict is None and not attempt.looked
    return attempt.outcome == PASSED and attempt.wants_baseline and unseen


def unseen(
    results: Iterable[CaseResult], attempts: Mapping[str, Attempt], settings: Settings
) -> dict[Verdict, list[CaseResult]]:
    """Results with a failing verdict whose test passed or skipped itself, by verdict.

    Verdicts that a drift budget or an update option accepts do not fail. Expected failures are left out.
    """
    by_verdict: dict[Verdict, list[CaseResult]] = {}
    for result in results:
        attempt = attempts.get(result.nodeid)
        excused = attempt is not None and attempt.outcome in (XFAILED, XPASSED)
        kept_quiet = result.passed or (attempt is not None and attempt.outcome == SKIPPED)
        if kept_quiet and result.judgement and not excused and not settings.lets_stand(result.judgement.verdict):
            by_verdict.setdefault(result.judgement.verdict, []).append(result)
    return by_verdict


def unseen_faults(
    results: Iterable[CaseResult], attempts: Mapping[str, Attempt], settings: Settings, place: Place
) -> list[str]:
    """Faults of tests that passed over a difference, a paragraph per verdict."""
    faults = []
    for verdict, those in unseen(results, attempts, settings).items():
        outputs = len({result.key for result in those})
        tests = list(dict.fromkeys(result.nodeid for result in those))
        what = f"{count(outputs, 'output')} {verdict.predicates[outputs > 1]}"
        whose, itself = ("its test", "itself") if len(tests) == 1 else ("their tests", "themselves")
        skipped = {attempts[test].outcome == SKIPPED for test in tests if test in attempts}
        ended = "passed or skipped" if len(skipped) > 1 else f"skipped {itself}" if skipped == {True} else "passed"
        faults.append(
            f"{what}, but {whose} {ended}: is an assert missing in {_places(tests, place)}?\n"
            f"  {_listed(tests)}\n"
            "Write `assert llm_output == llm_baseline`, and neither catch, invert nor skip it. If a difference may "
            "pass, use @pytest.mark.xfail or --llm-drift-budget, or compare llm_baseline.text in your own way."
        )
    return faults


def nothing_compared(
    attempts: Iterable[Attempt], settings: Settings, place: Place, *, tables: bool, selected: bool
) -> str:
    """The fault of a run whose tests all ended well, but none of which compared anything; empty if one did.

    Models that are named for this run have to be compared. Those of the file may go unused, but tests that had a model
    answer and then skipped the comparison fail the run, too.

    Args:
        attempts: How the tests went.
        settings: Settings of the run.
        place: Where a test is defined.
        tables: Whether any test that was collected has a prompt table.
        selected: Whether any of those was selected to run.
    """
    tried = list(attempts)
    if any(compared(attempt) or attempt.outcome == FAILED for attempt in tried):
        return ""
    if not settings.models_are_asked_for and not any(_skipped_late(attempt) for attempt in tried):
        return ""
    models = ", ".join(map(source_without_secrets, settings.models))
    named = f"the models {models} ({settings.origins['models']})" if settings.models else "anything"
    reasons = [*_reasons(tried, place)]
    if not reasons:
        reasons.append(CUT_SHORT if selected else NOT_SELECTED if tables else NO_TESTS)
    return "\n".join([f"no test compared {named}.", *reasons])


def own_comparisons(attempts: Iterable[Attempt]) -> str:
    """A note on tests that compared in their own way and have no verdict; empty if no test did."""
    own = sum(attempt.looked and attempt.verdict is None for attempt in attempts)
    if not own:
        return ""
    return (
        f"{count(own, 'test')} compared by reading llm_baseline: no verdict, and no update option writes these outputs"
    )


def skipped_late(attempts: Iterable[Attempt], place: Place) -> str:
    """A note on tests that skipped themselves after the model had answered; empty if no test did."""
    gone = [attempt for attempt in attempts if _skipped_late(attempt) and not compared(attempt)]
    return _line("not compared, skipped after the model had answered", gone, place) if gone else ""


def _skipped_late(attempt: Attempt) -> bool:
    return attempt.outcome == SKIPPED and attempt.reached


def _reasons(attempts: list[Attempt], place: Place) -> Iterator[str]:
    """Why none of these tests compared, a line per reason."""
    ways = {
        "skipped before the model was asked": [a for a in attempts if a.outcome == SKIPPED and not a.reached],
        "skipped after the model had answered": [a for a in attempts if _skipped_late(a)],
        "expected to fail, and ended before comparing": [a for a in attempts if a.outcome == XFAILED],
        "passed without comparing": [a for a in attempts if a.outcome in (PASSED, XPASSED)],
    }
    return (_line(way, those, place) for way, those in ways.items() if those)


def _line(way: str, attempts: list[Attempt], place: Place) -> str:
    """A line such as `skipped before ...: 3 tests in test_geo.py:4 (no network)`."""
    reasons = list(dict.fromkeys(attempt.reason for attempt in attempts if attempt.reason))
    why = f" ({'; '.join(reasons[:MOST_NAMED])})" if reasons else ""
    return f"{way}: {count(len(attempts), 'test')} in {_places([attempt.nodeid for attempt in attempts], place)}{why}"


def _places(nodeids: Iterable[str], place: Place) -> str:
    """The places of tests, without repetitions."""
    return _listed(list(dict.fromkeys(map(place, nodeids))))


def _listed(names: list[str]) -> str:
    """The first names, and the number of the others."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
