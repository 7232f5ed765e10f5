"""Compaction: what counts stays, and a failure or death at any moment leaves one whole file."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipegraph.errors import StatusWriteError
from pipegraph.events import Warned
from pipegraph.model import FileRecord, InvariantRecord, Past, Reason, ReasonKind, Trace
from pipegraph.status import StatusFile, compaction, index, records, store

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = FileRecord("made", "f" * 32, "f" * 32, 7, 8, 9, True)
TRACE = Trace({f"in {number}": "1" * 32 for number in range(5)}, "f" * 32, (OUTPUT,))
SEEN = Trace(TRACE.inputs, TRACE.fingerprint, (OUTPUT._replace(is_racy=False),))
MEASURED = InvariantRecord("a" * 32, (), "[1, 2]")
PASTS = {
    "made": Past(SEEN),
    "made, failed, started": Past(TRACE, True, True),
    "failed": Past(None, False, True),
    "started": Past(None, True, False),
}


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))

    yield

    assert set(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".pipegraph_status"


def write_sample(status: StatusFile, rounds: int = 10) -> None:
    for _ in range(rounds):
        status.note_made("made", TRACE)
        status.note_made("made, failed, started", TRACE)
        status.note_made("forgotten", TRACE)
        status.note_measured("PIa", InvariantRecord("0" * 32))
    status.note_seen("made", SEEN.outputs)
    status.note_failed("made, failed, started", 1.0)
    status.note_started("made, failed, started", 2.0)
    status.note_failed("failed", 1.0)
    status.note_started("started", 1.0)
    status.note_measured("PIa", MEASURED)
    status.forget("forgotten")


def assert_is_sample(status: StatusFile) -> None:
    assert {job: status.past(job) for job in status.jobs()} == PASTS
    assert status.invariant("PIa") == MEASURED


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "COMPACT_FROM_BYTES", 1000)


def fingerprint(number: int) -> str:
    return f"{number:032x}"


def write_explained(status: StatusFile) -> None:
    """Explanations and texts 1 to 12, referred to by: an input, reasons' before and now, an invariant, explanations."""
    for number in range(1, 13):
        named = {1: [5, 6], 5: [7], 8: [9, 8], 9: [8]}.get(number, [])
        status.note_explained(fingerprint(number), json.dumps({"named": [fingerprint(each) for each in named]}))
        status.note_text(fingerprint(number + 100), f"text {number}")
    status.note_explained(fingerprint(5), json.dumps({"named": [fingerprint(7), fingerprint(103)]}))
    reasons = (Reason(ReasonKind.INPUT_CHANGED, "p", fingerprint(2), fingerprint(3)),)
    status.note_made("a", Trace({"p": fingerprint(10)}, "f" * 32))
    status.note_made("a", Trace({"p": fingerprint(1)}, "f" * 32, reasons=reasons))
    status.note_measured("PIp", InvariantRecord(fingerprint(4)))


def explained(status: StatusFile) -> tuple[list[int], list[int]]:
    return (
        [number for number in range(1, 13) if status.explanation(fingerprint(number)) is not None],
        [number for number in range(101, 113) if status.text(fingerprint(number)) is not None],
    )


def test_compaction_keeps_just_those_explanations_and_texts_that_something_refers_to(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_explained(status)
        assert status._compact()

        assert explained(status) == ([1, 2, 3, 4, 5, 6, 7], [103])
        assert not status.has_explained(fingerprint(10))
        status.note_explained(fingerprint(10), "{}")
        assert explained(status) == ([1, 2, 3, 4, 5, 6, 7, 10], [103])
    with StatusFile.open(path, pytest.fail) as status:
        assert explained(status) == ([1, 2, 3, 4, 5, 6, 7, 10], [103])
        assert status.explanation(fingerprint(5)) == json.dumps({"named": [fingerprint(7), fingerprint(103)]})


@pytest.mark.parametrize("is_referred", [True, False])
def test_a_file_of_explanations_is_compacted_only_if_most_are_referred_to_no_more(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_referred: bool
) -> None:
    monkeypatch.setattr(store, "COMPACT_FROM_BYTES", 1000)
    with StatusFile.open(path, pytest.fail) as status:
        for number in range(100):
            status.note_explained(fingerprint(number), json.dumps("x" * 500))
        inputs = {f"p{number}": fingerprint(number) for number in range(100)}
        status.note_made("a", Trace(inputs if is_referred else {}, "f" * 32))
        inode = path.stat().st_ino
    assert (path.stat().st_ino == inode) == is_referred
    assert (path.stat().st_size > 50_000) == is_referred

    with StatusFile.open(path, pytest.fail) as status:
        assert status.has_explained(fingerprint(7)) == is_referred
    assert (path.stat().st_ino == inode) == is_referred


def test_what_explanations_are_for_is_looked_up_only_if_they_are_most_of_what_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "COMPACT_FROM_BYTES", 1000)
    looked: list[int] = []
    referred = StatusFile._referred
    monkeypatch.setattr(StatusFile, "_referred", lambda status: looked.append(1) or referred(status))
    with StatusFile.open(path, pytest.fail) as status:
        for number in range(40):
            status.note_explained(fingerprint(number), json.dumps("x" * 100))
        for number in range(60):
            status.note_made(f"job {number}", TRACE)
        live, explaining = status._index.live_bytes(), status._index.explaining_bytes()
        while status._end is not None and status._end < 2.8 * live:
            status.note_made("job 0", TRACE)
        assert 0.1 * live < explaining < live / 2

    assert not looked

    with StatusFile.open(path, pytest.fail) as status:
        while status._end is not None and status._end < 3.1 * live:
            status.note_made("job 0", TRACE)

    assert looked
    assert path.stat().st_size < 1.1 * live


def as_version_1(path: Path) -> bytes:
    """Make it what that version wrote: traces without reasons, and none of the later kinds."""
    lines = path.read_bytes().splitlines(keepends=True)
    old = [b"pipegraph-status 1\n"]
    for line in lines[1:]:
        _, kind, name, payload = line.decode().rstrip("\n").split("\t")
        payload = payload.removesuffix(",[]]") + "]" if kind == "M" else payload
        old.append(records.encode_line(ord(kind), records.unescape_id(name), payload))
    path.write_bytes(b"".join(old))
    return path.read_bytes()


def test_a_file_of_version_1_is_read_and_written_anew_at_once(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
    as_version_1(path)

    with StatusFile.open(path, pytest.fail) as status:
        assert path.read_bytes().startswith(b"pipegraph-status 2\n")
        assert_is_sample(status)
        status.note_started("later", 1.0)
    with StatusFile.open(path, pytest.fail) as status:
        assert {job: status.past(job) for job in status.jobs()} == PASTS | {"later": Past(None, True)}
    assert sorted(os.listdir(path.parent)) == [path.name, f"{path.name}.lock"]


def test_a_torn_or_damaged_file_of_version_1_is_written_anew_too(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
    data = as_version_1(path)
    for change in (b"torn", b"damaged\n"):
        path.write_bytes(data + change)
        warnings: list[Warned] = []

        with StatusFile.open(path, warnings.append) as status:
            assert path.read_bytes().startswith(b"pipegraph-status 2\n")
            assert_is_sample(status)
        assert len(warnings) == 1


@pytest.mark.parametrize("size", range(len(records.HEADER) + 1))
def test_a_file_of_version_1_that_was_only_just_begun_becomes_a_new_one(path: Path, size: int) -> None:
    path.write_bytes(b"pipegraph-status 1\n"[:size])

    StatusFile.open(path, pytest.fail).close()

    assert path.read_bytes() == records.HEADER


@pytest.mark.parametrize("is_interrupt", [False, True])
def test_whatever_call_fails_as_a_file_of_version_1_is_written_anew_it_is_one_or_the_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_interrupt: bool
) -> None:
    monkeypatch.setattr(compaction, "_WRITE_BYTES", 1)
    failing, was_kept = 1, 0
    while True:
        with StatusFile.open(path, pytest.fail) as status:
            write_sample(status)
        data = as_version_1(path)
        faulty = FaultyOs(failing, interrupt if is_interrupt else no_room)
        try:
            with monkeypatch.context() as patched:
                patched.setattr(compaction, "os", faulty)
                StatusFile.open(path, lambda warned: None).close()
        except KeyboardInterrupt:
            assert is_interrupt
        except StatusWriteError as error:
            assert not is_interrupt
            assert "earlier version" in error.headline
            assert dict(error.facts)["status file"] == str(path)
            assert path.read_bytes() == data, "nothing may be appended to it"
            was_kept += 1
        if faulty.calls < failing:
            break
        with StatusFile.open(path, pytest.fail) as status:
            assert_is_sample(status)
        path.unlink()
        failing += 1
    assert failing > 10
    assert is_interrupt or was_kept > 5


MOVING = """
import os, sys
sys.path.insert(0, sys.argv[2])
sys.path.insert(0, sys.argv[2] + "/tests")
from test_status_compaction import FaultyOs
from pipegraph.status import StatusFile, compaction
compaction._WRITE_BYTES = 1
with open(sys.argv[1], "rb") as file:
    data = file.read()
failing, status = 0, 1
while status:
    failing += 1
    directory = f"{sys.argv[1]}-{failing}"
    os.mkdir(directory)
    with open(directory + "/status", "wb") as file:
        file.write(data)
    child = os.fork()
    if child == 0:
        compaction.os = FaultyOs(failing, lambda: os._exit(1))
        StatusFile.open(directory + "/status", print)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
print(failing)
"""


def test_wherever_a_run_dies_as_it_writes_a_file_of_version_1_anew_it_is_one_or_the_other(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
    as_version_1(path)
    done = subprocess.run(
        [sys.executable, "-c", MOVING, str(path), str(ROOT)], check=True, capture_output=True, text=True
    )

    versions = set()
    for failing in range(1, int(done.stdout) + 1):
        left = Path(f"{path}-{failing}") / "status"
        versions.add(left.read_bytes()[: len(records.HEADER)])
        with StatusFile.open(left, pytest.fail) as status:
            assert_is_sample(status)
        assert sorted(os.listdir(left.parent)) == ["status", "status.lock"]
    assert versions == set(records.HEADERS)


@pytest.mark.usefixtures("small_limit")
def test_a_mostly_dead_file_is_compacted_at_close(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
        size, inode = path.stat().st_size, path.stat().st_ino
    assert path.stat().st_size < size / 3
    assert path.stat().st_ino != inode
    assert sorted(os.listdir(path.parent)) == [".pipegraph_status", ".pipegraph_status.lock"]

    with StatusFile.open(path, pytest.fail) as status:
        assert_is_sample(status)


def test_a_mostly_dead_file_that_a_killed_run_left_is_compacted_at_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
    size = path.stat().st_size
    monkeypatch.setattr(store, "COMPACT_FROM_BYTES", 1000)

    with StatusFile.open(path, pytest.fail) as status:
        assert path.stat().st_size < size / 3
        assert_is_sample(status)
        status.note_made("more", TRACE)
        assert status.past("more") == Past(TRACE)
        assert_is_sample_but = {job: status.past(job) for job in status.jobs()}
    assert assert_is_sample_but == PASTS | {"more": Past(TRACE)}


@pytest.mark.parametrize("excess_bytes", [0, 1])
def test_only_a_file_of_more_than_a_mebibyte_is_compacted(path: Path, excess_bytes: int) -> None:
    forgotten = len(records.encode_line(records.FORGOTTEN, "", "null"))
    with StatusFile.open(path, pytest.fail) as status:
        status.forget("x" * ((1 << 20) + excess_bytes - len(records.HEADER) - forgotten))
        assert path.stat().st_size == (1 << 20) + excess_bytes

    assert (path.read_bytes() == records.HEADER) == bool(excess_bytes)


@pytest.mark.parametrize("excess_bytes", [0, 1])
def test_only_a_file_of_which_more_than_the_share_is_superseded_is_compacted(
    path: Path, monkeypatch: pytest.MonkeyPatch, excess_bytes: int
) -> None:
    monkeypatch.setattr(store, "COMPACT_FROM_BYTES", 0)
    monkeypatch.setattr(store, "COMPACT_DEAD_SHARE", 0.5)
    with StatusFile.open(path, pytest.fail) as status:
        status.forget("x" * (100 + excess_bytes))
        dead_bytes = path.stat().st_size - excess_bytes
        status.note_started("y" * (dead_bytes - len(records.encode_line(records.STARTED, "", "1.0"))), 1.0)
        assert path.stat().st_size == 2 * dead_bytes + excess_bytes

    assert (path.stat().st_size == len(records.HEADER) + dead_bytes) == bool(excess_bytes)


def test_the_live_bytes_of_a_compacted_file_are_all_but_its_header(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
        status._compact()

    data = path.read_bytes()
    assert index.read(data).found.live_bytes() == len(data) - len(records.HEADER)


def test_a_compacted_file_is_appended_to_and_compacted_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
        status._compact()
        compacted = path.read_bytes()
        status.forget("more")
        assert path.read_bytes() == compacted + records.encode_line(records.FORGOTTEN, "more", "null")
        monkeypatch.setattr(store, "COMPACT_FROM_BYTES", 0)
        monkeypatch.setattr(store, "COMPACT_DEAD_SHARE", 0)

    assert path.read_bytes() == compacted


def test_a_small_file_is_left_alone_however_dead(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status, 100)
        inode = path.stat().st_ino

    assert path.stat().st_ino == inode


@pytest.mark.usefixtures("small_limit")
def test_a_large_file_that_is_mostly_alive_is_left_alone(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        for number in range(100):
            status.note_started(f"job {number}", 1.0)
            status.note_made(f"job {number}", TRACE)
            status.note_made(f"job {number}", TRACE)
        inode = path.stat().st_ino
    StatusFile.open(path, pytest.fail).close()

    assert path.stat().st_ino == inode


@pytest.mark.usefixtures("small_limit")
def test_jobs_that_never_ended_well_are_no_dead_weight(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        for number in range(100):
            status.note_started(f"job {number}", 1.0)
    inode = path.stat().st_ino
    StatusFile.open(path, pytest.fail).close()

    assert path.stat().st_ino == inode


@pytest.mark.usefixtures("small_limit")
def test_the_mode_and_the_group_are_kept(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
        path.chmod(0o664)
        if os.geteuid() == 0:
            os.chown(path, 12345, 23456)
        before = path.stat()

    after = path.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@pytest.mark.usefixtures("small_limit")
def test_a_group_that_cannot_be_kept_stops_the_compaction_and_an_owner_does_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away: run the tests as root")
    real_fchown = os.fchown
    forbidden = {"uid", "gid"}

    def fchown(descriptor: int, uid: int, gid: int) -> None:
        if (uid != -1 and "uid" in forbidden) or "gid" in forbidden:
            raise PermissionError(1, "Operation not permitted")
        real_fchown(descriptor, uid, gid)

    monkeypatch.setattr(compaction.os, "fchown", fchown)
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
        os.chown(path, 12345, 23456)
        status._warn = lambda warned: None
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)
    inode = path.stat().st_ino
    forbidden.remove("gid")
    StatusFile.open(path, pytest.fail).close()

    assert path.stat().st_ino != inode
    assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), 23456)


@pytest.mark.usefixtures("small_limit")
def test_a_file_that_took_the_name_during_the_run_is_not_replaced(path: Path) -> None:
    warnings: list[Warned] = []
    with StatusFile.open(path, warnings.append) as status:
        write_sample(status)
        path.rename(path.with_name("moved"))
        path.write_text("somebody else's")

    assert path.read_text() == "somebody else's"
    assert len(warnings) == 1
    assert "replaced by another" in warnings[0].headline
    with StatusFile.open(path.with_name("moved"), pytest.fail) as status:
        assert_is_sample(status)


@pytest.mark.usefixtures("small_limit")
def test_what_a_killed_compaction_left_is_removed_by_the_next(path: Path) -> None:
    leftover = path.with_name(f"{path.name}.new-1-abcdef")
    leftover.write_text("half")
    unrelated = path.with_name("other.new-1-abcdef")
    unrelated.write_text("kept")
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)

    assert not leftover.exists()
    assert unrelated.exists()


@pytest.mark.usefixtures("small_limit")
def test_a_record_that_cannot_be_read_back_stops_the_compaction(path: Path) -> None:
    warnings: list[Warned] = []
    with StatusFile.open(path, warnings.append) as status:
        write_sample(status)
        data = path.read_bytes()
        position = data.rindex(b"\tmade\t[")
        with path.open("r+b") as file:
            file.seek(position)
            file.write(b"X")
        damaged = path.read_bytes()

    assert path.read_bytes() == damaged
    assert "could not be compacted" in warnings[0].headline


CALLS = ("open", "write", "fsync", "rename", "fstat", "stat", "fchmod", "listdir", "unlink")


class FaultyOs:
    """The os module, but one call of those that touch the disk fails (or ends the process)."""

    def __init__(self, fails_at: int, fault: Callable[[], None]) -> None:
        self.calls = 0
        self._fails_at = fails_at
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls += 1
            if self.calls == self._fails_at:
                if name == "write":
                    real(arguments[0], arguments[1][:10])  # torn
                self._fault()
            return real(*arguments, **keywords)

        return call


def no_room() -> None:
    raise OSError(28, "No space left on device")


def interrupt() -> None:
    raise KeyboardInterrupt


def count_of_calls(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    faulty = FaultyOs(0, no_room)
    with monkeypatch.context() as patched:
        status = StatusFile.open(path, pytest.fail)
        write_sample(status)
        patched.setattr(compaction, "os", faulty)
        status.close()
    path.unlink()
    assert faulty.calls > 7
    return faulty.calls


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("fault", [no_room, interrupt])
def test_whatever_call_of_a_compaction_fails_one_whole_file_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], None]
) -> None:
    # No write buffer, so that there are many writes that can fail.
    monkeypatch.setattr(compaction, "_WRITE_BYTES", 1)
    for failing in range(1, count_of_calls(path, monkeypatch) + 1):
        warnings: list[Warned] = []
        status = StatusFile.open(path, warnings.append)
        write_sample(status)
        before = path.read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(compaction, "os", FaultyOs(failing, fault))
            if fault is interrupt:
                with pytest.raises(KeyboardInterrupt):
                    status.close()
            else:
                status.close()
        is_replaced = path.read_bytes() != before
        assert fault is interrupt or is_replaced or len(warnings) == 1
        leftovers = set(os.listdir(path.parent)) - {path.name, f"{path.name}.lock"}
        assert len(leftovers) <= 1
        with StatusFile.open(path, pytest.fail) as status:
            assert_is_sample(status)
            assert set(os.listdir(path.parent)) == {path.name, f"{path.name}.lock"}
        path.unlink()


@pytest.mark.usefixtures("small_limit")
def test_whatever_call_of_a_compaction_at_open_fails_the_run_records_into_the_file_of_that_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for failing in range(1, count_of_calls(path, monkeypatch) + 1):
        with monkeypatch.context() as patched:
            patched.setattr(store, "COMPACT_FROM_BYTES", 1 << 20)
            with StatusFile.open(path, pytest.fail) as status:
                write_sample(status)
        with monkeypatch.context() as patched:
            patched.setattr(compaction, "os", FaultyOs(failing, no_room))
            status = StatusFile.open(path, lambda warned: None)
        status.note_started("later", 1.0)
        assert {job: status.past(job) for job in status.jobs()} == PASTS | {"later": Past(None, True)}
        status.close()

        with StatusFile.open(path, pytest.fail) as status:
            assert {job: status.past(job) for job in status.jobs()} == PASTS | {"later": Past(None, True)}
        path.unlink()


@pytest.mark.usefixtures("small_limit")
def test_the_new_file_is_on_the_disk_before_it_takes_the_name_and_then_the_name_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_rename = os.rename

    def fsync(descriptor: int) -> None:
        steps.append("sync " + str(Path(f"/proc/self/fd/{descriptor}").readlink()).removeprefix(str(path.parent)))

    def rename(old: str, new: str, **keywords: int) -> None:
        steps.append("rename /" + old)
        real_rename(old, new, **keywords)

    status = StatusFile.open(path, pytest.fail)
    write_sample(status)
    status.sync()
    monkeypatch.setattr(compaction.os, "fsync", fsync)
    monkeypatch.setattr(compaction.os, "rename", rename)
    status.close()

    new = steps[1].removeprefix("rename ")
    assert new.startswith(f"/{path.name}.new-{os.getpid()}-")
    assert steps == [f"sync {new}", f"rename {new}", "sync "]


@pytest.mark.usefixtures("small_limit")
def test_short_writes_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    status = StatusFile.open(path, pytest.fail)
    write_sample(status)
    monkeypatch.setattr(compaction.os, "write", lambda descriptor, data: real_write(descriptor, data[:100]))
    status.close()
    monkeypatch.undo()

    with StatusFile.open(path, pytest.fail) as status:
        assert_is_sample(status)


DYING = """
import os, sys
sys.path.insert(0, sys.argv[2])
sys.path.insert(0, sys.argv[2] + "/tests")
from test_status_compaction import FaultyOs, write_sample
from pipegraph.status import StatusFile, compaction, store
store.COMPACT_FROM_BYTES = 1000
compaction._WRITE_BYTES = 1
for failing in range(1, int(sys.argv[3]) + 1):
    directory = f"{sys.argv[1]}/{failing}"
    os.mkdir(directory)
    child = os.fork()
    if child == 0:
        status = StatusFile.open(directory + "/status", print)
        write_sample(status)
        compaction.os = FaultyOs(failing, lambda: os._exit(0))
        status.close()
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.usefixtures("small_limit")
def test_wherever_a_compaction_dies_one_whole_file_is_there(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(compaction, "_WRITE_BYTES", 1)
        calls = count_of_calls(path, patched)
    subprocess.run([sys.executable, "-c", DYING, str(tmp_path), str(ROOT), str(calls)], check=True)

    for failing in range(1, calls + 1):
        left = tmp_path / str(failing) / "status"
        with StatusFile.open(left, pytest.fail) as status:
            assert_is_sample(status)
        assert sorted(os.listdir(left.parent)) == ["status", "status.lock"]


COMPACTING = """
import sys
sys.path.insert(0, sys.argv[2])
sys.path.insert(0, sys.argv[2] + "/tests")
from test_status_compaction import write_sample
from pipegraph.status import StatusFile, store
store.COMPACT_FROM_BYTES = 1000
print("ready", flush=True)
while True:
    with StatusFile.open(sys.argv[1], print) as status:
        write_sample(status)
"""


def test_a_kill_at_any_moment_leaves_one_whole_file(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
    for _ in range(15):
        with subprocess.Popen(
            [sys.executable, "-c", COMPACTING, str(path), str(ROOT)], stdout=subprocess.PIPE, text=True
        ) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            # Chance decides where it is hit; that it is whole afterwards must hold wherever.
            time.sleep(random.uniform(0, 0.03))
            running.kill()
            assert running.wait() == -9
        # A kill may tear a write(2) where it goes from one page of the file to the next: only the last line.
        is_torn = not path.read_bytes().endswith(b"\n")
        warnings: list[Warned] = []
        with StatusFile.open(path, warnings.append) as status:
            assert len(warnings) <= is_torn
            # Each job's last record may be any of those that `write_sample` writes, but M's are never lost.
            assert status.past("made").trace in (TRACE, SEEN)
            assert status.past("made, failed, started").trace == TRACE
            assert status.invariant("PIa") in (MEASURED, InvariantRecord("0" * 32))


def test_a_leftover_that_cannot_be_removed_is_no_obstacle(path: Path) -> None:
    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
        Path(f"{path}.new-1-directory").mkdir()
        status._compact()
        assert_is_sample(status)

    assert Path(f"{path}.new-1-directory").is_dir()


@pytest.mark.parametrize("mode", [0o600, 0o641])
def test_the_new_file_is_its_owner_s_alone_until_it_has_the_mode_of_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    real_fchmod = os.fchmod
    before: list[int] = []

    def fchmod(descriptor: int, new_mode: int) -> None:
        before.append(os.fstat(descriptor).st_mode & 0o7777)
        real_fchmod(descriptor, new_mode)

    with StatusFile.open(path, pytest.fail) as status:
        write_sample(status)
        path.chmod(mode)
        monkeypatch.setattr(compaction.os, "fchmod", fchmod)
        assert status._compact()

    assert before == [0o600]
    assert path.stat().st_mode & 0o7777 == mode


def test_a_link_that_took_the_name_during_the_run_is_not_replaced(path: Path) -> None:
    warnings: list[Warned] = []
    with StatusFile.open(path, warnings.append) as status:
        write_sample(status)
        path.rename(path.with_name("moved"))
        path.symlink_to("moved")

        assert not status._compact()

    assert path.is_symlink()
    assert len(warnings) == 1
