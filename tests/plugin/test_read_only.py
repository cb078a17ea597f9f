"""A checkout that cannot be written to: comparing works with a store elsewhere, else the folder is named first."""

from __future__ import annotations

import sys
import time

import pytest

from tests.disks import full_disk, read_only

from .suites import Suite


@pytest.fixture
def checkout(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite with baselines; its store is where MLflow puts it."""
    suite.trivia(recorded=True)
    (suite.path / "mlflow.db").rename(suite.path / "store.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{suite.path / 'store.db'}")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return suite


def test_a_store_that_cannot_be_written_to(checkout: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line names the folder, the next what to set; where the database is there, and where it is not.

    Soon: MLflow itself tries for 102 seconds to open a database that is not there.
    """
    start = time.monotonic()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for uri in (f"sqlite:///{checkout.path / 'store.db'}", f"sqlite:///{checkout.path / 'new.db'}"):
        with read_only(checkout.path):
            result = checkout.run("-p", "no:cacheprovider", f"--llm-tracking-uri={uri}")
        result.assert_outcomes(errors=3)
        lines = [line for line in result.outlines if " cannot be written to, so MLflow at " in line]
        assert lines[0].startswith(f"{checkout.path} cannot be written to")
        assert "--llm-tracking-uri=sqlite:///" in result.stdout.str()
        assert "INSERT INTO" not in result.stdout.str() + result.stderr.str()
    assert time.monotonic() - start < 60


@pytest.mark.skipif(sys.platform == "win32", reason="it has no limit for files")
def test_a_store_on_a_full_disk(checkout: Suite) -> None:
    """Its folder and what to do are named, and what is there stays."""
    before = {path: path.read_bytes() for path in (checkout.path / "__baselines__").rglob("*") if path.is_file()}
    with full_disk(30_000):
        result = checkout.run("--llm-update")
    result.assert_outcomes(errors=3)
    text = " ".join(result.stdout.str().split())
    assert f"the disk of {checkout.path} is full or faulty, so MLflow at sqlite:///" in text
    assert "Make room, or name a store on another disk: --llm-tracking-uri=sqlite:///" in text
    assert {path: path.read_bytes() for path in before} == before


def test_comparing_with_a_store_elsewhere(checkout: Suite, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Identical outputs pass, what drifted fails as ever, and the run's files go beside the database."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    option = f"--llm-tracking-uri=sqlite:///{elsewhere / 'mlflow.db'}"
    with read_only(checkout.path):
        checkout.run("-p", "no:cacheprovider", option).assert_outcomes(passed=3)
        drifted = checkout.run("-p", "no:cacheprovider", option, models=[checkout.spec(model="tiny-bloom")])
    assert drifted.ret == 1
    assert drifted.parseoutcomes()["failed"] >= 1
    assert "cannot be kept for review" in " ".join(drifted.stdout.str().split())
    assert list((elsewhere / "mlruns").rglob("eval_results_table.json"))
    assert not (checkout.path / "mlruns").exists()


def test_an_experiment_whose_files_lie_where_nothing_can_be_written(
    checkout: Suite, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A store that can be written to may have placed its files in the checkout."""
    import mlflow

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    uri = f"sqlite:///{elsewhere / 'mlflow.db'}"
    mlflow.MlflowClient(tracking_uri=uri).create_experiment("test_trivia", str(checkout.path / "files"))
    test = checkout.path / "test_trivia.py"
    test.write_text(test.read_text().replace("model_type=None", "model_type=None, experiment='test_trivia'"))
    with read_only(checkout.path):
        result = checkout.run("-p", "no:cacheprovider", f"--llm-tracking-uri={uri}")
    result.assert_outcomes(errors=3)
    assert any(line.startswith(f"{checkout.path} cannot be written to") for line in result.outlines)
