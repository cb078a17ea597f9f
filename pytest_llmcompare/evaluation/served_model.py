"""Served models (`openai:MODEL@URL`) as MLflow's: logged as code and an address, without any key."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from mlflow.models.model import ModelInfo
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.model import PythonModel

from pytest_llmcompare.errors import GenerationError, ModelError
from pytest_llmcompare.models.conversation import Conversation
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.served import ServerOptions, check_variables, parse_address
from pytest_llmcompare.models.spec import ModelSpec
from pytest_llmcompare.serving.answer import Answer
from pytest_llmcompare.serving.client import Client
from pytest_llmcompare.serving.request_fields import check_settings
from pytest_llmcompare.serving.server import Question, Server
from pytest_llmcompare.serving.threads import in_threads

from .dataset import Shared
from .pyfunc_input import faulty_rows, own_requests, shared_requests
from .signatures import CHAT, SIGNATURES

if TYPE_CHECKING:
    ModelInput = object
else:
    ModelInput = pd.DataFrame  # MLflow reads annotations: others make it warn at import, or convert the input

CODE = Path(__file__).with_name("_served_code.py")
PACKAGES = ("mlflow", "openai", "pytest-llmcompare")

_servers: dict[str, Server] = {}
"""Servers that were asked in this run, so that each is probed once and its requests are counted together."""

_run_folder: Path | None = None
"""Folder that the workers of pytest-xdist share in this run; None without workers."""


class ServedModel(PythonModel):
    """Asks a model behind an OpenAI-compatible server.

    Args:
        config: What is stored with the model, as returned by `config_of`.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = dict(config)

    @property
    def name(self) -> str:
        """Name of the model in messages."""
        return str(self.config["name"])

    @property
    def options(self) -> ServerOptions:
        """How it is asked."""
        return ServerOptions(**self.config["options"])

    @property
    def is_chat(self) -> bool:
        """True if it is asked at the chat endpoint: its table says so, or it was logged for conversations."""
        return self.options.chat or bool(self.config.get("conversations"))

    def of_conversations(self) -> ServedModel:
        """The same model, asked at the chat endpoint."""
        return ServedModel({**self.config, "conversations": True})

    def server(self) -> Server:
        """The server, the same one for every model with this address and these options.

        Raises:
            ModelError: The SDK is not installed.
            UsageError: An environment variable is missing, or the address cannot be used.
        """
        key = repr((self.config["source"], self.config.get("dtype"), sorted(self.config["options"].items())))
        chat = f"{key} chat"
        if key not in _servers:
            check_variables(self.name, self.options, os.environ)
            address = parse_address(self.config["source"], f"model {self.name!r}")
            client, dtype = Client(address, self.options, folder=_folder_of(key)), self.config.get("dtype") or ""
            _servers[key], _servers[chat] = Server(client, dtype), Server(client, dtype, chat=True)
        return _servers[chat if self.is_chat else key]

    def predict(self, context: object, model_input: ModelInput, params: Any = None) -> list[str]:  # noqa: ARG002 - MLflow's
        """Answer texts, or rows with settings of their own if the model was logged without settings.

        Raises:
            GenerationError: Rows that failed.
            ModelError: The server does not answer at all.
            UsageError: Input of another form, or settings that a server cannot follow.
        """
        gen_config = self.config["gen_config"]
        if gen_config is None:
            requests = own_requests(model_input)
        else:
            requests = shared_requests(model_input, self.config["examples"], complete(gen_config))
        outcomes: dict[int, Answer | GenerationError] = {}
        questions: dict[int, Question] = {}
        for index, row in enumerate(requests):
            if isinstance(row, GenerationError):
                outcomes[index] = row
            else:
                questions[index] = Question(row.prompt, row.gen_config, row.seed)
                check_settings(self.name, row.gen_config)
        if questions:
            has_messages = any(isinstance(question.prompt, Conversation) for question in questions.values())
            server = (self.of_conversations() if has_messages else self).server()
            server.probe(self.name)
            outcomes.update(in_threads(server.ask, questions, self.options.concurrency))
        if failed := [(index, one) for index, one in outcomes.items() if isinstance(one, GenerationError)]:
            raise faulty_rows(failed, len(requests))
        return [one.text for _, one in sorted(outcomes.items()) if isinstance(one, Answer)]


def config_of(spec: ModelSpec, shared: Shared | None, *, conversations: bool = False) -> dict[str, Any]:
    """What is stored with a model: names of variables, never their values.

    Args:
        spec: The model.
        shared: Examples and settings that all rows share; None if each row has its own.
        conversations: Whether it is asked conversations.
    """
    return {
        "name": spec.name,
        "source": spec.source,
        "options": dataclasses.asdict(spec.server),
        "dtype": spec.dtype if spec.dtype != "auto" else None,
        "gen_config": shared.gen_config if shared else None,
        "examples": shared.examples if shared else "",
        **({"conversations": True} if conversations else {}),
    }


def log_served(spec: ModelSpec, name: str, shared: Shared | None, *, conversations: bool = False) -> ModelInfo:
    """Log a served model in the active run."""
    info: ModelInfo = mlflow.pyfunc.log_model(
        name=name,
        python_model=str(CODE),
        model_config=config_of(spec, shared, conversations=conversations),
        signature=SIGNATURES["PyfuncTransformer" if shared else CHAT],
        # With requirements MLflow infers none, for which it would load the model once more.
        pip_requirements=[f"{package}=={installed}" for package in PACKAGES if (installed := _version(package))],
    )
    return info


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"served models (openai:MODEL@URL) need the package {package!r}, which is not installed. "
            'Install the extra: pip install "pytest-llmcompare[openai]"'
        ) from error


def served_model_of(model: PyFuncModel) -> ServedModel | None:
    """Our own pyfunc for a served model inside a loaded model; None for any other."""
    try:
        inside: object = model.unwrap_python_model()
    except mlflow.MlflowException:  # another flavour
        return None
    return inside if type(inside) is ServedModel else None


def share_limits(folder: Path | None) -> None:
    """Keep the limits of this run (requests in flight, their number, pauses) together with other processes.

    Args:
        folder: Folder that the workers of pytest-xdist share; None without workers.
    """
    global _run_folder  # noqa: PLW0603 - MLflow makes the models, so nothing can be handed to them
    _run_folder = folder


def _folder_of(key: str) -> Path | None:
    """The folder in which processes share the limits of one server; None if there is only this process."""
    if _run_folder is None:
        return None
    folder = _run_folder / f"server-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def forget() -> None:
    """Close the connections to all servers, so that the next run probes them again."""
    for server in _servers.values():
        server.client.close()
    _servers.clear()
    share_limits(None)
