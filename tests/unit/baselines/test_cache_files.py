"""Files of the answer cache: damaged, hostile, too large, written at once, carried elsewhere."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.baselines import answer_cache, cache_archive, cache_lines, content_digests, regular_file
from pytest_llmcompare.baselines.answer_cache import CacheFile
from pytest_llmcompare.baselines.cache_lines import (
    CachedAnswer,
    CachedModel,
    NoiseAndNotes,
    answer_line,
    model_line,
    noise_and_notes_line,
)
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.generation import Path as Along
from pytest_llmcompare.models import file_digests
from pytest_llmcompare.records import GroupKey
from tests.platforms import needs_fifo

GROUP = GroupKey("tests", "trivia", "tiny")
ALONG = Along((1, 2), (1, 2), (-0.5, -0.25), (0.0, 0.0), (1.0, 2.0), 9.0, "length")
ANSWER = Generation(" Blue\ud800\n", (1, 2), (-0.5, -0.25), "length", (("device", "cpu"),), path=ALONG)


def cached(row: str, answer: Generation = ANSWER) -> CachedAnswer:
    return CachedAnswer("model", row, {"prompt": row}, answer, "too long", " Blue", {1: "\ud800"})


@pytest.fixture
def file(tmp_path: Path) -> CacheFile:
    """A file with three answers."""
    file = CacheFile(tmp_path, GROUP)
    assert file.append([answer_line(cached(row)) for row in "abc"]) == ""
    return file


def test_answers_come_back_as_they_were(file: CacheFile) -> None:
    """Lone surrogates, the path along the draft, why a draft was not tried, pieces."""
    answer = file.read().answer(cached("a").key)
    assert answer == cached("a")
    assert answer is not None
    assert answer.generation.path == ALONG
    assert answer.generation.untried == "too long"
    assert file.read().answer("another key") is None


def test_a_line_that_was_cut_off_is_alone(file: CacheFile) -> None:
    """kill -9 in the middle of a write: nothing is said of the last line, and the next one begins on its own."""
    line = answer_line(cached("d"))
    whole = file.path.read_bytes()
    for cut in range(1, len(line), 97):
        file.path.write_bytes(whole + line[:cut])
        content = file.read()
        assert (len(content.answers), content.notes) == (3, [])
        assert file.append([line]) == ""
        assert len(file.read().answers) == 4


def test_every_changed_byte_is_seen(file: CacheFile) -> None:
    """Also where the line would still be JSON."""
    whole = file.path.read_bytes()
    for at in range(0, len(whole), 41):
        damaged = bytearray(whole)
        damaged[at] ^= 4
        file.path.write_bytes(damaged)
        answers = [file.read().answer(cached(row).key) for row in "abc"]
        assert all(answer in (None, cached(row)) for answer, row in zip(answers, "abc", strict=True))
        assert None in answers


def line(**fields: Any) -> bytes:
    """A line with a right checksum."""
    content = json.dumps({"v": 1, "at": time.time(), **fields}).encode()
    return f"{cache_lines._checksum(content)} ".encode() + content + b"\n"


HOSTILE = [
    line(v=2, answer="x"),
    line(v="1"),
    line(at="soon"),
    line(at=float("nan"), answer="x", row="a"),
    line(at=float("inf"), answer="x", row="a"),
    line(at=10**400, answer="x", row="a"),
    line(at=-(10**400), answer="x", row="a"),
    line(answer=3, row=[]),
    line(model="x", facts=[], place={}),
    line(model="x", facts={"a": 1}, place={}),
    line(model="x", facts={"a": "b"}, place={}),
    line(about=[], notes={}),
    line(about="x", notes=[]),
    line(about="x", notes={"a": 3}),
    line(about="x", noise="much", notes={}),
    b"[" * 5000 + b"\n",
    b"\xff\xfe\x00\n",
    b"\n",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_no_line_does_harm(file: CacheFile, hostile: bytes) -> None:
    """Wrong types, another version, nesting, no text: the others are used."""
    file.path.write_bytes(hostile + file.path.read_bytes())
    content = file.read()
    assert content.answer(cached("a").key) == cached("a")
    assert all(one.noise is None for one in content.noise_and_notes.values())


PATH = {"tokens": [1, 2], "choices": [1, 3], "logprobs": [-0.1, -2.0], "margins": [0.0, 1.0], "leads": [2.0, 1.0]}
"""A path along two tokens, of which the second is not what the model would choose."""


@pytest.mark.parametrize(
    "change",
    [
        {"generation": {"text": 3}},
        {"generation": {"text": "a", "token_ids": [1, 2], "logprobs": [0.1]}},
        {"generation": {"text": "a", "token_ids": ["x"]}},
        {"generation": []},
        {"parts": {"prompt": "b"}},
        {"model": "another"},
        {"decoded": None, "pieces": []},
        {"untried": None, "pieces": {"x": "y"}},
        {"generation": {"text": "a", "path": {**PATH, "margins": []}}},
        {"generation": {"text": "a", "path": {**PATH, "leads": [0.5]}}},
        {"generation": {"text": "a", "path": {**PATH, "unprocessed": [0.1] * 3}}},
    ],
)
def test_answers_of_wrong_types_are_not_used(tmp_path: Path, change: dict[str, Any]) -> None:
    """Nor one that stands under the key of another."""
    fields = json.loads(answer_line(cached("a")).partition(b" ")[2])
    file = CacheFile(tmp_path, GROUP)
    file.append([line(**{**fields, **change})])
    assert file.read().answer(cached("a").key) is None


def test_old_answers_are_not_used_and_go(file: CacheFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 30 days."""
    later = time.time() + answer_cache.MAX_AGE + 10
    content = file.read(later)
    assert content.answers == {}
    monkeypatch.setattr(time, "time", lambda: later)
    file.append([answer_line(cached("d"))], content.oldest)
    assert len(file.path.read_bytes().splitlines()) == 1


def test_files_are_bounded(file: CacheFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest answers stay; what is known about the model stays as long as its answers do."""
    monkeypatch.setattr(answer_cache, "LARGEST_FILE", 20_000)
    for number in range(60):
        file.append([answer_line(cached(str(number)))])
        assert file.path.stat().st_size <= 21_000
    assert file.read().answer(cached("59").key) is not None
    assert file.read().answer(cached("a").key) is None


def test_the_folder_is_bounded(file: CacheFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was written longest ago goes."""
    os.utime(file.path, (1000, 1000))
    monkeypatch.setattr(answer_cache, "LARGEST_FOLDER", file.path.stat().st_size)
    other = CacheFile(file.root, GroupKey("tests", "trivia", "other"))
    other.append([answer_line(cached("a"))])
    assert answer_cache.files_in(file.root) == [other.path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_cannot_be_written_is_a_sentence(file: CacheFile, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a read-only one, no permission: what was there stays."""

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    before = file.path.read_bytes()
    monkeypatch.setattr(regular_file, "open_to_append", fail)
    why = file.append([answer_line(cached("d"))])
    assert why == f"answers are not cached for the next run: {file.place} cannot be written: {os.strerror(code)}"
    assert file.path.read_bytes() == before


@needs_fifo
def test_a_pipe_in_the_place_of_a_file(file: CacheFile) -> None:
    """Reading it would never end."""
    file.path.unlink()
    os.mkfifo(file.path)
    assert "is ignored" in file.read().notes[0]
    assert "cannot be written" in file.append([answer_line(cached("d"))])


WRITER = """
import sys
from pathlib import Path
from pytest_llmcompare.baselines.answer_cache import CacheFile
from tests.unit.baselines.test_cache_files import GROUP, answer_line, cached

file = CacheFile(Path(sys.argv[1]), GROUP)
for number in range(100):
    assert file.append([answer_line(cached(f"{sys.argv[2]}-{number}"))]) == ""
"""


def test_runs_write_at_once_and_one_is_killed(tmp_path: Path) -> None:
    """Each line is whole, and the answers of the others are all there."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(number)], cwd=Path(__file__).parents[3])
        for number in range(3)
    ]
    file = CacheFile(tmp_path, GROUP)
    end = time.monotonic() + 60
    while not file.path.exists() and time.monotonic() < end:
        time.sleep(0.01)
    writers[0].kill()
    assert [writer.wait(timeout=60) for writer in writers][1:] == [0, 0]
    content = file.read()
    assert all(content.answer(cached(f"{writer}-{number}").key) for writer in (1, 2) for number in range(100))


def test_archives_carry_answers(file: CacheFile, tmp_path: Path) -> None:
    """Lines that are there already are added once; damaged ones are left out."""
    archive, elsewhere = tmp_path / "answers.zip", tmp_path / "elsewhere"
    elsewhere.mkdir()
    file.path.write_bytes(file.path.read_bytes() + b"damaged\n")
    assert cache_archive.export_answers(tmp_path, archive) == 1
    assert cache_archive.import_answers(elsewhere, archive) == (3, 1)
    assert cache_archive.import_answers(elsewhere, archive) == (0, 1)
    assert CacheFile(elsewhere, GROUP).read().answer(cached("a").key) == cached("a")
    assert answer_cache.clear(elsewhere) == 1
    assert list(elsewhere.iterdir()) == []
    with pytest.raises(BaselineError, match="holds no answers"):
        cache_archive.export_answers(elsewhere, archive)


@pytest.mark.parametrize(
    "name", ["../0123456789abcdef.jsonl", "/tmp/0123456789abcdef.jsonl", "digests.json", "0123456789abcdef.jsonl/x"]
)
def test_archives_with_other_names_are_refused(tmp_path: Path, name: str) -> None:
    """Nothing is written anywhere."""
    archive, root = tmp_path / "answers.zip", tmp_path / "root"
    root.mkdir()
    with zipfile.ZipFile(archive, "w") as writing:
        writing.writestr("fedcba9876543210.jsonl", answer_line(cached("a")))
        writing.writestr(name, answer_line(cached("b")))
    with pytest.raises(BaselineError, match="not a file of an answer cache"):
        cache_archive.import_answers(root, archive)
    assert list(root.iterdir()) == []


def test_archives_that_are_too_large_or_none_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they are unpacked."""
    archive = tmp_path / "answers.zip"
    archive.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(BaselineError, match="cannot be read as an archive"):
        cache_archive.import_answers(tmp_path, archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writing:
        writing.writestr("fedcba9876543210.jsonl", b"0" * 300_000)
    monkeypatch.setattr(cache_archive, "LARGEST_FILE", 100_000)
    with pytest.raises(BaselineError, match="expected at most"):
        cache_archive.import_answers(tmp_path, archive)


def test_facts_of_a_model_come_back(tmp_path: Path) -> None:
    """Noise and notes of several runs are put together."""
    file, facts = CacheFile(tmp_path, GROUP), {"weights": "abc"}
    key = cache_lines.key_of(facts)
    file.append([model_line(key, CachedModel(facts, {"processor": "x"}), GROUP)])
    file.append([noise_and_notes_line(key, NoiseAndNotes(1e-7, has_noise=True, notes={"a": ["one"]}))])
    file.append([noise_and_notes_line(key, NoiseAndNotes(notes={"b": ["two"]}))])
    content = file.read()
    assert content.models == {key: [CachedModel(facts, {"processor": "x"})]}
    assert content.noise_and_notes == {key: NoiseAndNotes(1e-7, has_noise=True, notes={"a": ["one"], "b": ["two"]})}
    assert answer_cache.group_in(file.path) == ("tests / trivia / tiny", 0)


def test_digests_of_large_files_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that did not change is not read again; one that changed is, whatever its times say."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"1" * (2 << 20))
    reads: list[Path] = []
    read = file_digests._read_digest

    def counted(path: Path) -> str:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(file_digests, "_read_digest", counted)
    monkeypatch.setattr(file_digests, "known_digests", {})
    monkeypatch.setattr(content_digests, "known_digests", file_digests.known_digests)
    digest = file_digests.content_digest(path)
    content_digests.save_digests(tmp_path)
    assert not (tmp_path / ".llmcompare").exists()  # it changed a moment ago
    monkeypatch.setattr(content_digests, "SETTLED", 0)
    content_digests.save_digests(tmp_path)
    file_digests.known_digests.clear()
    content_digests.load_digests(tmp_path)
    assert file_digests.content_digest(path) == digest
    assert len(reads) == 1
    times = path.stat()
    path.write_bytes(b"2" * (2 << 20))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file_digests.content_digest(path) != digest


def test_large_files_are_read_ahead_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread reads large files; their digests are those of `sha256sum`, also where a file is gone or comes late."""
    large, small, gone = tmp_path / "large", tmp_path / "small", tmp_path / "gone"
    large.write_bytes(b"1" * (5 << 20))
    small.write_bytes(b"2")
    gone.write_bytes(b"3" * (2 << 20))
    reads: list[str] = []
    read = file_digests._read_digest

    def counted(path: Path) -> str:
        reads.append(threading.current_thread().name)
        return read(path)

    monkeypatch.setattr(file_digests, "_read_digest", counted)
    monkeypatch.setattr(file_digests, "known_digests", {})
    file_digests.read_ahead([large, small, tmp_path / "missing"])
    file_digests.read_ahead([large])
    assert file_digests.content_digest(large) == hashlib.sha256(large.read_bytes()).hexdigest()
    assert file_digests.content_digest(large) == hashlib.sha256(large.read_bytes()).hexdigest()
    assert reads == ["llmcompare-fingerprint"]
    file_digests.read_ahead([large])
    assert reads == ["llmcompare-fingerprint"]
    assert file_digests.content_digest(small) == hashlib.sha256(b"2").hexdigest()
    file_digests.read_ahead([gone])
    gone.unlink()
    with pytest.raises(FileNotFoundError):
        file_digests.content_digest(gone)


@pytest.mark.parametrize(
    "damage", ["", "[]", "{", '{"a": 3}', '{"a": [1, 2, 3, 4, 5, "x"]}', "[" * 10_000, '{"a": []}']
)
def test_damaged_digests_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """Nothing is taken in, and nothing raised."""
    known: dict[str, object] = {}
    monkeypatch.setattr(content_digests, "known_digests", known)
    place = tmp_path / ".llmcompare" / "answers" / content_digests.NAME
    place.parent.mkdir(parents=True)
    place.write_text(damage)
    content_digests.load_digests(tmp_path)
    assert known == {}
