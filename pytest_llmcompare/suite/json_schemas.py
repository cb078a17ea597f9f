"""JSON schemas that outputs are validated with, by the library jsonschema. Nothing is fetched from a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_llmcompare.text import cut

from .bounded_search import REWRITE, SearchError, bounded_search
from .cells import WantedError

LONGEST = 160  # columns of a fault
INSTALL = 'the package jsonschema is not installed. Install it: pip install "pytest-llmcompare[json-schema]"'
PATTERN = "pattern"
SEARCHING = (PATTERN, "patternProperties", "additionalProperties", "unevaluatedProperties")
"""Keywords for which jsonschema searches in strings or names of the value."""
AS_VALUES = frozenset({"const", "enum", "default", "examples"})
"""Keywords whose values are data, in which `$ref` is a plain key."""


def read_schema(path: Path, name: str) -> Callable[[Any], str]:
    """Read and check a JSON schema.

    Args:
        path: The file.
        name: The file as the user wrote it, for messages.

    Returns:
        Returns why a value does not follow the schema, and where; empty if it does.

    Raises:
        WantedError: The file cannot be read, is no JSON schema, or refers to another one.
    """
    try:
        import jsonschema
        from jsonschema.exceptions import SchemaError, best_match
        from referencing import Registry
    except ImportError:
        raise WantedError(INSTALL) from None
    schema = _schema_in(path, name)
    kind: Any = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise WantedError(f"{name} is not a JSON schema: at {error.json_path}: {_short(error.message)}") from None
    for reference in _references(schema):
        if not reference.startswith("#") and not reference.startswith(str(schema.get("$id") or "\0")):
            raise WantedError(f"{name} refers to {reference!r}: write that schema into {name}, below $defs")
    searching = {keyword: kind.VALIDATORS[keyword] for keyword in SEARCHING if keyword in kind.VALIDATORS}
    limited = {keyword: _limited(keyword, follow) for keyword, follow in searching.items()}
    # An empty registry: nothing is fetched.
    extend: Callable[..., Any] = jsonschema.validators.extend
    validator = extend(kind, limited)(schema, registry=Registry())

    def why_not(value: Any) -> str:
        try:
            error = best_match(validator.iter_errors(value))
        except SearchError as problem:
            return f"the search for a pattern of {name} {problem}. {REWRITE}"
        except Exception as problem:  # a reference to a part that is not there
            return f"{name} cannot be followed: {_short(str(problem))}"
        return "" if error is None else f"at {error.json_path}: {_short(error.message)}"

    return why_not


def _schema_in(path: Path, name: str) -> Any:
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise WantedError(f"{name} is not a file beside the test: {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise WantedError(f"{name} cannot be read as JSON: {error}") from None
    if not isinstance(schema, dict):
        raise WantedError(f"{name} is not a JSON schema: expected an object, got {_short(json.dumps(schema))}")
    return schema


def _limited(keyword: str, follow: Callable[..., Iterable[Any] | None]) -> Callable[..., Iterator[Any]]:
    """Check a keyword as jsonschema does, after its regular expressions were searched for in limited time."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if keyword == PATTERN:
            searched = [(value, instance)] if isinstance(instance, str) else []
        else:
            names = instance if isinstance(instance, dict) else ()
            searched = [(pattern, name) for pattern in schema.get("patternProperties", ()) for name in names]
        for pattern, text in searched:
            bounded_search(pattern, text)
        yield from follow(validator, value, instance, schema) or ()

    return check


def _references(schema: Any) -> Iterator[str]:
    """All that a schema refers to."""
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            elif key not in AS_VALUES:
                yield from _references(value)


def _short(text: str) -> str:
    return cut(" ".join(text.split()), LONGEST)
