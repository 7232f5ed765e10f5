"""What the board knows of a run, from its events alone; and how long it thinks that the run will take."""

import json

import pytest
from engine_world import spec_of
from streams import BEGAN_AT, FAILURE, NEVER, board_after, ended, grew, made, many, outputs, seen, started

from pipegraph.estimates import Estimate
from pipegraph.events import (
    GraphGrew,
    JobBlocked,
    JobFailed,
    JobNotNeeded,
    JobsLost,
    JobStopped,
    JobsUpToDate,
    JobUpToDate,
    StopRequested,
)
from pipegraph.model import Counts
from pipegraph.watchers.board import JobState
from pipegraph.watchers.overview import SHOWN_JOBS, Overview


def test_each_job_is_counted_once_where_it_is():
    names = list("abcdefgh")
    board = board_after(
        grew(*outputs(*names), spec_of("i", "invariant")),
        JobUpToDate("a"),
        JobNotNeeded("b"),
        started("c"),
        made("c"),
        started("d"),
        JobFailed("d", FAILURE),
        JobBlocked("e", "d"),
        started("f"),
        JobStopped("f"),
        started("g"),
    )
    view = board.overview(BEGAN_AT + 5)

    assert (view.total, view.settled) == (8, 6)
    assert (view.up_to_date, view.not_needed, view.made, view.failed_jobs, view.blocked, view.stopped) == (1,) * 6
    assert (view.running_jobs, view.waiting) == (1, 1)
    assert [job.job for job in view.running] == ["g"]
    assert view.failed[0][:4] == ("d", "analysis.py:13", "ValueError: no", 1)


@pytest.mark.parametrize("is_looked_at", [False, True])
def test_many_that_are_up_to_date_count_as_each_alone(is_looked_at):
    names = list("abcd")
    seconds = {"a": 3.0, "d": 5.0}
    together, alone = (board_after(grew(*outputs(*names), seconds=seconds)) for _ in range(2))
    if is_looked_at:  # from then on, it is kept what is left
        together.overview(BEGAN_AT), alone.overview(BEGAN_AT)

    together.see(JobsUpToDate(("a", "b")))
    together.see(JobsUpToDate(("unknown", "c")))
    together.see(JobsUpToDate(("c",)))
    for name in ("a", "b", "unknown", "c", "c"):
        alone.see(JobUpToDate(name))

    assert together.overview(BEGAN_AT + 5) == alone.overview(BEGAN_AT + 5)
    assert together.overview(BEGAN_AT + 5).up_to_date == 3
    assert together.overview(BEGAN_AT + 5).estimate == Estimate(5.0, 1, 0)
    assert list(together.jobs_in(JobState.WAITING)) == ["d"]


def test_an_invariant_that_can_not_be_measured_is_a_failure_like_others():
    board = board_after(grew(spec_of("i", "invariant"), *outputs("a")), JobFailed("i", FAILURE), JobBlocked("a", "i"))
    view = board.overview(BEGAN_AT)

    assert (view.total, view.settled, view.failed_jobs, view.blocked) == (2, 2, 1, 1)


def test_what_a_slave_took_with_it_waits_again():
    board = board_after(
        grew(spec_of("load", "load"), *outputs("a")),
        started("load"),
        made("load"),
        started("a"),
        JobsLost(("a",), ("load",)),
    )

    assert board.waiting == 2
    assert not board.running_jobs
    board.see(started("load"))
    board.see(made("load"))
    assert board.overview(BEGAN_AT).made == 1


def test_jobs_that_generators_add_are_counted_and_none_twice():
    board = board_after(grew(*outputs("a")), grew(*outputs("a", "b")))

    assert (board.total, board.waiting) == (2, 2)


def test_generators_are_counted_apart_from_what_was_made_also_when_one_has_to_run_again():
    board = board_after(
        grew(spec_of("g", "generator"), *outputs("a")), started("g"), made("g"), started("a"), made("a")
    )
    view = board.overview(BEGAN_AT)

    assert (view.made, view.generators, view.settled) == (1, 1, 2)
    assert board.counts() == Counts(made=1, generators=1)
    board.see(JobsLost((), ("g",)))
    assert (board.overview(BEGAN_AT).generators, board.waiting) == (0, 1)
    board.see(started("g"))
    board.see(made("g"))
    assert board.overview(BEGAN_AT).generators == 1


def test_a_job_that_is_stopped_before_it_begins_waits():
    board = board_after(grew(*outputs("a", "b")), started("a"), started("b"))
    board.see(JobStopped("a", has_begun=False))
    board.see(JobStopped("b"))

    assert (board.state_of("a"), board.state_of("b")) == (JobState.WAITING, JobState.STOPPED)
    assert (board.waiting, board.counts().stopped) == (1, 1)


def test_a_job_handed_ahead_is_not_running_before_a_core_is_free_for_it():
    board = board_after(grew(*outputs("a", "b", "c")), started("a"), started("b"), started("c"))

    assert [job.job for job in board.running()] == ["a", "b"]
    assert board.overview(BEGAN_AT).waiting == 1
    board.see(made("a"))
    assert [job.job for job in board.running()] == ["b", "c"]


def test_jobs_of_several_cores_leave_fewer_for_those_handed_ahead():
    board = board_after(grew(*outputs("a", "b", "c")), started("a", cores=2), started("b"), started("c"))
    board.cores = 3

    assert [job.job for job in board.running()] == ["a", "b"]


def test_a_job_that_takes_more_cores_than_are_left_is_shown_all_the_same():
    board = board_after(grew(*outputs("a", cores=2)), started("a", cores=2))
    board.cores = 1

    assert [job.job for job in board.running()] == ["a"]


def test_what_a_job_waits_for_are_inputs_of_which_something_is_to_come():
    specs = [
        spec_of("i", "invariant"),
        spec_of("done", "output"),
        spec_of("many", "output", outputs=("x", "y")),
        spec_of("late", "output"),
        spec_of("j", "output", ("i", "done", "x", "y", "late")),
    ]
    board = board_after(grew(*specs), JobUpToDate("done"))

    assert board.waits_for("j") == ["many", "late"]
    assert board.waits_for("late") == []
    board.see(GraphGrew((), (("late", "many"),), "g", {}, {}, {}, {}))
    assert board.waits_for("late") == ["many"]


def test_those_failures_come_first_that_block_most():
    names = ["a", "b", "c"]
    failed = [JobFailed(name, FAILURE) for name in names]
    board = board_after(grew(*outputs(*names, "x", "y", "z")), *failed, JobBlocked("x", "c"), JobBlocked("y", "b"))
    board.see(JobBlocked("z", "c"))

    assert [(job.job, job.blocked) for job in board.failures()] == [("c", 2), ("b", 1), ("a", 0)]
    assert [job.job for job in board.failures(1)] == ["c"]


def test_why_and_state_can_be_asked():
    board = board_after(grew(*outputs("a", "b")), started("a"), JobFailed("a", FAILURE), JobBlocked("b", "a"))

    assert board.reasons_of["a"] == NEVER
    assert board.culprit_of["b"] == "a"
    assert (board.state_of("a"), board.state_of("b"), board.state_of("?")) == (JobState.FAILED, JobState.BLOCKED, None)
    assert list(board.jobs_in(JobState.BLOCKED)) == ["b"]
    board.see(started("b"))
    assert list(board.jobs_in(JobState.RUNNING)) == ["b"]


def test_a_sighting_is_kept_while_its_job_runs():
    board = board_after(grew(*outputs("a")), started("a", 5.0), seen("a", after=7.0, line="hello"))
    job = board.running()[0]

    assert (job.pid, job.started_at, job.own_bytes, job.last_line) == (5000, BEGAN_AT + 7, 1_200_000_000, "hello")
    board.see(made("a"))
    board.see(started("a"))
    assert board.running()[0].pid == 0


def test_what_was_seen_of_a_job_that_had_ended_is_not_told_of_its_next_start():
    board = board_after(grew(*outputs("a")), started("a"), JobsLost(("a",), ()), seen("a"), started("a"))

    assert board.running()[0].pid == 0


def test_the_end_is_told():
    board = board_after(grew(*outputs("a")), started("a"), StopRequested(2, False), JobStopped("a"))
    board.see(ended(9.0, Counts(stopped=1), 2))
    view = board.overview(BEGAN_AT + 100)

    assert (view.ended_at, view.at, view.stopped_by, view.is_stopping) == (BEGAN_AT + 9, BEGAN_AT + 9, 2, True)
    assert (view.running, view.estimate) == ((), None)


@pytest.mark.parametrize("jobs", [0, 10, 1000])
def test_an_overview_comes_back_from_a_file_as_it_was(jobs):
    view = board_after(*(many(jobs, min(jobs, 3), jobs // 100) if jobs else [])).overview(BEGAN_AT + 60)

    assert Overview.from_json(view.to_json()) == view


def test_what_a_newer_version_says_besides_is_passed_over():
    view = board_after(grew(*outputs("a"))).overview(BEGAN_AT)
    text = json.dumps({**json.loads(view.to_json()), "weather": "fine"})

    assert Overview.from_json(text) == view


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"running": 1}', '{"running": [{"x": 1}]}', "\x00"])
def test_a_file_that_is_no_overview_is_refused(text):
    with pytest.raises(ValueError):
        Overview.from_json(text)


def test_an_overview_stays_small_however_much_runs_and_fails():
    names = [f"j{number}" for number in range(3 * SHOWN_JOBS)]
    board = board_after(grew(*outputs(*names)), *(JobFailed(name, FAILURE) for name in names[SHOWN_JOBS * 2 :]))
    board.cores = 1000
    for name in names[: 2 * SHOWN_JOBS]:
        board.see(started(name))
    view = board.overview(BEGAN_AT)

    assert len(view.running) == len(view.failed) == SHOWN_JOBS
    assert (view.running_jobs, view.failed_jobs) == (2 * SHOWN_JOBS, SHOWN_JOBS)


# --- how long it will take


def left(board, after=0.0):
    return board.overview(BEGAN_AT + after).estimate


def test_recorded_times_are_what_is_left_over_all_cores():
    board = board_after(grew(*outputs("a", "b", "c", "d"), seconds=dict.fromkeys("abcd", 100.0)))

    assert left(board) == Estimate(200.0, 4, 0)
    board.see(JobUpToDate("a"))
    board.see(started("b"))
    assert left(board, after=50.0) == Estimate(125.0, 3, 0)


def test_a_job_that_overruns_its_time_counts_as_nearly_done_and_no_less():
    board = board_after(grew(*outputs("a"), seconds={"a": 10.0}), started("a"))

    assert left(board, after=1000.0) == Estimate(0.0, 1, 0)


def test_the_longest_job_is_not_divided_among_cores():
    board = board_after(grew(*outputs("a", "b"), seconds={"a": 100.0, "b": 2.0}), started("a"))

    assert left(board).seconds == 100.0


def test_cores_that_jobs_take_count():
    board = board_after(grew(*outputs("a", "b", cores=2), seconds={"a": 10.0, "b": 10.0}))

    assert left(board).seconds == 20.0


def test_cores_that_a_job_took_count_no_more_when_it_is_settled_and_again_when_it_is_lost():
    board = board_after(grew(*outputs("a", "b", cores=2), seconds={"a": 10.0, "b": 10.0}))
    board.see(started("a", cores=2))
    board.see(made("a", 10.0))

    assert left(board) == Estimate(20.0, 1, 0)
    board.see(JobsLost((), ("a",)))
    assert left(board) == Estimate(20.0, 2, 0)


def test_a_job_that_takes_all_cores_counts_as_such():
    board = board_after(grew(*outputs("a", cores=-1), *outputs("b"), seconds={"a": 10.0, "b": 10.0}))

    assert left(board).seconds == 15.0


def test_what_is_not_known_is_guessed_from_its_like_and_else_from_all():
    specs = [spec_of(name, "output") for name in ("a1", "a2")] + outputs("b")
    board = board_after(grew(*specs, seconds={"a1": 30.0}))

    assert left(board) == Estimate(45.0, 1, 2)
    assert board.overview(BEGAN_AT).estimate.guessed == 2


def test_its_like_goes_before_the_average_of_all():
    alike = [spec_of(name, "output") for name in ("a1", "a2")]
    board = board_after(
        grew(*alike, *outputs("b"), seconds={"a1": 30.0, "b": 90.0}), JobUpToDate("a1"), JobUpToDate("b")
    )

    assert left(board) == Estimate(30.0, 0, 1)


def test_a_running_job_of_which_nothing_is_known_takes_what_others_take():
    board = board_after(grew(*outputs("a", "b"), seconds={"a": 50.0}), JobUpToDate("a"), started("b"))

    assert left(board, after=20.0) == Estimate(30.0, 0, 1)


def test_what_a_job_overruns_its_time_by_is_not_taken_from_others():
    board = board_after(
        grew(*outputs("a", cores=2), *outputs("b"), seconds={"a": 10.0, "b": 40.0}), started("a", cores=2)
    )

    assert left(board, after=5.0) == Estimate(25.0, 2, 0)
    assert left(board, after=1000.0) == Estimate(20.0, 2, 0)


def test_the_run_itself_teaches():
    specs = [spec_of(name, "output") for name in ("a1", "a2", "a3")]
    board = board_after(grew(*specs))

    assert left(board) is None
    board.see(started("a1"))
    board.see(made("a1", 8.0))
    assert left(board) == Estimate(8.0, 0, 2)


def test_what_has_to_be_made_again_is_to_come_again():
    board = board_after(grew(*outputs("a", "b"), seconds={"a": 10.0}), started("a"), made("a", 10.0))

    assert left(board) == Estimate(10.0, 0, 1)
    board.see(JobsLost((), ("a",)))
    assert left(board) == Estimate(10.0, 1, 1)


def test_what_was_guessed_and_has_to_be_made_again_is_known_by_then():
    board = board_after(grew(*outputs("a")), started("a"), made("a", 8.0))

    assert left(board) == Estimate(0.0, 0, 0)
    board.see(JobsLost((), ("a",)))
    assert left(board) == Estimate(8.0, 1, 0)


def test_nothing_is_left_when_all_is_settled():
    board = board_after(grew(*outputs("a"), seconds={"a": 5.0}), JobUpToDate("a"))

    assert left(board) == Estimate(0.0, 0, 0)
