"""Who starts next, with what there is."""

import pytest
from engine_world import spec_of

from pipegraph.coordinator import OVERTAKES_PER_CORE, SHARED_AHEAD_PER_CORE, SHORT_SECONDS, Coordinator
from pipegraph.machine.local_system import LocalSystem


def job(name, kind="output", **more):
    return spec_of(name, kind, **more)


def starts(coordinator):
    found = []
    while (spec := coordinator.next_start()) is not None:
        found.append(spec.id)
    return found


def test_jobs_start_in_the_order_in_which_they_became_ready():
    coordinator = Coordinator(2, 100)
    for name in "abc":
        coordinator.submit(job(name))

    assert starts(coordinator) == ["a", "b"]
    coordinator.end("a")
    assert starts(coordinator) == ["c"]


def test_two_jobs_that_want_all_cores_never_run_side_by_side():
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("a", cores=-1))
    coordinator.submit(job("b", cores=-1))

    assert starts(coordinator) == ["a"]
    assert coordinator.cores_of("a") == 4
    coordinator.end("a")
    assert starts(coordinator) == ["b"]


def test_all_but_one_leaves_one_core():
    coordinator = Coordinator(4, 100)
    for name, cores in (("a", -2), ("b", 1), ("c", 1)):
        coordinator.submit(job(name, cores=cores))

    assert starts(coordinator) == ["a", "b"]


@pytest.mark.parametrize("cores", [-1, -2])
def test_a_job_that_wants_all_but_one_of_one_core_gets_it(cores):
    coordinator = Coordinator(1, 100)
    coordinator.submit(job("a", cores=cores))
    coordinator.submit(job("b"))

    assert starts(coordinator) == ["a"]
    assert coordinator.cores_of("a") == 1


def test_cores_that_are_added_are_used_at_once():
    coordinator = Coordinator(1, 100)
    for name in "abcd":
        coordinator.submit(job(name))
    assert starts(coordinator) == ["a"]

    coordinator.set_cores(3)
    assert starts(coordinator) == ["b", "c"]
    coordinator.end("a")
    assert starts(coordinator) == ["d"]


def test_cores_that_are_taken_away_are_missed_as_soon_as_what_runs_has_ended():
    coordinator = Coordinator(3, 100)
    for name in "abcdef":
        coordinator.submit(job(name))
    assert starts(coordinator) == ["a", "b", "c"]

    coordinator.set_cores(1)
    for name in "ab":
        coordinator.end(name)
        assert starts(coordinator) == []
    coordinator.end("c")
    assert starts(coordinator) == ["d"]


def test_a_job_gives_back_what_it_took_although_there_are_fewer_cores_by_now():
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("all", cores=-1))
    assert starts(coordinator) == ["all"]
    coordinator.set_cores(2)
    for name in "abc":
        coordinator.submit(job(name))
    assert starts(coordinator) == []

    coordinator.end("all")
    assert starts(coordinator) == ["a", "b"]


@pytest.mark.parametrize(("cores", "taken"), [(-1, 2), (-2, 1), (3, 2), (1, 1)])
def test_what_a_job_takes_is_counted_from_the_cores_there_are_when_it_starts(cores, taken):
    coordinator = Coordinator(3, 100)
    coordinator.submit(job("a", cores=cores))
    coordinator.set_cores(2)

    assert coordinator.objection_to(job("a", cores=cores)) is None
    assert starts(coordinator) == ["a"]
    assert coordinator.cores_of("a") == taken


def test_what_there_was_or_is_in_cores_may_be_asked_for_and_no_more():
    coordinator = Coordinator(2, 100)
    coordinator.set_cores(5)
    coordinator.set_cores(1)

    assert coordinator.objection_to(job("a", cores=5)) is None
    assert "there: 5" in coordinator.objection_to(job("a", cores=6)).message


def test_memory_that_was_asked_for_is_never_promised_twice():
    coordinator = Coordinator(4, 100)
    for name, size in (("a", 60), ("b", 60), ("c", 40)):
        coordinator.submit(job(name, memory_bytes=size))

    assert starts(coordinator) == ["a", "c"]
    coordinator.end("a")
    assert starts(coordinator) == ["b"]


def test_small_jobs_overtake_a_big_one_only_so_often():
    coordinator = Coordinator(2, 100)
    coordinator.submit(job("first"))
    assert starts(coordinator) == ["first"]
    coordinator.submit(job("big", cores=2))
    for n in range(100):
        coordinator.submit(job(f"small{n}"))
    started = []
    running = ["first"]
    while "big" not in started:
        started += (new := starts(coordinator))
        running += new
        coordinator.end(running.pop(0))

    assert started.index("big") <= OVERTAKES_PER_CORE * 2


def test_a_withdrawn_job_does_not_start_and_may_be_asked_for_again():
    coordinator = Coordinator(1, 100)
    coordinator.submit(job("a"))
    coordinator.withdraw("a")
    assert starts(coordinator) == []

    coordinator.submit(job("a"))
    assert starts(coordinator) == ["a"]


def test_jobs_that_change_the_slave_run_one_at_a_time_beside_others():
    coordinator = Coordinator(4, 100)
    for name, kind in (("l", "load"), ("m", "load"), ("g", "generator"), ("a", "output")):
        coordinator.submit(job(name, kind))

    assert starts(coordinator) == ["l", "a"]
    coordinator.end("l")
    assert starts(coordinator) == ["m"]


def test_what_can_never_start_is_told_with_place_need_and_mend():
    coordinator = Coordinator(2, 100)

    assert coordinator.objection_to(job("a", cores=2, memory_bytes=100)) is None
    many = coordinator.objection_to(job("a", cores=3))
    large = coordinator.objection_to(job("a", memory_bytes=101))
    assert "3 cores" in many.message
    assert "script.py:1" in many.message
    assert "101 bytes" in large.message


@pytest.mark.parametrize("cores", [0, -1, 1.5, "2"])
def test_a_local_system_wants_at_least_one_core(cores):
    with pytest.raises(ValueError):
        LocalSystem(cores)


def busy(cores=2, seconds=0.001):
    """A coordinator whose cores are taken, where jobs have been short."""
    coordinator = Coordinator(cores, 100)
    for i in range(40):
        coordinator.submit(job(f"before{i}"))
        assert starts(coordinator) == [f"before{i}"]
        coordinator.end(f"before{i}", seconds)
    for i in range(cores):
        coordinator.submit(job(f"running{i}"))
    assert len(starts(coordinator)) == cores
    return coordinator


def aheads(coordinator):
    found = []
    while (spec := coordinator.next_ahead()) is not None:
        found.append(spec.id)
    return found


def test_short_jobs_are_told_ahead_as_many_as_there_are_cores():
    coordinator = busy()
    for name in "abc":
        coordinator.submit(job(name))

    assert aheads(coordinator) == ["a", "b"]
    assert coordinator.running == ("running0", "running1")


@pytest.mark.parametrize("seconds", [SHORT_SECONDS, 10.0])
def test_where_jobs_take_their_time_none_is_told_ahead(seconds):
    coordinator = busy()
    coordinator.submit(job("a"))
    coordinator.submit(job("b"))
    coordinator.end("running0", seconds)
    assert starts(coordinator) == ["a"]

    assert aheads(coordinator) == []


@pytest.mark.parametrize(
    "first", [job("x", cores=2), job("x", memory_bytes=51), job("x", "load")], ids=["cores", "memory", "loading"]
)
def test_no_job_is_told_ahead_of_one_that_needs_more(first):
    coordinator = busy()
    coordinator.submit(first)
    coordinator.submit(job("a"))

    assert aheads(coordinator) == []


def test_a_job_told_ahead_takes_the_core_of_the_one_that_ended():
    coordinator = busy()
    for name in "ab":
        coordinator.submit(job(name))
    aheads(coordinator)

    coordinator.end("running0", 0.001)
    coordinator.begin("a")
    assert coordinator.next_turn() is None
    assert starts(coordinator) == []
    assert coordinator.running == ("running1", "a")


def test_a_job_told_ahead_has_its_turn_before_any_other_when_a_core_is_free():
    coordinator = busy()
    coordinator.submit(job("a"))
    aheads(coordinator)
    coordinator.submit(job("b"))

    coordinator.end("running0", 0.001)
    assert starts(coordinator) == []
    assert coordinator.next_turn() == "a"
    coordinator.begin("a")
    assert coordinator.running == ("running1", "a")
    coordinator.end("running1", 0.001)
    assert starts(coordinator) == ["b"]


def test_a_job_told_ahead_and_lost_held_nothing():
    coordinator = busy()
    coordinator.submit(job("a"))
    aheads(coordinator)
    coordinator.end("a")
    coordinator.end("running0", 0.001)
    coordinator.submit(job("b"))
    coordinator.submit(job("c"))

    assert starts(coordinator) == ["b"]


def test_a_job_told_ahead_will_hold_one_core():
    coordinator = busy()
    coordinator.submit(job("a"))

    assert aheads(coordinator) == ["a"]
    assert coordinator.cores_of("a") == 1


def test_where_cores_were_taken_away_nothing_is_told_ahead_and_nobody_has_a_turn():
    coordinator = busy()
    coordinator.submit(job("a"))
    assert aheads(coordinator) == ["a"]
    coordinator.submit(job("b"))
    coordinator.set_cores(1)

    assert aheads(coordinator) == []
    assert coordinator.next_turn() is None
    coordinator.end("a", 0.001)
    assert aheads(coordinator) == []
    assert starts(coordinator) == []


@pytest.mark.parametrize(("shares", "most"), [(True, 2 * SHARED_AHEAD_PER_CORE), (False, 2)])
def test_jobs_that_share_a_process_are_told_further_ahead(shares, most):
    coordinator = Coordinator(2, 100)
    for number in range(100):
        coordinator.submit(job(str(number))._replace(shares_process=shares))
    assert starts(coordinator) == ["0", "1"]
    coordinator.end("0", 0.001)
    assert starts(coordinator) == ["2"]

    told = []
    while (spec := coordinator.next_ahead()) is not None:
        told.append(spec.id)

    assert told == [str(number) for number in range(3, 3 + most)]
    coordinator.submit(job("own"))
    coordinator.end("1", 10.0)
    assert coordinator.next_turn() == "3"
    assert coordinator.next_ahead() is None, "a job was long, and others would wait behind it"
