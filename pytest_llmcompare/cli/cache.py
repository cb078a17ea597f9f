"""`llmcompare cache`: show, delete, export and import cached answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from pytest_llmcompare.baselines import answer_cache, cache_archive
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.text import count, disarm

from .project_root import pending_root, root_option, shown_path

T = TypeVar("T")


@click.group(invoke_without_command=True, epilog="Example: llmcompare cache export answers.zip")
@click.pass_context
def cache(ctx: click.Context) -> int:
    """Show the answer cache, or delete, export or import it.

    The cache holds the answers of models that did not change, so that they are not asked again. Without a command, it
    is shown.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(show, root=None)
    return 0


@cache.command()
@root_option
def show(root: str | None) -> int:
    """Show which tables and models have answers in the cache, and how large it is."""
    folder = pending_root(root)
    paths = answer_cache.files_in(folder)
    size = 0
    for path in paths:
        try:
            name, answers = answer_cache.group_in(path)
        except OSError as error:
            print(disarm(f"{path.name}: cannot be read: {error.strerror or error}"))
            continue
        size += path.stat().st_size
        print(disarm(f"{name}: {count(answers, 'answer')}"))
    place = shown_path(answer_cache.folder_of(folder))
    print(f"{place}: {count(len(paths), 'file')}, {size / 2**20:,.1f} MiB")
    return 0


@cache.command()
@root_option
def clear(root: str | None) -> int:
    """Delete all cached answers. The next run asks the models."""
    folder = pending_root(root)
    place = shown_path(answer_cache.folder_of(folder))
    print(f"{count(_guarded(place, lambda: answer_cache.clear(folder)), 'file')} deleted in {place}")
    return 0


@cache.command("export")
@click.argument("file", metavar="FILE")
@root_option
def export_(file: str, root: str | None) -> int:
    """Write the cache to a zip archive, to import it elsewhere."""
    folder = pending_root(root)
    files = _guarded(file, lambda: cache_archive.export_answers(folder, Path(file)))
    print(disarm(f"{count(files, 'file')} written to {file}"))
    return 0


@cache.command("import")
@click.argument("file", metavar="FILE")
@root_option
def import_(file: str, root: str | None) -> int:
    """Add the answers in an archive to the cache.

    Damaged lines and those of other versions are left out. An answer is used only for the same model, prompt and
    settings, and with the same libraries and kernels.
    """
    folder = pending_root(root)
    added, left_out = _guarded(file, lambda: cache_archive.import_answers(folder, Path(file)))
    rest = f", {left_out:,} left out: damaged, or of another version" if left_out else ""
    print(f"{count(added, 'line')} added{rest}")
    return 0


def _guarded(place: str, work: Callable[[], T]) -> T:
    """Do something with files.

    Raises:
        BaselineError: They cannot be read or written.
    """
    try:
        return work()
    except TimeoutError:
        raise BaselineError(f"{place}: another run has kept the answer cache locked. Wait for it, or end it.") from None
    except OSError as error:
        raise BaselineError(f"{place}: {error.strerror or error}.") from None
