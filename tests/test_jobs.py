"""What scripts declare: every class, every argument, every mistake."""

import functools
import gc
import itertools
from pathlib import Path

import pytest

import pipegraph as ppg
from pipegraph.errors import CycleError, DuplicateOutputError, JobContractError, NoGraphError


def write(of):
    of.write_text("x")


def other(of):
    of.write_text("y")


@pytest.fixture
def few_are_many(monkeypatch):
    """Ten jobs are as many as thousands; what is set of the garbage collector is put back."""
    monkeypatch.setattr("pipegraph.graph._MANY", 10)
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def declare(numbers):
    for number in numbers:
        ppg.ParameterInvariant(str(number), number)


def test_many_jobs_make_full_collections_seldom_until_they_run(graph, few_are_many):
    gc.set_threshold(700, 10, 10)
    declare(range(30))
    while_declaring = gc.get_threshold()
    ppg.run_pipegraph()

    assert while_declaring == (700, 10, 100)
    assert gc.get_threshold() == (700, 10, 10)


def test_the_more_jobs_there_are_the_more_seldom_are_full_collections_until_they_run(graph, few_are_many, monkeypatch):
    monkeypatch.setattr("pipegraph.graph._JOBS_A_LOOK", 1)
    gc.set_threshold(700, 10, 1)
    seen = []
    for number in range(30):
        declare([number])
        seen.append(gc.get_threshold()[2])
    ppg.run_pipegraph()

    assert list(dict.fromkeys(seen)) == [1, 10, 20, 30]
    assert gc.get_threshold() == (700, 10, 1)


@pytest.mark.parametrize("own", [(700, 10, 5000), (700, 10, 0)])
def test_how_a_script_has_garbage_collected_stays(graph, few_are_many, own):
    gc.set_threshold(*own)
    declare(range(30))

    assert gc.get_threshold() == own


def test_what_a_script_sets_of_the_collector_meanwhile_is_not_undone(graph, few_are_many):
    gc.set_threshold(700, 10, 10)
    declare(range(30))
    gc.set_threshold(1, 2, 3)
    declare(range(30, 60))
    ppg.new_pipegraph()

    assert gc.get_threshold() == (1, 2, 3)


def test_each_line_of_a_loop_is_the_place_of_its_jobs(graph):
    jobs = [[ppg.FileGeneratingJob(f"a{number}", write),
             ppg.FileGeneratingJob(f"b{number}", write)] for number in range(3)]  # fmt: skip

    first, second = ({pair[at].place for pair in jobs} for at in (0, 1))
    assert len(first) == len(second) == 1
    assert next(iter(second)).line == next(iter(first)).line + 1


def test_a_job_again_is_the_same_object(graph):
    a = ppg.FileGeneratingJob("a", write)

    assert ppg.FileGeneratingJob("./a", write) is a
    assert ppg.FileGeneratingJob(Path("sub/../a"), write) is a
    assert ppg.FileGeneratingJob(str(Path.cwd() / "a"), write) is a
    assert list(graph.jobs) == ["a"]


def test_a_job_again_with_another_callback_is_an_error_naming_both_places(graph):
    ppg.FileGeneratingJob("a", write)

    with pytest.raises(JobContractError) as caught:
        ppg.FileGeneratingJob("a", other)

    assert str(caught.value).count("test_jobs.py:") == 2


def test_callbacks_that_differ_only_in_defaults_are_different(graph):
    functions = []
    for x in (1, 2):

        def make(x=x):
            pass

        functions.append(make)
    ppg.DataLoadingJob("load", functions[0])

    with pytest.raises(JobContractError):
        ppg.DataLoadingJob("load", functions[1])


@pytest.mark.parametrize(
    "second",
    [
        lambda: ppg.TempFileGeneratingJob("a", write),
        lambda: ppg.MultiFileGeneratingJob(["a", "b"], lambda files: None),
        lambda: ppg.MultiFileGeneratingJob(["./a", "b"], lambda files: None),
        lambda: ppg.TempFilePlusGeneratingJob("t", "a", write),
    ],
)
def test_two_jobs_for_one_file_is_an_error_naming_both_places(graph, second):
    ppg.FileGeneratingJob("a", write)

    with pytest.raises(DuplicateOutputError) as caught:
        second()

    assert str(caught.value).count("test_jobs.py:") == 2
    assert isinstance(caught.value, ValueError)


def test_overlapping_multi_file_jobs_are_an_error(graph):
    ppg.MultiFileGeneratingJob(["a", "b"], lambda files: None)

    with pytest.raises(DuplicateOutputError):
        ppg.MultiFileGeneratingJob(["b", "c"], lambda files: None)
    with pytest.raises(DuplicateOutputError):
        ppg.FileGeneratingJob("b", write)


def test_a_refused_job_is_not_in_the_graph(graph):
    ppg.FileGeneratingJob("a", write)
    with pytest.raises(ValueError):
        ppg.MultiFileGeneratingJob(["a", "b"], lambda files: None)
    with pytest.raises(TypeError):
        ppg.FileGeneratingJob("c", 5)

    assert list(graph.jobs) == ["a"]
    ppg.FileGeneratingJob("b", write)


@pytest.mark.parametrize("make_first", [True, False])
def test_a_file_invariant_on_a_made_file_says_to_depend_on_the_job(graph, make_first):
    calls = [lambda: ppg.FileGeneratingJob("a.txt", write), lambda: ppg.FileInvariant("a.txt")]
    if not make_first:
        calls.reverse()
    calls[0]()

    with pytest.raises(JobContractError, match="depend on"):
        calls[1]()


def test_two_kinds_of_file_invariant_on_one_file_are_an_error(graph):
    ppg.FileInvariant("a.txt")

    assert ppg.FileChecksumInvariant("a.txt") is ppg.FileInvariant("a.txt")
    with pytest.raises(JobContractError):
        ppg.FileTimeInvariant("a.txt")


@pytest.mark.parametrize("given", [5, None, b"a", ["a"], 1.5])
def test_an_id_that_is_no_text_is_a_type_error(graph, given):
    for make in (
        lambda: ppg.FileGeneratingJob(given, write),
        lambda: ppg.DataLoadingJob(given, print),
        lambda: ppg.FileInvariant(given),
        lambda: ppg.ParameterInvariant(given, 1),
    ):
        with pytest.raises(TypeError):
            make()


@pytest.mark.parametrize("given", ["", "/elsewhere/a", "../a", "a/../../b", "a\0b", "\udc80", "a/", ".", "sub/.."])
def test_an_output_path_that_can_not_be_is_refused(graph, given):
    with pytest.raises(ValueError):
        ppg.FileGeneratingJob(given, write)

    assert not graph.jobs


def test_a_callback_takes_the_output_if_it_has_one_parameter_without_default(graph):
    class Callable:
        def __call__(self, of):
            of.write_text("object")

        def method(self, of):
            of.write_text("method")

    ppg.FileGeneratingJob("one", lambda of: of.write_text("one"))
    ppg.FileGeneratingJob("none", lambda: Path("none").write_text("none"))
    ppg.FileGeneratingJob("loop", lambda x="loop": Path("loop").write_text(x))
    ppg.FileGeneratingJob("both", lambda of, x="both": of.write_text(x))
    ppg.FileGeneratingJob("partial", functools.partial(lambda text, of: of.write_text(text), "partial"))
    ppg.FileGeneratingJob("object", Callable())
    ppg.FileGeneratingJob("method", Callable().method)
    ppg.run_pipegraph()

    for name in ("one", "none", "loop", "both", "partial", "object", "method"):
        assert Path(name).read_text() == name


@pytest.mark.parametrize("function", [lambda a, b: None, lambda *, a: None])
def test_a_callback_that_wants_more_is_an_error_at_once(graph, function):
    with pytest.raises(JobContractError):
        ppg.FileGeneratingJob("a", function)
    with pytest.raises(JobContractError):
        ppg.DataLoadingJob("load", lambda a: None)


def test_depends_on_takes_all_that_scripts_give_it(graph):
    jobs = [ppg.FileGeneratingJob(f"a{n}", write) for n in range(8)]
    end = ppg.FileGeneratingJob("end", write)

    assert end.depends_on(jobs[0], None, [jobs[1], (jobs[2], [None, jobs[3]])], iter([jobs[4]])) is end
    end.depends_on(jobs[5] + jobs[6])
    end.depends_on(lambda: [jobs[7]])
    ppg.Job.depends_on(end, "a0")
    ppg.run_pipegraph()

    assert end.prerequisites == jobs
    assert jobs[0].dependants == [end]


@pytest.mark.parametrize("given", [5, "no such job", object()])
def test_depending_on_what_is_no_job_is_a_value_error(graph, given):
    with pytest.raises(ValueError):
        ppg.FileGeneratingJob("a", write).depends_on(given)


def test_circles_of_one_and_two_jobs_are_found_at_once(graph):
    a, b = ppg.FileGeneratingJob("a", write), ppg.FileGeneratingJob("b", write)
    with pytest.raises(CycleError):
        a.depends_on(a)
    a.depends_on(b)
    with pytest.raises(CycleError):
        b.depends_on(a)


def test_a_longer_circle_is_shown_as_its_path_when_the_run_begins(graph):
    jobs = [ppg.FileGeneratingJob(f"a{n}", write) for n in range(4)]
    for n in range(4):
        jobs[n].depends_on(jobs[(n + 1) % 4])

    with pytest.raises(CycleError) as caught:
        ppg.run_pipegraph()

    assert [line.split()[1] for line in str(caught.value).splitlines()[1:6]] in [
        [f"a{(n + k) % 4}" for k in range(5)] for n in range(4)
    ]
    assert str(caught.value).count("test_jobs.py:") == 5
    assert not Path("a0").exists()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_longer_circle_is_found_in_whatever_order_it_is_told(graph, order):
    jobs = [ppg.FileGeneratingJob(f"a{n}", write) for n in range(4)]
    for n in order:
        jobs[n].depends_on(jobs[(n + 1) % 4])

    with pytest.raises(CycleError):
        graph.resolve()


def test_a_longer_circle_that_is_told_when_the_run_begins_is_found(graph):
    a, b, c = (ppg.FileGeneratingJob(name, write) for name in "abc")
    b.depends_on(a)
    c.depends_on(b)
    a.depends_on(lambda: c)

    with pytest.raises(CycleError):
        graph.resolve()
    with pytest.raises(CycleError):
        graph.resolve()


def test_a_circle_over_one_file_of_several_is_found(graph):
    several = ppg.MultiFileGeneratingJob(["a1", "a2"], lambda files: [write(file) for file in files])
    b, c = ppg.FileGeneratingJob("b", write), ppg.FileGeneratingJob("c", write)
    b.depends_on(several["a2"])
    c.depends_on("b")
    several.depends_on(c)

    with pytest.raises(CycleError):
        graph.resolve()


def test_a_circle_by_a_job_that_takes_the_place_of_an_invariant_is_found(graph):
    Path("given").write_text("x")
    b, c = ppg.FileGeneratingJob("b", write), ppg.FileGeneratingJob("c", write)
    b.depends_on(ppg.FileInvariant("given"))
    c.depends_on(b)
    ppg.run_pipegraph()
    ppg.FileGeneratingJob("given", write).depends_on(c)

    with pytest.raises(CycleError):
        graph.resolve()


def test_jobs_that_were_told_in_any_order_and_make_no_circle_may_run(graph):
    jobs = [ppg.FileGeneratingJob(f"a{n}", write) for n in range(4)]
    for n in (2, 0, 1):
        jobs[n].depends_on(jobs[n + 1])
    ppg.run_pipegraph()

    assert all(Path(f"a{n}").exists() for n in range(4))


def test_invariants_and_final_jobs_have_their_rules(graph):
    a = ppg.FileGeneratingJob("a", write)
    with pytest.raises(JobContractError):
        ppg.ParameterInvariant("p", 1).depends_on(a)
    with pytest.raises(JobContractError):
        a.depends_on(ppg.FinalJob("end", lambda: None))


def test_no_graph_is_a_clear_error():
    ppg.util.global_pipegraph = None

    with pytest.raises(NoGraphError, match="new_pipegraph"):
        ppg.FileGeneratingJob("a", write)
    with pytest.raises(ValueError):
        ppg.run_pipegraph()
    assert not ppg.inside_ppg()


def test_a_job_of_another_graph_is_refused(graph):
    a = ppg.FileGeneratingJob("a", write)
    ppg.new_pipegraph(quiet=True)

    with pytest.raises(JobContractError, match="another graph"):
        ppg.FileGeneratingJob("b", write).depends_on(a)


@pytest.mark.parametrize("cores", [0, -3, 1.5, "2", True, None])
def test_cores_needed_must_make_sense(graph, cores):
    a = ppg.FileGeneratingJob("a", write)

    with pytest.raises(ValueError):
        a.cores_needed = cores
    assert a.use_cores(2) is a
    assert a.cores_needed == 2


def test_a_job_that_needs_more_than_there_is_fails_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True)
    a = ppg.FileGeneratingJob("a", write).use_cores(3)
    b = ppg.FileGeneratingJob("b", write)
    c = ppg.FileGeneratingJob("c", write)
    c.memory_needed = 1 << 60

    with pytest.raises(ppg.RuntimeError, match="more than there is"):
        ppg.run_pipegraph()

    assert a.error_reason == c.error_reason == "Needed to much memory/cores"
    assert b.was_run


def test_pruned_jobs_and_what_depends_on_them_take_no_part(graph):
    a = ppg.FileGeneratingJob("a", write)
    b = ppg.FileGeneratingJob("b", write).depends_on(a)
    c = ppg.FileGeneratingJob("c", write)
    a.prune()
    ppg.run_pipegraph()
    assert [Path(name).exists() for name in "abc"] == [False, False, True]

    a.unprune()
    ppg.run_pipegraph()
    assert b.was_run
    assert not c.was_run


def test_joblists_add_up(graph):
    a, b, c = (ppg.FileGeneratingJob(name, write) for name in "abc")
    several = a + b + [c]

    assert list(several) == [a, b, c]
    assert len(several) == 3
    assert list(a) == [a]
    with pytest.raises(ValueError):
        several + 5
    d = ppg.FileGeneratingJob("d", write)
    (a + b).depends_on(d)
    assert d.dependants == [a, b]


def test_multi_file_jobs_give_the_callback_what_the_script_gave(graph):
    seen = {}

    def listed(files):
        for path in files:
            path.write_text(repr(files))

    def named(files):
        files["bam"].write_text("bam")
        files["log"].write_text(type(files).__name__)

    one = ppg.MultiFileGeneratingJob(["b", "a"], listed)
    two = ppg.MultiFileGeneratingJob({"bam": "x.bam", "log": "x.log"}, named)
    ppg.FileGeneratingJob("end", write).depends_on(two["bam"], one[0])
    ppg.run_pipegraph()

    assert one.job_id == "a:::b"
    assert one.filenames == ["b", "a"]
    assert Path("a").read_text() == "[PosixPath('b'), PosixPath('a')]"
    assert Path("x.log").read_text() == "dict"
    assert not seen
    with pytest.raises(KeyError):
        two["bai"]


@pytest.mark.parametrize(
    ("given", "error"),
    [("a", ValueError), (5, TypeError), ([], ValueError), (["a", "./a"], ValueError), ([5], TypeError)],
)
def test_multi_file_jobs_refuse_what_is_no_collection_of_paths(graph, given, error):
    with pytest.raises(error):
        ppg.MultiFileGeneratingJob(given, lambda files: None)


def test_only_the_named_file_of_a_multi_file_job_counts(script):
    text = """
        ppg.new_pipegraph()
        def make(files):
            files['a'].write_text('same')
            files['b'].write_text({!r})
        m = ppg.MultiFileGeneratingJob({{'a': 'a.txt', 'b': 'b.txt'}}, make)
        ppg.FileGeneratingJob('needs_a', lambda of: of.write_text('x')).depends_on(m['a'])
        ppg.FileGeneratingJob('needs_b', lambda of: of.write_text('x')).depends_on('b.txt')
        ppg.run_pipegraph()
        """
    script.run(text.format("1"))
    script.run(text.format("2"))

    assert script.started == ["a.txt:::b.txt", "needs_b"]


def test_empty_files_are_failures_unless_allowed(graph):
    def touch(of):
        of.write_text("")

    ppg.FileGeneratingJob("a", touch, empty_ok=True)
    ppg.FileGeneratingJob("b", touch, empty_file_allowed=True)
    ppg.MultiFileGeneratingJob(["c", "d"], lambda files: [touch(of) for of in files], empty_files_ok=True)
    ppg.MultiFileGeneratingJob(
        ["e", "f"], lambda files: (files[0].write_text(""), write(files[1])), empty_files_ok={"e": True}
    )
    bad = ppg.MultiFileGeneratingJob(
        ["g", "h"], lambda files: (files[0].write_text(""), write(files[1])), empty_files_ok={"h": True}
    )

    with pytest.raises(ppg.RuntimeError):
        ppg.run_pipegraph()

    assert graph.get_error_count() == 1
    assert bad.failed


def test_what_a_run_leaves_on_the_jobs(graph):
    def fine(of):
        print("out")
        of.write_text("x")

    def bad(of):
        raise KeyError("missing")

    a = ppg.FileGeneratingJob("a", fine)
    b = ppg.FileGeneratingJob("b", bad)
    c = ppg.FileGeneratingJob("c", write).depends_on(b)
    with pytest.raises(ppg.RuntimeError) as caught:
        ppg.run_pipegraph()

    assert (a.was_run, a.failed, a.error_reason, a.stdout) == (True, False, "no error", "out\n")
    assert a.runtime > 0
    assert a.stop_time >= a.start_time
    assert (b.failed, b.error_reason) == (True, "Exception")
    assert isinstance(b.exception, KeyError)
    assert caught.value.exceptions == [b.exception]
    assert "bad" in b.trace
    assert (c.failed, c.error_reason, c.was_run) == (True, "Indirect", False)
    graph.dump_runtimes("times.tsv")
    assert Path("times.tsv").read_text().startswith("job\tseconds\n")


def test_a_graph_runs_again_with_more_jobs_and_redefined_ones(graph):
    a = ppg.FileGeneratingJob("a", write)
    ppg.run_pipegraph()
    b = ppg.FileGeneratingJob("b", write).depends_on(a)
    assert ppg.FileGeneratingJob("a", other) is a

    ppg.run_pipegraph()

    assert Path("a").read_text() == "y"
    assert b.was_run
    ppg.run_pipegraph()
    assert not a.was_run
    assert not b.was_run


def test_a_parameter_name_with_two_values_is_an_error_naming_both_places(graph):
    ppg.ParameterInvariant("p", {"k": 1})
    assert ppg.ParameterInvariant("p", {"k": 1}).job_id == "PIp"

    with pytest.raises(JobContractError) as caught:
        ppg.ParameterInvariant("p", {"k": 2})
    assert str(caught.value).count("test_jobs.py:") == 2


def test_a_parameter_that_can_not_be_fingerprinted_is_named_by_its_path(graph):
    class Model:
        pass

    with pytest.raises(ppg.FingerprintError, match=r"params\['model'\]"):
        ppg.ParameterInvariant("p", {"model": Model()})


def test_two_functions_under_one_name_are_an_error_naming_both_places(graph):
    ppg.FunctionInvariant("plot", write)
    ppg.FunctionInvariant("nothing", None)

    with pytest.raises(JobContractError) as caught:
        ppg.FunctionInvariant("plot", other)
    assert str(caught.value).count("test_jobs.py:") == 2


def test_short_file_names_are_refused_as_probable_mistakes(graph):
    with pytest.raises(ValueError):
        ppg.FileInvariant("ab")


def test_old_scripts_may_subclass_jobs(graph):
    class MyJob(ppg.FileGeneratingJob):
        def __new__(cls, name):
            return ppg.Job.__new__(cls, name + ".txt")

        def __init__(self, name):
            super().__init__(name + ".txt", lambda of: of.write_text(name))
            self.mine = name

        def inject_auto_invariants(self):
            super().inject_auto_invariants()
            self.depends_on(ppg.ParameterInvariant("own" + self.job_id, 1))

        def run(self):
            super().run()
            Path("ran").write_text(self.mine)

    job = MyJob("a")
    graph.mine = 5
    ppg.run_pipegraph()

    assert MyJob("a") is job
    assert Path("a.txt").read_text() == "a"
    assert Path("ran").read_text() == "a"
    assert "PIowna.txt" in job.input_ids


def test_the_old_doors_lead_to_the_real_things(graph):
    import pipegraph.util
    from pipegraph.util import assert_uniqueness_of_object, global_pipegraph

    from pipegraph import job, ppg_exceptions, resource_coordinators

    assert global_pipegraph is graph
    assert pipegraph.util.global_pipegraph is graph
    assert job.FileGeneratingJob is ppg.FileGeneratingJob
    assert ppg_exceptions.RuntimeError is ppg.RuntimeError
    assert resource_coordinators.LocalSystem(max_cores_to_use=1, profile=False, interactive=True).max_cores_to_use == 1

    class Thing:
        def __init__(self, name):
            self.name = name

    thing = Thing("a")
    assert_uniqueness_of_object(thing)
    assert_uniqueness_of_object(thing)
    with pytest.raises(ValueError):
        assert_uniqueness_of_object(Thing("a"))
    with pytest.raises(ValueError):
        assert_uniqueness_of_object(Thing("a/b"))


def test_a_changed_directory_is_noticed(graph, tmp_path, monkeypatch):
    ppg.FileGeneratingJob("a", write)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")

    with pytest.raises(JobContractError, match="working directory changed"):
        ppg.run_pipegraph()


def test_a_dry_run_runs_nothing_and_tells_what_would(graph):
    a = ppg.FileGeneratingJob("a", write)
    ppg.FileGeneratingJob("b", write).depends_on(a)

    must, may = ppg.run_pipegraph(dry_run=True)

    assert [start.job for start in must] == ["a", "b"]
    assert may == []
    assert not Path("a").exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ppg.TempFileGeneratingJob("abc", write),
        lambda: ppg.DataLoadingJob("abc", lambda: None),
        lambda: ppg.JobGeneratingJob("abc", lambda: None),
        lambda: ppg.FinalJob("abc", lambda: None),
        lambda: ppg.FileInvariant("abc"),
    ],
)
def test_only_files_that_stay_can_be_adopted(graph, make):
    with pytest.raises(ppg.JobContractError, match="only files that stay can be adopted"):
        make().adopt()


def test_the_id_of_a_job_of_several_files_is_their_sorted_paths(graph):
    job = ppg.MultiFileGeneratingJob(["./bcd", "abc", "sub//cde"], lambda files: None)

    assert job.job_id == "abc:::bcd:::sub/cde"
    assert ppg.MultiFileGeneratingJob(["./bcd", "abc", "sub//cde"], job.function) is job
