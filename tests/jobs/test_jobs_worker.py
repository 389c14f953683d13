"""The worker's side of the pipe, served by a thread of this process."""

from __future__ import annotations

import io
import os
import threading
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protonqa.jobs import local_disk
from protonqa.jobs.outcome import CellFile, CellOutcome, CellState, failure_of
from protonqa.jobs.wire import outcome_from, outcome_header, read_frame, write_frame
from protonqa.jobs.worker import serve

TEXT = st.text(max_size=20)
OUTCOMES = st.builds(
    CellOutcome,
    position=st.integers(0, 10**6),
    cell_id=TEXT,
    state=st.sampled_from(CellState),
    content=st.binary(max_size=50),
    is_json=st.booleans(),
    code=TEXT,
    message=TEXT,
    files=st.lists(st.builds(CellFile, name=TEXT, size_bytes=st.integers(0), sha256=TEXT), max_size=3).map(tuple),
    seconds=st.floats(0, 1e6),
)


class Pipes:
    """A worker on a thread and our ends of its two pipes."""

    def __init__(self) -> None:
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        self.to, self.back = os.fdopen(our_out, "wb"), os.fdopen(our_in, "rb")
        self._theirs = os.fdopen(their_in, "rb"), os.fdopen(their_out, "wb")
        self.orphaned = threading.Event()
        self._thread = threading.Thread(target=serve, args=self._theirs, kwargs={"orphaned": self.orphaned.set})
        self._thread.start()

    def send(self, kind: str, **facts) -> None:
        write_frame(self.to, {"kind": kind, **facts})

    def ended(self) -> bool:
        self._thread.join(10.0)
        return not self._thread.is_alive()

    def close(self) -> None:
        self.to.close()
        assert self.ended()
        for one in (self.back, *self._theirs):
            one.close()


@pytest.fixture
def pipes():
    made = Pipes()
    yield made
    made.close()


def test_a_worker_says_ready_answers_and_goes_when_told(pipes, tmp_path):
    pipes.send("start", function="job_cells:square")
    assert read_frame(pipes.back) == ({"kind": "ready"}, b"")
    pipes.send("cell", position=4, id="a", parameters='{"x":3}', folder=str(tmp_path / "w"))
    header, content = read_frame(pipes.back)
    assert outcome_from(header, content).value()["square"] == 9
    pipes.send("end")
    assert pipes.ended()
    assert not pipes.orphaned.is_set()


def test_a_worker_whose_parent_dies_knows(pipes):
    """In a process of its own it ends at once, in the middle of whatever it computes."""
    pipes.send("start", function="job_cells:square")
    read_frame(pipes.back)
    pipes.to.close()
    assert pipes.orphaned.wait(10.0)
    assert pipes.ended()


def test_a_worker_that_cannot_import_its_function_says_why(pipes):
    pipes.send("start", function="job_cells:nothing")
    header, _ = read_frame(pipes.back)
    assert (header["kind"], header["code"]) == ("unready", "PLUGIN")


def test_an_idle_worker_ends_by_itself(pipes):
    pipes.send("start", function="job_cells:square", idle_s=0.01)
    assert read_frame(pipes.back) == ({"kind": "ready"}, b"")
    assert pipes.ended()


def test_a_running_cell_hears_of_a_cancel(pipes, tmp_path):
    pipes.send("start", function="job_cells:asks")
    read_frame(pipes.back)
    pipes.send(
        "cell", position=0, id="a", parameters=f'{{"note":"{tmp_path.as_posix()}/n"}}', folder=str(tmp_path / "w")
    )
    pipes.send("cancel")
    header, content = read_frame(pipes.back)
    assert outcome_from(header, content).code == "CANCELLED"


@given(outcome=OUTCOMES)
def test_outcomes_come_through_the_wire_unchanged(outcome):
    stream = io.BytesIO()
    write_frame(stream, outcome_header(outcome), outcome.content)
    stream.seek(0)
    back = outcome_from(*read_frame(stream))
    assert back == outcome
    assert back.seconds == outcome.seconds


@given(cut=st.integers(0, 60))
def test_a_frame_that_was_cut_is_the_end_and_not_a_result(cut):
    """A worker killed while it writes."""
    stream = io.BytesIO()
    write_frame(stream, {"kind": "outcome", "position": 12}, b"0123456789" * 3)
    assert len(stream.getvalue()) > 60
    assert read_frame(io.BytesIO(stream.getvalue()[:cut])) is None


def test_memory_words_of_other_libraries_are_understood():
    """torch reports a failed allocation as a RuntimeError with these words."""
    error = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: you tried ..."
    )
    assert failure_of(error)[0] == "MEMORY"
    assert failure_of(RuntimeError("shapes differ"))[0] == "INTERNAL"


MOUNTS = """/dev/sda1 / ext4 rw 0 0
tmpfs /scratch tmpfs rw 0 0
server:/export /mnt/with\\040blank nfs4 rw 0 0
//nas/share /mnt cifs rw 0 0
/dev/sdb1 /mnt/disk xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/a", "ext4"),
        ("/scratch/x/y", "tmpfs"),
        ("/scratchfoo", "ext4"),
        ("/mnt/a", "cifs"),
        ("/mnt/with blank/a", "nfs4"),
        ("/mnt/disk", "xfs"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_the_innermost_mount(folder, kind):
    assert local_disk.mount_kind(PurePosixPath(folder), MOUNTS) == kind
