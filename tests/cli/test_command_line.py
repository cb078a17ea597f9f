"""The command line of `llmcompare`: help, and what is wrong with a command that cannot be understood."""

from __future__ import annotations

import pytest

from pytest_llmcompare.cli.main import COMMANDS, main

from .projects import Project


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_help_of_each_command(project: Project, name: str) -> None:
    """A sentence, the options, an example that begins with the command."""
    code, out, err = project.run(name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: llmcompare {name} ")
    assert f"  Example: llmcompare {name} " in out
    assert "-h, --help" in out


def test_help_lists_the_commands(project: Project) -> None:
    """In the order of a review, with whole sentences."""
    out = project.run("-h").out
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines() if line.endswith(".")]
    assert listed == [command.name for command in COMMANDS]
    assert "..." not in out.partition("Commands:")[2]


def test_without_a_command(project: Project) -> None:
    """The help, and success."""
    assert project.run() == project.run("--help")


def test_version(project: Project) -> None:
    """The name of the distribution and its version."""
    assert project.run("--version").out.startswith("pytest-llmcompare ")


@pytest.mark.parametrize(
    ("arguments", "message", "helped"),
    [
        (["revew"], "there is no command 'revew'. Did you mean 'review'?", "llmcompare"),
        (["prune"], "there is no command 'prune'. Only pytest knows which rows", "llmcompare"),
        (["rename", "sky"], "Missing argument 'NEW'.", "llmcompare rename"),
        (["pending", "sky"], "Got unexpected extra argument (sky)", "llmcompare pending"),
    ],
)
def test_usage_errors(project: Project, arguments: list[str], message: str, helped: str) -> None:
    """Exit code 2, the reason, and where the help is."""
    code, out, err = project.run(*arguments)
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith(f"llmcompare: {message}")
    assert second == f"Usage and examples: {helped} --help"


def test_prune_is_an_option_of_pytest(project: Project) -> None:
    """Which rows a table has is known at collection only."""
    assert "To delete obsolete baselines: pytest --llm-prune\n" in project.run("prune").err


def test_the_nearest_option(project: Project) -> None:
    """A typing error in an option names the right one."""
    code, _, err = project.run("review", "--no-brwser")
    assert (code, "--no-browser" in err, "--no-brwser" in err) == (2, True, True)


@pytest.mark.parametrize(
    ("words", "place", "completed"), [("llmcompare re", 1, "review"), ("llmcompare accept --a", 2, "--all")]
)
def test_shells_complete_commands_and_options(
    words: str, place: int, completed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By click's own protocol, as docs/reference/commands.md shows for each shell."""
    for name, value in {"_LLMCOMPARE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main([])
    assert f"plain,{completed}" in capsys.readouterr().out.split()
