"""`llmcompare review`: one after the other, on a real terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from dataclasses import replace

import pytest

from pytest_llmcompare.commands.review import entry_lines
from pytest_llmcompare.judgements import Judgement, Verdict
from pytest_llmcompare.records import GroupKey
from pytest_llmcompare.review import Decision, Review
from tests.unit.baselines.samples import baseline

from .projects import MISSING, Project

OTHER = Judgement(Verdict.DRIFTED, 1, 2, " Blue", " Green", margin=0.5)
OTHER_MODEL = GroupKey("tests", "trivia", "small")


def review_of(project: Project) -> Review:
    """Two drifts alike, apart from each other, one of another change, one of another model, a missing case."""
    project.record(*(baseline(name) for name in "abc"))
    project.record(baseline("a"), group=OTHER_MODEL)
    project.pend(
        project.entry(baseline("a", " Red.")),
        project.entry(baseline("b", " Green."), OTHER),
        project.entry(baseline("a", " Red."), group=OTHER_MODEL),
        project.entry(baseline("d", " Red."), MISSING),
        project.entry(baseline("c", " Red.")),
    )
    return Review(project.file.read().entries.values())


def names(review: Review, decision: Decision) -> list[str]:
    return [str(entry.key) for entry in review.decided(decision)]


def test_equal_drifts_stand_next_to_each_other(project: Project) -> None:
    """The same change in the same model; otherwise in the order in which they came."""
    review = review_of(project)
    assert [str(entry.key) for entry in review.entries] == [
        *("trivia/tiny/a", "trivia/tiny/c", "trivia/tiny/b", "trivia/small/a", "trivia/tiny/d"),
    ]
    assert (review.place, len(review.rest)) == ("[1/5]", 2)


def test_one_decision_for_the_rest_of_a_group(project: Project) -> None:
    """A capital settles those alike that are left, and one undo takes it back as a whole."""
    review = review_of(project)
    review.decide(Decision.ACCEPT, whole_group=True)
    assert names(review, Decision.ACCEPT) == ["trivia/tiny/a", "trivia/tiny/c"]
    assert review.place == "[3/5]"
    review.decide(Decision.REJECT)
    assert review.undo()
    assert review.undo()
    assert not review.undo()
    assert (review.place, review.decisions) == ("[1/5]", {})


def test_all_decided(project: Project) -> None:
    """At the end nothing is current, and a further decision changes nothing."""
    review = review_of(project)
    for _ in range(5):
        review.decide(Decision.SKIP)
    assert review.current is None
    review.decide(Decision.ACCEPT)
    assert names(review, Decision.ACCEPT) == []
    assert review.undo()
    assert [str(entry.key) for entry in review.rest] == ["trivia/tiny/d"]


def test_where_a_baseline_is_from_is_shown(project: Project) -> None:
    """What was not compared with the files is shown beside what it was compared with, also after it was stored."""
    project.record(baseline("a"))
    project.pend(replace(project.entry(baseline("a", " Red.")), against="git:main (1a2b3c4d)"))
    review = Review(project.file.read().entries.values())
    assert review.current is not None
    assert entry_lines(review, review.current)[-2] == "  against    git:main (1a2b3c4d)"
    project.drift("b")
    review = Review(project.file.read().entries.values())
    assert not any("against" in line for line in entry_lines(review, review.entries[-1]))


def test_without_a_terminal(project: Project) -> None:
    """Exit code 2, and the commands that need none."""
    project.drift("sky")
    assert project.run("review") == (
        2,
        "",
        (
            "llmcompare: review needs a terminal. Without one:\n"
            "  llmcompare pending [--json]\n"
            "  llmcompare accept 'GLOB' | --all\n"
            "  llmcompare reject 'GLOB' | --all\n"
        ),
    )


def on_terminal(keys: str) -> tuple[int, str]:
    """Run the review on a pseudo terminal and press keys, each once there is a screen to press it on."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "pytest_llmcompare.cli", "review"])
    shown = b""
    waiting = list(keys)
    end = time.monotonic() + 30
    try:
        while True:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 4096)
            if waiting and shown.count(b"q quit") > len(keys) - len(waiting):
                os.write(terminal, waiting.pop(0).encode())
    except OSError:  # the terminal is gone with the process
        pass
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode().replace("\r\n", "\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_a_whole_review(project: Project) -> None:
    """Accept the group, take that back, accept one, reject the next, skip, quit: what was decided is carried out."""
    review_of(project)
    code, shown = on_terminal("Auarsq")
    assert code == 0, shown
    assert shown.startswith(
        "\n[1/5] trivia/tiny/a  drift @tok 2/2 ' Blue' -> ' Red' margin 1.5\n"
        "  prompt     Q: What color is the sky?\n"
        "  prompt     A:\n"
        "test_trivia[tiny-a] drifted at token 2 of 2: ' Blue' -> ' Red'\n"
        "  margin 1.5 nats (tie: up to 0.001)\n"
        "  baseline    Blue.\n"
        "  candidate   Red.\n"
        "a accept   r reject   s skip   u undo   q quit   capitals: all 2 alike\n"
        "  -> accept 2\n"
        "\n[3/5] trivia/tiny/b  drift @tok 2/2 ' Blue' -> ' Green' margin 0.5\n"
    )
    assert shown.endswith(
        "tests/__baselines__/trivia/tiny.baseline: 1 changed\n1 accepted.\n1 rejected. 3 left for another time.\n"
    )
    assert project.texts() == {"a": " Red.", "b": " Blue.", "c": " Blue."}
    assert project.waiting() == {"trivia/tiny/b", "trivia/small/a", "trivia/tiny/d"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_ctrl_c_keeps_what_was_decided(project: Project) -> None:
    """It is a way to quit, without a traceback; keys that mean nothing do nothing."""
    project.drift("a", "b")
    code, shown = on_terminal("a\x03")
    assert code == 0, shown
    assert shown.endswith("1 accepted.\n0 rejected. 1 left for another time.\n")
    assert project.waiting() == {"trivia/tiny/b"}
