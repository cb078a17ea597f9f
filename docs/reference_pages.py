"""Generates the reference tables of the documentation from the code.

Between `<!-- begin: NAME -->` and `<!-- end: NAME -->` a page holds a generated part, which is committed, so that it
can be read in the repository. `python docs/reference_pages.py` writes these parts; tests/test_docs.py fails when one
is out of date. A line `<!-- NAME -->` is filled in only when the site is built, by the hook `on_page_markdown`.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent
SCHEMA = DOCS / "reference" / "llmcompare.schema.json"
PACKAGE = REPOSITORY / "pytest_llmcompare"
PLACEHOLDER = re.compile(r"^<!-- (\w[\w ]*) -->$", re.MULTILINE)
GENERATED = re.compile(r"^<!-- begin: ([\w ]+) -->\n.*?^<!-- end: \1 -->$", re.MULTILINE | re.DOTALL)
ATTRIBUTE = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n {8,}.*)*)", re.MULTILINE)
SECTION = re.compile(r"^(Args|Returns|Raises):\n", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in a page when the site is built.

    Raises:
        KeyError: A placeholder that stands for nothing.
    """
    return PLACEHOLDER.sub(lambda match: GENERATORS[match[1]](), regenerated(markdown))


def regenerated(markdown: str) -> str:
    """A page with its generated parts made anew."""

    def part(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- begin: {name} -->\n\n{GENERATORS[name]()}\n\n<!-- end: {name} -->"

    return GENERATED.sub(part, markdown)


def main() -> None:
    """Write the generated parts of all pages."""
    sys.path.insert(0, str(REPOSITORY))
    for path in sorted(DOCS.rglob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = regenerated(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.relative_to(REPOSITORY)} written")
    SCHEMA.write_text(schema_file(), encoding="utf-8")


def schema_file() -> str:
    """The JSON schema of `[tool.llmcompare]`, for editors."""
    from pytest_llmcompare.models.config_schema import schema

    return f"{json.dumps(schema(), indent=2)}\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def code(text: object) -> str:
    """Text as code; empty stays empty."""
    return f"`{text}`" if text != "" else ""


class OptionRecorder:
    """Stands in for pytest's parser and records the options that are declared."""

    def __init__(self) -> None:
        self.options: list[tuple[str, Mapping[str, Any]]] = []

    def getgroup(self, *_: str) -> OptionRecorder:
        """The group of our options."""
        return self

    def addoption(self, name: str, **attributes: Any) -> None:
        """Record an option."""
        self.options.append((name, attributes))


def declared_options() -> list[tuple[str, Mapping[str, Any]]]:
    """The options that we add to pytest's, with their attributes."""
    from pytest_llmcompare.options import add_options

    recorder = OptionRecorder()
    add_options(recorder)  # type: ignore[arg-type]
    return recorder.options


def options() -> str:
    """The options of pytest."""
    return table(
        ("option", "meaning"),
        (
            (code(f"{name}={attributes['metavar']}" if "metavar" in attributes else name), plain(attributes["help"]))
            for name, attributes in declared_options()
        ),
    )


def plain(text: str) -> str:
    """A help text of argparse's as Markdown."""
    names = r"(?<![\w`])((?:--[\w-]+|LLMCOMPARE_\w+|MLFLOW_\w+|\[[\w.=@\]\[]+\]?(?:SOURCE\[@REVISION\])?))"
    return re.sub(names, r"`\1`", text.replace("%%", "%"))


def documented(owner: Callable[..., Any] | type) -> dict[str, str]:
    """What a docstring says about each attribute or argument."""
    meanings: dict[str, str] = {}
    for names, meaning in ATTRIBUTE.findall(inspect.getdoc(owner) or ""):
        meanings.update(dict.fromkeys(names.split(", "), " ".join(meaning.split())))
    return meanings


def settings() -> str:
    """The keys of `[tool.llmcompare]`."""
    from pytest_llmcompare.settings import FILE_KEYS, Settings

    attribute_of = {"default_models": "models", "models": "named"}
    option_of = {name.removeprefix("--llm-").replace("-", "_"): name for name, _ in declared_options()}
    option_of["default_models"] = option_of.pop("models")
    meanings = documented(Settings)
    defaults = {field.name: field.default for field in fields(Settings) if field.default is not MISSING}

    def row(key: str) -> tuple[str, ...]:
        attribute = attribute_of.get(key, key)
        option = option_of.get(key, "")
        variable = f"LLMCOMPARE_{option.removeprefix('--llm-').replace('-', '_').upper()}" if option else ""
        default = f" Default: {code(defaults[attribute])}." if defaults.get(attribute) else ""
        return code(key), f"{meanings[attribute]}{default}", code(option), code(variable)

    return table(("key", "meaning", "option", "environment"), map(row, FILE_KEYS))


def model_keys() -> str:
    """The keys of `[tool.llmcompare.models.NAME]`."""
    from pytest_llmcompare.models.loading_options import LoadingOptions
    from pytest_llmcompare.models.pyproject_tables import KEYS
    from pytest_llmcompare.models.served import ServerOptions
    from pytest_llmcompare.models.spec import ModelSpec

    meanings = {**documented(ServerOptions), **documented(LoadingOptions), **documented(ModelSpec)}
    return table(
        ("key", "takes", "meaning"), ((code(key), expected, meanings[key]) for key, (_, expected) in KEYS.items())
    )


def keywords() -> str:
    """The arguments of the marker."""
    from pytest_llmcompare.suite.column_names import INPUT_COLUMNS
    from pytest_llmcompare.suite.marker import SIGNATURE, Declaration
    from pytest_llmcompare.suite.table import read_table

    meanings = {**documented(Declaration), **documented(read_table), "name": documented(Declaration)["table"]}
    meanings["table"] = documented(read_table)["source"]
    meanings["input"] = meanings["input"].replace("`INPUT_COLUMNS`", ", ".join(map(code, INPUT_COLUMNS)))

    def row(parameter: inspect.Parameter) -> tuple[str, ...]:
        required = parameter.default is parameter.empty
        default = "" if required else repr(parameter.default)
        return code(parameter.name if required else f"{parameter.name}="), meanings[parameter.name], code(default)

    return table(("argument", "meaning", "default"), map(row, SIGNATURE.parameters.values()))


def columns() -> str:
    """The columns of a prompt table that mean something."""
    from pytest_llmcompare.suite.column_names import CONFIG, EXAMPLES, ID, INPUT_COLUMNS, TARGET

    meanings = {
        ", ".join(map(code, INPUT_COLUMNS)): 'the prompt: the first of these; `input="..."` names another column',
        code(ID): "names the row in test ids and baselines: text or a number, once per table",
        code(TARGET): 'the expected answer, for metrics and your own tests; `target="..."` names another column',
        code(EXAMPLES): "text put before this row's prompt",
        code(CONFIG): "decoding settings of this row: a dict, or the same as JSON text",
        "`messages`": "a [conversation](#conversations) in place of a prompt",
        "`tools`": "tools that the model may call in it",
        "`expect`": "[assertions](#assertions-in-the-table) on the output of this row",
        "any other": "kept: in `llm_case.columns`, and as a column of the results in MLflow",
    }
    return table(("column", "meaning"), meanings.items())


def fixtures() -> str:
    """The fixtures that tests ask for."""
    from pytest_llmcompare import fixtures as own
    from pytest_llmcompare.run.marker_faults import FOR_USERS

    return table(
        ("fixture", "what it is"),
        ((code(name), " ".join((getattr(own, name).__doc__ or "").split())) for name in sorted(FOR_USERS)),
    )


def decoding_keys() -> str:
    """The decoding settings, and what each takes."""
    from pytest_llmcompare.models.gen_config import DEFAULTS, RULES, SAMPLING_DEFAULTS

    def default(key: str) -> str:
        if key in DEFAULTS:
            return code(DEFAULTS[key])
        return f"`{SAMPLING_DEFAULTS[key]}` when sampling" if key in SAMPLING_DEFAULTS else ""

    return table(
        ("setting", "takes", "default"), ((code(key), RULES[key].expected, default(key)) for key in sorted(RULES))
    )


def hooks() -> str:
    """Each hook: its arguments, when it is called, what it returns."""
    from pytest_llmcompare import hookspecs

    found = [hook for name, hook in vars(hookspecs).items() if name.startswith("pytest_llmcompare_")]
    return "\n\n".join(map(hook_section, found))


def hook_section(hook: Callable[..., Any]) -> str:
    """One hook under a heading of its own."""
    text, *sections = SECTION.split(inspect.getdoc(hook) or "")
    arguments = ", ".join(inspect.signature(hook).parameters)
    parts = [f"## {hook.__name__}", f"```text\n{hook.__name__}({arguments})\n```", text.strip()]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == "Args":
            items = ATTRIBUTE.findall(body)
            parts.append("\n".join(f"- `{name}`: {' '.join(meaning.split())}" for name, meaning in items))
        else:
            parts.append(f"**{title}** {inspect.cleandoc(body).strip()}")
    return "\n\n".join(parts)


def command_help(command: click.Command) -> str:
    """What `llmcompare COMMAND --help` prints, 86 columns wide."""
    from pytest_llmcompare.cli.main import llmcompare

    parent = click.Context(llmcompare, info_name="llmcompare", terminal_width=86, **llmcompare.context_settings)
    return command.get_help(click.Context(command, info_name=command.name, parent=parent)).rstrip()


def command_names() -> tuple[str, ...]:
    """The commands of `llmcompare`."""
    from pytest_llmcompare.cli.main import COMMANDS

    return tuple(str(command.name) for command in COMMANDS)


def command_table() -> str:
    """The commands of `llmcompare`, one per line."""
    from pytest_llmcompare.cli.main import COMMANDS

    rows = ((code(f"llmcompare {command.name}"), command.get_short_help_str(limit=200)) for command in COMMANDS)
    return table(("command", "what it does"), rows)


def commands() -> str:
    """The help of each command of `llmcompare`."""
    from pytest_llmcompare.cli.main import COMMANDS

    return "\n\n".join(f"## llmcompare {one.name}\n\n```text\n{command_help(one)}\n```" for one in COMMANDS)


def modules() -> str:
    """What each module is responsible for: its first sentence, folder by folder."""
    folders: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        summary = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
        folders.setdefault(place.parent.as_posix(), []).append((place.name, escaped(" ".join(summary.split()))))
    return "\n\n".join(folder_section(folder, files) for folder, files in sorted(folders.items()))


def folder_section(folder: str, files: list[tuple[str, str]]) -> str:
    """The modules of one folder."""
    title = "pytest_llmcompare" if folder == "." else f"pytest_llmcompare/{folder}"
    about = next(summary for name, summary in files if name == "__init__.py")
    listed = ((code(name), summary) for name, summary in files if name != "__init__.py")
    return f"### {title}\n\n{about}\n\n{table(('module', 'responsible for'), listed)}"


def escaped(text: str) -> str:
    """A sentence in which angle and square brackets and stars outside of code are no Markdown."""
    return re.sub(r"(`[^`]*`)|([<\[*])", lambda match: match[1] or f"\\{match[2]}", text)


def changes() -> str:
    """The changelog, less its title."""
    return (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n")[2]


GENERATORS: Mapping[str, Callable[[], str]] = {
    "options": options,
    "settings": settings,
    "model keys": model_keys,
    "keywords": keywords,
    "columns": columns,
    "fixtures": fixtures,
    "decoding keys": decoding_keys,
    "hooks": hooks,
    "command table": command_table,
    "commands": commands,
    "modules": modules,
    "changes": changes,
}
"""What makes each part, by its name in the pages."""

if __name__ == "__main__":
    main()
