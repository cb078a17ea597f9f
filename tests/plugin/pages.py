"""Pages of the documentation, carried out: their files written, their commands run, what they show looked for."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest
from mlflow.tracking import fluent

from pytest_llmcompare.cli.main import main
from tests.stores import in_force
from tests.test_docs import Block, read_blocks

from .suites import Suite

DOCS = Path(__file__).parents[2] / "docs"
FILE = re.compile(r"`([\w.]+\.(?:py|csv|jsonl?|toml|yaml|quiz))`[^`]*$")
"""How the line before a block names the file that the block is."""

PREPARATION = ("python -m pip install", "mkdir ")
"""How commands begin that were carried out before: this environment is made so, and the models are in the folder."""


def blocks_of(name: str) -> list[Block]:
    """The code blocks of a page."""
    return read_blocks((DOCS / name).read_text(encoding="utf-8"))


class Reader:
    """Somebody who does what a page says, from its beginning to its end, in one folder.

    Attributes:
        suite: The folder.
        said: What the commands of the last block said.
        statuses: How each command ended.
    """

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.said = ""
        self.statuses: list[int] = []
        (suite.path / "models").symlink_to(suite.models, target_is_directory=True)

    def follow(self, blocks: Sequence[Block]) -> None:
        """Carry out the blocks; a block of text must be in what the last command said, line by line."""
        for block in blocks:
            if block.language == "bash":
                self.said = "".join(map(self.run, commands(block)))
            elif block.language == "text":
                self.look_for(block.text)
            elif named := FILE.search(block.before):
                (self.suite.path / named[1]).write_text(block.text, encoding="utf-8")

    def run(self, command: str) -> str:
        """Run a command; what it says."""
        program, *arguments = shlex.split(command, comments=True)
        if program == "pytest":
            result = self.suite.run(*arguments, models=[])
            self.statuses.append(int(result.ret))
            return f"{result.stdout.str()}\n{result.stderr.str()}\n"
        if program == "cp":
            shutil.copy(*(self.suite.path / argument for argument in arguments))
            return ""
        if program == "cat":
            return (self.suite.path / arguments[0]).read_text(encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            self.statuses.append(self.status(program, arguments))
        return out.getvalue()

    def status(self, program: str, arguments: Sequence[str]) -> int:
        """Run one of our commands, or a script, in this process."""
        if program == "llmcompare":
            return main(arguments)
        assert program == "python", program
        with in_force(f"sqlite:///{self.suite.path / 'mlflow.db'}"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(fluent, "_active_experiment_id", None)  # which scripts may set, here and in the environment
            patch.setenv("MLFLOW_EXPERIMENT_ID", "")
            patch.delenv("MLFLOW_EXPERIMENT_ID")
            try:
                runpy.run_path(arguments[0])
            except Exception:
                traceback.print_exc()
                return 1
        return 0

    def look_for(self, text: str) -> None:
        """See that lines stand in what was said, in this order; `…` is for what differs from machine to machine."""
        said = iter(line.strip() for line in self.said.splitlines())
        for line in filter(None, map(str.strip, text.splitlines())):
            pattern = ".*".join(map(re.escape, line.split("…")))
            assert any(re.fullmatch(pattern, given) for given in said), f"not said: {line}\n\n{self.said}"


def commands(block: Block) -> list[str]:
    """The commands of a shell block that are to be run."""
    lines = [line.strip() for line in block.text.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", *PREPARATION))]
