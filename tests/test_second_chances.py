"""Which jobs that ended without success are started again, and which have failed; on a made-up machine."""

from __future__ import annotations

import math
import time

import pytest
from memories import MB, Machine

from pipegraph.admission import Admission
from pipegraph.admission.pressure import Pressure
from pipegraph.coordinator import Coordinator
from pipegraph.coordinator.forecasts import Forecasts
from pipegraph.estimates import Estimates
from pipegraph.events import JobFailed, JobPutOff, JobsLost, Warned
from pipegraph.machine.jobserver import Lending
from pipegraph.model import NO_USAGE, Failure, FailureKind, JobSpec, Place, Role, Sighting
from pipegraph.second_chances import SecondChances

TOTAL = 1000 * MB
RAISED = Failure(FailureKind.RAISED, "builtins.ValueError", "boom")
KILLED = Failure(FailureKind.DIED, "pipegraph.errors.JobDiedException", "killed", exit_code=-9)


class World:
    """Jobs that run, and what is shown of them."""

    def __init__(self, folder, retries_out_of_memory=True):
        self.machine = Machine(TOTAL, waits=None)
        self.shown = []
        self.specs = {}
        self.admission = Admission(
            Coordinator(4, TOTAL),
            Forecasts(Estimates(), lambda name: None, TOTAL),
            Pressure(self.machine, TOTAL),
            Lending(str(folder), 3),
            lambda guess: {},
        )
        self.chances = SecondChances(self.specs, self.admission, TOTAL, retries_out_of_memory, self.shown.append)

    def start(self, *names, **how):
        for name in names:
            place = Place("s.py", 1)
            self.specs[name] = JobSpec(name, Role.OUTPUT, "FileGeneratingJob", place, **how)
            self.admission.submit(self.specs[name])
            self.chances.note_started(name)
        while self.admission.next_start(0.0) is not None:
            pass

    def fail(self, name, failure, is_to_end=False, megabytes=0):
        usage = NO_USAGE._replace(peak_bytes=megabytes * MB)
        told = self.chances.after_failure(JobFailed(name, failure, usage), is_to_end)
        self.admission.end(name)
        return told

    def see(self, **megabytes):
        self.admission.see([Sighting(name, 1, 0.0, 1, size * MB, "") for name, size in megabytes.items()])

    def put_off(self):
        """Who was, which attempt that was, and of how many."""
        found = [(event.job, event.attempt, event.of) for event in self.shown if isinstance(event, JobPutOff)]
        self.shown.clear()
        return found

    def due(self):
        return self.chances.due(math.inf)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.admission.close()


@pytest.fixture
def strict_world(tmp_path):
    made = World(tmp_path, retries_out_of_memory=False)
    yield made
    made.admission.close()


def test_a_job_that_may_fail_is_put_off_and_in_the_end_it_is_said_how_often_it_was_tried(world):
    world.start("a", retries=1, retry_seconds=1000.0)

    assert world.fail("a", RAISED) is None
    assert world.put_off() == [("a", 1, 2)]
    assert world.chances.until("a") == world.chances.next_due()
    assert world.chances.due(time.monotonic()) == []
    assert world.due() == ["a"] and world.chances.next_due() is None
    assert world.fail("a", RAISED).failure.message == "boom (tried 2 times)"
    assert world.put_off() == []


@pytest.mark.parametrize("failure", [RAISED, KILLED])
def test_whoever_is_to_end_gets_no_second_chance(world, failure):
    world.start("a", retries=1)
    world.machine.killed = 1

    assert world.fail("a", failure, is_to_end=True) is not None
    assert world.put_off() == [] and world.due() == []


def test_what_the_kernel_killed_is_made_again_once_which_does_not_count(world):
    world.start("a", retries=1)
    world.machine.killed = 1
    assert world.fail("a", KILLED) is None
    assert world.put_off() == [("a", 0, 0)] and world.due() == ["a"]

    world.start("a", retries=1)
    world.machine.killed = 2
    assert world.fail("a", KILLED) is None
    assert world.put_off() == [("a", 1, 2)] and world.due() == ["a"]

    world.start("a", retries=1)
    world.machine.killed = 3
    failure = world.fail("a", KILLED).failure
    assert "memory ran out, also when it ran alone (tried 2 times)" in failure.message.splitlines()[0]


def test_what_the_kernel_killed_fails_by_that_name_where_it_is_not_to_be_made_again(strict_world):
    strict_world.start("a")
    strict_world.machine.killed = 1
    failure = strict_world.fail("a", KILLED, megabytes=300).failure

    assert "killed by the kernel, since memory ran out: it had 314.6 MB of 1 GB" in failure.message
    assert strict_world.put_off() == []


def test_what_was_lost_with_a_slave_that_the_kernel_killed_fails_if_it_had_run_alone(world):
    world.start("a")
    world.machine.killed = 1
    assert world.fail("a", KILLED) is None
    assert world.due() == ["a"]
    world.start("a", "b")
    world.shown.clear()

    world.machine.killed = 2
    failed, lost = world.chances.after_loss(JobsLost(("a", "b"), ("kept",)))

    assert lost == JobsLost(("b",), ("kept",))
    assert [event.job for event in failed] == ["a"]
    assert "also when it ran alone" in failed[0].failure.message
    assert [type(event) for event in world.shown] == [Warned]
    assert world.admission.runs_alone("b")


def test_nothing_that_was_lost_with_a_killed_slave_is_made_again_where_it_is_not_to_be(strict_world):
    strict_world.start("a", "b")
    strict_world.machine.killed = 1
    failed, lost = strict_world.chances.after_loss(JobsLost(("a", "b"), ()))

    assert lost.running == () and [event.job for event in failed] == ["a", "b"]


def test_what_was_lost_otherwise_is_made_again_and_nothing_is_said(world):
    world.start("a")
    lost = JobsLost(("a",), ("kept",))

    assert world.chances.after_loss(lost) == ([], lost)
    assert world.shown == [] and not world.admission.runs_alone("a")


@pytest.fixture
def short(world):
    """Memory is about to run out."""
    world.start("old", "young")
    world.see(old=400, young=400)
    world.machine.free = 10 * MB
    return world


def test_while_one_is_being_ended_for_memory_nobody_else_is(short):
    assert short.chances.needs_memory(1.0, ["old", "young"])
    assert short.chances.whom_to_end(["old", "young"], 1.0) == "young"

    assert not short.chances.needs_memory(2.0, ["old", "young"])
    assert short.chances.needs_memory(3.0, ["old"])  # it has succeeded all the same


def test_while_there_is_enough_memory_nobody_is_ended(short):
    short.machine.free = 900 * MB

    assert not short.chances.needs_memory(1.0, ["old", "young"])


def test_where_there_is_nobody_to_end_that_is_not_asked_again_at_once(short):
    asked_at = 1.0
    assert short.chances.needs_memory(asked_at, ["old", "young"])
    before = short.admission.next_deadline()

    assert short.chances.whom_to_end([], asked_at) is None
    assert short.admission.next_deadline() > before
    assert not short.chances.needs_memory(asked_at + 1.0, ["old", "young"])


def test_who_was_ended_for_memory_is_put_off_once_which_does_not_count(short):
    assert not short.chances.put_off_for_memory("young")
    assert short.chances.needs_memory(1.0, ["old", "young"])
    assert short.chances.whom_to_end(["old", "young"], 1.0) == "young"

    assert not short.chances.put_off_for_memory("old")
    assert short.chances.put_off_for_memory("young")
    assert not short.chances.put_off_for_memory("young")
    [event] = short.shown
    assert (event.attempt, event.of) == (0, 0)
    assert "ended before memory ran out: it had 419.4 MB of 1 GB" in event.failure.message
    assert short.due() == ["young"]


def test_who_was_asked_to_end_and_starts_anew_was_not_asked(short):
    assert short.chances.needs_memory(1.0, ["old", "young"])
    assert short.chances.whom_to_end(["old", "young"], 1.0) == "young"
    short.chances.note_started("young")

    assert not short.chances.put_off_for_memory("young")


def test_whoever_waits_has_failed_as_it_did_last_if_nobody_is_tried_again(world):
    for name in ("a", "b"):
        world.start(name, retries=5, retry_seconds=1000.0)
        world.fail(name, RAISED)
    assert world.due() == ["a", "b"]
    world.start("a", retries=5, retry_seconds=1000.0)
    world.fail("a", RAISED._replace(message="bang"))

    assert [event.failure.message for event in world.chances.give_up()] == ["bang (tried 2 times)"]
    assert world.chances.give_up() == [] and world.due() == [] and world.chances.until("a") is None
