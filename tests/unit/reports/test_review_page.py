"""The review page as a text: data that stays data, and a policy that fits what is in the page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from typing import Any

from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.cli.apply_decisions import Applied
from pytest_llmcompare.cli.web.page import ReviewPage
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import Baseline, CaseResult

from .runs import ARMS, DRIFT, HOSTILE, MISSING, found, generation


def entry_of(result: CaseResult, against: str = "") -> Entry:
    """The result of a case as a pending output."""
    assert result.generation is not None
    assert result.judgement is not None
    new = Baseline(result.key.row, result.generation, "0" * 8, "0" * 8)
    return Entry(
        *(result.key, result.nodeid, "0123456789abcdef", "", "", new, result.judgement, result.baseline_text),
        prompt=result.input,
        against=against,
    )


def entries() -> list[Entry]:
    """What two models left, in an order that is not that of their names."""
    return [
        entry_of(found("spider", DRIFT, generation(ARMS))),
        entry_of(found("bee", DRIFT, generation(ARMS), model="large"), "git:main"),
        entry_of(found("ant", MISSING, generation(), None)),
    ]


def data_of(page: str) -> dict[str, Any]:
    """The data in the page."""
    data = re.search(r'id="data">(.*?)</script>', page)
    assert data
    loaded: dict[str, Any] = json.loads(data[1])
    return loaded


def test_each_case_has_the_number_of_its_entry() -> None:
    """Rows and models stand in the order of the review, and a decision goes to the entry that was shown."""
    data = data_of(ReviewPage(entries(), ("a note",)).html)
    table = data["tables"][0]
    assert table["models"] == ["small", "large"]
    cases = {
        (case["model"], case["prompt_id"]): case["entry"] for row in table["rows"] for case in row["cases"] if case
    }
    assert cases == {("small", "spider"): 0, ("large", "bee"): 1, ("small", "ant"): 2}
    assert [row["prompt_id"] for row in table["rows"]] == ["spider", "ant", "bee"]
    assert [(part["title"], part["lines"]) for part in data["header"]["details"]] == [("1 note", ["a note"])]
    assert [(one["change"], one["against"]) for one in data["review"]] == [(0, ""), (1, "git:main"), (2, "")]


def test_equal_changes_have_equal_numbers() -> None:
    """So that the page can decide about all outputs of a model that changed in the same way."""
    alike = [entry_of(found(name, DRIFT, generation(ARMS))) for name in "ab"]
    assert [one["change"] for one in data_of(ReviewPage([*alike, *entries()]).html)["review"]] == [0, 0, 0, 1, 2]


def test_an_entry_is_known_by_all_that_it_holds() -> None:
    """A decision that a browser has kept is for this output alone, not for another one of the same case."""
    first = entries()[0]
    other = replace(first, new=replace(first.new, generation=Generation("other")))
    names = [data_of(ReviewPage([one]).html)["review"][0]["id"] for one in (first, entries()[0], other)]
    assert names[0] == names[1] != names[2]
    assert re.fullmatch(r"[0-9a-f]{16}", names[0])


def test_fate_of_each_output() -> None:
    """In the order of the entries, with reasons, whatever the order in which they were carried out."""
    first, second, third = (entry.key for entry in entries())
    applied = Applied(accepted=(third,), rejected=(first,), refused={second: "moved"}, faults=("moved",))
    assert ReviewPage(entries()).result(applied) == {
        "sentence": "1 accepted, 1 rejected, 1 refused.",
        "fates": ["rejected", "refused", "accepted"],
        "why": ["", "moved", ""],
        "faults": ["moved"],
        "written": [],
    }


def test_nothing_is_said_of_what_passed() -> None:
    """No drift rates, no models against each other, no command beside the buttons."""
    data = data_of(ReviewPage(entries()).html)
    assert data["header"]["sentence"] == "3 pending: 2 drifted, 1 missing"
    assert "accept" not in {*data, *data["header"]}
    assert data["header"]["details"] == []
    assert not any("drift rate" in line for model in data["header"]["models"] for line in model["lines"])
    assert {case["accept"] for row in data["tables"][0]["rows"] for case in row["cases"] if case} == {""}


def test_the_policy_names_the_script_and_the_style_of_the_page() -> None:
    """By their hashes, so that no other can run, and the page has no others."""
    page = ReviewPage(entries())
    for kind in ("style", "script"):
        inline = re.findall(rf"<{kind}>(.*?)</{kind}>", page.html, re.DOTALL)
        assert len(inline) == 1
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in page.policy
    assert "unsafe" not in page.html
    asking = r"https?:|<link|<img|@import|url\(|XMLHttp|innerHTML|insertAdjacent|\beval\(| on\w+="
    assert re.findall(asking, page.html) == []


def test_as_many_elements_whatever_models_say() -> None:
    """The tags of the page are those of its template."""
    judged = [Judgement(Verdict.DRIFTED, 0, 3, text, text[::-1], reason=text) for text in HOSTILE]
    harmful = [
        entry_of(found(f"{at}{text}", judgement, Generation(text), text + "!", model=f"m{text}", prompt=text), text)
        for at, (text, judgement) in enumerate(zip(HOSTILE, judged, strict=True))
    ]
    pages = [ReviewPage(harmful, HOSTILE), ReviewPage(entries())]
    tags = [re.findall(r"</?[a-zA-Z!][^>]*>", page.html) for page in pages]
    assert tags[0] == tags[1]
