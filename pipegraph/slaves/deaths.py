"""How the deaths of jobs' processes are put into words."""

from __future__ import annotations

import signal

from ..model import Failure, FailureKind, JobSpec


def not_started(reason: str) -> Failure:
    """There was no process to be had."""
    return Failure(FailureKind.DIED, "builtins.OSError", f"its process could not be started: {reason}")


def death(job: JobSpec, exit_code: int) -> Failure:
    """Its process ended without a report.

    Parameters
    ----------
    exit_code
        Below 0: the negated number of the signal.
    """
    if exit_code < 0:
        try:
            how = f"killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            how = f"killed by signal {-exit_code}"
        mend = (
            "Most often the system ran out of memory. Raise memory_needed, or run fewer at once."
            if exit_code == -signal.SIGKILL
            else "See what it printed last."
        )
    else:
        how = f"exit status {exit_code}, without a report"
        mend = "Something in it called os._exit, or a library did. Return from the callback instead."
    return Failure(
        FailureKind.DIED,
        "pipegraph.errors.JobDiedException",
        f"a job died before it finished\n    job:  {job.id} ({job.place})\n    exit: {how}\n{mend}",
        exit_code=exit_code,
    )
