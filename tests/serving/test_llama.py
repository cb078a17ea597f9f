"""Served models in a run, asked of a real llama.cpp server."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pytest_llmcompare.models.served import Address, ServerOptions
from pytest_llmcompare.serving.client import Client
from pytest_llmcompare.serving.server import Question, Server
from pytest_llmcompare.serving.threads import in_threads
from tests.plugin.pages import blocks_of
from tests.plugin.suites import SKY, Suite, says

from .gguf_model import write_gguf
from .servers import llama

pytestmark = pytest.mark.slow

NAMES = ("France", "Japan", "Norway", "Spain", "Italy", "Egypt", "Peru", "Kenya", "Cuba", "India")
ROWS = [
    {"id": f"{thing}-{name}".lower(), "prompt": f"Q: What is the {thing} of {name}?\nA:"}
    for thing in ("capital", "color")
    for name in NAMES
]
TEST = """
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 64}, model_type=None)
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""


def spec(url: str, name: str = "m") -> str:
    return f"{name}=openai:tiny-gpt2@{url}"


def configure(suite: Suite, url: str, *lines: str) -> None:
    """A table of the served model `m`."""
    suite.write("pyproject.toml", "\n".join(["[tool.llmcompare.models.m]", f'source = "{spec(url)[2:]}"', *lines, ""]))


def cells(suite: Suite, *args: str, models: list[str]) -> list[dict[str, Any]]:
    """The cases in the JSON report of a run."""
    result = suite.run(*args, "--llm-report=report.json", models=models)
    assert result.ret in (0, 1), result.stdout.str() + result.stderr.str()
    report = json.loads((suite.path / "report.json").read_text(encoding="utf-8"))
    return [cell for table in report["tables"] for row in table["rows"] for cell in row["cases"] if cell]


def verdicts(suite: Suite, *args: str, models: list[str]) -> Counter[str]:
    """Number of cases by verdict."""
    return Counter(cell["verdict"] for cell in cells(suite, *args, models=models))


def test_commands_of_the_page(suite: Suite, gguf_file: Path) -> None:
    """`docs/servers.md` records and checks with these commands, but for the address."""
    bash = next(block for block in blocks_of("servers.md") if block.language == "bash")
    commands = [shlex.split(line)[1:] for line in bash.text.splitlines() if line.startswith("pytest ")]
    assert len(commands) == 2
    suite.trivia(ROWS[:2], TEST)
    with llama(gguf_file) as url:
        for command in commands:
            arguments = [argument.replace("http://127.0.0.1:8000/v1", url) for argument in command]
            suite.run(*arguments, models=[]).assert_outcomes(passed=2)


def test_an_unchanged_server_is_identical(suite: Suite, gguf_file: Path) -> None:
    """Again, after a restart with other slots, and with 1 or 16 requests in flight."""
    suite.trivia(ROWS, TEST)
    with llama(gguf_file) as url:
        configure(suite, url)
        result = suite.run("--llm-update", models=["m"])
        result.assert_outcomes(passed=20)
        assert says(result, "model 'm': level output (llama.cpp): tokens and log-probs are compared")
        assert says(result, "answers as 'tiny.gguf'")
        stored = suite.stored()
        assert b"\n#noise e1 " in stored["__baselines__/trivia/m.baseline"]
        assert verdicts(suite, models=["m"]) == {"identical": 20}
    for slots, concurrency in ((1, 16), (8, 1), (8, 16)):
        with llama(gguf_file, slots) as url:
            configure(suite, url, f"concurrency = {concurrency}")
            assert verdicts(suite, models=["m"]) == {"identical": 20}
    assert suite.stored() == stored


def test_moved_weights_are_seen_behind_the_same_name(suite: Suite, gguf_file: Path, tmp_path: Path) -> None:
    """Weights moved by a thousandth leave the texts, but not the log-probs."""
    suite.trivia(ROWS, TEST)
    with llama(gguf_file) as url:
        suite.run("--llm-update", models=[spec(url)]).assert_outcomes(passed=20)
    moved = write_gguf(suite.models / "tiny-gpt2", tmp_path / "tiny.gguf", moved=1e-3)
    with llama(moved) as url:
        counts = verdicts(suite, models=[spec(url)])
        assert counts.get("identical", 0) + counts.get("near_tie", 0) <= 2, counts
        assert suite.run("--llm-shift=fail", models=[spec(url)]).ret == 1


def test_another_model_drifts_with_margins(suite: Suite, gguf_file: Path, tmp_path: Path) -> None:
    """The margin at the first other token is taken from the alternatives."""
    suite.trivia(ROWS, TEST)
    with llama(gguf_file) as url:
        suite.run("--llm-update", models=[spec(url)]).assert_outcomes(passed=20)
    other = write_gguf(suite.models / "tiny-gpt2-distil", tmp_path / "tiny.gguf")
    with llama(other) as url:
        found = [cell["judgement"] for cell in cells(suite, models=[spec(url)])]
    drifted = [judgement for judgement in found if judgement["verdict"] == "drifted"]
    assert drifted
    assert all(one["margin"] is None or one["margin"] > one["tolerance"] for one in drifted)
    assert any(one["margin"] for one in drifted)


PLACES = ("France", "Japan", "the sea", "a big river", "my old city", "Peru", "the sky", "Kenya", "a red star", "Cuba")
MANY = [
    {"id": f"q{number}", "prompt": f"Q: {ask} {place}?\nA:"}
    for number, (ask, place) in enumerate(
        (ask, place)
        for ask in (
            "What is the capital of",
            "Which people live in",
            "Why is the color of",
            "Are there many in",
            "Who is",
        )
        for place in PLACES
    )
]


@pytest.mark.parametrize("recorded", [1, 16])
def test_an_unchanged_server_in_bfloat16(suite: Suite, tmp_path: Path, recorded: int) -> None:
    """Rounding moves few answers but those by much, depending on what else is in flight; none of it is drift."""
    suite.trivia(MANY, TEST)
    weights = write_gguf(suite.models / "tiny-gpt2", tmp_path / "tiny.gguf", kind="BF16")
    with llama(weights) as url:
        configure(suite, url, f"concurrency = {recorded}")
        suite.run("--llm-update", models=["m"]).assert_outcomes(passed=len(MANY))
    for slots, concurrency in ((4, 17 - recorded), (1, 16), (8, 16)):
        with llama(weights, slots) as url:
            configure(suite, url, f"concurrency = {concurrency}")
            counts = verdicts(suite, models=["m"])
            assert counts.keys() <= {"identical", "near_tie"}, (slots, concurrency, counts)


def test_stop_strings_agree_with_the_local_model(suite: Suite, llama_url: str) -> None:
    """The server cuts tokens and text at a stop string, which transformers leaves in the text."""
    test = """
    import pytest

    prompts = pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 16}, model_type=None,
                                      variants={"dot": {"stop_strings": "."}, "ari": {"stop_strings": "ari"}})

    @prompts
    def test_trivia(llm_output, llm_baseline):
        assert llm_output == llm_baseline

    @prompts
    def test_models(llm_comparison):
        assert llm_comparison.agreement("m", "here") == 1
    """
    suite.trivia(ROWS[:4], test)
    models = [spec(llama_url), suite.spec("here")]
    result = suite.run("--llm-update", models=models)
    result.assert_outcomes(passed=17)
    assert verdicts(suite, models=models) == {"identical": 16}


def test_a_prompt_that_is_too_long_is_an_error_of_its_case(suite: Suite, llama_url: str) -> None:
    """With the server's words and both numbers; the other cases are judged."""
    suite.trivia([*ROWS[:3], {"id": "long", "prompt": SKY * 200}], TEST)
    result = suite.run("--llm-update", models=[spec(llama_url)])
    result.assert_outcomes(passed=3, errors=1)
    assert says(result, f"{llama_url} answered 400")
    assert says(result, "exceeds the available context size (512 tokens)")
    assert "long" not in suite.cases()


def test_the_logged_model_answers_elsewhere(
    suite: Suite, llama_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """MLflow's copy holds names of variables and no key, and answers in another process that has the variable."""
    monkeypatch.setenv("QA_KEY", "sk-very-secret")
    configure(suite, llama_url, 'api_key_env = "QA_KEY"', "max_requests = 30")
    suite.trivia(ROWS[:2], TEST)
    suite.run("--llm-update", "-v", "--llm-report=report.json", models=["m"]).assert_outcomes(passed=2)
    (run,) = suite.mlflow_runs()
    params = run.data.params
    assert (params["server.level"], params["server.software"]) == ("output", "llama.cpp")
    assert params["server.version"].startswith("b")
    assert params["source"] == spec(llama_url)[2:]
    texts = [path for path in suite.path.rglob("*") if path.is_file()]
    assert not [path for path in texts if b"sk-very-secret" in path.read_bytes()]
    outputs = mlflow.MlflowClient().get_run(run.info.run_id).outputs
    assert outputs is not None
    code = (
        "import mlflow, sys; model = mlflow.pyfunc.load_model(sys.argv[1]); "
        f"print(model.predict([{ROWS[0]['prompt']!r}])); print('torch' in sys.modules)"
    )
    uri = f"models:/{outputs.model_outputs[0].model_id}"
    done = subprocess.run(
        [sys.executable, "-c", code, uri], check=False, capture_output=True, encoding="utf-8", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "The capital of France is Paris." in done.stdout
    monkeypatch.delenv("QA_KEY")
    done = subprocess.run(
        [suite.warm(), "-c", code, uri], check=False, capture_output=True, encoding="utf-8", cwd=tmp_path
    )
    assert "environment variable QA_KEY" in done.stderr


def elsewhere(code: str, argument: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    command = [sys.executable, "-c", code, argument]
    return subprocess.run(command, check=False, capture_output=True, encoding="utf-8", cwd=folder)


def test_too_many_requests_are_refused_before_the_first(suite: Suite, llama_url: str) -> None:
    """`max_requests` counts the cases, the probe and what the noise takes."""
    suite.trivia(ROWS, TEST)
    configure(suite, llama_url, "max_requests = 30")
    result = suite.run("--llm-update", models=["m"])
    result.assert_outcomes(errors=20)
    assert says(result, "20 cases take up to 37 requests")


def test_no_request_stalls(llama_url: str) -> None:
    """With 16 in flight on 4 slots; with as many idle connections as that, llama.cpp stalls some for 5 seconds."""
    server = Server(Client(Address("m", llama_url), ServerOptions(concurrency=16), {}))
    server.probe("m")

    def seconds(question: Question) -> float:
        start = time.monotonic()
        server.ask(question)
        return time.monotonic() - start

    questions = {number: Question(f"Q: {number}?", {"max_new_tokens": 10}) for number in range(96)}
    taken = sorted(value for _, value in in_threads(seconds, questions, 16) if isinstance(value, float))
    assert len(taken) == len(questions)
    assert taken[-1] < 20 * taken[len(taken) // 2], taken
