"""A logged pyfunc that is handed a long table answers it in batches, and every row as if it were the only one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import pandas as pd
import pytest

from pytest_llmcompare.evaluation import model_logging
from pytest_llmcompare.evaluation.pyfunc import PyfuncTransformer, PyfuncTransformerWithParams
from pytest_llmcompare.models import in_memory

ROWS = 1000
NEW = 2
THINGS = ("sky", "sea", "grass", "snow", "sun", "moon", "coal")
EXAMPLES = "Q: Is fire hot?\nA: Yes.\n\nQ: Can fish swim?\nA: Yes.\n\nQ: Is ice warm?\nA: No.\n\n"


def question(number: int) -> str:
    """One of a thousand prompts of different lengths, of which no two are equal."""
    return f"Q: What color is the {' or the '.join(THINGS[: number % 7 + 1])} of day {number}?\nA:"


@contextmanager
def counted(loaded: Any) -> Iterator[list[int]]:
    """Rows of each forward pass of a loaded pyfunc's model."""
    inside = model_logging.python_model_of(loaded)
    assert inside is not None
    rows: list[int] = []
    hook = in_memory.hold(inside.located()).model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        yield rows
    finally:
        hook.remove()


@pytest.mark.parametrize("kind", ["one setting", "settings per row"])
def test_thousand_rows(kind: str, run: str, gpt2: str) -> None:
    """Rows go through the model many at a time, and a sample of them says the same when asked one by one."""
    frame = pd.DataFrame({"input_text": [question(number) for number in range(ROWS)]})
    model: Any = PyfuncTransformer(gpt2, {"max_new_tokens": NEW}, EXAMPLES, device="cpu")
    if kind == "settings per row":
        model = PyfuncTransformerWithParams(gpt2, device="cpu")
        frame = frame.assign(few_shot_examples=EXAMPLES, config_dict=f'{{"max_new_tokens": {NEW}}}')
    loaded: Any = mlflow.pyfunc.load_model(model_logging.log(model, "tiny").model_uri)
    with counted(loaded) as rows:
        texts = loaded.predict(frame)
    assert len(texts) == ROWS
    assert sum(rows) >= ROWS * NEW
    assert len(rows) <= ROWS * NEW // 20
    sample = [*range(0, ROWS, 97), ROWS - 1]
    assert len({texts[number] for number in sample}) > 1
    assert [loaded.predict(frame[number : number + 1])[0] for number in sample] == [texts[number] for number in sample]
