"""What drafts and shared prefixes save: `python benchmarks/decoding.py`.

All ways answer the same prompts (few-shot examples in common, a question of its own each) with random weights, in
interleaved rounds in one process, so that a slow moment of the machine slows all of them down:

    loop        one call of transformers' pipeline per prompt, as one does by hand
    batched     left-padded batches through `model.generate`, 32 prompts at a time
    recording   the engine without baselines
    verifying   the engine with baselines, of which a share has drifted
    warm cache  the answer cache, which has all answers (goal: 100 times faster than the loop)
    floor       one forward pass over the tokens that are not shared, without a prefix to look back at

With `--dtype=bfloat16` verifying is writing, as recording is, and a reading in float32.

Times are medians; ratios, to the loop and to the floor, are medians of those of each round. With `--way` only some ways
are timed, so that those that are compared run next to each other. Outputs that are not those of plain `generate` end
the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, TextGenerationPipeline

from pytest_llmcompare.baselines.answer_cache import CacheFile
from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.evaluation.cached_local_answers import CachedLocalAnswers
from pytest_llmcompare.models.load import LocalModel, transformers_quiet
from pytest_llmcompare.models.machine import machine as facts_of_machine
from pytest_llmcompare.models.machine import switches, versions
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row

DTYPES = ("float32", "bfloat16", "float16")
SIZES = {"distilgpt2": (6, 768, 12), "gpt2-large": (36, 1280, 20), "tiny": (2, 64, 4)}
VERIFYING = "verifying, {:.0%} drifted"
WAYS = ("loop", "batched", "recording", *(VERIFYING.format(share) for share in (0.0, 0.1, 0.5)), "floor", "warm cache")
SHARED = 220  # tokens that all prompts start with
OWN = range(8, 17)  # tokens of a prompt's own
WARM = WAYS[-1]
Answers = list[list[int]]


def make_model(size: str, device: str, seed: int = 0, dtype: str = "float32") -> LocalModel:
    """Make a GPT-2 with random weights, and a tokenizer whose tokens are single bytes."""
    layers, width, heads = SIZES[size]
    torch.manual_seed(seed)
    config = GPT2Config(n_layer=layers, n_embd=width, n_head=heads, bos_token_id=None, eos_token_id=None)
    model = GPT2LMHeadModel(config).eval().to(device, getattr(torch, dtype))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Every id has a name, so that the output of random weights can be decoded.
    names = [*alphabet, *(f"<{number}>" for number in range(256, config.vocab_size))]
    core = Tokenizer(BPE({name: index for index, name in enumerate(names)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="!")
    return LocalModel(size, model, tokenizer)


def make_requests(prompts: int, new_tokens: int) -> list[Request]:
    """Prompts with a common beginning."""
    draw = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz "
    examples = "".join(draw.choices(letters, k=SHARED))
    texts = [examples + "".join(draw.choices(letters, k=draw.choice(OWN))) for _ in range(prompts)]
    gen_config = {"do_sample": False, "max_new_tokens": new_tokens}
    return [Request(text, gen_config) for text in texts]


def loop(model: LocalModel, requests: list[Request]) -> None:
    """The pipeline, once per prompt."""
    pipeline = TextGenerationPipeline(model=model.model, tokenizer=model.tokenizer)
    with transformers_quiet():
        for request in requests:
            pipeline(request.prompt, return_full_text=False, **request.gen_config)


def batched(model: LocalModel, requests: list[Request], rows: int = 32) -> None:
    """`model.generate` on left-padded batches."""
    with transformers_quiet():
        for start in range(0, len(requests), rows):
            texts = [request.prompt for request in requests[start : start + rows]]
            inputs = model.tokenizer(texts, return_tensors="pt", padding=True, padding_side="left").to(model.device)
            inputs.pop("token_type_ids", None)
            model.model.generate(**inputs, **requests[0].gen_config)


@torch.no_grad()
def floor(model: LocalModel, requests: list[Request], answers: Answers) -> None:
    """One pass over the tokens that are not shared, in batches of about 512 tokens."""
    own = [model.encode(one.prompt)[SHARED:] + answer[:-1] for one, answer in zip(requests, answers, strict=True)]
    width = max(map(len, own))
    rows = max(1, 512 // width)
    for start in range(0, len(own), rows):
        ids = torch.tensor([row + [0] * (width - len(row)) for row in own[start : start + rows]], device=model.device)
        model.model(ids, use_cache=False, logits_to_keep=len(answers[0])).logits.argmax(-1)
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def engine(model: LocalModel, requests: list[Request]) -> Answers:
    """The engine's tokens."""
    return [list(outcome.token_ids or ()) for outcome in generate(model, requests)]  # type: ignore[union-attr]


def drifted(requests: list[Request], answers: Answers, share: float) -> list[Request]:
    """The requests with drafts, of which a share differs from the output somewhere."""
    draw = random.Random(2)
    wrong = set(draw.sample(range(len(requests)), round(share * len(requests))))
    drafted = []
    for index, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        at = draw.randrange(len(answer))
        draft = [(token + 1) % 50257 if at == position else token for position, token in enumerate(answer)]
        drafted.append(replace(request, draft=tuple(draft if index in wrong else answer)))
    return drafted


def references(model: LocalModel, requests: list[Request]) -> Answers:
    """Output of plain `generate` for each prompt alone."""
    outputs = []
    with transformers_quiet():
        for request in requests:
            ids = torch.tensor([model.encode(request.prompt)], device=model.device)
            sequences = model.model.generate(ids, attention_mask=torch.ones_like(ids), **request.gen_config)
            outputs.append(sequences[0, ids.shape[1] :].tolist())
    return outputs


def ways(model: LocalModel, requests: list[Request], answers: Answers) -> dict[str, Callable[[], Any]]:
    """The ways that are timed, by name."""
    timed: dict[str, Callable[[], Any]] = {
        "loop": lambda: loop(model, requests),
        "batched": lambda: batched(model, requests),
        "recording": lambda: engine(model, requests),
    }
    for share in (0.0, 0.1, 0.5):
        drafted = drifted(requests, answers, share)
        timed[VERIFYING.format(share)] = lambda drafted=drafted: engine(model, drafted)
    timed["floor"] = lambda: floor(model, requests, answers)
    return timed


def warm_cache(model: LocalModel, requests: list[Request], answers: Answers, root: Path) -> Callable[[], Answers]:
    """Keep the answers as a check does, with their log-probs along the baselines; return a call that looks them up."""
    key = GroupKey(".", "benchmark", model.name)
    cases = [
        Case(CaseKey(key, str(at)), Row(str(at), one.prompt), "", one.gen_config, seed=0)
        for at, one in enumerate(requests)
    ]
    outcomes: Any = dict(enumerate(generate(model, drifted(requests, answers, 0.0))))
    expected = {
        case.key.row: Baseline(case.key.row, outcomes[at], case.input_hash, case.settings_hash)
        for at, case in enumerate(cases)
    }
    facts, place = {**versions(), **switches()}, facts_of_machine()

    def opened() -> CachedLocalAnswers:
        file = CacheFile(root, key)
        return CachedLocalAnswers(cases, expected, False, file, file.read(), facts, place=place, notes_key="")

    cached = opened()
    cached.bind(model)
    cached.add(outcomes, list(outcomes), None, measured=False, notes=())
    cached.store(model, [])

    def look_up() -> Answers:
        cached = opened()
        cached.look_up()
        return [list(cached.hits[at].generation.token_ids or ()) for at in range(len(cases))]

    return look_up


def peak(arguments: list[str]) -> float:
    """Peak memory (MiB) of a process of its own that runs one way."""
    command = [sys.executable, __file__, *arguments]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="distilgpt2")
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--new-tokens", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", action="append", choices=WAYS, help="time this way only; may be repeated")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory, which takes a process per way")
    parser.add_argument("--only", help="run one way once and print the peak memory in MiB; `one prompt` is one call")
    parser.add_argument("--answers", type=Path, help="file with the answers, for --only")
    given = parser.parse_args()
    model = make_model(given.size, given.device, dtype=given.dtype)
    requests = make_requests(given.prompts, given.new_tokens)
    if given.only:
        once(model, requests, given.only, json.loads(given.answers.read_text()))
        return
    answers = references(model, requests)
    with TemporaryDirectory() as folder:
        timed = ways(model, requests, answers)
        timed[WARM] = warm_cache(model, requests, answers, Path(folder))
        timed = {name: run for name, run in timed.items() if name in (given.way or WAYS)}
        times: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(given.rounds):
            for name, run in timed.items():
                started = time.perf_counter()
                outputs = run()
                times[name].append(time.perf_counter() - started)
                assert outputs is None or outputs == answers, f"{name} differs from plain generate"
        given.answers = Path(folder) / "answers.json"
        given.answers.write_text(json.dumps(answers), encoding="ascii")
        report(given, times)


def once(model: LocalModel, requests: list[Request], name: str, answers: Answers) -> None:
    """Run one way, and print the peak memory of this process."""
    loop(model, requests[:1])
    if name not in ("one prompt", "loop"):  # a prompt after another takes what one takes
        ways(model, requests, answers)[name]()
    print(peak_of_this_process())


def peak_of_this_process() -> float:
    """Peak memory (MiB); `getrusage` would give that of the parent process if it is larger."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def machine(device: str, dtype: str) -> str:
    """Hardware and versions, in two lines."""
    return (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {device}, {dtype}, "
        f"load {os.getloadavg()[0]:.1f}\n"
        f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    )


def ratio(times: dict[str, list[float]], one: str, other: str) -> str:
    """How many times as long one way takes as another, as the median over the rounds; empty if one was not timed."""
    if one not in times or other not in times:
        return ""
    return f"{statistics.median(a / b for a, b in zip(times[one], times[other], strict=True)):.2f}"


def report(given: argparse.Namespace, times: dict[str, list[float]]) -> None:
    """Print the table."""
    print(machine(given.device, given.dtype))
    print(f"{given.size} size, {given.prompts} prompts x {given.new_tokens} new tokens, {SHARED} tokens shared\n")
    same = ["--size", given.size, "--prompts", str(given.prompts), "--new-tokens", str(given.new_tokens)]
    same += ["--device", given.device, "--dtype", given.dtype, "--answers", str(given.answers)]
    base = 0.0 if given.no_memory else peak([*same, "--only", "one prompt"])  # of a process of its own
    print(f"{'way':<26}{'seconds':>9}{'x faster':>10}{'x floor':>9}{'memory' if base else '':>9}")
    for name, seconds in times.items():
        ratios = f"{ratio(times, 'loop', name):>10}{ratio(times, name, 'floor'):>9}"
        print(f"{name:<26}{statistics.median(seconds):>9.3f}{ratios}", end="", flush=True)
        print(f"{peak([*same, '--only', name]) / base:>9.2f}" if base and name != WARM else "", flush=True)
    if base:
        print(f"\nmemory: peak of a process, against loading the model and one prompt ({base:.0f} MiB)")


if __name__ == "__main__":
    main()
