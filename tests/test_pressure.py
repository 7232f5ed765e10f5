"""Whether there is memory for one more job, and who is ended before there is none; on a machine that is made up."""

import math

import pytest
from memories import GB, MB, Machine

from pipegraph.admission.pressure import (
    LEAST_BYTES,
    LEAST_SECONDS,
    UNKNOWN_BYTES,
    WAITING_SECONDS,
    WAITING_SHARE,
    Pressure,
)


@pytest.fixture
def machine():
    return Machine(killed=3)


@pytest.fixture
def pressure(machine):
    return Pressure(machine, 5 * GB)


def room_of(pressure, now=0.0):
    return pressure.room(now).memory_bytes


def test_the_first_job_may_always_start(pressure, machine):
    machine.free = 0

    assert pressure.room(1.0) is None


def test_what_running_jobs_will_still_take_is_not_there_for_others(pressure, machine):
    before = machine.total * 0.98
    pressure.begin("a", 4 * GB)
    assert room_of(pressure) == pytest.approx(before - 4 * GB)

    pressure.see("a", 3 * GB)
    machine.free -= 3 * GB
    assert room_of(pressure, 1.0) == pytest.approx(before - 4 * GB)
    pressure.see("a", 6 * GB)
    machine.free -= 3 * GB
    assert room_of(pressure, 2.0) == pytest.approx(before - 6 * GB)
    machine.free += 6 * GB
    pressure.end("a")
    pressure.begin("b", 0)
    assert room_of(pressure, 3.0) == pytest.approx(before)


def test_a_job_of_which_nothing_is_known_is_expected_to_grow_as_much_again(pressure, machine):
    pressure.begin("a", None)
    before = machine.total * 0.98
    assert pressure.room(0.0).of_unknown == UNKNOWN_BYTES
    assert room_of(pressure) == pytest.approx(before - UNKNOWN_BYTES)

    pressure.see("a", GB)
    machine.free -= GB
    assert room_of(pressure, 1.0) == pytest.approx(before - 2 * GB)


def test_but_not_beyond_its_cores_share(pressure, machine):
    pressure.begin("a", None)
    pressure.see("a", 4 * GB)
    machine.free -= 4 * GB

    assert room_of(pressure, 1.0) == pytest.approx(machine.total * 0.98 - 5 * GB)


def test_another_of_which_nothing_is_known_is_taken_to_need_what_they_hold_in_the_mean(pressure, machine):
    for job, held in ("a", GB), ("b", 3 * GB):
        pressure.begin(job, None)
        pressure.see(job, held)
    pressure.begin("known", 7 * GB)
    pressure.see("known", 6 * GB)
    assert pressure.room(0.0).of_unknown == 2 * GB

    pressure.end("b")
    assert pressure.room(0.0).of_unknown == GB
    pressure.end("a")
    assert pressure.room(0.0).of_unknown == UNKNOWN_BYTES


def test_beyond_it_once_memory_ran_short(pressure, machine):
    two(pressure, first=2 * GB, second=4 * GB)
    pressure.begin("third", None)
    pressure.see("third", GB)
    free = machine.free - 7 * GB
    machine.free = 0
    assert pressure.is_short(0.5)
    assert pressure.victim(["third"]) == "third"
    machine.free = free

    pressure.end("third")
    machine.free += GB
    assert room_of(pressure, 1.0) == pytest.approx(machine.total * 0.98 - 2 * 6 * GB)


def test_where_cores_have_little_memory_each_an_unknown_job_is_expected_to_take_no_more():
    pressure = Pressure(Machine(), 10 * MB)
    pressure.begin("a", None)

    assert pressure.room(0.0).of_unknown == 10 * MB


def test_memory_that_others_take_is_seen_at_the_next_look_and_not_each_time(pressure, machine):
    pressure.begin("a", 0)
    first = room_of(pressure, 1.0)
    machine.free -= GB

    assert room_of(pressure, 1.0 + LEAST_SECONDS / 2) == first
    assert room_of(pressure, 1.0 + LEAST_SECONDS) == first - GB


def test_with_one_job_nobody_is_ended(pressure, machine):
    pressure.begin("a", None)
    pressure.see("a", 9 * GB)
    machine.free = 0

    assert pressure.next_look() == math.inf
    assert not pressure.is_short(1.0)
    assert pressure.victim(["a"]) is None


def two(pressure, first=GB, second=GB):
    pressure.begin("old", None)
    pressure.begin("young", None)
    pressure.see("old", first)
    pressure.see("young", second)


def test_memory_is_short_when_next_to_nothing_is_left(pressure, machine):
    two(pressure)
    machine.free = machine.total // 10
    assert not pressure.is_short(10.0)
    assert not pressure.is_short(20.0)

    machine.free = machine.total // 100
    assert pressure.is_short(30.0)


def test_memory_is_short_when_it_will_be_in_a_moment(pressure, machine):
    two(pressure)
    machine.free = 2 * GB
    assert not pressure.is_short(10.0)

    machine.free = GB
    assert pressure.is_short(10.1)  # 10 GB a second, and 0.2 GB are for the kernel
    assert not pressure.is_short(20.0)


def test_what_shrinks_between_two_calls_says_nothing_of_how_fast(pressure, machine):
    two(pressure)
    machine.free = GB
    pressure.is_short(9.0)
    assert not pressure.is_short(10.0)

    machine.free -= 10 * MB
    assert not pressure.is_short(10.0001)  # 100 GB a second
    assert not pressure.is_short(11.0)


def test_memory_is_short_when_programs_wait_for_it_and_little_is_left(pressure, machine):
    two(pressure)
    machine.free, machine.waits = machine.total // 20, WAITING_SHARE * 2
    assert pressure.is_short(10.0)
    machine.waits = None
    assert not pressure.is_short(30.0)
    machine.free, machine.waits = machine.total // 2, 1.0
    assert not pressure.is_short(50.0)


def test_a_share_of_ten_seconds_counts_once_in_ten_seconds(pressure, machine):
    two(pressure)
    machine.free, machine.waits = machine.total // 20, WAITING_SHARE * 2
    assert pressure.is_short(10.0)

    assert not pressure.is_short(11.0)
    assert not pressure.is_short(9.9 + WAITING_SECONDS)
    assert pressure.is_short(10.0 + WAITING_SECONDS)


def victim_of(pressure, machine, *jobs):
    """Once nothing is left."""
    machine.free = 0
    pressure.is_short(1000.0)
    return pressure.victim(jobs)


def test_as_long_as_there_is_memory_nobody_is_ended(pressure, machine):
    two(pressure)

    assert pressure.victim(["old", "young"]) is None
    assert victim_of(pressure, machine, "old", "young") == "young"


def test_the_youngest_is_ended_that_holds_anything_to_speak_of(pressure, machine):
    two(pressure)
    pressure.begin("small", None)
    pressure.see("small", LEAST_BYTES - 1)

    assert victim_of(pressure, machine, "old", "young", "small") == "young"


def test_the_youngest_is_the_last_that_began_also_after_it_was_ended_and_began_again(pressure, machine):
    two(pressure)
    pressure.begin("third", None)
    pressure.see("third", GB)
    pressure.see("young", GB)
    pressure.end("young")
    assert victim_of(pressure, machine, "old", "young", "third") == "third"

    pressure.begin("young", None)
    pressure.see("young", GB)
    assert victim_of(pressure, machine, "third", "young", "old") == "young"


def test_the_oldest_is_never_ended(pressure, machine):
    two(pressure, first=8 * GB, second=0)

    assert victim_of(pressure, machine, "old", "young") is None


def test_who_may_not_be_ended_is_not(pressure, machine):
    two(pressure)
    pressure.begin("third", None)
    pressure.see("third", GB)

    assert victim_of(pressure, machine, "old", "young") == "young"


def test_looks_come_the_sooner_the_less_is_left(pressure, machine):
    two(pressure)
    pressure.is_short(100.0)
    assert pressure.next_look() == 101.0

    machine.free = 2 * GB
    pressure.is_short(200.0)
    assert pressure.next_look() == pytest.approx(200.5)
    machine.free = 0
    pressure.is_short(300.0)
    assert pressure.next_look() == pytest.approx(300 + LEAST_SECONDS)


def test_when_nobody_can_be_ended_looks_come_as_late_as_they_are_told_to(pressure, machine):
    two(pressure)
    machine.free = 0
    pressure.is_short(300.0)
    pressure.rest(307.0)

    assert pressure.next_look() == 307.0
    pressure.is_short(307.0)
    assert pressure.next_look() == pytest.approx(307 + LEAST_SECONDS)


def test_what_ended_or_never_ran_is_forgotten(pressure):
    two(pressure)
    pressure.end("young")
    pressure.end("young")
    pressure.see("young", GB)

    assert pressure.seen_bytes("young") == 0
    assert pressure.seen_bytes("old") == GB
    assert pressure.next_look() == math.inf


def test_each_kill_of_the_kernel_is_told_once(pressure, machine):
    assert not pressure.was_killed()

    machine.killed += 2
    assert [pressure.was_killed() for _ in range(3)] == [True, True, False]


def test_starts_in_between_do_not_put_off_the_look_at_what_runs_short(pressure, machine):
    two(pressure)
    pressure.is_short(100.0)
    machine.free = 2 * GB
    pressure.room(100.4)

    assert pressure.next_look() == pytest.approx(100.5)


def test_jobs_that_keep_to_what_is_expected_of_them_are_not_ended_for_growing_fast(pressure, machine):
    pressure.begin("old", 4 * GB)
    pressure.begin("young", 4 * GB)
    machine.free = 6 * GB
    pressure.is_short(10.0)
    machine.free = 2.5 * GB  # 35 GB a second
    assert pressure.is_short(10.1)  # what they hold by now is not known

    pressure.see("old", 3.5 * GB)
    pressure.see("young", 3.5 * GB)
    assert pressure.victim(["old", "young"]) is None


def test_but_one_that_takes_more_is(pressure, machine):
    pressure.begin("old", 2 * GB)
    pressure.begin("young", 2 * GB)
    machine.free = 6 * GB
    pressure.is_short(10.0)
    machine.free = 2.5 * GB
    assert pressure.is_short(10.1)

    pressure.see("old", 2 * GB)
    pressure.see("young", 3.5 * GB)
    assert pressure.victim(["old", "young"]) == "young"
    pressure.see("young", GB)
    assert pressure.victim(["old", "young"]) is None
