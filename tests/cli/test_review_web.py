"""`llmcompare review --web` without a browser: to whom it answers, how it ends, and what it leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.cli import review as browsing
from pytest_llmcompare.cli.web.desk import Desk
from pytest_llmcompare.cli.web.server import Server
from tests.platforms import needs_signals
from tests.unit.baselines.samples import baseline

from .projects import GROUP, Project, review_of
from .serving import Served, ask

Serve = Callable[..., Served]


@pytest.fixture
def serve(project: Project) -> Iterator[Serve]:
    """Start the command in the project."""
    started = []

    def start(*arguments: str, stdin: int = subprocess.DEVNULL) -> Served:
        started.append(Served(project.root, *arguments, stdin=stdin))
        return started[-1]

    yield start
    for served in started:
        served.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in this process, of a review that nothing is decided in."""
    root = tmp_path_factory.mktemp("served")
    (root / "tests").mkdir()
    review = review_of(Project(root))
    served = Server(0, Desk(review), browsing.page_of(review, ()).draw)
    with served.serving():
        yield served


DECIDE = {"entry": 0, "decision": "accept"}
WRONG_ADDRESS = "Open the whole address that llmcompare printed; it holds a secret part.\n"
HERE = r"This page is served to 127\.0\.0\.1:\d+ and localhost:\d+ only\.\n"
REFUSED: dict[str, tuple[dict[str, object], int, str]] = {
    "no token": ({"what": "/"}, 403, WRONG_ADDRESS),
    "no token, a file": ({"what": "/favicon.ico"}, 403, WRONG_ADDRESS),
    "no slash": ({"what": "/{token}"}, 403, WRONG_ADDRESS),
    "half a token": ({"what": "/{token:.20}/"}, 403, WRONG_ADDRESS),
    "another token": ({"what": f"/{'x' * 43}/"}, 403, WRONG_ADDRESS),
    "a token of other letters": ({"what": "/%C3%A9/"}, 403, WRONG_ADDRESS),
    "no token, deciding": ({"what": "/decide", "body": DECIDE}, 403, WRONG_ADDRESS),
    "another host": ({"Host": "evil.example:80"}, 403, HERE),
    "another host, same port": ({"Host": "evil.example:{port}"}, 403, HERE),
    "another port": ({"Host": "127.0.0.1:1"}, 403, HERE),
    "no port": ({"Host": "localhost"}, 403, HERE),
    "an empty host": ({"Host": ""}, 403, HERE),
    "another host, deciding": ({"what": "decide", "body": DECIDE, "Host": "evil.example"}, 403, HERE),
    "another page": ({"what": "other"}, 404, "There is no such page.\n"),
    "below a page": ({"what": "state/x"}, 404, "There is no such page.\n"),
    "out of the page": ({"what": "../../etc/passwd"}, 404, "There is no such page.\n"),
    "HEAD": ({"method": "HEAD"}, 405, ""),
    "PUT": ({"method": "PUT"}, 405, "This takes GET only.\n"),
    "OPTIONS": ({"what": "decide", "method": "OPTIONS"}, 405, "This takes POST only.\n"),
    "a method of one's own": ({"what": "state", "method": "SETTLE"}, 405, "This takes GET only.\n"),
    "posting the page": ({"body": {}}, 405, "This takes GET only.\n"),
    "getting a decision": ({"what": "decide"}, 405, "This takes POST only.\n"),
    "getting the end": ({"what": "done"}, 405, "This takes POST only.\n"),
    "no origin": (
        {"what": "decide", "body": DECIDE, "Origin": None},
        403,
        "Only the review page itself may decide.\n",
    ),
    "another origin": (
        {"what": "undo", "body": {}, "Origin": "http://evil.example"},
        403,
        "Only the review page itself may decide.\n",
    ),
    "an origin of a file": (
        {"what": "done", "body": {}, "Origin": "null"},
        403,
        "Only the review page itself may decide.\n",
    ),
    "a form": (
        {"what": "decide", "body": b"entry=0&decision=accept", "Content_Type": "application/x-www-form-urlencoded"},
        415,
        "This takes JSON only.\n",
    ),
    "a plain text": (
        {"what": "decide", "body": DECIDE, "Content_Type": "text/plain"},
        415,
        "This takes JSON only.\n",
    ),
    "a large body": (
        {"what": "decide", "body": b" " * 4097},
        413,
        "The body has more than 4,096 bytes.\n",
    ),
    "a body of no length": (
        {"what": "decide", "body": DECIDE, "Content_Length": "-1"},
        411,
        "The length of the body is not told.\n",
    ),
    "no JSON": ({"what": "decide", "body": b"{"}, 400, "This takes a JSON object.\n"),
    "half a character": ({"what": "decide", "body": b"\xff"}, 400, "This takes a JSON object.\n"),
    "nested": ({"what": "decide", "body": b"[" * 4000}, 400, "This takes a JSON object.\n"),
    "no object": ({"what": "decide", "body": [1]}, 400, "This takes a JSON object.\n"),
    "no entry": ({"what": "decide", "body": {"decision": "accept"}}, 400, "There is no such entry or decision.\n"),
    "a number below": (
        {"what": "decide", "body": {**DECIDE, "entry": -1}},
        400,
        "There is no such entry or decision.\n",
    ),
    "a number beyond": (
        {"what": "decide", "body": {**DECIDE, "entry": 5}},
        400,
        "There is no such entry or decision.\n",
    ),
    "no number": ({"what": "decide", "body": {**DECIDE, "entry": True}}, 400, "There is no such entry or decision.\n"),
    "another decision": (
        {"what": "decide", "body": {**DECIDE, "decision": "drop"}},
        400,
        "There is no such entry or decision.\n",
    ),
    "a list of decisions": (
        {"what": "decide", "body": {**DECIDE, "decision": []}},
        400,
        "There is no such entry or decision.\n",
    ),
    "half a group": (
        {"what": "decide", "body": {**DECIDE, "group": 1}},
        400,
        "There is no such entry or decision.\n",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(server: Server, name: str) -> None:
    """Who does not know the secret, comes by another name or from another page, or asks for what there is not."""
    given, status, text = REFUSED[name]
    facts = {key: value for key, value in given.items() if key != "what"}
    for key in ("Host", "what"):
        if isinstance(value := given.get(key), str):
            facts[key] = value.replace("{port}", str(server.server_port)) if key == "Host" else value
    what = str(facts.pop("what", "")).replace("{token:.20}", server.access.token[:20])
    answer = ask(server.access.address, what.replace("{token}", server.access.token), **facts)  # type: ignore[arg-type]
    assert answer.status == status
    assert re.fullmatch(text, answer.text)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert ("Allow" in answer.headers) == (status == 405)
    assert server.desk.state()["version"] == 0
    assert not server.desk.wait_to_end(0)


def raw(port: int, request: bytes) -> bytes:
    """All that is answered to these bytes."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_requests_that_no_browser_sends(server: Server) -> None:
    """Two hosts, a body in pieces, no HTTP at all, nothing: an answer, and the server goes on."""
    port, token = server.server_port, server.access.token
    host = f"Host: 127.0.0.1:{port}\r\n"
    post = f"POST /{token}/undo HTTP/1.1\r\n{host}Origin: http://127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    assert b" 403 " in raw(port, f"GET /{token}/ HTTP/1.1\r\n{host}{host}\r\n".encode()).split(b"\r\n")[0]
    assert b" 403 " in raw(port, f"GET /{token}/ HTTP/1.1\r\n\r\n".encode()).split(b"\r\n")[0]
    assert b" 411 " in raw(port, f"{post}\r\n".encode()).split(b"\r\n")[0]
    chunked = f"{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    assert b" 411 " in raw(port, chunked.encode()).split(b"\r\n")[0]
    assert b"Bad Request.\n" in raw(port, b"\x16\x03\x01\x02\x00 hello you\r\n\r\n")
    assert raw(port, b"") == b""
    assert ask(server.access.address, "state").status == 200


def test_the_page_is_for_this_machine_only(server: Server) -> None:
    """Bound to 127.0.0.1 alone, in no cache and no frame, and with no other script than its own."""
    assert server.server_address[0] == "127.0.0.1"
    answer = ask(server.access.address.replace("127.0.0.1", "localhost"))
    assert answer.status == 200
    headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "Content-Length")}
    policy = headers.pop("Content-Security-Policy")
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; script-src 'sha256-[\w+/]{43}='; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        policy,
    )
    in_the_page, _, _ = policy.rpartition("; frame-ancestors")
    assert f'content="{in_the_page}"' in answer.text
    assert headers == {
        "Server": "llmcompare",
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Connection": "close",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    assert len(server.access.token) == 43
    assert server.access.token not in answer.text


def test_accepts_what_an_update_would_have_written(project: Project, serve: Serve) -> None:
    """Accept the group, reject one, skip one, Done: the bytes are those of an update, and the rest is as it was."""
    review_of(project)
    twin = Project(project.root.with_name("twin"))
    shutil.copytree(project.root, twin.root)
    store.update(twin.root, GROUP, [baseline("a", " Red."), baseline("c", " Red.")])
    served = serve()
    assert served.told[0] == "5 pending, to be reviewed at\n"
    assert re.fullmatch(r"  http://127\.0\.0\.1:\d+/[\w-]{43}/\n", served.told[1])
    assert served.told[2] == '"Done" on that page, or Ctrl-C here, carries out what was decided.\n'
    served.decide(0, "accept", group=True)
    served.decide(2, "reject")
    served.decide(3, "skip")
    assert project.waiting() == {f"trivia/{name}" for name in ("tiny/a", "tiny/b", "tiny/c", "tiny/d", "small/a")}
    end = served.ask("done", {})["end"]
    assert served.end() == (
        0,
        "tests/__baselines__/trivia/tiny.baseline: 2 changed\n2 accepted.\n1 rejected. 2 left for another time.\n",
        "",
    )
    assert end == {
        "by": "page",
        "became": ["accepted", "accepted", "rejected", "left", "left"],
        "why": [""] * 5,
        "faults": [],
        "written": ["tests/__baselines__/trivia/tiny.baseline: 2 changed"],
    }
    assert project.stored() == twin.stored()
    assert project.waiting() == {"trivia/tiny/d", "trivia/small/a"}


@needs_signals
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_carries_out_what_was_decided(project: Project, serve: Serve, name: str) -> None:
    """Ctrl-C, a kill, a closed terminal: exit code 0, the closing lines, and a page that waits for news is told."""
    project.drift("a", "b")
    served = serve()
    served.decide(0, "accept")
    news: list[object] = []
    waiting = threading.Thread(target=lambda: news.append(served.ask("state?after=1")))
    waiting.start()
    assert served.send(signal.Signals[name]) == (
        0,
        "tests/__baselines__/trivia/tiny.baseline: 1 changed\n1 accepted.\n0 rejected. 1 left for another time.\n",
        "",
    )
    waiting.join()
    assert [state["end"]["by"] for state in news if isinstance(state, dict)] == ["terminal"]
    assert project.texts() == {"a": " Red.", "b": " Blue."}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot tell")
def test_it_ends_with_its_standard_input(project: Project, serve: Serve) -> None:
    """Whoever started it and goes away leaves no server behind."""
    project.drift("a")
    served = serve(stdin=subprocess.PIPE)
    served.decide(0, "reject")
    assert served.process.stdin is not None
    served.process.stdin.close()
    served.process.stdin = None
    assert served.end() == (0, "0 accepted.\n1 rejected. 0 left for another time.\n", "")
    assert (project.texts(), project.waiting()) == ({"a": " Blue."}, set())


def test_killed_hard_before_the_end(project: Project, serve: Serve) -> None:
    """Nothing was written yet, so nothing is half written: all of it still waits."""
    project.drift("a", "b")
    before = project.stored()
    served = serve()
    served.decide(0, "accept", group=True)
    served.process.kill()
    served.process.wait()
    assert (project.stored(), project.waiting()) == (before, {"trivia/tiny/a", "trivia/tiny/b"})


def test_a_baseline_that_moved_is_refused(project: Project, serve: Serve) -> None:
    """Exit code 1, with the case and the reason; the others are accepted."""
    project.drift("sky", "sea")
    served = serve()
    served.decide(0, "accept", group=True)
    store.update(project.root, GROUP, [baseline("sky", " Grey.")])
    end = served.ask("done", {})["end"]
    reason = (
        "trivia/tiny/sky: its baseline is no longer the one that this output was compared with, so it stays as it is. "
        "Run pytest again and look at what is pending then."
    )
    assert (end["became"], end["why"], end["faults"]) == (["refused", "accepted"], [reason, ""], [reason])
    assert served.end() == (
        1,
        "tests/__baselines__/trivia/tiny.baseline: 1 changed\n1 accepted.\n0 rejected. 1 left for another time.\n",
        f"{reason}\n",
    )
    assert project.texts() == {"sky": " Grey.", "sea": " Red."}


def test_decisions_and_undo(project: Project, serve: Serve) -> None:
    """Each answer has the whole state; after the end nothing can be decided."""
    review_of(project)
    served = serve()
    assert served.ask("state") == {"version": 0, "decisions": [None] * 5, "undo": False, "end": None}
    assert served.decide(1, "accept", group=True) == {
        "version": 1,
        "decisions": ["accept", "accept", None, None, None],
        "undo": True,
        "end": None,
    }
    assert served.decide(1, "reject")["decisions"][:2] == ["accept", "reject"]
    assert served.ask("undo", {})["decisions"][:2] == ["accept", "accept"]
    assert served.ask("undo", {})["decisions"] == [None] * 5
    assert served.ask("undo", {})["undo"] is False
    data = re.search(r'id="data">(.*?)</script>', ask(served.address).text)
    assert data
    assert json.loads(data[1])["state"] == served.ask("state")


def test_after_the_end_nothing_is_decided(project: Project) -> None:
    """A request that comes while decisions are carried out is refused."""
    review = review_of(project)
    desk = Desk(review)
    server = Server(0, desk, browsing.page_of(review, ()).draw)
    with server.serving():
        desk.close()
        answers = [ask(server.access.address, "decide", DECIDE), ask(server.access.address, "undo", {})]
    assert [(answer.status, answer.text) for answer in answers] == [(409, "The review has ended.\n")] * 2


def test_port_in_use(project: Project) -> None:
    """Exit code 2, and what to do; nothing is decided."""
    project.drift("a")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert project.run("review", "--web", "--no-browser", f"--port={port}") == (
            2,
            "",
            (
                f"llmcompare: --port: port {port} of 127.0.0.1 is in use.\n"
                "Name another one, or none to have a free one chosen: llmcompare review --web\n"
            ),
        )


def test_a_port_of_ones_own(project: Project, serve: Serve) -> None:
    """It is the one that is served."""
    project.drift("a")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert serve(f"--port={port}").address.startswith(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("given", ["0", "65536", "-1", "x", "٣"])
def test_no_port(project: Project, given: str) -> None:
    """A usage error that says what is expected."""
    said = project.run("review", "--web", f"--port={given}")
    assert (said.code, said.out) == (2, "")
    assert said.err.endswith(f"argument --port: {given!r} is no port: expected a number from 1 to 65535\n")


@pytest.mark.parametrize(("given", "name"), [("--port=8000", "--port"), ("--no-browser", "--no-browser")])
def test_options_of_the_page_alone(project: Project, given: str, name: str) -> None:
    """Without the page they would do nothing, so they are refused."""
    project.drift("a")
    assert project.run("review", given) == (
        2,
        "",
        f"llmcompare: {name} goes with --web only: llmcompare review --web\n",
    )


def test_nothing_is_pending(project: Project) -> None:
    """No server starts."""
    assert project.run("review", "--web", "--no-browser") == (0, "Nothing is pending.\n", "")


@needs_signals
def test_broken_lines_are_told(project: Project, serve: Serve) -> None:
    """On stderr as ever, and among the notes of the page."""
    project.drift("a")
    with project.file.path.open("a", encoding="ascii") as file:
        file.write("{\n")
    served = serve()
    note = ".llmcompare/pending.jsonl, line 2: broken, so it is not used."
    assert f'"notes":["{note}"]' in ask(served.address).text
    assert served.send(signal.SIGTERM).err == f"{note}\n"


def test_help(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of the page, and what they do."""
    monkeypatch.setenv("COLUMNS", "200")
    lines = project.run("review", "--help").out.splitlines()
    told = [" ".join(line.split()) for line in lines if line.startswith("  --") and "--root" not in line]
    assert told == [
        "--web on a page in the browser, served to this machine only",
        "--port N port of that page on 127.0.0.1 (default: one that is free)",
        "--no-browser only print the address of that page",
    ]


def leads_to(address: str, argument: str) -> None:
    """See whether the browser's argument is a private file that leads to an address, and goes once it has."""
    token = address.rstrip("/").rpartition("/")[2]
    assert argument.startswith("file:///")
    assert token not in argument
    page = Path(url2pathname(urlsplit(argument).path))
    assert page.stat().st_mode & 0o777 == 0o600
    assert f"url={address}" in page.read_text()
    assert ask(address, "state").status == 200
    for _ in range(200):
        if not page.exists():
            break
        threading.Event().wait(0.05)
    assert not page.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux names its screens")
def test_the_browser_is_opened(project: Project, tmp_path: Path) -> None:
    """Only where it would have a window: others would take the terminal over.

    Its command line, which others can see in the list of processes, names a file that only its owner can read. That
    leads to the address which is printed, and is gone once the page has been there, or the command has ended.
    """
    project.drift("a")
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f"#!/bin/sh\necho \"$1\" > '{opened}.part' && mv '{opened}.part' '{opened}'\n")
    browser.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in browsing.SCREENS}
    command = [sys.executable, "-m", "pytest_llmcompare.cli.main", "review", "--web"]
    for screens, expected in ({"BROWSER": f"{browser}"}, True), ({}, False):
        with subprocess.Popen(
            command, cwd=project.root, env={**environment, **screens}, stdout=subprocess.PIPE, encoding="utf-8"
        ) as process:
            assert process.stdout is not None
            address = [process.stdout.readline() for _ in range(3)][1].strip()
            for _ in range(300 if expected else 5):
                if opened.exists():
                    break
                threading.Event().wait(0.05)
            if expected:
                leads_to(address, opened.read_text().strip())
            process.terminate()
        assert opened.exists() is expected
        assert sorted(path.name for path in project.file.folder.iterdir()) == [".gitignore", "pending.jsonl"]
        if expected:
            opened.unlink()
