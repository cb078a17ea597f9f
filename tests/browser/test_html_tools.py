"""What people do with an HTML report: choose columns, sort, filter, go through drifts, take the data along."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from pytest_llmcompare.judgement import Likelihood
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey, GroupResult
from tests.unit.reports.runs import ARMS, DRIFT, IDENTICAL, drawn, found, generation, hostile, mixed

from .chromium import Chromium
from .conftest import Show
from .test_html_report import COUNT, HEADING, IDS

pytestmark = pytest.mark.slow

HEADS = "[...document.querySelectorAll('#tables thead th')].map(head => head.textContent)"
CHOOSE = """
{{ const box = document.getElementById({id!r}); box.value = {value!r}; box.dispatchEvent(new Event('change')); }}
"""


def of(name: str, table: str = "zoo", *, variant: str = "", margin: float = 1.0, **columns: str) -> CaseResult:
    """A drifted case with columns of its table."""
    judged = dataclasses.replace(DRIFT, margin=margin, likelihood=Likelihood(margin / 100, 0.0, 0.0, 0, 1e-5))
    key = CaseKey(GroupKey("tests", table, "small"), name, variant)
    return dataclasses.replace(found(name, judged, generation(ARMS)), key=key, columns=columns)


def choose(browser: Chromium, control: str, value: str) -> None:
    browser.js(CHOOSE.format(id=control, value=value))


def test_old_and_new_text_stand_in_the_grid(browser: Chromium, show: Show) -> None:
    """With the words that went and came."""
    show(drawn([of("spider")]))
    lines = browser.js("[...document.querySelectorAll('td .output')].map(line => line.textContent)")
    assert lines == ["baseline: Eight legs and no wings.", "drifted: Eight arms and two wings."]
    assert browser.js("[...document.querySelectorAll('td del')].map(word => word.textContent)") == ["legs", "no"]
    assert browser.js("[...document.querySelectorAll('td ins')].map(word => word.textContent)") == ["arms", "two"]


def test_what_run_it_was(browser: Chromium, show: Show) -> None:
    """When, which commit, which weights then and now."""
    environment = {"device": "cpu", "weights": "new"}
    group = GroupResult(
        GroupKey("tests", "zoo", "small"),
        environment=environment,
        baseline_environment={**environment, "weights": "old"},
    )
    document = drawn(mixed(), (group,))
    document["identity"] = {"time": "2026-11-30 12:00:00+00:00", "commit": "0f6e812", "branch": "main"}
    show(document)
    summary = browser.js("document.querySelector('#identity summary').textContent")
    assert summary == "This run · 2026-11-30 12:00:00+00:00 · 0f6e812 · main"
    browser.click("#identity summary")
    told = browser.js("document.querySelector('#identity dl').innerText")
    assert "device cpu, weights new (baselines: old)" in told
    assert "pytest --llm-models=small,large" in told


def test_columns_are_chosen_and_sorted(browser: Chromium, show: Show) -> None:
    """Those of the table stand beside the prompt, numbers below the output; sorted by the largest, or the alphabet."""
    results = [of("a", margin=0.5, topic="zebra"), of("b", margin=12.0, topic="ape"), of("c", margin=3.0)]
    show(drawn(results))
    assert browser.js(HEADS) == ["prompt", "small"]
    browser.click(".menu summary")
    for name in ("topic", "margin"):
        browser.click(f"#columns input[value={name}]")
    assert browser.js(HEADS) == ["prompt", "topic", "small"]
    assert browser.js("document.querySelector('td.own .output').textContent") == "zebra"
    assert browser.js("[...document.querySelectorAll('tr:first-child .why')].at(-1).textContent") == "margin 0.5"
    choose(browser, "sort", "margin")
    assert browser.js(IDS) == ["b", "c", "a"]
    choose(browser, "sort", "topic")
    assert browser.js(IDS) == ["b", "a", "c"]
    choose(browser, "sort", "")
    assert browser.js(IDS) == ["a", "b", "c"]
    offered = browser.js("[...document.querySelectorAll('#sort option')].map(one => one.textContent)")
    assert offered[:3] == ["order of the table", "target", "topic"]
    assert offered[3:] == ["verdict", "margin", "movement", "tokens", "finish reason"]


def test_filters_by_table_variant_and_column(browser: Chromium, show: Show) -> None:
    """Lists appear where there is a choice; `topic: refund` searches one column."""
    results = [
        of("a", topic="refund"),
        of("b", topic="delivery of a refund form"),
        of("a", variant="hot", topic="hot"),
        of("z", "farm", note="refund"),
    ]
    show(drawn(results))
    choose(browser, "table", "farm")
    assert browser.js(IDS) == ["z"]
    choose(browser, "table", "")
    choose(browser, "variant", "hot")
    assert browser.js(IDS) == ["a@hot"]
    choose(browser, "variant", "")
    browser.key("/")
    browser.type("topic: refund")
    browser.wait(f"{COUNT} === '2 of 4 prompts, 2 cases'")
    show(drawn([of("a")]))
    hidden = "['table', 'model', 'variant', 'sort'].map(id => document.getElementById(id).parentElement.hidden)"
    assert browser.js(hidden) == [True, True, True, False]


def test_next_drifted(browser: Chromium, show: Show) -> None:
    """A key and a button go from drift to drift, and from the last one to the first."""
    drifted = generation(ARMS)
    results = [found(f"r{at}", DRIFT if at in (2, 5) else IDENTICAL, drifted) for at in range(7)]
    show(drawn(results))
    browser.key("n")
    browser.key("Enter")
    browser.wait(f"{HEADING} === 'small: r2'")
    browser.key("n")
    browser.wait(f"{HEADING} === 'small: r5'")
    browser.key("n")
    browser.wait(f"{HEADING} === 'small: r2'")


KEEP = """
URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return "#saved"; };
"""


def saved_rows(browser: Chromium) -> list[dict[str, str]]:
    """The rows of the file that the page saves."""
    browser.js(KEEP)
    browser.click("#csv")
    browser.wait("window.saved !== undefined")
    return [*csv.DictReader(io.StringIO(browser.js("window.saved").removeprefix("\ufeff"), newline=""))]


def test_cases_are_saved_as_csv(browser: Chromium, show: Show) -> None:
    """Those that are shown, with all columns; numbers are numbers."""
    show(drawn([of("a", margin=0.5, topic='say "hi", now'), of("b", "farm")]))
    choose(browser, "table", "zoo")
    (row,) = saved_rows(browser)
    assert row["prompt id"] == "a"
    assert row["topic"] == 'say "hi", now'
    assert row["prompt"] == "Q: How many legs?\nA:"
    assert (row["baseline"], row["output"]) == ("Eight legs and no wings.", "Eight arms and two wings.")
    assert (row["margin"], row["movement"]) == ("0.5", "0.005")


def test_a_spreadsheet_computes_no_text(browser: Chromium, show: Show) -> None:
    """A text that begins like a formula gets a mark before it, wherever it stands."""
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\uff1d1"]
    show(drawn([of(f"{text}x", topic=text) for text in formulas]))
    rows = saved_rows(browser)
    assert sorted(row["topic"] for row in rows) == sorted(f"'{text}" for text in formulas)
    assert all(row["prompt id"].startswith("'") for row in rows)


def test_histograms_can_be_read_as_tables(browser: Chromium, show: Show) -> None:
    """Each has a name, the limit, and a table with the same numbers."""
    show(drawn([of(f"r{at}", margin=10.0**at) for at in range(-2, 2)]))
    titles = browser.js("[...document.querySelectorAll('figcaption')].map(one => one.textContent)")
    assert titles == [
        "Margins where texts part: 4 cases, nats, logarithmic scale",
        "Movement of log-probs: 4 cases, nats, logarithmic scale",
    ]
    assert browser.js("[...document.querySelectorAll('svg text.limit')].map(one => one.textContent)") == [
        *("tie 0.001", "noise 1e-05"),
    ]
    browser.click("figure summary")
    cells = browser.js("[...document.querySelectorAll('figure')[0].querySelectorAll('td')].map(one => one.textContent)")
    assert cells[1::2] == ["1", "1", "1", "1"]
    show(hostile())
    assert browser.js("document.querySelectorAll('figure script, figure img').length") == 0


def test_thirty_thousand_cases(browser: Chromium, show: Show) -> None:
    """They are there in 3 s, and sorted and filtered in one."""
    results = [
        found(f"case {at}", IDENTICAL if at % 50 else DRIFT, generation(("Eight",) if at % 50 else ARMS), model=model)
        for at in range(15_000)
        for model in ("small", "large")
    ]
    address = show(drawn(results))
    ready: list[float] = []
    for _ in range(3):  # other processes of the machine may take their time
        browser.open(f"{address}?{len(ready)}")
        ready.append(browser.js("Number(document.documentElement.dataset.ready)"))
    assert min(ready) < 3000
    browser.click("#differing")
    assert browser.js(COUNT) == "15,000 prompts, 30,000 cases"
    sort = CHOOSE.format(id="sort", value="margin")
    assert (
        browser.js(f"(() => {{ const start = performance.now(); {sort} return performance.now() - start; }})()") < 1000
    )
