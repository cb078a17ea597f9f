"""The documentation site builds without a warning, its reference has all that the code has, and it asks no server."""

from __future__ import annotations

import html
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_llmcompare
from pytest_llmcompare.models.gen_config import RULES
from pytest_llmcompare.models.pyproject_tables import KEYS
from pytest_llmcompare.run.marker_faults import FOR_USERS
from pytest_llmcompare.settings import FILE_KEYS
from pytest_llmcompare.suite.marker import llm_prompts
from tests.test_docs import REFERENCE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LARGEST = 500_000  # bytes, of all pictures of screens


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors: links, anchors, pages in the navigation, included files."""
    folder = tmp_path_factory.mktemp("site")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert built.returncode == 0, f"{built.stdout}\n{built.stderr}"
    return folder


def text_of(site: Path, page: str) -> str:
    """The text of a page, without its tags."""
    article = (site / page).read_text(encoding="utf-8").partition("<article")[2].partition("</article>")[0]
    return html.unescape(re.sub(r"<[^>]+>", "", article))


def first_cells(site: Path, page: str) -> set[str]:
    """What stands as code in the first column of the tables of a page."""
    return set(re.findall(r"<tr>\s*<td><code>([^<]+)</code></td>", (site / page).read_text(encoding="utf-8")))


def test_options_are_those_of_help(site: Path, pytester: pytest.Pytester) -> None:
    """Each option of `pytest --help` is in the table, and no other."""
    helped = pytester.runpytest_inprocess("--help").stdout.str()
    mine = helped.partition("(pytest-llmcompare):")[2].partition("\n\n")[0]
    options = set(re.findall(r"^  (--llm-[\w-]+(?:=\S+)?)", mine, re.MULTILINE))
    assert len(options) > 10
    assert {name for name in first_cells(site, "reference/options.html") if name.startswith("--")} == options


def test_reference_is_complete(site: Path) -> None:
    """Keys, keywords, fixtures, decoding settings, commands and public names are all there."""
    assert first_cells(site, "reference/settings.html") == {*FILE_KEYS, *KEYS}
    keywords = {f"{name}=" for name in inspect.signature(llm_prompts).parameters} - {"table="} | {"table"}
    assert first_cells(site, "reference/marker.html") == keywords | FOR_USERS | set(RULES)
    commands = text_of(site, "reference/commands.html")
    for name in REFERENCE.command_names():
        assert re.search(rf"usage: llmcompare {name}\b", commands, re.IGNORECASE)
    api = text_of(site, "reference/api.html")
    assert [name for name in pytest_llmcompare.__all__ if not re.search(rf"^ *\w* ?{name}\b", api, re.MULTILINE)] == []


def test_every_module_has_its_line(site: Path) -> None:
    """The page on who owns what has each module, with what it says of itself."""
    listed = text_of(site, "contributing.html")
    for path in (ROOT / "pytest_llmcompare").rglob("*.py"):
        said = path.read_text(encoding="utf-8").lstrip("r").removeprefix('"""').partition("\n")[0].rstrip('"')
        assert said.replace("`", "") in listed, path


def test_changelog_is_the_one_of_the_repository(site: Path) -> None:
    """Down to its first version."""
    assert "First version." in text_of(site, "changelog.html")


def test_no_page_asks_another_server(site: Path) -> None:
    """Links may lead elsewhere; scripts, styles, fonts and pictures are here."""
    loads = (
        r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^>]*>|url\([\"']?(?:https?:)?//"
    )
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert re.findall(loads, path.read_text(encoding="utf-8")) == [], path


def test_pictures_are_described_and_small(site: Path) -> None:
    """Each has a text for those who do not see it, and those of screens weigh little together."""
    for path in site.rglob("*.html"):
        for picture in re.findall(r"<img [^>]+>", path.read_text(encoding="utf-8")):
            assert re.search(r'alt="[^"]{20,}"', picture), f"{path}: {picture}"
    screens = list((DOCS / "images").glob("*.png"))
    assert screens
    assert sum(path.stat().st_size for path in screens) < LARGEST


def test_scripts_and_figures_are_no_pages(site: Path) -> None:
    """What makes the documentation is not part of it."""
    assert [path for path in site.rglob("*") if path.suffix in (".py", ".pyc", ".md")] == []
    assert not (site / "verdicts.json").exists()
