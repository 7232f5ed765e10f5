"""Formats of caches, what can't be cached, and what is declared wrongly."""

import itertools
import json
import sys
import threading
from pathlib import Path

import numpy
import pytest

import pipegraph as ppg
from pipegraph.errors import CacheDamagedError, DuplicateOutputError, JobContractError


class Box:
    value = None


box = Box()
called = []


def cached(value, chosen=None, name="cache/data"):
    return ppg.CachedFileJob(name, lambda: value, chosen)


def seen_by_a_dependent(job):
    """What `load` gives in another process, as text; the job it runs in is made anew each time."""
    ppg.FileGeneratingJob("seen", lambda of: of.write_text(repr(job.load()))).depends_on(job)
    ppg.run_pipegraph()
    return Path("seen").read_text()


FORMATS = [
    (None, {"a": {1, 2}}),
    ("pickle", (1, None)),
    ("text", "one\r\ntwö"),
    ("text", ""),
    ("npy", numpy.arange(3)),
    ("npz", {"a": numpy.arange(3), "b": numpy.zeros(2)}),
]


@pytest.mark.parametrize(("chosen", "value"), FORMATS, ids=[str(each[0]) for each in FORMATS])
def test_what_was_written_by_a_format_is_read_back(graph, chosen, value):
    job = cached(value, chosen, "cache/of.any.ending")

    assert seen_by_a_dependent(job) == repr(value)
    assert repr(job.load()) == repr(value)  # and in the script, after the run


LIBRARIES = [
    ("parquet", "pandas", "pandas.DataFrame({'a': [1, 2]})"),
    ("polars", "polars", "polars.DataFrame({'a': [1, 2]})"),
    ("h5ad", "anndata", "anndata.AnnData(numpy.eye(3))"),
    ("joblib", "joblib", "numpy.eye(3)"),
]


@pytest.mark.parametrize(("chosen", "library", "value"), LIBRARIES, ids=[each[0] for each in LIBRARIES])
def test_what_was_written_by_a_format_of_another_library_is_read_back(script, chosen, library, value):
    pytest.importorskip("pyarrow" if chosen == "parquet" else library)
    script.run(
        f"""
        import numpy, {library}
        ppg.new_pipegraph()
        cache = ppg.CachedFileJob("cache", lambda: {value}, "{chosen}")
        ppg.FileGeneratingJob("a", lambda of: of.write_text(str(cache.load()))).depends_on(cache)
        ppg.run_pipegraph()
        with open("a") as source:
            assert source.read() == str({value})
        """
    )


def test_polars_frames_are_not_loaded_where_other_jobs_are_forked(graph):
    with pytest.raises(JobContractError, match="would hang"):
        ppg.CachedDataLoadingJob("cache", dict, len, "polars")
    with pytest.raises(JobContractError, match="would hang"):
        ppg.CachedAttributeLoadingJob("cache", box, "value", dict, "polars")


def write_json(value, path):
    with open(path, "w") as out:
        json.dump(value, out)


def read_json(path):
    with open(path) as source:
        return json.load(source)


@pytest.mark.parametrize("is_registered", [True, False])
def test_a_pair_of_functions_is_a_format_with_or_without_a_name(graph, is_registered):
    if is_registered:
        ppg.register_format("json", write_json, read_json)
    job = cached([1, {"a": 2}], "json" if is_registered else (write_json, read_json))

    assert seen_by_a_dependent(job) == "[1, {'a': 2}]"
    assert Path("cache/data").read_text() == '[1, {"a": 2}]'


def test_another_format_has_the_cache_made_again_and_what_reads_it(script):
    text = """
    ppg.new_pipegraph()
    def write(value, path):
        with open(path, "w") as out:
            out.write(value + value)
    def read(path):
        with open(path) as source:
            return source.read()
    cache = ppg.CachedDataLoadingJob("cache", lambda: "text", lambda value: None, FORMAT)
    ppg.FileGeneratingJob("a", lambda of: of.write_text("a")).depends_on(cache)
    ppg.run_pipegraph()
    """
    for chosen in ("None", "'text'", "(write, read)", "None"):
        script.run(text.replace("FORMAT", chosen))

        assert script.started == ["cache", "cache_load", "a"], chosen


@pytest.mark.parametrize(
    ("edited", "runs"), [("out.write(value)", ["cache"]), ("source.read()", ["cache_load", "a"])], ids=["write", "read"]
)
def test_the_functions_of_a_format_are_watched(script, edited, runs):
    text = """
    ppg.new_pipegraph()
    def write(value, path):
        with open(path, "w") as out:
            out.write(value)
    def read(path):
        with open(path) as source:
            return source.read()
    cache = ppg.CachedDataLoadingJob("cache", lambda: "text", lambda value: None, (write, read))
    ppg.FileGeneratingJob("a", lambda of: of.write_text("a")).depends_on(cache)
    ppg.run_pipegraph()
    """
    script.run(text)

    script.run(text.replace(edited, edited + "; 1 + 1") if "return" not in edited else text)
    if edited == "source.read()":
        script.run(text.replace("return source.read()", "return source.read().lower()"))

    assert script.started == runs


def endless():
    yield from itertools.count()


@pytest.mark.parametrize(
    ("calculate", "chosen", "words"),
    [
        (lambda: lambda: 1, None, ["function, as pickle", "test_cached_formats.py:"]),
        (endless, None, ["generator, as pickle", "cannot pickle"]),
        (lambda: sys.__stderr__, None, ["_io.TextIOWrapper, as", "Return plain data"]),
        (threading.Lock, None, ["_thread.lock, as"]),
        (lambda: [1, 2], "npy", ["list, as npy", "the format npy is for numpy arrays, not list"]),
        (lambda: numpy.array([{}]), "npy", ["Object arrays cannot be saved"]),
        (lambda: [1], "npz", ["dicts of numpy arrays"]),
        (lambda: [1], "text", ["for str, not list"]),
        (lambda: [1], "parquet", ["DataFrames, not list"]),
        (lambda: [1], "polars", ["polars DataFrames, not list"]),
        (lambda: [1], "h5ad", ["AnnData"]),
        (lambda: {1}, (write_json, read_json), ["set, as (write_json, read_json)", "not JSON serializable"]),
    ],
)
def test_what_cant_be_cached_is_an_error_that_leaves_nothing(graph, tmp_path, calculate, chosen, words):
    job = ppg.CachedFileJob("cache", calculate, chosen)
    ppg.FileGeneratingJob("a", lambda of: of.write_text("a")).depends_on(job)

    with pytest.raises(ppg.RuntimeError):
        ppg.run_pipegraph()

    assert type(job.exception) is JobContractError
    assert str(job.exception).startswith("what was calculated can't be written to a cache: ")
    for each in words:
        assert each in str(job.exception)
    assert not (tmp_path / "cache").exists()


def test_nothing_at_all_can_be_cached(graph):
    assert seen_by_a_dependent(cached(None)) == "None"


def test_a_disk_that_is_full_is_not_blamed_on_the_value(graph):
    def write(value, path):
        raise OSError(28, "No space left on device", path)

    job = ppg.CachedFileJob("cache", lambda: 1, (write, read_json))
    ppg.FileGeneratingJob("a", lambda of: of.write_text("a")).depends_on(job)

    with pytest.raises(ppg.RuntimeError):
        ppg.run_pipegraph()

    assert type(job.exception) is OSError


def test_a_memory_map_is_read_only_of_its_dtype_and_in_the_shape_that_was_returned(graph):
    def load(value):
        box.value = value

    def look(of):
        with pytest.raises(ValueError, match="read-only"):
            box.value[0, 0] = 1
        of.write_text(f"{type(box.value).__name__} {box.value.dtype} {box.value.tolist()}")

    job = ppg.MemMappedDataLoadingJob("cache", lambda: numpy.arange(4.0).reshape(2, 2), load, "float32")
    ppg.FileGeneratingJob("a", look).depends_on(job)
    ppg.run_pipegraph()

    assert Path("a").read_text() == "memmap float32 [[0.0, 1.0], [2.0, 3.0]]"
    assert numpy.load("cache").dtype == "float32"


def test_a_memory_map_takes_no_cast_that_loses_what_is_behind_the_point(graph):
    job = ppg.MemMappedDataLoadingJob("cache", lambda: numpy.arange(4.0), len, numpy.int32)
    ppg.FileGeneratingJob("a", lambda of: of.write_text("a")).depends_on(job)

    with pytest.raises(ppg.RuntimeError):
        ppg.run_pipegraph()

    assert "Cannot cast array data" in str(job.lfg.exception)


# --- declared


def test_a_cached_job_has_the_id_of_its_file_and_load_and_knows_who_makes_it(graph):
    job = ppg.CachedDataLoadingJob("./cache/x", lambda: 1, called.append)
    attribute = ppg.CachedAttributeLoadingJob("cache/y", box, "value", lambda: 1)

    assert job.job_id == "cache/x_load"
    assert job.lfg.job_id == "cache/x"
    assert isinstance(job, ppg.CachedJob)
    assert isinstance(attribute, ppg.CachedJob)
    assert isinstance(attribute, ppg.AttributeLoadingJob)
    assert [each.job_id for each in job.prerequisites] == ["cache/x"]


def test_a_cached_job_again_is_the_same(graph):
    def calculate():
        return 1

    jobs = [ppg.CachedAttributeLoadingJob("cache", box, "value", calculate, "text") for _ in range(2)]
    maps = [ppg.MemMappedDataLoadingJob("map", calculate, called.append, float) for _ in range(2)]

    assert jobs[0] is jobs[1]
    assert maps[0] is maps[1]


def test_wishes_for_cores_and_memory_and_code_go_to_the_calculation(graph):
    job = ppg.CachedDataLoadingJob("cache", lambda: 1, called.append)
    job.use_cores(3).memory_needed = 5
    job.ignore_code_changes()

    assert (job.cores_needed, job.lfg.cores_needed, job.lfg.memory_needed) == (3, 3, 5)
    assert [spec.cores for spec in job.specs()] == [1]
    assert not any(each.id.startswith("FI") for one in (job, job.lfg) for each in one.specs())


@pytest.mark.parametrize("method", ["depends_on_params", "depends_on_file", "depends_on_func", "depends_on"])
def test_what_is_depended_on_goes_to_the_calculation(graph, method):
    other = ppg.FileGeneratingJob("other", lambda of: of.write_text("x"))
    job = ppg.CachedDataLoadingJob("cache", lambda: 1, called.append)
    given = {"depends_on_params": (1,), "depends_on_func": ("f", write_json), "depends_on_file": ("other",)}

    getattr(job, method)(*given.get(method, (other,)))

    assert list(job.input_ids) == ["cache"]
    assert len(list(job.lfg.input_ids)) == 1


WRONG = [
    (lambda: cached(1, "jpeg"), JobContractError, "there is no such format"),
    (lambda: cached(1, "jpeg"), JobContractError, "pickle, text, npy"),
    (lambda: cached(1, write_json), JobContractError, "a format is a name, or a pair of functions"),
    (lambda: cached(1, (write_json, "read")), JobContractError, "a format is a name, or a pair of functions"),
    (lambda: ppg.register_format("npy", write_json, read_json), JobContractError, "known already"),
    (lambda: cached(1, None, "../cache"), JobContractError, "outside the working directory"),
    (lambda: ppg.CachedFileJob("cache", None), TypeError, "not None"),
    (lambda: ppg.CachedFileJob("cache", lambda of: of), JobContractError, "more arguments"),
    (lambda: ppg.CachedDataLoadingJob("cache", lambda: 1, None), TypeError, "not None"),
    (lambda: ppg.CachedDataLoadingJob("cache", lambda: 1, lambda: 1), JobContractError, "called with the value"),
    (lambda: ppg.CachedDataLoadingJob("cache", lambda: 1, lambda a, b: 1), JobContractError, "called with the value"),
    (lambda: ppg.CachedAttributeLoadingJob("cache", box, 1, lambda: 1), TypeError, "attribute_name"),
    (lambda: ppg.MemMappedDataLoadingJob("cache", lambda: 1, len, "no"), TypeError, "dtype must be a dtype"),
    (lambda: ppg.DataLoadingJob("load", lambda: 1, cut_off="yes"), TypeError, "cut_off must be True or False"),
]


@pytest.mark.parametrize(("declare", "error", "words"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_what_is_declared_wrongly_is_an_error_at_once(graph, declare, error, words):
    with pytest.raises(error, match=words) as caught:
        declare()

    assert error is TypeError or "test_cached_formats.py:" in str(caught.value)


def test_a_file_has_one_maker_and_one_format(graph):
    cached(1, "text")

    with pytest.raises(DuplicateOutputError):
        ppg.FileGeneratingJob("cache/data", lambda of: None)
    with pytest.raises(JobContractError, match="another format"):
        cached(1, "pickle")


def test_a_cache_that_was_never_made_can_not_be_loaded(graph):
    with pytest.raises(CacheDamagedError, match="No such file"):
        cached(1).load()


def test_in_a_notebook_a_cached_job_may_be_declared_otherwise_after_a_run(graph):
    def declare(number, chosen):
        job = ppg.CachedAttributeLoadingJob("cache", box, "value", lambda: str(number), chosen)
        ppg.FileGeneratingJob("a", lambda of: of.write_text(str(box.value))).depends_on(job)
        ppg.run_pipegraph()
        return Path("a").read_text(), job.lfg.was_run

    assert declare(1, None) == ("1", True)
    assert declare(1, None) == ("1", False)
    assert declare(2, None) == ("2", True)
    assert declare(2, "text") == ("2", True)
    assert Path("cache").read_text() == "2"
