"""Scripts of the original API: what they rely on beyond what other tests hold."""

import hashlib
import itertools
import os
import textwrap
import time
from pathlib import Path

import pipegraph.util
import pytest

import pipegraph as ppg
import pipegraph.testing
from pipegraph import ppg_exceptions, resource_coordinators


def write(output):
    Path(output).write_text("x")


def fail():
    raise KeyError("no such gene")


OLD_SCRIPT = """
    from pathlib import Path
    import os
    import pypipegraph as ppg
    import pypipegraph.util
    from pypipegraph.util import assert_uniqueness_of_object, output_file_exists, flatten_jobs
    from pypipegraph.resource_coordinators import LocalSystem
    from pypipegraph.ppg_exceptions import JobContractError

    def new():
        rc = LocalSystem(max_cores_to_use=2, profile=False, interactive=False)
        ppg.new_pipegraph(rc, quiet=True, dump_graph=False)

    class Genome:
        def __init__(self, name):
            self.name = name
            assert_uniqueness_of_object(self)
            if ppg.inside_ppg():
                self.load_job = ppg.AttributeLoadingJob(name + "_load", self, "sequence", self.calc)
                self.load_job.depends_on_params((name, 5))

        def calc(self):
            return "ACGT" * 3

        def dump(self):
            out = "results/%s.txt" % self.name
            def write():
                with open(out, "w") as op:
                    op.write(self.sequence)
            return ppg.FileGeneratingJob(out, write).depends_on(self.load_job, None, [])

    new()
    genome = Genome("hg19")
    dumped = genome.dump()
    jobs = []
    for i in range(3):
        def count(output_filename, i=i):
            Path(output_filename).write_text(str(len(open("results/hg19.txt").read()) + i))
        jobs.append(ppg.FileGeneratingJob("results/count_%i" % i, count, empty_file_allowed=True).depends_on(dumped))
    def gen():
        def inner():
            open("results/generated", "wb").write(b"g")
        ppg.FileGeneratingJob("results/generated", inner).depends_on(jobs)
    ppg.JobGeneratingJob("gen", gen).depends_on(jobs)
    def several():
        for k in (1, 2):
            open("results/m%i" % k, "w").write("m")
    ppg.MultiFileGeneratingJob(["results/m1", "results/m2"], several)
    ppg.TempFileGeneratingJob("results/temp", lambda: open("results/temp", "w").write("t"))
    ppg.run_pipegraph()
    assert all(output_file_exists(job.filenames[0]) for job in flatten_jobs([jobs, [dumped], None]))
    assert not hasattr(genome, "sequence")
    assert pypipegraph.util.global_pipegraph is not None
    print("done", [Path("results/count_%i" % i).read_text() for i in range(3)], sorted(os.listdir("results")))
"""


def test_an_old_script_runs_with_only_the_import_changed(script):
    (script.folder / ".pypipegraph_status_robust").write_bytes(b"the old status file")
    (script.folder / "script.py").write_text(textwrap.dedent(OLD_SCRIPT).replace("pypipegraph", "pipegraph"))

    script.run()
    assert script.lines("stdout.txt") == [
        "done ['12', '13', '14'] ['count_0', 'count_1', 'count_2', 'generated', 'hg19.txt', 'm1', 'm2']"
    ]
    script.run()
    assert script.started == ["gen"]
    assert (script.folder / ".pypipegraph_status_robust").read_bytes() == b"the old status file"


def test_util_looks_at_files(graph):
    Path("full").write_bytes(b"abc")
    Path("empty").touch()

    assert pipegraph.util.output_file_exists("full")
    assert not pipegraph.util.output_file_exists("empty")
    assert not pipegraph.util.output_file_exists("missing")
    assert pipegraph.util.file_exists(Path("empty"))
    assert not pipegraph.util.file_exists("missing")
    assert pipegraph.util.checksum_file("full") == hashlib.md5(b"abc").hexdigest()
    assert pipegraph.util.CPUs() == len(os.sched_getaffinity(0))


def test_util_freezes_and_flattens(graph):
    a, b = ppg.FileGeneratingJob("abc", write), ppg.FileGeneratingJob("bcd", write)

    assert hash(pipegraph.util.freeze([1, {"k": [2, {3}]}])) == hash(pipegraph.util.freeze((1, {"k": (2, {3})})))
    assert pipegraph.util.freeze([1]) != pipegraph.util.freeze([2])
    assert list(pipegraph.util.flatten_jobs([a, [None, (b, [a])]])) in ([a, b], [a, b, a])


def test_util_takes_jobs_and_file_names_alike(graph):
    a = ppg.FileGeneratingJob("abc", write)
    Path("there").write_text("x")

    assert pipegraph.util.job_or_filename(a) == ("abc", [a])
    assert pipegraph.util.job_or_filename(None) == (None, [])
    filename, (invariant,) = pipegraph.util.job_or_filename(Path("there"))
    assert filename == "there"
    assert type(invariant) is ppg.FileInvariant
    _, (invariant,) = pipegraph.util.job_or_filename("there_2", ppg.FileTimeInvariant)
    assert type(invariant) is ppg.FileTimeInvariant


def test_testing_raises_what_a_single_job_raised(graph):
    ppg.FileGeneratingJob("abc", fail)

    with pytest.raises(KeyError, match="no such gene"):
        pipegraph.testing.run_pipegraph()


def test_testing_raises_the_runs_own_error_if_several_jobs_failed(graph):
    ppg.FileGeneratingJob("abc", fail)
    ppg.FileGeneratingJob("bcd", fail)

    with pytest.raises(ppg.RuntimeError) as caught:
        pipegraph.testing.run_pipegraph()
    assert [type(each) for each in caught.value.exceptions] == [KeyError, KeyError]


def test_testing_force_load_lets_a_loading_job_run(graph, tmp_path):
    load = ppg.DataLoadingJob("load", lambda: (tmp_path / "loaded").touch())
    ppg.run_pipegraph()
    assert not (tmp_path / "loaded").exists()

    forced = pipegraph.testing.force_load(load, "now")
    ppg.run_pipegraph()

    assert (tmp_path / "loaded").exists()
    assert forced.prerequisites == [load]


@pytest.mark.parametrize(
    "body",
    [lambda: fail(), lambda: (ppg.FileGeneratingJob("abc", fail), ppg.run_pipegraph())],
    ids=["direct", "inside"],
)
def test_testing_expects_an_exception_from_here_or_inside_a_job(graph, body):
    with pipegraph.testing.RaisesDirectOrInsidePipegraph(KeyError, "no such gene") as caught:
        body()
    assert type(caught.value) is KeyError

    with pytest.raises(AssertionError), pipegraph.testing.RaisesDirectOrInsidePipegraph(KeyError, "other words"):
        fail()
    with pytest.raises(AssertionError), pipegraph.testing.RaisesDirectOrInsidePipegraph(KeyError):
        pass
    with pytest.raises(KeyError), pipegraph.testing.RaisesDirectOrInsidePipegraph(OSError):
        fail()


def test_what_was_made_can_be_forgotten(graph):
    ppg.FileGeneratingJob("abc", write)
    job = ppg.FileGeneratingJob("bcd", write)
    ppg.run_pipegraph()
    ppg.run_pipegraph()
    assert not job.was_run

    ppg.forget_job_status()
    ppg.run_pipegraph()
    assert job.was_run
    ppg.forget_job_status("there is no such file")


def test_the_current_graph_can_be_ended(graph):
    assert ppg.inside_ppg()

    ppg.destroy_global_pipegraph()

    assert not ppg.inside_ppg()
    with pytest.raises(ValueError, match="no graph yet"):
        ppg.FileGeneratingJob("abc", write)


def test_names_of_objects_are_unique_by_class_and_among_classes_that_are_named(graph):
    class Genes:
        def __init__(self, name):
            self.name = name

    class Regions(Genes):
        pass

    ppg.assert_uniqueness_of_object(Genes("hg19"))
    regions = Regions("hg19")
    with pytest.raises(ValueError, match="hg19"):
        ppg.assert_uniqueness_of_object(regions, also_check=Genes)
    with pytest.raises(ValueError, match="hg19"):
        ppg.assert_uniqueness_of_object(regions, also_check=[int, Genes])
    ppg.assert_uniqueness_of_object(regions, pipeline=graph)


def test_chains_of_dependencies_are_followed_as_deep_as_asked(graph):
    a, b, c = (ppg.FileGeneratingJob(name, write) for name in ("abc", "bcd", "cde"))
    c.depends_on(b)
    b.depends_on(a)

    assert c.is_in_dependency_chain(b, 1)
    assert not c.is_in_dependency_chain(a, 1)
    assert c.is_in_dependency_chain(a, 2)
    assert not a.is_in_dependency_chain(c, 5)
    assert c.prerequisites == [b]
    assert a.dependants == [b]


def test_one_loading_job_sets_one_attribute(graph):
    class Holder:
        pass

    holder = Holder()
    job = ppg.AttributeLoadingJob("load", holder, "a", int)
    assert ppg.AttributeLoadingJob("load", holder, "a", int) is job
    with pytest.raises(ppg.JobContractError, match="for another attribute"):
        ppg.AttributeLoadingJob("load", holder, "b", int)
    with pytest.raises(ppg.JobContractError, match="for another attribute"):
        ppg.AttributeLoadingJob("load", Holder(), "a", int)
    with pytest.raises(TypeError):
        ppg.AttributeLoadingJob("other", holder, 5, int)


def test_what_a_loading_job_is_to_clean_up_is_cleaned_up_in_the_slave(graph, tmp_path):
    load = ppg.DataLoadingJob("load", lambda: None)
    load.cleanup = lambda: (tmp_path / "cleaned").write_text(str(os.getpid()))
    ppg.FileGeneratingJob("abc", write).depends_on(load)
    # Something that runs after the last user of the data, so that the slave is still there.
    ppg.FinalJob("end", lambda: time.sleep(0.2))

    ppg.run_pipegraph()

    assert int((tmp_path / "cleaned").read_text()) != os.getpid()


def test_cores_set_before_a_run_are_honoured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph = ppg.new_pipegraph(resource_coordinators.LocalSystem(4), quiet=True)
    graph.rc.cores_available = 1
    spans = []
    for i in range(4):
        ppg.FileGeneratingJob(
            f"o/{i}", lambda output: output.write_text(f"{time.monotonic()} {time.sleep(0.02)} {time.monotonic()}")
        )
    ppg.run_pipegraph()

    for i in range(4):
        began, _, ended = (tmp_path / f"o/{i}").read_text().split()
        spans.append((float(began), float(ended)))
    spans.sort()
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
    ppg.util.global_pipegraph = None


def test_a_path_from_the_root_into_the_working_directory_becomes_relative(graph, tmp_path):
    job = ppg.FileGeneratingJob(tmp_path / "sub" / "abc", write)

    assert job.job_id == "sub/abc"
    assert ppg.FileGeneratingJob(f"../{tmp_path.name}/sub/abc", write) is job


def test_a_function_invariant_may_watch_nothing(graph):
    ppg.FileGeneratingJob("abc", write).depends_on(ppg.FunctionInvariant("nothing", None))

    ppg.run_pipegraph()

    assert Path("abc").exists()


def test_invariants_have_the_ids_that_scripts_look_for(graph):
    assert ppg.ParameterInvariant("abc", 1).job_id == "PIabc"
    assert ppg.FileChecksumInvariant("data.txt") is not None
    assert set(graph.jobs) >= {"PIabc", "data.txt"}


def test_a_collection_wants_files_that_exist(graph):
    with pytest.raises(FileNotFoundError, match="missing"):
        ppg.MultiFileInvariant(["missing"])


def test_scripts_may_set_on_a_job_what_the_run_would(graph):
    class MyJob(ppg.FileGeneratingJob):
        def __init__(self, name):
            super().__init__(name, write)
            self.exception = None
            self.stdout = "mine"
            self.own = 5

    job = MyJob("abc")
    ppg.run_pipegraph()

    assert job.stdout == "mine"
    assert job.was_run


def test_the_tree_of_exceptions(graph):
    for name in ("CycleError", "RuntimeError", "RuntimeException", "JobContractError", "JobDiedException"):
        assert issubclass(getattr(ppg_exceptions, name), ppg.PyPipeGraphError)
    assert issubclass(ppg.CommunicationFailure, ppg.PyPipeGraphError)
    assert issubclass(ppg.PyPipeGraphError, ValueError)

    ppg.FileGeneratingJob("abc", lambda: os._exit(9))
    with pytest.raises(ppg.RuntimeError) as caught:
        ppg.run_pipegraph()
    (died,) = caught.value.exceptions
    assert isinstance(died, ppg.JobDiedException)
    assert died.exit_code == 9
    assert graph.jobs["abc"].error_reason == "Unknown/died"
    assert graph.get_error_count() == 1


def test_unbound_calls_of_depends_on_work(graph):
    a, b = ppg.FileGeneratingJob("abc", write), ppg.FileGeneratingJob("bcd", write)

    assert ppg.Job.depends_on(b, a) is b
    assert b.prerequisites == [a]
