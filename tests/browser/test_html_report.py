"""The HTML report, as a person uses it, in a real Chromium."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import AssertionResult, Finding, ModelVerdict, ThresholdResult
from pytest_llmcompare.records import GroupKey, GroupResult
from tests.unit.reports.runs import ARMS, DRIFT, HOSTILE, IDENTICAL, drawn, found, generation, hostile, mixed

from .chromium import Chromium
from .conftest import Show

pytestmark = pytest.mark.slow

IDS = "[...document.querySelectorAll('#tables tbody tr')].map(row => row.querySelector('th').firstChild.textContent)"
HEADING = "document.querySelector('#panel:not([hidden]) h2')?.textContent"
COUNT = "document.getElementById('count').textContent"

CONTRAST = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const under = (node) => node ? [...under(node.parentElement), getComputedStyle(node).backgroundColor] : ["canvas"];
  const pixel = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const worst = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || node.closest("script, .unseen, .skip") || !node.checkVisibility()) continue;
    const back = under(node), one = light(pixel(back)), other = light(pixel([...back, getComputedStyle(node).color]));
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) worst.push(`${node.className || node.tagName} ${ratio.toFixed(2)}: ${text}`);
  }
  return worst;
})()
"""
"""Texts whose contrast is below 4.5, the least that WCAG 2 asks for (level AA)."""


def press(browser: Chromium, *keys: str) -> None:
    for key in keys:
        browser.key(key)


def test_why_a_run_failed(browser: Chromium, show: Show) -> None:
    """Reasons and thresholds stand above the models, failed ones first; a fault is no note once more."""
    gates = (
        ThresholdResult("exact_match/v1", ">=0.5", 0.75, True, 10, 10),
        ThresholdResult("n", "<=4", None, False, 3, 10, "It failed."),
    )
    verdict = ModelVerdict(Finding.CHANGED, 0.1, 1e-6, 3e-6, tokens=40, cases=3, same_weights=False)
    group = GroupResult(GroupKey("tests", "zoo", "small"), gates=gates, model_verdict=verdict)
    show(drawn(mixed(), (group,), "a note", "no room", faults=["no room"]))
    visible = "[...document.querySelectorAll('main h2')].filter(one => one.offsetParent)"
    headings = browser.js(f"{visible}.map(one => one.textContent)")
    assert headings[:4] == ["Why the run failed", "Did the models change?", "Thresholds", "Models"]
    tile = "[...document.querySelector('#changes li').children].map(one => one.textContent)"
    title, sentence = browser.js(tile)
    assert title == "zoo/smallchanged"
    assert sentence.startswith("small, table zoo: weights changed.")
    assert browser.js("document.querySelector('#failed ul').innerText") == "no room"
    tiles = "[...document.querySelectorAll('#gates li')].map(tile => [...tile.children].map(one => one.textContent))"
    assert browser.js(tiles) == [
        ["nFAILED", "not computed wanted <=4", "zoo/small, over 3 of 10 cases", "It failed."],
        ["exact_match/v1ok", "0.75 wanted >=0.5", "zoo/small, over 10 cases"],
    ]
    assert browser.js("document.querySelector('#further summary').textContent") == "1 note"
    assert browser.js(CONTRAST) == []


def test_a_run_without_a_case(browser: Chromium, show: Show) -> None:
    """It has no table to filter, and says why it failed."""
    show(drawn([], faults=["no test compared the models"]))
    assert browser.js("document.querySelector('#failed ul').innerText") == "no test compared the models"
    assert browser.js("[...document.querySelectorAll('section')].filter(one => !one.hidden).map(one => one.id)") == [
        *("failed", "further"),
    ]


def test_a_report_at_first_sight(browser: Chromium, show: Show) -> None:
    """The outcome, a card per model, and each case with its verdict in words for those who see no sign or colour."""
    show(drawn(mixed(), (), "a note"))
    assert browser.js("document.title").startswith("failed: 9 cases: 1 error, 1 drifted,")
    assert browser.js("document.querySelector('h1').textContent") == "Model comparison failed"
    cards = browser.js("[...document.querySelectorAll('#cards h3')].map(card => card.innerText)")
    assert [card.split("\n")[0] for card in cards] == ["small", "large"]
    assert browser.js(IDS) == ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "spider"]
    told = browser.js("[...document.querySelectorAll('td .cell')].map(cell => cell.textContent)")
    assert told[0] == "≈near tie: Eight legs and no wings.' and' → ' plus', margin 0.0004small"
    assert told[4] == "!error: (no output)the model is gonesmall"
    assert browser.js("document.querySelector('details li').textContent") == "a note"


def test_a_case_in_full(browser: Chromium, show: Show) -> None:
    """A click opens it: both texts with what differs marked, the evidence, shades, and a command to copy."""
    show(drawn(mixed()))
    browser.click("a[href$='small/spider']")
    browser.wait(f"{HEADING} === 'small: spider'")
    marked = "[...document.querySelectorAll('#panel {}')].map(node => node.textContent)"
    assert browser.js(marked.format("del")) == ["legs", "no"]
    assert browser.js(marked.format("ins")) == ["arms", "two"]
    evidence = browser.js("document.querySelector('.evidence').innerText")
    assert "token 2 of 6" in evidence
    assert "1.8 nats (tie: up to 0.001)" in evidence
    assert "0.7 nats per token, beyond noise (up to 1e-05)" in evidence
    browser.click("#shade")
    assert browser.js("[...document.querySelectorAll('.token')].map(node => node.title)")[-1] == (
        "token 6: −1.8 nats, 16.5%"
    )
    browser.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser.click(".command button")
    browser.wait("document.querySelector('.command button').textContent === 'Copied'")
    copied = browser.js("navigator.clipboard.readText()")
    assert copied == "pytest --llm-update tests/test_zoo.py::test_zoo[small-spider]"
    browser.look(width=390)
    lines = "new Set([...document.querySelectorAll('.command .word')].map(word => word.getClientRects().length))"
    assert browser.js(f"[...{lines}]") == [1]  # no word is on two lines


def test_keys(browser: Chromium, show: Show) -> None:
    """j and k go from case to case, Enter opens, Esc closes and goes back, / searches, ? tells the keys."""
    show(drawn(mixed()))
    focus = "document.activeElement.getAttribute('href')"
    press(browser, "j", "j", "j", "k")
    assert browser.js(focus) == "#tests/zoo/small/bee"
    press(browser, "Enter")
    browser.wait(f"{HEADING} === 'small: bee'")
    press(browser, "j")
    browser.wait(f"{HEADING} === 'small: cat'")
    press(browser, "Escape")
    assert browser.js("document.getElementById('panel').hidden")
    assert browser.js(focus) == "#tests/zoo/small/cat"
    assert browser.js("location.hash") == ""
    press(browser, "/")
    browser.type("ELK")
    browser.wait(f"{COUNT} === '1 of 8 prompts, 1 case'")
    press(browser, "Escape")
    browser.wait(f"{COUNT} === '8 prompts, 9 cases'")
    press(browser, "Escape", "?")
    assert browser.js("document.getElementById('help').open")
    press(browser, "Escape")
    browser.wait("!document.getElementById('help').open")


def test_filters(browser: Chromium, show: Show) -> None:
    """By verdict, by model, by whether there is a difference; nothing left says so."""
    show(drawn(mixed()))
    browser.click("#verdicts [data-verdict=drifted]")
    assert browser.js(IDS) == ["spider"]
    browser.click("#verdicts [data-verdict=stale]")
    assert browser.js(IDS) == ["dog", "spider"]
    assert browser.js("document.querySelector('#verdicts [data-verdict=stale]').getAttribute('aria-pressed')") == "true"
    browser.js(
        "{ const box = document.getElementById('model'); box.value = 'large'; box.dispatchEvent(new Event('change')); }"
    )
    assert browser.js("document.querySelector('.empty').textContent") == "Nothing here. Take a filter away."
    browser.click("#verdicts [data-verdict=stale]")
    browser.click("#verdicts [data-verdict=drifted]")
    assert browser.js("[...document.querySelectorAll('#tables thead th')].map(head => head.textContent)") == [
        "prompt",
        "large",
    ]
    browser.js(
        "{ const box = document.getElementById('model'); box.value = ''; box.dispatchEvent(new Event('change')); }"
    )
    browser.click("#differing")
    assert browser.js(IDS) == ["ant", "cat", "dog", "elk", "spider"]


def test_a_link_opens_its_case(browser: Chromium, show: Show) -> None:
    """The address of a case, opened anew, shows it, however far down it is."""
    results = [found(f"case {at}", IDENTICAL, generation()) for at in range(400)]
    address = show(drawn(results))
    browser.open(f"{address}#tests/zoo/small/case%20399")
    assert browser.js(HEADING) == "small: case 399"
    top = browser.js("document.querySelector('.cell.open').getBoundingClientRect().top")
    assert 0 < top < 900


def test_hostile_text_stays_text(browser: Chromium, show: Show) -> None:
    """Names, prompts, outputs, reasons and notes: nothing runs, no element is made of them, what is hidden shows."""
    show(hostile())
    browser.js("document.querySelectorAll('details').forEach(box => { box.open = true; })")
    for at in range(len(HOSTILE)):
        browser.js(f"document.querySelectorAll('td .cell')[{at}].click()")
        browser.wait(f"{HEADING} !== undefined")
        assert browser.js("window.hacked") is None
        assert browser.js("document.querySelectorAll('img, b, h1 ~ h1, body pre').length") == 0
        assert browser.js("document.querySelectorAll('script').length") == 3
        browser.key("Escape")
    shown = browser.js("document.getElementById('further').textContent")
    assert HOSTILE[0] in shown
    assert r"\x1b[31mred\x1b[0m \x07 \u202egnp.exe\u2066 \u200b \u2028 \u2029 \x00 \ud800" in shown
    hidden = browser.js(
        r"(document.body.innerText.match(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu) || [])"
        ".filter(char => !'\\n\\t'.includes(char))"
    )
    assert hidden == []


def test_huge_texts(browser: Chromium, show: Show) -> None:
    """A megabyte, and one line of 10,000 columns: a part is shown, where they part, and nothing hangs or spills."""
    million, wide = "word " * 200_000, "x" * 10_000
    show(
        drawn(
            [
                found("million", DRIFT, Generation(million + "other " + million), million + "word " + million),
                found("wide", DRIFT, Generation(wide + "a"), wide + "b"),
            ]
        )
    )
    browser.click("a[href$='small/million']")
    browser.wait(f"{HEADING} === 'small: million'")
    assert "other" in browser.js("document.querySelector('#panel ins').textContent")
    assert browser.js("document.getElementById('panel').textContent.length") < 100_000
    browser.key("j")
    browser.wait(f"{HEADING} === 'small: wide'")
    assert browser.js("document.getElementById('panel').scrollWidth <= document.getElementById('panel').clientWidth")
    assert browser.js("document.documentElement.scrollWidth <= window.innerWidth")


def test_thousands_of_cases_are_there_at_once(browser: Chromium, show: Show) -> None:
    """5,000 cases take less than 2 s until one can work with them, of which a part is drawn; search finds the last."""
    results = [
        found(f"case {at}", IDENTICAL if at % 50 else DRIFT, generation(PIECES_OF[bool(at % 50)]), model=model)
        for at in range(2500)
        for model in ("small", "large")
    ]
    show(drawn(results))
    assert browser.js("Number(document.documentElement.dataset.ready)") < 2000
    assert browser.js(COUNT) == "50 of 2,500 prompts, 100 cases"
    browser.click("#differing")
    assert browser.js(COUNT) == "2,500 prompts, 5,000 cases"
    assert browser.js("document.querySelectorAll('#tables tbody tr').length") < 500
    browser.js("window.scrollTo(0, document.body.scrollHeight)")
    browser.wait("document.querySelectorAll('#tables tbody tr').length >= 200")
    browser.key("/")
    browser.type("case 2499")
    browser.wait(f"{COUNT} === '1 of 2,500 prompts, 2 cases'")


def test_nothing_is_told_by_colour_alone(browser: Chromium, show: Show) -> None:
    """Verdicts, tiles, assertions and changed words can be told apart by words, signs and lines."""
    results = (AssertionResult("contains: 8", passed=False, why="not in it"), AssertionResult("json", passed=True))
    gates = (ThresholdResult("a", ">=1", 1.0, True, 1, 1), ThresholdResult("b", ">=1", 0.0, False, 1, 1))
    group = GroupResult(GroupKey("tests", "zoo", "small"), gates=gates)
    show(drawn([dataclasses.replace(one, assertions=results) for one in mixed()], (group,)))
    browser.click("a[href$='small/spider']")
    browser.wait(f"{HEADING} === 'small: spider'")
    told = "[...document.querySelectorAll('#panel .asserted li')].map(one => one.textContent)"
    assert browser.js(told) == ["✗ failed: contains: 8 (not in it)", "✓ holds: json"]
    small = "[...document.querySelectorAll('#gates h3 small')].map(one => one.textContent)"
    assert browser.js(small) == ["FAILED", "ok"]
    line = "getComputedStyle(document.querySelector('#panel {}')).textDecorationLine"
    assert [browser.js(line.format(tag)) for tag in ("del", "ins")] == ["line-through", "underline"]
    signs = "[...document.querySelectorAll('td .cell')].map(one => one.querySelector('.sign').textContent)"
    words = (
        "[...document.querySelectorAll('td .cell')].map(one => [...one.querySelectorAll('.unseen')].at(-1).innerText)"
    )
    assert len({*browser.js(signs)}) == len({*browser.js(words)}) == 8


PIECES_OF = {True: ("Eight", " legs", "."), False: ARMS}


@pytest.mark.parametrize("dark", [False, True])
def test_everything_can_be_read(browser: Chromium, show: Show, dark: bool) -> None:
    """On a desktop and on a phone, light and dark: enough contrast, no sideways scrolling, labels on every control."""
    for width in (1280, 390):
        browser.look(width=width, dark=dark)
        results = (AssertionResult("contains: 8", passed=False, why="not in it"), AssertionResult("json", passed=True))
        show(drawn([dataclasses.replace(one, assertions=results) for one in mixed()], (), "a note"))
        assert browser.js(CONTRAST) == []
        assert browser.js("document.documentElement.scrollWidth <= window.innerWidth")
        browser.js("for (const box of document.querySelectorAll('details')) box.open = true")
        assert browser.js(CONTRAST) == []
        menu = "document.getElementById('columns').getBoundingClientRect()"
        assert browser.js(f"{menu}.left >= 0 && {menu}.right <= window.innerWidth")
        browser.js("document.querySelectorAll('#columns input').forEach(box => box.click())")
        assert browser.js(CONTRAST) == []
        assert browser.js("document.documentElement.scrollWidth <= window.innerWidth")
        browser.js("document.querySelector('.menu').open = false")
        browser.js("document.querySelector(\"a[href$='small/spider']\").click()")
        browser.wait(f"{HEADING} === 'small: spider'")
        browser.js("document.getElementById('shade').click()")
        assert browser.js(CONTRAST) == []
        assert browser.js("document.getElementById('page').inert") is (width == 390)
        assert (
            browser.js(
                "[...document.querySelectorAll('input, select, button')]"
                ".filter(node => !(node.labels?.length || node.textContent.trim() || node.ariaLabel)).length"
            )
            == 0
        )
    back = browser.js("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(17, 19, 23)" if dark else "rgb(246, 247, 249)")
