"""The sentences of the design about deciding, one test each; in memory."""

import pytest
from engine_world import World, spec_of

from pipegraph.engine import EndRun, Engine
from pipegraph.events import GraphGrew, JobStarted, JobSucceeded, StopRequested
from pipegraph.model import FileRecord, Past, Reason, ReasonKind


@pytest.fixture
def world():
    return World()


def diamond(world):
    """One parameter, a temporary file, two outputs."""
    world.add("p", "invariant")
    world.add("t", "temp", "p")
    world.add("a", "output", "t")
    world.add("b", "output", "a")
    return world


def test_a_job_never_made_here_runs_and_then_is_up_to_date(world):
    world.add("p", "invariant")
    world.add("a", "output", "p")

    first, second = world.run(), world.run()

    assert first.kinds("a") == {ReasonKind.NEVER_MADE}
    assert second.order == []
    assert second.up_to_date == ["a"]


def test_a_file_that_was_there_before_is_never_made_here_and_is_made(world):
    world.add("a", "output")
    world.files["a"] = "from elsewhere"

    ran = world.run()

    assert ran.kinds("a") == {ReasonKind.NEVER_MADE}
    assert world.files["a"] == "a()"


@pytest.mark.parametrize(
    ("edit", "kinds"),
    [
        (lambda w: w.files.pop("a"), {ReasonKind.OUTPUT_MISSING}),
        (lambda w: w.files.update(a="by hand"), {ReasonKind.OUTPUT_CHANGED}),
        (lambda w: w.files.update(a=""), {ReasonKind.OUTPUT_CHANGED, ReasonKind.OUTPUT_EMPTY}),
        (lambda w: w.values.update(p="2"), {ReasonKind.INPUT_CHANGED}),
        (lambda w: w.pasts.update(a=w.pasts["a"]._replace(is_unfinished=True)), {ReasonKind.UNFINISHED}),
        (lambda w: w.pasts.update(a=w.pasts["a"]._replace(has_failed=True)), {ReasonKind.FAILED}),
        (lambda w: w.add("a", "output", "p", "q"), {ReasonKind.INPUT_ADDED}),
        (lambda w: w.add("a", "output"), {ReasonKind.INPUT_REMOVED}),
        (lambda w: w.add("a", "output", "p", forced=True), {ReasonKind.FORCED}),
        (lambda w: (w.values.update(p="2"), w.files.pop("a")), {ReasonKind.INPUT_CHANGED, ReasonKind.OUTPUT_MISSING}),
        (lambda w: w.add("a", "output", "q"), {ReasonKind.INPUT_ADDED, ReasonKind.INPUT_REMOVED}),
    ],
)
def test_each_reason_alone_and_together_makes_an_output_job_run(world, edit, kinds):
    world.add("p", "invariant")
    world.add("q", "invariant")
    world.add("a", "output", "p")
    world.run()
    edit(world)

    ran = world.run()

    assert ran.order == ["a"]
    assert ran.kinds("a") == kinds


def test_a_reason_names_the_input_that_changed(world):
    world.add("p", "invariant")
    world.add("q", "invariant")
    world.add("a", "output", "p", "q")
    world.run()
    world.values["q"] = "2"

    ran = world.run()

    assert ran.started["a"] == (Reason(ReasonKind.INPUT_CHANGED, "q"),)


def test_the_order_of_inputs_is_no_reason(world):
    world.add("p", "invariant")
    world.add("q", "invariant")
    world.add("a", "output", "p", "q")
    world.run()
    world.add("a", "output", "q", "p")

    assert world.run().order == []


def test_an_unwatched_input_that_is_gone_is_no_reason(world):
    world.add("FIa", "invariant")
    world.add("a", "output", "FIa")
    world.run()
    world.add("a", "output", unwatched=frozenset({"FIa"}))

    assert world.run().order == []


def test_a_collection_of_files_under_other_names_is_no_reason(world):
    world.add("MFIx:::y", "invariant")
    world.add("a", "output", "MFIx:::y")
    world.run()
    del world.specs["MFIx:::y"]
    world.add("MFIx:::z", "invariant")
    world.add("a", "output", "MFIx:::z")

    assert world.run().order == []

    world.values["MFIx:::z"] = "2"
    del world.specs["MFIx:::z"]
    world.add("MFIx:::w", "invariant")
    world.values["MFIx:::w"] = "3"
    world.add("a", "output", "MFIx:::w")
    assert world.run().order == ["a"]


def test_the_same_content_again_is_no_reason_for_dependents(world):
    diamond(world)
    world.recipe["a"] = lambda parts: "same"
    world.run()
    world.values["p"] = "2"

    ran = world.run()

    assert ran.order == ["t", "a"]
    assert ran.up_to_date == ["b"]


def test_a_valid_temporary_file_is_not_made_when_nothing_needs_it(world):
    diamond(world)

    first, second = world.run(), world.run()

    assert first.order == ["t", "a", "b"]
    assert first.dropped == ["t"]
    assert second.order == []
    assert second.not_needed == ["t"]


def test_a_valid_temporary_file_is_made_again_for_a_dependent_that_must_run(world):
    diamond(world)
    world.run()
    del world.files["a"]

    ran = world.run()

    assert ran.order == ["t", "a"]
    assert ran.started["t"] == (Reason(ReasonKind.NEEDED, "a"),)
    assert "t" not in world.files


def test_a_temporary_file_whose_inputs_differ_runs_if_an_output_depends_on_it(world):
    diamond(world)
    world.recipe["t"] = lambda parts: "same"
    world.run()
    world.values["p"] = "2"

    ran = world.run()

    assert ran.order == ["t"]
    assert ReasonKind.INPUT_CHANGED in ran.kinds("t")
    assert "t" not in world.files


def test_an_ephemeral_job_that_nobody_wants_never_runs(world):
    world.add("p", "invariant")
    world.add("t", "temp", "p")
    world.add("l", "load", "t")
    world.add("u", "temp", "l")

    ran = world.run()

    assert ran.order == []
    assert sorted(ran.not_needed) == ["l", "t", "u"]


def test_loading_jobs_and_temporary_files_chain(world):
    world.add("p", "invariant")
    world.add("t", "temp", "p")
    world.add("l", "load", "t")
    world.add("m", "load", "l")
    world.add("a", "output", "m")

    first, second = world.run(), world.run()

    assert first.order == ["t", "l", "m", "a"]
    assert second.order == []
    del world.files["a"]
    assert world.run().order == ["t", "l", "m", "a"]


def test_a_loading_job_is_transparent(world):
    world.add("p", "invariant")
    world.add("l", "load", "p")
    world.add("a", "output", "l")
    world.run()

    assert world.run().order == []
    world.values["p"] = "2"
    ran = world.run()
    assert ran.order == ["l", "a"]
    assert ran.started["a"] == (Reason(ReasonKind.INPUT_CHANGED, "l"),)


def test_remade_from_the_same_inputs_it_keeps_its_fingerprint_and_the_run_warns(world):
    diamond(world)
    world.add("c", "output", "t")
    world.run()
    made = world.pasts["t"].trace
    world.recipe["t"] = lambda parts: "other bytes"
    del world.files["a"]

    ran = world.run()

    assert ran.order == ["t", "a", "b"]
    assert "c" in ran.up_to_date
    assert [warning.job for warning in ran.warned] == ["t"]
    assert world.pasts["t"].trace.fingerprint == made.fingerprint
    assert world.pasts["t"].trace.outputs[0].content != made.outputs[0].content


def test_remade_with_the_same_bytes_it_does_not_warn(world):
    diamond(world)
    world.run()
    del world.files["a"]

    assert world.run().warned == []


def test_a_temporary_file_is_kept_if_a_dependent_failed_and_used_next_time(world):
    diamond(world)
    world.failing = {"a"}
    world.run()
    assert "t" in world.files
    world.failing.clear()

    ran = world.run()

    assert ran.order == ["a", "b"]
    assert "t" not in world.files


def test_a_kept_temporary_file_that_was_edited_is_made_again(world):
    diamond(world)
    world.failing = {"a"}
    world.run()
    world.failing.clear()
    world.files["t"] = "edited"

    assert world.run().order == ["t", "a", "b"]


def test_a_temporary_file_that_was_cut_in_the_making_is_made_again(world):
    diamond(world)
    world.failing = {"a"}
    world.run()
    world.failing.clear()
    world.pasts["t"] = world.pasts["t"]._replace(is_unfinished=True)

    assert world.run().order == ["t", "a", "b"]


def test_loaded_data_is_deleted_even_if_a_dependent_failed(world):
    world.add("l", "load")
    world.add("a", "output", "l")
    world.failing = {"a"}

    assert world.run().dropped == ["l"]


def test_an_input_that_changes_back_after_a_failure_is_no_dead_end(world):
    diamond(world)
    world.run()
    world.values["p"] = "2"
    world.failing = {"a"}
    world.run()
    world.values["p"] = "1"
    world.failing.clear()

    ran = world.run()

    assert "a" in ran.order
    assert world.outputs() == world.built_from_nothing()
    assert world.run().order == []


def test_a_failure_blocks_everything_downstream_and_nothing_else(world):
    diamond(world)
    world.add("other", "output")
    world.failing = {"a"}

    ran = world.run()

    assert ran.failed == ["a"]
    assert ran.blocked == {"b": "a"}
    assert "other" in ran.order


def test_an_invariant_that_can_not_be_measured_fails_and_blocks(world):
    diamond(world)
    world.add("other", "output")
    del world.values["p"]

    ran = world.run()

    assert ran.failed == ["p"]
    assert ran.blocked == {"t": "p", "a": "p", "b": "p"}
    assert ran.order == ["other"]


def test_a_generator_runs_in_every_run_once_its_inputs_have_settled(world):
    world.add("a", "output")
    world.add("g", "generator", "a")

    first, second = world.run(), world.run()

    assert first.order == ["a", "g"]
    assert second.order == ["g"]


def test_new_jobs_are_in_the_graph_before_the_generator_settles(world):
    world.add("g", "generator")
    world.add("end", "output", "g")
    world.grow("g", spec_of("new", "output"), edges=(("end", "new"),))

    ran = world.run()

    assert ran.order == ["g", "new", "end"]
    assert world.run().order == ["g"]


def test_generators_generate_generators(world):
    world.add("g", "generator")
    world.grow("g", spec_of("h", "generator"))
    world.grow("h", spec_of("new", "output"))

    assert world.run().order == ["g", "h", "new"]


def test_an_edge_into_a_job_that_does_not_depend_on_the_generator_is_an_error_naming_both(world):
    world.add("slow", "output")
    world.add("other", "output", "slow")
    world.add("g", "generator")
    world.grow("g", spec_of("new", "output"), edges=(("other", "new"),))

    ran = world.run()

    assert ran.failed == ["g"]
    assert "g (generator" in world.objection.message
    assert "other (output" in world.objection.message
    assert "new" not in ran.order


def test_an_edge_into_a_job_far_below_the_generator_is_allowed(world):
    world.add("g", "generator")
    world.add("a", "output", "g")
    world.add("b", "output", "a")
    world.grow("g", spec_of("new", "output"), edges=(("b", "new"),))

    assert world.run().failed == []


@pytest.mark.parametrize("far", [False, True])
def test_a_cycle_that_grows_is_reported_with_its_path_before_anything_on_it_starts(world, far):
    world.add("g", "generator")
    world.add("a", "output", "g")
    world.add("b", "output", "a")
    world.grow("g", spec_of("new", "output", ("b" if far else "a",)), edges=(("a", "new"),))

    ran = world.run()

    assert ran.failed == ["g"]
    assert ran.order == ["g"]
    assert "CycleError" in world.objection.exception_type
    for name in ("a (", "new ("):
        assert name in world.objection.message


def test_a_cycle_among_new_jobs_is_reported(world):
    world.add("g", "generator")
    world.grow("g", spec_of("x", "output", ("y",)), spec_of("y", "output", ("x",)))

    world.run()

    assert "CycleError" in world.objection.exception_type


def test_two_makers_of_one_file_are_found_when_the_second_grows(world):
    world.add("m", "output", outputs=("one", "two"))
    world.add("g", "generator")
    world.grow("g", spec_of("two", "output"))

    world.run()

    assert "DuplicateOutputError" in world.objection.exception_type


def test_growth_onto_a_dropped_temporary_file_has_it_made_again(world):
    world.add("t", "temp")
    world.add("a", "output", "t")
    world.add("g", "generator", "a")
    world.grow("g", spec_of("late", "output", ("t",)))

    ran = world.run()

    assert ran.order[-1] == "late"
    assert ran.order.count("t") in (1, 2)
    assert ran.dropped[-1] == "t"


def test_growth_onto_a_temporary_file_that_nobody_wanted_has_it_made(world):
    world.add("t", "temp")
    world.add("g", "generator")
    world.grow("g", spec_of("late", "output", ("t",)))

    assert world.run().order == ["g", "t", "late"]


def test_only_the_fingerprint_of_the_named_file_counts(world):
    world.add("p", "invariant")
    world.add("m", "output", "p", outputs=("one", "two"))
    world.add("a", "output", "one")
    world.add("b", "output", "two")
    world.add("c", "output", "m")
    known = world.specs
    world.specs = {**known}
    original = world.content
    world.content = lambda spec, path, every: "fixed" if path == "one" else original(spec, path, every)
    world._begin = lambda start, every, memory, ran: (
        ran.started.__setitem__(start.job, start.reasons),
        ran.order.append(start.job),
        world.pasts.__setitem__(start.job, world.pasts.get(start.job, Past())._replace(is_unfinished=True)),
    )
    world._held = lambda name, every: world.values.get(name) or world.files.get(name, name)
    world.run()
    world.values["p"] = "2"

    ran = world.run()

    assert sorted(ran.order) == ["b", "c", "m"]
    assert ran.up_to_date == ["a"]


def test_a_final_job_comes_after_everything_and_depends_on_all_outputs(world):
    diamond(world)
    world.add("end", "final")

    first, second = world.run(), world.run()
    world.values["p"] = "2"
    third = world.run()

    assert first.order[-1] == "end"
    assert second.order == []
    assert third.order[-1] == "end"
    assert {reason.subject for reason in third.started["end"]} == {"a", "b"}


def test_a_final_job_is_blocked_by_any_failure(world):
    diamond(world)
    world.add("end", "final")
    world.failing = {"a"}

    assert world.run().blocked["end"] == "a"


def test_a_final_job_waits_for_what_generators_made(world):
    world.add("end", "final")
    world.add("g", "generator")
    world.grow("g", spec_of("new", "output"))

    assert world.run().order == ["g", "new", "end"]


def test_a_lost_slave_has_its_jobs_started_again_and_its_data_loaded_again(world):
    world.add("l", "load")
    for n in range(6):
        world.add(f"a{n}", "output", "l")

    ran = world.run(lose_after=5)

    assert ran.order.count("l") == 2
    assert world.outputs() == world.built_from_nothing()


def test_a_generated_job_waits_for_its_generator_after_a_lost_slave(world):
    world.add("g", "generator")
    world.grow("g", spec_of("x", "output"), spec_of("y", "output", ("x",)), spec_of("z", "output", ("y",)))

    ran = world.run(lose_after=4)

    assert ran.order.count("g") == 2
    assert ran.order[-1] == "z"


def test_nothing_starts_after_a_stop_and_the_next_run_goes_on(world):
    for n in range(6):
        world.add(f"a{n}", "output")

    first = world.run(stop_after=4)
    second = world.run()

    done = set(first.order) - set(first.stopped)
    assert done
    assert set(second.order) == {f"a{n}" for n in range(6)} - done


@pytest.mark.parametrize("shape", ["chain", "layers", "fan", "temps"])
def test_large_graphs_are_decided_without_recursion(world, shape):
    if shape == "chain":
        for n in range(20_000):
            world.add(f"a{n}", "output", *([f"a{n - 1}"] if n else []))
    elif shape == "layers":
        for n in range(2_000):
            for k in range(3):
                world.add(f"a{n}.{k}", "output", *([f"a{n - 1}.{m}" for m in range(3)] if n else []))
    elif shape == "fan":
        world.add("a", "output", *[world.add(f"x{n}", "output") for n in range(20_000)])
    else:
        for n in range(5_000):
            world.add(f"t{n}", "temp", *([f"t{n - 1}"] if n else ["p"]))
        world.add("p", "invariant")
        world.add("a", "output", "t4999")
    for spec in world.specs.values():
        world.recipe[spec.id] = lambda parts, name=spec.id: name

    first, second = world.run(), world.run()

    assert len(first.order) == len([s for s in world.specs.values() if s.role.value != "invariant"])
    assert second.order == []


def test_the_order_of_inputs_of_a_loading_job_is_no_reason_for_its_dependents(world):
    world.add("p", "invariant")
    world.add("q", "invariant")
    world.add("l", "load", "p", "q")
    world.add("a", "output", "l")
    world.run()
    world.add("l", "load", "q", "p")

    assert world.run().order == []


def test_growth_onto_a_failed_job_is_blocked_whatever_the_order(world):
    world.add("bad", "output")
    world.add("slow", "output")
    world.add("g", "generator", "slow")
    world.grow("g", spec_of("last", "output", ("next",)), spec_of("next", "output", ("bad",)))
    world.failing = {"bad"}

    for seed in range(10):
        ran = world.run(seed)

        assert ran.blocked == {"next": "bad", "last": "bad"}


def test_what_ends_after_a_stop_is_kept_and_starts_nothing():
    engine = Engine()
    specs = (spec_of("a", "output"), spec_of("b", "output", ("a",)))
    engine.handle(GraphGrew(specs, (), None, {}, {}, {}, {}))
    engine.handle(JobStarted("a", (), 1, 0.0))
    assert engine.handle(StopRequested(15, False)) == []

    answers = engine.handle(JobSucceeded("a", (FileRecord("a", "f", "f", 1, 1, 1, False),)))

    assert answers == [EndRun()]
