"""The sentences of the design about deciding, one test each; in memory."""

import pytest
from engine_world import Told, World, record, spec_of

from pipegraph.engine import DropProduct, EndRun, Engine, Fate, Prospect, StartJob, WithdrawJob
from pipegraph.engine.ledger import State
from pipegraph.errors import RuntimeException
from pipegraph.events import (
    GraphGrew,
    JobBegan,
    JobBlocked,
    JobNotNeeded,
    JobStarted,
    JobStopped,
    JobSucceeded,
    JobUpToDate,
    StopRequested,
)
from pipegraph.model import (
    FileRecord,
    Growth,
    Past,
    Place,
    Reason,
    ReasonKind,
    Trace,
    Usage,
    combine,
)

NEVER_MADE, GENERATES = Reason(ReasonKind.NEVER_MADE), Reason(ReasonKind.GENERATES)


@pytest.fixture
def world():
    return World()


def start(job, *reasons):
    return StartJob(job, reasons)


def needed(by):
    return Reason(ReasonKind.NEEDED, by)


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

    assert ran.started["a"] == (Reason(ReasonKind.INPUT_CHANGED, "q", combine(["1"]), combine(["2"])),)


def test_a_reason_names_the_input_that_came_and_the_one_that_went(world):
    world.add("p", "invariant")
    world.add("a", "output", "p")
    world.run()
    world.add("q", "invariant")
    world.add("a", "output", "q")

    assert set(world.run().started["a"]) == {
        Reason(ReasonKind.INPUT_ADDED, "q", now=combine(["1"])),
        Reason(ReasonKind.INPUT_REMOVED, "p", before=combine(["1"])),
    }


def test_the_reasons_of_the_start_are_in_the_trace(world):
    world.add("p", "invariant")
    world.add("t", "temp", "p")
    world.add("a", "output", "t")
    world.run()
    world.values["p"] = "2"

    ran = world.run()

    assert {job: past.trace.reasons for job, past in world.pasts.items()} == ran.started
    assert ran.kinds("t") == {ReasonKind.INPUT_CHANGED, ReasonKind.NEEDED}


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
    world.address["a"] = lambda parts: "same"
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
    world.address["t"] = lambda parts: "same"
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
    assert [reason[:2] for reason in ran.started["a"]] == [(ReasonKind.INPUT_CHANGED, "l")]


def test_remade_from_the_same_inputs_it_keeps_its_fingerprint_and_the_run_warns(world):
    diamond(world)
    world.add("c", "output", "t")
    world.run()
    made = world.pasts["t"].trace
    world.address["t"] = lambda parts: "other bytes"
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
        world.address[spec.id] = lambda parts, name=spec.id: name

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


def test_what_does_not_concern_decisions_changes_nothing():
    engine = Engine()

    assert engine.handle(JobBegan("a")) == []


def test_a_job_that_ends_without_having_been_started_is_an_error():
    told = Told(spec_of("a", "output"))

    with pytest.raises(RuntimeException):
        told.succeeds("a", "a")


def test_a_stopped_job_need_not_run_any_more():
    told = Told(spec_of("a", "output"), spec_of("b", "output"))
    told.starts("a")
    told.is_stopped()
    told.engine.handle(JobStopped("a"))

    assert told.engine.prospects() == {"b": Prospect(Fate.MUST, (NEVER_MADE,))}


def test_what_is_ready_at_a_stop_is_withdrawn():
    told = Told(spec_of("a", "output"), spec_of("b", "output"))
    told.starts("a")

    assert told.is_stopped() == [WithdrawJob("b")]


def test_a_slave_that_dies_after_a_stop_ends_the_run():
    told = Told(spec_of("l", "load"), spec_of("a", "output", ("l",)), spec_of("b", "output", ("l",)))
    told.runs("l")
    told.starts("a")
    told.is_stopped()

    assert told.loses("a", memory=("l",)) == [EndRun()]


def test_of_a_stopped_job_loaded_inputs_are_deleted_and_temporary_ones_kept(world):
    world.add("l", "load")
    world.add("t", "temp")
    world.add("a", "output", "l", "t")

    ran = world.run(stop_after=6)

    assert ran.stopped == ["a"]
    assert ran.dropped == ["l"]
    assert world.run().order == ["l", "a"]


def test_a_job_that_is_ready_and_lost_nothing_is_not_asked_for_again():
    told = Told(spec_of("l", "load"), spec_of("a", "output", ("l",)), spec_of("b", "output"))
    told.runs("l")

    assert told.loses(memory=("l",)) == [WithdrawJob("a"), start("l", needed("a"))]


def test_data_loaded_again_after_a_lost_slave_names_who_needs_it_now():
    told = Told(spec_of("l", "load"), spec_of("a", "output", ("l",)), spec_of("b", "output", ("l",)))
    told.runs("l")
    told.runs("a", "a")
    told.starts("b")

    assert told.loses("b", memory=("l",)) == [start("l", needed("b"))]


def test_what_two_generators_made_needs_both_after_a_lost_slave():
    told = Told(spec_of("g", "generator"), spec_of("h", "generator"))
    for generator in ("g", "h"):
        told.starts(generator)
        told.grows(spec_of("x", "output"), by=generator)
        told.succeeds(generator)
    told.starts("x")

    assert told.loses("x", memory=("g", "h")) == [start("g", GENERATES, needed("x"))]
    told.starts("g")
    told.grows(spec_of("x", "output"), by="g")
    assert told.succeeds("g") == [start("h", GENERATES, needed("x"))]


def test_a_generator_that_fails_after_a_lost_slave_blocks_what_it_made():
    told = Told(spec_of("g", "generator"))
    told.starts("g")
    told.grows(spec_of("x", "output"), spec_of("y", "output", ("x",)), by="g")
    told.succeeds("g")
    told.starts("x")
    told.loses("x", memory=("g",))
    told.starts("g")

    assert told.fails("g") == [JobBlocked("x", "g"), JobBlocked("y", "g"), EndRun()]


def test_data_that_fails_to_load_again_blocks_what_its_generator_made():
    told = Told(spec_of("l", "load"), spec_of("g", "generator", ("l",)))
    told.runs("l")
    told.starts("g")
    told.grows(spec_of("x", "output"), by="g")
    told.succeeds("g")
    told.starts("x")
    told.loses("x", memory=("l", "g"))
    told.starts("l")

    assert told.fails("l") == [JobBlocked("g", "l"), JobBlocked("x", "l"), EndRun()]


def test_data_that_can_not_be_loaded_again_blocks_who_comes_to_need_it_and_loads_nothing_else():
    told = Told(
        spec_of("m", "load"),
        spec_of("n", "load"),
        spec_of("l", "load", ("m", "n")),
        spec_of("k", "load"),
        spec_of("x", "output"),
        spec_of("a", "output", ("x", "k", "l")),
        spec_of("b", "output", ("m",)),
        spec_of("c", "output", ("l", "k")),
    )
    for job in ("m", "n", "k", "l"):
        told.runs(job)
    told.runs("c", "c")
    told.starts("x")
    told.loses(memory=("m", "n", "l", "k"))
    told.starts("m")
    assert told.fails("m") == [JobBlocked("b", "m")]

    answers = told.succeeds("x", "x")

    assert answers == [JobBlocked("l", "m"), JobBlocked("a", "m"), JobNotNeeded("k"), EndRun()]


def test_a_job_below_two_failures_is_blocked_once():
    told = Told(
        spec_of("x", "output"),
        spec_of("y", "output"),
        spec_of("a", "output", ("x", "y")),
        spec_of("b", "output", ("x",)),
        spec_of("c", "output", ("a", "b")),
    )
    told.starts("x", "y")

    first, second = told.fails("x"), told.fails("y")

    assert sorted(first) == [JobBlocked("a", "x"), JobBlocked("b", "x"), JobBlocked("c", "x")]
    assert second == [EndRun()]


def test_data_that_is_loaded_when_nobody_is_left_to_need_it_is_deleted():
    told = Told(spec_of("l", "load"), spec_of("m", "load"), spec_of("a", "output", ("l", "m")))
    told.starts("l", "m")
    told.fails("m")

    assert told.succeeds("l") == [DropProduct("l"), EndRun()]


def test_a_file_in_the_place_of_a_temporary_one_that_was_never_made_is_left_alone(world):
    world.add("t", "temp")
    world.files["t"] = "somebody's"

    assert world.run().dropped == []


def test_a_leftover_that_is_used_is_dropped_once(world):
    diamond(world)
    world.failing = {"a"}
    world.run()
    world.failing.clear()

    assert world.run().dropped == ["t"]


def test_a_temporary_file_whose_inputs_differ_names_who_needs_it(world):
    diamond(world)
    world.run()
    world.values["p"] = "2"

    ran = world.run()

    assert ran.started["t"] == (Reason(ReasonKind.INPUT_CHANGED, "p", combine(["1"]), combine(["2"])), needed("a"))


def test_a_temporary_file_that_was_withdrawn_keeps_its_reasons_for_who_comes_to_need_it():
    told = Told(
        spec_of("g", "generator"),
        spec_of("bad", "output"),
        spec_of("t", "temp"),
        spec_of("a", "output", ("t", "bad")),
    )
    assert start("t", NEVER_MADE, needed("a")) in told.first
    told.starts("g", "bad")
    assert told.fails("bad") == [JobBlocked("a", "bad"), WithdrawJob("t")]

    assert told.grows(spec_of("late", "output", ("t",)), by="g") == [start("t", NEVER_MADE, needed("late"))]


def test_an_input_that_a_generator_added_is_one_of_the_job_s_inputs(world):
    world.add("p", "invariant")
    world.add("g", "generator")
    world.add("end", "output", "g")
    world.grow("g", spec_of("new", "output", ("p",)), edges=(("end", "new"),))
    world.run()
    world.values["p"] = "2"

    ran = world.run()

    assert [reason[:2] for reason in ran.started["end"]] == [(ReasonKind.INPUT_CHANGED, "new")]


@pytest.mark.parametrize("kind", ["temp", "load"])
def test_an_ephemeral_input_that_a_generator_added_is_there_when_the_job_runs(world, kind):
    world.add("g", "generator")
    world.add("end", "output", "g")
    world.grow("g", spec_of("new", kind), edges=(("end", "new"),))

    first, second = world.run(), world.run()
    del world.files["end"]
    third = world.run()

    assert first.order == third.order == ["g", "new", "end"]
    assert first.dropped == third.dropped == ["new"]
    assert second.order == ["g"]


def test_an_added_input_that_has_failed_already_blocks_the_job(world):
    world.add("bad", "output")
    world.add("slow", "output", "first")
    world.add("first", "output")
    world.add("g", "generator", "slow")
    world.add("end", "output", "g")
    world.grow("g", edges=(("end", "bad"),))
    world.failing = {"bad"}

    ran = world.run(slots=1)

    assert ran.order == ["bad", "first", "slow", "g"]
    assert ran.blocked == {"end": "bad"}


def test_a_final_job_that_grows_below_a_final_job_runs_too(world):
    world.add("end", "final", outputs=("end",))
    world.add("g", "generator", "end")
    world.grow("g", spec_of("last", "final"))

    assert world.run().order == ["end", "g", "last"]


def test_files_of_a_job_that_is_up_to_date_have_their_recorded_fingerprints():
    two = Trace({}, "m", (record("one"), record("two")))
    told = Told(
        spec_of("m", "output", outputs=("one", "two")),
        spec_of("a", "output", ("one",)),
        pasts={"m": Past(two), "a": Past(Trace({"one": "one"}, "a", (record("a"),)))},
    )

    assert told.first == [JobUpToDate("m"), JobUpToDate("a"), EndRun()]


def test_what_nobody_needs_while_a_generator_is_to_come_is_made_once(world):
    world.add("t", "temp")
    world.add("a", "output", "t")
    world.add("g", "generator", "a")
    world.grow("g", spec_of("late", "output", ("t",)))

    ran = world.run()

    assert ran.order == ["t", "a", "g", "late"]
    assert ran.dropped == ["t"]


def test_growth_onto_a_blocked_job_names_the_one_that_failed(world):
    world.add("bad", "output")
    world.add("a", "output", "bad")
    world.add("slow", "output")
    world.add("g", "generator", "slow")
    world.grow("g", spec_of("late", "output", ("a",)))
    world.failing = {"bad"}

    assert world.run(slots=1).blocked == {"a": "bad", "late": "bad"}


def test_a_run_that_can_not_go_on_is_an_error_and_no_end():
    with pytest.raises(RuntimeException):
        Told(spec_of("a", "output", ("b",)), spec_of("b", "output", ("a",)))


def objection(told, *specs, edges=(), by="g"):
    return told.engine.objection_to(JobSucceeded(by, growth=Growth(specs, edges)))


def lines(failure):
    return failure.message.splitlines()


def test_growth_without_anything_new_is_no_matter():
    told = Told(spec_of("g", "generator"), spec_of("a", "output", ("g",)))

    assert objection(told) is None
    assert objection(told, spec_of("a", "output", ("g",))._replace(place=Place("elsewhere.py", 9))) is None
    assert objection(told, edges=(("a", "g"),)) is None


def test_a_job_that_a_generator_makes_again_must_be_the_same():
    told = Told(spec_of("g", "generator"), spec_of("a", "output"))

    failure = objection(told, spec_of("new", "output"), spec_of("a", "output", ("new",)))

    assert failure.exception_type == "pipegraph.errors.JobContractError"
    assert lines(failure) == [
        "a generator made a job again, and differently",
        "    generator:  g (generator, script.py:1)",
        "    job:        a (output, script.py:1)",
        "    first:      a (output, script.py:1)",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (spec_of("m", "output", outputs=("one", "two")), spec_of("two", "output")),
        (spec_of("two", "output"), spec_of("m", "output", outputs=("one", "two"))),
    ],
)
def test_a_new_job_that_promises_the_file_of_an_old_one_is_an_error_naming_all(old, new):
    failure = objection(Told(spec_of("g", "generator"), old), new)

    assert failure.exception_type == "pipegraph.errors.DuplicateOutputError"
    assert lines(failure) == [
        "two jobs promise the same file",
        "    file:       two",
        f"    first:      {old.id} (output, script.py:1)",
        f"    second:     {new.id} (output, script.py:1)",
        "    generator:  g (generator, script.py:1)",
    ]


def test_a_file_may_be_watched_and_made():
    told = Told(
        spec_of("g", "generator"),
        spec_of("a", "output"),
        spec_of("MFIb", "invariant", outputs=("b", "c"), fingerprint="1"),
    )

    assert objection(told, spec_of("FIa", "invariant", outputs=("a",)), spec_of("b", "output")) is None


def test_a_generator_that_makes_itself_wait_for_what_it_made_is_an_error_naming_it():
    told = Told(spec_of("g", "generator"))
    told.starts("g")

    failure = objection(told, spec_of("new", "output"), edges=(("g", "new"),))

    assert lines(failure)[:4] == [
        "an edge comes too late",
        "    generator:  g (generator, script.py:1)",
        "    job:        g (generator, script.py:1)",
        "    input:      new",
    ]


@pytest.mark.parametrize(
    ("specs", "edges"),
    [
        ((spec_of("new", "output", ("nobody",)),), ()),
        ((), (("nobody", "a"),)),
        ((), (("a", "nobody"),)),
        ((spec_of("new", "output"),), (("new", "nobody"),)),
    ],
)
def test_a_name_that_is_not_in_the_graph_is_an_error_naming_it_and_the_generator(specs, edges):
    failure = objection(Told(spec_of("g", "generator"), spec_of("a", "output", ("g",))), *specs, edges=edges)

    assert failure.exception_type == "pipegraph.errors.JobContractError"
    assert lines(failure) == [
        "a generator names a job that is not in the graph",
        "    generator:  g (generator, script.py:1)",
        "    name:       nobody",
        "It may have been pruned, or made by a generator that failed.",
    ]


def test_new_jobs_may_depend_on_each_other_on_old_ones_and_on_single_files_of_both():
    told = Told(spec_of("g", "generator"), spec_of("m", "output", outputs=("one", "two")))
    new = spec_of("n", "output", ("one", "m"), outputs=("three", "four"))

    assert objection(told, spec_of("a", "output", ("n", "four")), new, edges=(("a", "two"), ("n", "two"))) is None


def test_an_edge_into_a_job_that_does_not_wait_for_the_generator_comes_too_late():
    told = Told(
        spec_of("g", "generator"),
        spec_of("slow", "output"),
        spec_of("a", "output", ("slow",)),
        spec_of("b", "output", ("a", "slow")),
        spec_of("below", "output", ("b", "g")),
    )

    failure = objection(told, spec_of("new", "output"), edges=(("new", "slow"), ("below", "new"), ("b", "new")))

    assert failure.exception_type == "pipegraph.errors.JobContractError"
    assert lines(failure)[:4] == [
        "an edge comes too late",
        "    generator:  g (generator, script.py:1)",
        "    job:        b (output, script.py:1)",
        "    input:      new",
    ]
    assert objection(told, edges=(("b", "a"), ("a", "slow"))) is None


@pytest.mark.parametrize("last", ["a", "b", "c", "d", "e", "f"])
def test_an_edge_may_go_into_whatever_waits_for_the_generator_on_whatever_way(last):
    told = Told(
        spec_of("first", "output", ("g",)),
        spec_of("f", "output", ("first",)),
        spec_of("other", "output"),
        spec_of("g", "generator"),
        spec_of("bad", "output"),
        spec_of("p", "output", ("other",)),
        spec_of("m", "output", ("p", "g"), outputs=("one", "two")),
        spec_of("a", "output", ("p", "one")),
        spec_of("b", "output", ("p", "a", "other")),
        spec_of("c", "output", ("b", "a")),
        spec_of("d", "output", ("bad", "c")),
        spec_of("e", "output", ("d", "p")),
    )
    told.starts("bad")
    told.fails("bad")

    assert objection(told, spec_of("new", "output"), edges=((last, "new"),)) is None
    assert objection(told, edges=((last, "m"), ("a", "other"))) is None
    assert "too late" in objection(told, spec_of("new", "output"), edges=((last, "new"), ("p", "new"))).message


@pytest.mark.parametrize(
    ("specs", "edges", "circle"),
    [
        ((spec_of("x", "output", ("x",)),), (), ["x", "x"]),
        ((spec_of("x", "output", ("b",)),), (("a", "x"),), ["x", "b", "m", "a", "x"]),
        ((spec_of("x", "output", ("y",)), spec_of("y", "output")), (("y", "x"),), ["x", "y", "x"]),
        (
            (spec_of("n", "output", ("x",), outputs=("three", "four")), spec_of("x", "output", ("p", "four"))),
            (),
            ["n", "x", "n"],
        ),
        ((), (("a", "b"),), ["a", "b", "m", "a"]),
        (
            (
                spec_of("x", "output", ("y",)),
                spec_of("y", "output"),
                spec_of("z", "output", ("w",)),
                spec_of("w", "output", ("z",)),
            ),
            (),
            ["z", "w", "z"],
        ),
        ((spec_of("x", "output"),), (("a", "x"), ("m", "b")), ["m", "b", "m"]),
    ],
)
def test_a_circle_that_grows_is_told_from_job_to_job(specs, edges, circle):
    told = Told(
        spec_of("p", "output"),
        spec_of("g", "generator"),
        spec_of("a", "output", ("g", "p")),
        spec_of("m", "output", ("a",), outputs=("one", "two")),
        spec_of("b", "output", ("p", "two")),
    )
    told.runs("p", "p")

    failure = objection(told, *specs, edges=edges)

    assert failure.exception_type == "pipegraph.errors.CycleError"
    first, *needs = [f"{name} (output, script.py:1)" for name in circle]
    assert lines(failure) == [
        "jobs wait for each other in a circle",
        f"    job:        {first}",
        *(f"    needs:      {each}" for each in needs),
        "Remove one of these dependencies.",
    ]


def test_a_file_that_new_invariants_only_watch_is_no_job_that_could_be_named():
    told = Told(spec_of("g", "generator"))
    watching = spec_of("both", "invariant", outputs=("one", "two"))

    assert objection(told, watching, spec_of("x", "output", ("both",))) is None
    assert "names a job that is not in the graph" in objection(told, watching, spec_of("x", "output", ("two",))).message


def test_one_file_of_several_may_be_named_by_new_jobs_in_any_order():
    told = Told(spec_of("g", "generator"))
    many, one = spec_of("n", "output", outputs=("three", "four")), spec_of("x", "output", ("four",))

    assert objection(told, many, one) is None
    assert objection(told, one, many) is None


def test_ways_that_meet_again_are_no_circle():
    told = Told(spec_of("g", "generator"), spec_of("end", "output", ("g",)))
    specs = [spec_of("x", "output", ("y", "z")), spec_of("y", "output", ("z",)), spec_of("z", "output")]

    assert objection(told, *specs, edges=(("end", "x"), ("end", "z"))) is None


def test_growth_onto_data_that_nobody_wanted_has_all_made_that_it_is_loaded_from(world):
    world.add("t", "temp")
    world.add("l", "load", "t")
    world.add("g", "generator")
    world.grow("g", spec_of("late", "output", ("l",)))

    ran = world.run()

    assert ran.order == ["g", "t", "l", "late"]
    assert sorted(ran.dropped) == ["l", "t"]


def test_what_two_need_is_loaded_again_for_one_when_the_other_is_blocked():
    told = Told(
        spec_of("m", "load"),
        spec_of("l", "load", ("m",)),
        spec_of("h", "load"),
        spec_of("k", "load"),
        spec_of("x", "output"),
        spec_of("slow", "output"),
        spec_of("a", "output", ("x", "h", "k", "l")),
        spec_of("b", "output", ("m",)),
        spec_of("c", "output", ("h", "k", "l")),
        spec_of("z", "output", ("slow", "h")),
    )
    for job in ("m", "h", "k", "l"):
        told.runs(job)
    told.runs("c", "c")
    told.starts("x", "slow")
    told.loses(memory=("m", "h", "k", "l"))
    told.starts("m")
    told.fails("m")

    told.succeeds("x", "x")
    told.succeeds("slow", "slow")

    assert told.runs("h") == [start("z", NEVER_MADE)]


def test_growth_onto_data_makes_those_of_its_inputs_that_nobody_wanted(world):
    world.add("slow", "output")
    world.add("t", "temp")
    world.add("u", "temp")
    world.add("a", "output", "slow", "t")
    world.add("l", "load", "u", "t")
    world.add("g", "generator")
    world.grow("g", spec_of("late", "output", ("l",)))

    for seed in range(5):
        assert {"t", "u", "l", "late"} < set(world.run(seed).order)
        world.files.clear()


def test_a_blocked_job_lets_go_of_what_its_inputs_would_have_needed():
    told = Told(
        spec_of("bad", "output"),
        spec_of("v", "temp"),
        spec_of("t", "temp"),
        spec_of("l", "load", ("v",)),
        spec_of("a", "output", ("bad", "l", "t")),
        spec_of("b", "output", ("v",)),
        spec_of("c", "output", ("t",)),
    )
    told.starts("bad")
    told.runs("v", "v")
    told.runs("t", "t")
    told.runs("b", "b")
    told.runs("c", "c")

    assert DropProduct("v") in told.fails("bad")


def test_a_stop_ends_a_run_whose_final_jobs_have_not_begun():
    told = Told(spec_of("a", "output"), spec_of("end", "final"))
    told.starts("a")
    told.is_stopped()

    assert told.engine.handle(JobStopped("a")) == [EndRun()]


def test_a_trace_has_what_the_run_of_the_job_took():
    told = Told(spec_of("a", "output"))
    usage = Usage(100.0, 5.0, cpu_seconds=1.0, peak_bytes=7, read_bytes=8, written_bytes=9)

    trace = told.engine.trace_of(JobSucceeded("a", (record("a"),), usage))

    known = Trace({}, "a", (record("a"),), seconds=5.0, peak_bytes=7, ended_at=105.0, reasons=(NEVER_MADE,))
    assert trace == known._replace(cpu_seconds=1.0, read_bytes=8, written_bytes=9)


def test_of_a_short_job_the_trace_has_no_more_than_its_time():
    told = Told(spec_of("a", "output"))

    trace = told.engine.trace_of(JobSucceeded("a", (record("a"),), Usage(100.0, 0.09, cpu_seconds=1.0)))

    assert trace == Trace({}, "a", (record("a"),), seconds=0.09, ended_at=100.09, reasons=(NEVER_MADE,))


def test_a_forced_temporary_job_is_made_again_and_what_depends_on_it_only_if_it_changed(world):
    world.add("t", "temp")
    world.add("a", "output", "t")
    world.run()
    world.add("t", "temp", forced=True)

    ran = world.run()

    assert ran.started == {"t": (Reason(ReasonKind.FORCED), needed("a"))}


@pytest.mark.parametrize(
    ("before", "now", "kinds"),
    [
        (("MFIx", "p"), ("MFIy", "p2"), {ReasonKind.INPUT_ADDED, ReasonKind.INPUT_REMOVED}),
        (("FIx",), ("MFIx",), {ReasonKind.INPUT_ADDED, ReasonKind.INPUT_REMOVED}),
        (("MFIx",), ("FIx",), {ReasonKind.INPUT_ADDED, ReasonKind.INPUT_REMOVED}),
        (("MFIx",), ("MFIx", "MFIy"), {ReasonKind.INPUT_ADDED}),
        (("MFIx", "MFIy"), ("MFIz",), {ReasonKind.INPUT_REMOVED}),
    ],
)
def test_only_a_collection_in_the_place_of_another_is_taken_for_it(world, before, now, kinds):
    for name in {*before, *now}:
        world.add(name, "invariant")
    world.add("a", "output", *before)
    world.run()
    world.add("a", "output", *now)

    assert world.run().kinds("a") == kinds


def test_a_renamed_collection_does_not_hide_that_another_input_changed(world):
    world.add("MFIx", "invariant")
    world.add("p", "invariant")
    world.add("a", "output", "MFIx", "p")
    world.run()
    world.add("MFIy", "invariant")
    world.add("a", "output", "MFIy", "p")
    world.values["p"] = "2"

    assert [reason[:2] for reason in world.run().started["a"]] == [(ReasonKind.INPUT_CHANGED, "p")]


def test_each_new_job_is_looked_at_once_however_many_ways_lead_to_it():
    told = Told(spec_of("g", "generator"))
    layers = [[f"{depth}.{n}" for n in range(3)] for depth in range(60)]
    specs = [spec_of(name, "output", tuple(below)) for layer, below in zip(layers, [*layers[1:], []]) for name in layer]

    assert objection(told, *specs) is None


def test_no_two_states_are_one():
    assert len(set(State)) == len(State.__members__)


@pytest.mark.parametrize("waits_for", ["fingerprint", "product", "need"])
def test_a_job_that_can_never_run_fails_before_its_turn(waits_for):
    ways = {"p": ("output", ""), "t": ("temp", "p"), "a": ("output", "t"), "b": ("output", "a")}
    told = Told(*[spec_of(name, kind, tuple(inputs)) for name, (kind, inputs) in ways.items()])
    victim = {"fingerprint": "a", "product": "b", "need": "t"}[waits_for]
    blocked = {"t": ["a", "b"], "a": ["b"], "b": []}[victim]
    if waits_for == "product":
        told.runs("p", "p")
        told.starts("t")

    assert told.fails(victim) == [JobBlocked(job, victim) for job in blocked]
    if waits_for == "product":
        assert told.succeeds("t", "t") == [start("a", NEVER_MADE)]
        assert told.runs("a", "a") == [DropProduct("t"), EndRun()]
    else:
        assert told.runs("p", "p") == [JobNotNeeded("t"), EndRun()] if victim == "a" else [EndRun()]


def test_a_generator_may_add_inputs_to_a_job_that_failed_before_its_turn():
    told = Told(spec_of("g", "generator"), spec_of("a", "output", ("g",)))
    told.fails("a")
    told.starts("g")
    growth = Growth((spec_of("n", "output"),), (("a", "n"),))

    assert told.engine.objection_to(JobSucceeded("g", growth=growth)) is None
