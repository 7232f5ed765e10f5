"""Loads that count by what they loaded: dependents do not run where that is the same."""

import pytest
from engine_world import PLACE, Told, World

import pipegraph as ppg
from pipegraph.errors import FingerprintError, JobContractError
from pipegraph.events import JobNotNeeded, JobSucceeded, Warned
from pipegraph.model import JobSpec, Past, ReasonKind, Role, Trace

LOADED = """
ppg.new_pipegraph()
class Box:
    pass
box = Box()
def load():
    with open("input") as source:
        return sorted(source.read().split())
job = ppg.AttributeLoadingJob("load", box, "data", load, cut_off=True)
job.depends_on_file("input")
a = ppg.FileGeneratingJob("a", lambda of: of.write_text(f"{box.data} {OUT}"))
a.depends_on(job)
OUT = 1
ppg.run_pipegraph()
"""


@pytest.fixture
def loaded(script):
    (script.folder / "input").write_text("one two")
    script.run(LOADED)
    assert script.started == ["load", "a"]
    return script


def test_a_second_run_loads_nothing(loaded):
    loaded.run()

    assert loaded.started == []


def test_an_input_that_changes_and_gives_the_same_data_stops_at_the_load(loaded):
    (loaded.folder / "input").write_text("two   one")
    loaded.run()
    assert loaded.started == ["load"]

    loaded.run()
    assert loaded.started == []


def test_an_input_that_changes_the_data_goes_on_to_dependents(loaded):
    (loaded.folder / "input").write_text("two three")
    loaded.run()

    assert loaded.started == ["load", "a"]
    assert (loaded.folder / "a").read_text() == "['three', 'two'] 1"


def test_a_dependent_that_changes_loads_what_has_not_changed(loaded):
    loaded.run(LOADED.replace("OUT = 1", "OUT = 2"))

    assert loaded.started == ["load", "a"]
    assert (loaded.folder / "a").read_text() == "['one', 'two'] 2"


def test_without_cut_off_every_change_of_an_input_goes_on(script):
    text = LOADED.replace(", cut_off=True", "")
    (script.folder / "input").write_text("one two")
    script.run(text)

    (script.folder / "input").write_text("two   one")
    script.run()

    assert script.started == ["load", "a"]


def test_a_word_that_the_callback_returns_is_enough(script):
    text = """
    ppg.new_pipegraph()
    data = {}
    def load():
        with open("input") as source:
            data["text"] = source.read()
        return data["text"].partition(" ")[0]
    job = ppg.DataLoadingJob("load", load, cut_off=True)
    job.depends_on_file("input")
    ppg.FileGeneratingJob("a", lambda of: of.write_text(data["text"])).depends_on(job)
    ppg.run_pipegraph()
    """
    started = []
    for content in ("1 of them", "1 of all", "2 of all"):
        (script.folder / "input").write_text(content)
        script.run(text)
        started.append(script.started)

    assert started == [["load", "a"], ["load"], ["load", "a"]]


def test_a_cached_load_goes_by_its_data_too(script):
    text = """
    ppg.new_pipegraph()
    data = []
    def load(value):
        data[:] = value
        return sorted(value)
    job = ppg.CachedDataLoadingJob("cache", lambda: [1, 2, 3], load, cut_off=True)
    ppg.FileGeneratingJob("a", lambda of: of.write_text(str(sorted(data)))).depends_on(job)
    ppg.run_pipegraph()
    """
    script.run(text)

    script.run(text.replace("[1, 2, 3]", "[3, 2, 1]"))

    assert script.started == ["cache", "cache_load"]


@pytest.mark.parametrize(
    ("returned", "error", "words"),
    [
        (None, JobContractError, ["cut_off returned nothing", "Return what was loaded", "test_cut_off.py:"]),
        ([iter("ab")], FingerprintError, ["no fingerprint to cut off by", "where: returned[0]", "test_cut_off.py:"]),
    ],
)
def test_what_has_no_fingerprint_is_an_error_that_says_what_to_do(graph, returned, error, words):
    job = ppg.DataLoadingJob("load", lambda: returned, cut_off=True)
    ppg.FileGeneratingJob("a", lambda of: of.write_text("a")).depends_on(job)

    with pytest.raises(ppg.RuntimeError):
        ppg.run_pipegraph()

    assert type(job.exception) is error
    for each in words:
        assert each in str(job.exception)


# --- as the engine decides it


def load(*inputs, is_opaque=True):
    return JobSpec("load", Role.EPHEMERAL, "x", PLACE, inputs=inputs, in_memory=True, is_opaque=is_opaque)


def output(*inputs):
    return JobSpec("out", Role.OUTPUT, "x", PLACE, outputs=("out",), inputs=inputs)


OPAQUE = load()


def test_a_load_that_gives_other_data_from_the_same_inputs_is_warned_of_and_counts_as_before():
    past = {"load": Past(Trace({}, "before"))}
    told = Told(OPAQUE, output("load"), pasts=past)
    told.starts("load")

    event = JobSucceeded("load", fingerprint="other")
    answers = told.engine.handle(event)

    assert told.engine.trace_of(event).fingerprint == "before"
    warned = [each for each in answers if isinstance(each, Warned)]
    assert [each.job for each in warned] == ["load"]


def test_a_load_that_was_transparent_when_it_was_recorded_loads_to_be_known():
    world = World()
    world.specs = {"load": load(is_opaque=False), "out": output("load")}
    world.run()
    recorded = world.pasts["load"]

    told = Told(OPAQUE, output("load"), pasts={"load": recorded})

    assert [start.job for start in told.first] == ["load"]
    assert told.first[0].reasons[0].kind is ReasonKind.NEVER_MADE
    answers = told.engine.handle(JobSucceeded("load", fingerprint="new")) if told.starts("load") is None else []
    assert not any(isinstance(each, Warned) for each in answers)


def test_an_opaque_load_that_nobody_needs_is_not_loaded_to_be_known():
    told = Told(OPAQUE)

    assert told.first[0] == JobNotNeeded("load")
