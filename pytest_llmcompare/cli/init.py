"""`llmcompare init`: a suite to start from."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import click

from pytest_llmcompare.baselines import atomic_write
from pytest_llmcompare.errors import BaselineError, UsageError
from pytest_llmcompare.text import disarm

from .project_root import CONFIG

STARTER = files("pytest_llmcompare.cli") / "starter"
TABLE, TEST, WORKFLOW, IGNORE = "prompts.csv", "test_prompts.py", ".github/workflows/llmcompare.yml", ".gitignore"
RECORDED = "__baselines__/prompts/echo.baseline"
SECTION = """\
[tool.llmcompare]
default_models = ["echo:"]  # answers with the prompt; name your own: "gpt2", "./folder", "models:/name/1"
"""
IGNORED = ("mlflow.db", "mlruns/", "mlartifacts/", ".llmcompare/")
NEXT = """\
Try it:          pytest{where}
Name a model:    default_models in {config}: a hub id, a folder, an MLflow URI, a server; or pytest --llm-models=gpt2
Record answers:  pytest{where} --llm-update
"""


@dataclass(frozen=True)
class Part:
    """One part of a suite.

    Attributes:
        path: The file.
        content: Its content; empty leaves the file as it is.
        note: What is added to a file that is there, or why it is left as it is.
    """

    path: Path
    content: str
    note: str = ""


@click.command(epilog="Example: llmcompare init my-project")
@click.argument("folder", default=".", metavar="[FOLDER]", type=click.Path(path_type=Path))
def init(folder: Path) -> int:
    """Write a suite to start from.

    It has a table, a test, baselines, settings and a workflow. FOLDER is the root of your project, by default this
    folder. Table and test go into its folder tests, if there is
    one. No file is overwritten: pyproject.toml and .gitignore get further lines at their end, other files that are
    there stay as they are. The suite passes at once, on a model that repeats its prompts.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder. Make it first: mkdir {folder}")
    suite = list(parts(folder))
    write([part for part in suite if part.content])
    for part in suite:
        name = part.path.relative_to(folder).as_posix()
        print(disarm(f"{'written' if part.content else 'kept':<8} {name}{part.note and f' ({part.note})'}"))
    where = "" if folder.resolve() == Path.cwd() else f" {folder}"
    for line in NEXT.format(where=where, config=folder / CONFIG).splitlines():
        print(disarm(line))
    return 0


def write(files: Sequence[Part]) -> None:
    """Write files, all or none.

    Raises:
        BaselineError: One cannot be written.
    """
    try:
        for part in files:
            part.path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write.replace({part.path: part.content.encode() for part in files})
    except OSError as error:
        raise BaselineError(f"{error.filename} cannot be written: {error.strerror}. No file was changed.") from None


def parts(folder: Path) -> Iterator[Part]:
    """Yield the files of a suite.

    Raises:
        UsageError: The project's `pyproject.toml` is not TOML.
    """
    tests = folder / "tests" if (folder / "tests").is_dir() else folder
    yield _new(tests / TABLE, lambda: starter("prompts.csv"))
    yield _new(tests / TEST, lambda: starter("test_prompts.txt"))
    if not (tests / TABLE).exists():
        yield _new(tests / RECORDED, lambda: starter("echo.baseline"))
    yield _settings(folder / CONFIG)
    yield _ignored(folder / IGNORE)
    if _is_in_repository(folder) and not (folder / ".git").exists():
        yield Part(folder / WORKFLOW, "", "not the root of the repository; docs/ci.md has the workflow")
    else:
        yield _new(folder / WORKFLOW, lambda: starter("llmcompare.yml"))


def starter(name: str) -> str:
    """The text of a file in the folder `starter` of this package."""
    return (STARTER / name).read_text(encoding="utf-8")


def _new(path: Path, content: Callable[[], str]) -> Part:
    return Part(path, "", "it is there already") if path.exists() else Part(path, content())


def _settings(path: Path) -> Part:
    """`pyproject.toml` with our section at its end."""
    text = _text(path)
    try:
        tool = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}. Fix it first.") from None
    if "llmcompare" in tool:
        return Part(path, "", "it has a section [tool.llmcompare]")
    return Part(path, f"{_ended(text)}{SECTION}", "section [tool.llmcompare]")


def _ignored(path: Path) -> Part:
    """`.gitignore` with the lines that are missing."""
    text = _text(path)
    known = {line.strip().strip("/") for line in text.splitlines()}
    missing = [line for line in IGNORED if line.strip("/") not in known]
    if not missing:
        return Part(path, "", "nothing is missing")
    separator = "\n" if text and not text.endswith("\n") else ""
    return Part(path, f"{text}{separator}{''.join(f'{line}{chr(10)}' for line in missing)}", ", ".join(missing))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}. No file was changed.") from None


def _ended(text: str) -> str:
    """A text with an empty line at its end; an empty one stays empty."""
    return f"{text.rstrip(chr(10))}\n\n" if text.strip() else ""


def _is_in_repository(folder: Path) -> bool:
    return any((above / ".git").exists() for above in (folder.resolve(), *folder.resolve().parents))
