"""Suggests the nearest name for a misspelt option of the command line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_llmcompare.errors import UsageError, did_you_mean
from pytest_llmcompare.options import OPTIONS, OWN_OPTIONS


def check_options(parser: pytest.Parser, arguments: Sequence[str]) -> None:
    """Check the names of options that begin as ours do; other plugins may have some, too.

    Args:
        parser: Knows the options of all plugins and `conftest.py` files.
        arguments: The command line, `addopts` included.

    Raises:
        UsageError: No plugin declares such an option.
    """
    known = {option.name for option in OPTIONS}
    if known.issuperset(name_of(argument) for argument in arguments if argument.startswith(OWN_OPTIONS)):
        return
    _, unknown = parser.parse_known_and_unknown_args(arguments)
    for name in map(name_of, unknown):
        if name.startswith(OWN_OPTIONS):
            raise UsageError(f"there is no option {name}.{did_you_mean(name, known)}")


def name_of(argument: str) -> str:
    """Return the name of an option, without its value."""
    return argument.partition("=")[0]
