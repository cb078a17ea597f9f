"""The benchmarks of decoding, whole processes, servers and GPUs run, and fail where outputs are not the same."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DECODING = ("loop", "batched", "recording", "verifying, 0% drifted", "verifying, 50% drifted", "warm cache", "floor")
WHOLE = ("article", "recording", "checking", "cached")
SERVING = ("texts, 8 at once", "texts, one at a time", "check, 8 at once", "check, one at a time")
COMMANDS = {
    "decoding.py --size tiny --prompts 4 --new-tokens 3 --rounds 1 --no-memory": DECODING,
    "end_to_end.py --size tiny --models 1 --prompts 3 --new-tokens 3 --rounds 1": WHOLE,
    "serving.py --llama --prompts 3 --new-tokens 3 --rounds 1 --moved": SERVING,
}


GPU = ("as generate", "as on CPU", "CPU, cpu", "eager attention", "TF32")


def run(folder: Path, *command: str, **variables: str) -> str:
    """What a command prints, run in an empty folder, where it leaves nothing."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert list(folder.iterdir()) == []
    return ended.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_benchmark_prints_its_table(tmp_path: Path, command: str, warm_interpreter: Callable[[], str]) -> None:
    """Each way has a row with its seconds, from the run just made."""
    script, *options = command.split()
    shown = run(tmp_path, warm_interpreter(), str(ROOT / "benchmarks" / script), *options)
    rows = [line for line in shown.splitlines() if line[:1].isalpha()]
    for name in COMMANDS[command]:
        (row,) = [line for line in rows if line.startswith(f"{name}  ")]
        assert all(float(number) >= 0 for number in row.removeprefix(name).split()), row


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell for gpu.sh")
def test_the_gpu_benchmark_runs_without_a_gpu(tmp_path: Path, warm_interpreter: Callable[[], str]) -> None:
    """In small form on the CPU: all outputs are those of `generate`, nothing moves by more than the limit."""
    shown = run(tmp_path, "sh", str(ROOT / "benchmarks" / "gpu.sh"), DEVICE="cpu", PYTHON=warm_interpreter())
    for dtype in ("float32", "bfloat16"):
        for what in (*GPU, *(["read as a float32 copy"] if dtype == "bfloat16" else [])):
            (row,) = [line for line in shown.splitlines() if line.startswith(f"tiny-gpt2        {dtype:<10}{what}  ")]
            figures = row.split(what)[1].split()
            assert figures == ["4/4"] or float(figures[1]) < 1, row
    assert "tiny 4 x 3                 verifying, 0% drifted" in shown


def test_the_model_verdict_is_right_for_another_architecture(
    tmp_path: Path, warm_interpreter: Callable[[], str]
) -> None:
    """No harmless change of a small model alarms."""
    script = str(ROOT / "benchmarks" / "verdict_models.py")
    shown = run(tmp_path, warm_interpreter(), script, "gemma", "--dtypes", "bfloat16")
    assert shown.endswith("0 false alarms\n")
