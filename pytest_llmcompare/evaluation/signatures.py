"""Signatures and input examples of the pyfuncs that this plugin logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from .pyfunc_input import CONFIG, EXAMPLES, INPUT, MESSAGES, SEED, TOOLS, json_text

QUESTION = "What color is the sky?"
OUTPUT = Schema([ColSpec(DataType.string)])
SETTINGS = (
    ColSpec(DataType.string, EXAMPLES, required=False),
    ColSpec(DataType.string, CONFIG, required=False),
    ColSpec(DataType.long, SEED, required=False),
)
CHAT = "chat"
SIGNATURES: Mapping[str, ModelSignature] = {
    # Without a name, so that a text, a list of texts and a DataFrame with any single column fit.
    "PyfuncTransformer": ModelSignature(Schema([ColSpec(DataType.string)]), OUTPUT),
    "PyfuncTransformerWithParams": ModelSignature(Schema([ColSpec(DataType.string, INPUT), *SETTINGS]), OUTPUT),
    CHAT: ModelSignature(
        Schema([*(ColSpec(DataType.string, name, required=False) for name in (INPUT, MESSAGES, TOOLS)), *SETTINGS]),
        OUTPUT,
    ),
}
"""Signatures by class of the pyfunc; one that is asked conversations, row by row, has that of `CHAT`."""


def input_example(kind: str) -> pd.DataFrame:
    """A row that the pyfunc of a class, or of `CHAT`, can answer."""
    settings = {CONFIG: json_text({"max_new_tokens": 10}), SEED: 0}
    rows: dict[str, dict[str, Any]] = {
        "PyfuncTransformer": {INPUT: f"Q: {QUESTION}\nA:"},
        "PyfuncTransformerWithParams": {
            INPUT: f"Q: {QUESTION}\nA:",
            EXAMPLES: "Q: Is fire hot?\nA: Yes.\n\n",
            **settings,
        },
        CHAT: {MESSAGES: json.dumps([{"role": "user", "content": QUESTION}]), **settings},
    }
    return pd.DataFrame([rows[kind]])
