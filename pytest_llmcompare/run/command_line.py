"""The pytest command of a run, so that users can repeat it with further options."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.models.uris import join_specs
from pytest_llmcompare.settings import COMMAND_LINE, FILES, Settings
from pytest_llmcompare.text import source_without_secrets

if TYPE_CHECKING:
    import pytest


class CommandLine:
    """The pytest command of a run.

    Args:
        config: pytest's configuration.
        settings: Settings of the run.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings

    def command(self, *options: str) -> str:
        """The command that compares the same models with baselines in files, with further options."""
        models = join_specs([source_without_secrets(text) for text in self.settings.models])
        named = [f"--llm-models={text}" for text in models] if self.settings.models_are_asked_for else []
        given = [name for name in ("device", "dtype") if self.settings.origins.get(name) == COMMAND_LINE]
        decisive = [f"--llm-{name}={getattr(self.settings, name)}" for name in given]  # for what the model says
        elsewhere = self.settings.baseline != FILES
        if elsewhere or self.settings.origins.get("baseline") == COMMAND_LINE:  # what that overrides may be elsewhere
            decisive.append(f"--llm-baseline={FILES}")
        return shlex.join(["pytest", *named, *decisive, *options])

    def repeated(self) -> str:
        """The command that also selects the same tests, by paths, `-k` and `-m`."""
        chosen = {"-k": self.config.option.keyword, "-m": self.config.option.markexpr}
        given = [text for name, value in chosen.items() if value for text in (name, value)]
        asked = self.config.args_source is self.config.ArgsSource.ARGS
        return self.command(*given, *(self.config.args if asked else ()))

    def accepting(self, nodeid: str) -> str:
        """The command that accepts a test's output as its baseline, relative to the folder pytest was started in."""
        path, colons, test = nodeid.partition("::")
        here = os.path.relpath(self.config.rootpath / path, self.config.invocation_params.dir)
        return self.command("--llm-update", f"{Path(here).as_posix()}{colons}{test}")
