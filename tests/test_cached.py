"""Data that is calculated once, kept in a file, and loaded for who needs it: scripts run, edited, and run again."""

import os
import pickle
from pathlib import Path

import pytest

import pipegraph as ppg
from pipegraph.model import Role
from pipegraph.status.knowledge import Knowledge

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


def test_a_cache_that_is_called_is_made_and_declared_as_what_it_is(graph):
    cache = ppg.CachedFileJob("cache/a", lambda: [1, 2])
    cache()

    assert cache.load() == [1, 2]
    assert Knowledge.read(".pipegraph_status").known("cache/a").role is Role.EPHEMERAL
    cache()
    assert not cache.was_run
    Path("cache/a").unlink()
    cache()
    assert cache.load() == [1, 2]


def test_what_was_calculated_is_kept_and_loaded(needed):
    assert (needed.folder / "a").read_text() == "10 1"
    assert (needed.folder / "b").read_text() == "{'size': 10}"
    assert pickle.loads((needed.folder / "cache" / "data").read_bytes()) == list(range(10))
    assert (needed.folder / "cache" / "data").read_bytes()[:2] == b"\x80\x05"  # pickle's protocol 5


def test_who_loads_a_cache_without_depending_on_it_is_told_so(graph):
    cache = ppg.CachedFileJob("cache/data", list)
    job = ppg.FileGeneratingJob("a", lambda of: of.write_text(str(cache.load())))

    with pytest.raises(ppg.CacheDamagedError, match=r"a cache that is not there is loaded(.|\n)*depend on it"):
        cache.load()
    with pytest.raises(ppg.RuntimeError, match="a cache that is not there is loaded"):
        ppg.run_pipegraph()
    job.depends_on(cache)
    ppg.run_pipegraph()
    assert cache.load() == []


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


def flip_a_bit(path):
    """As a disk would: size and time stay."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as out:
        out.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_bit, "can't be read, and is made again: ValueError: it is not what was written"),
        (truncate, "was changed since it was made, and is made again"),
        (lambda path: path.write_bytes(b""), "was changed since it was made, and is made again"),
    ],
    ids=["a bit", "truncated", "emptied"],
)
def test_a_damaged_cache_is_made_again_with_a_word(needed, damage, words):
    damage(needed.folder / "cache" / "data")

    said = needed.run(NEEDED.replace("OUT = 1", "OUT = 2"))

    assert words in said
    assert needed.started.count("cache/data") == 1
    assert (needed.folder / "a").read_text() == "10 2"
    assert pickle.loads((needed.folder / "cache" / "data").read_bytes()) == list(range(10))


def test_a_cache_that_is_gone_is_made_again_when_it_is_needed(needed):
    (needed.folder / "cache" / "data").unlink()
    needed.run()
    assert needed.started == []

    needed.run(NEEDED.replace("OUT = 1", "OUT = 2"))

    assert needed.started == ["cache/data", "cache/data_load", "a"]


def test_a_damaged_cache_that_nobody_needs_is_left_alone(needed):
    truncate(needed.folder / "cache" / "data")

    said = needed.run()

    assert needed.started == []
    assert "warning" not in said


OTHER_VERSION = """
class Table:
    def __reduce__(self):
        return revived, ()
def revived():
    if os.path.exists("newer"):
        raise AttributeError("Table has no attribute 'blocks' any more")
    return "a table"
ppg.new_pipegraph()
cache = ppg.CachedFileJob("cache", Table)
"""


def test_a_cache_of_another_version_is_made_again_once_and_then_it_is_a_failure(script):
    text = OTHER_VERSION + "a = ppg.FileGeneratingJob('a', lambda of: of.write_text(cache.load() + str(N)))\n"
    text += "a.depends_on(cache)\nN = 1\nppg.run_pipegraph()\n"
    script.run(text)
    (script.folder / "newer").touch()

    said = script.run(text.replace("N = 1", "N = 2"), code=1)

    assert script.started == ["a", "cache", "a"]
    assert "warning: cache (script.py:" in said
    assert "is made again: AttributeError: Table has no attribute 'blocks' any more" in said
    assert "CacheDamagedError: a cache can't be read back from pickle" in said
    assert not (script.folder / "a").exists()


def test_jobs_that_find_the_same_damage_side_by_side_have_it_made_again_once(script):
    text = """
    ppg.new_pipegraph(resource_coordinator=ppg.resource_coordinators.LocalSystem(2))
    cache = ppg.CachedFileJob("cache", lambda: "text")
    def plot(of):
        others = open("met", "a")
        others.write("x")
        others.flush()
        while os.path.getsize("met") < 2:
            time.sleep(0.001)
        of.write_text(cache.load() + str(N))
    for name in "ab":
        ppg.FileGeneratingJob(name, plot).depends_on(cache)
    N = 1
    ppg.run_pipegraph()
    """
    script.run(text)
    (script.folder / "met").unlink()
    flip_a_bit(script.folder / "cache")

    script.run(text.replace("N = 1", "N = 2"))

    assert sorted(script.started) == ["a", "a", "b", "b", "cache"]
    assert (script.folder / "a").read_text() == (script.folder / "b").read_text() == "text2"


def test_what_a_generator_declares_is_kept_and_looked_at_as_well(script):
    text = """
    ppg.new_pipegraph()
    def generate():
        cache = ppg.CachedFileJob("cache", lambda: "text")
        ppg.FileGeneratingJob("a", lambda of: of.write_text(cache.load() + str(N))).depends_on(cache)
    ppg.JobGeneratingJob("generate", generate)
    N = 1
    ppg.run_pipegraph()
    """
    script.run(text)
    flip_a_bit(script.folder / "cache")

    said = script.run(text.replace("N = 1", "N = 2"))

    assert script.started == ["generate", "a", "cache", "a"]
    assert "is made again: ValueError: it is not what was written" in said
    assert (script.folder / "a").read_text() == "text2"


def test_a_calculation_that_needs_loaded_data_has_it_loaded_when_it_is_made_again(script):
    text = """
    ppg.new_pipegraph()
    data = []
    load = ppg.DataLoadingJob("load", lambda: data.append("text"))
    temporary = ppg.TempFileGeneratingJob("temporary", lambda of: of.write_text("more"))
    def calculate():
        with open("temporary") as source:
            return data[0] + source.read()
    cache = ppg.CachedFileJob("cache", calculate).depends_on(load, temporary)
    ppg.FileGeneratingJob("a", lambda of: of.write_text(cache.load() + str(N))).depends_on(cache)
    N = 1
    ppg.run_pipegraph()
    """
    script.run(text)
    flip_a_bit(script.folder / "cache")

    script.run(text.replace("N = 1", "N = 2"))

    assert script.started[0] == script.started[-1] == "a"
    assert sorted(script.started[1:-1]) == ["cache", "load", "temporary"]
    assert (script.folder / "a").read_text() == "textmore2"
    assert not (script.folder / "temporary").exists()


def test_who_finds_the_damage_late_begins_again_with_what_was_made_anew(script):
    text = """
    ppg.new_pipegraph(resource_coordinator=ppg.resource_coordinators.LocalSystem(2))
    cache = ppg.CachedFileJob("cache", lambda: "text")
    def late(of):
        try:
            of.write_text(cache.load() + str(N))
        except ppg.CacheDamagedError:
            with open("met", "w"):
                pass
            while not os.path.exists("early"):
                time.sleep(0.001)
            raise
    def early(of):
        while N == 2 and not os.path.exists("met"):
            time.sleep(0.001)
        of.write_text(cache.load() + str(N))
    for function in (early, late):
        ppg.FileGeneratingJob(function.__name__, function).depends_on(cache)
    N = 1
    ppg.run_pipegraph()
    """
    script.run(text)
    flip_a_bit(script.folder / "cache")
    (script.folder / "early").unlink()  # what late waits for is that of the second run

    script.run(text.replace("N = 1", "N = 2"))

    assert script.started.count("cache") == 1
    assert script.started[-1] == "late"
    assert (script.folder / "late").read_text() == (script.folder / "early").read_text() == "text2"


def test_what_is_no_cache_is_made_again_without_a_word(needed):
    truncate(needed.folder / "a")

    said = needed.run()

    assert "a" in needed.started
    assert "warning" not in said
