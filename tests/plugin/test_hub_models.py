"""Models by their hub id: found in a real Hugging Face cache, in the revision that was downloaded."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from .suites import Suite

COMMITS = {
    "gpt2-large": "32b71b12589c2f8d625668d2335a01cac3249519",
    "distilgpt2": "2290a62682d06624634c1f46a6ad5be0f47f38aa",
}


def lay_out(cache: Path, repo: str, files: Path) -> None:
    """Put weights where `hf download` would: blobs by their hash, links in the snapshot, a ref to the commit."""
    home = cache / f"models--{repo}"
    snapshot = home / "snapshots" / COMMITS[repo]
    for folder in (snapshot, home / "blobs", home / "refs"):
        folder.mkdir(parents=True)
    for file in files.iterdir():
        blob = home / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(Path("../../blobs", blob.name))
    (home / "refs" / "main").write_text(COMMITS[repo])


@pytest.fixture
def cached(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite beside a cache with two models of the hub: their names and layout, our weights."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(suite.path / "hf"))
    for repo, model in (("gpt2-large", "tiny-gpt2"), ("distilgpt2", "tiny-gpt2-distil")):
        lay_out(suite.path / "hf" / "hub", repo, suite.models / model)
    suite.trivia()
    return suite


def test_models_are_compared_by_their_hub_ids(cached: Suite) -> None:
    """`--llm-models=gpt2-large,distilgpt2` records, compares, and names the commits in baselines and MLflow."""
    models = ["gpt2-large", "distilgpt2"]
    cached.run("--llm-update", models=models).assert_outcomes(passed=6)
    cached.run(models=models).assert_outcomes(passed=6)
    for repo, commit in COMMITS.items():
        assert f"weights={commit[:12]}" in (cached.path / f"__baselines__/trivia/{repo}.baseline").read_text()
    runs = {run.data.tags["llmcompare.model"]: run.data for run in cached.mlflow_runs()}
    assert {name: data.params["revision"] for name, data in runs.items()} == COMMITS
    assert runs["gpt2-large"].tags["mlflow.runName"] == "log_model_gpt2-large"


def test_another_revision_of_the_cache_is_another_model(cached: Suite) -> None:
    """`NAME=SOURCE@REVISION` takes the commit that is named; one that is not there is an error that says what is."""
    full = COMMITS["distilgpt2"]
    cached.run("--llm-update", models=[f"d=distilgpt2@{full}"]).assert_outcomes(passed=3)
    result = cached.run(models=["d=distilgpt2@v9"])
    result.assert_outcomes(errors=3)
    assert "model 'd': the hub model distilgpt2@v9 is not on this machine" in result.stdout.str()
    assert "it has no revision 'v9'; there is main." in result.stdout.str()


def test_a_model_that_is_not_there_fails_its_own_tests_only(cached: Suite) -> None:
    """The other model is compared; the message says where we looked and what to do, once in full."""
    cached.run("--llm-update", models=["distilgpt2"]).assert_outcomes(passed=3)
    result = cached.run(models=["distilgpt2", "bigscience/bloom-560m"])
    result.assert_outcomes(passed=3, errors=3)
    text = result.stdout.str()
    assert f"Looked in {cached.path / 'hf/hub/models--bigscience--bloom-560m'}: there is no such folder." in text
    assert text.count("Download it where there is a network (hf download bigscience/bloom-560m)") == 1
    assert text.count("(as above)") == 2
