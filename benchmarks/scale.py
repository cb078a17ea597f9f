"""How a run grows with its table: seconds and memory for 1,000, 10,000 and 30,000 rows.

    python benchmarks/scale.py [ROWS ...]

The model is `echo:`, which costs nothing, so what is left is pytest, MLflow and this plugin. Each run is a process of
its own. Its rival is the same number of plain `@pytest.mark.parametrize` tests, of which as many fail, in a process
that has imported MLflow, too: pytest goes through all loggers of a process in each phase of a test, and MLflow brings
some 500. "own" is what a case costs beyond its rival and beyond the fixed cost of a run, which is that of a table with
one row.

Seconds are processor time, because what else the machine does shows in the wall clock. Memory is the peak.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROWS = (1_000, 10_000, 30_000)

COMPARING = """
import pytest

@pytest.mark.llm_prompts("prompts.csv", model_type=None)
def test_answer(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""

PLAIN = """
import mlflow.models
import mlflow.store.tracking.sqlalchemy_store
import pytest

@pytest.mark.parametrize("number", range({rows}))
def test_answer(number):
    assert "answer" == ("another" if {drift} and number % 10 == 0 else "answer")
"""

MODELS = {0.0: "--llm-models=m=echo:", 0.1: "--llm-models=m=echo:?drift=0.1"}


class Cost(NamedTuple):
    """What one run took.

    Attributes:
        seconds: Processor time, user and system.
        megabytes: Peak of the memory.
    """

    seconds: float
    megabytes: float


class Run(NamedTuple):
    """A run of a suite and the rival that it is compared with; a rival has none itself."""

    name: str
    options: tuple[str, ...]
    rival: str = ""


RUNS = (
    Run("plain", ("plain.py",)),
    Run("plain, 10% fail", ("failing.py",)),
    Run("collect", ("test_scale.py", "--collect-only", MODELS[0.0]), "plain, collect"),
    Run("record", ("test_scale.py", "--llm-update", MODELS[0.0]), "plain"),
    Run("check", ("test_scale.py", MODELS[0.0]), "plain"),
    Run("check, 10% drift", ("test_scale.py", MODELS[0.1]), "plain, 10% fail"),
    Run("the same with an HTML report", ("test_scale.py", MODELS[0.1], "--llm-report=report.html"), "plain, 10% fail"),
)


def write_suite(folder: Path, rows: int) -> None:
    """Write a table of so many rows, the test that compares it, and its rivals."""
    lines = [f"row{number},What is the answer to question number {number}?" for number in range(rows)]
    (folder / "prompts.csv").write_text("\n".join(["id,prompt", *lines, ""]))
    (folder / "test_scale.py").write_text(COMPARING)
    (folder / "plain.py").write_text(PLAIN.format(rows=rows, drift=False))
    (folder / "failing.py").write_text(PLAIN.format(rows=rows, drift=True))
    (folder / "pytest.ini").write_text("[pytest]\n")


def cost_of(folder: Path, options: tuple[str, ...]) -> Cost:
    """Run pytest in a process of its own.

    Raises:
        RuntimeError: It ended otherwise than with passed or failed tests.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options]
    with (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output.read()[-3000:]}")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def costs_of(rows: int) -> dict[str, Cost]:
    """What each run costs with so many rows."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_suite(folder, rows)
        costs = {"plain, collect": cost_of(folder, ("plain.py", "--collect-only"))}
        return costs | {run.name: cost_of(folder, run.options) for run in RUNS}


def lines_of(rows: int, costs: dict[str, Cost], fixed: dict[str, Cost]) -> Iterator[str]:
    """The table of one size.

    Args:
        rows: Rows of the prompt table.
        costs: What the runs cost.
        fixed: What they cost with one row.
    """
    for run in RUNS:
        cost = costs[run.name]
        line = f"{rows:>6,}  {run.name:<28}  {cost.seconds:8.1f}  {cost.megabytes:7.0f}"
        if run.rival:
            grown = cost.seconds - fixed[run.name].seconds
            rival = costs[run.rival].seconds - fixed[run.rival].seconds
            line += f"  {(grown - rival) / rows * 1000:7.2f}"
        yield line


def main(sizes: tuple[int, ...]) -> None:
    """Measure and print."""
    print(f"{'rows':>6}  {'run':<28}  {'seconds':>8}  {'MB':>7}  {'own ms':>7}", flush=True)
    fixed = costs_of(1)
    for rows in sizes:
        for line in lines_of(rows, costs_of(rows), fixed):
            print(line, flush=True)


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or ROWS)
