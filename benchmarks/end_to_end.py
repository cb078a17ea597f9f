"""What the plugin saves from start to end: `python benchmarks/end_to_end.py`.

Whole processes, with the same models (random weights), prompts (few-shot examples in common, a question of its own
each) and settings, in interleaved rounds:

    article     the article's script, benchmarks/article.py, which asks prompt by prompt
    lean        the same with signature and requirements stated, which MLflow infers for the article (with --lean)
    recording   pytest, without baselines, with --llm-update
    checking    pytest, with the baselines that were just recorded
    cached      the same once more, with the answer cache of that check (goal: 20 times faster)

Each starts in a folder of its own with an empty MLflow store. Times are medians; ratios say how many times faster than
the article's script. Processor time depends less on what else the machine does. The outputs in MLflow have to be
equal for all ways.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import phases
from article import EXPERIMENT, TABLE
from decoding import SHARED, SIZES, machine, make_model, make_requests

HERE = Path(__file__).parent
ENDING = "end of Python"
BASELINES, STATE = "__baselines__", ".llmcompare"
PLUGINS = ("-p", "pytest_llmcompare.plugin", "-p", "phases")  # none of others, whatever this environment has
SUITE = f"""
import json
from pathlib import Path

import pytest

GIVEN = json.loads(Path("experiment.json").read_text(encoding="utf-8"))


@pytest.mark.llm_prompts(
    GIVEN["questions"], examples=GIVEN["examples"], gen_config=GIVEN["gen_config"], experiment={EXPERIMENT!r}
)
def test_answers(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
Answers = dict[tuple[str, str], str]


class Bench:
    """A folder with models, a prompt table and an empty MLflow store.

    Attributes:
        times: Seconds of each round, by way.
        busy: Seconds of processor time of each round, by way.
        phases: Seconds of each round, by way of ours and by phase.
        answers: Outputs of the first process, by run and question.
        last: Folder of the last run of pytest, with its baselines and its answer cache.
    """

    def __init__(self, place: Path, given: argparse.Namespace) -> None:
        self.place = place
        self.models = {f"{given.size}-{number}": str(place / f"model-{number}") for number in range(given.models)}
        for seed, folder in enumerate(self.models.values()):
            save_model(given.size, seed, folder)
        self.write_experiment(given)
        mlflow.MlflowClient(f"sqlite:///{place / 'empty.db'}").search_experiments()
        self.times: dict[str, list[float]] = {}
        self.busy: dict[str, list[float]] = {}
        self.phases: dict[str, list[Mapping[str, float]]] = {}
        self.answers: Answers = {}
        self.last = Path()

    def write_experiment(self, given: argparse.Namespace) -> None:
        """Write models, prompts and settings; tokens are single bytes, so as many characters are shared as tokens."""
        requests = make_requests(given.prompts, given.new_tokens)
        self.experiment = self.place / "experiment.json"
        facts = {
            "models": self.models,
            "questions": [request.prompt[SHARED:] for request in requests],
            "examples": requests[0].prompt[:SHARED],
            "gen_config": requests[0].gen_config,
        }
        self.experiment.write_text(json.dumps(facts), encoding="utf-8")

    def ways(self, lean: bool) -> dict[str, Callable[[], None]]:
        """The processes that are timed, by name; each of pytest takes what it keeps from the one before it."""
        found: dict[str, Callable[[], None]] = {"article": lambda: self.article("article")}
        if lean:
            found["lean"] = lambda: self.article("lean", "--lean")
        found["recording"] = lambda: self.pytest("recording", "--llm-update")
        found["checking"] = lambda: self.pytest("checking", kept=(BASELINES,))
        found["cached"] = lambda: self.pytest("cached", kept=(BASELINES, STATE))
        return found

    def folder(self, way: str) -> Path:
        """Make a folder with an empty store; a new one each round, because MLflow keeps its connections open."""
        folder = self.place / f"{way}-{len(self.times.get(way, ()))}"
        folder.mkdir()
        shutil.copy(self.place / "empty.db", folder / "mlflow.db")
        return folder

    def article(self, way: str, *options: str) -> None:
        """Run the article's script."""
        self.run(way, self.folder(way), [str(HERE / "article.py"), str(self.experiment), *options])

    def pytest(self, way: str, *options: str, kept: tuple[str, ...] = ()) -> None:
        """Run pytest, with some of what the last run of it left."""
        folder = self.folder(way)
        shutil.copy(self.experiment, folder)
        (folder / "test_answers.py").write_text(SUITE, encoding="utf-8")
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        for name in kept:
            shutil.copytree(self.last / name, folder / name)
        specs = ",".join(f"{name}={path}" for name, path in self.models.items())
        ended = self.run(way, folder, ["-m", "pytest", *PLUGINS, f"--llm-models={specs}", *options])
        found = json.loads((folder / "phases.json").read_text(encoding="ascii"))
        found[ENDING] = self.times[way][-1] - sum(found.values())
        self.phases.setdefault(way, []).append(found)
        self.last = folder
        if kept and f"{len(self.answers)} passed" not in ended:
            raise SystemExit(f"not every case was compared:\n{ended}")
        if STATE in kept and f"{len(self.answers)} of {len(self.answers)} answers from the cache" not in ended:
            raise SystemExit(f"not every answer came from the cache:\n{ended}")

    def run(self, way: str, folder: Path, arguments: list[str]) -> str:
        """Run a process, time it and compare its answers; returns what it printed."""
        started, before = time.time(), processor_seconds()
        own, command = environment(folder, started), [sys.executable, *arguments]
        ended = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
        self.times.setdefault(way, []).append(time.time() - started)
        self.busy.setdefault(way, []).append(processor_seconds() - before)
        if ended.returncode:
            raise SystemExit(f"{way} failed:\n{ended.stdout}\n{ended.stderr}")
        said = answers(folder)
        self.answers = self.answers or said
        if said != self.answers:
            raise SystemExit(f"the outputs of {way} differ from those of the article's script")
        return ended.stdout


def processor_seconds() -> float:
    """Processor time of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def save_model(size: str, seed: int, folder: str) -> None:
    """Write a model, and free its memory."""
    model = make_model(size, "cpu", seed)
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    model.free()


def environment(folder: Path, started: float) -> dict[str, str]:
    """Environment of a process: offline, a store of its own, our copy of the package and the plugin of this folder."""
    paths = [str(HERE), str(HERE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    outside = ("PYTEST_", "LLMCOMPARE_", "MLFLOW_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    return {
        **kept,
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "PHASES": str(folder / "phases.json"),
        "PHASES_STARTED": str(started),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }


def answers(folder: Path) -> Answers:
    """Outputs in MLflow's results tables, by run and question."""
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found: Answers = {}
    for run in client.search_runs([experiment.experiment_id]):
        table = json.loads(Path(run.info.artifact_uri.removeprefix("file://"), TABLE).read_text(encoding="utf-8"))
        column = {name: place for place, name in enumerate(table["columns"])}
        question = column.get("question", column.get("input_text"))
        found |= {(run.info.run_name, row[question]): row[column["outputs"]] for row in table["data"]}
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="distilgpt2")
    parser.add_argument("--models", type=int, default=2, help="how many are compared")
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--new-tokens", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lean", action="store_true", help="run the article's script without inference, too")
    given = parser.parse_args()
    with TemporaryDirectory() as place:
        bench = Bench(Path(place), given)
        for _ in range(given.rounds):
            for run in bench.ways(given.lean).values():
                run()
    expected = given.models * given.prompts
    if len(bench.answers) != expected:
        raise SystemExit(f"expected {expected} outputs, found {len(bench.answers)}")
    report(given, bench)


def report(given: argparse.Namespace, bench: Bench) -> None:
    """Print the tables."""
    print(machine("cpu", "float32"))
    asked = f"{given.prompts} prompts x {given.new_tokens} new tokens, {SHARED} tokens shared"
    print(f"{given.models} models of {given.size} size, {asked}, rounds: {given.rounds}\n")
    seconds = {way: statistics.median(found) for way, found in bench.times.items()}
    busy = {way: statistics.median(taken) for way, taken in bench.busy.items()}
    print(f"{'process':<40}{'seconds':>10}{'x faster':>10}{'processor':>11}{'x less':>8}")
    for way, taken in seconds.items():
        ratio, less = seconds["article"] / taken, busy["article"] / busy[way]
        print(f"{way:<40}{taken:>10.2f}{ratio:>10.1f}{busy[way]:>11.2f}{less:>8.1f}")
    print(f"\n{'of this, in seconds':<40}{''.join(f'{way:>10}' for way in bench.phases)}")
    for phase in (*phases.ALL, ENDING):
        row = [statistics.median(found[phase] for found in rounds) for rounds in bench.phases.values()]
        print(f"{phase:<40}{''.join(f'{taken:>10.2f}' for taken in row)}")


if __name__ == "__main__":
    main()
