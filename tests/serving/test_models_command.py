"""`llmcompare models` for served models: address, server, version, level, or why it cannot be reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_llmcompare.cli.main import main
from pytest_llmcompare.comparison.environments import same_numerics
from pytest_llmcompare.comparison.noise import limits
from pytest_llmcompare.models.served import Address, ServerOptions
from pytest_llmcompare.serving.client import Client
from pytest_llmcompare.serving.server import Server

from .servers import Faulty, TransformersServer, completion


def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, *lines: str) -> tuple[int, list[str]]:
    """Exit code and output of the command for the model `qa` of a server."""
    table = ["[tool.llmcompare.models.qa]", f'source = "openai:tiny-gpt2@{url}"', *lines, ""]
    (tmp_path / "pyproject.toml").write_text("\n".join(table), encoding="utf-8")
    code = main(["models", "--root", str(tmp_path)])
    return code, [line.strip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
def test_llama(tmp_path: Path, capsys: pytest.CaptureFixture[str], llama_url: str) -> None:
    """It answers to any name, and says by its own."""
    code, lines = shown(tmp_path, capsys, llama_url)
    assert code == 0
    assert lines[:4] == [
        f"qa  (server: openai:tiny-gpt2@{llama_url})",
        f"at          {llama_url}",
        "reachable   yes",
        lines[3],
    ]
    assert lines[3].startswith("server      llama.cpp b")
    assert lines[4:] == ["level       output", "note        the server answers as 'tiny.gguf'"]


@pytest.mark.slow
def test_transformers_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], transformers_server: TransformersServer
) -> None:
    """It names neither software nor version, and refuses other models by the name of its own."""
    code, lines = shown(tmp_path, capsys, transformers_server.url)
    assert code == 0
    assert lines[2:] == ["reachable   yes", "server      unknown", "level       text"]
    assert main(["models", "--root", str(tmp_path), f"other=openai:gpt2@{transformers_server.url}"]) == 1
    message = f"no: {transformers_server.url} answered 400: Server is pinned to 'tiny-gpt2'; requested 'gpt2'."
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "lines", "reason"),
    [
        ("http://127.0.0.1:1/v1", (), "reachable   no: http://127.0.0.1:1/v1 cannot be asked: "),
        ("http://127.0.0.1:1/v1", ('api_key_env = "NO_SUCH_KEY"',), "environment variable NO_SUCH_KEY"),
    ],
)
def test_a_server_that_cannot_be_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, lines: tuple[str, ...], reason: str
) -> None:
    """The reason, with the address, and exit code 1."""
    code, output = shown(tmp_path, capsys, url, *lines)
    assert code == 1
    assert any(reason in line for line in output), output


def test_a_refusal_shows_the_words_of_the_server_and_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong name is answered with the right ones by vLLM."""
    monkeypatch.setenv("QA_KEY", "sk-very-secret")
    words = "The model `tiny-gpt2` does not exist. Valid aliases: qa. Key: sk-very-secret"
    body = json.dumps({"error": {"message": words, "code": 404}}).encode()
    with Faulty(lambda *_: (404, {}, body)) as faulty:
        code, lines = shown(tmp_path, capsys, faulty.url, 'api_key_env = "QA_KEY"')
    assert code == 1
    assert any(
        "answered 404: The model `tiny-gpt2` does not exist. Valid aliases: qa. Key: ***" in one for one in lines
    )
    assert "sk-very-secret" not in "".join(lines)


@pytest.mark.parametrize(
    ("fingerprint", "header", "version", "environment"),
    [
        ("vllm-0.32.0-055ae7fd", "uvicorn", "0.32.0", {"server": "vllm", "fingerprint": "vllm-0.32.0-055ae7fd"}),
        ("", "uvicorn", "0.9.1", {"server": "vllm", "version": "0.9.1"}),
        ("b6789-abc", "llama.cpp", "b6789-abc", {"server": "llama.cpp", "fingerprint": "b6789-abc"}),
        ("fp_1", "cloudflare", "", {"server": "unknown", "fingerprint": "fp_1"}),
    ],
)
def test_versions(fingerprint: str, header: str, version: str, environment: dict[str, str]) -> None:
    """From the fingerprint, where it holds one, else from the address that vLLM has for it."""
    answer = json.loads(completion())
    body = json.dumps({**answer, "system_fingerprint": fingerprint}).encode()
    with Faulty(lambda *_: (200, {"server": header}, body), get=b'{"version": "0.9.1"}') as faulty:
        server = Server(Client(Address("m", faulty.url), ServerOptions(), {}))
        assert server.probe("m").version == version
        assert dict(server.environment) == {"level": "text", **environment}
        assert len(faulty.requests) == 1


def test_another_version_widens_the_noise_and_an_unknown_one_does_not() -> None:
    """What one side does not tell is unknown, not different."""
    one, other, unknown = ((("server", "vllm"), *version) for version in ((("version", "1"),), (("version", "2"),), ()))
    assert same_numerics(one, unknown)
    assert same_numerics(unknown, one)
    assert not same_numerics(one, other)
    assert limits(one, other, None).band == 5 * limits(one, unknown, None).band
