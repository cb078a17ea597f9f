"""Annotations on GitHub: an error per failure, a warning per silent drift, and no text of a model's that commands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from pytest_llmcompare.comparison.summary import summarize
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.reports.github import MOST, FileLine, annotation_lines
from pytest_llmcompare.reports.report import Report
from pytest_llmcompare.settings import Settings, Update

from .runs import ARMS, DRIFT, HOSTILE, MISSING, SHIFT, found, generation, hostile_results, mixed

COMMAND = re.compile(r"::(error|warning) (?:file=([^,:]*),line=(\d+),)?title=([^,:]*)::(.*)")
SPIDER = """\
drift @tok 2/6 ' legs' -> ' arms' margin 1.8
test_zoo[small-spider] drifted at token 2 of 6: ' legs' -> ' arms'
  margin 1.8 nats (tie: up to 0.001); 2 of 6 tokens would differ
  likelihood drift 0.7 nats per token (noise: up to 1e-05), worst -1.5 at token 2
  baseline   Eight legs and no wings.
  candidate  Eight arms and two wings.
Accept: pytest --llm-update tests/test_zoo.py::test_zoo[small-spider]"""


def lines(
    results: list[CaseResult], *, faults: Iterable[str] = (), update: Update = Update.NOTHING, inside: bool = True
) -> list[str]:
    """The workflow commands of a run."""
    report = Report(summarize(results, (), Settings(update=update), models=("small", "large")))
    return annotation_lines(report, faults, lambda nodeid: FileLine(nodeid.partition("::")[0], 7) if inside else None)


def read(line: str) -> tuple[str, str | None, str, str]:
    """Level, file, title and text of a command, as GitHub reads it."""
    matched = COMMAND.fullmatch(line)
    assert matched, line
    level, file, _, title, text = matched.groups()
    return level, file, unquote(title), unquote(text)


def test_a_failure_is_an_error_beside_its_test() -> None:
    """File and line are the test's, the text is the failure's message."""
    assert lines([found("spider", DRIFT, generation(ARMS))]) == [
        "::error file=tests/test_zoo.py,line=7,title=zoo/small/spider%3A drifted::"
        + SPIDER.replace("%", "%25").replace("\n", "%0A")
    ]


def test_each_verdict_has_its_level() -> None:
    """Failures are errors, the worst first; silent drift that passed is a warning; what is well says nothing."""
    assert [read(line)[::2] for line in lines(mixed())] == [
        ("error", "zoo/small/elk: error"),
        ("error", "zoo/small/spider: drifted"),
        ("error", "zoo/small/dog: stale baseline"),
        ("error", "zoo/small/cat: no baseline"),
        ("warning", "zoo/small/bee: shifted likelihood"),
    ]


def test_accepted_outputs_are_not_annotated() -> None:
    """What an update took over is settled."""
    assert lines([found("bee", SHIFT, generation())], update=Update.CHANGED) == []


def test_equal_failures_are_told_once() -> None:
    """One annotation names the others, the first of them by name."""
    alike = [found(f"p{at}", DRIFT, generation(ARMS)) for at in range(8)]
    other = found("q", Judgement(Verdict.DRIFTED, 1, 6, " legs", " tails"), generation(ARMS))
    first, second = map(read, lines([*alike, other]))
    assert first[2] == "zoo/small/p0: drifted, and 7 more cases alike"
    named = "zoo/small/p1, zoo/small/p2, zoo/small/p3, zoo/small/p4, zoo/small/p5"
    assert first[3].endswith(f"\nAlike: {named} and 2 more")
    assert second[2] == "zoo/small/q: drifted"


def test_no_more_than_github_shows() -> None:
    """The last one says how many are left out."""
    drifts = [
        found(f"p{at}", Judgement(Verdict.DRIFTED, 1, 6, " legs", f" {at}"), generation(ARMS)) for at in range(12)
    ]
    shown = lines(drifts)
    assert len(shown) == MOST
    assert shown[-1] == "::error title=model comparison::3 more of these: see the end of the log, or the report."
    assert len(lines(drifts[:MOST])) == MOST
    assert read(lines(drifts[:MOST])[-1])[2] == "zoo/small/p9: drifted"


def test_other_faults_are_errors_without_a_place() -> None:
    """A threshold or a report that failed has no test to stand beside, nor has a test outside of the repository."""
    assert lines([], faults=["100% is too\nmuch"]) == ["::error title=model comparison::100%25 is too%0Amuch"]
    (line,) = lines([found("cat", MISSING, generation(), None)], inside=False)
    assert line.startswith("::error title=zoo/small/cat%3A no baseline::missing: no baseline is recorded")


def test_hostile_texts_stay_texts() -> None:
    """Whatever names, outputs and reasons hold, each line is one command, of ours, and nothing in it acts."""
    shown = lines(hostile_results(), faults=HOSTILE)
    assert len(shown) == 2 * len(HOSTILE)
    for line in shown:
        level, _, title, text = read(line)
        assert level == "error"
        assert (title + text).replace("\n", "").isprintable()
        assert "##[" not in line
