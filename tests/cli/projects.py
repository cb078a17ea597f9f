"""A project with baselines and pending outputs, and the command run in it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.pending import Entry, PendingFile
from pytest_llmcompare.cli.main import main
from pytest_llmcompare.cli.review_state import Review
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import Baseline, CaseKey, GroupKey
from tests.unit.baselines.samples import baseline

GROUP = GroupKey("tests", "trivia", "tiny")
DRIFTED = Judgement(Verdict.DRIFTED, 1, 2, " Blue", " Red", margin=1.5, tolerance=0.001, mismatches=1)
OTHER = Judgement(Verdict.DRIFTED, 1, 2, " Blue", " Green", margin=0.5)
OTHER_MODEL = GroupKey("tests", "trivia", "small")
MISSING = Judgement(Verdict.MISSING, reason="no baseline is recorded for this case")


class Result(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


class Project:
    """A project.

    Attributes:
        root: pytest's root folder.
        file: Its pending file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = PendingFile(root)

    def record(self, *baselines: Baseline, group: GroupKey = GROUP) -> None:
        """Write baselines."""
        (self.root / group.folder).mkdir(exist_ok=True)
        store.update(self.root, group, baselines)

    def entry(
        self, new: Baseline, judgement: Judgement = DRIFTED, group: GroupKey = GROUP, *, old: str | None = None
    ) -> Entry:
        """An output compared with the baseline that is there now."""
        fingerprint, text = store.fingerprints(self.root, group).get(new.row, ("", None))
        return Entry(
            CaseKey(group, new.row.prompt_id, new.row.variant),
            f"tests/test_{group.table}.py::test_{group.table}[{group.model}-{new.row}]",
            run="0123456789abcdef",
            commit="",
            old=fingerprint if old is None else old,
            new=new,
            judgement=judgement,
            baseline=text,
            prompt="Q: What color is the sky?\nA:",
        )

    def pend(self, *entries: Entry) -> None:
        """Make outputs pending."""
        self.file.append(*entries)

    def drift(self, *prompt_ids: str, group: GroupKey = GROUP) -> None:
        """Record baselines, and make other outputs pending."""
        self.record(*(baseline(prompt_id) for prompt_id in prompt_ids), group=group)
        self.pend(*(self.entry(baseline(prompt_id, " Red."), group=group) for prompt_id in prompt_ids))

    def pending(self) -> set[str]:
        """Names of the pending cases."""
        return {str(key) for key in self.file.read().entries}

    def texts(self, group: GroupKey = GROUP) -> dict[str, str]:
        """Text of each baseline."""
        return {str(row): one.generation.text for row, one in store.load(self.root, group).baselines.items()}

    def stored(self) -> dict[str, bytes]:
        """All files but the pending one, by path."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".llmcompare" not in path.parts
        }

    def run(self, *arguments: str) -> Result:
        """Run the command in this process."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                code = main(arguments)
            except SystemExit as exit_:  # click exits itself if the reader of the output has gone
                code = int(exit_.code or 0)
        return Result(code, out.getvalue(), err.getvalue())


def review_of(project: Project) -> Review:
    """A review of five outputs: two drifts of the same change, one of another, one of another model, a missing case."""
    project.record(*(baseline(name) for name in "abc"))
    project.record(baseline("a"), group=OTHER_MODEL)
    project.pend(
        project.entry(baseline("a", " Red.")),
        project.entry(baseline("b", " Green."), OTHER),
        project.entry(baseline("a", " Red."), group=OTHER_MODEL),
        project.entry(baseline("d", " Red."), MISSING),
        project.entry(baseline("c", " Red.")),
    )
    return Review(project.file.read().entries.values())
