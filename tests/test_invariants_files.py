"""Files: what their fingerprints go by, when they are read again, and what no clock's tick may hide."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xxhash import xxh3_128_hexdigest

from pipegraph.invariants.clock import (
    EXACT_CHANGES,
    SMALLEST_TICK_NS,
    UNKNOWN_CLOCK_NS,
    Answer,
    FileClocks,
    ask_file_system,
    tick_ns_from,
)
from pipegraph.invariants.files import CHUNK_BYTES, LARGE_BYTES, look, look_at_time, read

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
START = 1_700_000_000 * SECOND + 123_456_789


@pytest.fixture(autouse=True)
def no_file_stays_open() -> Iterator[None]:
    before = sorted(os.listdir("/proc/self/fd"))

    yield

    assert sorted(os.listdir("/proc/self/fd")) == before


class Disk:
    """A file system with a coarse clock of its own, on top of the real one: stamps are set, time is moved by hand."""

    def __init__(self, tick_ns: int, ahead_ns: int = 0, can_be_asked: bool = True) -> None:
        self.tick_ns = tick_ns
        self.ahead_ns = ahead_ns
        self.can_be_asked = can_be_asked
        self.local_ns = START
        self.steady_ns = 0
        self.asked: list[str] = []
        self.slept: list[float] = []
        self.clocks = FileClocks(lambda: self.local_ns, lambda: self.steady_ns, self._sleep, self._ask)

    def write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self.stamp(path)

    def stamp(self, path: Path) -> None:
        now_ns = self.local_ns + self.ahead_ns
        os.utime(path, ns=(0, now_ns - now_ns % self.tick_ns))

    def move(self, nanoseconds: int) -> None:
        self.local_ns += nanoseconds
        self.steady_ns += nanoseconds

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.move(int(seconds * SECOND))

    def _ask(self, directory: str) -> Answer | None:
        self.asked.append(directory)
        if not self.can_be_asked:
            return None
        # As the real one: the stamp of a new file is up to a tick behind.
        ahead_ns = self.ahead_ns - (self.local_ns + self.ahead_ns) % self.tick_ns
        return Answer(os.stat(directory).st_dev, self.tick_ns, ahead_ns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


# ---- content


@pytest.mark.parametrize(
    "size", [0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7]
)
def test_the_fingerprint_is_the_hash_of_the_whole_content(path: Path, size: int) -> None:
    content = (b"pipegraph" * (size // 9 + 1))[:size]
    path.write_bytes(content)

    record = read(str(path))

    status = path.stat()
    assert record.content == record.fingerprint == xxh3_128_hexdigest(content)
    assert (record.path, record.size) == (str(path), size)
    assert (record.mtime_ns, record.inode) == (status.st_mtime_ns, status.st_ino)


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n")
    Path(path).write_bytes(b"a")

    assert read(path).content == xxh3_128_hexdigest(b"a")


def test_a_symbolic_link_is_its_target(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"a")
    link = tmp_path / "link"
    link.symlink_to(path)
    record = read(str(link))

    path.write_bytes(b"bb")

    assert record.content == xxh3_128_hexdigest(b"a")
    assert look(str(link), record).content == xxh3_128_hexdigest(b"bb")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    fifo, folder, plug, device, nothing = (tmp_path / name for name in ("fifo", "dir", "socket", "device", "no"))
    os.mkfifo(fifo)
    folder.mkdir()
    device.symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(plug))

        for read_it in (read, lambda path: look(path, None), look_at_time):
            for path, kind in ((fifo, "FIFO"), (plug, "socket"), (device, "device")):
                with pytest.raises(OSError, match=f"Is a {kind}, not a regular file") as raised:
                    read_it(str(path))
                assert raised.value.filename == str(path)
            with pytest.raises(IsADirectoryError) as of_folder:
                read_it(str(folder))
            assert of_folder.value.filename == str(folder)
            with pytest.raises(FileNotFoundError):
                read_it(str(nothing))


def test_a_failing_read_names_the_file() -> None:
    path = "/proc/self/mem"  # Nothing is mapped at its beginning.

    with pytest.raises(OSError) as raised:
        read(path)

    assert raised.value.errno == errno.EIO
    assert raised.value.filename == path


def test_a_file_that_holds_more_than_it_says_is_read_to_its_end_and_always_again() -> None:
    path = "/proc/self/limits"  # Its size is said to be 0.
    clocks = FileClocks(ask=lambda directory: Answer(os.stat(path).st_dev, 0, 0))
    clocks.learn("/proc/self")

    record = read(path, clocks=clocks)

    assert record.content == xxh3_128_hexdigest(Path(path).read_bytes())
    assert record.is_racy


HOLDS_A_LEASE = """
import fcntl, os, signal, sys
file = os.open(sys.argv[1], os.O_RDWR)
signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK))
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
def test_a_file_under_a_file_servers_lease_is_waited_for(path: Path) -> None:
    path.write_bytes(b"a")
    command = [sys.executable, "-c", HOLDS_A_LEASE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        ready = holder.stdout.readline()
        try:
            content = read(str(path)).content if ready else ""
        finally:
            holder.communicate()
    if not ready:
        pytest.skip("this file system has no leases")

    assert content == xxh3_128_hexdigest(b"a")


# ---- looking again


def test_an_unchanged_file_is_not_read_again(path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    disk.write(path, b"a")
    disk.move(SECOND)
    record = read(str(path), clocks=disk.clocks)
    before = path.stat()
    path.write_bytes(b"b")
    os.utime(path, ns=(0, before.st_mtime_ns))

    # Nobody could tell without reading; so whoever gets the old record did not read.
    assert look(str(path), record, clocks=disk.clocks) is record


def other_time(path: Path) -> None:
    path.write_bytes(b"B")
    os.utime(path, ns=(0, START + 1))


def other_size(path: Path) -> None:
    path.write_bytes(b"BB")
    os.utime(path, ns=(0, START))


def other_inode(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(b"B")
    os.utime(new, ns=(0, START))
    new.replace(path)


@pytest.mark.parametrize("change", [other_time, other_size, other_inode])
def test_another_size_stamp_or_inode_is_each_a_reason_to_read(path: Path, change: Callable[[Path], None]) -> None:
    path.write_bytes(b"A")
    os.utime(path, ns=(0, START))
    record = read(str(path))
    assert not record.is_racy

    change(path)

    found = look(str(path), record)
    assert found.content == found.fingerprint == xxh3_128_hexdigest(path.read_bytes())
    assert (found.size, found.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)


def test_the_same_content_with_a_new_stamp_keeps_the_fingerprint_that_was_known(path: Path) -> None:
    path.write_bytes(b"a")
    record = read(str(path))._replace(fingerprint="of its first making")
    os.utime(path, ns=(0, START))

    found = look(str(path), record)

    assert found == record._replace(mtime_ns=START, is_racy=False)
    assert look(str(path), found) is found


def test_a_missing_file_is_an_error_also_if_it_was_known(path: Path) -> None:
    path.write_bytes(b"a")
    record = read(str(path))
    path.unlink()

    for known in (record, record._replace(is_racy=True), None):
        with pytest.raises(FileNotFoundError):
            look(str(path), known)


def test_by_time_only_size_and_stamp_count(path: Path) -> None:
    def stamped(content: bytes, stamp: int) -> str:
        path.write_bytes(content)
        os.utime(path, ns=(0, stamp))
        return look_at_time(str(path)).fingerprint

    first = stamped(b"a", START)

    assert stamped(b"b", START) == first
    assert len({first, stamped(b"a", START + 1), stamped(b"aa", START)}) == 3
    record = look_at_time(str(path))
    assert (record.content, record.is_racy, record.size, record.mtime_ns) == ("", False, 2, START)


# ---- ticks

TICKS = [4 * MILLISECOND, 10 * MILLISECOND, SECOND, 2 * SECOND]


@pytest.mark.parametrize("tick_ns", TICKS)
@pytest.mark.parametrize("ahead_ns", [0, -1800 * SECOND, 1800 * SECOND, 7 * SECOND + 1, -MILLISECOND])
def test_a_rewrite_of_the_same_size_in_the_same_tick_is_noticed(path: Path, tick_ns: int, ahead_ns: int) -> None:
    disk = Disk(tick_ns, ahead_ns)
    # At any moment of the tick; the rewrite follows as late as the tick allows.
    for at in range(0, tick_ns, tick_ns // 8):
        disk.local_ns = disk.local_ns - (disk.local_ns + ahead_ns) % tick_ns + 3 * tick_ns + at
        disk.write(path, b"A")
        record = read(str(path), clocks=disk.clocks)
        disk.move(tick_ns - at - 1)
        disk.write(path, b"B")
        assert path.stat().st_mtime_ns == record.mtime_ns

        assert look(str(path), record, clocks=disk.clocks).content == xxh3_128_hexdigest(b"B")


@pytest.mark.parametrize("tick_ns", TICKS)
@pytest.mark.parametrize("ahead_ns", [0, -1800 * SECOND, 1800 * SECOND])
def test_a_racy_file_is_clean_once_its_tick_has_passed(path: Path, tick_ns: int, ahead_ns: int) -> None:
    disk = Disk(tick_ns, ahead_ns)
    disk.write(path, b"a")
    record = read(str(path), clocks=disk.clocks)
    again = look(str(path), record, clocks=disk.clocks)
    disk.move(3 * tick_ns)

    later = look(str(path), again, clocks=disk.clocks)

    assert record.is_racy
    assert again.is_racy
    assert not later.is_racy
    assert later == record._replace(is_racy=False)
    assert look(str(path), later, clocks=disk.clocks) is later


def test_where_each_change_is_stamped_anew_no_file_is_racy(path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    disk.clocks = FileClocks(
        lambda: disk.local_ns, lambda: 0, disk._sleep, lambda where: Answer(os.stat(where).st_dev, 0, -5)
    )
    disk.write(path, b"a")

    assert not read(str(path), clocks=disk.clocks).is_racy


def test_a_stamp_in_the_future_is_racy(path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    path.write_bytes(b"a")
    os.utime(path, ns=(0, disk.local_ns + 100 * SECOND))

    assert read(str(path), clocks=disk.clocks).is_racy


def test_real_rewrites_of_the_same_size_are_all_noticed(path: Path) -> None:
    path.write_bytes(b"00000")
    record = read(str(path))
    for number in range(300):
        content = b"%05d" % number
        if number % 3 == 0:
            path.unlink()
        path.write_bytes(content)

        record = look(str(path), record)

        assert record.content == xxh3_128_hexdigest(content)


# ---- whose clock


def test_a_file_system_that_cannot_be_asked_is_believed_after_an_hour(path: Path) -> None:
    disk = Disk(4 * MILLISECOND, can_be_asked=False)
    disk.write(path, b"a")
    record = read(str(path), clocks=disk.clocks)
    disk.move(UNKNOWN_CLOCK_NS - SECOND)
    nearly = look(str(path), record, clocks=disk.clocks)
    disk.move(2 * SECOND)

    assert record.is_racy
    assert nearly.is_racy
    assert not look(str(path), nearly, clocks=disk.clocks).is_racy


def test_old_files_are_clean_without_asking(path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    disk.write(path, b"a")
    disk.move(UNKNOWN_CLOCK_NS)

    assert not read(str(path), clocks=disk.clocks).is_racy
    assert disk.asked == []


def test_a_server_known_to_be_hours_behind_is_not_believed_after_an_hour(path: Path) -> None:
    disk = Disk(4 * MILLISECOND, ahead_ns=-5 * UNKNOWN_CLOCK_NS)
    disk.clocks.learn(str(path.parent))
    disk.write(path, b"a")

    assert read(str(path), clocks=disk.clocks).is_racy


def test_a_file_system_is_asked_once(tmp_path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    for number in range(5):
        disk.write(tmp_path / str(number), b"a")
        disk.move(SECOND)

        assert not read(str(tmp_path / str(number)), clocks=disk.clocks).is_racy
    assert len(disk.asked) == 1


def test_it_is_asked_again_when_the_clock_was_set_or_a_minute_has_passed(path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    disk.write(path, b"a")
    read(str(path), clocks=disk.clocks)

    disk.local_ns += SECOND // 10
    read(str(path), clocks=disk.clocks)
    assert len(disk.asked) == 2
    disk.move(61 * SECOND)
    read(str(path), clocks=disk.clocks)
    assert len(disk.asked) == 3


def test_a_clock_that_was_set_back_hides_nothing(path: Path) -> None:
    """On a server's file system: its clock goes on while the local one jumps ahead by a second."""
    disk = Disk(4 * MILLISECOND)
    disk.clocks.learn(str(path.parent))
    disk.local_ns += SECOND
    disk.ahead_ns -= SECOND
    disk.write(path, b"a")

    assert read(str(path), clocks=disk.clocks).is_racy


def test_a_directory_that_cannot_be_written_is_not_tried_for_every_file(tmp_path: Path) -> None:
    disk = Disk(4 * MILLISECOND, can_be_asked=False)
    for number in range(5):
        disk.write(tmp_path / str(number), b"a")
        read(str(tmp_path / str(number)), clocks=disk.clocks)

    assert len(disk.asked) == len(set(disk.asked))


def test_a_directory_that_is_gone_is_no_obstacle(tmp_path: Path) -> None:
    disk = Disk(4 * MILLISECOND)

    assert disk.clocks.is_racy(str(tmp_path / "gone" / "file"), -1, disk.local_ns, disk.local_ns)
    assert disk.asked == []


def test_clocks_that_drift_apart_leave_a_file_racy_for_longer(path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    disk.local_ns -= disk.local_ns % disk.tick_ns
    disk.clocks.learn(str(path.parent))
    disk.move(50 * SECOND)
    disk.write(path, b"a")
    disk.move(30 * MILLISECOND)

    # A thousandth of 50 seconds is more than 30 milliseconds.
    assert read(str(path), clocks=disk.clocks).is_racy


# ---- large files


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGE_BYTES)


@pytest.mark.parametrize("tick_ns", TICKS)
@pytest.mark.parametrize("ahead_ns", [0, -1800 * SECOND, 1800 * SECOND])
def test_large_files_wait_out_the_tick_when_asked_to(path: Path, tick_ns: int, ahead_ns: int) -> None:
    disk = Disk(tick_ns, ahead_ns)
    large(path)
    disk.stamp(path)

    record = read(str(path), wait_out_tick=True, clocks=disk.clocks)

    assert not record.is_racy
    assert 0 < sum(disk.slept) * SECOND <= 3 * tick_ns


def test_small_files_old_files_and_impossible_stamps_are_not_waited_for(path: Path, tmp_path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    disk.write(path, b"a")
    read(str(path), wait_out_tick=True, clocks=disk.clocks)
    large(path)
    disk.stamp(path)
    read(str(path), clocks=disk.clocks)
    disk.move(SECOND)
    assert not read(str(path), wait_out_tick=True, clocks=disk.clocks).is_racy
    os.utime(path, ns=(0, disk.local_ns + 100 * SECOND))
    assert read(str(path), wait_out_tick=True, clocks=disk.clocks).is_racy
    disk.stamp(path)
    mute = Disk(4 * MILLISECOND, can_be_asked=False)
    mute.local_ns = disk.local_ns
    assert read(str(path), wait_out_tick=True, clocks=mute.clocks).is_racy

    assert disk.slept == mute.slept == []


def test_a_file_that_changes_while_it_is_read_is_racy(path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    large(path)
    disk.stamp(path)

    def changing_sleep(seconds: float) -> None:
        disk.move(100 * SECOND)
        disk.stamp(path)
        disk.move(100 * SECOND)

    disk.clocks._sleep = changing_sleep

    assert read(str(path), wait_out_tick=True, clocks=disk.clocks).is_racy


@pytest.mark.parametrize("size", [LARGE_BYTES - 1, LARGE_BYTES + 1])
def test_a_file_that_changes_its_size_while_it_is_read_is_racy(path: Path, size: int) -> None:
    disk = Disk(4 * MILLISECOND)
    large(path)
    disk.stamp(path)
    stamp = path.stat().st_mtime_ns

    def changing_sleep(seconds: float) -> None:
        os.truncate(path, size)
        os.utime(path, ns=(0, stamp))
        disk.move(100 * SECOND)

    disk.clocks._sleep = changing_sleep

    record = read(str(path), wait_out_tick=True, clocks=disk.clocks)

    assert record.is_racy
    assert record.content == xxh3_128_hexdigest(bytes(size))


# ---- asking a real file system


@pytest.mark.parametrize("has_unnamed_files", [True, False])
def test_asking_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_unnamed_files: bool) -> None:
    if not has_unnamed_files:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)

    answer = ask_file_system(str(tmp_path))

    assert answer is not None
    assert answer.device == tmp_path.stat().st_dev
    assert answer.tick_ns == 0 or answer.tick_ns >= SMALLEST_TICK_NS
    assert abs(answer.ahead_ns) < 3600 * SECOND
    assert list(tmp_path.iterdir()) == []


def test_nothing_answers_where_nothing_can_be_written(tmp_path: Path) -> None:
    assert ask_file_system("/proc") is None
    assert ask_file_system(str(tmp_path / "missing")) is None


def stamps(*steps: int, start: int = START) -> list[int]:
    found = [start]
    for step in steps:
        found.append(found[-1] + step)
    return found


@pytest.mark.parametrize(
    ("found", "tick_ns"),
    [
        (stamps(*[2000] * EXACT_CHANGES), 0),
        (stamps(*[2000, 7 * MILLISECOND] * (EXACT_CHANGES // 2)), 0),  # Interrupted now and then.
        (stamps(*[2000] * (EXACT_CHANGES - 1)), SMALLEST_TICK_NS),  # The last one was not stamped anew.
        (stamps(*[2000] * (EXACT_CHANGES - 1), 0), SMALLEST_TICK_NS),
        (stamps(0), SMALLEST_TICK_NS),
        (stamps(-5), SMALLEST_TICK_NS),
        (stamps(*[MILLISECOND] * EXACT_CHANGES), SMALLEST_TICK_NS),  # Slow, with a tick of a millisecond.
        (stamps(0, start=1_700_000_001 * SECOND), 2 * SECOND),
        (stamps(0, start=1_700_000_000 * SECOND), 2 * SECOND),
        (stamps(0, start=1_700_000_000 * SECOND + 100 * MILLISECOND), 200 * MILLISECOND),
        (stamps(SECOND, 0, start=1_700_000_001 * SECOND), 2 * SECOND),
        (stamps(*[SECOND] * EXACT_CHANGES, start=1_700_000_001 * SECOND), 2 * SECOND),
    ],
)
def test_the_tick_follows_from_stamps(found: list[int], tick_ns: int) -> None:
    assert tick_ns_from(found) == tick_ns


def test_what_was_learned_is_inherited_by_forks(path: Path) -> None:
    disk = Disk(4 * MILLISECOND)
    disk.clocks.learn(str(path.parent))
    disk.clocks.learn(str(path.parent))
    disk.write(path, b"a")
    disk.move(SECOND)
    child = os.fork()
    if child == 0:
        os._exit(0 if not read(str(path), clocks=disk.clocks).is_racy and len(disk.asked) == 1 else 1)

    assert os.waitpid(child, 0)[1] == 0
