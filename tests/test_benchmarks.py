"""The benchmarks of decoding and of servers run; the former ends with an error where its ways do not agree."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DECODING = ("loop", "batched", "recording", "verifying, 0% drifted", "verifying, 50% drifted", "warm cache", "floor")
SERVING = ("texts, 8 at once", "texts, one at a time", "check, 8 at once", "check, one at a time")
COMMANDS = {
    "decoding.py --size tiny --prompts 4 --new-tokens 3 --rounds 1 --no-memory": DECODING,
    "serving.py --llama --prompts 3 --new-tokens 3 --rounds 1 --moved": SERVING,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_benchmark_prints_its_table(tmp_path: Path, command: str, warm_interpreter: Callable[[], str]) -> None:
    """Each way has a row with its seconds, from the run just made."""
    script, *options = command.split()
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    ended = subprocess.run(
        [warm_interpreter(), str(ROOT / "benchmarks" / script), *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [line for line in ended.stdout.splitlines() if line[:1].isalpha()]
    for name in COMMANDS[command]:
        (row,) = [line for line in rows if line.startswith(f"{name}  ")]
        assert all(float(number) >= 0 for number in row.removeprefix(name).split()), row
    assert list(tmp_path.iterdir()) == []
