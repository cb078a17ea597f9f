"""Sessions for developers: `nox` runs the checks and the tests, `nox -s lint` one of them."""

from __future__ import annotations

import re
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "examples", "docs"]
nox.options.default_venv_backend = "venv"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
INSTALL = ("-c", "constraints.txt", "-e", ".[test]")
OFFLINE = {"HF_HUB_OFFLINE": "1"}
LOWEST_OF_OTHERS = ["sqlalchemy<2.1"]
"""Limits that the lowest MLflow needs and does not declare."""


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format."""
    session.install("-c", "constraints.txt", "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict, over package and tests."""
    session.install(*INSTALL)
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, with the versions of constraints.txt."""
    session.install(*INSTALL)
    session.run("python", "-m", "pytest", *session.posargs, env=OFFLINE)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The tests on the oldest Python, with the lowest versions that pyproject.toml allows."""
    path = Path(session.create_tmp()) / "lowest.txt"
    path.write_text("\n".join([*lowest_versions(), *LOWEST_OF_OTHERS]), encoding="utf-8")
    session.install("-c", str(path), "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs, env=OFFLINE)


@nox.session(python=PYTHONS[-1])
def newest(session: nox.Session) -> None:
    """The tests on the newest Python, with the newest versions of everything."""
    session.install("--upgrade", "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs, env=OFFLINE)


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests, and which lines of the package they do not run."""
    session.install(*INSTALL)
    session.run("python", "-m", "pytest", "--cov", "--cov-report=", *session.posargs, env=OFFLINE)
    session.run("coverage", "report")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, into `site/`; a warning is an error."""
    session.install("-c", "constraints.txt", "-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """The example suite, as a user runs it."""
    session.install(*INSTALL)
    session.run("python", "-m", "pytest", "example_suite", *session.posargs, env=OFFLINE)


def lowest_versions() -> list[str]:
    """The lower bounds of our direct dependencies, as pins."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    bounds = [re.match(r"([\w.-]+)>=([\w.]+)", text) for text in project["dependencies"]]
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]
