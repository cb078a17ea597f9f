"""What holds for every test: no hub, no settings from outside."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import warm_python

gc.disable()  # until all is imported, a million objects that stay; see `pytest_runtestloop`

settings.register_profile("house", deadline=None)  # the machines of CI are slow now and then
settings.load_profile("house")

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are tiny, and threads that wait for each other take longer
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
OUTSIDE = (
    *("LLMCOMPARE_", "GITHUB_", "PYTEST_ADDOPTS", "PYTEST_XDIST_"),
    *("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"),
)
for name in [*os.environ]:
    if name.startswith(OUTSIDE):
        del os.environ[name]
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) is not None:
    sys.dont_write_bytecode = False  # otherwise each of hundreds of processes compiles all of our modules
os.environ["PYTEST_LLMCOMPARE_STRICT"] = "1"  # a shortcut that raises fails its test, where users only lose time

VARIABLES = dict(os.environ)
"""The environment before libraries and tests put variables into it."""

# Tests send signals; one that was started in the background, or with nohup, has inherited that they are ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Use all cores where pytest-xdist is installed, unless the command line says otherwise (`-n0`)."""
    if hasattr(config, "workerinput") or not config.pluginmanager.has_plugin("xdist"):
        return
    if config.option.numprocesses != 0 and config.option.dist == "no":
        config.option.numprocesses = config.option.numprocesses or "auto"
        config.option.dist = "worksteal"


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a name, where there are no workers."""
    config.stash[RUN] = uuid.uuid4().hex


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collect garbage from now on, less often than usual, and never look through what was imported."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


RUN = pytest.StashKey[str]()
MODELS = Path(__file__).parent.parent / "example_suite" / "models"


@pytest.fixture(autouse=True)
def mlflow_variables() -> Iterator[None]:
    """Undo what a test leaves in the environment: `mlflow.set_experiment` puts its experiment there."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    yield
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        if name not in before:
            del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def example_models() -> Path:
    """Folder with the small models that ship with the repository."""
    return MODELS


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many workers again as there are processors: a quarter of the time, tests wait for other processes."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return processors + processors // 2


def warm_folder(run: str) -> Path:
    """Folder of the warm interpreter of a run of the tests."""
    return Path(tempfile.gettempdir()) / f"warm-{run}"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Remember the run that the workers of pytest-xdist know."""
    node.config.stash[RUN] = node.workerinput["testrunuid"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which processes the warm interpreter could not start: each takes seconds longer."""
    starts = warm_folder(config.stash[RUN]) / warm_python.STARTS
    if starts.is_file():
        counted = Counter(starts.read_text().splitlines()).most_common()
        terminalreporter.write_line(f"warm processes: {', '.join(f'{count} {kind}' for kind, count in counted)}")


@pytest.fixture(scope="session")
def empty_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, to copy: making one takes two seconds, so all workers of pytest-xdist share it."""
    from filelock import FileLock
    from mlflow import MlflowClient

    base = tmp_path_factory.getbasetemp()
    path = (base.parent if hasattr(request.config, "workerinput") else base) / "empty.db"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            MlflowClient(tracking_uri=f"sqlite:///{path}.new").search_experiments()
            Path(f"{path}.new").rename(path)
    return path


@pytest.fixture(scope="session")
def warm_interpreter(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Path of an interpreter with the heavy libraries imported, see `tests/warm_python.py`; started on the first call.

    All workers of pytest-xdist share one.
    """
    worker = getattr(request.config, "workerinput", None)
    folder = warm_folder(worker["testrunuid"]) if worker else warm_folder(request.config.stash[RUN])
    started: list[warm_python.Interpreter] = []

    @functools.cache
    def path() -> str:
        started.append(warm_python.start(folder, os.getppid() if worker else os.getpid(), VARIABLES))
        return started[0].path

    yield path
    if started and not worker:
        warm_python.stop(started[0])


@pytest.fixture
def warm_executable(warm_interpreter: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test start warm processes as `sys.executable`, and as commands in its folder."""
    monkeypatch.setattr(sys, "executable", warm_interpreter())


@pytest.fixture
def shortcuts_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test of a model that refuses a shortcut by raising."""
    monkeypatch.delenv("PYTEST_LLMCOMPARE_STRICT")
