"""Whether what is next may start now: claims, what is kept and given back, what is lent, and who goes first."""

from __future__ import annotations

import math

import pytest
from engine_world import spec_of
from memories import GB, MB, Machine

from pipegraph.admission import Admission
from pipegraph.admission.admission import FOR_MEMORY
from pipegraph.admission.pressure import Pressure
from pipegraph.coordinator import Coordinator
from pipegraph.machine.jobserver import Access
from pipegraph.model import Failure, FailureKind, Sighting, Usage


class Supply:
    """What is shared, as a test wants it: so much is free, and others wait or not."""

    waiting_for = "waits for the others"

    def __init__(self, cores, memory_bytes=100 * GB):
        self.free_cores, self.free_bytes = cores, memory_bytes
        self.held_cores = self.held_bytes = 0
        self.grants_less = self.is_waiting = self.others = self.is_closed = self.is_closed_in_fork = False
        self.claims = self.attended = 0
        self.only = []
        self.fault = ""
        self.look: float | None = None
        self.may_use = 0

    def set_cores(self, cores):
        self.may_use = cores

    def claim(self, cores, memory_bytes, is_only):
        self.claims += 1
        self.only.append(is_only)
        if cores > self.free_cores and self.grants_less and is_only:
            cores = self.free_cores
        self.is_waiting = cores > self.free_cores or memory_bytes > self.free_bytes
        if self.is_waiting:
            return None
        self._move(cores, memory_bytes)
        return cores

    def release(self, cores, memory_bytes):
        assert 0 <= cores <= self.held_cores and 0 <= memory_bytes <= self.held_bytes
        self._move(-cores, -memory_bytes)

    def _move(self, cores, memory_bytes):
        self.free_cores -= cores
        self.free_bytes -= memory_bytes
        self.held_cores += cores
        self.held_bytes += memory_bytes

    def others_wait(self):
        return self.others

    def stop_waiting(self):
        self.is_waiting = False

    def fileno(self):
        return 77

    def next_look(self):
        return self.look

    def attend(self):
        self.attended += 1

    def close(self):
        self.is_closed = True

    def close_in_fork(self):
        self.is_closed_in_fork = True


class Lending:
    """Programs take what is offered only if the test says so, and give it back only then."""

    def __init__(self):
        self.lent = self.taken = self.offered = 0
        self.jobs = set()
        self.is_closed = self.is_closed_in_fork = False

    @property
    def is_owed(self):
        return self.lent > self.offered

    def fileno(self):
        return 78

    def begin(self, job):
        self.jobs.add(job)
        return Access("pipe", False, 4)

    def end(self, job):
        self.jobs.discard(job)
        if not self.jobs:
            self.lent = self.taken = 0

    def offer(self, cores):
        self.offered = cores
        self.lent = max(cores, self.taken)
        return self.taken

    def close(self):
        self.is_closed = True

    def close_in_fork(self):
        self.is_closed_in_fork = True


class Forecasts:
    """What is known of jobs by name."""

    def __init__(self):
        self.seconds, self.memory_bytes = {}, {}

    def remember(self, pasts): ...
    def grow(self, specs): ...
    def learn(self, spec, usage): ...

    def seconds_of(self, spec):
        return self.seconds.get(spec.id)

    def expected_seconds_of(self, spec):
        return self.seconds.get(spec.id, 1.0)

    def memory_of(self, spec):
        return self.memory_bytes.get(spec.id)

    def raise_memory(self, job, seen_bytes):
        self.memory_bytes[job] = 2 * seen_bytes


class World:
    """An admission and all around it; after every step, its jobs hold no more than was claimed for them."""

    def __init__(self, cores=4, machine=None, memory_bytes=8 * GB, alone=False):
        self.coordinator = Coordinator(cores, memory_bytes)
        self.supply = Supply(cores if machine is None else machine)
        self.memory, self.lending, self.forecasts = Machine(), Lending(), Forecasts()
        self.asked_for_ways = 0
        self.ways = {}
        self.admission = Admission(
            self.coordinator,
            self.forecasts,
            Pressure(self.memory, memory_bytes // cores),
            self.lending,
            self._longest_ways,
            None if alone else self.supply,
        )
        self.is_alone = alone

    def _longest_ways(self, seconds_of):
        self.asked_for_ways += 1
        return self.ways

    def submit(self, *names, **more):
        for name in names:
            self.admission.submit(spec_of(name, "output", **more))

    def start(self, now=0.0):
        """All that may."""
        found = []
        while (spec := self.admission.next_start(now)) is not None:
            found.append(spec.id)
            self.check()
        return found

    def end(self, *names, seconds=1.0):
        for name in names:
            self.admission.end(name, seconds)
            self.check()

    def round(self, now=0.0):
        """As the loop does, to where it would wait."""
        found = self.start(now)
        self.admission.settle(now)
        self.check()
        return found

    def check(self):
        if not self.is_alone and not self.supply.grants_less:
            assert self.coordinator.held.cores <= self.supply.held_cores
            assert self.admission._held_bytes <= self.supply.held_bytes


def known(world, **bytes_of):
    world.forecasts.memory_bytes.update(bytes_of)


# --- claims


def test_a_job_starts_when_what_it_needs_was_claimed():
    world = World(cores=4, machine=3)
    world.submit("a", cores=2, memory_bytes=GB)
    world.submit("b", memory_bytes=2 * GB)
    world.submit("c")

    assert world.round() == ["a", "b"]
    assert (world.supply.held_cores, world.supply.held_bytes) == (3, 3 * GB)
    assert world.supply.only == [True, False, False]


def test_memory_that_was_learnt_is_claimed_too_and_what_the_script_says_goes_before_it():
    world = World()
    known(world, a=GB, b=GB)
    world.submit("a")
    world.submit("b", memory_bytes=3 * GB)

    assert world.round() == ["a", "b"]
    assert world.supply.held_bytes == 4 * GB


def test_a_job_that_was_refused_says_what_it_waits_for_and_is_tried_again():
    world = World(cores=4, machine=1)
    world.submit("a", "b", "c")

    assert world.round() == ["a"]
    assert world.admission.waiting_for("b") == "waits for the others"
    assert world.admission.waiting_for("c") == "waits for its turn, after b"
    assert world.supply.is_waiting
    assert world.round() == []
    assert world.supply.claims == 3
    world.supply.free_cores = 1
    assert world.round() == ["b"]
    assert world.coordinator.running == ("a", "b")


def test_memory_that_others_hold_is_waited_for():
    world = World()
    world.supply.free_bytes = GB
    world.submit("a", memory_bytes=2 * GB)

    assert world.round() == []
    assert world.supply.is_waiting


def test_what_waits_for_its_own_run_does_not_wait_for_others():
    world = World(cores=2, machine=2)
    world.supply.free_cores = 0
    world.submit("a", "b", "c")
    assert world.round() == []
    world.supply.free_cores = 2

    assert world.round() == ["a", "b"]
    assert world.admission.waiting_for("c") == "waits for 1 core"
    world.end("a")
    world.submit("d", cores=2)
    assert world.round() == ["c"]
    assert world.admission.waiting_for("d") == "waits for 2 cores"
    assert world.supply.claims == 3


def test_what_was_refused_once_may_wait_for_its_own_run_later():
    world = World(cores=2, machine=1)
    world.submit("a", "b")
    world.round()
    assert world.admission.waiting_for("b") == "waits for the others"
    world.admission.set_cores(1)

    assert world.round() == []
    assert world.admission.waiting_for("b") == "waits for 1 core"


def test_who_is_not_known_waits_for_nothing():
    world = World()

    assert world.admission.waiting_for("a") == ""


def test_a_run_that_starts_nothing_any_more_does_not_stand_in_the_line():
    world = World(cores=2, machine=1)
    world.submit("a", "b")
    world.round()
    assert world.supply.is_waiting

    world.admission.settle(1.0)  # paused: nothing was to start

    assert not world.supply.is_waiting


def test_a_run_whose_own_jobs_are_in_the_way_does_not_stand_in_the_line():
    world = World(cores=2, machine=1)
    world.submit("a", "b")
    world.round()
    world.memory.free = 0

    assert world.round(1.0) == []
    assert world.admission.waiting_for("b") == FOR_MEMORY
    assert not world.supply.is_waiting
    world.memory.free = 10 * GB
    world.supply.free_cores = 1
    assert world.round(2.0) == ["b"]


def test_a_job_that_is_withdrawn_is_waited_for_no_more():
    world = World(cores=2, machine=1)
    world.submit("a", "b")
    world.round()
    world.admission.withdraw("b")

    assert world.round() == []
    assert not world.supply.is_waiting


def test_without_others_nothing_is_claimed():
    world = World(cores=2, alone=True)
    world.submit("a", "b", "c")

    assert world.round() == ["a", "b"]
    assert world.admission.fileno() == []
    assert world.admission.attend(0.0, [77]) == ""
    world.end("a")
    assert world.round() == ["c"]
    assert world.supply.claims == 0
    world.admission.close_in_fork()
    world.admission.close()


def test_what_was_granted_in_part_is_not_taken_for_the_whole():
    world = World(cores=3, machine=1)
    world.supply.grants_less = True
    world.submit("a", cores=3)
    assert world.round() == ["a"]
    world.end("a")
    world.submit("b", "c")

    assert world.round() == ["b"]  # the one core that there is
    assert world.supply.held_cores == 1


def test_more_cores_at_the_keyboard_are_more_for_the_supply():
    world = World(cores=2)
    world.admission.set_cores(5)

    assert (world.admission.cores, world.supply.may_use) == (5, 5)


# --- what is kept, and given back


def test_what_an_ended_job_held_serves_the_next_one_without_a_claim():
    world = World(cores=2)
    world.submit("a", "b", memory_bytes=GB)
    world.round(0.0)
    world.end("a")
    world.admission.settle(1.0)
    world.submit("c", memory_bytes=GB)

    assert world.round(1.05) == ["c"]
    assert world.supply.claims == 2


def test_what_nobody_needs_for_a_tenth_of_a_second_is_given_back():
    world = World(cores=2)
    world.submit("a", "b", memory_bytes=GB)
    world.round(0.0)
    assert world.admission._give_back_at == math.inf
    world.end("a")

    world.admission.settle(5.0)
    assert world.admission.next_deadline() == 5.1
    world.admission.settle(5.09)
    assert (world.supply.held_cores, world.supply.held_bytes) == (2, 2 * GB)
    world.admission.settle(5.1)
    assert (world.supply.held_cores, world.supply.held_bytes) == (1, GB)
    assert world.admission.next_deadline() > 5.1


def test_memory_alone_is_given_back_as_well():
    world = World(cores=1)
    world.submit("a", memory_bytes=GB)
    world.round(0.0)
    world.end("a")
    world.submit("b", memory_bytes=0)
    world.round(0.0)

    world.admission.settle(0.2)
    assert (world.supply.held_cores, world.supply.held_bytes) == (1, 0)


def test_the_tenth_of_a_second_begins_anew_when_what_was_kept_is_used():
    world = World(cores=1)
    world.submit("a")
    world.round(0.0)
    world.end("a")
    world.admission.settle(1.0)
    world.submit("b")
    world.round(1.05)
    world.end("b")

    world.admission.settle(1.15)
    assert world.supply.held_cores == 1
    world.admission.settle(1.25)
    assert world.supply.held_cores == 0


def test_if_others_wait_it_is_given_back_at_once():
    world = World(cores=2)
    world.submit("a", "b")
    world.round(0.0)
    world.end("a")
    world.supply.others = True

    world.admission.settle(0.0)
    assert world.supply.held_cores == 1


def test_if_others_wait_the_next_job_is_claimed_for_though_one_has_just_ended():
    world = World(cores=1)
    world.submit("a", "b")
    world.round(0.0)
    world.end("a")
    world.supply.others = True
    given_back = []
    world.supply.release = lambda cores, memory_bytes: given_back.append(cores)
    world.supply.claim = lambda *_: None

    assert world.start() == []
    assert given_back == [1]


# --- jobs that are told ahead


def short_jobs(world):
    """The first two run, and take no time to speak of; others wait."""
    world.submit("a", "b", "c", "d", "e", memory_bytes=MB)
    world.round()
    world.end("a", seconds=0.001)
    assert world.round() == ["c"]
    for name in "xyz":
        world.coordinator.end(name, 0.0)  # so that what is known of the time is short
    for _ in range(20):
        world.coordinator.end("nobody", 0.0)


def test_jobs_told_ahead_take_the_place_of_those_that_end_without_a_claim():
    world = World(cores=2)
    short_jobs(world)
    claims = world.supply.claims

    assert world.admission.next_ahead().id == "d"
    world.end("b", seconds=0.001)
    world.admission.begin("d", 0.0)
    world.check()
    assert set(world.coordinator.running) == {"c", "d"}
    assert world.supply.claims == claims
    assert world.admission._held_bytes == 2 * MB


def test_what_begins_ahead_of_the_end_before_it_is_counted_once():
    world = World(cores=2)
    short_jobs(world)
    world.admission.next_ahead()
    world.end("b", seconds=0.001)

    assert world.admission.next_turn(0.0) == "d"
    world.admission.begin("d", 0.0)
    assert world.admission._held_bytes == 2 * MB


def test_while_others_wait_no_job_is_told_ahead():
    world = World(cores=2)
    short_jobs(world)
    world.supply.others = True

    assert world.admission.next_ahead() is None
    world.supply.others = False
    assert world.admission.next_ahead() is not None


def test_the_turn_of_a_job_told_ahead_waits_for_a_core_that_others_hold():
    world = World(cores=2)
    short_jobs(world)
    world.admission.next_ahead()
    world.end("b", seconds=0.001)
    world.supply.others = True
    granted, world.supply.claim = world.supply.claim, lambda *_: None

    assert world.admission.next_turn(0.0) is None
    assert world.supply.held_cores == 1
    world.supply.claim = granted
    assert world.admission.next_turn(0.0) == "d"
    world.check()


def test_a_turn_that_was_refused_stands_in_the_line():
    world = World(cores=2)
    short_jobs(world)
    world.admission.next_ahead()
    world.end("b", seconds=0.001)
    world.supply.others, world.supply.free_cores = True, -1

    assert world.admission.next_turn(0.0) is None
    world.admission.settle(0.0)
    assert world.supply.is_waiting


def test_a_job_that_never_ran_gives_nothing_back():
    world = World(cores=2)
    short_jobs(world)
    ahead = world.admission.next_ahead().id
    before = world.admission._held_bytes
    world.end(ahead, "never heard of")

    assert world.admission._held_bytes == before
    assert ahead not in world.admission._bytes_of
    world.end("b", "c")
    assert world.round() == ["e"]


# --- cores to spare


def sharing(world):
    world.submit("make", uses_jobserver=True)
    assert world.round() == ["make"]
    return world.admission.access_for(spec_of("make", "output", uses_jobserver=True))


def test_cores_to_spare_are_claimed_and_lent_to_jobs_that_share():
    world = World(cores=4)
    assert sharing(world) is not None

    world.round()
    world.round()
    assert world.lending.lent == 3
    assert world.supply.held_cores == 4
    assert world.coordinator.free_cores == 0


def test_a_job_that_does_not_share_gets_no_access():
    world = World()

    assert world.admission.access_for(spec_of("a", "output")) is None
    assert not world.lending.jobs


def test_without_a_job_that_shares_nothing_is_claimed_beyond_what_runs():
    world = World()
    world.submit("a")
    world.round()

    assert world.supply.held_cores == 1


def test_what_is_free_on_the_machine_is_lent_where_it_is_less_than_the_run_may_use():
    world = World(cores=4, machine=3)
    sharing(world)

    world.round()
    assert world.lending.lent == 2
    assert world.supply.held_cores == 3
    assert not world.supply.is_waiting


def test_what_is_lent_is_taken_back_for_a_job_that_waits():
    world = World(cores=2)
    sharing(world)
    world.round()
    assert world.lending.lent == 1
    world.submit("a")

    assert world.round() == ["a"]
    assert world.lending.lent == 0
    assert world.supply.held_cores == 2


def test_what_programs_hold_on_to_is_waited_for_and_counts_until_it_is_back():
    world = World(cores=2)
    sharing(world)
    world.round()
    world.lending.taken = 1
    world.submit("a")

    assert world.round() == []
    assert world.admission.fileno() == [77, 78]
    world.lending.taken = 0
    assert world.round() == ["a"]
    assert world.admission.fileno() == [77]


def test_while_a_job_waits_that_does_not_fit_nothing_is_lent():
    world = World(cores=4)
    sharing(world)
    world.submit("all", cores=4)

    assert world.round() == []
    assert world.lending.lent == 0


def test_what_is_lent_is_taken_back_when_others_wait():
    world = World(cores=4)
    sharing(world)
    world.round()
    world.supply.others = True

    world.admission.settle(1.0)
    assert world.lending.lent == 0
    assert world.supply.held_cores == 1


def test_programs_of_a_job_of_several_cores_have_these_whatever_else_waits():
    world = World(cores=4)
    world.submit("make", cores=3, uses_jobserver=True)
    assert world.round() == ["make"]
    world.admission.access_for(spec_of("make", "output", cores=3, uses_jobserver=True))
    world.round()
    assert (world.lending.lent, world.supply.held_cores) == (3, 4)

    world.submit("a", "b")
    assert world.round() == ["a"]
    assert (world.lending.lent, world.supply.held_cores) == (2, 4)
    world.end("a")
    assert world.round() == ["b"]
    world.end("make")
    world.submit(*"cde")
    assert world.round() == list("cde")


def test_after_the_last_job_that_shares_its_cores_are_free():
    world = World(cores=4)
    sharing(world)
    world.round()
    world.end("make")
    assert not world.lending.jobs
    world.submit(*"abcd")

    assert world.round() == list("abcd")


# --- who goes first


def ordered(count, cores=2):
    """So many that wait, of which the last is at the beginning of the longest way."""
    world = World(cores=cores)
    specs = [spec_of(f"j{number}", "output") for number in range(count)]
    world.ways = {spec.id: float(number + 1) for number, spec in enumerate(specs)}
    world.admission.grow(specs, {})
    for spec in specs:
        world.admission.submit(spec)
    return world


def test_where_more_wait_than_fit_the_longest_way_goes_first():
    world = ordered(5)

    assert world.round() == ["j4", "j3"]
    assert world.asked_for_ways == 1


def test_where_all_fit_nobody_asks_for_ways():
    world = ordered(2)

    assert world.round() == ["j0", "j1"]
    assert world.asked_for_ways == 0


def test_ways_are_asked_for_again_when_twice_as_much_is_known():
    world = ordered(60)
    usage = Usage(0.0, 1.0)
    world.round()
    for number in range(15):
        world.admission.learn(spec_of(f"l{number}", "output"), usage)
    world.round(1e6)
    assert world.asked_for_ways == 1

    world.admission.learn(spec_of("l15", "output"), usage)
    world.admission.next_start(0.0)  # that is too soon: it took some time
    assert world.asked_for_ways == 1
    world.admission.next_start(2e6)
    assert world.asked_for_ways == 2
    world.admission.next_start(3e6)
    assert world.asked_for_ways == 2


def test_about_the_same_way_is_the_order_of_the_script():
    world = ordered(4)
    world.ways = {"j0": 100.0, "j1": 101.0, "j2": 102.0, "j3": 300.0}

    assert world.round() == ["j3", "j0"]


def test_a_job_that_is_not_known_to_the_ways_counts_by_its_own_time():
    world = ordered(5)
    world.round()
    world.forecasts.seconds["late"] = 50.0
    world.submit("late")
    world.end("j4")

    assert world.round() == ["late"]


# --- memory


def test_while_memory_is_short_nothing_more_starts_and_the_job_says_so():
    world = World(cores=4)
    known(world, a=GB, b=4 * GB)
    world.submit("a")
    world.round()
    world.memory.free = 3 * GB
    world.submit("b")

    assert world.round(1.0) == []
    assert world.admission.waiting_for("b") == FOR_MEMORY


def test_the_kernel_killed_it_if_the_kernel_says_so():
    world = World()
    killed = Failure(FailureKind.DIED, "", "", exit_code=-9)
    assert not world.admission.was_killed(killed)
    world.memory.killed = 1

    assert not world.admission.was_killed(killed._replace(exit_code=1))
    assert world.admission.was_killed(killed._replace(exit_code=137))
    assert not world.admission.was_killed(killed)


def test_what_had_too_little_claims_more_when_it_is_made_again_and_once_alone():
    world = World()
    world.submit("a", "b")
    world.round()
    world.admission.see([Sighting("a", 0, 0.0, 1, GB, "")])
    assert world.admission.raise_memory("a", MB) == GB
    assert world.admission.have_alone("a")
    assert not world.admission.have_alone("a")
    world.end("a")
    world.submit("a")

    assert world.round() == []
    assert world.admission.waiting_for("a") == "waits until nothing else runs"
    world.end("b")
    assert world.round() == ["a"]
    assert world.supply.held_bytes == 2 * GB


# --- to look, and to leave


@pytest.mark.parametrize(
    ("look", "readable", "is_attended"),
    [(None, [], False), (None, [77], True), (None, [78], False), (5.0, [], True), (5.1, [], False)],
)
def test_the_supply_is_attended_when_it_is_readable_or_it_is_time(look, readable, is_attended):
    world = World()
    world.supply.look = look

    world.admission.attend(5.0, readable)
    assert bool(world.supply.attended) is is_attended
    assert world.admission.next_deadline() == (math.inf if look is None else look)


def test_a_fault_is_told_once():
    world = World()
    assert world.admission.attend(0.0, []) == ""
    world.supply.fault = "the disk is full"

    assert world.admission.attend(0.0, []) == "the disk is full"
    assert world.admission.attend(0.0, []) == ""


def test_at_the_end_all_is_closed_and_in_a_fork_nothing_is_changed():
    world, fork = World(), World()

    world.admission.close()
    fork.admission.close_in_fork()
    for part in (world.supply, world.lending):
        assert (part.is_closed, part.is_closed_in_fork) == (True, False)
    for part in (fork.supply, fork.lending):
        assert (part.is_closed, part.is_closed_in_fork) == (False, True)
