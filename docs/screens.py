"""Pictures of screens: the example suite run with a drift in it, a browser to look at what that gave, small PNG files.

For the scripts beside it. Needs Chromium, and the extra `test`.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.browser.chromium import Chromium

REPOSITORY = Path(__file__).resolve().parent.parent
IMAGES = REPOSITORY / "docs" / "images"
COLOURS = 255  # that are left in a picture; a screen has few
LEFT_OUT = ("__pycache__", ".*_cache", ".llmcompare", "mlruns", "*.db")
DRIFT = "tiny-gpt2"


def run_suite(folder: Path, *options: str) -> None:
    """Run a copy of the example suite in which a smaller model has taken the place of `tiny-gpt2`.

    Args:
        folder: Where the copy is to be; not there yet.
        options: For pytest.

    Raises:
        RuntimeError: The run did not end with the failed tests that it is to show.
    """
    shutil.copytree(REPOSITORY / "example_suite", folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copytree(folder / "models" / f"{DRIFT}-distil", folder / "models" / DRIFT, dirs_exist_ok=True)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options],
        cwd=folder,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if run.returncode != 1:
        raise RuntimeError(f"the run ended with {run.returncode}, expected failed tests (1):\n{run.stdout}{run.stderr}")


def environment() -> dict[str, str]:
    """For programs that are to be looked at: nothing of this machine's settings, no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "LLMCOMPARE_"))}
    path = os.pathsep.join([str(REPOSITORY), kept.get("PYTHONPATH", "")])
    return {**kept, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUTF8": "1"}


@contextmanager
def browser() -> Iterator[Chromium]:
    """A Chromium without a window.

    Raises:
        RuntimeError: There is none.
    """
    sys.path.insert(0, str(REPOSITORY))
    from tests.browser.chromium import INSTALL, Chromium, find

    program = find()
    if program is None:
        raise RuntimeError(f"no Chromium is installed: {INSTALL}")
    with tempfile.TemporaryDirectory() as profile:
        running = Chromium(program, Path(profile))
        try:
            yield running
        finally:
            running.close()


def save(shown: Chromium, name: str) -> None:
    """Save what a browser shows as a picture of the documentation, with few colours, so that it is small."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "screen.png"
        shown.picture(raw)
        data = raw.read_bytes()
    few = (
        Image.open(io.BytesIO(data))
        .convert("RGB")
        .quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    )
    path = IMAGES / name
    few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} KiB")
