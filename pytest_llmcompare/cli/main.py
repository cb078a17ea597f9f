"""The `llmcompare` command: what one wants to know and to settle outside of a pytest run."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from importlib.metadata import version

from pytest_llmcompare.errors import LlmCompareError, UsageError

from . import accept, check, copy, models, pending, prune, reject, rename, report, review

COMMANDS = (review, pending, accept, reject, copy, rename, prune, check, report, models)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 where all is well, 1 where something is not, 2 for a command that cannot be understood or done here, 130
        after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # outputs of models are shown in any locale
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except LlmCompareError as error:
        print(f"llmcompare: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130  # as shells count an end by Ctrl-C
    except BrokenPipeError:  # the reader has seen enough: `llmcompare pending | head`
        sys.stderr.close()
        return 1
    return code


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(
        prog="llmcompare", description="Settle what pytest-llmcompare found, without running a model again."
    )
    whole.add_argument("--version", action="version", version=f"pytest-llmcompare {version('pytest-llmcompare')}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return whole


if __name__ == "__main__":
    sys.exit(main())
