"""Checks how options are written: suggests the nearest name for a misspelt one, and refuses values for flags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def check_flags(arguments: Iterable[str]) -> None:
    """Check that flags have no value that they do not take; argparse only says `ignored explicit argument`.

    Raises:
        UsageError: One has.
    """
    flags = [option.name for option in OPTIONS if str(option.facts.get("action")).startswith("store_")]
    for argument in arguments:
        forms = [flag for flag in flags if name_of(flag) == name_of(argument)]
        if "=" in argument and forms and argument not in forms:
            raise UsageError(f"{argument}: expected {' or '.join(forms)}. To switch it off, leave it out.")


def name_of(argument: str) -> str:
    """Return the name of an option, without its value."""
    return argument.partition("=")[0]
