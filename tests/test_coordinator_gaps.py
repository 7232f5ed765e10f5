"""What is kept free for a job that waits, in memory and named resources, and what is not: work goes on."""

import math

import pytest
from engine_world import spec_of
from hypothesis import given
from hypothesis import strategies as st

from pipegraph.coordinator import Coordinator, Room

NEVER_ENDS = 1000.0


def job(name, kind="output", **more):
    return spec_of(name, kind, **more)


def starts(coordinator, now=0.0):
    found = []
    while (spec := coordinator.next_start(now)) is not None:
        found.append(spec.id)
    return found


@pytest.mark.parametrize(("memory", "passes"), [(30, True), (31, False)])
def test_memory_that_a_waiting_job_leaves_is_used_and_what_it_needs_is_kept(memory, passes):
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("running", cores=2, memory_bytes=60), seconds=10.0)
    assert starts(coordinator) == ["running"]
    coordinator.submit(job("large", memory_bytes=70), 9.0, seconds=5.0)
    coordinator.submit(job("small", memory_bytes=memory), seconds=NEVER_ENDS)

    assert starts(coordinator) == ["small"] * passes
    coordinator.end("running")
    assert starts(coordinator, 10.0)[0] == "large"


@pytest.mark.parametrize(("count", "passes"), [(1, True), (2, False)])
def test_named_resources_that_a_waiting_job_leaves_are_used_and_what_it_needs_is_kept(count, passes):
    coordinator = Coordinator(4, 100, {"gpu": 3})
    coordinator.submit(job("running", cores=2, memory_bytes=0, resources=(("gpu", 1),)), seconds=10.0)
    assert starts(coordinator) == ["running"]
    coordinator.submit(job("large", cores=3, memory_bytes=0, resources=(("gpu", 2),)), 9.0, seconds=5.0)
    coordinator.submit(job("small", memory_bytes=0, resources=(("gpu", count),)), seconds=NEVER_ENDS)

    assert starts(coordinator) == ["small"] * passes
    coordinator.end("running")
    assert starts(coordinator, 10.0)[0] == "large"


@pytest.mark.parametrize(("seconds", "passes"), [(20.0, True), (20.5, False)])
def test_a_named_resource_is_promised_for_when_enough_of_it_is_back(seconds, passes):
    coordinator = Coordinator(4, 100, {"gpu": 3})
    for name, until in (("a", 10.0), ("b", 20.0)):
        coordinator.submit(job(name, resources=(("gpu", 1),)), seconds=until)
    assert starts(coordinator) == ["a", "b"]
    coordinator.submit(job("large", resources=(("gpu", 3),)), 9.0, seconds=5.0)
    coordinator.submit(job("small", resources=(("gpu", 1),)), seconds=seconds)

    assert starts(coordinator) == ["small"] * passes


@pytest.mark.parametrize(("seconds", "passes"), [(20.0, True), (20.5, False)])
def test_memory_is_promised_for_when_enough_of_it_is_back(seconds, passes):
    coordinator = Coordinator(4, 100)
    for name, until in (("a", 10.0), ("b", 20.0)):
        coordinator.submit(job(name, memory_bytes=30), seconds=until)
    assert starts(coordinator) == ["a", "b"]
    coordinator.submit(job("large", memory_bytes=100), 9.0, seconds=5.0)
    coordinator.submit(job("small", memory_bytes=40), seconds=seconds)

    assert starts(coordinator) == ["small"] * passes


@pytest.mark.parametrize(("lent", "started"), [(0, ["a", "b", "c"]), (1, ["a", "b"]), (3, [])])
def test_cores_that_programs_use_are_not_for_jobs_until_they_are_back(lent, started):
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("lends"))
    assert starts(coordinator) == ["lends"]
    for name in "abc":
        coordinator.submit(job(name))

    coordinator.set_lent(lent)
    assert starts(coordinator) == started
    coordinator.set_lent(0)
    assert starts(coordinator) == ["a", "b", "c"][len(started) :]
    assert coordinator.held.cores == 4


# No more than are waited for before anybody's patience ends, so that only promises hold something back.
JOBS = st.lists(
    st.tuples(
        st.sampled_from((1, 1, 1, 2, 3, 4)),
        st.sampled_from((0, 10, 25, 60, 100)),
        st.sampled_from(((), (), (("gpu", 1),), (("gpu", 2),))),
        st.sampled_from(("output", "output", "output", "load", "alone")),
        st.sampled_from((0.0, 1.0, 5.0)),
        st.sampled_from((None, 1.0, 7.0, 30.0)),
    ),
    max_size=30,
)
ROOMS = st.sampled_from((None, None, Room(-1, 5), Room(9, 5), Room(30, 5)))


class Machine:
    """What is free, counted anew from what runs."""

    def __init__(self, jobs):
        self.spec, self.seconds, self.priority = {}, {}, {}
        for number, (cores, memory, resources, kind, priority, seconds) in enumerate(jobs):
            name, is_alone = str(number), kind == "alone"
            self.spec[name] = job(
                name,
                "output" if is_alone else kind,
                cores=cores,
                memory_bytes=memory,
                resources=resources,
                is_exclusive=is_alone,
            )
            self.priority[name], self.seconds[name] = priority, seconds
        self.waiting, self.ends = dict(self.spec), {}

    def fits(self, spec, room):
        running = [self.spec[name] for name in self.ends]
        gpus = sum(dict(each.resources).get("gpu", 0) for each in (*running, spec))
        return (
            sum(each.cores for each in running) + spec.cores <= 4
            and sum(each.memory_bytes for each in running) + spec.memory_bytes <= 100
            and gpus <= 2
            and not (spec.in_memory and any(each.in_memory for each in running))
            and not (running and (spec.is_exclusive or any(each.is_exclusive for each in running)))
            and (room is None or spec.memory_bytes <= room.memory_bytes)
        )

    def firsts(self):
        """Of those that wait and need the same, the one whose turn it is."""
        found = {}
        for name in sorted(self.waiting, key=lambda name: (-self.priority[name], int(name))):
            spec = self.spec[name]
            found.setdefault((spec.cores, spec.memory_bytes, spec.resources, spec.in_memory, spec.is_exclusive), name)
        return found.values()


@given(JOBS, ROOMS, st.randoms(use_true_random=False))
def test_nothing_that_fits_and_keeps_nobody_waiting_for_longer_is_held_back(jobs, room, pick):
    machine, coordinator, now = Machine(jobs), Coordinator(4, 100, {"gpu": 2}), 0.0
    for name, spec in machine.spec.items():
        coordinator.submit(spec, machine.priority[name], machine.seconds[name])
    while machine.waiting or machine.ends:
        while (offer := coordinator.peek(now, room if machine.ends else None)) is not None:
            name = offer.spec.id
            assert machine.fits(offer.spec, room if machine.ends else None)
            coordinator.take(offer, now)
            machine.ends[name] = now + (machine.seconds[name] or math.inf)
            del machine.waiting[name]
        # Whoever waits is promised nothing sooner than the first end.
        soonest = min(machine.ends.values())
        for name in machine.firsts():
            seconds = machine.seconds[name]
            is_harmless = seconds is None or now + seconds <= soonest
            assert not (is_harmless and machine.fits(machine.spec[name], room)), name
        now = min(max(now, soonest), now + pick.choice((0.5, 100.0)))
        ended = pick.choice(sorted(machine.ends))
        coordinator.end(ended)
        del machine.ends[ended]
