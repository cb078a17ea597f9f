"""Facts of a case for JUnit files."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given

from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.reports.junit import properties

from .samples import DRIFTED, HOSTILE, case

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def test_properties_of_a_drift() -> None:
    """Each fact is one property, in a fixed order, and positions count from 1."""
    assert properties(case(judgement=DRIFTED)) == [
        ("llmcompare.model", "distilgpt2"),
        ("llmcompare.table", "geo"),
        ("llmcompare.prompt_id", "paris"),
        ("llmcompare.verdict", "drifted"),
        ("llmcompare.position", "7"),
        ("llmcompare.length", "8"),
        ("llmcompare.unit", "tok"),
        ("llmcompare.baseline_token", " Paris"),
        ("llmcompare.candidate_token", " Lyon"),
        ("llmcompare.tokens", "8"),
        ("llmcompare.stop", "eos"),
    ]


def test_properties_without_a_comparison() -> None:
    """A test that compared nothing says so."""
    assert ("llmcompare.verdict", "not compared") in properties(case())
    assert ("llmcompare.verdict", "error") in properties(case(text=None))


@given(HOSTILE, HOSTILE)
def test_properties_fit_into_xml(text: str, name: str) -> None:
    """Any text makes the way through an XML file."""
    judgement = Judgement(Verdict.DRIFTED, 0, 1, text, name, reason=text)
    for key, value in properties(case(name, model=name, text=text, judgement=judgement)):
        assert not FORBIDDEN.search(value)
        element = ElementTree.Element("property", name=key, value=value)
        assert ElementTree.fromstring(ElementTree.tostring(element, "utf-8")).get("value") == value
