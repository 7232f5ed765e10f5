"""Jobs as plain data: the short form of the usual ones is the same as the long one."""

import copy
import pickle
import sys

import pytest

import pipegraph as ppg
from pipegraph.model import JobSpec, Place, Role, UsualSpec, Watch, usual_spec

PLACE = Place("script.py", 3)
GIVEN = ("in/a", Role.INVARIANT, "FileInvariant", PLACE, ("in/a",), ("b",), "f" * 32, Watch.CONTENT)


def write(of):
    of.write_text("x")


@pytest.mark.parametrize("name", JobSpec._fields)
def test_each_field_of_a_usual_spec_is_as_in_the_long_form(name):
    assert getattr(usual_spec(*GIVEN), name) == getattr(JobSpec(*GIVEN), name)


def test_a_usual_spec_equals_the_long_form_of_the_same_fields_and_no_other():
    usual, whole = usual_spec(*GIVEN), JobSpec(*GIVEN)
    others = [whole._replace(cores=2), usual_spec("in/b", *GIVEN[1:]), None, tuple(usual)]

    assert type(usual) is UsualSpec
    assert usual == whole
    assert whole == usual
    assert (usual != whole, whole != usual) == (False, False)
    assert usual == usual_spec(*GIVEN)
    assert {usual, whole} == {whole}
    assert repr(usual) == repr(whole)
    assert usual._asdict() == whole._asdict()
    for other in others:
        assert usual != other
        assert other != usual


def test_a_field_of_a_usual_spec_can_be_replaced():
    whole = JobSpec(*GIVEN)

    for changed in ({"place": Place("x", 1)}, {"forced": True}, {"cores": 3, "id": "c"}):
        assert usual_spec(*GIVEN)._replace(**changed) == whole._replace(**changed)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_usual_spec_arrives_as_what_it_was(protocol):
    usual = usual_spec(*GIVEN)
    arrived = pickle.loads(pickle.dumps(usual, protocol))

    assert type(arrived) is type(copy.copy(usual)) is UsualSpec
    assert arrived == copy.copy(usual) == usual


def test_usual_jobs_and_their_invariants_have_short_specs(graph):
    job = ppg.FileGeneratingJob("a", write)
    job.depends_on(ppg.ParameterInvariant("a", 3), ppg.FileInvariant("given"))
    specs = graph.specs()

    assert {type(spec) for spec in specs} == {UsualSpec}
    assert max(map(sys.getsizeof, specs)) < sys.getsizeof(JobSpec(*GIVEN)) / 1.8


def cores(job):
    job.cores_needed = 2


def memory(job):
    job.memory_needed = 100


def isolation(job):
    job.isolation = "shared"


def code(job):
    job.ignore_code_changes()


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        (cores, "cores", 2),
        (memory, "memory_bytes", 100),
        (isolation, "shares_process", True),
        (code, "unwatched", frozenset(["FIa"])),
        (lambda job: job.adopt(), "adopts", True),
        (lambda job: job.keep_versions(3), "store", 3),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_rarely_set_of_a_job_stands_in_its_spec(graph, change, field, value):
    job = ppg.FileGeneratingJob("a", write)
    change(job)
    *_, spec = graph.specs()
    found = getattr(spec, field)

    assert (found.versions if field == "store" else found) == value


def test_a_graph_that_has_jobs_share_a_process_says_so_in_each_spec(graph):
    graph.isolation = "shared"
    ppg.FileGeneratingJob("a", write)
    *_, spec = graph.specs()

    assert spec.shares_process


@pytest.mark.parametrize(
    "make",
    [
        lambda: ppg.FileGeneratingJob("a", write),
        lambda: ppg.FileGeneratingJob("a", write, empty_ok=True),
        lambda: ppg.MultiFileGeneratingJob(["a", "b"], write, empty_ok={"a": True}),
        lambda: ppg.TempFileGeneratingJob("a", write),
        lambda: ppg.DataLoadingJob("a", list),
        lambda: ppg.AttributeLoadingJob("a", list, "b", list),
        lambda: ppg.JobGeneratingJob("a", list),
        lambda: ppg.FinalJob("a", list),
        lambda: ppg.CachedDataLoadingJob("a", list, print),
        lambda: ppg.CommandJob("a", ["touch", "a"]),
    ],
)
def test_the_short_spec_of_a_job_leaves_nothing_out(graph, make):
    make()
    for job in graph.jobs.values():
        if job.role is not Role.INVARIANT:
            *_, spec = job.specs()

            assert spec == job._full_spec(spec.inputs, spec.unwatched)
