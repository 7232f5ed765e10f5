"""What is to come of each job, as the engine tells it before anything ran; held against the runs that then come."""

import copy
import random

import pytest
from engine_world import World, spec_of
from test_engine_random import change, random_world

from pipegraph.engine import Engine, Fate
from pipegraph.model import Reason, ReasonKind, Role

MUST, MAY, UP_TO_DATE, NOT_NEEDED, BLOCKED = Fate.MUST, Fate.MAY, Fate.UP_TO_DATE, Fate.NOT_NEEDED, Fate.BLOCKED


def prospects(world):
    engine = Engine()
    engine.handle(world._arrival(tuple(world.specs.values()), (), None))
    return engine.prospects()


def fates(world):
    return {job: each.fate for job, each in prospects(world).items()}


def chain():
    """An input, a job, a temporary file, one that reads it, and one behind that."""
    world = World()
    world.add("i", "invariant")
    world.add("a", "output", "i")
    world.add("t", "temp", "a")
    world.add("b", "output", "t")
    world.add("c", "output", "b")
    return world


def test_all_must_run_where_nothing_was_ever_made():
    assert fates(chain()) == dict.fromkeys("atbc", MUST)


def test_nothing_runs_where_all_was_made():
    world = chain()
    world.run()

    assert fates(world) == {"a": UP_TO_DATE, "t": NOT_NEEDED, "b": UP_TO_DATE, "c": UP_TO_DATE}


def test_what_depends_on_what_must_run_may_run():
    world = chain()
    world.run()
    world.values["i"] = "2"

    found = prospects(world)

    assert {job: each.fate for job, each in found.items()} == {"a": MUST, "t": MAY, "b": MAY, "c": MAY}
    assert [str(reason) for reason in found["a"].reasons] == ["input changed: i"]
    assert (found["c"].inputs, found["c"].roots) == (("b",), ("a",))


def test_a_job_that_waits_must_run_for_what_is_certain_already():
    world = chain()
    world.run()
    world.values["i"] = "2"
    del world.files["c"]

    found = prospects(world)

    assert found["c"].fate is MUST
    assert [str(reason) for reason in found["c"].reasons] == ["output missing: c"]
    assert found["b"].fate is MAY


def test_a_load_that_counts_by_its_data_and_was_never_loaded_must_run_to_be_known():
    world = World()
    world.add("i", "invariant")
    world.add("a", "output", "i")
    world.add("p", "opaque", "a")
    world.add("b", "output", "p")
    world.run()
    world.values["i"] = "2"
    del world.pasts["p"]

    found = prospects(world)

    assert {job: each.fate for job, each in found.items()} == {"a": MUST, "p": MUST, "b": MAY}
    assert [str(reason) for reason in found["p"].reasons] == ["never made here"]


def test_what_a_job_needs_that_must_run_must_run_with_it():
    world = chain()
    world.run()
    del world.files["b"]

    found = prospects(world)

    assert found["t"].fate is MUST
    assert found["t"].reasons == (Reason(ReasonKind.NEEDED, "b"),)
    assert found["c"].fate is MAY


def test_what_only_a_job_needs_that_may_run_may_run():
    world = World()
    world.add("i", "invariant")
    world.add("a", "output", "i")
    world.add("l", "load")
    world.add("b", "output", "a", "l")
    world.run()
    world.values["i"] = "2"

    found = prospects(world)

    assert found["l"].fate is MAY
    assert (found["l"].reasons, found["l"].roots) == ((Reason(ReasonKind.NEEDED, "b"),), ("a",))


def test_a_temporary_file_that_nobody_needs_is_not_needed_however_old_it_is():
    world = World()
    world.add("i", "invariant")
    world.add("t", "temp", "i")
    world.add("u", "temp", "t")

    assert fates(world) == {"t": NOT_NEEDED, "u": NOT_NEEDED}


def test_what_leads_to_a_job_is_told_through_loads():
    world = World()
    world.add("i", "invariant")
    world.add("a", "output", "i")
    world.add("l", "load", "a")
    world.add("b", "output", "l")
    world.add("c", "output", "l")
    world.run()
    world.values["i"] = "2"
    del world.files["c"]

    found = prospects(world)

    assert (found["l"].fate, found["b"].fate, found["c"].fate) == (MUST, MAY, MUST)
    assert found["b"].roots == ("a",)


def test_behind_a_generator_an_input_that_is_gone_is_no_certain_reason():
    world = World()
    world.add("g", "generator")
    world.add("b", "output", "g")
    world.grow("g", spec_of("a", "output"), edges=(("b", "a"),))
    world.run()

    found = prospects(world)

    assert (found["g"].fate, found["b"].fate) == (MUST, MAY)
    assert world.run().order == ["g"]


def test_of_an_input_that_is_gone_all_that_is_behind_is_blocked():
    world = chain()
    del world.values["i"]

    found = prospects(world)

    assert {each.fate for each in found.values()} == {BLOCKED}
    assert found["c"].roots == ("i",)


def test_a_final_job_may_run_if_anything_may():
    world = chain()
    world.add("f", "final")
    world.run()
    assert fates(world)["f"] is UP_TO_DATE

    world.values["i"] = "2"

    found = prospects(world)
    assert (found["f"].fate, found["f"].roots) == (MAY, ("a",))


def test_a_final_job_must_run_if_there_is_one_job_more():
    world = chain()
    world.add("f", "final")
    world.run()
    world.add("d", "output", "i")

    assert fates(world)["f"] is MUST


def with_growth(world, pick):
    """Generators that declare something, and give it to who depends on them."""
    for name, spec in list(world.specs.items()):
        if spec.role is Role.GENERATOR and pick.random() < 0.7:
            inputs = pick.sample(list(world.specs), pick.randint(0, 2))
            inputs = [each for each in inputs if world.specs[each].role is not Role.GENERATOR and each != name]
            inputs = [each for each in inputs if each not in behind(world, name)]
            below = [each for each, other in world.specs.items() if name in other.inputs and each[0] == "o"]
            edges = tuple((each, f"new_{name}") for each in below[:1])
            world.grow(name, spec_of(f"new_{name}", "output", tuple(inputs)), edges=edges)


def behind(world, name):
    found = {name}
    for each, spec in world.specs.items():
        if not found.isdisjoint(spec.inputs):
            found.add(each)
    return found


def needed_by_growth(world):
    """Ephemeral jobs that what was declared may need, and what they need."""
    stack = [name for grown in world.growth.values() for spec in grown.jobs for name in spec.inputs]
    found = set()
    while stack:
        name = stack.pop()
        if world.specs[name].role is Role.EPHEMERAL and name not in found:
            found.add(name)
            stack += world.specs[name].inputs
    return found


@pytest.mark.parametrize("seed", range(30))
def test_a_run_does_what_was_foreseen(seed):
    tally = dict.fromkeys(Fate, 0)
    for nth in range(40):
        pick = random.Random(f"outlook {seed} {nth}")
        world = random_world(pick)
        if pick.random() < 0.4:
            with_growth(world, pick)
        if pick.random() < 0.3:
            world.add("f", "final")
        for _ in range(4):
            failing, world.failing = world.failing, set()
            found = prospects(world)
            check_exact(copy.deepcopy(world), found)
            ran = world.run(pick.random())
            if hasattr(world, "objection"):
                break  # two generators that would make each other wait
            check_foreseen(world, found, ran)
            for each in found.values():
                tally[each.fate] += 1
            world.failing = failing
            change(world, pick)
            if pick.random() < 0.5:
                world.run(pick.random(), cut_after=pick.randint(0, 12))
                change(world, pick)
    assert all(tally[fate] for fate in (MUST, MAY, UP_TO_DATE, NOT_NEEDED)), tally


def check_foreseen(world, found, ran):
    must = {job for job, each in found.items() if each.fate is MUST}
    may = {job for job, each in found.items() if each.fate is MAY}
    declared = {spec.id for grown in world.growth.values() for spec in grown.jobs}
    assert not ran.failed
    assert set(ran.order) <= must | may | declared | needed_by_growth(world), (set(ran.order) - must - may, found)
    assert must <= set(ran.order), (must - set(ran.order), found)
    for job in must:
        certain = {reason for reason in found[job].reasons if reason.kind is not ReasonKind.NEEDED}
        assert certain <= set(ran.started[job]), job
    for job in may:
        assert found[job].roots, job
        assert all(root in must for root in found[job].roots)


def check_exact(world, found):
    """If all that is made comes out otherwise, all runs that may, but for what only hangs on generators."""
    if any(spec.role is Role.GENERATOR for spec in world.specs.values()):
        return
    for job in found:
        world.recipe[job] = lambda parts, job=job: f"{job} as never before"

    ran = world.run()

    assert {job for job, each in found.items() if each.fate in (MUST, MAY)} == set(ran.order)
