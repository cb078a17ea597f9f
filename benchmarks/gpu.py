"""What another device changes: `sh benchmarks/gpu.sh`.

    as generate    outputs of the engine on the device that are plain `generate`'s there, token for token
    as on CPU      outputs on the device that are the CPU's; near ties may differ
    CPU, device    how far the log-probs of the CPU's outputs move when the device reads them
    float32 copy   how far log-probs of a bfloat16 checkpoint, read in float32, are from those of a float32 copy
    kernels        how far log-probs move with other implementations of attention, and with TF32

Movements are root mean squares (nats), in units of the limit of the model verdict, too: up to 1 it says `unchanged`. A
table of speed follows, of the ways in `decoding.py`. The script fails only if an output is not that of `generate`.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import decoding
import torch
from subjects import machine, questions, subject
from ways import attention

from pytest_llmcompare.comparison.model_verdict import (
    LEAST_READ,
    OTHER_DEVICE,
    TIMES_NOISE,
)
from pytest_llmcompare.comparison.noise import root_mean_square
from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.measure_noise import measure_noise
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.load import LocalModel, transformers_quiet

MODELS = ("tiny-gpt2", "tiny-bloom", "llama", "gemma2", "gpt2-large-size")
DTYPES = ("float32", "bfloat16")
SPEED = (("distilgpt2", 50, 10), ("distilgpt2", 200, 10), ("distilgpt2", 50, 64), ("gpt2-large", 50, 10))
"""Size, prompts and new tokens of each table of speed."""
Run = Callable[[LocalModel], Sequence[Generation]]


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        model, dtype, what: What was measured.
        value: The figure, as text.
        times: The same in units of the limit; None for a count.
        holds: False where it has to hold and does not.
    """

    model: str
    dtype: str
    what: str
    value: str
    times: float | None = None
    holds: bool = True

    def __str__(self) -> str:
        times = "" if self.times is None else f"{self.times:.2g}"
        return (
            f"{self.model:<17}{self.dtype:<10}{self.what:<34}{self.value:>10}{times:>9}{'' if self.holds else '  NO'}"
        )


class Parity:
    """A model in one precision, on the CPU and on a device.

    Args:
        name, dtype: Model and precision.
        device: The device.
        prompts: What to ask.
        length: Most tokens of an output.
    """

    def __init__(self, name: str, dtype: str, device: str, prompts: Sequence[str], length: int) -> None:
        self.name, self.dtype, self.device = name, dtype, device
        self.requests = [Request(prompt, complete({"max_new_tokens": length}), seed=0) for prompt in prompts]
        self.here = subject(name, dtype)
        self.there = self.moved_to(self.here.model)
        self.recorded = self.ask(self.here)
        answered = list(zip(self.requests, self.recorded, strict=True))
        noise = measure_noise(self.here, answered) or 0.0
        self.limit = max(LEAST_READ, TIMES_NOISE * noise)

    def moved_to(self, model: Any) -> LocalModel:
        """A copy of a transformers model on the device."""
        return LocalModel(self.name, copy.deepcopy(model).to(self.device), self.here.tokenizer)

    def ask(self, model: LocalModel, drafts: Sequence[Generation] = ()) -> list[Generation]:
        """Outputs, read along themselves, or along drafts."""
        requests = [
            Request(one.prompt, one.gen_config, one.seed, draft.token_ids)
            for one, draft in zip(self.requests, drafts or [Generation("")] * len(self.requests), strict=True)
        ]
        outcomes = generate(model, requests, read=True)
        if faults := [outcome for outcome in outcomes if isinstance(outcome, Exception)]:
            raise faults[0]
        return [outcome for outcome in outcomes if isinstance(outcome, Generation)]

    def lines(self) -> Iterator[Line]:
        """All that is measured of this model."""
        with transformers_quiet():
            written = self.ask(self.there)
            plain = generate(self.there, self.requests, shortcuts=False, batch_size=1)
            yield self.count("as generate", written, plain, must=True)
            yield self.count("as on CPU", written, self.recorded)
            read = self.ask(self.there, self.recorded)
            yield self.movement(f"CPU, {self.device}", self.recorded, read, OTHER_DEVICE * self.limit)
            if self.dtype != "float32":
                exact = self.moved_to(self.here.model.float())  # the CPU's model is not needed any more
                yield self.movement("read as a float32 copy", read, self.ask(exact, self.recorded), self.limit)
            for kind, kernels in kernels_of(self.there).items():
                with kernels():
                    yield self.movement(kind, read, self.ask(self.there, self.recorded), self.limit)

    def count(self, what: str, one: Sequence[Any], other: Sequence[Any], *, must: bool = False) -> Line:
        """How many outputs have equal tokens."""
        equal = sum(first.token_ids == second.token_ids for first, second in zip(one, other, strict=True))
        return Line(self.name, self.dtype, what, f"{equal}/{len(one)}", holds=not must or equal == len(one))

    def movement(self, what: str, one: Sequence[Generation], other: Sequence[Generation], limit: float) -> Line:
        """How far log-probs along the recorded outputs moved; `-` if they cannot be read."""
        squares = [
            (first - second) ** 2
            for pair in zip(one, other, strict=True)
            for first, second in zip(*map(along_record, pair), strict=False)
        ]
        if not squares:
            return Line(self.name, self.dtype, what, "-")
        moved = root_mean_square(squares)
        return Line(self.name, self.dtype, what, f"{moved:.1e}", moved / limit)


def along_record(output: Generation) -> tuple[float, ...]:
    """Log-probs along the recorded output: that itself, or the draft that it was read with."""
    return (output.path.as_read if output.path else output.as_read) or ()


@contextmanager
def tf32() -> Iterator[None]:
    """Multiply float32 in TF32 until the block ends."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def kernels_of(model: LocalModel) -> dict[str, Callable[[], Any]]:
    """Other implementations on a model's device, by name."""
    if model.model.config._attn_implementation == "eager":  # the architecture knows no other
        return {"TF32": tf32}
    others: dict[str, Callable[[], Any]] = {"eager attention": lambda: attention(model, "eager")}
    if model.device.type == "cuda":
        from torch.nn.attention import SDPBackend, sdpa_kernel

        others["sdpa, math"] = lambda: sdpa_kernel(SDPBackend.MATH)
        others["sdpa, efficient or math"] = lambda: sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
    return {**others, "TF32": tf32}


def speed(size: str, prompts: int, new_tokens: int, device: str, rounds: int) -> Iterator[str]:
    """Lines of a table of speed: seconds, times faster than the loop, times the floor."""
    model, requests = decoding.make_model(size, device), decoding.make_requests(prompts, new_tokens)
    answers = decoding.references(model, requests)
    timed = decoding.ways(model, requests, answers)
    times: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, run in timed.items():
            started = time.perf_counter()
            outputs = run()
            if device != "cpu":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - started)
            if outputs is not None and outputs != answers:
                raise SystemExit(f"{size} size, {name}: an output differs from plain generate")
    seconds = {name: statistics.median(one) for name, one in times.items()}
    what = f"{size} {prompts} x {new_tokens}"
    for name, taken in seconds.items():
        yield f"{what:<27}{name:<26}{taken:>9.3f}{seconds['loop'] / taken:>10.1f}{taken / seconds['floor']:>9.2f}"
    model.free()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="one tiny model, few prompts, one round")
    given = parser.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(f"there is no {given.device} here. To try the script: DEVICE=cpu sh benchmarks/gpu.sh")
    names, prompts, length = (("tiny-gpt2",), 4, 4) if given.small else (MODELS, 24, 16)
    name = "" if given.device == "cpu" else f", {torch.cuda.get_device_name(given.device)}"
    print(f"{machine()}, {given.device}{name}\n{prompts} prompts x {length} tokens\n")
    print(f"{'model':<17}{'dtype':<10}{'what':<34}{'moved':>10}{'x limit':>9}")
    is_sound = True
    for model in names:
        for dtype in DTYPES:
            for line in Parity(model, dtype, given.device, questions(prompts), length).lines():
                print(line, flush=True)
                is_sound = is_sound and line.holds
    print(f"\n{'size, prompts x tokens':<27}{'way':<26}{'seconds':>9}{'x faster':>10}{'x floor':>9}")
    for size, count, tokens in (("tiny", 4, 3),) if given.small else SPEED:
        for text in speed(size, count, tokens, given.device, rounds=1 if given.small else 3):
            print(text, flush=True)
    sys.exit(0 if is_sound else "an output of the engine is not that of plain generate")


if __name__ == "__main__":
    main()
