"""`llmcompare review --web` without a browser: which requests it answers, how it ends, and what it writes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.cli.apply_decisions import Applied
from pytest_llmcompare.cli.web.browse import SCREENS
from pytest_llmcompare.cli.web.page import ReviewPage
from pytest_llmcompare.cli.web.server import ReviewServer
from tests.platforms import needs_proc, needs_signals
from tests.unit.baselines.samples import baseline

from .projects import GROUP, Project, review_of
from .serving import Answer, Served, ask

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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewServer]:
    """A server in this process, of a review to which nothing is submitted."""
    root = tmp_path_factory.mktemp("served")
    (root / "tests").mkdir()
    served = ReviewServer(0, ReviewPage(review_of(Project(root)).entries), unwanted)
    with served.serving():
        yield served


def unwanted(decisions: Sequence[str | None]) -> Applied:
    """Fail: no decision must get through."""
    raise AssertionError(decisions)


DECIDED = ["accept", "reject", "skip", None, None]
WRONG_ADDRESS = "Open the whole address that llmcompare printed; it holds a secret token.\n"
HERE = r"This page is served to 127\.0\.0\.1:\d+ and localhost:\d+ only\.\n"
NOT_OURS = "Only the review page itself may decide.\n"
NO_LIST = "Expected a JSON list of 5 decisions.\n"
REFUSED: dict[str, tuple[dict[str, object], int, str]] = {
    "no token": ({"what": "/"}, 403, WRONG_ADDRESS),
    "no token, a file": ({"what": "/favicon.ico"}, 403, WRONG_ADDRESS),
    "no slash": ({"what": "/{token}"}, 403, WRONG_ADDRESS),
    "half a token": ({"what": "/{token:.20}/"}, 403, WRONG_ADDRESS),
    "another token": ({"what": f"/{'x' * 43}/"}, 403, WRONG_ADDRESS),
    "a token of other letters": ({"what": "/%C3%A9/"}, 403, WRONG_ADDRESS),
    "no token, deciding": ({"what": "/decisions", "body": DECIDED}, 403, WRONG_ADDRESS),
    "another host": ({"Host": "evil.example:80"}, 403, HERE),
    "another host, same port": ({"Host": "evil.example:{port}"}, 403, HERE),
    "another port": ({"Host": "127.0.0.1:1"}, 403, HERE),
    "no port": ({"Host": "localhost"}, 403, HERE),
    "an empty host": ({"Host": ""}, 403, HERE),
    "another host, deciding": ({"what": "decisions", "body": DECIDED, "Host": "evil.example"}, 403, HERE),
    "another page": ({"what": "other"}, 404, "There is no such page.\n"),
    "below a page": ({"what": "decisions/x"}, 404, "There is no such page.\n"),
    "out of the page": ({"what": "../../etc/passwd"}, 404, "There is no such page.\n"),
    "PUT": ({"method": "PUT"}, 405, "Allowed here: GET, HEAD.\n"),
    "OPTIONS": ({"what": "decisions", "method": "OPTIONS"}, 405, "Allowed here: POST.\n"),
    "a method of one's own": ({"method": "SETTLE"}, 405, "Allowed here: GET, HEAD.\n"),
    "posting the page": ({"body": DECIDED}, 405, "Allowed here: GET, HEAD.\n"),
    "getting the decisions": ({"what": "decisions"}, 405, "Allowed here: POST.\n"),
    "the head of the decisions": ({"what": "decisions", "method": "HEAD"}, 405, ""),
    "no origin": ({"what": "decisions", "body": DECIDED, "Origin": None}, 403, NOT_OURS),
    "another origin": ({"what": "decisions", "body": DECIDED, "Origin": "http://evil.example"}, 403, NOT_OURS),
    "an origin of a file": ({"what": "decisions", "body": DECIDED, "Origin": "null"}, 403, NOT_OURS),
    "a form": (
        {"what": "decisions", "body": b"0=accept", "Content_Type": "application/x-www-form-urlencoded"},
        415,
        "Decisions must be JSON.\n",
    ),
    "a plain text": (
        {"what": "decisions", "body": DECIDED, "Content_Type": "text/plain"},
        415,
        "Decisions must be JSON.\n",
    ),
    "a large body": ({"what": "decisions", "body": b" " * 145}, 413, "The body has more than 144 bytes.\n"),
    "a body of no length": (
        {"what": "decisions", "body": DECIDED, "Content_Length": "-1"},
        411,
        "The body needs a Content-Length.\n",
    ),
    "no JSON": ({"what": "decisions", "body": b"{"}, 400, NO_LIST),
    "half a character": ({"what": "decisions", "body": b"\xff"}, 400, NO_LIST),
    "nested": ({"what": "decisions", "body": b"[" * 140}, 400, NO_LIST),
    "no list": ({"what": "decisions", "body": {"0": "accept"}}, 400, NO_LIST),
    "a decision too few": ({"what": "decisions", "body": DECIDED[:4]}, 400, NO_LIST),
    "a decision too many": ({"what": "decisions", "body": [*DECIDED, None]}, 400, NO_LIST),
    "another decision": ({"what": "decisions", "body": ["drop", *DECIDED[1:]]}, 400, NO_LIST),
    "a number": ({"what": "decisions", "body": [0, *DECIDED[1:]]}, 400, NO_LIST),
    "a list of decisions": ({"what": "decisions", "body": [[], *DECIDED[1:]]}, 400, NO_LIST),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(server: ReviewServer, name: str) -> None:
    """Requests without the token, by another name, from another page, or for something else."""
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
    assert not server.answered.is_set()


def raw(port: int, request: bytes) -> bytes:
    """Send bytes; return the whole answer."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_requests_that_no_browser_sends(server: ReviewServer) -> None:
    """Two hosts, a body in pieces, no HTTP at all, nothing: an answer, and the server goes on."""
    port, token = server.server_port, server.access.token
    host = f"Host: 127.0.0.1:{port}\r\n"
    origin = f"Origin: http://127.0.0.1:{port}\r\n"
    post = f"POST /{token}/decisions HTTP/1.1\r\n{host}{origin}Content-Type: application/json\r\n"
    assert b" 403 " in raw(port, f"GET /{token}/ HTTP/1.1\r\n{host}{host}\r\n".encode()).split(b"\r\n")[0]
    assert b" 403 " in raw(port, f"GET /{token}/ HTTP/1.1\r\n\r\n".encode()).split(b"\r\n")[0]
    assert b" 411 " in raw(port, f"{post}\r\n".encode()).split(b"\r\n")[0]
    chunked = f"{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    assert b" 411 " in raw(port, chunked.encode()).split(b"\r\n")[0]
    assert b"Bad Request.\n" in raw(port, b"\x16\x03\x01\x02\x00 hello you\r\n\r\n")
    assert raw(port, b"") == b""
    head = ask(server.access.address, method="HEAD")
    assert (head.status, head.text) == (200, "")


def test_the_page_is_for_this_machine_only(server: ReviewServer) -> None:
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
    """Accept two, reject one, skip one, leave one: the bytes are those of an update, and the rest is as it was."""
    review_of(project)
    twin = Project(project.root.with_name("twin"))
    shutil.copytree(project.root, twin.root)
    prompt = project.entry(baseline("a")).prompt
    store.update(twin.root, GROUP, [replace(baseline(name, " Red."), input=prompt) for name in "ac"])
    served = serve()
    assert served.printed[0] == "5 pending, to be reviewed at\n"
    assert re.fullmatch(r"  http://127\.0\.0\.1:\d+/[\w-]{43}/\n", served.printed[1])
    assert served.printed[2] == '"Done" on that page writes what was decided. Ctrl-C here ends the review without.\n'
    assert project.pending() == {f"trivia/{name}" for name in ("tiny/a", "tiny/b", "tiny/c", "tiny/d", "small/a")}
    result = served.submit("accept", "accept", "reject", "skip", None)
    assert served.end() == (
        0,
        "tests/__baselines__/trivia/tiny.baseline: 2 changed\n2 accepted.\n1 rejected. 2 left for another time.\n",
        "",
    )
    assert result == {
        "fates": ["accepted", "accepted", "rejected", "left", "left"],
        "why": [""] * 5,
        "faults": [],
        "written": ["tests/__baselines__/trivia/tiny.baseline: 2 changed"],
        "sentence": "2 accepted, 1 rejected, 2 left for another time.",
    }
    assert project.stored() == twin.stored()
    assert project.pending() == {"trivia/tiny/d", "trivia/small/a"}


NOT_SUBMITTED = (
    "Ended without Done: nothing was submitted, {} still pending.\n"
    "The browser keeps what was decided there: llmcompare review --web\n"
)


@needs_signals
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it(project: Project, serve: Serve, name: str) -> None:
    """Ctrl-C, a kill, a closed terminal: exit code 1, what was not submitted, and nothing is written."""
    project.drift("a", "b")
    before = project.stored()
    served = serve()
    assert served.send(signal.Signals[name]) == (1, NOT_SUBMITTED.format(2), "")
    assert (project.stored(), project.pending()) == (before, {"trivia/tiny/a", "trivia/tiny/b"})


@needs_signals
def test_the_next_review_has_the_same_port(project: Project, serve: Serve) -> None:
    """A browser keeps data by port, so the next review finds the decisions that were not submitted."""
    project.drift("a")
    first = serve()
    first.send(signal.SIGINT)
    second = serve()
    third = serve()  # that port is taken now, so it gets another one
    ports = [urlsplit(served.address).port for served in (first, second, third)]
    assert ports[0] == ports[1] != ports[2]
    assert first.address != second.address
    identities = [re.findall(r'"id":"(\w{16})"', ask(served.address).text) for served in (second, third)]
    assert identities[0] == identities[1]
    assert len(identities[0]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot tell")
def test_it_ends_with_its_standard_input(project: Project, serve: Serve) -> None:
    """A program that started the review and goes away leaves no server behind."""
    project.drift("a")
    served = serve(stdin=subprocess.PIPE)
    assert served.process.stdin is not None
    served.process.stdin.close()
    served.process.stdin = None
    assert served.end() == (1, NOT_SUBMITTED.format(1), "")
    assert (project.texts(), project.pending()) == ({"a": " Blue."}, {"trivia/tiny/a"})


def test_a_baseline_that_moved_is_refused(project: Project, serve: Serve) -> None:
    """Exit code 1, with the case and the reason; the others are accepted."""
    project.drift("sky", "sea")
    served = serve()
    store.update(project.root, GROUP, [baseline("sky", " Grey.")])
    result = served.submit("accept", "accept")
    reason = (
        "trivia/tiny/sky: its baseline is no longer the one that this output was compared with, so it stays as it is. "
        "Run pytest again and look at what is pending then."
    )
    assert (result["fates"], result["why"], result["faults"]) == (["refused", "accepted"], [reason, ""], [reason])
    assert served.end() == (
        1,
        "tests/__baselines__/trivia/tiny.baseline: 1 changed\n1 accepted.\n0 rejected. 1 left for another time.\n",
        f"{reason}\n",
    )
    assert project.texts() == {"sky": " Grey.", "sea": " Red."}


def test_the_pending_file_changed_meanwhile(project: Project, serve: Serve) -> None:
    """An output found during the review is not rejected unseen; rejecting one that is no longer pending is no error."""
    project.drift("a", "b", "c")
    served = serve()
    project.pend(project.entry(baseline("a", " Green.")))
    assert project.run("accept", "trivia/tiny/c").code == 0
    result = served.submit("reject", "accept", "reject")
    assert result["fates"] == ["refused", "accepted", "rejected"]
    assert result["why"][0] == (
        "trivia/tiny/a: a run has found another output since; that one was not rejected and stays pending."
    )
    assert served.end().code == 1
    assert project.texts() == {"a": " Blue.", "b": " Red.", "c": " Red."}
    assert project.pending() == {"trivia/tiny/a"}


@needs_proc
def test_a_folder_that_cannot_be_written(project: Project, serve: Serve) -> None:
    """The page and the terminal say why; the output stays pending."""
    project.pend(project.entry(baseline("sky")))
    (project.root / "tests/__baselines__").symlink_to("/proc")
    served = serve()
    result = served.submit("accept")
    assert result["fates"] == ["refused"]
    assert "cannot be written: No such file or directory." in result["faults"][0]
    code, out, err = served.end()
    assert (code, out) == (1, "0 accepted.\n0 rejected. 1 left for another time.\n")
    assert "cannot be written: No such file or directory." in err
    assert project.pending() == {"trivia/tiny/sky"}


def test_decisions_are_taken_once(project: Project) -> None:
    """A second Done is refused, also while the first is being carried out; the end of the review waits for it."""
    review = review_of(project)
    begun, may_end = threading.Event(), threading.Event()
    taken: list[Sequence[str | None]] = []

    def slow(decisions: Sequence[str | None]) -> Applied:
        taken.append(decisions)
        begun.set()
        assert may_end.wait(20)
        return Applied()

    server = ReviewServer(0, ReviewPage(review.entries), slow)
    answers: list[Answer] = []

    def post() -> None:
        answers.append(ask(server.access.address, "decisions", DECIDED))

    def end() -> None:
        closed.append(server.close())

    closed: list[Applied | None] = []
    with server.serving():
        threads = [threading.Thread(target=post)]
        threads[0].start()
        assert begun.wait(20)
        threads += [threading.Thread(target=post), threading.Thread(target=end)]
        for thread in threads[1:]:
            thread.start()
        may_end.set()
        for thread in threads:
            thread.join(20)
        post()
    assert taken == [DECIDED]
    assert sorted((answer.status, answer.text) for answer in answers)[1:] == [(409, "The review has ended.\n")] * 2
    assert closed == [Applied()]


def test_after_the_end_nothing_is_taken(project: Project) -> None:
    """A review that was ended in its terminal writes nothing any more."""
    server = ReviewServer(0, ReviewPage(review_of(project).entries), unwanted)
    with server.serving():
        assert server.close() is None
        answer = ask(server.access.address, "decisions", DECIDED)
    assert (answer.status, answer.text) == (409, "The review has ended.\n")


def test_a_bug_ends_the_review(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """With its traceback in the terminal, and a page that says so; it does not go on for ever."""
    server = ReviewServer(0, ReviewPage(review_of(project).entries), unwanted)
    with server.serving():
        with pytest.raises(OSError, match=r"closed|reset|disconnected|without response"):
            ask(server.access.address, "decisions", DECIDED)
        assert server.answered.wait(20)
        assert server.close() is None
    assert "AssertionError" in capsys.readouterr().err


def test_killed_hard_before_the_end(project: Project, serve: Serve) -> None:
    """Nothing was written yet, so nothing is half written: all of it is still pending."""
    project.drift("a", "b")
    before = project.stored()
    served = serve()
    served.process.kill()
    served.process.wait()
    assert (project.stored(), project.pending()) == (before, {"trivia/tiny/a", "trivia/tiny/b"})


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
    """The page is served on the given port."""
    project.drift("a")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert serve(f"--port={port}").address.startswith(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("given", ["0", "65536", "-1", "x", "٣"])
def test_no_port(project: Project, given: str) -> None:
    """A usage error that says what is expected."""
    result = project.run("review", "--web", f"--port={given}")
    assert (result.code, result.out) == (2, "")
    assert f"'--port': {given!r} is not a port: expected a number from 1 to 65535\n" in result.err


@pytest.mark.parametrize(("given", "name"), [("--port=8000", "--port"), ("--no-browser", "--no-browser")])
def test_options_of_the_page_alone(project: Project, given: str, name: str) -> None:
    """Without the page they would do nothing, so they are refused."""
    project.drift("a")
    assert project.run("review", given) == (
        2,
        "",
        f"llmcompare: {name} needs --web: llmcompare review --web\n",
    )


def test_nothing_is_pending(project: Project) -> None:
    """No server starts."""
    assert project.run("review", "--web", "--no-browser") == (0, "Nothing is pending.\n", "")


@needs_signals
def test_broken_lines_are_told(project: Project, serve: Serve) -> None:
    """They are reported on stderr and among the notes of the page."""
    project.drift("a")
    with project.file.path.open("a", encoding="ascii") as file:
        file.write("{\n")
    served = serve()
    note = ".llmcompare/pending.jsonl, line 2: broken, so it is not used."
    assert f'"lines":["{note}"]' in ask(served.address).text
    assert served.send(signal.SIGTERM).err == f"{note}\n"


def leads_to(address: str, argument: str) -> None:
    """Check that the browser's argument is a private file that leads to the address and is removed afterwards."""
    token = address.rstrip("/").rpartition("/")[2]
    assert argument.startswith("file:///")
    assert token not in argument
    page = Path(url2pathname(urlsplit(argument).path))
    assert page.stat().st_mode & 0o777 == 0o600
    assert f"url={address}" in page.read_text()
    assert ask(address).status == 200
    for _ in range(200):
        if not page.exists():
            break
        threading.Event().wait(0.05)
    assert not page.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux names its screens")
def test_the_browser_is_opened(project: Project, tmp_path: Path) -> None:
    """It is opened only if there is a screen: others would take over the terminal.

    Its command line, which others can see in the list of processes, names a file that only its owner can read. That
    leads to the address which is printed, and is gone once the page has been there, or the command has ended.
    """
    project.drift("a")
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f"#!/bin/sh\necho \"$1\" > '{opened}.part' && mv '{opened}.part' '{opened}'\n")
    browser.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in SCREENS}
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
