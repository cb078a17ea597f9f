"""What we add to pytest's report of a test: why a comparison failed, that nothing was compared, the results."""

from __future__ import annotations

import re
from typing import Any, NoReturn

import pytest

from pytest_llmcompare.comparison.attempts import (
    FAILED,
    NO_MODELS_COMPARED,
    NOTHING_SEEN,
    PASSED,
    SKIPPED,
    XFAILED,
    XPASSED,
    Attempt,
    saw_nothing,
)
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.reports.assertion_lines import broken, broken_lines
from pytest_llmcompare.reports.junit import properties
from pytest_llmcompare.reports.messages import first_line, test_name
from pytest_llmcompare.serialization import to_json
from pytest_llmcompare.text import disarm

from .assertion import Observation
from .failures import COMPACT
from .items import place
from .marker_faults import ANSWERED, compares_in_fixtures
from .parametrize import asked
from .session import Session
from .stash import ATTEMPT, ENDED, MODEL_COMPARISON, OBSERVATION, REPORT
from .xdist import sendable

COMPARISON = re.compile(r"(?:\A|\n)assert (?:False|.*<baseline .*)\Z", re.DOTALL)
"""pytest's message of a failed comparison. The user's own message comes before it."""


def fail_without_output(item: pytest.Item, reason: str, session: Session) -> NoReturn:
    """Fail a test because its model gave no output."""
    if (observation := item.stash.get(OBSERVATION, None)) is not None:
        observation.judgement = Judgement(Verdict.ERROR, reason=reason)
    shown = reason in session.shown_reasons
    session.shown_reasons.add(reason)
    safe = "\n".join(map(disarm, reason.split("\n")))  # it may hold words of a server
    pytest.fail(f"{safe.partition(chr(10))[0]} (as above)" if shown else safe, pytrace=False)


def fail_broken(observation: Observation) -> None:
    """Fail a test whose body passed if an assertion of its row does not hold on one of its outputs."""
    failed = next((seen for seen in observation.samples if broken(seen.assertions)), None)
    if failed is not None:
        output = failed.generation.text if failed.generation else ""
        lines = broken_lines(test_name(failed.nodeid), failed.assertions, output)
        pytest.fail("\n".join(lines), pytrace=False)


def explain(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Make the explanation of a failed comparison the message of its `AssertionError`.

    Of an assertion's own explanation pytest would show 8 lines, after the word `assert`.
    """
    observation = item.stash.get(OBSERVATION, None)
    if observation is None or not observation.explanation or call.excinfo is None:
        return
    if isinstance(call.excinfo.value, AssertionError):
        message = str(call.excinfo.value)
        own = COMPARISON.sub("", message)
        observation.message = own if own != message else None
        call.excinfo.value.args = ("\n".join(filter(None, (*observation.explanation, own))),)


def attach(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Attach to a report how its test went and the results of its case, and give JUnit its properties.

    A test that fails in its teardown did not pass, so its report is attached a second time then. So is that of a test
    whose fixtures compare in their teardown.
    """
    observation = item.stash.get(OBSERVATION, None)
    if observation is not None:
        observation.failed = observation.failed or report.failed
    if call.when == "call" and of_subtest(item):
        return  # the test itself reports when it ends
    if (call.when == "setup" and report.passed) or (observation is None and not asked(item)):
        return
    before = item.stash.get(REPORTED, None)
    if call.when == "teardown" and before is None:
        return  # the body did not run, as with --setup-only
    attempt = attempt_of(item, call, report, observation)
    if report.passed and (missed := missing_comparison(item, call, attempt)):
        report.outcome, report.longrepr = "failed", missed.format(place(item))
        attempt = attempt_of(item, call, report, observation)
    if call.when == "teardown" and report.passed and attempt == before:
        return
    item.stash[REPORTED] = attempt
    setattr(report, ATTEMPT, attempt)
    if observation is not None:
        if call.when == "call" and report.failed and observation.message is not None:
            setattr(report, COMPACT, [line for line in (observation.failed_samples, observation.message) if line])
        passed = attempt.outcome in (PASSED, XPASSED) and not observation.failed
        attach_results(item, report, observation, passed=passed)


def serializable(data: dict[str, Any]) -> dict[str, Any]:
    """A report's data as xdist can send it: records as JSON, and no lone surrogate, which would end the worker."""
    if attempt := data.get(ATTEMPT):
        data[ATTEMPT] = to_json(attempt)
    if results := data.get(REPORT):
        data[REPORT] = "\n".join(map(to_json, results))
    return {name: sendable(value) for name, value in data.items()}


def of_subtest(item: pytest.Item) -> bool:
    """True if a report comes while the body of a marked test still runs."""
    ours = OBSERVATION in item.stash or MODEL_COMPARISON in item.stash
    return ours and not item.stash.get(ENDED, True)


def missing_comparison(item: pytest.Item, call: pytest.CallInfo[None], attempt: Attempt) -> str:
    """The fault of a test that passed and never compared what it asked for; empty if it did, or still may."""
    comparison = item.stash.get(MODEL_COMPARISON, None)
    if saw_nothing(attempt):
        name, missed = "llm_baseline", NOTHING_SEEN
    elif comparison is not None and not comparison.compared and attempt.outcome == PASSED:
        name, missed = "llm_comparison", NO_MODELS_COMPARED
    else:
        return ""
    return "" if call.when == "call" and compares_in_fixtures(item, name) else missed


def attach_results(item: pytest.Item, report: pytest.TestReport, observation: Observation, *, passed: bool) -> None:
    """Attach the results of a test's case to its report."""
    results = tuple(seen.result(passed=passed) for seen in observation.samples)
    setattr(report, REPORT, results)
    if report.when == "teardown":
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    worst = observation.worst
    shown = next(result for result in results if result.key == worst.case.key)
    judgement = worst.judgement
    if crash and judgement and (observation.explanation or judgement.verdict is Verdict.ERROR):
        # pytest lists failures with 40 characters or less of this, so it begins with the verdict.
        crash.message = first_line(shown)
    item.user_properties.extend(properties(shown))


REPORTED: pytest.StashKey[Attempt] = pytest.StashKey()
"""On an item: how it went, as of its last report."""


def attempt_of(
    item: pytest.Item,
    call: pytest.CallInfo[None],
    report: pytest.TestReport,
    observation: Observation | None,
) -> Attempt:
    """How a test went, as known at the end of one of its phases."""
    judgement = observation.worst.judgement if observation else None
    before = item.stash.get(REPORTED, None) if call.when == "teardown" else None
    outcome = outcome_of(report)
    return Attempt(
        nodeid=item.nodeid,
        outcome=before.outcome if before and outcome == PASSED else outcome,
        wants_baseline=wants_baseline(item, observation),
        reached=before.reached if before else was_answered(item, call, observation),
        verdict=judgement.verdict if judgement else None,
        looked=bool(observation and observation.looked),
        reason=before.reason if before else reason_of(report),
    )


def was_answered(item: pytest.Item, call: pytest.CallInfo[None], observation: Observation | None) -> bool:
    """True if a test got its model's output; a test that only uses `llm_case` asks no model."""
    if observation is not None and (observation.generation is not None or observation.judgement is not None):
        return True
    asks = not ANSWERED.isdisjoint(getattr(item, "fixturenames", ()))
    return (call.when == "call" or observation is not None) and (asks or wants_baseline(item, observation))


def wants_baseline(item: pytest.Item, observation: Observation | None) -> bool:
    """True if a test asks for `llm_baseline`, in its arguments or while it runs."""
    named = "llm_baseline" in getattr(item, "fixturenames", ())
    return named or (observation is not None and observation.wants_baseline)


def outcome_of(report: pytest.TestReport) -> str:
    """The outcome of a phase in the words of pytest's summary, `xfailed` and `xpassed` included."""
    if report.failed:
        return FAILED
    if hasattr(report, "wasxfail"):
        return XFAILED if report.skipped else XPASSED
    return SKIPPED if report.skipped else PASSED


def reason_of(report: pytest.TestReport) -> str:
    """Why a test was skipped; empty if it was not."""
    if not report.skipped:
        return ""
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail).removeprefix("reason: ")
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return text.removeprefix("Skipped: ")
