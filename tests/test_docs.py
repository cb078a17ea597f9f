"""README and reference are true: commands run, tables are complete and current, the picture is what the code draws."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from pytest_llmcompare import Case, Generation
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.models.pyproject_file import read_config
from pytest_llmcompare.models.pyproject_tables import KEYS
from pytest_llmcompare.models.spec import parse_specs
from pytest_llmcompare.run.assertion import StoredBaseline
from pytest_llmcompare.settings import FILE_KEYS, Settings, check_file
from pytest_llmcompare.suite.readers import READERS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARTICLE = "pytest example_suite --llm-models=gpt2-large,bigscience/bloom-560m,distilgpt2 -k test_answers --llm-update"

NOT_RUN = {
    'python -m pip install -c constraints.txt -e ".[test]"': "needs a package index; this environment was made so",
    "python -m pytest": "is this very run",
}
"""Commands that cannot run here, and why."""


@dataclass(frozen=True)
class Block:
    """A code block of the README: under which heading, in which language, and the line before it."""

    section: str
    language: str
    before: str
    text: str


def read_blocks(text: str) -> list[Block]:
    """The code blocks of a Markdown text, in order."""
    found = []
    section = ""
    for match in re.finditer(r"^## ([^\n]+)$|(?:^([^\n]*)\n\n)?^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if match[1]:
            section = match[1]
        else:
            found.append(Block(section, match[3], match[2] or "", match[4]))
    return found


BLOCKS = read_blocks(README)
HANDLED = {
    ("Install", "bash"),
    ("Sixty seconds", "bash"),
    ("Sixty seconds", "json"),
    ("Sixty seconds", "python"),
    ("Sixty seconds", "text"),
}
"""Sections and languages of the blocks that the tests below take."""


def load_script(name: str) -> ModuleType:
    """A script of `docs/`, imported as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = load_script("reference_pages")


def blocks(section: str, language: str = "") -> list[Block]:
    """The blocks of a section."""
    return [block for block in BLOCKS if block.section == section and language in ("", block.language)]


def commands(block: Block) -> list[str]:
    """The single commands of a shell block."""
    return [part.strip() for line in block.text.splitlines() for part in line.split("&&")]


def page(name: str) -> str:
    """The text of a page of the documentation."""
    return (DOCS / name).read_text(encoding="utf-8")


def table_rows(text: str, heading: str) -> list[list[str]]:
    """The cells of each row of the table whose first heading this is."""
    lines = text.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def code_names(cell: str) -> list[str]:
    """What stands in code font in a cell."""
    return re.findall(r"`([^`]+)`", cell)


class Shell:
    """Runs commands one after the other, as one terminal would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        self.environment = {**kept, "PATH": path, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "COLUMNS": "100"}

    def run(self, *given: str, status: int = 0) -> str:
        """Run what can be run of these commands; what they say."""
        script = "\n".join([*(command for command in given if command not in NOT_RUN), "code=$?", "pwd", "exit $code"])
        ended = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert ended.returncode == status, f"{script}\n{ended.stdout}\n{ended.stderr}"
        said, _, last = ended.stdout.rstrip("\n").rpartition("\n")
        self.folder = Path(last)
        return said


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a clone of the repository has it, as far as the README's commands look at it."""
    folder = tmp_path_factory.mktemp("docs") / "repository"
    left_out = shutil.ignore_patterns("__pycache__", ".*_cache", ".llmcompare", "mlruns", "*.db")
    shutil.copytree(ROOT / "example_suite", folder / "example_suite", ignore=left_out)
    return folder


def test_no_block_and_no_excuse_is_forgotten() -> None:
    """Each block is taken by a test, and each command that is not run is in the README."""
    assert {(block.section, block.language) for block in BLOCKS} == HANDLED
    given = {command for block in BLOCKS if block.language == "bash" for command in commands(block)}
    assert set(NOT_RUN) <= given


def test_readme_is_short() -> None:
    """Reference belongs into docs/."""
    assert len(README.splitlines()) <= 160


@pytest.mark.usefixtures("warm_executable")
def test_installed_clone_is_green(clone: Path) -> None:
    """What the README says to run in a fresh clone passes."""
    shell = Shell(clone)
    for block in blocks("Install", "bash"):
        shell.run(*commands(block))


@pytest.mark.usefixtures("warm_executable")
def test_sixty_seconds(clone: Path) -> None:
    """The quick start as a story, in order."""
    shell = Shell(clone)
    start, record, look, accept = [commands(block) for block in blocks("Sixty seconds", "bash")]
    shell.run(*start)
    for block in (*blocks("Sixty seconds", "json"), *blocks("Sixty seconds", "python")):
        named = re.search(r"`([\w.]+)`:$", block.before)
        assert named
        (shell.folder / named[1]).write_text(block.text, encoding="utf-8")
    assert "3 passed" in shell.run(*record)
    baseline = shell.folder / "__baselines__" / "capitals" / "qa.baseline"
    before = baseline.read_text(encoding="utf-8")
    failed = shell.run(*look, status=1)
    assert "1 failed, 2 passed" in failed
    assert "test_capitals[qa-japan]" in failed
    assert blocks("Sixty seconds", "text")[0].text in failed
    assert (shell.folder / "report.html").is_file()
    assert "3 passed" in shell.run(*accept)
    after = baseline.read_text(encoding="utf-8")
    assert after != before
    texts = [[line for line in text.splitlines() if line[:1] in ("c", "|")] for text in (before, after)]
    assert set(texts[0]) ^ set(texts[1]) == {
        "| The capital of Japan is Tokyo.",
        "| The capital of India is New Delhi.",
    }


@pytest.mark.usefixtures("warm_executable")
def test_article_models_command_is_understood(clone: Path) -> None:
    """The command for the article's models selects five questions for each of them, and loads nothing."""
    assert f"  {ARTICLE}\n" in page("quickstart.md")
    assert "15/135 tests collected" in Shell(clone).run(f"{ARTICLE} --collect-only -q")


def test_every_setting_of_the_file_is_shown_and_right(tmp_path: Path) -> None:
    """The example has each key there is, and passes the checks of a run."""
    path = tmp_path / "pyproject.toml"
    (block,) = read_blocks(page("reference/settings.md"))
    path.write_text(block.text, encoding="utf-8")
    table = read_config(path)
    check_file(table, "settings.md")
    assert set(table) == set(FILE_KEYS)
    assert {key for model in table["models"].values() for key in model} == set(KEYS)
    assert [spec.name for spec in parse_specs(table["default_models"], table["models"], tmp_path)] == [
        "tiny-gpt2",
        "qa",
    ]


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_generated_parts_are_current(path: Path) -> None:
    """Where this fails: `python docs/reference_pages.py`."""
    text = path.read_text(encoding="utf-8")
    assert text == REFERENCE.regenerated(text), "run: python docs/reference_pages.py"


def test_options_are_those_of_help(pytester: pytest.Pytester) -> None:
    """No option is missing from the table, and README and table name none that the program does not have."""
    helped = pytester.runpytest_inprocess("--help").stdout.str()
    mine = helped.partition("(pytest-llmcompare):")[2].partition("\n\n")[0]
    listed = [code_names(row[0])[0] for row in table_rows(page("reference/options.md"), "option")]
    assert listed == re.findall(r"^  (--llm-[\w-]+(?:=\S+)?)", mine, re.MULTILINE)
    assert len(listed) > 10
    assert set(re.findall(r"--llm-[a-z-]+", README)) <= set(re.findall(r"--llm-[a-z-]+", mine))
    variables = set(re.findall(r"LLMCOMPARE_\w+", mine))
    assert variables <= set(re.findall(r"LLMCOMPARE_\w+", page("reference/settings.md")))


def test_commands_are_read_from_the_help() -> None:
    """The list from which the reference is made has the commands, and the README's is one of them."""
    assert {"review", "accept", "reject", "pending", "models"} <= set(REFERENCE.command_names())
    assert set(re.findall(r"`llmcompare ([a-z]+)", README)) <= set(REFERENCE.command_names())


def test_verdicts_are_listed_with_what_they_do_to_a_test() -> None:
    """In the README and on their page: all of them, in order, and those pass that pass by default."""
    for text in (README, page("verdicts.md")):
        rows = table_rows(text, "verdict")
        assert [code_names(row[0])[0] for row in rows] == [str(verdict) for verdict in Verdict]
        passing = {row[0].strip("`") for row in rows if row[2].startswith("passes")}
        assert passing == {str(verdict) for verdict in Verdict if Settings().passes(verdict)}


def test_attributes_of_fixtures_are_there() -> None:
    """The attributes that the reference lists are those of the classes."""
    listed = {code_names(of)[0]: code_names(names) for of, names in table_rows(page("reference/marker.md"), "of")}
    owners = {"llm_output": Generation, "llm_baseline": StoredBaseline, "llm_case": Case}
    for name, owner in owners.items():
        known = {*dir(owner), *getattr(owner, "__annotations__", {})}
        assert set(listed[name]) <= known, name


def test_kinds_of_tables_are_listed() -> None:
    """Each ending that is read stands on the page about tables."""
    assert [suffix for suffix in READERS if f"`{suffix}`" not in page("tables.md")] == []


def test_sources_are_specs(tmp_path: Path) -> None:
    """Each example in the table of models can be parsed."""
    examples = [name for row in table_rows(page("models.md"), "source") for name in code_names(row[0])]
    assert len(examples) >= 10
    for text in examples:
        if not text.startswith(("KIND:", "echo:")):  # of a plugin; with their own tests
            parse_specs([text], {"tiny-gpt2": {"source": "models/tiny-gpt2"}}, tmp_path)


def test_links_lead_somewhere() -> None:
    """Each relative link and picture of the README is a file of the repository, with that heading."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#([^)]*))?\)", README)
    assert {"LICENSE", "CHANGELOG.md", "docs/images/comparison.svg"} <= {target for target, _ in targets}
    for target, anchor in targets:
        assert (ROOT / target).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / target).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, anchor


def test_architecture_names_rooms_and_files_that_are_there() -> None:
    """Each file that a question leads to exists, and the picture has every room."""
    text = page("architecture.md")
    package = ROOT / "pytest_llmcompare"
    files = set(re.findall(r"`(?:\w+/)*\w+\.py`", text))
    assert len(files) > 20
    assert [name for name in files if not any((root / name.strip("`")).is_file() for root in (package, ROOT))] == []
    picture = text.partition("```text\n")[2].partition("```")[0]
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"\b(\w+)/ ", picture)) == rooms
    assert {path.stem for path in package.glob("*.py")} - {"__init__"} <= set(re.findall(r"\w+", picture))


@pytest.fixture
def script() -> ModuleType:
    """The script that draws the picture."""
    return load_script("terminal_picture")


@pytest.mark.usefixtures("warm_executable")
def test_picture_shows_what_a_run_says_today(script: ModuleType, tmp_path: Path) -> None:
    """But for times, speeds and noise, which are the machine's, and the spaces and lines that fill up around them."""
    drawn = script.draw(script.record(tmp_path / "example_suite"))
    committed = script.PICTURE.read_text(encoding="utf-8")
    assert timeless(script.lines_in(drawn)) == timeless(script.lines_in(committed))


def timeless(lines: list[str]) -> list[str]:
    """Lines with each time, and all that stands behind it, and the noise of the machine left out."""
    times = r" +(time +tok/s|[\d.]+ m?s +[\d,.]+)$|=+ (?=\d+ failed)| in [\d.]+s.*|(?<=\(noise )[\d.e-]+"
    return [re.sub(times, "", line) for line in lines]


def test_picture_needs_no_network(script: ModuleType) -> None:
    """Whoever looks at it tells nobody; the address of MLflow's pages is a text in it."""
    addresses = set(re.findall(r"https?://[^\"' <]+", script.PICTURE.read_text(encoding="utf-8")))
    assert {address for address in addresses if not address.startswith("http://127.0.0.1:5000/")} <= {
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",
    }
