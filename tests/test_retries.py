"""Who is put off, until when, and how often jobs are tried: without a run."""

from __future__ import annotations

import pytest

from pipegraph.model import Failure, FailureKind, JobSpec, Place, Role
from pipegraph.retries import Attempts, Delays

FAILURE = Failure(FailureKind.RAISED, "builtins.ValueError", "boom\nmore")


def spec(retries):
    return JobSpec("a", Role.OUTPUT, "FileGeneratingJob", Place("s.py", 1), retries=retries)


def test_jobs_are_due_in_the_order_of_their_times_and_once():
    delays = Delays()
    for job, until in (("late", 9.0), ("soon", 2.0), ("sooner", 1.0)):
        delays.put_off(job, until)

    assert delays.next_due() == 1.0 and "soon" in delays
    assert delays.due(0.5) == []
    assert delays.due(2.0) == ["sooner", "soon"]
    assert delays.due(2.0) == [] and "soon" not in delays
    assert delays.next_due() == 9.0


def test_who_is_put_off_again_is_due_at_the_later_word():
    delays = Delays()
    delays.put_off("a", 1.0)
    delays.put_off("a", 3.0)

    assert delays.due(2.0) == []
    assert delays.due(3.0) == ["a"]
    assert delays.next_due() is None


def test_who_is_dropped_is_not_due():
    delays = Delays()
    for job in "abc":
        delays.put_off(job, 1.0)
    delays.drop("b")
    delays.drop("nobody")

    assert delays.drop_all() == ["a", "c"]
    assert delays.due(5.0) == [] and delays.next_due() is None


def test_a_job_is_tried_as_often_as_it_says_and_once_more():
    attempts = Attempts()
    went_on = []
    for _ in range(3):
        attempts.note_failed("a")
        went_on.append(attempts.may_go_on(spec(2), FAILURE))

    assert went_on == [True, True, False]


def test_the_last_failure_says_how_often_it_was_tried():
    attempts = Attempts()
    attempts.note_failed("a")
    assert attempts.told("a", FAILURE) is FAILURE

    attempts.note_failed("a")
    assert attempts.told("a", FAILURE).message == "boom (tried 2 times)\nmore"
    assert attempts.told("a", FAILURE._replace(message="")).message == "(tried 2 times)"


@pytest.mark.parametrize("kind", list(FailureKind))
def test_what_another_attempt_would_not_change_is_not_tried_again(kind):
    attempts = Attempts()
    attempts.note_failed("a")
    again = {FailureKind.RAISED, FailureKind.DIED, FailureKind.BROKE_CONTRACT}

    assert attempts.may_go_on(spec(1), FAILURE._replace(kind=kind)) is (kind in again)
