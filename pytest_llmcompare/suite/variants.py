"""Named decoding settings that multiply the rows of a table. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmcompare.errors import UsageError

from .marker_values import checked_config, checked_text

EXAMPLES = "examples"
NUMBERED = re.compile(r"#[0-9]+\Z")
"""End of the names of a variant's samples after the first."""


@dataclass(frozen=True)
class Variant:
    """Named decoding settings; `examples` is None if the variant has none of its own."""

    name: str
    gen_config: Mapping[str, Any]
    examples: str | None


def read_variants(given: object) -> tuple[Variant, ...]:
    """Check `variants={"greedy": {...}, "top_k": {...}}`.

    Raises:
        UsageError: Not a mapping of names to settings, or faulty settings.
    """
    if given is None:
        return (Variant("", {}, None),)
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f'llm_prompts: variants={given!r}, expected e.g. {{"greedy": {{"do_sample": False}}}}.')
    variants = []
    for name, settings in given.items():
        if not isinstance(name, str) or not name.strip() or not isinstance(settings, Mapping):
            raise UsageError(f"llm_prompts: variants[{name!r}] = {settings!r}, expected a name and its settings.")
        if NUMBERED.search(name):
            raise UsageError(f"llm_prompts: variants[{name!r}] ends like the number of a sample. Rename it.")
        config = {key: value for key, value in settings.items() if key != EXAMPLES}
        examples = settings.get(EXAMPLES)
        where = f"variants[{name!r}]"
        variants.append(
            Variant(
                name,
                checked_config(config, where),
                None if examples is None else checked_text(examples, f"{where}['{EXAMPLES}']"),
            )
        )
    return tuple(variants)
