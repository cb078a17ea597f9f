"""What people do with an HTML report: choose columns, sort, filter, go through drifts, take the data along."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Likelihood
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey, GroupResult, MlflowRun
from tests.unit.reports.runs import ARMS, DRIFT, HOSTILE, IDENTICAL, drawn, found, generation, hostile, mixed

from .chromium import Chromium
from .conftest import Show
from .test_html_report import CONTRAST, COUNT, HEADING, IDS

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


def test_metrics_are_columns(browser: Chromium, show: Show) -> None:
    """What metrics gave each output is chosen, sorted both ways and saved like the rest; texts in it stay texts."""
    given = {"a": (0.5, "=1+1"), "b": (0.25, HOSTILE[0]), "c": (2.0, "kind")}
    results = [
        dataclasses.replace(of(name), metrics={"tone": score, "tone/justification": text}, seconds=score)
        for name, (score, text) in given.items()
    ]
    show(drawn([*results, of("d")]))
    browser.click(".menu summary")
    for name in ("tone", "tone/justification", "seconds"):
        browser.click(f"#columns input[value={name!r}]")
    first = browser.js("[...document.querySelectorAll('tr:first-child .why')].at(-1).textContent")
    assert first == "seconds 0.5 · tone 0.5 · tone/justification =1+1"
    assert browser.js("window.hacked") is None
    choose(browser, "sort", "tone")
    assert browser.js(IDS) == ["c", "a", "b", "d"]
    browser.click("#reverse")
    assert browser.js(IDS) == ["b", "a", "c", "d"]
    rows = saved_rows(browser)
    assert [row["tone"] for row in rows] == ["0.25", "0.5", "2", ""]
    assert rows[1]["tone/justification"] == "'=1+1"
    browser.click("#columns input[value=tone]")
    browser.key("Escape")
    assert browser.js("document.activeElement.parentElement.className") == "menu"
    assert not browser.js("document.querySelector('.menu').open")


def test_links_to_mlflow(browser: Chromium, show: Show) -> None:
    """A server's pages are links; of a local store there is the command that opens it, to copy."""
    group = GroupKey("tests", "zoo", "small")
    served, local = (
        GroupResult(group, mlflow=MlflowRun(experiment_id="7", tracking_uri=store))
        for store in ("https://mlflow.example/x", "sqlite:////tmp/mlflow.db")
    )
    links = "[...document.querySelectorAll('#identity a')].map(one => [one.textContent, one.getAttribute('href')])"
    show(drawn(mixed(), (served,)))
    browser.click("#identity summary")
    base = "https://mlflow.example/x/#/experiments/7/runs?"
    assert browser.js(links) == [
        ["runs", f"{base}workflowType=machine_learning"],
        ["answers side by side", f"{base}compareRunsMode=ARTIFACT"],
    ]
    assert browser.js(CONTRAST) == []
    show(drawn(mixed(), (local,)))
    browser.click("#identity summary")
    assert browser.js(links) == []
    assert browser.js("document.querySelector('#identity .command code').textContent") == (
        "mlflow ui --backend-store-uri sqlite:////tmp/mlflow.db"
    )
    told = browser.js("document.querySelector('#identity dl').innerText")
    assert "runs: http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning" in told


PRINTED = "window.dispatchEvent(new Event('{}'))"


def test_on_paper(browser: Chromium, show: Show) -> None:
    """All rows with whole texts, what is folded away is open, no controls; afterwards all is as it was."""
    long = "word " * 400
    results = [found(f"r{at}", DRIFT, Generation(f"{long}new {at}"), f"{long}old", prompt=long) for at in range(150)]
    show(drawn(results, (), *(f"note {at}" for at in range(9))))
    browser.send("Emulation.setEmulatedMedia", media="print")
    browser.js(PRINTED.format("beforeprint"))
    try:
        assert browser.js("document.querySelectorAll('#tables tbody tr').length") == 150
        assert browser.js("document.querySelector('td .output').textContent.length") > 2000
        assert browser.js("document.querySelector('tbody th .prompt').textContent.length") >= 2000
        boxes = "[...document.querySelectorAll('td .output, tbody th .prompt, .scroll')]"
        assert browser.js(f"{boxes}.every(one => one.scrollHeight <= one.clientHeight + 1)")
        assert browser.js("[...document.querySelectorAll('details:not(.menu)')].every(one => one.open)")
        controls = "[...document.querySelectorAll('input, select, button, kbd')].filter(one => one.checkVisibility())"
        assert browser.js(f"{controls}.length") == 0
        head = "getComputedStyle(document.querySelector('#tables thead')).display"
        assert browser.js(head) == "table-header-group"
    finally:
        browser.js(PRINTED.format("afterprint"))
        browser.send("Emulation.setEmulatedMedia", media="")
    assert browser.js("document.querySelectorAll('#tables tbody tr').length") == 100
    assert browser.js("[...document.querySelectorAll('details')].filter(one => one.open).length") == 0
    assert browser.js("document.querySelector('td .output').textContent.length") < 400


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
    for text, shown in (("margin: 1", "4 prompts, 4 cases"), ("finish reason: length", "0 of 4 prompts, 0 cases")):
        browser.js("document.getElementById('search').value = ''")
        browser.type(text)
        browser.wait(f"{COUNT} === {shown!r}")
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
    while len(ready) < 3 and min(ready, default=3000) >= 3000:  # other processes of the machine may take their time
        browser.open(f"{address}?{len(ready)}")
        ready.append(browser.js("Number(document.documentElement.dataset.ready)"))
    assert min(ready) < 3000
    browser.click("#differing")
    assert browser.js(COUNT) == "15,000 prompts, 30,000 cases"
    sort = CHOOSE.format(id="sort", value="margin")
    assert (
        browser.js(f"(() => {{ const start = performance.now(); {sort} return performance.now() - start; }})()") < 1000
    )
