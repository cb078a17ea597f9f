"""A suite of a user's to run for real, with the small models that ship with us."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch

SKY, HAMLET, ICE = "Q: What color is the sky?\nA:", "Q: Who is Hamlet?\nA:", "Q: Is ice cold?\nA:"
TRIVIA = ({"id": "sky", "prompt": SKY}, {"id": "hamlet", "prompt": HAMLET}, {"id": "ice", "prompt": ICE})
"""Questions of which `tiny-gpt2-distil` answers only the last one in another way than `tiny-gpt2`."""

TEST = """
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""

WITHOUT = ("-p", "no:hypothesispytest")
"""Options of runs in other processes: that plugin imports all of hypothesis to say nothing."""


@dataclass(frozen=True)
class Prepared:
    """What is made once per process: an empty MLflow store, the baselines of the test above, and those of others."""

    store: Path
    baselines: Path
    others: dict[str, Path] = field(default_factory=dict)


class Compared:
    """The JSON report of a run.

    Attributes:
        report: All of it.
    """

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report

    @property
    def cases(self) -> list[dict[str, Any]]:
        """All cases, in the order of their tables."""
        return [case for table in self.report["tables"] for row in table["rows"] for case in row["cases"] if case]

    @property
    def answers(self) -> list[str]:
        """The outputs, in the order of the table."""
        return [case["candidate"]["text"] for case in self.cases]

    @property
    def verdicts(self) -> set[str]:
        """Which verdicts there are on the cases."""
        return {case["verdict"] for case in self.cases}

    @property
    def findings(self) -> list[str]:
        """The verdicts on the models."""
        return [verdict["finding"] for verdict in self.report["model_verdicts"]]

    def facts(self, name: str) -> set[str | None]:
        """The values of one entry of the environments of the outputs."""
        return {case["candidate"]["environment"].get(name) for case in self.cases}


class Suite:
    """A folder with a user's tests, prompt tables and baselines.

    Attributes:
        pytester: Runs pytest in the folder.
        path: The folder.
        models: Folder with the small models.
        prepared: What is there to be copied.
        warm: Path of an interpreter with the heavy libraries imported, which starts on the first call.
    """

    def __init__(self, pytester: pytest.Pytester, models: Path, prepared: Prepared, warm: Callable[[], str]) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.models = models
        self.prepared = prepared
        self.warm = warm

    def spec(self, name: str = "m", model: str = "tiny-gpt2") -> str:
        """A model spec."""
        return f"{name}={self.models / model}"

    def write(self, name: str, text: str) -> Path:
        """Write a file, its text dedented."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        """Write a table in JSON Lines."""
        return self.write(name, "".join(f"{json.dumps(row)}\n" for row in rows))

    def trivia(
        self, rows: Sequence[Mapping[str, object]] = TRIVIA, test: str = TEST, *, recorded: bool = False
    ) -> None:
        """Write `trivia.jsonl` and `test_trivia.py`, and the baselines of model `m` where they are wanted."""
        self.table("trivia.jsonl", rows)
        self.write("test_trivia.py", test)
        if recorded:
            shutil.copytree(self.prepared.baselines, self.path / "__baselines__")

    def recorded(
        self, rows: Sequence[Mapping[str, object]], test: str = TEST, models: Mapping[str, object] | None = None
    ) -> None:
        """Write both files and baselines of all their tests, which are recorded once per process and copied."""
        models = models or {"m": self.models / "tiny-gpt2"}
        others, name = self.prepared.others, repr((rows, test, models))
        if name not in others:
            folder = self.prepared.store.parent / f"recorded{len(others)}"
            others[name] = record(folder, self.prepared.store, models, rows, test)
        self.trivia(rows, test)
        shutil.copytree(others[name], self.path / "__baselines__")

    def run(self, *args: str, models: Sequence[str] | None = None) -> pytest.RunResult:
        """Run pytest in this process; on `tiny-gpt2` by the name `m`, where no models are given."""
        return self.pytester.runpytest_inprocess(*self.named(models), *args, no_reraise_ctrlc=True)

    def run_apart(
        self, *args: str, models: Sequence[str] | None = None, timeout: float = 180, warm: bool = True
    ) -> pytest.RunResult:
        """Run pytest in a process of its own, its workers too: warm ones, or new ones if the subject is start-up."""
        with pytest.MonkeyPatch.context() as patch:
            if warm:
                patch.setattr(sys, "executable", self.warm())
            return self.pytester.runpytest_subprocess(*WITHOUT, *self.named(models), *args, timeout=timeout)

    def fork(self, *args: str, models: Sequence[str] | None = None) -> int:
        """Start pytest in a process of its own that may be killed; torch is loaded there already. Its process id."""
        command = [*self.named(models), *args]
        child = os.fork()
        if child:
            return child
        code = 70
        try:
            torch.set_num_threads(1)  # the threads of the parent are not here
            with (self.path / "output").open("w", encoding="utf-8") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                sys.stdout = sys.stderr = output
                code = pytest.main(command)
        finally:
            os._exit(code)

    def wait(self, child: int, timeout: float = 120) -> tuple[int, str]:
        """Wait for a forked run: its exit code, negative where a signal ended it, and its output."""
        end = time.monotonic() + timeout
        while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > end:
                os.kill(child, signal.SIGABRT)  # pytest's faulthandler writes where it was
                os.waitpid(child, 0)
                raise TimeoutError((self.path / "output").read_text(encoding="utf-8"))
            time.sleep(0.02)
        return os.waitstatus_to_exitcode(done[1]), (self.path / "output").read_text(encoding="utf-8")

    def named(self, models: Sequence[str] | None) -> list[str]:
        """The option that names the models."""
        specs = [self.spec()] if models is None else models
        return [f"--llm-models={','.join(specs)}"] if specs else []

    def collect(self, *args: str, models: Sequence[str] | None = None) -> list[str]:
        """Node ids of the tests, in order; collecting must succeed."""
        result = self.run("--collect-only", "-q", *args, models=models)
        assert result.ret == 0, result.stdout.str()
        return [line for line in result.outlines if "::" in line]

    def stored(self) -> dict[str, bytes]:
        """All baseline files, by their path."""
        files = sorted(path for path in self.path.glob("**/__baselines__/**/*") if path.is_file())
        return {path.relative_to(self.path).as_posix(): path.read_bytes() for path in files}

    def cases(self, path: str = "__baselines__/trivia/m.baseline") -> dict[str, str]:
        """The lines of each case in a baseline file, by the case's name."""
        text = (self.path / path).read_text(encoding="utf-8")
        blocks = [block.partition("\n") for block in text.split("\ncase ")[1:]]
        return {name: lines.rstrip("\n") for name, _, lines in blocks}

    def compared(self, *args: str, models: Sequence[str] | None = None) -> Compared:
        """Run pytest in this process, and read its JSON report."""
        self.run("--llm-report=report.json", *args, models=models)
        return Compared(json.loads((self.path / "report.json").read_text(encoding="utf-8")))

    def mlflow_runs(self) -> list[mlflow.entities.Run]:
        """All runs in the suite's MLflow store."""
        client = mlflow.MlflowClient()
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return list(client.search_runs(experiments))


def record(
    folder: Path, store: Path, models: Mapping[str, object], rows: Sequence[Mapping[str, object]], test: str
) -> Path:
    """Record baselines of a table `trivia.jsonl` in a folder, outside of any test; the folder that they are in."""
    folder.mkdir()
    shutil.copy(store, folder / "mlflow.db")
    (folder / "trivia.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "test_trivia.py").write_text(test)
    specs = ",".join(f"{name}={path}" for name, path in models.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", f"--basetemp={folder / 'tmp'}")
        assert pytest.main([*options, f"--llm-models={specs}", "--llm-update", str(folder)]) == 0
    del sys.modules["test_trivia"]  # the suites of the tests have modules of this name
    return folder / "__baselines__"


def said(result: pytest.RunResult, start: str) -> str:
    """The one line of the output, less what pytest puts before it, that starts like this."""
    lines = {line.removeprefix("E").strip().removeprefix("AssertionError: ") for line in result.outlines}
    found = [line for line in lines if line.startswith(start)]
    assert len(found) == 1, result.stdout.str()
    return found[0]


def says(result: pytest.RunResult, text: str) -> bool:
    r"""Whether the output has this text, wherever its lines were broken: within a long word, or by `\` in a command."""
    shown = result.stdout.str().replace(" \\\n", "")
    return "".join(text.split()) in "".join(shown.split())
