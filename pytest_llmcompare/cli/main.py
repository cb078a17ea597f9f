"""The `llmcompare` command: its list of commands, its exit codes, its error messages."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import click

from pytest_llmcompare.errors import LlmCompareError, UsageError, did_you_mean

from .accept import accept, reject
from .cache import cache
from .check import check
from .copy import copy
from .history import history
from .init import init
from .models import models
from .pending import pending
from .rename import rename
from .report import report
from .review import review

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

COMMANDS: Sequence[click.Command] = (
    init,
    review,
    pending,
    accept,
    reject,
    copy,
    rename,
    check,
    report,
    history,
    models,
    cache,
)
"""All commands, in the order in which the help lists them."""

for _command in COMMANDS:  # a command keeps the help option of the first context that asks for it
    _command.context_settings.update(HELP_OPTIONS)

ELSEWHERE = {"prune": "Only pytest knows which rows the tables have. To delete obsolete baselines: pytest --llm-prune"}
"""Where to find commands that one may look for here."""


class CommandGroup(click.Group):
    """A group that lists its commands in the order given and suggests the nearest name for an unknown one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order in which they were added."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with.

        Raises:
            click.UsageError: There is no such command.
        """
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            hint = f" {ELSEWHERE[name]}" if name in ELSEWHERE else did_you_mean(name, self.commands)
            ctx.fail(f"there is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=CommandGroup,
    commands={str(command.name): command for command in COMMANDS},
    context_settings=HELP_OPTIONS,
    invoke_without_command=True,  # `no_args_is_help` exits with 0 or 2, depending on click's version
    epilog="Help for one of them: llmcompare accept --help",
)
@click.version_option(package_name="pytest-llmcompare", message="pytest-llmcompare %(version)s")
@click.pass_context
def llmcompare(ctx: click.Context) -> int:
    """Start a suite, and accept or reject what pytest-llmcompare found, without running a model again."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The command line without the program's name; `sys.argv` if None.

    Returns:
        The exit code: 0 for success, 1 if something is wrong or could not be done, 2 for a usage error, 130 after
        Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # model outputs are printed in any locale
    try:
        code: int = llmcompare.main(
            args=arguments, prog_name="llmcompare", standalone_mode=False, windows_expand_args=False
        )
    except LlmCompareError as error:
        print(f"llmcompare: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except click.ClickException as error:
        print(f"llmcompare: {error.format_message()}", file=sys.stderr)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            print(f"Usage and examples: {error.ctx.command_path} --help", file=sys.stderr)
        return error.exit_code
    except click.Abort:
        return 130  # as shells report an end by Ctrl-C
    return code


if __name__ == "__main__":
    sys.exit(main())
