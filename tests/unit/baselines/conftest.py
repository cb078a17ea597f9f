"""A project to run commands in, as the tests of the commands have."""

from __future__ import annotations

from tests.cli.conftest import project

__all__ = ["project"]
