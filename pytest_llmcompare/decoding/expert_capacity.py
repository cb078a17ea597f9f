"""Settings that limit how many tokens an expert of a mixture takes. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

CAPACITY = re.compile(r"capacity|drop_?tokens?|tokens?_?drop", re.IGNORECASE)
"""Names of what limits the tokens of an expert: `expert_capacity`, `capacity_factor`, `moe_token_dropout`, ..."""


def expert_capacity(model: Any) -> str:
    """Setting that limits how many tokens an expert takes, as `name=value`; empty if there is none.

    Token by token each finds a place; in one pass, or beside other prompts, it may come too late for one. A pass shows
    that only from the capacity's token on, so it is looked up: in the configuration, its parts, and the modules, where
    a checkpoint's own code may have it.

    Args:
        model: The transformers model.
    """
    settings = [*_with_nested(vars(model.config)), *(vars(part) for part in model.modules())]
    return next(
        (
            f"{name}={value!r}"
            for attributes in settings
            for name, value in attributes.items()
            if CAPACITY.search(name) and isinstance(value, int | float) and value > 0
        ),
        "",
    )


def _with_nested(settings: Mapping[str, Any], depth: int = 3) -> Iterator[Mapping[str, Any]]:
    """A configuration and the configurations in it."""
    yield settings
    for value in settings.values() if depth else ():
        inner = value if isinstance(value, Mapping) else getattr(value, "__dict__", None)
        if inner:
            yield from _with_nested({str(name): one for name, one in inner.items()}, depth - 1)
