"""What the tests of served models share: GGUF files of the example models, and suites to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.plugin.conftest import prepared, suite

from .gguf_model import write_gguf
from .servers import TransformersServer, llama, transformers_serve
from .vllm_like import VllmLike, vllm_like

__all__ = ["prepared", "suite"]


@pytest.fixture(scope="session")
def gguf_file(tmp_path_factory: pytest.TempPathFactory, example_models: Path) -> Path:
    """`tiny-gpt2` in float32."""
    return write_gguf(example_models / "tiny-gpt2", tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="session")
def llama_url(gguf_file: Path) -> Iterator[str]:
    """Address of a llama.cpp server with `tiny-gpt2`."""
    with llama(gguf_file) as url:
        yield url


@pytest.fixture(scope="session")
def transformers_server(
    tmp_path_factory: pytest.TempPathFactory, example_models: Path, warm_interpreter: Callable[[], str]
) -> Iterator[TransformersServer]:
    """A `transformers serve` with `tiny-gpt2`."""
    log = tmp_path_factory.mktemp("serve") / "log"
    with transformers_serve(example_models / "tiny-gpt2", log, warm_interpreter()) as server:
        yield server


@pytest.fixture(scope="session")
def _vllm_server(example_models: Path, warm_interpreter: Callable[[], str]) -> Iterator[VllmLike]:
    with vllm_like(example_models / "tiny-gpt2", warm_interpreter()) as server:
        yield server


@pytest.fixture
def vllm(_vllm_server: VllmLike) -> VllmLike:
    """A server with vLLM's answers and `tiny-gpt2`, which a test may replace."""
    _vllm_server.serve()
    return _vllm_server
