"""`llmcompare review`: one after the other, on a real terminal."""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_llmcompare.baselines.pending import entry_line
from pytest_llmcompare.cli.interrupts import Interrupts
from pytest_llmcompare.cli.review import key_presses, review_on_terminal
from pytest_llmcompare.cli.review_lines import entry_lines, group_lines
from pytest_llmcompare.cli.review_state import Decision, Review
from pytest_llmcompare.judgement import AssertionResult
from pytest_llmcompare.reports.style import Page
from tests.platforms import needs_terminal
from tests.unit.baselines.samples import baseline

from .projects import MISSING, Project, review_of


def names(review: Review, decision: Decision) -> list[str]:
    return [str(entry.key) for entry in review.decided(decision)]


def test_equal_drifts_stand_next_to_each_other(project: Project) -> None:
    """The same change in the same model; otherwise in the order in which they came."""
    review = review_of(project)
    assert [str(entry.key) for entry in review.entries] == [
        *("trivia/tiny/a", "trivia/tiny/c", "trivia/tiny/b", "trivia/small/a", "trivia/tiny/d"),
    ]
    assert (review.place, len(review.alike)) == ("[1/5]", 2)


def test_one_decision_for_the_rest_of_a_group(project: Project) -> None:
    """A capital letter decides about all that are alike; one undo takes all of it back."""
    review = review_of(project)
    review.decide(Decision.ACCEPT, all_alike=True)
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
    assert [str(entry.key) for entry in review.alike] == ["trivia/tiny/d"]


def test_where_a_baseline_is_from_is_shown(project: Project) -> None:
    """The source of the baseline is shown if it is not the files; the pending file keeps it."""
    project.record(baseline("a"))
    project.pend(replace(project.entry(baseline("a", " Red.")), against="git:main (1a2b3c4d)"))
    review = Review(project.file.read().entries.values())
    assert review.current is not None
    assert entry_lines(review, review.current)[-2].text == "  against    git:main (1a2b3c4d)"
    project.drift("b")
    review = Review(project.file.read().entries.values())
    assert not any("against" in line.text for line in entry_lines(review, review.entries[-1]))


def test_without_a_terminal(project: Project) -> None:
    """Exit code 2, and the commands that need none."""
    project.drift("sky")
    assert project.run("review") == (
        2,
        "",
        (
            "llmcompare: review needs a terminal. Without one:\n"
            "  llmcompare review --web\n"
            "  llmcompare pending [--json]\n"
            "  llmcompare accept 'GLOB' | --all\n"
            "  llmcompare reject 'GLOB' | --all\n"
        ),
    )


Then = Callable[[int, int], None]


def nothing(child: int, terminal: int) -> None:
    """Do nothing once all keys are pressed."""


def waits_for_keys(terminal: int) -> bool:
    """Whether the terminal is in raw mode: keys pressed earlier are dropped when it is entered."""
    import termios

    return not termios.tcgetattr(terminal)[3] & termios.ICANON


def screens(shown: bytes) -> int:
    """Number of screens so far that wait for a key."""
    return sum(shown.count(end) for end in (b"? help", b"goes back", b"Enter): "))


def on_terminal(keys: str | list[str], then: Then = nothing, **variables: str) -> tuple[int, str]:
    """Run the review on a pseudo terminal and press keys, each when its screen is there."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        environment = {**os.environ, "NO_COLOR": "1", **variables}
        os.execve(sys.executable, [sys.executable, "-m", "pytest_llmcompare.cli.main", "review"], environment)
    shown = b""
    waiting = list(keys)
    end = time.monotonic() + 30
    try:
        while True:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
            if select.select([terminal], [], [], 0.02)[0]:
                shown += os.read(terminal, 4096)
            if waiting and screens(shown) > len(keys) - len(waiting) and waits_for_keys(terminal):
                os.write(terminal, waiting.pop(0).encode())
            elif not waiting and screens(shown) > len(keys) and waits_for_keys(terminal):
                then(child, terminal)
                then = nothing
    except OSError:  # the terminal is gone with the process
        pass
    finally:
        with contextlib.suppress(OSError):
            os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode().replace("\r\n", "\n")


@needs_terminal
def test_a_whole_review(project: Project) -> None:
    """Accept the group, take that back, accept one, reject the next, skip, quit: what was decided is carried out."""
    review_of(project)
    code, shown = on_terminal("AAuarsq")
    assert code == 0, shown
    assert shown.startswith(
        "\n[1/5] trivia/tiny/a  drift @tok 2/2 ' Blue' -> ' Red' margin 1.5\n"
        "  prompt     Q: What color is the sky?\n"
        "  prompt     A:\n"
        "test_trivia[tiny-a] drifted at token 2 of 2: ' Blue' -> ' Red'\n"
        "  margin 1.5 nats (tie: up to 0.001)\n"
        "  baseline    [-Blue-].\n"
        "  candidate   {+Red+}.\n"
        "a accept   r reject   s skip   u undo   b back   q quit   ? help   A R S all 2 alike\n"
        "\nAll 2 that changed in the same way:\n"
        "trivia/tiny/a drift @tok 2/2 ' Blue' -> ' Red' margin 1.5\n"
        "- [-Blue-].\n"
        "+ {+Red+}.\n"
        "trivia/tiny/c drift @tok 2/2 ' Blue' -> ' Red' margin 1.5\n"
        "- [-Blue-].\n"
        "+ {+Red+}.\n"
        "A again accepts all 2, any other key goes back\n"
        "  -> accept 2\n"
        "\n[3/5] trivia/tiny/b  drift @tok 2/2 ' Blue' -> ' Green' margin 0.5\n"
    )
    assert shown.endswith(
        "tests/__baselines__/trivia/tiny.baseline: 1 changed\n1 accepted.\n1 rejected. 3 left for another time.\n"
    )
    assert project.texts() == {"a": " Red.", "b": " Blue.", "c": " Blue."}
    assert project.pending() == {"trivia/tiny/b", "trivia/small/a", "trivia/tiny/d"}


@needs_terminal
def test_ctrl_c_drops_what_was_decided(project: Project) -> None:
    """It says what, without a traceback, and writes nothing."""
    project.drift("a", "b", "c")
    before = project.stored()
    code, shown = on_terminal("ar\x03")
    assert code == 1, shown
    assert shown.endswith(
        "\nAborted: 2 decisions dropped (1 to accept and 1 to reject). Nothing was written; all 3 are still pending.\n"
    )
    assert project.pending() == {"trivia/tiny/a", "trivia/tiny/b", "trivia/tiny/c"}
    assert project.stored() == before


@needs_terminal
def test_colours(project: Project) -> None:
    """Changed words are bold in the colour of their text; what a model writes cannot colour anything."""
    project.record(baseline("a", " The sky is blue."))
    project.pend(project.entry(baseline("a", " The sky is \x1b[31mred.")))
    code, shown = on_terminal("q", NO_COLOR="", TERM="xterm")
    assert code == 0
    assert "\x1b[31m  baseline    The sky is \x1b[0m\x1b[31m\x1b[1mblue\x1b[0m\x1b[31m.\x1b[0m\n" in shown
    assert r"\x1b[31mred" in shown
    assert "\x1b" not in on_terminal("q", NO_COLOR="1", TERM="xterm")[1]


@needs_terminal
def test_finding_ones_way(project: Project) -> None:
    """Back, on, to a number, to a name, by margin, help; what was decided can be decided another way."""
    review_of(project)
    code, shown = on_terminal(["a", "b", "r", "n", "n", "g", "small\r", "g", "9\r", "m", "?", "q"])
    assert code == 0, shown
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("[")] == [
        *("trivia/tiny/a", "trivia/tiny/c", "trivia/tiny/a", "trivia/tiny/c", "trivia/tiny/b", "trivia/small/a"),
        *("trivia/small/a", "trivia/small/a", "trivia/tiny/c", "trivia/tiny/c"),
    ]
    assert "  decided: accept\n" in shown
    assert "  nothing here is called 9\n" in shown
    assert "  sorted by margin\n" in shown
    assert "u        take the last decision back\n" in shown
    assert shown.endswith("0 accepted.\n1 rejected. 4 left for another time.\n")
    assert project.texts() == dict.fromkeys("abc", " Blue.")


def test_a_group_is_shown_before_it_is_accepted(project: Project) -> None:
    """Another key goes back."""
    review_of(project)
    screen = Screen()
    assert review_with(project, "Axq", screen) == 0
    assert screen.getvalue().count("[1/5] trivia/tiny/a") == 2
    assert screen.getvalue().count("+ {+Red+}.") == 2
    assert "-> accept" not in screen.getvalue()
    assert screen.getvalue().endswith("0 accepted.\n0 rejected. 5 left for another time.\n")


def test_a_group_without_texts_that_differ(project: Project) -> None:
    """Outputs without a baseline, and those with equal texts, are shown with their one text."""
    new = [project.entry(baseline(name, text), MISSING) for name, text in (("x", " One."), ("y", ""))]
    project.record(baseline("z"))
    lines = [line.text for line in group_lines([*new, project.entry(baseline("z"))], Page(80), coloured=False)]
    assert [line for line in lines if line[:2] in ("+ ", "- ", "= ")] == ["+ One.", "+ (no text)", "= Blue."]


def test_expected_answer_and_assertions(project: Project) -> None:
    """They come from the pending file, escaped; lines without them are as before."""
    project.record(baseline("a"))
    failed = AssertionResult("contains: Blue", passed=False, why="not in the output \x1b")
    results = (failed, AssertionResult("max-tokens: 9", passed=True))
    entry = replace(project.entry(baseline("a", " Red.")), target="Blue\x1b", assertions=results)
    project.pend(entry)
    (read,) = project.file.read().entries.values()
    assert read == entry
    lines = [line.text for line in entry_lines(Review([read]), read)]
    assert r"  expected   Blue\x1b" in lines
    assert "  1 of 2 assertions hold" in lines
    assert r"  failed contains: Blue (not in the output \x1b)" in lines
    assert "target" not in entry_line(replace(entry, target=None, assertions=()))


def test_by_margin_and_back(project: Project) -> None:
    """The largest margin first, outputs without one last; sorting again groups them."""
    review = review_of(project)
    grouped = list(review.entries)
    review.sort()
    assert [entry.judgement.margin for entry in review.entries] == [1.5, 1.5, 1.5, 0.5, None]
    review.sort()
    assert review.entries == grouped
    assert not review.step(-1)
    assert review.step(4)
    assert not review.step(1)
    review.decide(Decision.ACCEPT)
    assert review.go("5")
    review.decide(Decision.REJECT)
    assert review.undo()
    assert names(review, Decision.ACCEPT) == ["trivia/tiny/d"]


@needs_terminal
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_kill_keeps_what_was_decided(project: Project, name: str) -> None:
    """A kill is a way to quit, too."""
    project.drift("a", "b")
    code, shown = on_terminal("a", lambda child, _: os.kill(child, getattr(signal, name)))
    assert code == 0, shown
    assert shown.endswith("1 accepted.\n0 rejected. 1 left for another time.\n")
    assert project.texts() == {"a": " Red.", "b": " Blue."}


@needs_terminal
def test_a_terminal_that_is_closed_keeps_what_was_decided(project: Project) -> None:
    """The decisions are carried out although nobody sees it."""
    project.drift("a", "b")
    on_terminal("a", lambda _, terminal: os.close(terminal))
    assert project.texts() == {"a": " Red.", "b": " Blue."}
    assert project.pending() == {"trivia/tiny/b"}


class Screen(io.StringIO):
    """A terminal that raises a signal while a given piece of the output is written."""

    def __init__(self, number: int = 0, at: int = 0) -> None:
        super().__init__()
        self.number = number
        self.at = at
        self.written = 0

    def write(self, text: str) -> int:
        self.written += 1
        if self.written == self.at:
            signal.raise_signal(self.number)
        return super().write(text)


def review_with(project: Project, keys: str, screen: Screen) -> int:
    """Review with these keys, and none after a signal; return the exit code."""
    left = iter(keys)

    def pressed(interrupts: Interrupts) -> str:
        return "" if interrupts.received else next(left, "")

    with contextlib.redirect_stdout(screen):
        return review_on_terminal(project.root, Review(project.file.read().entries.values()), pressed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_place(project: Project, number: signal.Signals) -> None:
    """While any piece is printed: decisions made by then are carried out, or dropped by Ctrl-C, until all are made."""
    project.drift("a", "b", "c")
    before = {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file()}
    whole = Screen()
    assert review_with(project, "ara", whole) == 0
    assert whole.getvalue().endswith("2 accepted.\n1 rejected. 0 left for another time.\n")
    assert whole.written > 50
    seen, aborted = set[int](), set[int]()
    for at in range(1, whole.written + 1):
        for path, data in before.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        screen = Screen(number, at)
        code = review_with(project, "ara", screen)
        decided = screen.getvalue().count("  -> ")
        assert code == ("Aborted" in screen.getvalue())
        if code:
            assert number == signal.SIGINT
            assert project.pending() == {f"trivia/tiny/{name}" for name in "abc"}
            assert set(project.texts().values()) == {" Blue."}
            aborted.add(decided)
            continue
        accepted = [name for name, key in zip("abc"[:decided], "ara", strict=False) if key == "a"]
        assert [name for name, text in project.texts().items() if text == " Red."] == accepted
        assert project.pending() == {f"trivia/tiny/{name}" for name in "abc"[decided:]}
        last_line = f"{decided - len(accepted)} rejected. {3 - decided} left for another time.\n"
        assert screen.getvalue().endswith(f"{len(accepted)} accepted.\n{last_line}")
        seen.add(decided)
    assert (seen, aborted) == (({3}, {0, 1, 2, 3}) if number == signal.SIGINT else ({0, 1, 2, 3}, set()))


def test_ctrl_c_while_baselines_are_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are written."""
    project.drift("a", "b")
    struck = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        struck.append(descriptor)
        signal.raise_signal(signal.SIGINT)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    screen = Screen()
    assert review_with(project, "AA", screen) == 0
    assert len(struck) > 1
    assert screen.getvalue().endswith("2 accepted.\n0 rejected. 0 left for another time.\n")
    assert project.texts() == {"a": " Red.", "b": " Red."}
    assert project.pending() == set()


def test_ctrl_c_before_the_first_question(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """No command shows a traceback after Ctrl-C."""
    project.drift("a")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pytest_llmcompare.cli.pending.load_pending", interrupted)
    assert project.run("pending") == (130, "", "\n")  # ends the line of the terminal's ^C


def test_signals_act_as_before_afterwards(project: Project) -> None:
    """A program that calls the command keeps its own signal handlers."""
    project.drift("a")
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert review_with(project, "s", Screen()) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_keys_at_once(project: Project) -> None:
    """Several keys count one after the other; arrows and other keys without a character do nothing."""
    chunks = iter(["\x1b[A", "xa", "\x1b", "Qr", ""])
    assert [*key_presses(Interrupts(), lambda _: next(chunks))] == ["x", "a", "\x1b", "Q", "r"]
    project.drift("a", "b", "c")
    several = iter(["ar", "\x1b"])
    with contextlib.redirect_stdout(io.StringIO()) as screen:
        code = review_on_terminal(project.root, Review(project.file.read().entries.values()), lambda _: next(several))
    assert code == 0
    assert screen.getvalue().endswith("1 accepted.\n1 rejected. 1 left for another time.\n")
    assert screen.getvalue().count("q quit") == 3


def test_a_newer_output_is_not_rejected_unseen(project: Project) -> None:
    """A run that finds another output during the review: that one stays pending, and the review says so."""
    project.drift("a", "b")
    review = Review(project.file.read().entries.values())
    project.pend(project.entry(baseline("a", " Green.")))
    screen = Screen()
    errors = io.StringIO()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(errors):
        assert review_on_terminal(project.root, review, lambda _: "r") == 1
    assert screen.getvalue().endswith("0 accepted.\n1 rejected. 1 left for another time.\n")
    assert errors.getvalue() == (
        "trivia/tiny/a: a run has found another output since; that one was not rejected and stays pending.\n"
    )
    assert [entry.new.generation.text for entry in project.file.read().entries.values()] == [" Green."]
