"""Server that forks Python processes from itself, see `warm_python.py`."""

from __future__ import annotations

import contextlib
import marshal
import os
import shutil
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, NoReturn

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from tests.speed import import_libraries  # noqa: E402
from tests.warm_python import LENGTH, NUMBER, ONE_THREAD, STARTS, alive, receive  # noqa: E402

del sys.path[0]
for name in ("tests", "tests.speed", "tests.warm_python"):  # users have packages of this name
    del sys.modules[name]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

READ_ONCE = (
    *("ATEN_", "COV", "HF_", "LANG", "LC_", "LD_", "MKL_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTHON", "TOKENIZERS_"),
    *("TORCH", "TRANSFORMERS_"),
)
"""Variables that the interpreter or a library reads once, so that a fork cannot change them; but for those below."""
OF_LIBRARIES = ("HF_HUB_DISABLE_PROGRESS_BARS", "TOKENIZERS_PARALLELISM", "TORCHINDUCTOR_CACHE_DIR")
"""Those that transformers, torch and our training script set in a process that has used them; no test sets them."""
APPLIED = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED", "PYTHONUTF8")


def serve(folder: str, owner: int, ready: int) -> Callable[[], object] | None:
    """Import the libraries, then fork for each request, until the owner ends.

    Returns:
        In a forked process, what it has to run; None in the server, at its end.
    """
    import warnings

    os.set_inheritable(ready, False)
    before, filters = once(os.environ), warnings.filters[:]
    try:
        import_libraries()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{folder}/socket")
        listener.listen(64)
    except BaseException as error:
        os.write(ready, repr(error).encode())
        raise
    warnings.filters[:] = filters  # type: ignore[index]  # pytest, too, forgets those that a library sets in a test
    os.write(ready, b"ready")
    os.close(ready)
    return Server(listener, owner, folder, (before, once(os.environ))).run()


class Server:
    """Forks a process for each connection, and reports how it ended."""

    def __init__(
        self, listener: socket.socket, owner: int, folder: str, environments: Sequence[dict[str, str]]
    ) -> None:
        self.listener = listener
        self.owner = owner
        self.folder = folder
        self.connections: dict[int, socket.socket] = {}  # by process
        self.environments = environments  # before and after libraries were imported, which set variables
        self.wakeup = socket.socketpair()
        self.stopped = False

    def run(self) -> Callable[[], object] | None:
        """Serve until the owner ends; see `serve`."""
        import select

        for one in self.wakeup:
            one.setblocking(False)
        signal.set_wakeup_fd(self.wakeup[1].fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.stop)
        while alive(self.owner) and not self.stopped:
            launchers = {connection: process for process, connection in self.connections.items()}
            readable, _, _ = select.select([self.listener, self.wakeup[0], *launchers], [], [], 0.5)
            if self.wakeup[0] in readable:
                with contextlib.suppress(BlockingIOError):
                    self.wakeup[0].recv(4096)
            self.report()
            for connection in launchers.keys() & set(readable):
                if launchers[connection] in self.connections:  # its launcher was killed
                    os.kill(launchers[connection], signal.SIGKILL)
                    self.connections.pop(launchers[connection]).close()
            if self.listener in readable:
                forked = self.accept()
                if forked is not None:
                    return forked
        return None

    def stop(self, *_: object) -> None:
        """Leave the loop."""
        self.stopped = True

    def report(self) -> None:
        """Report the processes that have ended to their launchers."""
        with contextlib.suppress(ChildProcessError):
            while True:
                process, status = os.waitpid(-1, os.WNOHANG)
                if not process:
                    return
                connection = self.connections.pop(process, None)
                if connection is not None:
                    with connection, contextlib.suppress(OSError):
                        connection.sendall(NUMBER.pack(status))

    def accept(self) -> Callable[[], object] | None:
        """Take a request and fork, or answer that the real interpreter has to be used."""
        connection = self.listener.accept()[0]
        connection.settimeout(10)
        try:
            first, fds, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
            request = marshal.loads(receive(connection, *LENGTH.unpack(first)))
        except (OSError, ValueError, struct.error):
            connection.close()
            return None
        connection.settimeout(None)
        command = parse(request["argv"][1:])
        process = 0
        if command is not None and self.suits(once(request["environment"])):
            self.count("warm")
            process = os.fork()
            if not process:
                for one in (*self.wakeup, *self.connections.values(), connection, self.listener):
                    one.close()
                become(request, fds)
                return command
        for fd in fds:
            os.close(fd)
        with contextlib.suppress(OSError):
            connection.sendall(NUMBER.pack(process))
        if process:
            self.connections[process] = connection
        else:
            connection.close()
        return None

    def suits(self, environment: dict[str, str]) -> bool:
        """True if each variable that is read once is as it was here; else the names of the others are counted."""
        names = {*environment}.union(*self.environments)
        own = [name for name in names if environment.get(name) not in [one.get(name) for one in self.environments]]
        if own:
            self.count(",".join(sorted(own)))
        return not own

    def count(self, kind: str) -> None:
        """Write down how a process started: warm, or anew because of these variables."""
        with open(f"{self.folder}/{STARTS}", "a") as file:
            file.write(f"{kind}\n")


def once(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a forked process cannot change."""
    names = (name for name in environment if name.startswith(READ_ONCE) and name not in (*APPLIED, *OF_LIBRARIES))
    return {name: environment[name] for name in names if name not in ONE_THREAD}


def become(request: dict[str, Any], fds: list[int]) -> None:
    """Take over what a new process would have from its parent and from its command line."""
    import tempfile
    import time

    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    tempfile.tempdir = None
    sys.modules["numpy"].random.seed()
    for fd, own in zip(fds, range(3), strict=True):
        os.dup2(fd, own)
        os.close(fd)
    sys.argv = sys.orig_argv = request["argv"]
    sys.executable = sys.argv[0]
    open_streams()
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.pycache_prefix = os.environ.get("PYTHONPYCACHEPREFIX")
    paths = [os.path.abspath(path) for path in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:0] = dict.fromkeys(paths)


def open_streams() -> None:
    """Make Python's standard streams anew, for other kinds of files, and let handlers of logging write there."""
    import logging

    unbuffered = "PYTHONUNBUFFERED" in os.environ or "-u" in sys.argv[1:2]
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        new = open(fd, "w" if fd else "r", encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        new.buffer.raw.name = f"<{name}>"  # type: ignore[attr-defined]
        if fd:
            new.reconfigure(line_buffering=fd == 2 or unbuffered or new.isatty())
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
        for reference in logging._handlerList:  # type: ignore[attr-defined]
            handler = reference()
            if getattr(handler, "stream", None) is old:
                handler.setStream(new)


def parse(arguments: list[str]) -> Callable[[], object] | None:
    """What a command line of the interpreter runs; None if the real interpreter has to see to it."""
    first = arguments[0] if arguments else ""
    if first == "-u":
        return parse(arguments[1:])
    if first[:2] in ("-m", "-c"):
        given = [first[2:], *arguments[1:]] if first[2:] else arguments[1:]
        return (lambda: run(first[:2], given)) if given else None
    return (lambda: run("", arguments)) if first and not first.startswith("-") else None


def end_with(command: Callable[[], object]) -> NoReturn:
    """Run a command and end the process as the interpreter does, but without tearing down all modules."""
    import atexit
    import threading

    code = 0
    interrupted = False
    try:
        command()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException as error:
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
            traceback = traceback.tb_next
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        code, interrupted = 1, isinstance(error, KeyboardInterrupt)
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code & 0xFF)


def run(option: str, arguments: list[str]) -> None:
    """Run a module (`-m`), code (`-c`) or a script as `__main__`."""
    import runpy
    import types

    main = types.ModuleType("__main__")
    main.__dict__.update({"__builtins__": __builtins__, "__annotations__": {}})
    sys.modules["__main__"] = main
    sys.argv = [option, *arguments[1:]] if option else arguments
    if option == "-m":
        sys.path.insert(0, os.getcwd())
        runpy._run_module_as_main(arguments[0])  # type: ignore[attr-defined]  # as the interpreter does
    elif option == "-c":
        sys.path.insert(0, "")
        exec(compile(arguments[0], "<string>", "exec"), main.__dict__)
    else:
        sys.path.insert(0, os.path.dirname(os.path.realpath(arguments[0])))
        main.__dict__["__file__"] = os.path.abspath(arguments[0])
        with open(arguments[0], "rb") as script:
            exec(compile(script.read(), arguments[0], "exec"), main.__dict__)


if __name__ == "__main__":
    to_run = serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    if to_run is not None:
        end_with(to_run)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
