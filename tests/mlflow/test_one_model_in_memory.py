"""One model in memory at a time, shared by all pyfuncs that want it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.evaluation.pyfunc import PyfuncTransformer, PyfuncTransformerWithParams
from pytest_llmcompare.models import in_memory

QUESTIONS = [
    "Q: What color is the sky?\nA:",
    "Q: Are trees plants or animals?\nA:",
    "Q: What is 2+2?\nA:",
    "Q: Who is Darth Vader?\nA:",
    "Q: What is your favorite color?\nA:",
]


def test_models_share_one_load(gpt2: str) -> None:
    """Pyfuncs of the same model share its weights; the name in messages is that of who asks."""
    first, second = PyfuncTransformer(gpt2), PyfuncTransformerWithParams(gpt2, name="other")
    held = in_memory.hold(first.located())
    assert held.name == "tiny-gpt2"
    assert in_memory.hold(second.located()) is held
    assert held.name == "other"


@pytest.mark.parametrize("change", ["model", "dtype", "template", "release"])
def test_one_model_in_memory(change: str, gpt2: str, bloom: str) -> None:
    """Another model, precision or template frees the former model first."""
    held = in_memory.hold(PyfuncTransformer(gpt2).located())
    others: dict[str, Callable[[], object]] = {
        "model": lambda: in_memory.hold(PyfuncTransformer(bloom).located()),
        "dtype": lambda: in_memory.hold(PyfuncTransformer(gpt2, dtype="bfloat16").located()),
        "template": lambda: in_memory.hold(PyfuncTransformer(gpt2, chat_template="{{ messages }}").located()),
        "release": in_memory.release,
    }
    now = others[change]()
    assert held.model is None
    assert now is not held
    assert in_memory.hold(PyfuncTransformer(gpt2).located()) is not held


def test_failed_load_leaves_room(gpt2: str, tmp_path: Path) -> None:
    """A model that cannot be loaded leaves none in memory, and the next one loads."""
    (tmp_path / "broken").mkdir()
    for file in Path(gpt2).iterdir():
        (tmp_path / "broken" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")
    held = in_memory.hold(PyfuncTransformer(gpt2).located())
    with pytest.raises(ModelError, match="cannot be loaded"):
        in_memory.hold(PyfuncTransformer(str(tmp_path / "broken")).located())
    assert held.model is None
    assert len(PyfuncTransformer(gpt2, {"max_new_tokens": 1}).predict(None, QUESTIONS)) == 5


def test_threads_take_turns(gpt2: str, bloom: str) -> None:
    """Two threads that ask for two models get each its own answers."""
    models = [PyfuncTransformer(folder, {"max_new_tokens": 5}) for folder in (gpt2, bloom)]
    expected = [model.predict(None, QUESTIONS) for model in models]
    found: dict[int, list[list[str | None]]] = {0: [], 1: []}

    def ask(which: int) -> None:
        for _ in range(3):
            found[which].append(models[which].predict(None, QUESTIONS))

    threads = [threading.Thread(target=ask, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: [expected[0]] * 3, 1: [expected[1]] * 3}
