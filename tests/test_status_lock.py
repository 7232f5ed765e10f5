"""One run at a time, whoever dies and whatever is forked; with real processes."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipegraph.errors import StatusHeldError
from pipegraph.events import Warned
from pipegraph.model import Past
from pipegraph.status import StatusFile, lock

HOLDER = """
import os, sys, time
sys.path.insert(0, sys.argv[2])
from pipegraph.status import StatusFile
status = StatusFile.open(sys.argv[1], print, {"run": "run-7"})
status.note_started("a", 1.0)
"""
WAIT = """
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))

    yield

    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".pipegraph_status"


@contextmanager
def process(path: Path, script: str = HOLDER + WAIT) -> Iterator[subprocess.Popen[str]]:
    """A process that has come to its "ready"; it ends when its stdin does."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-c", script, str(path), str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        try:
            yield started
        finally:
            started.kill()


def test_a_second_run_is_told_who_holds_the_file(path: Path) -> None:
    with process(path) as holder:
        before = path.read_bytes()
        with pytest.raises(StatusHeldError) as caught:
            StatusFile.open(path, print)

        facts = dict(caught.value.facts)
        assert facts["host"] == socket.gethostname()
        assert facts["pid"] == str(holder.pid)
        assert facts["since"].startswith("20")
        assert facts["run"] == "run-7"
        assert facts["lock file"] == f"{path}.lock"
        assert "Wait until that run ends" in caught.value.mend
        assert path.read_bytes() == before


def test_a_second_run_in_the_same_process_is_told_too(path: Path) -> None:
    with StatusFile.open(path, print):
        with pytest.raises(StatusHeldError) as caught:
            StatusFile.open(path, print)

        assert dict(caught.value.facts)["pid"] == str(os.getpid())
    StatusFile.open(path, print).close()


def test_a_killed_run_leaves_no_lock_and_no_record_behind_is_lost(path: Path) -> None:
    with process(path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()

        with StatusFile.open(path, pytest.fail) as status:
            assert status.past("a") == Past(None, True)


def test_a_deleted_lock_file_does_not_let_a_second_run_in(path: Path) -> None:
    with process(path):
        path.with_name(f"{path.name}.lock").unlink()

        with pytest.raises(StatusHeldError):
            StatusFile.open(path, print)


def test_the_file_is_still_locked_after_a_compaction(path: Path) -> None:
    path.write_bytes(b"pipegraph-status 2\ngarbage\n")
    with StatusFile.open(path, lambda warned: None):
        assert path.read_bytes() == b"pipegraph-status 2\n"
        path.with_name(f"{path.name}.lock").unlink()

        with pytest.raises(StatusHeldError):
            StatusFile.open(path, print)


def test_the_lock_file_stays_and_says_nothing_of_a_run_that_ended(path: Path) -> None:
    lock_file = path.with_name(f"{path.name}.lock")
    with StatusFile.open(path, print):
        inode = lock_file.stat().st_ino
        assert f"pid: {os.getpid()}\n" in lock_file.read_text()

    assert lock_file.stat().st_ino == inode
    assert lock_file.read_text() == ""


def test_a_holder_fact_cannot_forge_lines_or_reach_the_terminal(path: Path) -> None:
    with StatusFile.open(path, print, {"run": "a\npid: 1 \x1b[31m \ud800"}):
        with pytest.raises(StatusHeldError) as caught:
            StatusFile.open(path, print)

        assert dict(caught.value.facts)["pid"] == str(os.getpid())
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"\xff\0\xfe", b"no colon", b"pid: " + b"5" * 100_000])
def test_a_lock_file_of_nonsense_is_no_obstacle(path: Path, text: bytes) -> None:
    lock_file = path.with_name(f"{path.name}.lock")
    with StatusFile.open(path, print):
        lock_file.write_bytes(text)

        with pytest.raises(StatusHeldError) as caught:
            StatusFile.open(path, print)

        assert dict(caught.value.facts)["host"] == "unknown"
        assert len(str(caught.value)) < 5000
    lock_file.write_bytes(text)
    StatusFile.open(path, print).close()


def in_fork(action: Callable[[], object]) -> None:
    """Do this in a forked child, which then ends."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("way", ["close", "close_in_fork", "__exit__", "nothing"])
def test_a_child_that_ends_does_not_free_the_lock(path: Path, way: str) -> None:
    with StatusFile.open(path, print) as status:
        note = path.with_name(f"{path.name}.lock").read_text()
        actions: dict[str, Callable[[], object]] = {
            "close": status.close,
            "close_in_fork": status.close_in_fork,
            "__exit__": lambda: status.__exit__(None, None, None),
            "nothing": lambda: None,
        }
        in_fork(actions[way])

        with pytest.raises(StatusHeldError):
            StatusFile.open(path, print)
        assert path.with_name(f"{path.name}.lock").read_text() == note
        status.note_started("a", 1.0)
        # The lock on the file itself is there, too.
        path.with_name(f"{path.name}.lock").unlink()
        with pytest.raises(StatusHeldError):
            StatusFile.open(path, print)


def opened_below(folder: Path) -> list[str]:
    """Of this process. (Others may come and go: matplotlib closes its fonts in each fork.)"""
    descriptors = Path("/proc/self/fd")
    links = [os.readlink(each) for each in descriptors.iterdir() if os.path.lexists(each)]
    return [link for link in links if link.startswith(str(folder))]


@pytest.mark.parametrize("way", ["close", "close_in_fork", "__exit__"])
def test_a_child_that_closes_the_file_keeps_none_of_its_descriptors(path: Path, way: str) -> None:
    def close_and_look() -> None:
        assert opened_below(path.parent)
        getattr(status, way)(*(None,) * 3 if way == "__exit__" else ())
        assert not opened_below(path.parent)

    with StatusFile.open(path, print) as status:
        in_fork(close_and_look)


def test_a_lock_that_a_child_releases_stays_its_parents(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        held = lock.Lock.take(directory, "lock", "lock", {}, pytest.fail)
        in_fork(held.release)

        with pytest.raises(StatusHeldError) as caught:
            lock.Lock.take(directory, "lock", "lock", {}, pytest.fail)
        assert dict(caught.value.facts)["pid"] == str(os.getpid())
        held.release()
        held.release()
    finally:
        os.close(directory)


FORKS = """
heard, told = os.pipe()
if os.fork() == 0:
    status.close_in_fork()
    os.write(told, b"closed")
    sys.stdin.read()
    os._exit(0)
os.read(heard, 6)
"""


def test_a_child_that_lives_on_does_not_keep_the_lock_of_a_killed_run(path: Path) -> None:
    with process(path, HOLDER + FORKS + WAIT) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.send_signal(signal.SIGKILL)
        holder.wait()

        StatusFile.open(path, pytest.fail).close()

        holder.stdin.close()
        assert holder.stdout.read() == ""  # the child has ended too


def test_a_child_that_did_not_close_its_descriptors_does_not_keep_the_lock_of_a_run_that_ended(path: Path) -> None:
    status = StatusFile.open(path, print)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    try:
        status.close()
        lock_only = os.open(f"{path}.lock", os.O_RDWR)
        try:
            fcntl.flock(lock_only, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(lock_only)
        StatusFile.open(path, pytest.fail).close()
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def test_a_program_that_is_started_gets_none_of_the_descriptors(path: Path) -> None:
    with StatusFile.open(path, print):
        names = subprocess.run(
            [
                sys.executable,
                "-c",
                "import os; print([os.path.realpath(f'/proc/self/fd/{d}') for d in range(3, 50)])",
            ],
            close_fds=False,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

        assert path.name not in names


def refuse_with(number: int) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_flock_record_locks_are_used(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(lock.fcntl, "flock", refuse_with(number))
    script = HOLDER.replace("from pipegraph", f"import fcntl\ndef no(*_): raise OSError({number}, '')\n"
                            "fcntl.flock = no\nfrom pipegraph")  # fmt: skip
    with process(path, script + WAIT) as holder:
        with pytest.raises(StatusHeldError) as caught:
            StatusFile.open(path, pytest.fail)

        assert dict(caught.value.facts)["pid"] == str(holder.pid)
    StatusFile.open(path, pytest.fail).close()


def test_without_any_locks_the_user_is_told_once_and_the_run_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock.fcntl, "flock", refuse_with(errno.ENOLCK))
    monkeypatch.setattr(lock.fcntl, "lockf", refuse_with(errno.ENOLCK))
    warnings: list[Warned] = []

    with StatusFile.open(path, warnings.append) as status:
        status.note_started("a", 1.0)

    assert len(warnings) == 1
    assert "can't be locked on this file system" in warnings[0].headline
    assert "only one run at a time" in warnings[0].mend


def test_a_lock_whose_text_cannot_be_written_is_a_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock.os, "pwrite", refuse_with(errno.ENOSPC))
    with StatusFile.open(path, print), pytest.raises(StatusHeldError):
        StatusFile.open(path, print)


def test_who_holds_it_is_unknown_where_the_lock_file_cannot_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StatusFile.open(path, print):
        monkeypatch.setattr(lock.os, "pread", refuse_with(errno.EIO))

        with pytest.raises(StatusHeldError) as caught:
            StatusFile.open(path, print)

    assert dict(caught.value.facts)["pid"] == "unknown"


def test_the_files_are_as_open_to_others_as_the_umask_lets_them(path: Path) -> None:
    umask = os.umask(0)
    try:
        StatusFile.open(path, print).close()
    finally:
        os.umask(umask)

    assert [each.stat().st_mode & 0o7777 for each in (path, Path(f"{path}.lock"))] == [0o666, 0o666]


def test_a_lock_whose_descriptor_is_the_lowest_is_freed_and_closed(tmp_path: Path) -> None:
    def take_and_release() -> None:
        directory = os.open(tmp_path, os.O_RDONLY)
        os.close(0)
        held = lock.Lock.take(directory, "lock", "lock", {}, print)
        os.fstat(0)
        held.release()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)

    in_fork(take_and_release)
