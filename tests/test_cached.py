"""Data that is calculated once, kept in a file, and loaded for who needs it: scripts run, edited, and run again."""

import pickle

import pytest

CACHED = """
ppg.new_pipegraph()
class Box:
    other = []
    data = None
box = Box()
def calculate():
    return list(range(SIZE))
def load(value):
    box.other = value
SIZE = 10
OUT = 1
job = ppg.CachedDataLoadingJob("cache/data", calculate, load)
attribute = ppg.CachedAttributeLoadingJob("cache/attribute", box, "data", lambda: {"size": SIZE})
a = ppg.FileGeneratingJob("a", lambda of: of.write_text(f"{len(box.other)} {OUT}"))
b = ppg.FileGeneratingJob("b", lambda of: of.write_text(str(box.data)))
NEEDS
ppg.run_pipegraph()
"""
NEEDED = CACHED.replace("NEEDS", "a.depends_on(job); b.depends_on(attribute)")


@pytest.fixture
def needed(script):
    script.run(NEEDED)
    return script


def test_what_was_calculated_is_kept_and_loaded(needed):
    assert (needed.folder / "a").read_text() == "10 1"
    assert (needed.folder / "b").read_text() == "{'size': 10}"
    assert pickle.loads((needed.folder / "cache" / "data").read_bytes()) == list(range(10))
    assert (needed.folder / "cache" / "data").read_bytes()[:2] == b"\x80\x05"  # pickle's protocol 5


def test_what_nobody_needs_is_neither_calculated_nor_loaded(script):
    script.run(CACHED.replace("NEEDS", ""))

    assert sorted(script.started) == ["a", "b"]
    assert not (script.folder / "cache").exists()


def test_a_second_run_neither_calculates_nor_loads(needed):
    needed.run()

    assert needed.started == []
    assert (needed.folder / "cache" / "data").exists()


def test_a_dependent_that_runs_again_loads_what_is_kept(needed):
    needed.run(NEEDED.replace("OUT = 1", "OUT = 2"))

    assert needed.started == ["cache/data_load", "a"]
    assert (needed.folder / "a").read_text() == "10 2"


def test_a_changed_calculation_is_made_again_and_so_are_dependents(needed):
    needed.run(NEEDED.replace("range(SIZE)", "range(SIZE + 1)"))

    assert needed.started == ["cache/data", "cache/data_load", "a"]
    assert (needed.folder / "a").read_text() == "11 1"


def test_a_calculation_that_comes_to_the_same_is_no_reason_to_load(needed):
    needed.run(NEEDED.replace("range(SIZE)", "range(SIZE + 0)"))

    assert needed.started == ["cache/data"]


def test_a_cache_that_is_not_needed_stays_as_old_as_it_is(needed):
    needed.run(CACHED.replace("NEEDS", "").replace("range(SIZE)", "range(SIZE + 1)"))

    assert "cache/data" not in needed.started
    assert pickle.loads((needed.folder / "cache" / "data").read_bytes()) == list(range(10))


def test_what_a_cached_job_is_told_to_depend_on_the_calculation_depends_on(script):
    (script.folder / "input").write_text("1")
    text = NEEDED.replace("a.depends_on", "job.depends_on_file('input'); a.depends_on")
    script.run(text)

    (script.folder / "input").write_text("2")
    script.run()

    assert script.started == ["cache/data"]
