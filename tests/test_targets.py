"""Runs of which only some jobs are wanted: they and what they need, and nothing else."""

from pathlib import Path

import pytest

import pipegraph as ppg


def write(output):
    output.write_text(output.name)


def file_job(name, *inputs):
    return ppg.FileGeneratingJob(name, write).depends_on(*inputs)


def made():
    return {str(path) for path in Path(".").rglob("*") if path.is_file() and "." not in str(path)[:1]} - {
        str(path) for path in Path("logs").rglob("*")
    }


@pytest.mark.parametrize("how", ["job", "id", "path", "list", "absolute", "dotted", "call"])
def test_only_a_target_and_what_it_needs_are_made(graph, how):
    a = file_job("a")
    b = file_job("b", a)
    file_job("c", b)
    file_job("d")
    if how == "call":
        assert b() is b
    else:
        target = {"job": b, "id": "b", "path": Path("b"), "list": [[b]], "absolute": Path("b").absolute()}.get(
            how, "./b"
        )
        ppg.run_pipegraph(targets=target)

    assert made() == {"a", "b"}
    assert b.was_run
    ppg.run_pipegraph()
    assert made() == {"a", "b", "c", "d"}
    assert not b.was_run


def test_a_pattern_stands_for_all_that_fit_and_for_itself(graph):
    for name in ("out/a.tsv", "out/b.tsv", "out/deep/c.tsv", "out/[d].tsv", "d.tsv"):
        file_job(name)
    ppg.run_pipegraph(targets="out/[d].tsv")
    assert made() == {"out/[d].tsv"}

    ppg.run_pipegraph(targets=["./out/?.tsv"])
    assert made() == {"out/[d].tsv", "out/a.tsv", "out/b.tsv"}


def test_a_pattern_that_nothing_fits_is_an_error(graph):
    file_job("out/a.tsv")

    with pytest.raises(ppg.JobContractError, match="no job makes a target"):
        ppg.run_pipegraph(targets="out/*.bam")
    assert made() == set()


def test_a_target_that_is_up_to_date_is_not_made_again(graph):
    job = file_job("a")
    ppg.run_pipegraph()
    job()

    assert not job.was_run


def test_several_targets_share_what_they_need(graph):
    a = file_job("a")
    ppg.run_pipegraph(targets=[file_job("b", a), file_job("c", a)])

    assert made() == {"a", "b", "c"}


def test_no_targets_make_nothing(graph):
    file_job("a")
    ppg.run_pipegraph(targets=[])

    assert made() == set()


def test_one_file_of_a_job_with_several_is_a_target(graph):
    ppg.MultiFileGeneratingJob(["x", "y"], lambda files: [write(each) for each in files])
    file_job("z")
    ppg.run_pipegraph(targets="y")

    assert made() == {"x", "y"}


def test_temporary_files_and_loads_are_made_for_targets_only(graph):
    temporary = ppg.TempFileGeneratingJob("t", write)
    other = ppg.TempFileGeneratingJob("u", write)
    file_job("b", other)
    target = file_job("a", temporary)
    ppg.run_pipegraph(targets=target)

    assert made() == {"a"}
    assert not other.was_run


def test_a_temporary_file_that_is_asked_for_is_made_and_stays_until_the_next_whole_run(graph):
    temporary = ppg.TempFileGeneratingJob("t", write)
    file_job("a", temporary)
    temporary()

    assert made() == {"t"} and temporary.was_run
    ppg.run_pipegraph(targets="t")
    assert made() == {"t"} and not temporary.was_run
    ppg.run_pipegraph()
    assert made() == {"a"} and not temporary.was_run


def test_a_temporary_file_that_a_pattern_fits_is_made_for_others_only(graph):
    ppg.TempFileGeneratingJob("t", write)
    ppg.run_pipegraph(targets="*")

    assert made() == set()


def test_a_temporary_file_that_a_generator_declares_may_be_asked_for(graph):
    ppg.JobGeneratingJob("generator", lambda: ppg.TempFileGeneratingJob("t", write))
    ppg.run_pipegraph(targets="t")

    assert made() == {"t"}


def test_what_nobody_makes_is_refused_with_what_is_called_nearly_so(graph):
    file_job("results/summary.tsv")
    with pytest.raises(
        ppg.JobContractError, match=r"(?s)no job makes a target.*results/sumary.tsv.*nearest: results/summary.tsv"
    ):
        ppg.run_pipegraph(targets="results/sumary.tsv")

    assert made() == set()


@pytest.mark.parametrize("target", [1, object(), [3.0]])
def test_what_is_no_target_is_refused(graph, target):
    with pytest.raises(TypeError, match="a target is a job"):
        ppg.run_pipegraph(targets=target)


def test_a_pruned_target_is_refused(graph):
    a = file_job("a")
    b = file_job("b", a)
    a.prune()
    with pytest.raises(ppg.JobContractError, match="pruned"):
        ppg.run_pipegraph(targets=b)


def test_a_failure_of_what_is_not_needed_is_none_of_a_targets_business(graph):
    ppg.FileGeneratingJob("bad", lambda output: 1 / 0)
    file_job("a")()

    assert made() == {"a"}


def test_a_final_job_runs_only_where_it_is_wanted(graph):
    ran = []
    ppg.FinalJob("final", lambda: Path("final").write_text(str(ran)))
    file_job("a")()

    assert made() == {"a"}


# --- growth


def test_of_what_a_generator_declares_only_what_a_target_needs_is_made(graph):
    parts = []

    def declare():
        parts.extend([file_job("p1"), file_job("p2")])
        file_job("unwanted")

    generator = ppg.JobGeneratingJob("parts", declare)
    injection = ppg.DependencyInjectionJob("into", lambda: parts).depends_on(generator)
    whole = file_job("whole", injection)
    other = ppg.JobGeneratingJob("others", lambda: file_job("more"))
    whole()

    assert made() == {"p1", "p2", "whole"}
    assert not other.was_run


def test_a_target_that_a_generator_declares_is_made_with_what_it_needs(graph):
    early = file_job("early")
    file_job("unwanted")

    def declare():
        file_job("late", early)
        file_job("unwanted too")
        ppg.JobGeneratingJob("inner", lambda: file_job("later"))

    ppg.JobGeneratingJob("outer", declare)
    ppg.run_pipegraph(targets="late")
    assert made() == {"early", "late"}
    ppg.run_pipegraph(targets="later")
    assert made() == {"early", "late", "later"}


def test_a_target_that_no_generator_declared_is_an_error_at_the_end(graph):
    ppg.JobGeneratingJob("g", lambda: file_job("b/later"))
    with pytest.raises(ppg.JobContractError, match=r"(?s)no job makes a target.*b/latter"):
        ppg.run_pipegraph(targets="b/latter")


def test_a_dry_run_looks_at_targets_only(graph):
    a = file_job("a")
    file_job("b")
    must, may = ppg.run_pipegraph(dry_run=True, targets=a)

    assert ([start.job for start in must], may) == (["a"], [])
    assert made() == set()
