"""Durable writing: the old file or the new one, whole, whatever fails."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path

import pytest

from protonqa import durable
from protonqa.errors import StoreError
from protonqa.files.atomic import (
    MANIFEST_NAME,
    atomic_path,
    check_manifest,
    read_manifest,
    write_bytes_atomic,
    write_manifest,
    write_text_atomic,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class FailingDisk:
    """Fails the n-th operation of the kinds that touch the disk, with ENOSPC."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int, number: int = errno.ENOSPC) -> None:
        self.count, self.fail_at, self.number = 0, fail_at, number
        for owner, name in ((os, "fsync"), (os, "open"), (Path, "open"), (Path, "replace"), (Path, "mkdir")):
            monkeypatch.setattr(owner, name, self.guard(getattr(owner, name)))

    def guard(self, operation):
        def guarded(*args, **keywords):
            self.count += 1
            if self.count == self.fail_at:
                raise OSError(self.number, os.strerror(self.number))
            return operation(*args, **keywords)

        return guarded


def test_written_bytes_read_back_and_leave_nothing_else(tmp_path):
    path = tmp_path / "new" / "folder" / "a.bin"
    write_bytes_atomic(path, b"\x00\x01\r\n")
    assert path.read_bytes() == b"\x00\x01\r\n"
    write_text_atomic(path, "Größe\n")
    assert path.read_bytes() == "Größe\n".encode()
    assert names(path.parent) == ["a.bin"]


def test_a_full_disk_at_any_step_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "patient_smith" / "result.json"
    write_text_atomic(path, "old")
    with pytest.MonkeyPatch.context() as clean:
        steps = FailingDisk(clean, fail_at=0)
        write_text_atomic(path, "old")
    assert steps.count >= 5
    for step in range(1, steps.count + 1):
        with pytest.MonkeyPatch.context() as patch:
            FailingDisk(patch, fail_at=step)
            with pytest.raises(StoreError) as caught:
                write_text_atomic(path, "new", label="result")
        # Only the last steps, which flush the folder after the replacement, may already show the new file.
        assert path.read_text() == ("old" if step < steps.count - 1 else "new")
        assert names(path.parent) == ["result.json"]
        line = caught.value.line()
        assert "No space left" in line
        assert "free space" in line
        assert "\n" not in line
        assert "smith" not in line


def test_a_stream_that_fills_up_half_way_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("old")

    class Full(io.FileIO):
        written = 0

        def write(self, content):
            type(self).written += len(content)
            if type(self).written > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(content)

    def fill():
        with atomic_path(path, label="table") as temporary, Full(temporary, "wb") as stream:
            for _ in range(100):
                stream.write(b"x" * 100)

    with pytest.raises(StoreError, match="step 'write'"):
        fill()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.csv"]


def test_an_error_or_cancel_of_the_block_passes_through_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def stop(error):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    for error in (ValueError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            stop(error)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_windows_sharing_violation_is_waited_for_and_then_reported(tmp_path, monkeypatch):
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_text("new")
    busy = OSError(errno.EACCES, "in use")
    busy.winerror = 32
    answers = [busy, busy, None]
    real = Path.replace

    def replace(self, other):
        if (answer := answers.pop(0)) is not None:
            raise answer
        return real(self, other)

    monkeypatch.setattr(Path, "replace", replace)
    waits: list[float] = []
    durable.replace(source, target, wait=waits.append)
    assert target.read_text() == "new"
    assert waits == [0.02, 0.04]

    answers[:] = [busy] * 10
    clock = iter([0.0, 1.0, 4.0, 6.0])
    with pytest.raises(OSError, match="in use"):
        durable.replace(source, target, clock=lambda: next(clock), wait=waits.append)


def test_a_read_only_folder_and_a_folder_in_the_way_are_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="choose a folder"):
        write_text_atomic(tmp_path / "file" / "a.txt", "x")
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreError, match="step 'replace'"):
        write_text_atomic(tmp_path / "taken", "x")
    assert names(tmp_path) == ["file", "taken"]


def test_a_folder_without_fsync_is_no_error_but_a_broken_disk_is(tmp_path, monkeypatch):
    def fsync(handle, number=errno.EINVAL):
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", fsync)
    durable.sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda h: fsync(h, errno.EIO))
    with pytest.raises(OSError, match="no"):
        durable.sync_folder(tmp_path)


def test_manifest_lists_every_file_and_notices_a_change(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "report.pdf").write_bytes(b"pdf")
    (tmp_path / "sub" / "a.csv").write_bytes(b"1,2\n")
    (tmp_path / ".left.tmp").write_bytes(b"")
    written = write_manifest(tmp_path)
    assert [e.file for e in written.entries] == ["report.pdf", "sub/a.csv"]
    # SHA-256 of the three bytes "pdf" by sha256sum of GNU coreutils.
    assert written.entries[0].sha256 == "c35b21d6ca39aa7cc3b79a705d989f1a6e88b99ab43988d74048799e3db926a3"
    assert check_manifest(tmp_path) == written == read_manifest(tmp_path)
    (tmp_path / "sub" / "a.csv").write_bytes(b"1,3\n")
    with pytest.raises(StoreError, match="1 of 2"):
        check_manifest(tmp_path)
    (tmp_path / "sub" / "a.csv").unlink()
    with pytest.raises(StoreError, match="1 of 2"):
        check_manifest(tmp_path)


def test_no_manifest_is_no_result_and_a_damaged_one_neither(tmp_path):
    with pytest.raises(StoreError, match="not a finished result"):
        read_manifest(tmp_path)
    good = {"format": "protonqa-manifest", "version": 1, "files": [{"file": "a", "bytes": 1, "sha256": "0"}]}
    bad = [
        "",
        "[]",
        "{",
        json.dumps({**good, "version": 2}),
        json.dumps({**good, "files": [{"file": "a"}]}),
        "[" * 100_000,
    ]
    bad += [
        json.dumps({**good, "files": [{"file": n, "bytes": 1, "sha256": "0"}]}) for n in ("../a", "/a", "C:\\a", "")
    ]
    for text in bad:
        (tmp_path / MANIFEST_NAME).write_text(text)
        with pytest.raises(StoreError):
            read_manifest(tmp_path)


def test_manifest_of_an_absent_file_is_not_written(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        write_manifest(tmp_path, ["missing.pdf"])
    assert names(tmp_path) == []
