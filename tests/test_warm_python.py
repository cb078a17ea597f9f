"""A warm process behaves as a new one: exit code, output, input, signals, environment, folder, and no thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.warm_python import alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a fork that is safe, and /proc")
SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


@pytest.fixture
def warm(warm_interpreter: Callable[[], str]) -> str:
    return warm_interpreter()


def run(*command: str, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import sys; print(sys.argv, sys.path, __name__); print('x', file=sys.stderr); sys.exit(3)", "a", "-b"),
        ("-c", "print(input(), sys.stdin.read())"),
        ("-c", "1 / 0"),
        ("-c", "raise SystemExit('why')"),
        ("-c", "raise KeyboardInterrupt"),
        ("-c", "import os; os.abort()"),
        ("-c", "import atexit; atexit.register(print, 'end'); print('start')"),
        ("-u", "-c", "import threading, time; threading.Timer(0.1, print, ['late']).start()"),
        ("-c", "import os, sys; print(sorted(os.environ.items()), sys.dont_write_bytecode, sys.pycache_prefix)"),
        ("-c", "import random, sys; print(sys.flags, random.random() == random.Random(1).random())"),
        ("-c", "import sys; sys.stdout.reconfigure(errors='replace'); print(sys.stdout.seekable(), sys.stdout.name)"),
        ("-m", "calendar", "2026", "1"),
        ("-mcalendar", "nonsense"),
        ("-W", "error", "-c", "import warnings; warnings.warn('x')"),
        ("script.py", "a"),
    ],
)
def test_the_same_as_a_new_process(
    warm: str, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same exit code and output."""
    (tmp_path / "script.py").write_text("import sys\nprint(sys.argv, sys.path[0], __file__, __name__)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'more'}")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", f"{tmp_path / 'cache'}")
    monkeypatch.setenv("ONLY_HERE", "1")
    monkeypatch.setenv("PWD", str(tmp_path))  # the launcher is a shell script, and shells set it
    ours, theirs = (run(python, *arguments, input="line\nmore\n") for python in (warm, sys.executable))
    assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)


def test_libraries_are_there_and_nothing_has_run(warm: str) -> None:
    """Its modules are the server's, without those of the tests; it has one thread and its own name.

    Of the plugin all is imported but the code of models, which MLflow runs, and nothing was done with it.
    """
    code = (
        "import os, sys; print({'mlflow', 'pytest_llmcompare.plugin', 'torch', 'xdist'} <= {*sys.modules},"
        " sys.executable, [name for name in sys.modules if name.split('.')[0] == 'tests' or '._' in name"
        " and name.startswith('pytest_llmcompare')], len(os.listdir('/proc/self/task')));"
        "from pytest_llmcompare.evaluation import served_model, tracking_store;"
        "from pytest_llmcompare.models import in_memory;"
        "print(tracking_store._made, in_memory._held.model, served_model._servers)"
    )
    assert run(warm, "-c", code).stdout == f"True {warm} [] 1\nset() None {{}}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_process(warm: str, number: signal.Signals) -> None:
    """Those of them that end it, and the launcher with it; one that kills the launcher kills the process."""
    with subprocess.Popen([warm, "-c", SLEEP], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        forked = int(process.stdout.readline())
        assert forked != process.pid
        process.send_signal(number)
        assert process.wait(30) == -number
    end = time.monotonic() + 30
    while alive(forked):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_variables_that_are_read_once_make_it_a_new_process(warm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork could not follow them."""
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    code = "import os, sys; print(hash('x'), sys.executable, 'torch' in sys.modules)"
    assert run(warm, "-c", code).stdout == run(sys.executable, "-c", code).stdout
    assert os.environ["PYTHONHASHSEED"] == "1"
