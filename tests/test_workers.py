"""Processes that jobs share, and their master's handle: who gets what, one message at a time, with real processes."""

import os
import signal
from pathlib import Path

import pytest
from scripts import wait_until
from test_slaves import PLACE, Bench, Job, exists, kinds

from pipegraph.events import JobBegan, JobFailed, JobsLost, JobStopped, JobSucceeded
from pipegraph.model import JobSpec, Role
from pipegraph.slaves import worker


class SharedBench(Bench):
    """One whose jobs share processes."""

    def add(self, job_id, callback=lambda: None):
        return super().add(job_id, callback)._replace(shares_process=True)

    def add_load(self, job_id):
        job = self.jobs[job_id] = Job(job_id, lambda: None)
        job.outputs = ()
        job.changes_slave = True
        job.run = job.release = lambda: None

    def load(self, job_id):
        self.slave.start(JobSpec(job_id, Role.EPHEMERAL, "DataLoadingJob", PLACE, in_memory=True))
        self.until(JobSucceeded(job_id))
        self.slave.adopt(job_id)

    def whose(self, job_id):
        """The process that a job runs in."""
        found = []

        def is_known():
            self.slave.ask_who(0.05)
            self.seen += self.slave.receive()
            found[:] = [each.pid for each in self.slave.look() if each.job == job_id]
            return bool(found)

        wait_until(is_known)
        return found[0]

    def made(self):
        return [event.job for event in self.seen if type(event) is JobSucceeded]

    def until_made(self, *jobs):
        def are_made():
            self.seen += self.slave.receive()
            return set(jobs) <= set(self.made())

        wait_until(are_made, f"only {self.seen}")

    def go(self, *jobs):
        for each in jobs:
            Path(each + ".go").touch()

    def start_waiting(self, *jobs, ahead=()):
        """Jobs that run, and some behind them."""
        specs = [self.waiting(each) for each in (*jobs, *ahead)]
        self.slave.begin()
        for spec in specs:
            self.slave.start(spec, is_ahead=spec.id in ahead)
        for each in jobs:
            exists(each + ".runs")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = len(os.listdir("/proc/self/fd"))
    bench = SharedBench()
    yield bench
    bench.slave.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert len(os.listdir("/proc/self/fd")) == files
    held = bench.slave._workers
    assert not held._workers
    assert not held._held
    assert not held._slave_of
    assert not held._worker_of
    assert not held._begun


def test_a_job_told_ahead_begins_when_the_one_before_ends_and_in_its_process(bench):
    bench.start_waiting("a", ahead=["b"])
    pid = bench.whose("a")
    assert not os.path.exists("b.runs")

    bench.go("a")

    events = bench.until(JobBegan("b"))
    assert kinds(events) == [("JobSucceeded", "a"), ("JobBegan", "b")]
    exists("b.runs")
    assert bench.whose("b") == pid
    bench.go("b")
    bench.until(JobSucceeded("b"))


def test_jobs_told_ahead_are_spread_over_those_that_run(bench):
    bench.start_waiting("a", "b", ahead=["c", "d"])

    bench.go("a", "c", "d")

    bench.until_made("a", "c")
    assert not os.path.exists("d.runs")
    bench.go("b")
    bench.until_made("b", "d")


def test_a_job_whose_turn_has_come_does_not_wait_for_the_one_before_it(bench):
    bench.start_waiting("a", ahead=["b", "c"])

    bench.slave.go("b")
    exists("b.runs")
    bench.slave.go("c")
    exists("c.runs")

    assert len({bench.whose(each) for each in "abc"}) == 3
    bench.go("a", "b", "c")
    bench.until_made("a", "b", "c")


def test_a_turn_that_crosses_with_the_begin_of_the_job_begins_the_next_one(bench):
    bench.start_waiting("a", ahead=["b", "c"])
    bench.go("a")
    exists("b.runs")

    # The master has not read of it: what it takes back is the next in the queue.
    bench.slave.go("b")

    exists("c.runs")
    events = bench.until(JobSucceeded("a"))
    assert ("JobBegan", "c") in kinds(events)
    bench.go("b", "c")
    bench.until_made("b", "c")


def test_a_job_told_ahead_with_nothing_before_it_waits_for_its_turn(bench):
    bench.start_waiting(ahead=["a", "b"])
    assert bench.slave._workers._held

    bench.slave.go("b")
    exists("b.runs")
    assert not os.path.exists("a.runs")
    bench.go("a", "b")

    bench.until_made("a", "b")


def test_a_stop_drops_what_was_told_ahead_and_ends_what_runs(bench):
    bench.start_waiting("a", ahead=["b", "c"])

    bench.slave.stop(None, is_urgent=True)

    bench.until(JobStopped("a"))
    assert sorted(event for event in bench.seen) == [
        JobStopped("a"),
        JobStopped("b", has_begun=False),
        JobStopped("c", has_begun=False),
    ]
    assert not os.path.exists("b.runs")


def test_a_stop_of_one_job_ends_it_and_no_other(bench):
    bench.start_waiting("a", "b", ahead=["c", "d"])

    bench.slave.stop(["a", "c"], is_urgent=False)

    bench.until(JobStopped("a"))
    assert not os.path.exists("a")
    bench.go("b", "d")
    bench.until_made("b", "d")
    assert JobStopped("c", has_begun=False) in bench.seen
    assert not os.path.exists("c.runs")


def test_a_stop_of_a_job_that_has_just_ended_stops_nothing(bench):
    bench.start_waiting("a", ahead=["b"])
    bench.go("a")
    exists("b.runs")

    bench.slave.stop(["a"], is_urgent=True)

    assert not any(worker.is_stopped for worker in bench.slave._workers._workers.values())
    bench.go("b")
    bench.until(JobSucceeded("b"))
    assert JobStopped("a") not in bench.seen


def test_what_is_behind_a_job_that_dies_is_run_by_another_process(bench):
    bench.start_waiting("a", ahead=["b", "c"])
    pid = bench.whose("a")

    os.kill(pid, signal.SIGKILL)

    events = bench.until(JobFailed("a", None))
    assert [event.failure.exit_code for event in events if type(event) is JobFailed] == [-9]
    assert not os.path.exists("b.runs")
    bench.slave.go("b")
    exists("b.runs")
    assert bench.whose("b") != pid
    bench.go("b", "c")
    bench.until_made("b", "c")


def test_a_process_that_dies_with_nothing_to_do_costs_no_job(bench):
    first, asked, second = bench.add("a"), bench.waiting("x"), bench.add("b")
    bench.slave.begin()
    bench.slave.start(first)
    bench.until(JobSucceeded("a"))
    (number,) = bench.slave._workers._workers
    bench.slave._current.running[0] = asked  # otherwise there is nobody to ask for
    bench.slave.ask_who(5.0)
    del bench.slave._current.running[0]
    pid = bench.slave._current.processes[number][0][0]

    os.kill(pid, signal.SIGKILL)

    wait_until(lambda: bench.slave.receive() == [] and not bench.slave._workers._workers)
    bench.slave.start(second)
    bench.until(JobSucceeded("b"))


def test_a_process_that_can_not_begin_fails_one_job_at_a_time(bench, monkeypatch):
    class Broken:
        def __init__(self, slot):
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(worker, "Kept", Broken)
    first, second = bench.add("a"), bench.add("b")
    bench.slave.begin()
    bench.slave.start(first)

    bench.until(JobFailed("a", None))
    bench.slave.start(second)
    bench.until(JobFailed("b", None))


def test_what_waits_when_something_is_loaded_is_run_by_the_next_slave(bench):
    bench.add_load("load")
    held = bench.waiting("c")
    bench.start_waiting("a", ahead=["b"])
    bench.load("load")
    bench.slave.start(held, is_ahead=True)

    bench.go("a", "b", "c")

    bench.slave.go("c")
    bench.until_made("a", "b", "c")
    assert not [event for event in bench.seen if type(event) is JobsLost]


def test_what_waits_with_nothing_before_it_outlives_its_slave(bench):
    waiting, other = bench.waiting("a"), bench.add("other")
    for each in ("first", "second"):
        bench.add_load(each)
    bench.slave.begin()
    bench.load("first")
    first = bench.slave._current
    bench.slave.start(waiting, is_ahead=True)
    bench.load("second")
    wait_until(lambda: bench.slave.receive() == [] and first not in bench.slave._slaves.values())
    bench.slave.start(other)
    bench.until_made("other")

    bench.go("a")
    bench.slave.go("a")

    bench.until_made("a")
    assert not [event for event in bench.seen if type(event) is JobsLost]


def test_what_is_released_is_held_by_no_process_that_runs_later_jobs(bench):
    before = bench.add("a", lambda: Path("a.pid").write_text(str(os.getpid())))
    after = bench.add("b", lambda: Path("b.pid").write_text(str(os.getpid())))
    bench.add_load("load")
    bench.slave.begin()
    bench.load("load")
    bench.slave.start(before)
    bench.until(JobSucceeded("a"))

    bench.slave.release("load")

    bench.slave.start(after)
    bench.until(JobSucceeded("b"))
    assert Path("a.pid").read_text() != Path("b.pid").read_text()
    wait_until(lambda: not os.path.exists("/proc/" + Path("a.pid").read_text()))


def test_all_that_a_slave_had_told_ahead_is_lost_with_it(bench):
    bench.start_waiting("a", ahead=["b", "c"])

    os.kill(bench.slave._process.pid, signal.SIGKILL)

    bench.until(JobsLost(("a", "b", "c"), ()))


def test_a_job_that_had_reported_when_its_slave_died_is_not_lost(bench):
    bench.start_waiting("a", ahead=["b"])
    bench.go("a")
    exists("b.runs")

    os.kill(bench.slave._process.pid, signal.SIGKILL)

    events = bench.until(JobsLost(("b",), ()))
    assert [event.job for event in events if type(event) is JobSucceeded] == ["a"]


def test_more_than_a_queue_takes_is_run_all_the_same(bench):
    names = [f"n{n}" for n in range(1000)]
    bench.start_waiting("a", ahead=names)
    assert bench.slave._workers.are_behind

    bench.go("a", *names)

    bench.until_made("a", *names)
    assert bench.made() == ["a", *names]


def test_what_a_running_job_has_printed_is_its_own(bench):
    specs = [bench.waiting(each) for each in "ab"]
    for spec in specs:
        before = bench.jobs[spec.id].callback

        def callback(name=spec.id, before=before):
            print("this is", name, flush=True)
            before()

        bench.jobs[spec.id].callback = callback
    bench.slave.begin()
    bench.slave.start(specs[0])
    bench.slave.start(specs[1], is_ahead=True)
    exists("a.runs")
    bench.whose("a")
    assert bench.slave.printed_so_far("a", 1000).stdout == "this is a\n"
    assert bench.slave.printed_so_far("b", 1000).stdout == ""

    bench.go("a")
    bench.until(JobBegan("b"))
    exists("b.runs")
    bench.whose("b")
    assert bench.slave.printed_so_far("b", 1000).stdout == "this is b\n"
    bench.go("b")
    bench.until(JobSucceeded("b"))
