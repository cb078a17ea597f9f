"""What the tests find models in: a Hugging Face cache of tiny random ones, a hub on loopback, an MLflow store."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.stores import in_force

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
OTHER_COMMIT = "11c5a3d5811f50298f278a704980280950aedb10"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `gpt2`, `sharded`, `bloom` with whole random models of a few kilobytes each."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BloomConfig, BloomForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("weights")
    words = Tokenizer(WordLevel({"<eos>": 0, "a": 1, "b": 2, "c": 3}, unk_token="<eos>"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>")  # type: ignore[no-untyped-call]
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=4, n_positions=16, n_embd=16, n_layer=2, n_head=2))
    bloom = BloomForCausalLM(BloomConfig(vocab_size=4, hidden_size=16, n_layer=1, n_head=2))
    gpt2.save_pretrained(base / "gpt2")
    gpt2.save_pretrained(base / "sharded", max_shard_size="8KB")
    bloom.save_pretrained(base / "bloom")
    for folder in base.iterdir():
        tokenizer.save_pretrained(folder)
    return base


@dataclass(frozen=True)
class Cache:
    """A Hugging Face cache in the layout of huggingface_hub."""

    folder: Path

    def add(
        self, repo: str, files: Path, commit: str = COMMIT, refs: Sequence[str] = ("main",), leave_out: str = ""
    ) -> Path:
        """Lay out a repository: blobs named by their hash, links in the snapshot, refs; return the snapshot."""
        home = self.folder / f"models--{repo.replace('/', '--')}"
        snapshot = home / "snapshots" / commit
        for part in (snapshot, home / "blobs", home / "refs"):
            part.mkdir(parents=True, exist_ok=True)
        for file in sorted(files.iterdir()):
            blob = home / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
            if file.name == leave_out:
                blob.with_suffix(".1a2b3c4d.incomplete").write_bytes(file.read_bytes()[:100])
                continue
            shutil.copy(file, blob)
            (snapshot / file.name).symlink_to(Path("../../blobs", blob.name))
        for ref in refs:
            (home / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
            (home / "refs" / ref).write_text(commit)
        return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty cache that is in force, offline."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return Cache(tmp_path / "hf" / "hub")


@pytest.fixture
def online(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """The same, online: the hub may be asked, at an address that the test sets."""
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # it was read when huggingface_hub was imported
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return cache


def git_blob(file: Path) -> str:
    """The id that git gives a file's content."""
    content = file.read_bytes()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@dataclass
class Hub:
    """A hub on loopback that has one repository per id, and notes what was asked of it."""

    address: str = ""
    repositories: dict[str, Path] = field(default_factory=dict)
    gated: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def downloaded(self) -> list[str]:
        """Names of the files that were downloaded, in order."""
        return [path.rpartition("/")[2] for path in self.asked if path.startswith("GET") and "/resolve/" in path]

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, content and headers for one of the questions of a download: commit, which files, and one file."""
        repo = next((name for name in self.repositories if f"/{name}/" in f"{path}/"), "")
        if self.gated:
            return 403, b"", {"X-Error-Code": "GatedRepo"}
        if not repo:
            return 404, b"", {"X-Error-Code": "RepoNotFound"}
        folder = self.repositories[repo]
        if not path.startswith("/api/"):
            content = (folder / path.partition(f"/resolve/{COMMIT}/")[2]).read_bytes()
            return 200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if "/revision/" in path and not path.endswith((COMMIT, "/v1")):
            return 404, b"", {"X-Error-Code": "RevisionNotFound"}
        names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        if "/tree/" in path:
            tree = [
                {"type": "file", "path": name, "size": (folder / name).stat().st_size, "oid": git_blob(folder / name)}
                for name in names
            ]
            return 200, json.dumps(tree).encode(), {}
        facts = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        return 200, json.dumps(facts).encode(), {}


@pytest.fixture
def hub(online: Cache, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that serves what the test puts into its `repositories`."""
    found = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path)
            found.asked.append(f"{self.command} {path}")
            status, content, headers = found.answer(path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", found.address)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port() -> str:
    """Address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@dataclass(frozen=True)
class Store:
    """An MLflow store with models in it.

    Attributes:
        uri: Its tracking URI.
        run: Run that logged `model` twice.
        first: Model id of the first of these, registered as `qa` version 1, alias `champion`.
        last: Model id of the last.
        old_run: Run with a model as MLflow 2 logged it, at `old`; registered as `qa` version 2.
        pickled: Folder of a pyfunc that was logged as a pickle.
        from_code: Folder of a pyfunc that was logged as code.
    """

    uri: str
    run: str
    first: str
    last: str
    old_run: str
    pickled: Path
    from_code: Path


ECHO = """
import mlflow

class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return list(model_input["text"])

mlflow.models.set_model(Echo())
"""


@pytest.fixture(scope="session")
def filled_store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Store:
    """A sqlite store, made once: that takes a second or two."""
    import mlflow
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    class Pickled(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return list(model_input["text"])

    base = tmp_path_factory.mktemp("mlflow")
    shutil.copy(empty_store, base / "mlflow.db")
    code = base / "echo.py"
    code.write_text(ECHO)
    signature = ModelSignature(Schema([ColSpec("string", "text")]), Schema([ColSpec("string")]))
    facts: dict[str, Any] = {"signature": signature, "pip_requirements": ["mlflow"]}
    with in_force(f"sqlite:///{base / 'mlflow.db'}"):
        experiment = mlflow.create_experiment("models", artifact_location=(base / "artifacts").as_uri())
        with mlflow.start_run(experiment_id=experiment) as run:
            first = mlflow.pyfunc.log_model(name="model", python_model=str(code), registered_model_name="qa", **facts)
            last = mlflow.pyfunc.log_model(name="model", python_model=str(code), **facts)
            pickled = mlflow.pyfunc.log_model(name="pickled", python_model=Pickled(), **facts)
        client = MlflowClient()
        with mlflow.start_run(experiment_id=experiment) as old:
            mlflow.log_text("flavors:\n  python_function:\n    model_code_path: echo.py\n", "old/MLmodel")
            mlflow.log_text(ECHO, "old/echo.py")
        client.create_model_version("qa", f"runs:/{old.info.run_id}/old", old.info.run_id)
        client.set_registered_model_alias("qa", "champion", "1")
        client.set_registered_model_alias("qa", "challenger", "2")
        client.create_registered_model("empty")
        folders = [
            Path(mlflow.artifacts.download_artifacts(artifact_uri=info.model_uri, dst_path=str(base / info.model_id)))
            for info in (pickled, first)
        ]
        return Store(
            mlflow.get_tracking_uri(), run.info.run_id, first.model_id, last.model_id, old.info.run_id, *folders
        )


@pytest.fixture
def store(filled_store: Store) -> Iterator[Store]:
    """The MLflow store, in force."""
    with in_force(filled_store.uri):
        yield filled_store
