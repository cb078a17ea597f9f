"""Functions of the user's project that check an output: `python: module.function`."""

from __future__ import annotations

import importlib
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_llmcompare.errors import nearest_hint
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Case
from pytest_llmcompare.text import cut

from .cells import WantedError

LONGEST = 160  # columns of what a function raised or returned
FORM = "expected module.function, such as checks.is_polite"


def read_function(name: str, folder: Path, root: Path) -> Callable[[Generation, Case], str]:
    """Find a function, and make a check of it.

    It is called with the output, and with the case if it takes two arguments. It holds unless it returns False or
    raises. Only modules of the project are imported: a table from elsewhere cannot name `os.system`.

    Args:
        name: Module and function, with dots.
        folder: Folder of the test file, where modules are looked for first.
        root: pytest's root folder.

    Raises:
        WantedError: There is no such function in the project, or it cannot be called with an output.
    """
    module_name, dot, function_name = name.rpartition(".")
    if not dot or not all(part.isidentifier() for part in name.split(".")):
        raise WantedError(FORM)
    module = _module(module_name, folder, root)
    function = getattr(module, function_name, None)
    if not callable(function):
        near = nearest_hint(function_name, [known for known, value in vars(module).items() if callable(value)])
        raise WantedError(f"module {module_name} has no function {function_name!r}.{near}")
    takes_case = _takes_case(function, function_name)

    def check(output: Generation, case: Case) -> str:
        try:
            result = function(output, case) if takes_case else function(output)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # `pytest.fail` raises no Exception
            return _raised(error)
        return "" if result is None or result is True else _returned(result)

    return check


def _module(name: str, folder: Path, root: Path) -> ModuleType:
    with _first_on_path(folder, root):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and (name == error.name or name.startswith(f"{error.name}.")):
                raise WantedError(f"no module {name} in {folder} or {root}") from None
            raise WantedError(f"module {name} cannot be imported: {error}") from None
        except Exception as error:
            raise WantedError(f"module {name} cannot be imported: {type(error).__name__}: {_short(error)}") from None
    file = getattr(module, "__file__", None)
    if not file or not Path(file).resolve().is_relative_to(root.resolve()) or "site-packages" in Path(file).parts:
        raise WantedError(f"module {name} is not in {root}; write a function of your own that calls it")
    beside = folder.joinpath(*name.split(".")).with_suffix(".py")
    if beside.is_file() and beside.resolve() != Path(file).resolve():
        raise WantedError(f"module {name} is {file} already, so {beside} cannot be imported. Rename one of them")
    return module


@contextmanager
def _first_on_path(*folders: Path) -> Iterator[None]:
    before = [*sys.path]
    sys.path[:0] = [str(folder) for folder in folders]
    try:
        yield
    finally:
        sys.path[:] = before


def _takes_case(function: Any, name: str) -> bool:
    """True if a function takes the case as its second argument."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise WantedError(f"{name} is a coroutine or generator, expected a plain function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False
    for arguments in (("output",), ("output", "case")):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) > 1
    raise WantedError(f"{name}{signature} cannot be called with an output, or an output and its case")


def _raised(error: BaseException) -> str:
    """What a function raised; of an `assert` without a message its line."""
    text = _short(error)
    if not text and (frames := traceback.extract_tb(error.__traceback__)):
        text = cut(linecache.getline(frames[-1].filename, frames[-1].lineno or 0).strip(), LONGEST)
    return f"raised {type(error).__name__}{text and f': {text}'}"


def _returned(result: object) -> str:
    return "returned False" if result is False else f"returned {_short(repr(result))}, expected True, False or None"


def _short(value: object) -> str:
    return cut(" ".join(str(value).split()), LONGEST)
