"""Noise that was measured when recording: a line of its own in the baseline file, part of no environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import RowKey

from .samples import CPU, GROUP, baseline

SMALL, LARGE = MeasuredNoise(1.3e-6).write(CPU), MeasuredNoise(2.5e-6).write(CPU)


def head(root: Path) -> list[str]:
    """The lines on environments and their noise."""
    lines = store.path_of(root, GROUP).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(("#env", "#noise"))]


def test_the_larger_noise_is_kept(tmp_path: Path) -> None:
    """It describes the environment, so a case more or less does not make another one."""
    store.update(tmp_path, GROUP, [baseline("a", environment=SMALL)])
    environment = "#env e1 device=cpu dtype=float32 torch=2.13.0"
    assert head(tmp_path) == [environment, "#noise e1 1.3e-06"]
    store.update(tmp_path, GROUP, [baseline("b", environment=LARGE), baseline("c", environment=CPU)])
    assert head(tmp_path) == [environment, "#noise e1 2.5e-06"]
    stored = store.load(tmp_path, GROUP).baselines
    assert {one.generation.environment for one in stored.values()} == {LARGE}


def test_an_equal_output_does_not_write_its_noise(tmp_path: Path) -> None:
    """Unless the update takes new facts, and the file has no noise."""
    store.update(tmp_path, GROUP, [baseline("a", environment=CPU)])
    assert not store.update(tmp_path, GROUP, [baseline("a", environment=SMALL)]).written
    assert store.update(tmp_path, GROUP, [baseline("a", environment=SMALL)], refresh=True).refreshed == (RowKey("a"),)
    assert "#noise e1 1.3e-06" in head(tmp_path)
    assert not store.update(tmp_path, GROUP, [baseline("a", environment=LARGE)], refresh=True).written


def test_noise_does_not_change_a_fingerprint(tmp_path: Path) -> None:
    """An output that waits for a decision can still be accepted after noise was added to the file."""
    store.update(tmp_path, GROUP, [baseline("a", environment=CPU)])
    before = store.fingerprints(tmp_path, GROUP)
    store.update(tmp_path, GROUP, [baseline("b", environment=SMALL)])
    assert store.fingerprints(tmp_path, GROUP)[RowKey("a")] == before[RowKey("a")]


@pytest.mark.parametrize("line", ["#noise e1", "#noise e1 much", "#noise 1.3e-06", "#noise e1 nan", "#noise e1 1 2"])
def test_a_line_that_cannot_be_read(tmp_path: Path, line: str) -> None:
    """It is named, as any other line of the head."""
    store.update(tmp_path, GROUP, [baseline("a", environment=SMALL)])
    path = store.path_of(tmp_path, GROUP)
    path.write_text(path.read_text(encoding="utf-8").replace("#noise e1 1.3e-06", line), encoding="utf-8")
    with pytest.raises(BaselineError, match="line 5"):
        store.load(tmp_path, GROUP)


def test_two_noises_that_a_merge_left(tmp_path: Path) -> None:
    """The larger one counts, and no choice is needed."""
    store.update(tmp_path, GROUP, [baseline("a", environment=SMALL)])
    path = store.path_of(tmp_path, GROUP)
    both = "<<<<<<< HEAD\n#noise e1 1.3e-06\n=======\n#noise e1 2.5e-06\n>>>>>>> other"
    path.write_text(path.read_text(encoding="utf-8").replace("#noise e1 1.3e-06", both), encoding="utf-8")
    stored = store.load(tmp_path, GROUP)
    assert not stored.conflicts
    assert stored.baselines[RowKey("a")].generation.environment == LARGE


@pytest.mark.parametrize(
    ("noise", "moved", "written"), [(1e-6, 2e-6, False), (1e-6, 5e-6, True), (1e-8, 9e-7, False), (1e-3, 2e-3, False)]
)
def test_a_refresh_keeps_log_probs_that_moved_by_noise(
    noise: float, moved: float, *, written: bool, tmp_path: Path
) -> None:
    """Three times the noise of this model and table, at least 1e-6 nats."""
    environment = MeasuredNoise(noise).write(CPU)
    store.update(tmp_path, GROUP, [baseline("a", logprobs=(-0.25, -0.5), environment=environment)])
    new = baseline("a", logprobs=(-0.25 - moved, -0.5 + moved), environment=environment)
    assert store.update(tmp_path, GROUP, [new], refresh=True).written is written
