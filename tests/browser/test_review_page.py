"""`llmcompare review --web`, as a person uses it, in a real Chromium."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import AssertionResult, Judgement, Verdict
from pytest_llmcompare.records import Baseline, CaseKey, GroupKey, RowKey
from tests.cli.projects import DRIFTED, GROUP, MISSING, Project, review_of
from tests.cli.serving import Served
from tests.platforms import needs_signals
from tests.unit.baselines.samples import baseline
from tests.unit.reports.runs import HOSTILE

from .chromium import Chromium
from .test_html_report import CONTRAST, HEADING, IDS, press

pytestmark = pytest.mark.slow

LEFT = "document.getElementById('left').textContent"
TALLY = "document.getElementById('tally').textContent"
DONE = "document.getElementById('done').textContent"
FATE = "document.querySelector('#panel:not([hidden]) #fate')?.textContent"
CHIPS = (
    "Object.fromEntries([...document.querySelectorAll('td .cell')]"
    ".map(one => [one.hash, one.querySelector('.fate').textContent]))"
)

Review = Callable[..., Served]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project."""
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    monkeypatch.chdir(root)
    return Project(root)


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Chromium]:
    """The browser; at the end of each test no script has failed, and nothing was blocked."""
    chromium.look()
    yield chromium
    assert chromium.of_kind("Runtime.exceptionThrown") == []
    entries = [event["entry"] for event in chromium.of_kind("Log.entryAdded")]
    assert [entry for entry in entries if entry["source"] != "network"] == []
    chromium.send("Page.navigate", url="about:blank")  # else it would go on asking a server that has ended


@pytest.fixture
def review(project: Project, browser: Chromium) -> Iterator[Review]:
    """Start a review of what is pending and open its page, which sends requests to its own server only."""
    started: list[Served] = []

    def start() -> Served:
        served = Served(project.root)
        started.append(served)
        browser.open(served.address)
        return served

    yield start
    asked = [event["request"]["url"] for event in browser.of_kind("Network.requestWillBeSent")]
    for served in started:
        served.close()
    assert [url for url in asked if not url.startswith((*(one.address for one in started), "about:"))] == []


def click(browser: Chromium, *decisions: str) -> None:
    """Click on one button of the dock after the other, each once the next case is there."""
    for decision in decisions:
        before = browser.js(HEADING)
        browser.click(f"#choices [data-decision={decision}]")
        browser.wait(f"{HEADING} !== {before!r}")


def all_decided(browser: Chromium) -> None:
    """Wait until nothing is left and Done has the focus."""
    browser.wait(f"{LEFT} === 'All decided' && document.activeElement.id === 'done'")


def result_lines(browser: Chromium) -> list[str]:
    """What the page says at the end, once it does."""
    browser.wait("document.getElementById('result') !== null")
    shown: str = browser.js("document.getElementById('result').innerText")
    return [line for line in shown.split("\n") if line]


def test_accept_two_reject_one(project: Project, review: Review, browser: Chromium) -> None:
    """The page opens one case after the other; Done writes the files, shows what became of each, ends the command."""
    review_of(project)
    served = review()
    assert browser.js("document.title") == "Review: 5 of 5 left"
    assert browser.js("document.querySelector('h1').textContent") == "Review"
    assert browser.js("document.getElementById('sentence').textContent") == "5 pending: 4 drifted, 1 missing"
    assert browser.js(HEADING) == "tiny: a"
    before = project.stored()
    click(browser, "accept", "accept", "reject")
    assert browser.js(f"[{LEFT}, {TALLY}, {DONE}]") == [
        "2 of 5 left",
        "2 accept · 1 reject",
        "Done: accept 2, reject 1",
    ]
    assert browser.js(CHIPS) == {
        "#tests/trivia/tiny/a": "✓accept",
        "#tests/trivia/tiny/b": "✕reject",
        "#tests/trivia/tiny/c": "✓accept",
        "#tests/trivia/tiny/d": "",
        "#tests/trivia/small/a": "",
    }
    assert project.stored() == before
    browser.click("#done")
    assert result_lines(browser) == [
        "The review is done",
        "2 accepted, 1 rejected, 2 left for another time.",
        "tests/__baselines__/trivia/tiny.baseline: 2 changed",
        "You can go on reading this page, or close it: the command has ended.",
    ]
    assert browser.js(CHIPS)["#tests/trivia/tiny/b"] == "✕rejected"
    assert browser.js("document.getElementById('dock').hidden")
    assert served.end().code == 0
    assert project.texts() == {"a": " Red.", "b": " Blue.", "c": " Red."}
    assert project.pending() == {"trivia/tiny/d", "trivia/small/a"}
    browser.click("a[href$='tiny/c']")
    browser.wait(f"{FATE} === '✓accepted: it is the baseline now'")
    press(browser, "r", "u")
    assert browser.js(FATE) == "✓accepted: it is the baseline now"


def test_a_group_at_once(project: Project, review: Review, browser: Chromium) -> None:
    """A box says how many are alike; with it a click decides about them all, and one Undo takes that back."""
    review_of(project)
    review()
    assert browser.js("document.getElementById('alike').textContent") == "all 2 alike"
    browser.click("#group")
    choices = "[...document.querySelectorAll('#choices button span')].map(one => one.textContent).join()"
    browser.wait(f"{choices} === 'Accept 2,Reject 2,Skip 2'")
    browser.click("#choices [data-decision=accept]")
    browser.click("#accept-all")
    browser.wait(f"{HEADING} === 'tiny: b'")
    assert browser.js(f"[{LEFT}, {HEADING}]") == ["3 of 5 left", "tiny: b"]
    assert browser.js("[document.getElementById('alike').hidden, document.getElementById('group').checked]") == [
        True,
        False,
    ]
    browser.click("#undo")
    browser.wait(f"{LEFT} === '5 of 5 left'")
    assert browser.js(f"[{HEADING}, document.getElementById('undo').disabled]") == ["tiny: a", True]
    browser.click("#panel summary")
    assert browser.js("document.querySelector('#panel details').innerText").split("\n") == [
        "1 other changed in the same way",
        "trivia: c",
    ]
    assert browser.js("localStorage['llmcompare-review']") == "{}"


def test_keyboard_alone(project: Project, review: Review, browser: Chromium) -> None:
    """Several keys at once count one after the other; Enter presses Done at the end; j, k, ?, Esc as in the report."""
    review_of(project)
    served = review()
    press(browser, "A", "A", "r", "u", "s")
    browser.wait(f"{TALLY} === '2 accept · 1 skip'")
    browser.wait(f"{HEADING} === 'small: a'")
    press(browser, "j")
    browser.wait(f"{HEADING} === 'tiny: c'")
    press(browser, "j")
    browser.wait(f"{HEADING} === 'tiny: b'")
    assert browser.js(FATE) == "→skipped: it stays pending"
    press(browser, "r")  # another decision about a case that had one
    browser.wait(f"{TALLY} === '2 accept · 1 reject'")
    browser.wait(f"{HEADING} === 'small: a'")
    press(browser, "Escape")
    assert browser.js("document.getElementById('choices').hidden")
    press(browser, "?")
    keys = browser.js("document.querySelector('#help dl').innerText")
    assert "a A\naccept; all that are alike, once they were shown\n" in keys
    assert "u\ntake the last decision back\n" in keys
    press(browser, "Escape")
    browser.wait("!document.getElementById('help').open")
    press(browser, "a", "a")
    all_decided(browser)
    browser.wait("document.activeElement.id === 'done'")
    assert browser.js(DONE) == "Done: accept 4, reject 1"
    press(browser, "Enter")
    result_lines(browser)
    assert served.end().out.endswith("4 accepted.\n1 rejected. 0 left for another time.\n")
    assert project.texts() == {"a": " Red.", "b": " Blue.", "c": " Red.", "d": " Red."}
    assert project.pending() == set()


TOGETHER = "document.getElementById('together').open"


def test_a_group_is_shown_before_it_is_accepted(project: Project, review: Review, browser: Chromium) -> None:
    """Each with both texts and its assertions; Esc and any other letter go back, A once more accepts them all."""
    project.record(baseline("a"), baseline("b"))
    results = (AssertionResult("contains: Blue", passed=False, why="not in the output"),)
    for name in "ab":
        project.pend(replace(project.entry(baseline(name, " Red.")), assertions=results))
    review()
    panel = "[...document.querySelectorAll('#panel h3, #panel .asserted li')].map(one => one.textContent)"
    assert {"Assertions: 0 of 1 hold", "✗ failed: contains: Blue (not in the output)"} <= {*browser.js(panel)}
    press(browser, "A")
    browser.wait(TOGETHER)
    assert browser.js("document.getElementById('together-title').textContent") == "All 2 that changed in the same way"
    shown = browser.js("document.querySelector('#together ul').innerText")
    for line in ("trivia: tiny: a", "trivia: tiny: b", "✗ failed contains: Blue (not in the output)"):
        assert line in shown
    marked = "[...document.querySelectorAll('#together {}')].map(node => node.textContent)"
    assert browser.js(marked.format("del")) == ["Blue", "Blue"]
    assert browser.js(marked.format("ins")) == ["Red", "Red"]
    assert browser.js(CONTRAST) == []
    press(browser, "Escape")
    browser.wait(f"!{TOGETHER}")
    press(browser, "A", "r")
    browser.wait(f"!{TOGETHER}")
    assert browser.js(f"[{LEFT}, {HEADING}]") == ["2 of 2 left", "tiny: a"]
    press(browser, "A", "A")
    all_decided(browser)
    assert browser.js(TALLY) == "2 accept"


def test_by_margin_and_back(project: Project, review: Review, browser: Chromium) -> None:
    """m sorts by margin, b and n go on in that order, g goes to a number or a name."""
    project.record(*(baseline(name) for name in "abc"))
    for name, margin in (("a", 0.5), ("b", 9.0), ("c", 2.0)):
        project.pend(project.entry(baseline(name, " Red."), replace(DRIFTED, margin=margin)))
    review()
    assert browser.js(HEADING) == "tiny: a"
    press(browser, "m")
    browser.wait(f"{HEADING} === 'tiny: b'")
    assert browser.js(IDS) == ["b", "c", "a"]
    press(browser, "s")
    browser.wait(f"{HEADING} === 'tiny: c'")
    press(browser, "n")
    browser.wait(f"{HEADING} === 'tiny: a'")
    press(browser, "b", "b")
    browser.wait(f"{HEADING} === 'tiny: b'")
    assert browser.js(FATE) == "→skipped: it stays pending"
    press(browser, "m")
    browser.wait(f"{HEADING} === 'tiny: a'")
    assert browser.js(IDS) == ["a", "b", "c"]
    for wanted, heading in (("3", "tiny: c"), ("trivia/tiny/b", "tiny: b")):
        press(browser, "g")
        browser.wait("document.activeElement.id === 'place'")
        browser.type(wanted)
        press(browser, "Enter")
        browser.wait(f"{HEADING} === {heading!r}")
    press(browser, "g")
    browser.type("nobody")
    press(browser, "Enter")
    browser.wait("document.getElementById('trouble').textContent === 'Nothing here is called nobody'")
    press(browser, "b")
    browser.wait("document.getElementById('trouble').hidden")


def test_a_baseline_that_moved(project: Project, review: Review, browser: Chromium) -> None:
    """It is refused with the reason, at its case and at the top; nothing of it is written."""
    project.drift("sky", "sea")
    served = review()
    press(browser, "A", "A")
    all_decided(browser)
    store.update(project.root, GROUP, [baseline("sky", " Grey.")])
    before = project.texts()
    press(browser, "Enter")
    shown = result_lines(browser)
    reason = "trivia/tiny/sky: its baseline is no longer the one that this output was compared with"
    assert shown[1] == "1 accepted, 0 rejected, 1 refused."
    assert browser.js("document.querySelector('#result .fault').textContent").startswith(reason)
    assert browser.js(CHIPS) == {"#tests/trivia/tiny/sky": "!refused", "#tests/trivia/tiny/sea": "✓accepted"}
    browser.click("a[href$='tiny/sky']")
    browser.wait(f"{FATE} === '!refused: nothing was written'")
    assert browser.js("document.querySelector('.why-not').textContent").startswith(reason)
    assert served.end().code == 1
    assert project.texts() == {**before, "sea": " Red."}


GONE = (
    "llmcompare has ended, so nothing can be sent to it. Decisions that were not sent are kept in this "
    "browser; to go on: llmcompare review --web"
)


@needs_signals
def test_the_terminal_ends_it(project: Project, review: Review, browser: Chromium) -> None:
    """The page says so and takes no more decisions; the next review has those made so far."""
    project.drift("a", "b")
    served = review()
    click(browser, "accept")
    assert served.send(signal.SIGINT).code == 1
    browser.wait("!document.getElementById('trouble').hidden")
    assert browser.js("document.getElementById('trouble').textContent") == GONE
    assert browser.js("[...document.querySelectorAll('#dock button')].every(one => one.disabled)")
    press(browser, "r", "u")
    assert browser.js(LEFT) == "1 of 2 left"
    assert project.texts() == {"a": " Blue.", "b": " Blue."}
    again = review()
    assert browser.js(f"[{LEFT}, {TALLY}, {HEADING}]") == ["1 of 2 left", "1 accept", "tiny: b"]
    browser.click("#done")
    result_lines(browser)
    assert again.end().code == 0
    assert project.texts() == {"a": " Red.", "b": " Blue."}


def test_killed_just_before_done(project: Project, review: Review, browser: Chromium) -> None:
    """The page says at once that nothing could be sent, and keeps the decisions."""
    project.drift("a", "b")
    served = review()
    press(browser, "A", "A")
    all_decided(browser)
    served.close()
    press(browser, "Enter")
    browser.wait("!document.getElementById('trouble').hidden")
    assert browser.js("document.getElementById('trouble').textContent") == GONE
    assert project.pending() == {"trivia/tiny/a", "trivia/tiny/b"}
    review()
    assert browser.js(f"[{LEFT}, {TALLY}]") == ["All decided", "2 accept"]


def test_a_reload_and_another_tab(project: Project, review: Review, browser: Chromium) -> None:
    """A page that is loaded anew has all that was decided; what is decided in one tab is seen in the other."""
    review_of(project)
    served = review()
    click(browser, "accept", "skip")
    browser.open(served.address)
    assert browser.js(f"[{LEFT}, {TALLY}, {HEADING}]") == ["3 of 5 left", "1 accept · 1 skip", "tiny: b"]
    assert browser.js("document.getElementById('undo').disabled")
    assert browser.js(CHIPS)["#tests/trivia/tiny/a"] == "✓accept"
    other = browser.send("Target.createTarget", url=served.address)["targetId"]
    browser.wait(f"{LEFT} === '3 of 5 left'")
    in_the_other = (
        "{ const kept = JSON.parse(localStorage['llmcompare-review']);"
        f" kept[{identity(browser, 'b')}] = 'reject'; localStorage['llmcompare-review'] = JSON.stringify(kept); }}"
    )
    session = browser.send("Target.attachToTarget", targetId=other, flatten=True)["sessionId"]
    mine, browser.session = browser.session, session
    try:
        browser.wait("document.documentElement?.dataset.ready !== undefined")
        assert browser.js(LEFT) == "3 of 5 left"
        browser.js(in_the_other)
    finally:
        browser.session = mine
    browser.wait(f"{TALLY} === '1 accept · 1 reject · 1 skip'")
    assert browser.js(CHIPS)["#tests/trivia/tiny/b"] == "✕reject"
    browser.click("#verdicts [data-verdict=drifted]")  # cells are made anew, with their decisions
    assert browser.js(CHIPS)["#tests/trivia/tiny/b"] == "✕reject"
    settled = browser.js("[...document.querySelectorAll('.settled')].map(one => one.hash)")
    assert settled == [f"#tests/trivia/tiny/{name}" for name in "acb"]
    browser.send("Target.closeTarget", targetId=other)


def identity(browser: Chromium, prompt_id: str) -> str:
    """The key under which the browser keeps the decision about a case of model tiny, as JavaScript."""
    data = json.loads(browser.js("document.getElementById('data').textContent"))
    cases = [case for table in data["tables"] for row in table["rows"] for case in row["cases"] if case]
    case = next(case for case in cases if (case["model"], case["prompt_id"]) == ("tiny", prompt_id))
    return json.dumps(data["review"][case["entry"]]["id"])


def test_a_decision_is_for_this_output_alone(project: Project, review: Review, browser: Chromium) -> None:
    """A case for which a later run has found another output is undecided; other decisions are still there."""
    project.drift("a", "b")
    served = review()
    press(browser, "A", "A")
    all_decided(browser)
    served.close()
    project.pend(project.entry(baseline("a", " Green.")))
    review()
    assert browser.js(f"[{LEFT}, {TALLY}, {HEADING}]") == ["1 of 2 left", "1 accept", "tiny: a"]


def test_decided_in_two_tabs(project: Project, review: Review, browser: Chromium) -> None:
    """The second tab says that the review has ended; nothing is written twice."""
    project.drift("a", "b")
    served = review()
    press(browser, "A", "A")
    all_decided(browser)
    browser.js("window.fetch = async () => new Response('The review has ended.\\n', { status: 409 })")
    press(browser, "Enter")
    browser.wait("document.getElementById('trouble').textContent === 'The review has ended.'")
    assert browser.js("document.getElementById('result')") is None
    assert served.process.poll() is None


def hostile_entries(project: Project) -> None:
    """Make outputs pending whose names, prompts, texts, tokens and reasons all try to do harm."""
    for at, text in enumerate(HOSTILE):
        group = GroupKey("tests", "zoo", f"m{text}")
        new = Baseline(RowKey(f"{at}{text}"), Generation(text), "0" * 8, "0" * 8)
        judged = Judgement(Verdict.DRIFTED, 0, 3, text, text[::-1], margin=1.0, tolerance=0.1, reason=text)
        entry = project.entry(new, judged, group, old="another")
        assert entry.key == CaseKey(group, f"{at}{text}")
        project.pend(replace(entry, against=text))


def test_what_it_was_compared_with(project: Project, review: Review, browser: Chromium) -> None:
    """The source of the baseline is shown if it is not the files."""
    project.record(baseline("a"), baseline("b"))
    project.pend(replace(project.entry(baseline("a", " Red.")), against="git:main (1a2b3c4d)"))
    project.pend(project.entry(baseline("b", " Red.")))
    review()
    measure = "document.querySelector('#panel .measure').textContent"
    assert browser.js(measure) == "compared with git:main (1a2b3c4d)"
    browser.key("j")
    browser.wait(f"{HEADING} === 'tiny: b'")
    assert browser.js(measure) == ""


def test_hostile_text_stays_text(project: Project, review: Review, browser: Chromium) -> None:
    """In each case and in the reasons at the end: nothing runs, and no element is made of it."""
    hostile_entries(project)
    served = review()
    for _ in HOSTILE:
        assert browser.js("document.querySelectorAll('script').length") == 3
        browser.js("document.querySelectorAll('details').forEach(box => { box.open = true; })")
        press(browser, "a")
    all_decided(browser)
    press(browser, "Enter")
    assert result_lines(browser)[1] == "0 accepted, 0 rejected, 4 refused."
    assert HOSTILE[0] in browser.js("document.getElementById('result').textContent")
    assert browser.js("window.hacked") is None
    assert browser.js("document.querySelectorAll('img, b, h1 ~ h1, body pre').length") == 0
    hidden = browser.js(
        r"(document.body.innerText.match(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu) || [])"
        ".filter(char => !'\\n\\t'.includes(char))"
    )
    assert hidden == []
    assert served.end().code == 1


@pytest.mark.parametrize("dark", [False, True])
def test_everything_can_be_read(project: Project, review: Review, browser: Chromium, dark: bool) -> None:
    """On a desktop and on a phone, light and dark: enough contrast, no sideways scrolling, labels on every control."""
    review_of(project)
    browser.look(dark=dark)
    served = review()
    project.pend(project.entry(baseline("new", " New."), MISSING))
    dialogs = {"A": "together", "g": "jump", "?": "help"}
    for width in (1280, 390):
        browser.look(width=width, dark=dark)
        browser.open(served.address)
        for key, name in dialogs.items():
            press(browser, key)
            browser.wait(f"document.getElementById({name!r}).contains(document.activeElement)")
            assert browser.js(CONTRAST) == []
            box = f"document.getElementById({name!r})"
            assert browser.js(f"{box}.scrollWidth <= {box}.clientWidth && {box}.offsetWidth <= window.innerWidth")
            assert browser.js(f"document.getElementById({box}.getAttribute('aria-labelledby')).textContent !== ''")
            press(browser, "Escape")
            browser.wait(f"!{box}.open && document.activeElement.id === 'panel'")
        click(browser, "accept", "skip")
        assert browser.js(CONTRAST) == []
        assert browser.js("document.documentElement.scrollWidth <= window.innerWidth")
        browser.wait(
            "document.getElementById('dock').getBoundingClientRect().top"
            " === document.getElementById('panel').getBoundingClientRect().bottom"
        )
        unnamed = (
            "[...document.querySelectorAll('input, select, button')]"
            ".filter(node => !(node.labels?.length || node.textContent.trim() || node.ariaLabel)).length"
        )
        assert browser.js(unnamed) == 0
        press(browser, "Escape")
        assert browser.js(CONTRAST) == []
        press(browser, "u", "u", "Escape")
    press(browser, "j", "A", "A")
    browser.click("#done")
    result_lines(browser)
    assert browser.js(CONTRAST) == []
    assert browser.js("document.documentElement.scrollWidth <= window.innerWidth")
