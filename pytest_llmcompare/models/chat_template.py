"""Chat templates: reads the setting `chat_template` of a model, and checks that a template passes on the prompt.

A template is text; the content of a file counts, not its path. Syntax is checked when the settings are read; `probe`
checks the rest with a loaded tokenizer.
"""

from __future__ import annotations

import difflib
import json
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_llmcompare.errors import UsageError

from .model_files import is_lfs_pointer

TOKENIZER = "tokenizer"
"""The setting for the tokenizer's own template."""

SERVER = "server"
"""In place of a template: the server of a served model has it."""

EXPECTED = "true for the tokenizer's own template, the path of a file with a Jinja template, or the template as text"
ENDINGS = (".jinja", ".jinja2", ".j2", ".txt", ".json", ".tmpl", ".tpl", ".template", ".md", ".html", ".yaml", ".yml")
LARGEST = 1 << 20  # bytes; the longest templates have some 30,000
SAYS_NOTHING = (
    "never inserts the message, so every prompt would be the same. Say where the message goes, for example "
    "{{ messages[0].content }}"
)

Render = Callable[..., str]


def read_template(text: str, where: str, root: Path) -> str:
    """The template that a setting names or contains.

    Args:
        text: The setting: a template, the path of a file with one, or `tokenizer`.
        where: The setting, for messages.
        root: Folder that a path is relative to.

    Raises:
        UsageError: There is no such file, or no template in it; the template is broken, or cannot contain a prompt.
    """
    if text == TOKENIZER:
        return text
    if not text.strip():
        raise UsageError(f"{where}: it is empty. Expected {EXPECTED}, or leave it out.")
    if _has_expressions(text):
        _check_syntax(text, where)
        return text
    path = _path(text.strip(), root)
    if path is None:
        raise UsageError(f"{where}: {_cut(text)!r} {SAYS_NOTHING}. Expected {EXPECTED}.")
    template = _from_json(path, where) if path.suffix.lower() == ".json" else _content(path, where)
    if not _has_expressions(template):
        raise UsageError(f"{where}: the text of {path} {SAYS_NOTHING}.")
    _check_syntax(template, f"{where}: {path}")
    return template


def _has_expressions(template: str) -> bool:
    """True if a template has Jinja expressions or statements."""
    return "{{" in template or "{%" in template


def _check_syntax(template: str, where: str) -> None:
    """Check the syntax of a template.

    Raises:
        UsageError: It is not valid Jinja.
    """
    import jinja2
    from jinja2.ext import Extension, loopcontrols

    class GenerationTag(Extension):
        """`{% generation %}` of transformers, which marks the assistant's text."""

        tags = {"generation"}  # noqa: RUF012 - as jinja's own are

        def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    try:
        environment = jinja2.Environment(  # noqa: S701 - no HTML
            trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
        )
        environment.parse(template)
    except jinja2.TemplateSyntaxError as error:
        lines = template.splitlines()
        line = f" ({_cut(lines[error.lineno - 1].strip())!r})" if 0 < error.lineno <= len(lines) else ""
        raise UsageError(
            f"{where}: the template is not valid Jinja, line {error.lineno}{line}: {error.message}"
        ) from None


def probe(render: Render) -> str:
    """Render a few messages with a template; return what is wrong with it, empty if nothing.

    Args:
        render: Renders a user message; keywords are further variables of the template.
    """
    words = [f"word{number:02}" for number in range(24)]
    texts = [" ".join(words)]  # and as long, with another word at the start, in the middle, at the end
    texts += [" ".join([*words[:at], f"wert{at:02}", *words[at + 1 :]]) for at in (0, 12, 23)]
    try:
        rendered = [render(text) for text in texts]
    except Exception as error:  # raise_exception(), an undefined name, a syntax error
        lines = str(error).strip().splitlines() or [""]
        return f"raises {type(error).__name__} on a user message: {lines[0][:300]}"
    if len(set(rendered)) == 1:
        return "leaves out the user's message, so every prompt would be the same"
    if len(set(rendered)) < len(rendered):
        return "leaves out a part of the user's message"
    return ""


def tells_the_time(render: Render) -> bool:
    """True if a template uses the current time; only testing for `strftime_now` does not count."""
    try:
        return render("a", strftime_now="") != render("a")
    except Exception:  # a text can't be called
        return True


def _path(text: str, root: Path) -> Path | None:
    """The file that a text names; None if the text does not look like a path."""
    if "\n" in text or len(text) > 1000 or "\0" in text:
        return None
    try:
        path = root / Path(text).expanduser()
        if path.exists():
            return path
    except (OSError, RuntimeError):
        path = root / text
    return path if path.suffix.lower() in ENDINGS or " " not in text else None


def _content(path: Path, where: str) -> str:
    """The text of a file.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise UsageError(f"{where}: {path} is {'a folder' if path.is_dir() else 'no file'}. Expected {EXPECTED}.")
        if facts.st_size > LARGEST:
            raise UsageError(f"{where}: {path} has {facts.st_size:,} bytes, too many for a template. {_expected()}")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{where}: there is no file {path}.{_nearest(path)}\n{_expected()}") from None
    except OSError as error:
        raise UsageError(f"{where}: {path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: {path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    if is_lfs_pointer(path):
        raise UsageError(
            f"{where}: {path} is a git-lfs pointer, not the file itself.\nFetch it: git -C {path.parent} lfs pull"
        )
    return text


def _from_json(path: Path, where: str) -> str:
    """The template in a tokenizer_config.json or chat_template.json.

    Raises:
        UsageError: There is no such file.
    """
    text = _content(path, where)
    try:
        read = json.loads(text)
    except ValueError:
        return text  # a template that ends in .json
    template = read.get("chat_template") if isinstance(read, Mapping) else None
    if isinstance(template, list):  # named templates
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, Mapping)}
        template = named.get("default")
    if not isinstance(template, str):
        raise UsageError(f"{where}: {path} has no text under the key 'chat_template'. {_expected()}")
    return template


def _nearest(path: Path) -> str:
    """A question about a file with a similar name."""
    beside = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f" Did you mean {near[0]!r} beside it?" if near else ""


def _expected() -> str:
    return f"Expected {EXPECTED}. Paths are relative to the folder of pyproject.toml."


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."
