"""A server with vLLM's answers over a small model, in a process of its own; its model can be replaced.

python vllm_like.py FOLDER

Its completions have the shape of vLLM 0.32: log-probs of prompts, token ids, alternatives named by ids, raw log-probs
whatever penalties are asked for. `POST /control` replaces what it serves, `GET /control` returns the requests since.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

FINGERPRINT = "vllm-0.32.0-1c86f44b"
CONTEXT = 512


class VllmLike:
    """Handle of a running server.

    Attributes:
        url: Address of its API.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.url = f"{address}/v1"

    def serve(self, **what: Any) -> None:
        """Replace what it serves, and forget the requests.

        Args:
            what: `model` (another folder), `moved` (weights are multiplied by up to 1 - moved and 1 + moved), `dtype`,
                `max_logprobs`, `template` (of chats), `longest_prompt`, `ends` (tokens that end an output), `refuses`
                and `ignores` (fields).
        """
        urlopen(Request(f"{self.address}/control", json.dumps(what).encode(), method="POST"), timeout=60).close()

    def requests(self) -> list[dict[str, Any]]:
        """The bodies of all requests since it was last replaced."""
        with urlopen(f"{self.address}/control", timeout=60) as answer:
            bodies: list[dict[str, Any]] = json.load(answer)
        return bodies

    def scorings(self) -> list[dict[str, Any]]:
        """The requests that asked for the log-probs of given tokens."""
        return [body for body in self.requests() if isinstance(body.get("prompt"), list)]


@contextmanager
def vllm_like(folder: Path, python: str = sys.executable) -> Iterator[VllmLike]:
    """A server, stopped at the end of the block; a warm interpreter has torch imported."""
    with subprocess.Popen(
        [python, __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            assert process.stdout is not None
            yield VllmLike(process.stdout.readline().strip())
        finally:
            process.kill()


class Refused(Exception):
    """A request with an error of its own, which is answered with 400."""


class Engine:
    """Answers completion requests one after the other."""

    def __init__(self, folder: str) -> None:
        import torch

        torch.set_num_threads(1)
        self.folder = folder
        self.lock = threading.Lock()
        self.models: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self.results: dict[tuple[Any, ...], Any] = {}
        self.load({})

    def load(self, what: Mapping[str, Any]) -> None:
        """Serve a model as `VllmLike.serve` describes; one that was served before is still in memory."""
        folder, moved, dtype = what.get("model", self.folder), what.get("moved", 0.0), what.get("dtype", "float32")
        self.served = (folder, moved, dtype)
        if self.served not in self.models:
            self.models[self.served] = self.read(folder, moved, dtype)
        self.tokenizer, self.model = self.models[self.served]
        self.most = what.get("max_logprobs", 20)
        self.longest = what.get("longest_prompt", CONTEXT)
        self.ends = set(what.get("ends", [self.tokenizer.eos_token_id]))
        self.template = what.get("template", self.tokenizer.chat_template)
        self.refuses, self.ignores = what.get("refuses", []), what.get("ignores", [])

    @staticmethod
    def read(folder: str, moved: float, dtype: str) -> tuple[Any, Any]:
        """Tokenizer and model of a folder."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        load: Any = AutoModelForCausalLM.from_pretrained
        model = load(folder, dtype=torch.float32).eval()
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            factor = 1 + moved * (2 * torch.rand(parameter.shape, generator=generator) - 1)
            parameter.data.mul_(factor)
        return AutoTokenizer.from_pretrained(folder), model.to(getattr(torch, dtype))

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of an answer.

        Raises:
            Refused: The request cannot be followed.
        """
        if refused := [name for name in self.refuses if name in body]:
            raise Refused(f"Extra inputs are not permitted: {refused[0]}")
        body = {name: value for name, value in body.items() if name not in self.ignores}
        for name, what in (("logprobs", "sample"), ("prompt_logprobs", "prompt")):
            if (body.get(name) or 0) > self.most:
                raise Refused(
                    f"Requested {what} logprobs of {body[name]}, which is greater than max allowed: {self.most} "
                    f"(parameter={name}, value={body[name]})"
                )
        prompt = body["prompt"] if isinstance(body["prompt"], list) else self.tokenizer(body["prompt"])["input_ids"]
        if max(prompt) >= len(self.tokenizer):
            raise Refused(f"Token id {max(prompt)} is out of vocabulary")
        if len(prompt) > self.longest:
            raise Refused(
                f"This model's maximum context length is {self.longest} tokens, the prompt has {len(prompt)}."
            )
        with self.lock:
            scores, ids, stop = self.once(self.generate, prompt, body)
            entries = self.once(self.prompt_entries, prompt, body) if "prompt_logprobs" in body else None
        reason, matched, text = stop
        shows_ids = body.get("return_token_ids", False)
        choice = {
            "index": 0,
            "text": text,
            "logprobs": None if body.get("logprobs") is None else self.logprobs(scores, ids, body),
            "finish_reason": reason,
            "stop_reason": matched,
            "token_ids": ids if shows_ids else None,
            "prompt_logprobs": entries,
            "prompt_token_ids": prompt if shows_ids else None,
            "routed_experts": None,
        }
        usage = {
            "prompt_tokens": len(prompt),
            "total_tokens": len(prompt) + len(ids),
            "completion_tokens": len(ids),
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        }
        return {
            "id": "cmpl-0",
            "object": "text_completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": usage,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of an answer to a chat: that to a completion of its prompt, in the shape of chats.

        Raises:
            Refused: The request cannot be followed.
        """
        if not self.template:
            raise Refused("As of transformers v4.44, default chat template is no longer allowed.")
        try:
            ids = self.tokenizer.apply_chat_template(
                body["messages"],
                body.get("tools"),
                chat_template=self.template,
                add_generation_prompt=True,
                return_dict=True,
            )["input_ids"]
        except Exception as error:
            raise Refused(str(error)) from error
        counts = {"logprobs": body.get("top_logprobs", 0) if body.get("logprobs") else None}
        answer = self.complete({**body, **counts, "prompt": ids})
        (choice,) = answer["choices"]
        for name in ("prompt_token_ids", "prompt_logprobs"):
            answer[name] = choice.pop(name)
        choice["message"] = {"role": "assistant", "content": choice.pop("text"), "reasoning": None, "tool_calls": []}
        if choice["logprobs"] is not None:
            choice["logprobs"] = {"content": self.chat_logprobs(choice["logprobs"])}
        return {**answer, "id": "chatcmpl-0", "object": "chat.completion"}

    @staticmethod
    def chat_logprobs(logprobs: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Log-probs of an output in the shape of chats."""

        def entry(name: str, value: float) -> dict[str, Any]:
            return {"token": name, "logprob": value, "bytes": list(name.encode())}

        rows = zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
        return [
            {**entry(name, value), "top_logprobs": [entry(*one) for one in top.items()]} for name, value, top in rows
        ]

    def once(self, compute: Callable[..., Any], prompt: Sequence[int], body: Mapping[str, Any]) -> Any:
        """What a model computes for a request; it would compute the same again, but for samples without a seed."""
        if body.get("temperature", 1.0) and not body.get("seed"):
            return compute(prompt, body)
        fields = {name: value for name, value in body.items() if name not in ("model", "messages", "prompt")}
        key = (compute.__name__, *self.served, *self.ends, tuple(prompt), json.dumps(fields, sort_keys=True))
        if key not in self.results:
            self.results[key] = compute(prompt, body)
        return self.results[key]

    def generate(self, prompt: Sequence[int], body: Mapping[str, Any]) -> tuple[list[Any], list[int], tuple[Any, ...]]:
        """Raw log-probs [vocab] and id of each token; and the finish reason, what was met, and the text."""
        import torch

        generator = torch.Generator().manual_seed(body.get("seed") or torch.seed())
        given, cache, scores, ids = torch.tensor([list(prompt)]), None, list[Any](), list[int]()
        with torch.inference_mode():
            while True:
                output = self.model(given, past_key_values=cache, use_cache=True)
                cache, raw = output.past_key_values, output.logits[0, -1].float()
                scores.append(raw.log_softmax(-1))
                seen = torch.tensor([*prompt, *ids])
                penalty = body.get("repetition_penalty", 1.0)
                raw[seen] = torch.where(raw[seen] > 0, raw[seen] / penalty, raw[seen] * penalty)
                token = int(raw.argmax())
                if body.get("temperature", 1.0):
                    token = int(torch.multinomial((raw / body["temperature"]).softmax(-1), 1, generator=generator))
                ids.append(token)
                if stop := self.stop(ids, body):
                    return scores, ids, stop
                given = torch.tensor([[token]])

    def stop(self, ids: list[int], body: Mapping[str, Any]) -> tuple[Any, ...]:
        """Finish reason, what was met, and the text; empty if the output goes on."""
        if ids[-1] in self.ends:
            return "stop", None, self.tokenizer.decode(ids[:-1])
        text = self.tokenizer.decode(ids)
        if matched := next((one for one in body.get("stop") or [] if one in text), ""):
            return "stop", matched, text[: text.index(matched)]
        return ("length", None, text) if len(ids) == body["max_tokens"] else ()

    def logprobs(self, scores: Sequence[Any], ids: Sequence[int], body: Mapping[str, Any]) -> dict[str, Any]:
        """Log-probs of an output in the shape of older completions."""

        def name(token: int) -> str:
            return f"token_id:{token}" if body.get("return_tokens_as_token_ids") else self.tokenizer.decode([token])

        tops = []
        for row, token in zip(scores, ids, strict=True):
            best = row.topk(body["logprobs"]).indices.tolist() if body["logprobs"] else []
            tops.append({name(one): float(row[one]) for one in dict.fromkeys([token, *best])})
        return {
            "text_offset": [0] * len(ids),
            "token_logprobs": [float(row[token]) for row, token in zip(scores, ids, strict=True)],
            "tokens": [name(token) for token in ids],
            "top_logprobs": tops,
        }

    def prompt_entries(self, prompt: Sequence[int], body: Mapping[str, Any]) -> list[dict[str, Any] | None]:
        """Log-probs of a prompt: the token itself first, then the most likely ones, which may hold it, too."""
        import torch

        count = body["prompt_logprobs"]
        with torch.inference_mode():
            rows = self.model(torch.tensor([list(prompt)])).logits[0].float().log_softmax(-1)
        entries: list[dict[str, Any] | None] = [None]
        for row, token in zip(rows[:-1], prompt[1:], strict=True):
            ranks = {token: int((row >= row[token]).sum())}
            ranks.update({one: at for at, one in enumerate(row.topk(count).indices.tolist(), 1)})
            entries.append(
                {
                    str(one): {"logprob": float(row[one]), "rank": rank, "decoded_token": self.tokenizer.decode([one])}
                    for one, rank in ranks.items()
                }
            )
        return entries


def main(folder: str) -> None:
    """Serve until standard input ends; print the address first."""
    engine = Engine(folder)
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet; with two, the second waits 40 ms for a confirmation

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.send(200, bodies)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/control":
                bodies.clear()
                engine.load(body)
                return self.send(200, None)
            bodies.append(body)
            try:
                return self.send(200, engine.chat(body) if "messages" in body else engine.complete(body))
            except Refused as error:
                refusal = {"message": str(error), "type": "BadRequestError", "param": None, "code": 400}
                return self.send(400, {"error": refusal})

        def send(self, status: int, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
