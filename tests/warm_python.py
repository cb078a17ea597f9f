"""A Python interpreter that starts with the heavy libraries imported already, for tests that start processes.

Importing MLflow, torch and transformers takes seconds, and so does each process that runs the plugin. Here a server
imports them once and forks for each process that is asked for:

- `Interpreter.path` is an executable, used in place of `sys.executable`: `PATH -m MODULE ...`, `PATH -c CODE ...`,
  `PATH SCRIPT ...`. It is a launcher that hands its arguments, working directory, environment, umask and standard
  streams to the server, and then lives as long as the forked process: it forwards signals and ends with the same exit
  code or signal. If it is killed, so is the forked process.
- The server has one thread and has never computed anything, so a fork of it is as good as a new process. It has
  imported `pytest_llmcompare` and pytest's plugins, so pytest does not rewrite them; only an assertion of theirs that
  fails would tell.
- Its folder has the commands `llmcompare`, `mlflow`, `pytest` and `uvicorn`, too, to be put on a PATH.
- Where a forked process could differ from a new one (interpreter options, variables that are read once, at start-up or
  when a library is imported) the launcher becomes the real interpreter. Resource limits are not handed over.

Tests about start-up itself (what is imported, `-W error`, signals to process groups) use `sys.executable`.
"""

from __future__ import annotations

import array
import contextlib
import marshal
import os
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STARTS = "starts"
"""File in the server's folder with a line for each process: `warm`, or the variables that made it a new one."""
SERVER = f"{__file__.removesuffix('python.py')}server.py"
ONE_THREAD = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    **dict.fromkeys(("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
}
FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
)
LENGTH = struct.Struct("!I")
NUMBER = struct.Struct("!i")


class Interpreter(NamedTuple):
    """A warm interpreter.

    Attributes:
        path: Its executable; the real interpreter's where there is none.
        server: Process id of the server; 0 if there is none, or if another process started it.
    """

    path: str
    server: int


def start(folder: Path, owner: int, variables: Mapping[str, str]) -> Interpreter:
    """Start the server of a folder, unless it runs; processes that share the folder share the server.

    Args:
        folder: Folder for the socket and the executable, with a short path.
        owner: Process with which the server ends.
        variables: Environment of the server: that of the tests before any of them ran.
    """
    import locale

    import filelock

    coverage = any(name.startswith("COV") for name in os.environ)
    if sys.platform != "linux" or coverage or locale.getpreferredencoding(do_setlocale=False).lower() != "utf-8":
        return Interpreter(sys.executable, 0)
    folder.mkdir(mode=0o700, exist_ok=True)
    launcher = folder / "python"
    with filelock.FileLock(folder / "lock"):
        if launcher.exists():
            return Interpreter(str(launcher), 0)
        environment = {**variables, **ONE_THREAD, "HOME": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment.pop("PYTHONPATH", None)
        ready, written = os.pipe()
        os.set_inheritable(written, True)
        command = [sys.executable, SERVER, str(folder), str(owner), str(written)]
        streams = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
        errors = (os.POSIX_SPAWN_OPEN, 2, str(folder / "errors"), os.O_WRONLY | os.O_CREAT, 0o600)
        server = os.posix_spawn(sys.executable, command, environment, file_actions=[*streams, errors], setsid=True)
        os.close(written)
        with open(ready, "rb") as pipe:
            message = pipe.read().decode()
        if message != "ready":
            raise RuntimeError(f"the warm interpreter did not start: {message or (folder / 'errors').read_text()}")
        line = f"'{sys.executable}' -IS '{__file__}' '{folder}' \"$0\" '{sys.executable}' \"$@\""
        launcher.write_text(f"#!/bin/sh\nexec {line}\n")
        launcher.chmod(0o700)
        for script in ("llmcompare", "mlflow", "pytest", "uvicorn"):  # for those who put the folder on their PATH
            line = f"'{launcher}' '{os.path.dirname(sys.executable)}/{script}'"
            (folder / script).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
            (folder / script).chmod(0o700)
    return Interpreter(str(launcher), server)


def stop(interpreter: Interpreter) -> None:
    """End the server, if this process started it."""
    if interpreter.server:
        os.kill(interpreter.server, signal.SIGTERM)
        os.waitpid(interpreter.server, 0)


def launch(folder: str, launcher: str, real: str, arguments: list[str]) -> NoReturn:
    """Run a command line of the interpreter in a fork of the server; else in the real one."""
    process = 0
    early: list[int] = []

    def forward(number: int, _: object) -> None:
        if process:
            os.kill(process, number)
        else:
            early.append(number)

    ignored = [int(number) for number in FORWARDED if signal.getsignal(number) is signal.SIG_IGN]
    for number in {*map(int, FORWARDED)} - {*ignored}:
        signal.signal(number, forward)
    mask = os.umask(0)
    os.umask(mask)
    request = {
        "argv": [launcher, *arguments],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "ignored": ignored,
        "umask": mask,
    }
    status = None
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
        server.connect(f"{folder}/socket")
        payload = marshal.dumps(request)
        fds = array.array("i", [0, 1, 2])
        server.sendmsg([LENGTH.pack(len(payload))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        server.sendall(payload)
        (process,) = NUMBER.unpack(receive(server, NUMBER.size))
        if process:
            quiet = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):  # a pipe ends when the forked process closes it, not when we do
                os.dup2(quiet, fd)
            for number in early:
                os.kill(process, number)
            (status,) = NUMBER.unpack(receive(server, NUMBER.size))
    if process and status is None:
        os._exit(70)  # the server was killed
    if status is None:
        os.execv(real, [real, *arguments])
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def receive(connection: socket.socket, size: int) -> bytes:
    """Receive exactly so many bytes."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


def alive(process: int) -> bool:
    """True if the process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    launch(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
