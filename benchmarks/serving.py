"""What a check of a served model costs over plain text requests, and whether it sees weights that were replaced.

    python benchmarks/serving.py --llama
    python benchmarks/serving.py --transformers
    python benchmarks/serving.py --vllm http://127.0.0.1:8000/v1 --model tiny-gpt2
    python benchmarks/serving.py --vllm "vllm serve {folder} --port {port} --served-model-name tiny-gpt2 ..."

The first table asks the same prompts, which begin alike, in several ways, in turn. The rival are plain text requests
(no log-probs) with as many in flight; each row has the median of the times over the rival's of the same round. The
second table records baselines with a real pytest run and checks them on servers with other weights behind the same
name; it needs a server that this script can start. vLLM's command gets the folder of a model and a free port: of
`--folder`, because vLLM's CPU kernels take heads of 32 only and the example models have others.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pytest_llmcompare.models.served import Address, ServerOptions  # noqa: E402 - the repository is no package
from pytest_llmcompare.serving.check import Check, check_case  # noqa: E402
from pytest_llmcompare.serving.client import Client  # noqa: E402
from pytest_llmcompare.serving.server import Level, Question, Server  # noqa: E402
from pytest_llmcompare.serving.threads import in_threads  # noqa: E402
from pytest_llmcompare.settings import VERIFY  # noqa: E402
from tests.serving.gguf_model import write_gguf  # noqa: E402
from tests.serving.servers import llama, transformers_serve  # noqa: E402

NAMES = ("France", "Japan", "India", "Norway", "Spain", "Italy", "Egypt", "Peru", "Kenya", "Cuba")
THINGS = ("capital", "symbol", "opposite", "color", "name")
SHARED = 450  # characters of examples before each question; about 190 tokens of the example models
MOVED = (0.0, 1e-4, 1e-3, 1e-2)
"""Each weight is multiplied by a random factor between one minus and one plus this."""
START = 600.0  # seconds that vLLM may take to start
TEST = """
import pytest


@pytest.mark.llm_prompts("prompts.jsonl", gen_config={{"max_new_tokens": {tokens}}}, model_type=None)
def test_served(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""

Serve = Callable[[float], AbstractContextManager[str]]
"""Starts a server whose weights were moved by so much; its address."""


class Subject(NamedTuple):
    """A server to measure. `serve` is None if this script did not start it."""

    name: str
    model: str
    url: str
    serve: Serve | None


def prompts(number: int) -> list[str]:
    """Questions that begin with the same examples."""
    with (ROOT / "example_suite" / "trivia.csv").open(encoding="utf-8", newline="") as file:
        examples = "\n\n".join(row["prompt"] + row["target"] for row in csv.DictReader(file))
    shared = examples[: examples.rindex("\n\n", 0, SHARED)]
    questions = [f"{shared}\n\nQ: What is the {thing} of {name}?\nA:" for name in NAMES for thing in THINGS]
    return questions[:number]


def moved_folder(folder: Path, target: Path, moved: float) -> Path:
    """A copy of a model with moved weights, under the same name."""
    shutil.copytree(folder, target)
    random = np.random.default_rng(0)
    weights = {
        name: (tensor * random.uniform(1 - moved, 1 + moved, tensor.shape)).astype(tensor.dtype)
        for name, tensor in load_file(target / "model.safetensors").items()
    }
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


@contextmanager
def serve_llama(folder: Path, scratch: Path, moved: float) -> Iterator[str]:
    """llama.cpp with 4 slots."""
    file = scratch / f"{moved:g}" / "tiny-gpt2"
    file.parent.mkdir(exist_ok=True)
    with llama(write_gguf(folder, file, moved=moved)) as url:
        yield url


@contextmanager
def serve_transformers(folder: Path, scratch: Path, moved: float) -> Iterator[str]:
    """`transformers serve`."""
    copy = moved_folder(folder, scratch / f"{moved:g}" / folder.name, moved)
    with transformers_serve(copy, copy.parent / "log") as server:
        yield server.url


@contextmanager
def serve_vllm(command: str, folder: Path, scratch: Path, moved: float) -> Iterator[str]:
    """vLLM, started by the user's command."""
    copy = moved_folder(folder, scratch / f"{moved:g}" / folder.name, moved)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = shlex.split(command.format(folder=copy, port=port))
    url = f"http://127.0.0.1:{port}/v1"
    with (copy.parent / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as process:
        try:
            end = time.monotonic() + START
            while not is_up(url):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((copy.parent / "log").read_text(encoding="utf-8", errors="replace")[-3000:])
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def is_up(url: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(f"{url}/models", timeout=5):
            return True
    except OSError:
        return False


def ways(server: Server, checks: Mapping[int, Check], concurrency: int) -> dict[str, Callable[[], object]]:
    """Ways to ask all questions; the first one is the rival."""
    fields = {"max_tokens": next(iter(checks.values())).question.gen_config["max_new_tokens"], "temperature": 0.0}

    def text(check: Check) -> object:
        return server.client.send({"prompt": check.question.prompt, **fields}, {})

    def verify(check: Check) -> object:
        return check_case(server, Check(check.question, check.expected, VERIFY))

    def at_once(ask: Callable[[Check], object], count: int = concurrency) -> Callable[[], object]:
        return lambda: dict(in_threads(ask, checks, count))  # type: ignore[arg-type]

    all_ways = {
        f"texts, {concurrency} at once": at_once(text),
        "texts, one at a time": at_once(text, 1),
        f"check, {concurrency} at once": at_once(partial(check_case, server)),
        "check, one at a time": at_once(partial(check_case, server), 1),
    }
    if server.capabilities.level is Level.PATH:
        all_ways[f"decode = verify, {concurrency} at once"] = at_once(verify)
    return all_ways


def print_times(subject: Subject, options: argparse.Namespace) -> None:
    """Measure all ways in turn, and print them as ratios."""
    served = ServerOptions(concurrency=options.concurrency)
    server = Server(Client(Address(subject.model, subject.url), served, {}))
    capabilities = server.probe(subject.model)
    questions = [
        Question(prompt, {"max_new_tokens": options.new_tokens, "do_sample": False})
        for prompt in prompts(options.prompts)
    ]
    recorded = dict(in_threads(server.ask, dict(enumerate(questions)), options.concurrency))
    checks = {
        index: Check(questions[index], server.generation(answer), "auto")  # type: ignore[arg-type]
        for index, answer in recorded.items()
    }
    asked = ways(server, checks, options.concurrency)
    times: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(options.rounds):
        for name, ask in asked.items():
            start = time.perf_counter()
            ask()
            times[name].append(time.perf_counter() - start)
    rival = next(iter(times.values()))
    print(f"{subject.name}, level {capabilities.level.value}: {options.prompts} prompts, {options.new_tokens} tokens")
    print(f"{'way':<32}{'seconds':>9}{'ratio':>7}")
    for name, seconds in times.items():
        ratio = statistics.median(own / other for own, other in zip(seconds, rival, strict=True))
        print(f"{name:<32}{statistics.median(seconds):9.2f}{ratio:7.2f}")
    server.client.close()


def print_swaps(subject: Subject, options: argparse.Namespace, scratch: Path) -> None:
    """Record, then check on the same weights and on moved ones, each in a pytest run; print the verdicts."""
    assert subject.serve is not None
    folder = scratch / "suite"
    folder.mkdir()
    rows = [{"id": f"q{at}", "prompt": prompt} for at, prompt in enumerate(prompts(options.prompts))]
    (folder / "prompts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (folder / "test_served.py").write_text(TEST.format(tokens=options.new_tokens), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    run_suite(folder, f"m=openai:{subject.model}@{subject.url}", "--llm-update")
    names = ("identical", "near_tie", "shifted", "drifted", "error")
    print(f"{'weights moved by':<32}{''.join(f'{name:>11}' for name in names)}")
    for moved in options.moved:
        with subject.serve(moved) as url:
            counts = run_suite(folder, f"m=openai:{subject.model}@{url}")
        label = f"{moved:.0e}" if moved else "nothing, restarted"
        print(f"{label:<32}{''.join(f'{counts[name]:>11}' for name in names)}", flush=True)


def run_suite(folder: Path, spec: str, *options: str) -> Counter[str]:
    """Run pytest on the suite; number of cases by verdict."""
    dropped = ("MLFLOW_", "LLMCOMPARE_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    arguments = ("-q", "-p", "no:xdist", "--llm-tracking-uri=sqlite:///mlflow.db", "--llm-report=report.json")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, f"--llm-models={spec}", *options],
        cwd=folder,
        env={**kept, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    cells = [cell for table in report["tables"] for row in table["rows"] for cell in row["cases"] if cell]
    return Counter(cell["verdict"] for cell in cells)


def serve_of(options: argparse.Namespace, scratch: Path) -> Serve | None:
    """What starts the server that the options name; None if it runs already."""
    if options.llama:
        return partial(serve_llama, options.folder, scratch)
    if options.transformers:
        return partial(serve_transformers, options.folder, scratch)
    return None if options.vllm.startswith("http") else partial(serve_vllm, options.vllm, options.folder, scratch)


def main(options: argparse.Namespace) -> None:
    """Measure and print."""
    name = "llama.cpp" if options.llama else "transformers serve" if options.transformers else "vLLM"
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        serve = serve_of(options, scratch)
        if serve is None:
            print_times(Subject(name, options.model, options.vllm, None), options)
            return
        with serve(0.0) as url:
            subject = Subject(name, options.model, url, None)
            print_times(subject, options)
            if not options.moved:
                return
            print_swaps(subject._replace(serve=partial(again, serve, scratch)), options, scratch)


@contextmanager
def again(serve: Serve, scratch: Path, moved: float) -> Iterator[str]:
    """A further server; its files take the place of those of the last one with these weights."""
    shutil.rmtree(scratch / f"{moved:g}", ignore_errors=True)
    with serve(moved) as url:
        yield url


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--llama", action="store_true", help="start llama.cpp (xllamacpp)")
    which.add_argument("--transformers", action="store_true", help="start transformers serve")
    which.add_argument("--vllm", metavar="COMMAND or URL", help="start or use vLLM, or any other server")
    parser.add_argument("--model", default="tiny-gpt2", help="name of the model on the server")
    parser.add_argument("--folder", type=Path, default=ROOT / "example_suite" / "models" / "tiny-gpt2")
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument(
        "--moved", type=float, nargs="*", default=MOVED, help="changes of weights; none leaves them out"
    )
    main(parser.parse_args())
