"""Limits of a run on one server: requests in flight, their number, pauses; in one process and in several."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.baselines.journal import Journal
from pytest_llmcompare.evaluation.answers import Asking
from pytest_llmcompare.evaluation.served_usage import cases_to_score
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.served import Address, ServerOptions
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row, RowKey
from pytest_llmcompare.reports.progress import Silent
from pytest_llmcompare.serving.answer import BadAnswerError
from pytest_llmcompare.serving.client import Client
from pytest_llmcompare.serving.probe import Level
from pytest_llmcompare.serving.run_limits import Pause, RequestBudget
from tests.platforms import needs_fork
from tests.plugin.suites import Suite, says

from .servers import Faulty, Reply, completion

FIELDS = {"prompt": "x", "max_tokens": 1, "temperature": 0.0}
LOGPROBS = {"content": [{"id": 1, "logprob": -0.5, "top_logprobs": [{"id": 1, "logprob": -0.5}]}]}
TABLES = """
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", model_type=None)
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline

@pytest.mark.llm_prompts("trivia.jsonl", name="again", model_type=None)
def test_again(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
ONE_TABLE = TABLES[: TABLES.rindex("@pytest")]


def rows(number: int) -> list[dict[str, object]]:
    return [{"id": f"q{at:02}", "prompt": f"Question {at}"} for at in range(number)]


def slow(seconds: float, answer: bytes | None = None) -> Callable[[int, dict[str, Any]], Reply | bytes | None]:
    def reply(*_: object) -> bytes:
        time.sleep(seconds)
        return answer or completion()

    return reply


def client(url: str, folder: Path | None, **options: Any) -> Client:
    return Client(Address("m", url), ServerOptions(**options), {}, folder)


def configure(suite: Suite, url: str, *lines: str) -> None:
    suite.write("pyproject.toml", "\n".join(["[tool.llmcompare.models.m]", f'source = "openai:m@{url}"', *lines]))


def send_all(*tasks: tuple[Client, int]) -> None:
    """Send requests of some clients from as many threads."""
    threads = [
        threading.Thread(target=one.send, args=(FIELDS, {}), daemon=True)
        for one, number in tasks
        for _ in range(number)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("others", [0, 12])
def test_slots_are_shared(others: int, tmp_path: Path) -> None:
    """Two processes' clients have no more requests in flight than one, and one alone has as many."""
    with Faulty(slow(0.1)) as faulty:
        one, other = (client(faulty.url, tmp_path, concurrency=3) for _ in range(2))
        send_all((one, 12), (other, others))
        assert faulty.most == 3
        assert len(faulty.requests) == 12 + others


def test_noise_keeps_to_the_requests_in_flight(suite: Suite) -> None:
    """Where the user allows one request at a time, nothing asks for more."""
    suite.trivia(rows(3), ONE_TABLE)
    with Faulty(slow(0.02, completion(logprobs=LOGPROBS))) as faulty:
        configure(suite, faulty.url, "concurrency = 1")
        suite.run("--llm-update", models=["m"]).assert_outcomes(passed=3)
        assert len(faulty.requests) == 1 + 3 + 3
        assert faulty.most == 1


def test_the_latency_of_each_request(suite: Suite) -> None:
    """From sending it to the end of its answer: neither the wait for a turn counts nor a request that was refused."""

    def reply(number: int, body: dict[str, Any]) -> Reply | bytes:
        if number == 2:
            return 429, {"Retry-After": "1"}, b"{}"
        time.sleep(0.6 if body.get("prompt") == "Question 3" else 0.1)
        return completion()

    suite.trivia(rows(4), ONE_TABLE)
    with Faulty(reply) as faulty:
        configure(suite, faulty.url, "concurrency = 1")
        suite.run("--llm-update", "--llm-report=report.json", models=["m"]).assert_outcomes(passed=4)
    report = json.loads((suite.path / "report.json").read_text())
    seconds = {row["prompt_id"]: row["cases"][0]["seconds"] for row in report["tables"][0]["rows"]}
    assert all(0.1 <= seconds[f"q0{at}"] < 0.6 for at in range(3))
    assert 0.6 <= seconds["q03"] < 1.1
    assert report["models"][0]["latency"]["p99"] == seconds["q03"]


def test_a_pause_is_shared(tmp_path: Path) -> None:
    """A client waits because another one's server asked for it."""
    refusal: Reply = 429, {"Retry-After": "1"}, b"{}"
    with Faulty(lambda number, _: refusal if number == 0 else completion()) as faulty:
        one, other = (client(faulty.url, tmp_path) for _ in range(2))
        thread = threading.Thread(target=one.send, args=(FIELDS, {}), daemon=True)
        thread.start()
        while not (tmp_path / "pause").exists():
            time.sleep(0.01)
        other.send(FIELDS, {})
        thread.join(10)
        assert min(faulty.times[1:]) - faulty.times[0] >= 0.95


def test_a_shorter_pause_changes_nothing(tmp_path: Path) -> None:
    """The longest one counts, and the end of the run ends it."""
    one, other = Pause(tmp_path), Pause(tmp_path)
    one.extend(30)
    other.extend(0.01)
    other.stopped.set()
    start = time.monotonic()
    other.wait()
    assert time.monotonic() - start < 1
    assert (tmp_path / "pause").stat().st_mtime > time.time() + 25


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_budget(is_shared: bool, tmp_path: Path) -> None:
    """What is set aside counts at once, and what is left of it can be used again."""
    one = RequestBudget(10, tmp_path if is_shared else None)
    other = RequestBudget(10, tmp_path) if is_shared else one
    assert one.set_aside(8)
    assert not other.set_aside(3)
    assert all(one.use_one() for _ in range(5))
    one.give_back()
    assert one.total == 5
    assert other.set_aside(5)
    assert all(other.use_one() for _ in range(5))
    assert not other.use_one()
    assert RequestBudget(None, None).set_aside(10**9)


def test_repeats_keep_to_max_requests() -> None:
    """A server that fails is not asked again beyond what the user allows."""
    with Faulty(lambda *_: (500, {}, b"{}")) as faulty:
        with pytest.raises(BadAnswerError, match="max_requests = 2 in the model's table"):
            client(faulty.url, None, max_requests=2).send(FIELDS, {})
        assert len(faulty.requests) == 2


@pytest.mark.parametrize(("test", "tables"), [(ONE_TABLE, 1), (TABLES, 2)])
def test_workers_share_the_requests_in_flight(suite: Suite, test: str, tables: int) -> None:
    """All of them are used where one worker asks, and no more than those where two do."""
    suite.trivia(rows(16), test)
    with Faulty(slow(0.2)) as faulty:
        configure(suite, faulty.url, "concurrency = 4")
        suite.run_apart("-n2", "--llm-update", models=["m"]).assert_outcomes(passed=16 * tables)
        assert faulty.most == 4


def test_workers_share_max_requests(suite: Suite) -> None:
    """The second table is refused, whichever worker asks for it."""
    suite.trivia(rows(4), TABLES)
    with Faulty(slow(0.01)) as faulty:
        configure(suite, faulty.url, "max_requests = 10")
        result = suite.run_apart("-n2", "--llm-update", models=["m"])
        result.assert_outcomes(passed=4, errors=4)
        assert says(result, "max_requests = 10 in its table of pyproject.toml allows no more. None of them was sent: ")
        assert len(faulty.requests) == 5


def test_a_run_says_what_it_will_use_and_what_it_used(suite: Suite, capfd: pytest.CaptureFixture[str]) -> None:
    """Before the first request, in a log, too; and by the server's own count in the summary."""
    suite.trivia(rows(3), ONE_TABLE.replace("model_type", 'gen_config={"max_new_tokens": 5}, model_type'))
    lines: list[str] = []

    def reply(number: int, _: object) -> bytes:
        lines.append(capfd.readouterr().err)
        return completion() if number else completion().replace(b'"usage"', b'"no usage"')  # of the probe

    with Faulty(reply) as faulty:
        result = suite.run("--llm-update", models=[f"m=openai:m@{faulty.url}"])
    assert "llmcompare: asking m: up to 7 requests, about 15 prompt tokens and 30 output tokens\n" in lines[0]
    assert says(result, "table 'trivia', model 'm': 4 requests, 9 prompt and 3 output tokens")


def test_stored_noise_is_not_measured_again(suite: Suite) -> None:
    """Neither for some of the cases nor for a new one."""
    suite.trivia(rows(10), ONE_TABLE)
    with Faulty(lambda *_: completion(logprobs=LOGPROBS)) as faulty:
        models = [f"m=openai:m@{faulty.url}"]

        def requests(*options: str) -> int:
            before = len(faulty.requests)
            suite.run(*options, models=models)
            return len(faulty.requests) - before

        assert requests("--llm-update") == 1 + 10 + 10
        assert requests("-k", "q03") == 1 + 1
        suite.trivia(rows(11), ONE_TABLE)
        assert requests("--llm-update", "-k", "q10") == 1 + 1
        assert requests() == 1 + 11


@pytest.mark.parametrize(("decode", "times"), [("auto", 1), ("verify", 3), ("plain", 0)])
def test_only_baselines_of_the_cases_asked_are_counted_as_scored(tmp_path: Path, decode: str, times: int) -> None:
    """Neither those of other rows nor one of another prompt; a scoring counts with the length of its own case."""
    group = GroupKey("", "trivia", "m")
    cases = [Case(CaseKey(group, name), Row(name, name), "", {"max_new_tokens": 5}, 0) for name in ("new", "old", "q")]
    generation = Generation("x", (1,), environment=(("level", "path"), ("server", "vllm")))
    stored = {
        RowKey(name): Baseline(RowKey(name), generation, digest, cases[2].settings_hash)
        for name, digest in [("gone", "1"), ("other", "2"), ("old", "3"), ("q", cases[2].input_hash)]
    }
    asking = Asking(None, None, cases, Journal(tmp_path, group), Silent(), stored, decode)  # type: ignore[arg-type]
    assert cases_to_score(asking, Level.PATH) == [cases[2]] * times
    assert cases_to_score(asking, Level.OUTPUT) == []


@needs_fork
def test_ctrl_c_keeps_the_answers(suite: Suite) -> None:
    """The run says so, and the next one asks only what is left."""
    suite.trivia(rows(30), ONE_TABLE)
    with Faulty(slow(0.1)) as faulty:
        configure(suite, faulty.url, "concurrency = 2")
        child = suite.fork("--llm-update", models=["m"])
        end = time.monotonic() + 60
        while len(faulty.requests) < 11 and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(child, signal.SIGINT)
        code, output = suite.wait(child)
        assert code == pytest.ExitCode.INTERRUPTED
        line = next(line for line in output.splitlines() if "outputs are kept" in line)
        assert line.endswith("of 30 outputs are kept; the same command goes on from there")
        kept = int(line.split()[1])
        assert kept >= 7
        before = len(faulty.requests)
        result = suite.run("--llm-update", models=["m"])
        result.assert_outcomes(passed=30)
        assert says(result, f"{kept} of 30 outputs are taken from the journal")
        assert len(faulty.requests) - before == 1 + 30 - kept


def test_alone(tmp_path: Path) -> None:
    """A request that is to be alone waits for those of other processes, and they wait for it."""
    now: list[str] = []
    together: list[tuple[str, ...]] = []

    def reply(_: int, body: dict[str, Any]) -> bytes:
        now.append(body["prompt"])
        time.sleep(0.05)
        together.append(tuple(now))
        now.remove(body["prompt"])
        return completion()

    with Faulty(reply) as faulty:
        one, other = (client(faulty.url, tmp_path, concurrency=3) for _ in range(2))
        busy = threading.Thread(target=send_all, args=((other, 12),), daemon=True)
        busy.start()
        with one.alone():
            for _ in range(3):
                one.send({**FIELDS, "prompt": "alone"}, {})
        busy.join(30)
    assert [names for names in together if "alone" in names] == [("alone",)] * 3
    assert max(map(len, together)) == 3
