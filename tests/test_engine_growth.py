"""What a generator adds while jobs run, fail, or have ended; in memory."""

import pytest
from engine_world import Told, World, spec_of

from pipegraph.engine import DropProduct, Engine, StartJob, WithdrawJob
from pipegraph.errors import RuntimeException
from pipegraph.events import GraphGrew, JobBlocked, JobFailed, JobsLost, JobStarted, JobSucceeded
from pipegraph.model import Failure, FailureKind, FileRecord, JobSpec, Past, Reason, ReasonKind, Role, Trace


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
    told = Told(spec_of("a", "output"))
    told.runs("a", "a")

    with pytest.raises(RuntimeException, match="not to run"):
        told.engine.handle(JobFailed("a", Failure(FailureKind.RAISED, "builtins.ValueError", "no")))


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


def made_before(*specs, stale=()):
    """An engine of jobs that were all made before, but for the stale ones; temporary files are not there."""
    made = [spec for spec in specs if spec.outputs and spec.id not in stale]
    pasts = {spec.id: Past(Trace({name: name for name in spec.inputs}, spec.id)) for spec in made}
    absent = [spec.id for spec in made if spec.role is Role.EPHEMERAL]
    return Told(*specs, pasts=pasts, problems={each: (Reason(ReasonKind.OUTPUT_MISSING, each),) for each in absent})


def test_what_was_to_be_made_for_two_jobs_is_made_although_one_is_blocked():
    told = made_before(
        spec_of("t", "temp"),
        spec_of("u", "temp"),
        spec_of("l", "load"),
        spec_of("b", "output", ("t", "u", "l")),
        spec_of("c", "output", ("t",)),
        spec_of("a", "output", ("u", "s")),
        spec_of("s", "output"),
        stale=("b", "c", "s"),
    )
    told.starts("l")

    answers = told.fails("l")

    assert answers == [JobBlocked("b", "l"), WithdrawJob("u")]


def test_what_only_leads_to_what_is_not_made_is_not_made_either_and_its_reason_is_forgotten():
    told = made_before(
        spec_of("t", "temp"),
        spec_of("u", "temp", ("t",)),
        spec_of("l", "load"),
        spec_of("b", "output", ("u", "l")),
        spec_of("a", "output", ("u", "t", "s")),
        spec_of("s", "output"),
        stale=("b", "s", "a"),
    )
    told.starts("l", "s")

    assert told.fails("l") == [JobBlocked("b", "l"), WithdrawJob("t")]
    started = told.succeeds("s", "s")
    assert started == [StartJob("t", (Reason(ReasonKind.NEEDED, "a"),))]


def test_products_and_what_they_were_made_from_go_when_the_last_generator_has_ended():
    told = made_before(
        spec_of("t", "temp"),
        spec_of("u", "temp", ("t",)),
        spec_of("a", "output", ("u",)),
        spec_of("g", "generator", ("a",)),
        stale=("a",),
    )
    for job in ("t", "u", "a"):
        told.starts(job)
        told.succeeds(job, job)
    told.starts("g")

    answers = told.succeeds("g")

    assert sorted(each.job for each in answers if isinstance(each, DropProduct)) == ["t", "u"]


def test_a_generator_to_come_waits_for_all_that_run_again():
    told = made_before(
        spec_of("g", "generator"),
        spec_of("h", "generator"),
        spec_of("x", "output"),
        spec_of("k", "generator", ("x",)),
        stale=("x",),
    )
    for job in ("g", "h"):
        told.starts(job)
        told.succeeds(job)
    told.starts("x")
    first = told.loses(memory=("g", "h"))

    then = told.succeeds("x", "x")
    told.starts("g")
    after_g = told.succeeds("g")
    told.starts("h")
    after_h = told.succeeds("h")

    assert first == []
    assert [each.job for each in then] == ["g"]
    assert [each.job for each in after_g] == ["h"]
    assert [each.job for each in after_h] == ["k"]


def test_a_generator_that_is_let_pass_and_waits_for_data_too_is_not_blocked():
    told = made_before(
        spec_of("l", "load"),
        spec_of("g", "generator"),
        spec_of("h", "generator", ("l",)),
        spec_of("x", "output", ("h",)),
        spec_of("y", "output", ("g",)),
        stale=("x", "y"),
    )
    for job in ("l", "g", "h"):
        told.starts(job)
        told.succeeds(job)
    told.starts("x", "y")
    told.loses("x", "y", memory=("l", "g", "h"))
    told.starts("l", "g")

    failed = told.fails("g")
    answers = told.succeeds("l")

    assert failed == [JobBlocked("y", "g")]
    assert [each.job for each in answers] == ["h"]


def test_what_is_let_pass_by_one_that_can_not_run_again_has_its_own_data_loaded_again():
    told = made_before(
        spec_of("m", "load"),
        spec_of("p", "load", ("m",)),
        spec_of("q", "load"),
        spec_of("g", "generator", ("q", "p")),
        spec_of("l", "load"),
        spec_of("h", "generator", ("l",)),
        spec_of("w", "output", ("m",)),
        spec_of("s", "output"),
        spec_of("z", "output", ("h", "s")),
        stale=("w", "s", "z"),
    )
    for job in ("m", "q", "p", "g", "l", "h"):
        told.starts(job)
        told.succeeds(job)
    told.starts("w", "s")
    told.loses("w", memory=("m", "q", "p", "g", "l", "h"))
    told.starts("m")
    assert told.fails("m") == [JobBlocked("w", "m")]

    answers = told.succeeds("s", "s")

    assert JobBlocked("g", "m") in answers
    assert [each.job for each in answers if isinstance(each, StartJob)] == ["l"]
