"""Who starts next, with what there is."""

import pytest
from engine_world import spec_of

from pipegraph.coordinator import OVERTAKES_PER_CORE, Coordinator, LocalSystem


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
