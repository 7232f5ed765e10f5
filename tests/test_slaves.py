"""A slave and its master's handle, with real processes, one message at a time."""

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripts import wait_until

from pipegraph.events import Event, JobBegan, JobFailed, JobsLost, JobStopped, JobSucceeded
from pipegraph.model import NO_GROWTH, Growth, JobSpec, Place, Role
from pipegraph.slaves import LocalSlave

PLACE = Place("script.py", 1)


class Job:
    """A job of one file, whose callback writes it."""

    place = PLACE
    empty_ok: frozenset[str] = frozenset()
    rename_broken = False
    changes_slave = False
    is_generator = False
    is_program = False
    timeout_seconds = 0.0
    loaded_fingerprint = ""
    recorded_content = ""
    input_ids = ()

    def __init__(self, job_id: str, callback: Callable[[], object]) -> None:
        self.job_id = job_id
        self.outputs: tuple[str, ...] = (job_id,)
        self.callback = callback

    def run(self) -> None:
        self.callback()
        Path(self.job_id).write_text("made")

    def release(self) -> None:
        raise AssertionError("nothing was loaded")


class Bench:
    """Jobs, and the handle on the slave that runs them."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.seen: list[Event] = []
        self.slave = LocalSlave(self, "test", None, grace_seconds=30.0)

    def job(self, job_id: str) -> Job:
        return self.jobs[job_id]

    def begin_growth(self, job_id: str) -> None:
        raise AssertionError("there are no generators")

    def end_growth(self) -> Growth:
        return NO_GROWTH

    def explain(self, invariant: str) -> None:
        raise AssertionError("there are no generators")

    def add(self, job_id: str, callback: Callable[[], object] = lambda: None) -> JobSpec:
        self.jobs[job_id] = Job(job_id, callback)
        return JobSpec(job_id, Role.OUTPUT, "FileGeneratingJob", PLACE, (job_id,))

    def waiting(self, job_id: str) -> JobSpec:
        """A job that ends when there is a file of its name with `.go`."""

        def callback() -> None:
            Path(job_id + ".runs").touch()
            while not os.path.exists(job_id + ".go"):
                time.sleep(0.002)

        return self.add(job_id, callback)

    def until(self, event: Event) -> list[Event]:
        """Receive until something like this comes; what came since the last call."""
        found: list[Event] = []
        give_up_at = time.monotonic() + 20
        while not any(type(each) is type(event) and each[:1] == event[:1] for each in found):  # type: ignore[index]
            assert time.monotonic() < give_up_at, f"only {found}"
            select.select(self.slave.fileno(), [], [], 0.05)
            found += self.slave.receive()
        self.seen += found
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)
    bench = Bench()
    yield bench
    bench.slave.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def exists(path: str) -> bool:
    wait_until(lambda: os.path.exists(path), f"there is no {path}")
    return True


def kinds(events: list[Event]) -> list[tuple[str, str]]:
    return [(type(event).__name__, event[0]) for event in events]  # type: ignore[misc]


def test_a_job_told_ahead_begins_when_another_ends_and_not_before(bench: Bench) -> None:
    first, second = bench.waiting("first"), bench.waiting("second")
    bench.slave.begin()
    bench.slave.start(first)
    bench.slave.start(second, is_ahead=True)
    exists("first.runs")
    assert not os.path.exists("second.runs")

    Path("first.go").touch()
    events = bench.until(JobBegan("second"))
    assert kinds(events) == [("JobSucceeded", "first"), ("JobBegan", "second")]
    exists("second.runs")
    Path("second.go").touch()
    bench.until(JobSucceeded("second"))


def test_a_job_told_ahead_to_an_idle_slave_waits_for_its_turn(bench: Bench) -> None:
    spec = bench.add("late")
    other = bench.add("other")
    bench.slave.begin()
    bench.slave.start(spec, is_ahead=True)
    bench.slave.go("late")
    assert kinds(bench.until(JobSucceeded("late"))) == [("JobSucceeded", "late")]

    # Its turn comes once more, as it may when that and the end of another job cross.
    bench.slave._say(bench.slave._current, ("go", 1))  # type: ignore[arg-type]
    bench.slave.start(other)
    assert kinds(bench.until(JobSucceeded("other"))) == [("JobSucceeded", "other")]


def test_a_stop_drops_what_was_told_ahead(bench: Bench) -> None:
    first, second = bench.waiting("first"), bench.add("second")
    bench.slave.begin()
    bench.slave.start(first)
    bench.slave.start(second, is_ahead=True)
    exists("first.runs")

    bench.slave.stop(None, is_urgent=True)
    events = bench.until(JobStopped("first"))
    assert sorted(kinds(events)) == [("JobStopped", "first"), ("JobStopped", "second")]
    assert not os.path.exists("second")


def test_what_a_job_left_that_claims_success_without_a_report_is_put_away(bench: Bench) -> None:
    def leave() -> None:
        Path("sly").write_text("half")
        os._exit(0)

    spec, other = bench.add("sly", leave), bench.add("other")
    bench.slave.begin()
    bench.slave.start(spec)
    bench.until(JobFailed("sly", None))  # type: ignore[arg-type]
    # The slave reads its messages in order.
    bench.slave.start(other)
    bench.until(JobSucceeded("other"))

    assert not os.path.exists("sly")


def test_a_job_that_had_reported_when_its_slave_died_is_not_lost(bench: Bench) -> None:
    done, running = bench.add("done"), bench.waiting("running")
    bench.slave.begin()
    bench.slave.start(running)
    exists("running.runs")
    os.kill(bench.slave._process.pid, 19)  # STOP: it can't tell how its jobs end
    report = (999, (0.0, 0.0, 0.0, 0, 0, 0), [("done", "f", 4, 1, 2, False)])
    from pipegraph.slaves import messages

    messages.send(bench.slave._process._reports_writer, report)
    bench.slave._current.running[999] = done  # type: ignore[union-attr]
    os.kill(bench.slave._process.pid, 9)

    events = bench.until(JobsLost(("running",), ()))
    assert next(event for event in events if type(event) is JobSucceeded).job == "done"


def test_a_report_whose_way_was_closed_comes_by_file(bench: Bench) -> None:
    spec = bench.add("closer", lambda: os.closerange(3, 1000))
    bench.slave.begin()
    bench.slave.start(spec)

    events = bench.until(JobSucceeded("closer"))
    assert events[0].outputs[0].path == "closer"  # type: ignore[union-attr]


def test_a_fork_that_may_not_take_over_ends(bench: Bench) -> None:
    bench.jobs["load"] = Job("load", lambda: Path("pid").write_text(str(os.getpid())))
    bench.jobs["load"].outputs = ()
    spec = JobSpec("load", Role.EPHEMERAL, "DataLoadingJob", PLACE, in_memory=True)
    second = bench.waiting("second")
    bench.slave.begin()
    bench.slave.start(spec)
    bench.until(JobSucceeded("load"))
    assert exists("/proc/" + Path("pid").read_text())

    bench.slave.discard("load")

    wait_until(lambda: not os.path.exists("/proc/" + Path("pid").read_text()))
    # The slave that forked it goes on.
    bench.slave.start(second)
    exists("second.runs")


def test_what_was_loaded_is_lost_if_the_slaves_die_before_it_was_adopted(bench: Bench) -> None:
    bench.jobs["load"] = Job("load", lambda: None)
    bench.jobs["load"].outputs = ()
    bench.jobs["load"].run = lambda: None  # type: ignore[method-assign]
    spec = JobSpec("load", Role.EPHEMERAL, "DataLoadingJob", PLACE, in_memory=True)
    bench.slave.begin()
    bench.slave.start(spec)
    said = bench.slave._candidates["load"].end
    assert select.select([said], [], [], 20)[0]  # that it is done; nobody has listened yet
    ended = os.pidfd_open(bench.slave._process.pid)

    os.kill(bench.slave._process.pid, signal.SIGKILL)
    assert select.select([ended], [], [], 20)[0]
    os.close(ended)

    events = bench.until(JobsLost(("load",), ()))
    assert not [event for event in events if isinstance(event, JobSucceeded)]
    bench.slave.start(spec)
    bench.until(JobSucceeded("load"))
    bench.slave.adopt("load")


SPUN_SECONDS = 0.05


def spin() -> None:
    """Use that much of the processor, however long it takes."""
    until = time.process_time() + SPUN_SECONDS
    while time.process_time() < until:
        pass


def spin_in_a_child() -> None:
    child = os.fork()
    if child == 0:
        spin()
        os._exit(0)
    os.waitpid(child, 0)


def spin_and_fail() -> None:
    spin()
    raise ValueError


def spin_and_die() -> None:
    spin()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("callback", "end"),
    [
        (spin, JobSucceeded),
        (spin_in_a_child, JobSucceeded),
        (spin_and_fail, JobFailed),
        (spin_and_die, JobFailed),
    ],
)
def test_the_processor_time_of_a_job_is_told_however_it_ends(
    bench: Bench, callback: Callable[[], None], end: Callable[..., Event]
) -> None:
    spec = bench.add("busy", callback)
    bench.slave.begin()

    bench.slave.start(spec)
    events = bench.until(JobSucceeded("busy") if end is JobSucceeded else JobFailed("busy", None))  # type: ignore[arg-type]

    (event,) = events
    # A child's is counted in ticks, the last of which may not be whole.
    assert event.usage.cpu_seconds >= SPUN_SECONDS - 0.011  # type: ignore[union-attr]


def test_many_messages_at_once_are_all_obeyed(bench: Bench) -> None:
    specs = [bench.add(f"job {number}") for number in range(30)]
    bench.slave.begin()
    for spec in specs:
        bench.slave.start(spec)

    ended: set[str] = set()
    while len(ended) < len(specs):
        select.select(bench.slave.fileno(), [], [], 20)
        ended |= {event.job for event in bench.slave.receive() if isinstance(event, JobSucceeded)}

    assert ended == {spec.id for spec in specs}
