"""A look at jobs from outside: which processes they are, what memory they took, what they printed last."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripts import Script, wait_until
from test_slaves import PLACE, Bench, Job, exists

from pipegraph.events import JobSucceeded
from pipegraph.model import NOTHING_PRINTED, JobSpec, Printed, Role
from pipegraph.slaves import looking

MEGABYTE = 1 << 20
IN_OPEN = 0x20
GONE = 1 << 22
"""No process has this id (proc(5), pid_max)."""

HEAD = """
import mmap, os, signal, subprocess, sys, threading
from pipegraph.slaves.memory import anonymous_bytes

def ready(*what):
    with open("part", "w") as part:
        part.write(" ".join(map(str, what)))
    os.rename("part", "ready")
    signal.pause()
"""

Begin = Callable[[str], list[int]]


@pytest.fixture
def begin(script: Script) -> Iterator[Begin]:
    """Starts a program, and gives its process id with the numbers that it is `ready` with."""

    def begun(code: str) -> list[int]:
        text = HEAD + textwrap.dedent(code)
        process = subprocess.Popen([sys.executable, "-c", text], cwd=script.folder, env=script.environment)
        script.begun.append(process)  # type: ignore[arg-type]
        wait_until((script.folder / "ready").exists, "it is not ready")
        return [process.pid, *map(int, (script.folder / "ready").read_text().split())]

    yield begun
    script.end()


# --- who it is


FAMILY = """
child = os.fork()
if not child:
    if os.fork():
        signal.pause()
    ready(os.getppid(), os.getpid())
signal.pause()
"""


def test_a_family_is_a_process_its_children_and_theirs(begin: Begin) -> None:
    family = begin(FAMILY)

    assert looking.family_of(family[0]) == family
    assert looking.family_of(family[1]) == family[1:]


def test_children_that_a_thread_started_belong_to_the_family(begin: Begin) -> None:
    pid, child = begin(
        """
        sleeping = []
        def start():
            sleeping.append(subprocess.Popen(["sleep", "600"]))
            threading.Event().wait()
        thread = threading.Thread(target=start, daemon=True)
        thread.start()
        while not sleeping:
            pass
        ready(sleeping[0].pid)
        """
    )

    assert looking.family_of(pid) == [pid, child]


def test_who_left_the_family_is_not_in_it(begin: Begin, script: Script) -> None:
    pid, daemon = begin(
        """
        told, tell = os.pipe()
        if not os.fork():
            os.setsid()
            if os.fork():
                os._exit(0)
            os.write(tell, str(os.getpid()).encode())
            signal.pause()
        os.wait()
        ready(int(os.read(told, 100)))
        """
    )

    assert looking.family_of(pid) == [pid]
    assert daemon in script.processes()


def test_where_the_kernel_does_not_list_children_they_are_found_all_the_same(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> None:
        raise FileNotFoundError

    family = begin(FAMILY)
    monkeypatch.setattr(looking, "open", refused, raising=False)

    assert looking.family_of(family[0]) == family


# --- what memory it took


def test_what_was_inherited_or_is_of_a_file_is_not_a_jobs_own(begin: Begin) -> None:
    _, inherited, job = begin(
        """
        kept = bytearray(b"x") * (200 << 20)
        inherited = anonymous_bytes()
        if not os.fork():
            own = bytearray(b"x") * (50 << 20)
            with open("large", "wb") as large:
                large.truncate(100 << 20)
            with open("large", "rb") as large:
                mapped = mmap.mmap(large.fileno(), 0, prot=mmap.PROT_READ)
            sum(mapped[::4096])
            ready(inherited, os.getpid())
        signal.pause()
        """
    )

    assert inherited > 200 * MEGABYTE
    assert 50 * MEGABYTE <= looking.own_bytes([job], inherited) < 60 * MEGABYTE


def test_what_a_fork_of_a_job_inherited_is_not_its_own_either(begin: Begin) -> None:
    _, inherited, job = begin(
        """
        kept = bytearray(b"x") * (200 << 20)
        inherited = anonymous_bytes()
        job = os.fork()
        if not job:
            if not os.fork():
                own = bytearray(b"x") * (50 << 20)
                ready(inherited, os.getppid())
        signal.pause()
        """
    )
    family = looking.family_of(job)

    assert len(family) == 2
    assert 50 * MEGABYTE <= looking.own_bytes(family, inherited) < 65 * MEGABYTE


def test_what_forks_have_of_what_the_job_itself_took_is_counted_once(begin: Begin) -> None:
    _, inherited, job = begin(
        """
        inherited = anonymous_bytes()
        job = os.fork()
        if not job:
            own = bytearray(b"x") * (200 << 20)
            told, tell = os.pipe()
            for _ in range(3):
                if not os.fork():
                    more = bytearray(b"x") * (20 << 20)
                    os.write(tell, b"x")
                    signal.pause()
            for _ in range(3):
                os.read(told, 1)
            ready(inherited, os.getpid())
        signal.pause()
        """
    )
    family = looking.family_of(job)

    assert len(family) == 4
    assert 260 * MEGABYTE <= looking.own_bytes(family, inherited) < 290 * MEGABYTE


@pytest.mark.parametrize("program", ["another", "the same"])
def test_what_a_job_executes_inherits_nothing(begin: Begin, script: Script, program: str) -> None:
    # A copy in the same place finds the same library.
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}").resolve()
    if program == "another":
        other = script.folder / "another"
        other.write_bytes(python.read_bytes())
        other.chmod(0o755)
        python = other
    _, inherited, job = begin(
        f"""
        kept = bytearray(b"x") * (200 << 20)
        inherited = anonymous_bytes()
        job = os.fork()
        if not job:
            grow = "own = bytearray(b'x') * (50 << 20); print(flush=True); import signal; signal.pause()"
            home = dict(os.environ, PYTHONHOME={sys.base_prefix!r})
            started = subprocess.Popen([{str(python)!r}, "-c", grow], env=home, stdout=subprocess.PIPE)
            started.stdout.readline()
            ready(inherited, os.getpid())
        signal.pause()
        """
    )
    family = looking.family_of(job)

    assert len(family) == 2
    assert 50 * MEGABYTE <= looking.own_bytes(family, inherited) < 75 * MEGABYTE


def test_of_a_process_that_is_gone_nothing_is_told() -> None:
    assert looking.family_of(GONE) == [GONE]
    assert looking.own_bytes([GONE], 0) == 0
    assert looking.last_line(GONE) == ""
    assert looking.tail(GONE, 1) == ("", 0, 0)


# --- what it printed


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Callable[[bytes, bytes], int]]:
    """A process whose stdout and stderr hold this, the latter written to later; its id."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(out: bytes, err: bytes) -> int:
        with (tmp_path / "out").open("wb") as stdout, (tmp_path / "err").open("wb") as stderr:
            for number, (stream, data) in enumerate(((stdout, out), (stderr, err))):
                stream.write(data)
                stream.flush()
                os.utime(stream.fileno(), ns=(0, number + 1))
            begun.append(subprocess.Popen(["sleep", "600"], stdout=stdout, stderr=stderr))
        return begun[-1].pid

    yield begin
    for process in begun:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("out", "err", "line"),
    [
        (b"one\ntwo\n", b"", "two"),
        (b"one\n  two  ", b"", "two"),
        (b"one\n\n \t\n", b"", "one"),
        (b"10 %\r20 %\r30 %", b"", "30 %"),
        (b"10 %\r20 %\r30 %\r", b"", "30 %"),
        (b"one\r\n", b"", "one"),
        (b"older\n", b"newer\n", "newer"),
        (b"older\n", b"\n", "older"),
        (b"", b"careful\n", "careful"),
        (b"", b"", ""),
        (b"\n\n", b"", ""),
        (b"caf\xe9 \xff\n", b"", "caf\\xe9 \\xff"),
        (b"first\n" + b"x" * 5000 + b"end\n", b"", "x" * 297 + "end"),
        ("\u8a66".encode() * 1000 + b"\nend", b"", "end"),
    ],
)
def test_the_last_line_is_the_newest_state_of_what_a_person_would_see(
    writing: Callable[[bytes, bytes], int], out: bytes, err: bytes, line: str
) -> None:
    assert looking.last_line(writing(out, err)) == line


def test_what_was_written_later_is_the_last_line_whichever_stream_it_went_to(
    writing: Callable[[bytes, bytes], int], tmp_path: Path
) -> None:
    pid = writing(b"of stdout\n", b"of stderr\n")
    os.utime(tmp_path / "out", ns=(0, 3))

    assert looking.last_line(pid) == "of stdout"


def test_the_end_of_a_file_comes_with_its_size_also_when_it_was_removed(
    writing: Callable[[bytes, bytes], int], tmp_path: Path
) -> None:
    pid = writing(b"0123456789", b"")
    (tmp_path / "out").unlink()

    assert looking.tail(pid, 1, 4) == ("6789", 10, 1)
    assert looking.tail(pid, 1, 100) == ("0123456789", 10, 1)
    assert looking.tail(pid, 7) == ("", 0, 0)


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    """A reader more would keep a writer from noticing that nobody reads; one that is opened first may wait for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    both = os.open(pipe, os.O_RDWR)
    process = subprocess.Popen(["sleep", "600"], stdout=both, stderr=both)
    library = ctypes.CDLL(None, use_errno=True)
    opened = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert library.inotify_add_watch(opened, os.fsencode(pipe), IN_OPEN) >= 0
    os.write(both, b"not for us\n")
    try:
        assert looking.last_line(process.pid) == ""
        assert looking.tail(process.pid, 1) == ("", 0, 0)

        with pytest.raises(BlockingIOError):
            os.read(opened, 1000)
        assert os.read(both, 1000) == b"not for us\n"
    finally:
        process.kill()
        process.wait()
        os.close(both)
        os.close(opened)


# --- through the handle on the slaves


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)
    bench = Bench()
    yield bench
    bench.slave.end()


class Called(Job):
    """A job with a callback; those without outputs load something."""

    def run(self) -> None:
        self.callback()
        for path in self.outputs:
            Path(path).write_text("made")


def telling(bench: Bench, name: str, own_bytes: int = 0) -> JobSpec:
    """A job that says who it is, in a file and on stdout, and runs until there is a file of its name with `.go`."""

    def callback() -> None:
        own = bytearray(b"x") * own_bytes
        print(f"this is {name}", flush=True)
        Path(name + ".part").write_text(str(os.getpid()))
        os.rename(name + ".part", name + ".pid")
        while not os.path.exists(name + ".go"):
            time.sleep(0.002)
        del own

    spec = bench.add(name, callback)
    bench.jobs[name] = Called(name, callback)
    return spec


def loading(bench: Bench, name: str, megabytes: int = 0) -> JobSpec:
    kept: list[bytearray] = []
    bench.jobs[name] = Called(name, lambda: kept.append(bytearray(b"x") * (megabytes * MEGABYTE)))
    bench.jobs[name].outputs = ()
    return JobSpec(name, Role.EPHEMERAL, "DataLoadingJob", PLACE, in_memory=True)


def load(bench: Bench, name: str, megabytes: int = 0) -> None:
    bench.slave.start(loading(bench, name, megabytes))
    bench.until(JobSucceeded(name))
    bench.slave.adopt(name)


def pid_of(name: str) -> int:
    exists(name + ".pid")
    return int(Path(name + ".pid").read_text())


def test_a_job_is_the_process_that_is_told_for_it(bench: Bench) -> None:
    jobs = [telling(bench, name) for name in ("a", "b")]
    bench.slave.begin()
    before = time.time()
    for job in jobs:
        bench.slave.start(job)
    expected = {name: pid_of(name) for name in ("a", "b")}
    assert bench.slave.look() == []
    bench.slave.ask_who(20.0)
    seen = bench.slave.look()

    assert {each.job: each.pid for each in seen} == expected
    assert [(each.processes, each.last_line) for each in seen] == [(1, "this is a"), (1, "this is b")]
    assert all(before <= each.started_at <= time.time() for each in seen)
    assert bench.slave.printed_so_far("b", 4) == Printed("s b\n", "", 10, 0)
    assert bench.slave.printed_so_far("c", 4) == NOTHING_PRINTED


def test_a_job_that_ended_or_has_not_begun_is_not_told(bench: Bench) -> None:
    first, second, ahead = telling(bench, "first"), telling(bench, "second"), telling(bench, "ahead")
    bench.slave.begin()
    bench.slave.start(first)
    bench.slave.start(second)
    pid_of("first")
    pid_of("second")
    bench.slave.ask_who(20.0)
    Path("first.go").touch()
    bench.until(JobSucceeded("first"))
    bench.slave.start(ahead, is_ahead=True)
    bench.slave.ask_who(20.0)

    assert [each.job for each in bench.slave.look()] == ["second"]


def test_jobs_of_slaves_that_were_succeeded_are_found_too(bench: Bench) -> None:
    jobs = {name: telling(bench, name) for name in ("of_the_keeper", "of_the_first", "of_the_second")}
    loading(bench, "one")
    loading(bench, "two")
    bench.slave.begin()
    bench.slave.start(jobs["of_the_keeper"])
    load(bench, "one")
    bench.slave.start(jobs["of_the_first"])
    pid_of("of_the_first")
    load(bench, "two")
    bench.slave.start(jobs["of_the_second"])
    expected = {name: pid_of(name) for name in jobs}
    bench.slave.ask_who(20.0)

    assert {each.job: each.pid for each in bench.slave.look()} == expected


def test_what_a_slave_has_loaded_is_not_memory_of_its_jobs(bench: Bench) -> None:
    before, after = telling(bench, "before", 50 * MEGABYTE), telling(bench, "after", 50 * MEGABYTE)
    loading(bench, "data", 200)
    bench.slave.begin()
    bench.slave.start(before)
    pid_of("before")
    load(bench, "data", 200)
    bench.slave.start(after)
    pid_of("after")
    bench.slave.ask_who(20.0)
    own = {each.job: each.own_bytes for each in bench.slave.look()}

    assert sorted(own) == ["after", "before"]
    assert all(45 * MEGABYTE < each < 65 * MEGABYTE for each in own.values()), own


def test_what_happens_while_slaves_are_asked_is_not_lost(bench: Bench) -> None:
    short, long = telling(bench, "short"), telling(bench, "long")
    bench.slave.begin()
    bench.slave.start(short)
    bench.slave.start(long)
    pid_of("short")
    pid_of("long")
    ended = os.pidfd_open(pid_of("short"))
    Path("short.go").touch()
    keeper = bench.slave._current
    while len(keeper.running) > 1:  # type: ignore[union-attr]
        bench.slave.ask_who(0.05)
    os.close(ended)

    assert [event.job for event in bench.slave.receive() if isinstance(event, JobSucceeded)] == ["short"]


def test_a_slave_that_does_not_answer_holds_up_nobody_and_is_asked_once(bench: Bench) -> None:
    job = telling(bench, "a")
    bench.slave.begin()
    bench.slave.start(job)
    pid_of("a")
    os.kill(bench.slave._process.pid, signal.SIGSTOP)
    for _ in range(1000):  # more than its socket takes
        bench.slave.ask_who(0.0)
    bench.slave.ask_who(0.05)
    assert bench.slave.look() == []
    os.kill(bench.slave._process.pid, signal.SIGCONT)

    assert not bench.slave._current.outbox.unsent  # type: ignore[union-attr]
    bench.slave.ask_who(20.0)
    assert [each.pid for each in bench.slave.look()] == [pid_of("a")]
