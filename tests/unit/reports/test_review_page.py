"""The review page as a text: data that stays data, and a policy that fits what is in the page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

from pytest_llmcompare.cli.web.page import ReviewPage
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import CaseResult

from .runs import ARMS, DRIFT, HOSTILE, MISSING, found, generation

STATE: dict[str, Any] = {"version": 0, "decisions": [None, None, None], "undo": False, "end": None}


def results() -> list[CaseResult]:
    """What two models left, in an order that is not that of their names."""
    return [
        found("spider", DRIFT, generation(ARMS)),
        found("bee", DRIFT, generation(ARMS), model="large"),
        found("ant", MISSING, generation(), None),
    ]


def data_of(page: str) -> dict[str, Any]:
    """The data in the page."""
    data = re.search(r'id="data">(.*?)</script>', page)
    assert data
    loaded: dict[str, Any] = json.loads(data[1])
    return loaded


def test_each_case_has_the_number_of_its_entry() -> None:
    """Rows and models stand in the order of the review, and a decision goes to the entry that was shown."""
    data = data_of(ReviewPage(results(), [0, 1, 2], ["", "git:main", ""], ("a note",)).draw(STATE)[0])
    table = data["tables"][0]
    assert table["models"] == ["small", "large"]
    cases = {
        (case["model"], case["prompt_id"]): case["entry"] for row in table["rows"] for case in row["cases"] if case
    }
    assert cases == {("small", "spider"): 0, ("large", "bee"): 1, ("small", "ant"): 2}
    assert [row["prompt_id"] for row in table["rows"]] == ["spider", "ant", "bee"]
    assert (data["alike"], data["state"], data["notes"]) == ([0, 1, 2], STATE, ["a note"])
    assert data["against"] == ["", "git:main", ""]


def test_nothing_is_said_of_what_passed() -> None:
    """No drift rates, no models against each other, no command beside the buttons."""
    data = data_of(ReviewPage(results(), [0, 1, 2], [""] * 3).draw(STATE)[0])
    assert data["sentence"] == "3 pending: 2 drifted, 1 missing"
    assert (data["accept"], data["pairs"]) == ("", [])
    assert {model["drift_rate"] for model in data["models"]} == {None}
    assert {case["accept"] for row in data["tables"][0]["rows"] for case in row["cases"] if case} == {""}


def test_the_policy_names_the_script_and_the_style_of_the_page() -> None:
    """By their hashes, so that no other can run, and the page has no others."""
    page, policy = ReviewPage(results(), [0, 1, 2], [""] * 3).draw(STATE)
    for kind in ("style", "script"):
        inline = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        assert len(inline) == 1
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert "unsafe" not in page
    assert re.findall(r"https?:|<link|<img|@import|url\(|XMLHttp|innerHTML|insertAdjacent|\beval\(| on\w+=", page) == []


def test_as_many_elements_whatever_models_say() -> None:
    """The tags of the page are those of its template."""
    judged = [Judgement(Verdict.DRIFTED, 0, 3, text, text[::-1], reason=text) for text in HOSTILE]
    harmful = [
        found(f"{at}{text}", judgement, Generation(text), text + "!", model=f"m{text}", prompt=text)
        for at, (text, judgement) in enumerate(zip(HOSTILE, judged, strict=True))
    ]
    end = {**STATE, "decisions": [None] * 4, "end": {"faults": [*HOSTILE], "why": [*HOSTILE], "written": [*HOSTILE]}}
    pages = [
        ReviewPage(harmful, [0, 1, 2, 3], HOSTILE, HOSTILE).draw(end)[0],
        ReviewPage(results(), [0, 1, 2], [""] * 3).draw(STATE)[0],
    ]
    tags = [re.findall(r"</?[a-zA-Z!][^>]*>", page) for page in pages]
    assert tags[0] == tags[1]
