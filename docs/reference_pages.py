"""Fills the pages of the reference when the site is built: what the code says of itself, in place of marks.

A line `<!-- options -->` stands for the table of pytest's options, and so on: see `MARKS`. mkdocs.yml lists this file
under `hooks`, so `on_page_markdown` is called for each page.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "pytest_llmcompare"
MARK = re.compile(r"^<!-- ([a-z ]+) -->$", re.MULTILINE)
ATTRIBUTE = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what the marks of a page stand for.

    Raises:
        KeyError: A mark that stands for nothing.
    """
    return MARK.sub(lambda mark: MARKS[mark[1]](), markdown)


def rows(head: tuple[str, ...], found: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *found]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def code(text: object) -> str:
    """Text as code; empty stays empty."""
    return f"`{text}`" if text != "" else ""


class Collected:
    """Takes the place of pytest's parser, and keeps the options that are declared."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Mapping[str, Any]]] = []

    def getgroup(self, *_: str) -> Collected:
        """The group of our options."""
        return self

    def addoption(self, name: str, **facts: Any) -> None:
        """Keep an option."""
        self.found.append((name, facts))


def declared() -> list[tuple[str, Mapping[str, Any]]]:
    """Our options of pytest's, with what is declared of each."""
    from pytest_llmcompare.options import add_options

    collected = Collected()
    add_options(collected)  # type: ignore[arg-type]
    return collected.found


def options() -> str:
    """The options of pytest."""
    return rows(
        ("option", "meaning"),
        (
            (code(f"{name}={facts['metavar']}" if "metavar" in facts else name), plain(facts["help"]))
            for name, facts in declared()
        ),
    )


def plain(text: str) -> str:
    """A help text of argparse's as Markdown."""
    names = r"(?<![\w`])((?:--[\w-]+|LLMCOMPARE_\w+|MLFLOW_\w+|\[[\w.=@\]\[]+\]?(?:SOURCE\[@REVISION\])?))"
    return re.sub(names, r"`\1`", text.replace("%%", "%"))


def described(owner: Callable[..., Any] | type) -> dict[str, str]:
    """What a docstring says of each attribute or argument."""
    text = inspect.getdoc(owner) or ""
    found: dict[str, str] = {}
    for names, meaning in ATTRIBUTE.findall(text):
        found.update(dict.fromkeys(names.split(", "), " ".join(meaning.split())))
    return found


def settings() -> str:
    """The keys of `[tool.llmcompare]`."""
    from pytest_llmcompare.settings import FILE_KEYS, Settings

    own = {"default_models": "models", "models": "named"}
    meanings = described(Settings)
    defaults = {one.name: one.default for one in fields(Settings) if one.default is not MISSING}
    given = {name.removeprefix("--llm-").replace("-", "_"): name for name, _ in declared()}

    def row(key: str) -> tuple[str, ...]:
        name = own.get(key, key)
        option = given.get("models" if key == "default_models" else key if key != "models" else "", "")
        variable = f"LLMCOMPARE_{option.removeprefix('--llm-').replace('-', '_').upper()}" if option else ""
        default = defaults.get(name) or ""
        told = f" By default {code(default)}." if default else ""
        return code(key), f"{meanings[name]}{told}", code(option), code(variable)

    return rows(("key", "meaning", "option", "environment"), map(row, FILE_KEYS))


def model_keys() -> str:
    """The keys of `[tool.llmcompare.models.NAME]`."""
    from pytest_llmcompare.models.config_tables import KEYS
    from pytest_llmcompare.models.spec import ModelSpec

    meanings = described(ModelSpec)
    return rows(
        ("key", "takes", "meaning"), ((code(key), expected, meanings[key]) for key, (_, expected) in KEYS.items())
    )


def keywords() -> str:
    """The keywords of the marker."""
    from pytest_llmcompare.suite.column_names import INPUT_COLUMNS
    from pytest_llmcompare.suite.marker import SIGNATURE, Declaration
    from pytest_llmcompare.suite.table import read_table

    meanings = {**described(Declaration), **described(read_table), "name": described(Declaration)["table"]}
    meanings["table"] = described(read_table)["source"]
    meanings["input"] = meanings["input"].replace("`INPUT_COLUMNS`", ", ".join(map(code, INPUT_COLUMNS)))

    def row(parameter: inspect.Parameter) -> tuple[str, ...]:
        default = "" if parameter.default is parameter.empty else repr(parameter.default)
        named = parameter.name if parameter.default is parameter.empty else f"{parameter.name}="
        return code(named), meanings[parameter.name], code(default)

    return rows(("argument", "meaning", "default"), map(row, SIGNATURE.parameters.values()))


def fixtures() -> str:
    """The fixtures, those that tests are meant to ask for."""
    from pytest_llmcompare import plugin

    return rows(
        ("fixture", "what it is"),
        ((code(name), " ".join((getattr(plugin, name).__doc__ or "").split())) for name in sorted(plugin.OURS)),
    )


def decoding_keys() -> str:
    """The decoding settings that there are, and what each takes."""
    from pytest_llmcompare.models.gen_config import DEFAULTS, RULES, SAMPLING_DEFAULTS

    def row(key: str) -> tuple[str, ...]:
        default = DEFAULTS.get(key, "")
        drawn = SAMPLING_DEFAULTS.get(key, "")
        return code(key), RULES[key].expected, code(default) if default != "" else drawn and f"`{drawn}` when drawing"

    return rows(("setting", "takes", "default"), map(row, sorted(RULES)))


def commands() -> str:
    """The help of each command of `llmcompare`."""
    from click import Context

    from pytest_llmcompare.cli.main import COMMANDS, llmcompare

    parent = Context(llmcompare, info_name="llmcompare", terminal_width=86)
    helps = {one.name: one.get_help(Context(one, info_name=one.name, parent=parent)) for one in COMMANDS}
    return "\n\n".join(f"## llmcompare {name}\n\n```text\n{text.rstrip()}\n```" for name, text in helps.items())


def modules() -> str:
    """Which module is responsible for what: the first sentence of each, folder by folder."""
    folders: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE)
        said = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
        folder = where.parent.as_posix()
        folders.setdefault(folder, []).append((where.name, escaped(" ".join(said.split()))))
    return "\n\n".join(section(folder, found) for folder, found in sorted(folders.items()))


def section(folder: str, found: list[tuple[str, str]]) -> str:
    """The modules of one folder."""
    title = "pytest_llmcompare" if folder == "." else f"pytest_llmcompare/{folder}"
    about = next(said for name, said in found if name == "__init__.py")
    listed = rows(("module", "responsible for"), ((code(name), said) for name, said in found if name != "__init__.py"))
    return f"### {title}\n\n{about}\n\n{listed}"


def escaped(text: str) -> str:
    """A sentence in which angle and square brackets and stars outside of code are no Markdown."""
    return re.sub(r"(`[^`]*`)|([<\[*])", lambda found: found[1] or f"\\{found[2]}", text)


def changes() -> str:
    """The changelog, less its title."""
    return (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n")[2]


MARKS: Mapping[str, Callable[[], str]] = {
    "options": options,
    "settings": settings,
    "model keys": model_keys,
    "keywords": keywords,
    "fixtures": fixtures,
    "decoding keys": decoding_keys,
    "commands": commands,
    "modules": modules,
    "changes": changes,
}
"""What each mark stands for."""
