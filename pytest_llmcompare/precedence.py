"""Where a setting comes from. Command line beats environment beats `[tool.llmcompare]`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .settings import COMMAND_LINE, FILE, Update, percentage, split_models

if TYPE_CHECKING:
    import pytest

MODELS = "llm_models"
UPDATES = {"llm_update": Update.CHANGED, "llm_update_missing": Update.MISSING, "llm_update_all": Update.ALL}


def read_file(path: Path) -> dict[str, Any]:
    """The `[tool.llmcompare]` table of a `pyproject.toml`, empty where there is none.

    Raises:
        UsageError: It is no file, or not TOML.
    """
    try:
        if not path.is_file() and path.exists() and not path.is_dir():
            raise UsageError(f"{path} cannot be read: it is a named pipe or a device, expected a regular file.")
        raw = path.read_bytes()
    except OSError:
        return {}
    if b"tool.llmcompare" not in raw:  # parsing is 1 ms that other people's suites need not pay
        return {}
    import tomllib

    try:
        parsed = tomllib.loads(raw.decode("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    table = parsed.get("tool", {}).get("llmcompare", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: tool.llmcompare = {table!r}, expected a table [tool.llmcompare].")
    return table


def unread_file(test: Path, root: Path) -> Path | None:
    """The nearest `pyproject.toml` around a test file that has our section and is not the one that was read.

    Args:
        test: The test file.
        root: pytest's root folder, whose file was read.
    """
    for folder in test.parents:
        path = folder / FILE
        try:
            if folder != root and read_file(path):
                return path
        except UsageError:  # it is not TOML, but it is there
            return path
    return None


def unread_note(test: Path, root: Path, started: Path) -> str:
    """What to do where a test has no models, but a `pyproject.toml` beside it would; empty where there is none.

    Args:
        test: The test file.
        root: pytest's root folder.
        started: The folder that pytest was started in, which shown paths are relative to.
    """
    path = unread_file(test, root)
    if path is None:
        return ""
    folder, tests = (shlex.quote(os.path.relpath(place, started)) for place in (path.parent, test.parent))
    there = f" Or run pytest in that folder: cd {folder} && pytest" if path.parent.is_relative_to(root) else ""
    return (
        f"\n{os.path.relpath(path, started)} has a section [tool.llmcompare] that was not read: only the {FILE} in "
        f"pytest's root folder counts, which is {root}.\n"
        f"Make its folder the root folder: pytest --rootdir={folder} {tests}{there}"
    )


class Picked:
    """Picks each value from the first source that has it, and remembers which."""

    def __init__(self, config: pytest.Config, table: Mapping[str, Any]) -> None:
        self.config = config
        self.table = table
        self.origins: dict[str, str] = {}

    def models(self, named: Mapping[str, Any]) -> tuple[str, ...]:
        """The models: as listed, else all named ones."""
        given = split_models(self.config.getoption(MODELS))
        if given:
            self.origins["models"] = COMMAND_LINE
            return given
        if os.environ.get("LLMCOMPARE_MODELS"):
            self.origins["models"] = "LLMCOMPARE_MODELS"
            return split_models([os.environ["LLMCOMPARE_MODELS"]])
        listed = self.table.get("default_models") or list(named)
        if listed:
            self.origins["models"] = FILE
        return tuple(listed)

    def update(self) -> Update:
        """The one update option that was given."""
        given = [mode for name, mode in UPDATES.items() if self.config.getoption(name)]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other: give one of them.")
        if not given:
            return Update.NOTHING
        self.origins["update"] = self.given_by(given[0].value)
        return given[0]

    def given_by(self, option: str) -> str:
        """Where an option without a value was given, of the places that pytest takes options from."""
        if option in map(str, self.config.invocation_params.args):
            return COMMAND_LINE
        if option in os.environ.get("PYTEST_ADDOPTS", "").split():
            return "PYTEST_ADDOPTS"
        if option in self.config.getini("addopts"):
            return f"addopts in {self.config.inipath.name}" if self.config.inipath else "addopts"
        return "an argument file or a plugin"

    def value(self, name: str, default: object) -> object:
        """A setting by its name, from command line, environment or file."""
        option = self.config.getoption(f"llm_{name}")
        if option is not None:
            self.origins[name] = COMMAND_LINE
            return option
        variable = f"LLMCOMPARE_{name.upper()}"
        if os.environ.get(variable):
            self.origins[name] = variable
            return os.environ[variable]
        if name in self.table:
            self.origins[name] = FILE
            return self.table[name]
        return default

    def listed(self, name: str, default: str) -> str:
        """A setting that the file alone has."""
        if name not in self.table:
            return default
        self.origins[name] = FILE
        return str(self.table[name])

    def number(self, name: str) -> int:
        """A whole number by its name."""
        value = self.value(name, 0)
        try:
            return int(str(value))
        except ValueError:
            raise UsageError(f"{self.origins[name]}: {name} = {value!r}, expected a whole number.") from None

    def nats(self, name: str) -> float | None:
        """A number by its name; None where it is not given."""
        value = self.value(name, None)
        if value is None:
            return None
        try:
            return float(str(value))
        except ValueError:
            raise UsageError(f"{self.origins[name]}: {name} = {value!r}, expected a number of nats.") from None

    def percentage(self, name: str) -> float | None:
        """A percentage by its name, or None."""
        value = self.value(name, None)
        return None if value is None else percentage(value, name.replace("_", " "), self.origins[name])
