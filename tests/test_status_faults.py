"""Writes that fail: nothing that was recorded is lost, the failure is told, and recording may go on later."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipegraph.errors import StatusWriteError
from pipegraph.model import Past, Trace
from pipegraph.status import StatusFile, opening, store

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))

    yield

    assert set(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".pipegraph_status"


TRACE = Trace({f"in {number}": "1" * 32 for number in range(20)}, "f" * 32)


class FullDisk:
    """Takes so many bytes more, then part of a write, then none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(store.os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("room", [0, 1, 17, 100, 900])
def test_a_record_that_finds_no_room_raises_and_the_next_one_with_room_is_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int, can_cut: bool
) -> None:
    status = StatusFile.open(path, print)
    status.note_made("first", TRACE)
    before = path.read_bytes()
    disk = FullDisk(monkeypatch, room)
    if not can_cut:
        monkeypatch.setattr(store.os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))

    for _ in range(2):
        with pytest.raises(StatusWriteError) as caught:
            status.note_made("lost\n", Trace(TRACE.inputs | {"more": "2" * 32}, "e" * 32))
        assert dict(caught.value.facts)["job"] == r"lost\n"
        assert dict(caught.value.facts)["status file"] == str(path)
        assert "Make room" in caught.value.mend
    assert status.past("lost\n") == Past()
    assert status.past("first") == Past(TRACE)
    if can_cut:
        assert path.read_bytes() == before
    disk.room = 1 << 30
    status.note_made("later", TRACE)
    status.note_made("and later", TRACE)
    expected = {"first": Past(TRACE), "later": Past(TRACE), "and later": Past(TRACE)}
    assert {job: status.past(job) for job in status.jobs()} == expected
    status.close()

    with StatusFile.open(path, lambda warned: None) as status:
        assert {job: status.past(job) for job in status.jobs()} == expected


@pytest.mark.parametrize("is_torn", [False, True])
@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("room", [0, 1, 130, 3000, 3300, 3500, 5000])
def test_of_what_is_noted_together_as_much_is_recorded_as_there_is_room_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int, can_cut: bool, is_torn: bool
) -> None:
    def refuse(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    def note(number: int) -> Callable[[], None]:
        def noted() -> None:
            status.note_explained(f"{number:032}", "[" + " " * 800 + "]")
            status.note_made(f"job {number}", TRACE)

        return noted

    notes = [note(number) for number in range(4)]
    status = StatusFile.open(path, pytest.fail)
    status.note_made("first", TRACE)
    disk = FullDisk(monkeypatch, room)
    if not can_cut:
        monkeypatch.setattr(store.os, "ftruncate", refuse)
    if is_torn:
        disk.room = 10
        with pytest.raises(StatusWriteError):
            status.note_made("torn", TRACE)
        disk.room = room

    recorded = status.together(notes)
    assert recorded == (0 if room < 2000 else 1 if room < 5000 else 2)
    known = ["first", *(f"job {number}" for number in range(recorded))]
    assert list(status.jobs()) == known
    assert [status.past(job) for job in known] == [Past(TRACE)] * len(known)
    with pytest.raises(StatusWriteError) as caught:
        for _ in range(2):
            notes[recorded]()
    assert dict(caught.value.facts)["status file"] == str(path)
    disk.room = 1 << 30
    assert status.together(notes[recorded:]) == 4 - recorded
    assert [status.explanation(f"{number:032}") for number in range(4)] == ["[" + " " * 800 + "]"] * 4
    status.close()
    monkeypatch.undo()

    with StatusFile.open(path, lambda warned: None) as status:
        assert sorted(status.jobs()) == ["first", *(f"job {number}" for number in range(4))]
        assert all(status.past(job) == Past(TRACE) for job in status.jobs())


@pytest.mark.parametrize("length", [10, 1000, 10_000])
def test_an_interrupt_while_several_are_noted_costs_none_that_was_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    real_write = os.write

    def interrupted_write(descriptor: int, data: bytes) -> int:
        real_write(descriptor, data[:length])
        raise KeyboardInterrupt

    status = StatusFile.open(path, pytest.fail)
    status.note_made("before", TRACE)
    with monkeypatch.context() as patched:
        patched.setattr(store.os, "write", interrupted_write)
        with pytest.raises(KeyboardInterrupt):
            status.together([lambda job=job: status.note_made(job, TRACE) for job in "abc"])  # type: ignore[misc]
    status.note_made("behind", TRACE)
    assert status.together([lambda: status.note_made("last", TRACE), lambda: status.note_started("last", 1.0)]) == 2
    assert status.past("last") == Past(TRACE, is_unfinished=True)
    status.close()

    with StatusFile.open(path, lambda warned: None) as status:
        written = {10: [], 1000: ["a"], 10_000: ["a", "b", "c"]}[length]
        assert sorted(status.jobs()) == sorted(["before", "behind", "last", *written])
        assert all(status.past(job).trace == TRACE for job in status.jobs())


def test_a_torn_record_is_cut_off_before_the_next_or_ended_with_a_line_feed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write

    def fail_in_the_middle(descriptor: int, data: bytes) -> int:
        real_write(descriptor, data[:10])
        raise OSError(errno.EIO, "Input/output error")

    def refuse(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def lose_a_record(can_cut: bool) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(store.os, "write", fail_in_the_middle)
            if not can_cut:
                patched.setattr(store.os, "ftruncate", refuse)
            with pytest.raises(StatusWriteError, match="Input/output error"):
                status.note_made("lost", TRACE)

    status = StatusFile.open(path, print)
    status.note_started("a", 1.0)
    lose_a_record(can_cut=True)
    status.note_started("b", 1.0)
    lines = path.read_text().splitlines()
    assert [line.split("\t")[2] for line in lines[1:]] == ["a", "b"]
    lose_a_record(can_cut=False)
    lose_a_record(can_cut=True)
    status.note_started("c", 1.0)
    lines = path.read_text().splitlines()
    assert [line.split("\t")[2] for line in lines[1:] if line.count("\t") == 3] == ["a", "b", "c"]
    assert len(lines) == 5
    status.close()


def test_an_interrupt_in_the_middle_of_a_record_costs_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write

    for is_whole in (False, True):

        def interrupted_write(descriptor: int, data: bytes, is_whole: bool = is_whole) -> int:
            real_write(descriptor, data if is_whole else data[:30])
            raise KeyboardInterrupt

        status = StatusFile.open(path, print)
        status.note_made("before", TRACE)
        monkeypatch.setattr(store.os, "write", interrupted_write)
        with pytest.raises(KeyboardInterrupt):
            status.note_made("interrupted", TRACE)
        monkeypatch.undo()
        status.note_made("behind", TRACE)
        disk = FullDisk(monkeypatch, 5)
        with pytest.raises(StatusWriteError):
            status.note_made("failed", TRACE)
        disk.room = 1 << 30
        status.note_made("last", TRACE)
        status.close()
        monkeypatch.undo()

        with StatusFile.open(path, lambda warned: None) as status:
            expected = ["before", "behind", "interrupted", "last"] if is_whole else ["before", "behind", "last"]
            assert sorted(status.jobs()) == expected
            for job in expected:
                assert status.past(job) == Past(TRACE)
                status.forget(job)


def then_nothing(status: StatusFile, monkeypatch: pytest.MonkeyPatch) -> None:
    pass


def then_a_record(status: StatusFile, monkeypatch: pytest.MonkeyPatch) -> None:
    status.note_made("a", TRACE)


def then_a_record_without_room(status: StatusFile, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        FullDisk(patched, 5)
        with pytest.raises(StatusWriteError):
            status.note_made("a", TRACE)


@pytest.mark.parametrize("then", [then_nothing, then_a_record, then_a_record_without_room])
def test_after_an_interrupt_the_file_is_not_compacted_from_what_memory_has(
    path: Path, monkeypatch: pytest.MonkeyPatch, then: Callable[[StatusFile, pytest.MonkeyPatch], None]
) -> None:
    real_write = os.write

    def interrupted_write(descriptor: int, data: bytes) -> int:
        real_write(descriptor, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "COMPACT_FROM_BYTES", 0)
    status = StatusFile.open(path, print)
    for _ in range(10):
        status.note_made("a", TRACE)
    with monkeypatch.context() as patched:
        patched.setattr(store.os, "write", interrupted_write)
        with pytest.raises(KeyboardInterrupt):
            status.note_made("interrupted", TRACE)
    then(status, monkeypatch)
    status.close()

    with StatusFile.open(path, pytest.fail) as status:
        assert status.past("interrupted") == Past(TRACE)


@pytest.mark.parametrize("room", [0, 1, 18])
def test_no_room_for_the_header_is_an_error_and_the_file_can_be_opened_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    FullDisk(monkeypatch, room)

    with pytest.raises(StatusWriteError, match="can't be begun"):
        StatusFile.open(path, print)
    monkeypatch.undo()

    with StatusFile.open(path, pytest.fail) as status:
        status.note_made("a", TRACE)


def test_a_sync_that_fails_raises_and_close_frees_the_lock_nevertheless(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    status = StatusFile.open(path, print)
    status.note_made("a", TRACE)
    monkeypatch.setattr(store.os, "fsync", refuse)
    status.tick(100.0)
    for call in (status.sync, lambda: status.tick(200.0), lambda: status.tick(300.0), status.close, status.sync):
        with pytest.raises(StatusWriteError, match="may not have reached the disk"):
            call()
    monkeypatch.undo()

    with StatusFile.open(path, print) as status:
        assert status.past("a") == Past(TRACE)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_sync_is_no_obstacle(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, "not here")

    monkeypatch.setattr(store.os, "fsync", refuse)
    with StatusFile.open(path, print) as status:
        status.note_made("a", TRACE)
        status.sync()


def test_a_status_file_that_cannot_be_made_for_want_of_room_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def full(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if name == path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_open(name, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(opening.os, "open", full)
    with pytest.raises(opening.StatusError, match="Make room"):
        StatusFile.open(path, print)


LIMITED = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from pipegraph.errors import StatusWriteError
from pipegraph.model import Trace
from pipegraph.status import StatusFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
status = StatusFile.open(sys.argv[1], print)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
made = 0
failed = 0
while failed < 3:
    try:
        status.note_made(f"job {made}", Trace({"in": "1" * 32}, "f" * 32))
        made += 1
    except StatusWriteError as error:
        failed += 1
        reason = dict(error.facts)["because"]
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
status.note_made("later", Trace({}, "f" * 32))
status.close()
print(made, reason)
"""


def test_a_limit_on_the_size_of_files_loses_nothing(path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(ROOT)], capture_output=True, text=True, check=True
    )
    made, _, reason = ended.stdout.strip().partition(" ")

    assert reason == "File too large" or "bytes were taken" in reason
    with StatusFile.open(path, pytest.fail) as status:
        assert list(status.jobs()) == [*(f"job {number}" for number in range(int(made))), "later"]
        assert int(made) > 10


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "small disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "status_test", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small tmpfs can't be mounted here: run the tests as root to have a truly full disk")

    yield directory

    subprocess.run(["umount", str(directory)], check=True)


def test_a_full_disk_loses_nothing_and_recording_goes_on_when_there_is_room(small_disk: Path) -> None:
    path = small_disk / ".pipegraph_status"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 30_000)
    status = StatusFile.open(path, pytest.fail)
    made = []
    for number in range(1000):
        try:
            status.note_made(f"job {number}", TRACE)
            made.append(f"job {number}")
        except StatusWriteError as error:
            reason = dict(error.facts)["because"]
            break
    assert 5 < len(made) < 1000
    assert "No space left" in reason or "bytes were taken" in reason
    with pytest.raises(StatusWriteError):
        status.note_made("still no room", TRACE)
    status.close()
    # A run on a disk that is still full can read, and fails at its first record.
    with StatusFile.open(path, pytest.fail) as status:
        assert list(status.jobs()) == made
        with pytest.raises(StatusWriteError):
            status.note_made("still no room", TRACE)
        ballast.unlink()
        status.note_made("later", TRACE)
    with StatusFile.open(path, pytest.fail) as status:
        assert list(status.jobs()) == [*made, "later"]
        assert status.past("later") == Past(TRACE)


def test_a_disk_that_is_full_from_the_start_is_an_error(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(b"x" * 100_000)

    with pytest.raises(StatusWriteError, match="No space left"):
        StatusFile.open(small_disk / "status", print)
