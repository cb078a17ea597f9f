"""Served models in a run, asked of a real `transformers serve`, which shows texts alone."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.plugin.suites import SKY, Suite, says

from .servers import TransformersServer, transformers_serve

pytestmark = pytest.mark.slow

ROWS = [
    {"id": name.lower(), "prompt": f"Q: What is the capital of {name}?\nA:"}
    for name in ("France", "Japan", "Norway", "Spain")
]
TEST = """
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 10}, model_type=None)
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
LEVEL = "model 'm': level text: texts are compared"
UNSEEN = "silent drift cannot be seen"


def spec(server: TransformersServer, name: str = "m") -> str:
    return f"{name}=openai:tiny-gpt2@{server.url}"


def configure(suite: Suite, server: TransformersServer, *lines: str) -> None:
    """A table of the served model `m`."""
    suite.write("pyproject.toml", "\n".join(["[tool.llmcompare.models.m]", f'source = "{spec(server)[2:]}"', *lines]))


def report(suite: Suite) -> Any:
    return json.loads((suite.path / "report.json").read_text(encoding="utf-8"))


def verdicts(suite: Suite) -> Counter[str]:
    """Number of cases by verdict in the JSON report."""
    rows = [row for table in report(suite)["tables"] for row in table["rows"]]
    return Counter(cell["verdict"] for row in rows for cell in row["cases"] if cell)


def check(suite: Suite) -> Counter[str]:
    """Check the model `m`; number of cases by verdict."""
    result = suite.run("--llm-report=report.json", models=["m"])
    assert result.ret in (0, 1), result.stdout.str() + result.stderr.str()
    return verdicts(suite)


def test_an_unchanged_server_is_identical(
    suite: Suite, transformers_server: TransformersServer, tmp_path: Path
) -> None:
    """With 1 and 16 requests in flight and after a restart; the level stands wherever a reader looks."""
    server = transformers_server
    suite.trivia(ROWS, TEST)
    configure(suite, server)
    before = server.requests
    result = suite.run("--llm-update", "--llm-report=report.json", models=["m"])
    result.assert_outcomes(passed=4)
    assert server.requests - before == len(ROWS) + 2  # a probe of two, and no noise
    assert says(result, LEVEL)
    assert says(result, UNSEEN)
    assert any(note.startswith(LEVEL) for note in report(suite)["notes"])
    stored = suite.stored()
    assert b"level=text" in stored["__baselines__/trivia/m.baseline"]
    for concurrency in (1, 16):
        configure(suite, server, f"concurrency = {concurrency}")
        assert check(suite) == {"identical": 4}
    with transformers_serve(suite.models / "tiny-gpt2", tmp_path / "log", suite.warm()) as restarted:
        configure(suite, restarted)
        assert check(suite) == {"identical": 4}
    assert suite.stored() == stored


def test_moved_weights_cannot_be_seen_and_the_run_says_so(
    suite: Suite, transformers_server: TransformersServer, tmp_path: Path
) -> None:
    """Weights moved by a thousandth leave these texts as they are."""
    suite.trivia(ROWS, TEST)
    suite.run("--llm-update", models=[spec(transformers_server)]).assert_outcomes(passed=4)
    folder = shutil.copytree(suite.models / "tiny-gpt2", tmp_path / "tiny-gpt2")
    random = np.random.default_rng(0)
    moved = {
        name: (weights * random.uniform(1 - 1e-3, 1 + 1e-3, weights.shape)).astype(np.float32)
        for name, weights in load_file(folder / "model.safetensors").items()
    }
    save_file(moved, folder / "model.safetensors", metadata={"format": "pt"})
    with transformers_serve(folder, tmp_path / "log", suite.warm()) as server:
        result = suite.run("--llm-shift=fail", models=[spec(server)])
    result.assert_outcomes(passed=4)
    assert says(result, UNSEEN)


def test_stop_strings(suite: Suite, transformers_server: TransformersServer) -> None:
    """The server's text holds them, as transformers' own does; it is recorded as it came."""
    test = TEST.replace(
        "model_type=None", 'model_type=None, variants={"dot": {"stop_strings": "."}, "ari": {"stop_strings": "ari"}}'
    )
    suite.trivia(ROWS[:2], test)
    suite.run("--llm-update", models=[spec(transformers_server)]).assert_outcomes(passed=4)
    stored = suite.stored()["__baselines__/trivia/m.baseline"]
    assert b" The capital of France is Paris." in stored
    suite.run("--llm-shift=fail", models=[spec(transformers_server)]).assert_outcomes(passed=4)


def test_a_prompt_that_is_too_long_is_an_error_of_its_case(
    suite: Suite, transformers_server: TransformersServer
) -> None:
    """The server answers 500 without a reason; it is asked three times, and the other cases are judged."""
    suite.trivia([*ROWS, {"id": "long", "prompt": SKY * 200}], TEST)
    before = transformers_server.requests
    result = suite.run("--llm-update", models=[spec(transformers_server)])
    result.assert_outcomes(passed=4, errors=1)
    assert says(result, f"{transformers_server.url} answered 500 to 3 requests: 'Internal Server Error'")
    assert transformers_server.requests - before == len(ROWS) + 2 + 3
    assert "long" not in suite.cases()
