"""The README is true: its commands run, its tables are complete, its picture is what the code draws today."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from pytest_llmcompare import plugin
from pytest_llmcompare.cli.main import COMMANDS
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.models.config_file import read_file
from pytest_llmcompare.models.config_tables import KEYS
from pytest_llmcompare.models.spec import parse_specs
from pytest_llmcompare.settings import FILE_KEYS, check_file
from pytest_llmcompare.suite.column_names import INPUT_COLUMNS
from pytest_llmcompare.suite.marker import llm_prompts
from pytest_llmcompare.suite.readers import READERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARTICLE = "pytest example_suite --llm-models=gpt2-large,bigscience/bloom-560m,distilgpt2 -k test_answers --llm-update"

NOT_RUN = {
    'python -m pip install -c constraints.txt -e ".[test]"': "needs a package index; this environment was made so",
    "python -m pytest": "is this very run",
    "python -m pytest example_suite -n2": "tests/test_example_suite.py runs it",
    "mlflow ui": "never ends; tests/test_example_suite.py starts and ends it",
    "hf download gpt2-large": "3 GB from the hub",
    "hf download bigscience/bloom-560m": "1 GB from the hub",
    "hf download distilgpt2": "0.4 GB from the hub",
    ARTICLE: "needs those models; a test below collects it",
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
    ("Set up", "bash"),
    ("Quick start", "bash"),
    ("Quick start", "json"),
    ("Quick start", "python"),
    ("Quick start", "text"),
    ("Tests", "python"),
    ("Models", "bash"),
    ("Models", "toml"),
    ("Reports", "bash"),
    ("Baselines in git", "text"),
    ("MLflow", "python"),
    ("MLflow", "bash"),
    ("The pyfuncs by themselves", "python"),
    ("Several processes", "bash"),
    ("The example suite", "bash"),
}
"""Sections and languages of the blocks that the tests below take."""


def blocks(section: str, language: str = "") -> list[Block]:
    """The blocks of a section."""
    return [block for block in BLOCKS if block.section == section and language in ("", block.language)]


def commands(block: Block) -> list[str]:
    """The single commands of a shell block."""
    return [part.strip() for line in block.text.splitlines() for part in line.split("&&")]


def text_of(section: str) -> str:
    """The text of a section."""
    return README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]


def column(section: str, heading: str) -> list[str]:
    """The first column of the table in a section whose heading begins so, without the marks for code."""
    table = text_of(section).partition(f"| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| (.+?) \|", table, re.MULTILINE)


def names(section: str, heading: str) -> list[str]:
    """All names in code font in the first column of such a table."""
    return [name for cell in column(section, heading) for name in re.findall(r"`([^`]+)`", cell)]


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

    def python(self, code: str) -> str:
        """Run Python code; what it prints."""
        (self.folder / "block.py").write_text(code, encoding="utf-8")
        return self.run("python block.py")


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


def test_set_up_and_the_table_of_all_models(clone: Path) -> None:
    """The command for a fresh clone is green, and the code for MLflow then prints the models side by side."""
    shell = Shell(clone)
    for block in blocks("Set up", "bash"):
        shell.run(*commands(block))
    said = shell.python(blocks("MLflow", "python")[0].text)
    heading, _, *rows = [line.split() for line in said.splitlines()]
    assert heading == ["tags.llmcompare.model", "tiny-bloom", "tiny-gpt2", "tiny-gpt2-distil"]
    assert [row[0] for row in rows] == ["favorite", "sky", "sum", "trees", "vader"]


def test_quick_start_and_what_follows_in_its_folder(clone: Path) -> None:
    """The quick start as a story, in order; then the blocks that go on with its models."""
    shell = Shell(clone)
    start, record, look, accept = [commands(block) for block in blocks("Quick start", "bash")]
    shell.run(*start)
    for block in (*blocks("Quick start", "json"), *blocks("Quick start", "python")):
        named = re.search(r"`([\w.]+)`:$", block.before)
        assert named
        (shell.folder / named[1]).write_text(block.text, encoding="utf-8")
    assert "3 passed" in shell.run(*record)
    baseline = shell.folder / "__baselines__" / "capitals" / "qa.baseline"
    before = baseline.read_text(encoding="utf-8")
    failed = shell.run(*look, status=1)
    assert "1 failed, 2 passed" in failed
    assert "test_capitals[qa-japan]" in failed
    assert blocks("Quick start", "text")[0].text in failed
    assert "3 passed" in shell.run(*accept)
    after = baseline.read_text(encoding="utf-8")
    assert after != before
    texts = [[line for line in text.splitlines() if line[:1] in ("c", "|")] for text in (before, after)]
    assert set(texts[0]) ^ set(texts[1]) == {
        "| The capital of Japan is Tokyo.",
        "| The capital of India is New Delhi.",
    }
    follow_up(shell)


def follow_up(shell: Shell) -> None:
    """The blocks of later sections that need the quick start's folder."""
    (shell.folder / "test_sums.py").write_text(blocks("Tests", "python")[0].text, encoding="utf-8")
    assert "1 passed" in shell.run("pytest test_sums.py --llm-models=./models/tiny-gpt2")
    shell.run(*commands(blocks("Reports", "bash")[0]), status=1)
    assert {path.name for path in shell.folder.glob("report.*")} == {"report.html", "report.json", "report.md"}
    (shell.folder / "test_models.py").write_text(blocks("Tests", "python")[1].text, encoding="utf-8")
    two = "large=./models/tiny-gpt2,small=./models/tiny-gpt2-distil"
    assert "1 passed" in shell.run(f"pytest test_models.py --llm-models={two}")
    said = shell.run(*commands(blocks("Models", "bash")[0]))
    assert [line.split()[0] for line in said.splitlines() if line[0] != " "] == ["tiny-gpt2", "qa"]
    plain, loaded, drawn = shell.python(blocks("The pyfuncs by themselves", "python")[0].text).splitlines()[-3:]
    assert plain == loaded == "[' The sky is blue.']"
    assert drawn.startswith("[' ")


def test_article_models_command_is_understood(clone: Path) -> None:
    """The command for the article's models selects five questions for each of them, and loads nothing."""
    assert ARTICLE in commands(blocks("The example suite", "bash")[0])
    assert "15/112 tests collected" in Shell(clone).run(f"{ARTICLE} --collect-only -q")


def test_every_setting_of_the_file_is_shown_and_right(tmp_path: Path) -> None:
    """The TOML block has each key there is, and passes the checks of a run."""
    path = tmp_path / "pyproject.toml"
    path.write_text(blocks("Models", "toml")[0].text, encoding="utf-8")
    table = read_file(path)
    check_file(table, "README.md")
    assert set(table) == set(FILE_KEYS)
    assert {key for model in table["models"].values() for key in model} == set(KEYS)
    assert [spec.name for spec in parse_specs(table["default_models"], table["models"], tmp_path)] == [
        "tiny-gpt2",
        "qa",
    ]


def test_options_are_those_of_help(pytester: pytest.Pytester) -> None:
    """No option is missing from the README's table, and none that it names anywhere is missing from the program."""
    helped = pytester.runpytest_inprocess("--help").stdout.str()
    mine = helped.partition("(pytest-llmcompare):")[2].partition("\n\n")[0]
    assert names("Options", "option") == re.findall(r"^  (--llm-[\w-]+(?:=\S+)?)", mine, re.MULTILINE)
    assert set(re.findall(r"--llm-[a-z-]+", README)) <= set(re.findall(r"--llm-[a-z-]+", mine))
    assert set(re.findall(r"LLMCOMPARE_\w+", mine)) <= set(re.findall(r"LLMCOMPARE_\w+", README))


def test_tables_of_keywords_fixtures_columns_and_verdicts_are_complete() -> None:
    """What the program has and what the README lists are the same."""
    keywords = [keyword for keyword in inspect.signature(llm_prompts).parameters if keyword != "table"]
    assert sorted(names("Tests", "keyword")) == sorted(f"{keyword}=" for keyword in keywords)
    assert set(names("Tests", "fixture")) == plugin.OURS
    assert names("Tests", "column")[: len(INPUT_COLUMNS)] == list(INPUT_COLUMNS)
    assert names("Review", "command") == [f"llmcompare {command.name}" for command in COMMANDS]
    assert set(names("Verdicts", "verdict")) == {str(verdict) for verdict in Verdict}
    assert all(f"`{suffix}`" in README for suffix in READERS if suffix not in (".yml", ".ndjson"))


def test_sources_are_specs(tmp_path: Path) -> None:
    """Each example in the table of models can be parsed."""
    examples = re.findall(r"`([^`]+)`", text_of("Models").partition("| source |")[2].partition("\n\n")[0])
    assert len(examples) >= 8
    for text in examples:
        parse_specs([text], {"tiny-gpt2": {"source": "models/tiny-gpt2"}}, tmp_path)


def test_baseline_file_is_shown_as_it_is() -> None:
    """The file format in the README is the beginning of the file that it names."""
    shown = blocks("Baselines in git", "text")[0].text
    place = re.search(r"`(example_suite/\S+\.baseline)`", README)
    assert place
    assert (ROOT / place[1]).read_text(encoding="utf-8").startswith(shown)


def test_links_lead_somewhere() -> None:
    """Each relative link and picture of the README is a file of the repository."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert {"LICENSE", "CHANGELOG.md", "docs/images/comparison.svg"} <= set(targets)
    assert all((ROOT / target).exists() for target in targets)


@pytest.fixture
def script() -> ModuleType:
    """The script that draws the picture."""
    spec = importlib.util.spec_from_file_location("terminal_picture", ROOT / "docs" / "terminal_picture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_picture_shows_what_a_run_says_today(script: ModuleType, tmp_path: Path) -> None:
    """But for times and speeds, and the spaces and lines that fill up around them."""
    drawn = script.draw(script.record(tmp_path / "example_suite"))
    committed = script.PICTURE.read_text(encoding="utf-8")
    assert timeless(script.lines_in(drawn)) == timeless(script.lines_in(committed))


def timeless(lines: list[str]) -> list[str]:
    """Lines with each time, and all that stands behind it, left out."""
    times = r" +(time +tok/s|[\d.]+ m?s +[\d,.]+)$|=+ (?=\d+ failed)| in [\d.]+s.*"
    return [re.sub(times, "", line) for line in lines]


def test_picture_needs_no_network(script: ModuleType) -> None:
    """Whoever looks at it tells nobody."""
    assert set(re.findall(r"https?://[^\"' <]+", script.PICTURE.read_text(encoding="utf-8"))) <= {
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",
    }
