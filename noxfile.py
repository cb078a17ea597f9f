"""Sessions for developers: `nox` runs the checks and the tests, `nox -s lint` one of them."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "tests", "examples", "docs"]
nox.options.default_venv_backend = "venv"

INSTALL = ("-c", "constraints.txt", "-e", ".[test]")


@nox.session
def lint(session: nox.Session) -> None:
    session.install("-c", "constraints.txt", "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    session.install(*INSTALL)
    session.run("mypy")


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    session.install(*INSTALL)
    session.run("python", "-m", "pytest", *session.posargs, env={"HF_HUB_OFFLINE": "1"})


@nox.session
def docs(session: nox.Session) -> None:
    session.install("-c", "constraints.txt", "-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    session.install(*INSTALL)
    session.run("python", "-m", "pytest", "example_suite", *session.posargs, env={"HF_HUB_OFFLINE": "1"})
