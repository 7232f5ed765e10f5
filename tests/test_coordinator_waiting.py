"""Who waits, for what, and who passes: priorities, memory, named resources, promises; and nobody waits for ever."""

import pytest
from engine_world import spec_of
from hypothesis import given
from hypothesis import strategies as st

from pipegraph.coordinator import OVERTAKES_PER_CORE, Coordinator, Expected
from pipegraph.errors import RuntimeException


def job(name, kind="output", **more):
    return spec_of(name, kind, **more)


def starts(coordinator, now=0.0):
    found = []
    while (spec := coordinator.next_start(now)) is not None:
        found.append(spec.id)
    return found


def test_the_longest_way_starts_first_and_equal_ones_in_order_of_arrival():
    coordinator = Coordinator(1, 100)
    for name, priority in (("a", 1.0), ("b", 5.0), ("c", 5.0), ("d", 9.0)):
        coordinator.submit(job(name), priority)
    order = []
    while new := starts(coordinator):
        order += new
        coordinator.end(new[0])

    assert order == ["d", "b", "c", "a"]


@pytest.mark.parametrize(("declared", "learnt", "held"), [(30, 10, 30), (-1, 10, 10), (-1, None, 25), (0, 10, 0)])
def test_a_job_takes_what_it_declares_or_what_was_learnt_or_its_share(declared, learnt, held):
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("a", memory_bytes=declared), memory_bytes=learnt)
    starts(coordinator)

    assert coordinator.held == (1, held)
    assert (coordinator.free_cores, coordinator.free_memory) == (3, 100 - held)


@pytest.mark.parametrize("needed", range(1, 101))
def test_beside_jobs_of_which_nothing_is_known_memory_counts_as_so_many_cores(needed):
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("large", memory_bytes=needed))
    for name in "abcd":
        coordinator.submit(job(name))

    assert len(starts(coordinator)) == 1 + 4 - -(-needed // 25)


def test_jobs_that_are_known_to_be_small_fill_every_core_beside_a_large_one():
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("large", memory_bytes=90))
    for name in "abc":
        coordinator.submit(job(name), memory_bytes=3)

    assert starts(coordinator) == ["large", "a", "b", "c"]


def test_a_job_that_was_larger_than_all_there_is_runs_alone():
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("huge"), memory_bytes=300)
    coordinator.submit(job("nothing", memory_bytes=0))

    assert starts(coordinator) == ["huge"]
    assert coordinator.held == (1, 100)
    coordinator.end("huge")
    assert starts(coordinator) == ["nothing"]


def test_nothing_runs_beside_an_exclusive_job():
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("a"))
    coordinator.submit(job("alone", is_exclusive=True), 5.0)
    coordinator.submit(job("b"), 9.0)
    assert starts(coordinator)[:1] == ["b"]
    for name in ("b", "a"):
        coordinator.end(name)

    assert starts(coordinator) == ["alone"]
    coordinator.submit(job("c"))
    assert starts(coordinator) == []
    assert coordinator.waiting_for("c") == "waits for the end of alone, which runs alone"
    coordinator.end("alone")
    assert starts(coordinator) == ["c"]


def test_of_a_named_resource_no_more_is_used_than_there_is_and_others_pass_freely():
    coordinator = Coordinator(2, 100, {"gpu": 1})
    coordinator.submit(job("first", resources=(("gpu", 1),)))
    coordinator.submit(job("second", resources=(("gpu", 1),)))
    assert starts(coordinator) == ["first"]
    for number in range(3 * 2 * OVERTAKES_PER_CORE):
        coordinator.submit(job(f"{number}"))
        assert starts(coordinator) == [f"{number}"]
        coordinator.end(f"{number}")

    assert coordinator.waiting_for("second") == "waits for gpu (1 of 1 in use by first)"
    coordinator.end("first")
    assert starts(coordinator) == ["second"]


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ({"cores": 5}, ["5 cores", "there: 4", "cores_needed"]),
        ({"memory_bytes": 101}, ["101 bytes", "there: 100", "memory_needed"]),
        ({"resources": (("gpu", 3),)}, ["3 of gpu", "there: 2", "new_pipegraph(resources="]),
        ({"resources": (("gpx", 1),)}, ["1 of gpx", "there: gpu (2)", "new_pipegraph(resources={'gpx': 1})"]),
    ],
    ids=["cores", "memory", "too many", "unknown"],
)
def test_an_objection_says_what_is_needed_what_there_is_and_how_to_mend_it(needs, words):
    message = Coordinator(4, 100, {"gpu": 2}).objection_to(job("a", **needs)).message

    assert "script.py:1" in message
    for each in words:
        assert each in message


def gap(**more):
    """Two of four cores are taken until 10, and a job of four waits."""
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("running", cores=2), seconds=10.0)
    assert starts(coordinator) == ["running"]
    coordinator.submit(job("big", cores=4), 9.0, seconds=5.0)
    coordinator.submit(job("small"), 1.0, **more)
    return coordinator


@pytest.mark.parametrize(("seconds", "passes"), [(10.0, True), (10.5, False), (None, True)])
def test_a_gap_is_filled_with_what_ends_before_it_closes_or_may(seconds, passes):
    assert starts(gap(seconds=seconds)) == ["small"] * passes


def test_what_takes_nothing_that_is_needed_then_passes_however_long_it_takes():
    coordinator = Coordinator(4, 100)
    coordinator.submit(job("running", cores=2), seconds=10.0)
    assert starts(coordinator) == ["running"]
    coordinator.submit(job("big", cores=3), 9.0, seconds=5.0)
    for name in ("a", "b"):
        coordinator.submit(job(name), 1.0, seconds=1000.0)

    assert starts(coordinator) == ["a"]


def test_where_running_jobs_are_late_what_passes_is_counted_and_ends():
    coordinator = gap(seconds=1.0)
    assert starts(coordinator) == ["small"], "it was promised for 10"
    coordinator.end("small")
    passed = 0
    for number in range(1000):
        coordinator.submit(job(f"{number}"), seconds=0.001)
        found = starts(coordinator, 100.0 + number)
        passed += len(found)
        for each in found:
            coordinator.end(each)

    assert passed == 4 * OVERTAKES_PER_CORE


def test_looking_takes_nothing_and_what_was_offered_can_be_taken_once():
    coordinator = Coordinator(2, 100)
    coordinator.submit(job("a", cores=2))
    offer = coordinator.peek()

    assert (offer.spec.id, offer.cores, offer.memory_bytes) == ("a", 2, 100)
    assert coordinator.peek() == offer
    assert coordinator.held == (0, 0)
    coordinator.take(offer)
    assert coordinator.running == ("a",)
    with pytest.raises(RuntimeException):
        coordinator.take(offer)


def test_a_job_that_is_put_off_starts_again():
    coordinator = Coordinator(1, 100)
    coordinator.submit(job("a"), memory_bytes=10)
    assert starts(coordinator) == ["a"]
    coordinator.end("a")
    coordinator.submit(job("a"), memory_bytes=60)

    assert starts(coordinator) == ["a"]
    assert coordinator.held.memory_bytes == 60


def test_what_is_known_by_now_changes_the_order_and_keeps_that_of_arrival():
    coordinator = Coordinator(1, 100)
    for name in "abcd":
        coordinator.submit(job(name), {"b": 0.0, "c": 3.0}.get(name, 0.0))
    coordinator.withdraw("a")
    coordinator.revise(lambda spec: Expected(priority=7.0 if spec.id == "d" else 1.0, seconds=1.0))
    order = []
    while new := starts(coordinator):
        order += new
        coordinator.end(new[0])

    assert order == ["d", "b", "c"]


def test_who_waits_first_and_for_what():
    coordinator = Coordinator(4, 10**11)
    coordinator.submit(job("a", cores=3, memory_bytes=70 * 10**9))
    starts(coordinator)
    coordinator.submit(job("b", memory_bytes=40 * 10**9), 1.0)
    coordinator.submit(job("c", cores=2), 2.0)

    assert coordinator.head().id == "c"
    assert coordinator.waiting_for("b") == "waits for 40 GB of memory"
    assert coordinator.waiting_for("c") == "waits for 2 cores"


@pytest.mark.parametrize(("memory", "told"), [(60, None), (50, "a")])
def test_nothing_is_told_ahead_beside_a_job_that_takes_more_memory_than_its_cores_share(memory, told):
    coordinator = Coordinator(2, 100)
    coordinator.submit(job("large", memory_bytes=memory))
    coordinator.submit(job("small", memory_bytes=10))
    assert starts(coordinator) == ["large", "small"]
    coordinator.end("none", 0.001)
    coordinator.end("none", 0.001)
    coordinator.submit(job("a"))

    spec = coordinator.next_ahead()
    assert (spec and spec.id) == told


def in_short_jobs(coordinator):
    """Jobs have been short, and none ended that ran."""
    for _ in range(2):
        coordinator.end("none", 0.001)
    return coordinator


def test_where_cores_are_added_what_runs_may_take_more_than_its_share_by_then():
    coordinator = Coordinator(2, 100)
    for name in ("a", "b"):
        coordinator.submit(job(name, memory_bytes=50))
    assert starts(coordinator) == ["a", "b"]
    coordinator.set_cores(4)
    for name in ("c", "d"):
        coordinator.submit(job(name, memory_bytes=0))
    assert starts(coordinator) == ["c", "d"]
    coordinator.submit(job("unknown"))

    assert in_short_jobs(coordinator).next_ahead() is None, "there would be no memory for it when c ends"


def test_where_cores_are_taken_away_what_runs_may_keep_to_its_share_by_then():
    coordinator = Coordinator(4, 100)
    for name in ("a", "b"):
        coordinator.submit(job(name, memory_bytes=30))
    assert starts(coordinator) == ["a", "b"]
    coordinator.set_cores(2)
    coordinator.submit(job("c"))
    coordinator.submit(job("d"))
    assert in_short_jobs(coordinator).next_ahead().id == "c"
    for name in ("a", "b"):
        coordinator.end(name, 0.001)
        coordinator.begin("c")
    assert starts(coordinator) == ["d"]
    coordinator.submit(job("e"))

    assert coordinator.next_ahead().id == "e", "nobody holds more than its share"


def test_cores_that_are_added_are_not_for_jobs_told_ahead_whose_memory_was_promised_for_fewer():
    coordinator = Coordinator(2, 100)
    for name in "abcd":
        coordinator.submit(job(name, memory_bytes=50))
    assert starts(coordinator) == ["a", "b"]
    told = [in_short_jobs(coordinator).next_ahead().id for _ in range(2)]
    assert told == ["c", "d"]
    coordinator.set_cores(4)

    assert coordinator.next_turn() is None
    coordinator.end("a", 0.001)
    assert coordinator.next_turn() == "c"
    assert coordinator.next_turn() is None
    assert coordinator.held.memory_bytes == 100
    coordinator.end("b", 0.001)
    assert coordinator.next_turn() == "d"
    coordinator.submit(job("e", memory_bytes=0))
    assert starts(coordinator) == ["e"], "all cores are used once nothing is told ahead"


def test_cores_that_are_given_back_are_not_for_jobs_told_ahead_meanwhile():
    coordinator = Coordinator(2, 100)
    for name in "abc":
        coordinator.submit(job(name, memory_bytes=50))
    assert starts(coordinator) == ["a", "b"]
    assert in_short_jobs(coordinator).next_ahead().id == "c"
    coordinator.set_cores(1)
    coordinator.end("a", 0.001)
    coordinator.submit(job("all", memory_bytes=100)._replace(shares_process=True))
    assert coordinator.next_ahead().id == "all"
    coordinator.set_cores(2)

    assert coordinator.next_turn() is None
    coordinator.end("b", 0.001)
    assert (coordinator.next_turn(), coordinator.next_turn()) == ("c", None)
    assert coordinator.held.memory_bytes == 50


def test_jobs_told_ahead_have_their_turn_on_all_cores_there_were_when_they_were_told():
    coordinator = Coordinator(2, 100)
    coordinator.set_cores(3)
    for name in "abcdef":
        coordinator.submit(job(name))
    assert starts(coordinator) == ["a", "b", "c"]
    assert [in_short_jobs(coordinator).next_ahead().id for _ in range(3)] == ["d", "e", "f"]
    for name in "abc":
        coordinator.end(name, 0.001)

    assert [coordinator.next_turn() for _ in range(4)] == ["d", "e", "f", None]


JOBS = st.lists(
    st.tuples(
        st.sampled_from((1, 1, 1, 2, 3, -1, -2)),
        st.sampled_from((-1, -1, 0, 10, 60, 100)),
        st.sampled_from((None, 1, 30, 250)),
        st.sampled_from(((), (), (("gpu", 1),), (("gpu", 2),))),
        st.sampled_from(("output", "output", "output", "load", "alone")),
        st.integers(0, 5),
        st.sampled_from((None, 1.0, 7.0)),
        st.integers(0, 9),
    ),
    max_size=30,
)


@given(JOBS, st.randoms(use_true_random=False))
def test_never_is_more_taken_than_there_is_and_every_job_starts_but_those_withdrawn(jobs, pick):
    coordinator = Coordinator(4, 100, {"gpu": 2})
    specs, withdrawn, started, running, now = {}, set(), [], [], 0.0
    for number, (cores, memory, learnt, resources, kind, priority, seconds, fate) in enumerate(jobs):
        name = str(number)
        alone = kind == "alone"
        kind = "output" if alone else kind
        specs[name] = job(name, kind, cores=cores, memory_bytes=memory, resources=resources, is_exclusive=alone)
        coordinator.submit(specs[name], priority, seconds, learnt)
        if fate == 0:
            coordinator.withdraw(name)
            withdrawn.add(name)
    while True:
        while (spec := coordinator.next_start(now)) is not None:
            started.append(spec.id)
            running.append(spec.id)
            held = coordinator.held
            assert held.cores == sum(map(coordinator.cores_of, running)) <= 4
            assert held.memory_bytes <= 100
            assert sum(dict(specs[each].resources).get("gpu", 0) for each in running) <= 2
            assert sum(specs[each].in_memory for each in running) <= 1
            assert len(running) == 1 or not any(specs[each].is_exclusive for each in running)
        if not running:
            break
        now += pick.choice((0.0, 1.0, 50.0))
        coordinator.end(running.pop(pick.randrange(len(running))))

    assert sorted(started) == sorted(specs.keys() - withdrawn)
    assert (coordinator.held, coordinator.head()) == ((0, 0), None)


@given(JOBS)
def test_where_times_are_right_nobody_starts_later_than_was_promised(jobs):
    coordinator = Coordinator(4, 100)
    now, ends = 0.0, []
    for number, (cores, memory, learnt, *_, priority, seconds, _) in enumerate(jobs):
        spec = job(str(number), cores=cores, memory_bytes=memory)
        coordinator.submit(spec, priority, seconds or 3.0, learnt)
    length = {str(number): each[6] or 3.0 for number, each in enumerate(jobs)}
    while True:
        while (spec := coordinator.next_start(now)) is not None:
            ends.append((now + length[spec.id], spec.id))
        assert all(one.promised >= now for one in coordinator._patience.values())
        if not ends:
            break
        now = min(ends)[0]
        for end in [each for each in ends if each[0] == now]:
            coordinator.end(end[1])
            ends.remove(end)
