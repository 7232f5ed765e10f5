"""What a generator adds while jobs run, fail, or have ended; in memory."""

import pytest
from engine_world import World, spec_of

from pipegraph.engine import Engine, StartJob, WithdrawJob
from pipegraph.errors import RuntimeException
from pipegraph.events import GraphGrew, JobBlocked, JobFailed, JobsLost, JobStarted, JobSucceeded
from pipegraph.model import Failure, FailureKind, FileRecord, JobSpec, Past, Reason, ReasonKind, Trace


@pytest.fixture
def world():
    return World()


def test_an_edge_into_a_job_that_a_failure_blocked_is_no_failure_of_the_generator(world):
    world.add("bad", "output")
    world.add("g", "generator")
    world.add("joined", "output", "bad", "g")
    world.grow("g", spec_of("part", "output"), spec_of("t", "temp"), edges=(("joined", "part"), ("joined", "t")))
    world.failing = {"bad"}
    for seed in range(10):
        ran = world.run(seed)

        assert ran.failed == ["bad"]
        assert ran.blocked == {"joined": "bad"}
        assert "part" in world.files


def test_a_generated_job_may_need_data_that_is_loaded_from_a_temporary_file_nobody_needed(world):
    world.add("t", "temp")
    world.add("l", "load", "t")
    world.add("g", "generator")
    world.grow("g", spec_of("a", "output", ("l",)))

    ran = world.run()

    assert ran.order == ["g", "t", "l", "a"]


@pytest.mark.parametrize("kind", ["temp", "load"])
def test_what_a_generator_to_come_may_need_is_not_made_twice(world, kind):
    world.add("t", kind)
    world.add("a", "output", "t")
    world.add("g", "generator", "a")
    world.add("h", "generator", "g")
    world.grow("g", spec_of("b", "output", ("t",)))

    ran = world.run()

    assert ran.order == ["t", "a", "g", "b", "h"] or ran.order == ["t", "a", "g", "h", "b"]
    assert ran.dropped == ["t"]


def test_a_temporary_file_goes_when_the_last_generator_has_failed(world):
    world.add("t", "temp")
    world.add("a", "output", "t")
    world.add("g", "generator", "a")
    world.add("h", "generator", "g")
    world.failing = {"g"}

    ran = world.run()

    assert ran.blocked == {"h": "g"}
    assert ran.dropped == ["t"]


def test_an_invariant_and_an_edge_that_are_there_already_may_come_again(world):
    world.add("p", "invariant")
    world.add("q", "invariant")
    world.add("a", "output", "p")
    world.add("g", "generator")
    world.add("b", "output", "g", "a")
    world.grow("g", world.specs["p"], spec_of("c", "output", ("p",)), edges=(("b", "a"), ("b", "c"), ("b", "c")))

    ran = world.run()

    assert world.files["b"] == f"b({world.files['a']},{world.files['c']},g[])"
    assert world.run().order == ["g"]
    assert ran.failed == []


def test_invariants_may_come_after_what_depends_on_them():
    specs: tuple[JobSpec, ...] = (
        spec_of("a", "output", ("p", "q")),
        spec_of("p", "invariant"),
        spec_of("q", "invariant"),
    )

    answers = Engine().handle(GraphGrew(specs, (), None, {}, {"p": "1", "q": "2"}, {}, {}))

    assert [answer.job for answer in answers] == ["a"]


def test_a_failure_of_a_job_that_was_not_to_run_is_an_error():
    engine = Engine()
    engine.handle(GraphGrew((spec_of("a", "output"), spec_of("b", "output", ("a",))), (), None, {}, {}, {}, {}))

    with pytest.raises(RuntimeException, match="not to run"):
        engine.handle(JobFailed("b", Failure(FailureKind.RAISED, "builtins.ValueError", "no")))


def test_nothing_is_made_for_a_generated_temporary_file_that_nobody_needs():
    past = {"t": Past(Trace({}, "t")), "a": Past(Trace({"t": "t", "s": "s"}, "a"))}
    specs = (
        spec_of("t", "temp"),
        spec_of("u", "temp", ("t",)),
        spec_of("s", "output"),
        spec_of("a", "output", ("t", "s")),
        spec_of("g", "generator"),
    )
    missing = {"t": (Reason(ReasonKind.OUTPUT_MISSING, "t"),)}
    engine = Engine()
    engine.handle(GraphGrew(specs, (), None, past, {}, {}, missing))
    engine.handle(JobStarted("s", (), 1, 0.0))
    engine.handle(JobStarted("g", (), 1, 0.0))
    new = (spec_of("v", "temp", ("u",)),)

    answers = engine.handle(GraphGrew(new, (), "g", {}, {}, {}, {}))
    answers += engine.handle(JobSucceeded("g"))

    assert answers == []


def test_what_was_to_be_made_for_a_job_that_is_blocked_is_not_made_for_one_that_may_not_need_it():
    past = {"t": Past(Trace({}, "t")), "a": Past(Trace({"t": "t", "s": "s"}, "a"))}
    specs = (
        spec_of("t", "temp"),
        spec_of("l", "load"),
        spec_of("s", "output"),
        spec_of("a", "output", ("t", "s")),
        spec_of("b", "output", ("t", "l")),
    )
    missing = {"t": (Reason(ReasonKind.OUTPUT_MISSING, "t"),)}
    engine = Engine()
    first = engine.handle(GraphGrew(specs, (), None, past, {}, {}, missing))
    engine.handle(JobStarted("l", (), 1, 0.0))

    answers = engine.handle(JobFailed("l", Failure(FailureKind.RAISED, "builtins.ValueError", "no")))

    assert [each.job for each in first] == ["s", "t", "l"] or [each.job for each in first] == ["s", "l", "t"]
    assert answers == [JobBlocked("b", "l"), WithdrawJob("t")]


def test_a_generator_that_fails_when_it_runs_again_does_not_fail_another_that_ran_after_it():
    engine = Engine()
    specs = (spec_of("g", "generator"), spec_of("h", "generator"), spec_of("k", "generator", ("x",)))
    engine.handle(GraphGrew((*specs, spec_of("x", "output")), (), None, {}, {}, {}, {}))
    for generator, made in (("g", "a"), ("h", "b")):
        engine.handle(JobStarted(generator, (), 1, 0.0))
        engine.handle(GraphGrew((spec_of(made, "output"),), (), generator, {}, {}, {}, {}))
        engine.handle(JobSucceeded(generator))
    engine.handle(JobStarted("b", (), 1, 0.0))

    lost = engine.handle(JobsLost(("b",), ("g", "h")))
    engine.handle(JobStarted("g", (), 1, 0.0))
    failed = engine.handle(JobFailed("g", Failure(FailureKind.RAISED, "builtins.ValueError", "no")))
    engine.handle(JobStarted("h", (), 1, 0.0))
    again = engine.handle(JobSucceeded("h"))

    assert WithdrawJob("a") in lost
    assert [each.job for each in lost if isinstance(each, StartJob)] == ["g"]
    assert JobBlocked("a", "g") in failed
    assert [each.job for each in failed if isinstance(each, StartJob)] == ["h"]
    assert [each.job for each in again] == ["b"]


def test_a_generator_to_come_goes_on_without_the_one_that_failed_when_it_ran_again():
    engine = Engine()
    specs = (spec_of("g", "generator"), spec_of("x", "output"), spec_of("k", "generator", ("x",)))
    engine.handle(GraphGrew(specs, (), None, {}, {}, {}, {}))
    engine.handle(JobStarted("g", (), 1, 0.0))
    engine.handle(GraphGrew((spec_of("a", "output"),), (), "g", {}, {}, {}, {}))
    engine.handle(JobSucceeded("g"))
    engine.handle(JobStarted("a", (), 1, 0.0))
    engine.handle(JobsLost(("a",), ("g",)))
    engine.handle(JobStarted("g", (), 1, 0.0))
    engine.handle(JobFailed("g", Failure(FailureKind.RAISED, "builtins.ValueError", "no")))
    engine.handle(JobStarted("x", (), 1, 0.0))

    answers = engine.handle(JobSucceeded("x", (FileRecord("x", "x", "x", 1, 1, 1, False),)))

    assert [each.job for each in answers] == ["k"]
