"""Both files of a group together: the baselines in them, and their new content when baselines change."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum

from pytest_llmcompare.comparison.environments import NOISE, without_noise
from pytest_llmcompare.comparison.judge import prompt_change
from pytest_llmcompare.comparison.noise import likelihood_drift, stored_band
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Baseline, GroupKey, RowKey
from pytest_llmcompare.text import count, digest

from . import file_format
from .case_lines import prompt_of, record_of, written
from .document import CaseRecord, Document, LineFault, shown_case, sort_key
from .tokens import TokenLine, Tokens, format_token_line, reads_otherwise, renamed

_ANEW = "To write it anew: pytest --llm-update-all"
_UNENDED = "the file has no line break at its end, so it may have been cut off."
_WAYS_OUT = "If an editor has removed it, put it back: echo >> {}\nElse restore the file"


class Change(Enum):
    """Effect of an update on a baseline."""

    ADDED = "added"
    CHANGED = "changed"
    REFRESHED = "refreshed"
    UNCHANGED = "unchanged"


class Contents:
    """The baselines of a group with their lines in both files.

    A baseline that is the same as before keeps its lines byte for byte, in both files.

    Attributes:
        document: The parsed baseline file.
        baselines: The usable baselines, by row.
        warnings: What is wrong with the tokens file, and what a merge left open.
        warnings_elsewhere: The same for a file that does not lie beside the tests, where nothing can be restored.
    """

    def __init__(self, document: Document, tokens: Tokens, source: str) -> None:
        self.document = document
        self.baselines: dict[RowKey, Baseline] = {}
        self._newline = tokens.newline
        hashes = {name: document.environment_hash(name) for name in document.environments}
        lines = {
            row: line
            for row, record in document.records.items()
            if record.tokens is not None and (line := tokens.fitting(record, hashes.get(record.environment, "")))
        }
        self._moved = {document.records[row].environment for row, line in lines.items() if line.environment}
        self._used = Counter(record.environment for record in document.records.values() if record.environment)
        outdated = [
            row
            for row, line in lines.items()
            if (name := document.records[row].environment) in self._moved and line.environment != hashes.get(name)
        ]
        of_merge = [*_environment_warnings(document, source), *_outdated_warning(document, outdated, source)]
        for row in outdated:
            document.records[row] = written(document.records[row]._replace(environment=""))
        for row, record in document.records.items():
            self.baselines[row] = _baseline(record, lines.get(row), document)
        self._token_lines = {row: line.line for row, line in lines.items()}
        for row in self.rows - self._token_lines.keys():  # what does not fit now may fit after a merge is resolved
            unused = tokens.lines.get(sort_key(row))
            if unused:
                self._token_lines[row] = "\n".join(line.line for line in unused)
        self.warnings = (*of_merge, *tokens.warnings(can_restore=True))
        self.warnings_elsewhere = (*of_merge, *tokens.warnings(can_restore=False))

    @property
    def rows(self) -> set[RowKey]:
        """All rows in the file, those in conflict included."""
        return self.document.records.keys() | self.document.conflicts.keys()

    def put(self, baseline: Baseline, *, refresh: bool) -> Change:
        """Set a baseline; one that is the same as before changes nothing, unless `refresh` rewrites its facts.

        It also resolves a merge conflict of its case.
        """
        row = baseline.row
        old = self.baselines.get(row)
        same = old is not None and _is_same(old, baseline)
        if old is not None and same and (not refresh or _alike(old.generation, baseline.generation)):
            return Change.UNCHANGED
        record = record_of(baseline, self.document.environment_name(baseline.generation.environment))
        token_line = self._token_line(baseline, record.environment)
        if old is not None:
            before = self.document.records[row]
            if not record.comment and record.input_hash == before.input_hash:
                record = written(record._replace(comment=before.comment))
            stays = same and not _gains_noise(old.generation, baseline.generation)
            lines = (written(record._replace(comment=before.comment)).lines, token_line)
            if stays and lines == (before.lines, self._token_lines.get(row, "")):
                return Change.UNCHANGED
        known = row in self.document.records or row in self.document.conflicts
        change = Change.REFRESHED if same else Change.CHANGED if known else Change.ADDED
        self.remove([row])
        self.document.records[row] = record
        self.baselines[row] = baseline
        if token_line:
            self._token_lines[row] = token_line
        return change

    def fingerprint(self, row: RowKey) -> str:
        """16 hex digits that change with a case in the baseline file; empty if it is not there.

        The tokens file is left out, as it may be missing, and so are names of environments, as a merge changes them.
        """
        facts: tuple[object, ...]
        if row in self.document.conflicts:
            facts = (self.document.conflicts[row].lines,)
        elif row in self.document.records:
            record = self.document.records[row]
            environment = self.document.environments.get(record.environment, ())
            facts = (record.text, record.stop, record.input_hash, record.settings_hash, record.tokens, environment)
            facts += (record.prompt,) if record.prompt else ()
        else:
            return ""
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def is_at(self, baseline: Baseline, fingerprint: str, *, shifted: bool) -> bool:
        """True if a case still has this fingerprint, or already is the new baseline.

        Args:
            baseline: The new baseline.
            fingerprint: The fingerprint.
            shifted: Whether the new baseline differs by its log-probabilities.
        """
        return self.fingerprint(baseline.row) == fingerprint or self.says(baseline, shifted=shifted)

    def says(self, baseline: Baseline, *, shifted: bool) -> bool:
        """True if the file already holds this output as the baseline of the case."""
        old = self.baselines.get(baseline.row)
        return (
            old is not None and _is_same(old, baseline) and (not shifted or _alike(old.generation, baseline.generation))
        )

    def remove(self, rows: Iterable[RowKey]) -> None:
        """Remove rows."""
        for row in rows:
            self.document.records.pop(row, None)
            self.document.conflicts.pop(row, None)
            self.baselines.pop(row, None)
            self._token_lines.pop(row, None)

    def rename(self, old: RowKey, new: RowKey) -> None:
        """Give a case another name in both files, otherwise unchanged."""
        token_line = self._token_lines.pop(old, "")
        self.document.records[new] = written(self.document.records.pop(old)._replace(row=new))
        self.baselines[new] = dataclasses.replace(self.baselines.pop(old), row=new)
        if token_line:
            self._token_lines[new] = renamed(token_line, new)

    def keep_environment_name(self) -> None:
        """If all cases have moved to one new environment, give it the old one's name, so that their lines stay.

        Token lines get a hash of the environment: a merge may bring in cases that mean the old one by this name.
        """
        names = {record.environment for record in self.document.records.values()}
        if len(names) != 1 or not self._used or names & {"", *self._used} or self.document.conflicts:
            return
        (new,), old = names, self._used.most_common(1)[0][0]
        self.document.rename_environment(new, old)
        self._moved = {old}
        for row, record in self.document.records.items():
            self.document.records[row] = written(record._replace(environment=old))
            if row in self._token_lines:
                self._token_lines[row] = self._token_line(self.baselines[row], old)

    def _token_line(self, baseline: Baseline, environment: str) -> str:
        is_moved = environment in self._moved
        return format_token_line(baseline, self.document.environment_hash(environment) if is_moved else "")

    def text(self) -> str:
        """New text of the baseline file."""
        return file_format.dump(self.document)

    def tokens_text(self) -> str:
        """New text of the tokens file; empty if no tokens are known."""
        lines = [self._token_lines[row] for row in sorted(self._token_lines, key=sort_key)]
        return "".join([f"{line}\n" for line in lines]).replace("\n", self._newline)


def empty(group: GroupKey) -> Contents:
    """A group without baselines."""
    return Contents(Document(group.table, group.model), Tokens("", ""), "")


def read(text: str, tokens_text: str | None, source: str, tokens_source: str) -> Contents:
    """Read both files.

    Args:
        text: The baseline file.
        tokens_text: The tokens file, or None if there is none.
        source: Name of the baseline file for messages.
        tokens_source: Name of the tokens file for messages.

    Raises:
        BaselineError: The baseline file cannot be read. Faults of the tokens file are warnings.
    """
    document, tokens = file_format.parse(text, source), Tokens(tokens_text, tokens_source)
    if document.unended and not _is_whole(document, tokens):
        raise LineFault(document.unended, _UNENDED, _WAYS_OUT.format(shlex.quote(source))).error(source)
    return Contents(document, tokens, source)


def _is_whole(document: Document, tokens: Tokens) -> bool:
    """True if a file lacks nothing but the line break at its end.

    The tokens file has the hash of the last text, and no case that the file lacks.
    """
    last = max(document.records.values(), key=lambda record: record.number, default=None)
    if last is None or document.conflicts or not tokens.lines.keys() <= set(map(sort_key, document.records)):
        return False
    return any(line.text_hash == digest(last.text) for line in tokens.lines.get(sort_key(last.row), ()))


def _baseline(record: CaseRecord, line: TokenLine | None, document: Document) -> Baseline:
    generation = Generation(
        record.text,
        line.token_ids if line else None,
        line.logprobs if line else None,
        record.stop,
        document.environment(record.environment),
        as_read=line.as_read if line else None,
        prompt_shown=record.prompt,
    )
    return Baseline(record.row, generation, record.input_hash, record.settings_hash, prompt_of(record.comment))


def _alike(old: Generation, new: Generation) -> bool:
    """True if the facts of two equal outputs differ by no more than noise, which is no reason to change a file."""
    if old.prompt_shown != new.prompt_shown:
        return False
    if without_noise(old.environment) != without_noise(new.environment) or _gains_noise(old, new):
        return False
    band = stored_band(old.environment, new.environment)
    if reads_otherwise(new) or old.as_read is not None:
        return _near(old.as_read, new.as_read, band)
    return _near(old.logprobs, new.logprobs, band)


def _near(old: Sequence[float] | None, new: Sequence[float] | None, band: float) -> bool:
    """True if both are known and differ by no more than noise."""
    if old is None or new is None:
        return False
    moved = likelihood_drift(old, new, band)
    return moved is None or moved.is_noise


def _is_same(old: Baseline, new: Baseline) -> bool:
    """True if two baselines say the same, and a server that counts prompt tokens counted as many for both."""
    shown = (old.generation.prompt_shown, new.generation.prompt_shown)
    return _says(old) == _says(new) and not prompt_change(*shown)


def _gains_noise(old: Generation, new: Generation) -> bool:
    """True if noise was measured with the new output, and none with the old one."""
    return NOISE in dict(new.environment) and NOISE not in dict(old.environment)


def _says(baseline: Baseline) -> tuple[object, ...]:
    """The fields by which baselines are compared: neither the environment nor log-probabilities."""
    generation = baseline.generation
    return generation.text, generation.token_ids, generation.stop, baseline.input_hash, baseline.settings_hash


def _environment_warnings(document: Document, source: str) -> list[str]:
    """Warnings about environments that a merge left ambiguous or without a description."""
    missing = document.used_environments() - document.environments.keys() - {""}
    whats = [f"a merge left two environments named {name!r}" for name in document.ambiguous]
    whats += [f"no #env line describes environment {name!r}" for name in sorted(missing)]
    return [f"{source}: {what}; cases that refer to it are read without one. {_ANEW}" for what in whats]


def _outdated_warning(document: Document, outdated: Sequence[RowKey], source: str) -> list[str]:
    """A warning about cases from before their environment's name was given to another environment."""
    if not outdated:
        return []
    named = ", ".join(f"'{shown_case(row)}'" for row in outdated[:3]) + (", ..." if len(outdated) > 3 else "")
    names = " and ".join(sorted({repr(document.records[row].environment) for row in outdated}))
    what = f"a merge brought in {count(len(outdated), 'case')} from before environment {names} was replaced ({named})"
    return [f"{source}: {what}; {'it is' if len(outdated) == 1 else 'they are'} read without one. {_ANEW}"]
