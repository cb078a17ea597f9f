"""The HTML report as a file: one page, whose data can neither end its element nor ask for anything."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.reports.html import embedded, html_report

from .runs import DRIFT, drawn, found, hostile, mixed
from .samples import HOSTILE

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
MARKS = ("/*DATA*/", "/*STYLE*/", "/*SCRIPT*/", "/*WORDS*/")


def test_the_page_asks_for_nothing() -> None:
    """A policy forbids it, and no element tries."""
    page = html_report(drawn(mixed()))
    assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">' in page
    asking = r"https?:|<link|<img|@import|url\(|\bfetch\(|XMLHttp|innerHTML|insertAdjacent|\beval\("
    assert re.findall(asking, page) == []


@given(HOSTILE | st.sampled_from(["</script>", "<!--<script>", "]]>", "\u2028\u2029", *MARKS]))
def test_data_stays_in_its_element(text: str) -> None:
    """No text closes a script element or opens a comment, and it is read as it was."""
    data = embedded({"text": text})
    assert data.isascii()
    assert not set("<>&") & set(data)
    assert json.loads(data)["text"] == text


def test_text_like_a_mark_of_the_template_is_text() -> None:
    """A model that says what the template says has no part of the page put into its place."""
    page = html_report(drawn([found("x", None, Generation(mark), None) for mark in MARKS]))
    data = re.search(r'id="data">(.*?)</script>', page)
    assert data
    assert json.loads(data[1])["tables"][0]["rows"][0]["cases"][0]["candidate"]["text"] in MARKS


def test_as_many_elements_whatever_models_say() -> None:
    """The tags of the page are those of its template."""
    tags = [re.findall(r"</?[a-zA-Z!][^>]*>", html_report(document)) for document in (hostile(), drawn(mixed()))]
    assert tags[0] == tags[1]


def test_changed_words_are_counted_as_javascript_counts() -> None:
    """An emoji has two units there; a page that cut by code points would mark the wrong letters."""
    page = html_report(drawn([found("x", DRIFT, Generation("👍👍 yes"), "👍👍 no")]))
    data = re.search(r'id="data">(.*?)</script>', page)
    assert data
    case = json.loads(data[1])["tables"][0]["rows"][0]["cases"][0]
    assert case["changes"] == {"baseline": [[5, 7]], "candidate": [[5, 8]]}
