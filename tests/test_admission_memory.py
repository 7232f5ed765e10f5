"""What a job gets that was ended or killed for want of memory, when it is made again; on a machine that is made up."""

import pytest
from memories import MB, Machine

from pipegraph.admission import Admission
from pipegraph.admission.pressure import Pressure
from pipegraph.coordinator import Coordinator
from pipegraph.coordinator.forecasts import Forecasts
from pipegraph.estimates import Estimates
from pipegraph.machine.jobserver import Lending
from pipegraph.model import Failure, FailureKind, JobSpec, Place, Role, Sighting

TOTAL = 1000 * MB


@pytest.fixture
def machine():
    return Machine(TOTAL, waits=None)


@pytest.fixture
def admission(machine, tmp_path):
    forecasts = Forecasts(Estimates(), lambda name: None, TOTAL)
    lending = Lending(str(tmp_path), 3)
    made = Admission(Coordinator(4, TOTAL), forecasts, Pressure(machine, TOTAL), lending, lambda guess: {})
    yield made
    made.close()


def job(name, megabytes=-1):
    return JobSpec(name, Role.OUTPUT, "FileGeneratingJob", Place("s.py", 1), memory_bytes=max(-1, megabytes * MB))


def starts(admission, now):
    found = []
    while (spec := admission.next_start(now)) is not None:
        found.append(spec.id)
    return found


def end_for_memory(admission, spec, megabytes):
    admission.see([Sighting(spec.id, 1, 0.0, 1, megabytes * MB, "")])
    seen = admission.raise_memory(spec.id)
    admission.end(spec.id)
    return seen


def test_a_job_that_was_ended_waits_for_half_as_much_again_as_it_had(admission):
    old, young = job("old", 600), job("young")
    for spec in old, young:
        admission.submit(spec)
    assert starts(admission, 0.0) == ["old", "young"]

    assert end_for_memory(admission, young, 300) == 300 * MB
    admission.submit(young)
    assert starts(admission, 1.0) == []
    admission.end("old")
    assert starts(admission, 2.0) == ["young"]


def test_also_where_it_declares_less_but_not_where_it_declares_more(admission):
    old, liar, honest = job("old", 600), job("liar", 20), job("honest", 350)
    for spec in old, liar:
        admission.submit(spec)
    assert starts(admission, 0.0) == ["old", "liar"]

    end_for_memory(admission, liar, 300)
    admission.submit(liar)
    assert starts(admission, 1.0) == []
    admission.withdraw("liar")
    admission.submit(honest)
    assert starts(admission, 2.0) == ["honest"]
    end_for_memory(admission, honest, 100)
    admission.submit(honest)
    assert starts(admission, 3.0) == ["honest"]


def test_a_job_that_declares_less_and_takes_more_than_there_is_starts_when_nothing_else_runs(admission):
    old, liar = job("old", 600), job("liar", 20)
    for spec in old, liar:
        admission.submit(spec)
    starts(admission, 0.0)
    end_for_memory(admission, liar, 900)
    admission.submit(liar)
    assert starts(admission, 1.0) == []

    admission.end("old")
    assert starts(admission, 2.0) == ["liar"]


def test_each_time_it_gets_more_so_that_nobody_is_ended_for_ever(admission):
    old, young = job("old", 200), job("young")
    admission.submit(old)
    assert starts(admission, 0.0) == ["old"]
    times = 0
    while True:
        admission.submit(young)
        if not starts(admission, 1.0 + times):
            break
        end_for_memory(admission, young, 100)
        times += 1

    assert 3 <= times <= 7  # 150, 225, 337 … of the 800 that the other one leaves


def test_one_of_which_nothing_was_seen_gets_no_less_than_before(admission):
    young = job("young", 300)
    admission.submit(young)
    starts(admission, 0.0)

    assert end_for_memory(admission, young, 0) == 0
    admission.submit(young)
    assert starts(admission, 1.0) == ["young"]


def test_a_job_that_was_killed_is_alone_when_it_is_made_again_once(admission):
    old, young = job("old", 100), job("young", 100)
    for spec in old, young:
        admission.submit(spec)
    starts(admission, 0.0)
    assert not admission.runs_alone("young")
    assert admission.have_alone("young")
    admission.end("young")

    admission.submit(young)
    assert starts(admission, 1.0) == []
    admission.end("old")
    admission.submit(old)
    assert starts(admission, 2.0) == ["young"]
    assert admission.runs_alone("young")
    assert not admission.have_alone("young")


@pytest.mark.parametrize(
    ("code", "killed", "expected"),
    [(-9, 1, True), (137, 1, True), (-9, 0, False), (1, 1, False), (None, 1, False), (-15, 1, False)],
)
def test_a_kill_for_memory_is_one_that_the_kernel_counted(admission, machine, code, killed, expected):
    machine.killed = killed
    failure = Failure(FailureKind.DIED, "X", "", exit_code=code)

    assert admission.was_killed(failure) is expected
    assert not admission.was_killed(failure)
