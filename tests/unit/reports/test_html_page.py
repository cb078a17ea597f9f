"""The HTML report as a file: one page, whose data can neither end its element nor ask for anything."""

from __future__ import annotations

import dataclasses
import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.reports.html import embedded, html_report
from pytest_llmcompare.reports.page_data import changes, slim_document

from .runs import ARMS, DRIFT, drawn, found, generation, hostile, mixed
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


def units(text: str, ranges: list[tuple[int, int]], *, inside: bool) -> list[str]:
    """The parts of a text in or between ranges, cut as JavaScript cuts it."""
    data = text.encode("utf-16-le", "surrogatepass")
    ends = [0, *(end for one in ranges for end in one), len(data) // 2]
    parts = [data[2 * start : 2 * end] for start, end in pairwise(ends)]
    return [part.decode("utf-16-le", "surrogatepass") for part in parts[1 if inside else 0 :: 2]]


@given(HOSTILE, HOSTILE)
def test_what_is_not_marked_is_the_same_in_both(baseline: str, candidate: str) -> None:
    """Ranges are ascending parts of their text, and all that is outside of them stands in both texts."""
    result = changes(baseline, candidate)
    if result is None:
        assert baseline == candidate
        return
    one, other = result["baseline"], result["candidate"]
    for ranges in (one, other):
        ends = [end for pair in ranges for end in pair]
        assert ends == sorted(set(ends))
    assert "".join(units(baseline, one, inside=False)) == "".join(units(candidate, other, inside=False))


@pytest.mark.parametrize(
    ("baseline", "candidate", "gone", "come"),
    [
        ("a blue sky", "a red sky", ["blue"], ["red"]),
        ("Yes, it is.", "Yes, it is!", ["."], ["!"]),
        ("\U0001f600 blue sky", "\U0001f600 red sky", ["blue"], ["red"]),
        ("a b", "a b c", [], [" c"]),
        ("", "new", [], ["new"]),
        ("हिन्दी पानी", "हिन्दी पाना", ["पानी"], ["पाना"]),
        ("a blue sky", "a red sea", ["blue sky"], ["red sea"]),
        ("word " * 300 + "x", "other " * 300 + "x", [("word " * 300)[:-1]], [("other " * 300)[:-1]]),
    ],
)
def test_where_texts_differ(baseline: str, candidate: str, gone: list[str], come: list[str]) -> None:
    """Word by word; a mark of punctuation is a word, and a letter with its accents is never cut."""
    result = changes(baseline, candidate)
    assert result is not None
    assert units(baseline, result["baseline"], inside=True) == gone
    assert units(candidate, result["candidate"], inside=True) == come


def test_texts_that_do_not_differ() -> None:
    """They have no ranges."""
    assert changes("a", "a") is None
    assert changes(None, "a") is None


def test_text_like_a_mark_of_the_template_is_text() -> None:
    """A model that says what the template says has no part of the page put into its place."""
    page = html_report(drawn([found("x", None, Generation(mark), None) for mark in MARKS]))
    data = re.search(r'id="data">(.*?)</script>', page)
    assert data
    assert json.loads(data[1])["tables"][0]["rows"][0]["cases"][0]["candidate"]["text"] in MARKS


def test_as_many_elements_whatever_models_say() -> None:
    """The tags of the page are those of its template, and of histograms, which hold numbers alone."""
    pages = [html_report(document) for document in (hostile(), drawn(mixed()))]
    figure = re.compile(r"<figure>.*?</figure>", re.DOTALL)
    tags = [re.findall(r"</?[a-zA-Z!][^>]*>", figure.sub("", page)) for page in pages]
    assert tags[0] == tags[1]
    drawn_in = {tag for page in pages for one in figure.findall(page) for tag in re.findall(r"<(\w+)", one)}
    assert drawn_in == {
        *("figure", "figcaption", "svg", "rect", "text", "path", "details", "summary", "p"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }


def test_columns_of_a_table_keep_apart_from_ours() -> None:
    """A column that is called like one of the page's own is told apart by its name."""
    result = dataclasses.replace(found("x", DRIFT, generation(ARMS)), columns={"margin": "wide", "topic": "legs"})
    data = slim_document(drawn([result]))
    assert data["columns"][:3] == [{"name": name, "of": "row"} for name in ("target", "margin (table)", "topic")]
    assert {"name": "margin", "of": "case"} in data["columns"]


def test_metrics_are_columns_of_cases() -> None:
    """After the page's own; one that is called like one of these, or like a column of the table, keeps apart."""
    scored: dict[str, float | str] = {"tone": 0.25, "tokens": 3.0, "tone/justification": "=polite"}
    with_metrics = dataclasses.replace(
        found("x", DRIFT, generation(ARMS)), columns={"tone": "kind"}, metrics=scored, seconds=0.5
    )
    data = slim_document(drawn([with_metrics, found("y", DRIFT, generation(ARMS))]))
    names = [column["name"] for column in data["columns"] if column["of"] == "case"]
    assert names[-3:] == ["tone", "tokens (metric)", "tone/justification"]
    assert names[3:5] == ["tokens", "seconds"]
    assert data["columns"][1] == {"name": "tone (table)", "of": "row"}
    facts = data["tables"][0]["rows"][0]["cases"][0]["facts"]
    assert (facts["tone"], facts["tokens (metric)"], facts["tokens"], facts["seconds"]) == (0.25, 3.0, 6, 0.5)


def test_changed_words_are_counted_as_javascript_counts() -> None:
    """An emoji has two units there; a page that cut by code points would mark the wrong letters."""
    page = html_report(drawn([found("x", DRIFT, Generation("👍👍 yes"), "👍👍 no")]))
    data = re.search(r'id="data">(.*?)</script>', page)
    assert data
    case = json.loads(data[1])["tables"][0]["rows"][0]["cases"][0]
    assert case["changes"] == {"baseline": [[5, 7]], "candidate": [[5, 8]]}
