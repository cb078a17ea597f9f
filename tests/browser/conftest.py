"""One browser for all tests here, and a page of it in its own size for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_llmcompare.reports.html import html_report
from pytest_llmcompare.reports.report_data import ReportData

from .chromium import INSTALL, Chromium, find

Show = Callable[[ReportData], str]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A running browser. Where CI has none, that is a failure; elsewhere the tests are skipped."""
    program = find()
    if program is None:
        told = f"no Chromium is installed to look at the HTML report with: {INSTALL}"
        if os.environ.get("CI"):
            pytest.fail(told, pytrace=False)
        pytest.skip(told)
    browser = Chromium(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Chromium]:
    """The browser; at the end of each test no script has failed, nothing was fetched, and nothing was blocked."""
    chromium.look()
    yield chromium
    assert chromium.of_kind("Runtime.exceptionThrown") == []
    assert chromium.of_kind("Log.entryAdded") == []
    asked = [event["request"]["url"] for event in chromium.of_kind("Network.requestWillBeSent")]
    assert [address for address in asked if not address.startswith(("file:", "about:"))] == []


@pytest.fixture
def show(browser: Chromium, tmp_path: Path) -> Show:
    """Write a report and open it; its address."""

    def write(document: ReportData) -> str:
        path = tmp_path / "report.html"
        path.write_text(html_report(document), encoding="utf-8")
        browser.open(path.as_uri())
        return path.as_uri()

    return write
