"""What a job says of its needs, where it is declared: what is kept of it, and what is refused."""

from __future__ import annotations

import pytest

import pipegraph as ppg
from pipegraph.errors import JobContractError

BAD_NUMBERS = [True, float("nan"), float("inf"), -1, "3"]


def write(output):
    output.write_text("x")


@pytest.fixture
def with_resources(graph):
    graph.resources = {"gpu": 2, "licence": 1}
    return graph


@pytest.fixture
def job(with_resources):
    return ppg.FileGeneratingJob("a", write)


def spec_of(job):
    *_, spec = job.specs()
    return spec


def test_what_a_job_says_stands_in_its_spec_and_each_word_gives_the_job_back(job):
    assert job.use("licence").use("gpu", 2).exclusive().retry(3, 0.5).timeout(7).share_cores() is job

    spec = spec_of(job)
    assert spec.resources == (("gpu", 2), ("licence", 1))
    assert (spec.is_exclusive, spec.retries, spec.retry_seconds, spec.uses_jobserver) == (True, 3, 0.5, True)
    assert job.timeout_seconds == 7


@pytest.mark.parametrize(
    ("say", "field", "value"),
    [
        (lambda job: job.use("gpu"), "resources", (("gpu", 1),)),
        (lambda job: job.exclusive(), "is_exclusive", True),
        (lambda job: job.share_cores(), "uses_jobserver", True),
        (lambda job: job.retry(2), "retries", 2),
    ],
)
def test_each_word_by_itself_makes_the_spec_a_long_one(job, say, field, value):
    say(job)

    assert getattr(spec_of(job), field) == value
    assert spec_of(job) == job._full_spec(spec_of(job).inputs, spec_of(job).unwatched)


def test_what_was_said_can_be_taken_back(job):
    usual = spec_of(job)
    job.use("gpu", 2).use("licence").retry(3, 4).timeout(5)

    job.use("gpu", 0)
    assert spec_of(job).resources == (("licence", 1),)
    job.use("licence", 0).retry(0, 4).timeout(None)
    assert spec_of(job) == usual
    assert type(spec_of(job)) is type(usual)
    assert job.timeout_seconds == 0


@pytest.mark.parametrize(
    "say",
    [
        *[lambda job, bad=bad: job.use("gpu", bad) for bad in [*BAD_NUMBERS, 1.5]],
        *[lambda job, bad=bad: job.retry(bad) for bad in [*BAD_NUMBERS, 1.5]],
        *[lambda job, bad=bad: job.retry(1, bad) for bad in BAD_NUMBERS],
        *[lambda job, bad=bad: job.timeout(bad) for bad in [*BAD_NUMBERS, 0]],
        *[lambda job, bad=bad: job.use_cores(bad) for bad in [0, -7, 1.5, True, "2"]],
        *[lambda job, bad=bad: setattr(job, "memory_needed", bad) for bad in [-2, 1.5, True, None, "lots", ""]],
        *[lambda job, bad=bad: job.use(bad) for bad in ["", "tpu", None, 3, ["gpu"]]],
    ],
)
def test_what_makes_no_sense_is_refused_where_it_stands_and_changes_nothing(job, say):
    usual = spec_of(job)

    with pytest.raises(JobContractError) as raised:
        say(job)

    facts = dict(raised.value.facts)
    assert "given" in facts and facts["job"].startswith("a (")
    assert facts["where"].startswith(__file__)
    assert spec_of(job) == usual and job.timeout_seconds == 0


def test_a_name_that_the_graph_does_not_know_is_refused_with_those_it_knows(job):
    with pytest.raises(JobContractError) as raised:
        job.use("tpu")
    assert dict(raised.value.facts)["known"] == "gpu, licence"
    assert "new_pipegraph(resources=" in str(raised.value)

    job.graph.resources = {}
    with pytest.raises(JobContractError, match="none"):
        job.use("gpu")


@pytest.mark.parametrize("word", ["use", "exclusive", "retry", "timeout", "share_cores"])
def test_invariants_never_run_and_need_nothing(with_resources, word):
    arguments = {"use": ("gpu",), "retry": (1,), "timeout": (1,)}.get(word, ())
    invariant = ppg.ParameterInvariant("a", 1)

    with pytest.raises(JobContractError, match=rf"{word}\(\)") as raised:
        getattr(invariant, word)(*arguments)
    assert "Say it of the job" in raised.value.mend


@pytest.mark.parametrize(
    ("given", "found"), [("16GB", 16 * 10**9), ("1 GiB", 1 << 30), (5, 5), (0, 0), (-1, -1), ("7", 7)]
)
def test_memory_may_be_given_as_a_text(job, given, found):
    job.memory_needed = given

    assert job.memory_needed == spec_of(job).memory_bytes == found


def test_a_mend_of_memory_shows_how_it_is_written(job):
    with pytest.raises(JobContractError, match="16GB"):
        job.memory_needed = "lots"


@pytest.mark.parametrize("given", [["gpu"], {"gpu": -1}, {"gpu": True}, {"gpu": 1.5}, {"": 1}, {3: 1}, "gpu"])
def test_resources_of_a_graph_are_names_and_whole_numbers(graph, given):
    with pytest.raises(JobContractError, match="resources must be") as raised:
        ppg.new_pipegraph(quiet=True, resources=given)
    assert dict(raised.value.facts)["where"].startswith(__file__)


def test_the_graph_keeps_a_copy_of_its_resources(graph):
    given = {"gpu": 2}
    new = ppg.new_pipegraph(quiet=True, resources=given)
    given["tpu"] = 1

    assert new.resources == {"gpu": 2}


def test_what_is_said_of_a_cached_job_is_said_of_its_calculation(with_resources):
    job = ppg.CachedDataLoadingJob("cache", lambda: 1, print)
    job.use("gpu").exclusive().retry(2).timeout(3).share_cores().use_cores(4).memory_needed = "1kB"

    spec = spec_of(job.lfg)
    assert (spec.resources, spec.is_exclusive, spec.retries, spec.uses_jobserver) == ((("gpu", 1),), True, 2, True)
    assert (spec.cores, spec.memory_bytes, job.lfg.timeout_seconds) == (4, 1000, 3)
    assert (job.cores_needed, job.memory_needed) == (4, 1000)
    assert (spec_of(job).cores, spec_of(job).retries, spec_of(job).resources, job.timeout_seconds) == (1, 0, (), 0)
    assert not spec_of(job).uses_jobserver


@pytest.mark.parametrize(
    "say",
    [
        lambda job: job.use("gpu"),
        lambda job: job.exclusive(),
        lambda job: job.share_cores(),
        lambda job: job.retry(1),
        lambda job: job.timeout(1),
        lambda job: job.use_cores(2),
    ],
)
def test_who_says_more_than_usual_has_a_process_of_its_own(job, say):
    job.isolation = "shared"
    assert spec_of(job).shares_process

    say(job)
    assert not spec_of(job).shares_process


def test_subclasses_of_old_scripts_may_have_attributes_of_these_names(graph):
    class Old(ppg.FileGeneratingJob):
        def __init__(self, name, timeout):
            self.timeout = timeout
            self.retry = self.use = self.exclusive = self.share_cores = None
            super().__init__(name, write)

    class OldCommand(ppg.CommandJob):
        def __init__(self, name):
            self.timeout = "mine"
            super().__init__(name, ["touch", name], timeout=3)

    old, command = Old("a", 3), OldCommand("b")

    assert old.timeout == 3 and spec_of(old).retries == 0 and old.timeout_seconds == 0
    assert command.timeout == "mine" and command.timeout_seconds == 3


@pytest.mark.parametrize("bad", [0, -1, True, float("nan"), float("inf")])
def test_the_timeout_of_a_command_is_checked_as_that_of_any_job(graph, bad):
    with pytest.raises(JobContractError, match="above 0"):
        ppg.CommandJob("a", ["touch", "a"], timeout=bad)
