"""What a generator adds while jobs run, fail, or have ended; in memory."""

import pytest
from engine_world import World, spec_of

from pipegraph.engine import Engine
from pipegraph.errors import RuntimeException
from pipegraph.events import GraphGrew, JobFailed
from pipegraph.model import Failure, FailureKind, JobSpec


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
