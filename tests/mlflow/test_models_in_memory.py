"""One model in memory at a time, each loaded once per run, whoever made it."""

from __future__ import annotations

import pytest

from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.load import LocalModel
from pytest_llmcompare.models.resolve import ResolvedModel

from .evaluations import Suite, made_template, suite

__all__ = ["made_template", "suite"]

PREDICT = """
self.log("ask")
return [text.upper() for text in model_input.iloc[:, 0]]
"""
METHODS = """
def load_context(self, context):
    import weakref

    import pytest
    import pytest_llmcompare.models.in_memory as in_memory

    alive = [name for name, model in pytest.pyfuncs.items() if model() is not None]
    self.log(f"load, alive: {alive}, weights: {in_memory._held.model is not None}")
    pytest.pyfuncs[NAME] = weakref.ref(self)

def log(self, what):
    with open(LOG, "a") as file:
        file.write(f"{NAME}: {what}\\n")
"""


def log_counting(suite: Suite, name: str) -> None:
    """Log a user's model that writes down when it is loaded, asked, and what is in memory then."""
    log = str(suite.path / "log.txt")
    suite.log_python_model(name, PREDICT, METHODS.replace("NAME", repr(name)).replace("LOG", repr(log)))


def test_order_of_models_and_tables(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are asked one after the other, each for all tables; the former is gone before the next is loaded."""
    monkeypatch.setattr(pytest, "pyfuncs", {}, raising=False)
    for name in ("x", "y"):
        log_counting(suite, name)
    suite.compare(name="first")
    suite.compare(name="second")
    result = suite.run("x=models:/x/1", suite.spec("folder"), "y=models:/y/1")
    result.assert_outcomes(passed=18)
    assert (suite.path / "log.txt").read_text().splitlines() == [
        "x: load, alive: [], weights: False",
        "x: ask",
        "x: ask",
        "y: load, alive: [], weights: False",
        "y: ask",
        "y: ask",
    ]
    assert in_memory._held.model is None


def test_our_models_are_loaded_once(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two models with two tables each, weights are loaded twice in all, the former ones freed before."""
    loads: list[tuple[str, bool]] = []
    load = in_memory._loaded

    def counted(wanted: ResolvedModel) -> LocalModel:
        loads.append((wanted.spec.name, in_memory._held.model is None))
        return load(wanted)

    monkeypatch.setattr(in_memory, "_loaded", counted)
    suite.compare(name="first")
    suite.compare(name="second")
    suite.run(suite.spec("a"), suite.spec("b", "tiny-bloom")).assert_outcomes(passed=12)
    assert loads == [("a", True), ("b", True)]
    assert in_memory._held.model is None


def test_model_of_a_failed_group_is_freed(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose evaluation fails is gone before the next is loaded, too."""
    monkeypatch.setattr(pytest, "pyfuncs", {}, raising=False)
    for name in ("x", "y"):
        log_counting(suite, name)
    suite.compare('metrics=[__import__("mlflow").metrics.rouge1()]')
    suite.run("x=models:/x/1", "y=models:/y/1").assert_outcomes(passed=6)
    loads = [line for line in (suite.path / "log.txt").read_text().splitlines() if "load" in line]
    assert loads == ["x: load, alive: [], weights: False", "y: load, alive: [], weights: False"]


def test_model_fixture_loads_no_second_time(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """`llm_model` is the model that was asked, not another load of it."""
    monkeypatch.setattr(pytest, "pyfuncs", {}, raising=False)
    log_counting(suite, "x")
    suite.pytester.makepyfile(
        test_model="""
        import pandas as pd
        import pytest

        @pytest.mark.llm_prompts(["one", "two"])
        def test_model(llm_model, llm_output):
            assert llm_model.predict(pd.DataFrame({"text": [llm_output.text]})) == [llm_output.text.upper()]
        """
    )
    suite.run("x=models:/x/1", args=()).assert_outcomes(passed=2)
    lines = (suite.path / "log.txt").read_text().splitlines()
    assert [line for line in lines if "load" in line] == ["x: load, alive: [], weights: False"]
