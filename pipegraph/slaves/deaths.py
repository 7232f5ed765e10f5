"""How the deaths of processes, and what kept them from being born, are put into words."""

from __future__ import annotations

import errno
import os
import signal

from ..errors import CommunicationFailure
from ..machine.amounts import size_of
from ..model import Failure, FailureKind, JobSpec

_MENDS = {
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or run fewer jobs at once.",
    errno.ENFILE: "The whole system has too many files open: see what else runs, or run fewer jobs at once.",
    errno.EAGAIN: "Raise the limit of processes (ulimit -u, pids.max of the control group), or run fewer jobs at once.",
    errno.ENOMEM: "The system ran out of memory: raise the limit (ulimit -v), load less, or run fewer jobs at once.",
    errno.ENOSPC: "Make room on the disk of temporary files, or let TMPDIR name a folder on another.",
}


def is_lack(error: OSError) -> bool:
    """The system has no room for another process now."""
    return error.errno in _MENDS


def not_started(number: int | None) -> Failure:
    """There was no process to be had; why, as the number of a system's error."""
    message = f"its process could not be started: {os.strerror(number or 0)}\n{_MENDS.get(number or 0, '')}".rstrip()
    return Failure(FailureKind.DIED, "builtins.OSError", message)


def no_slave(error: OSError) -> CommunicationFailure:
    """The system refused what a slave needs."""
    return CommunicationFailure(
        "a compute slave could not be started",
        [("because", error.strerror)] + ([("file", error.filename)] if error.filename else []),
        f"{_MENDS.get(error.errno or 0, 'See to that.')} Then run again: what was finished is kept.",
    )


def ended_on_request(job: JobSpec) -> Failure:
    """Somebody at the keyboard had it killed."""
    return Failure(
        FailureKind.DIED,
        "pipegraph.errors.JobDiedException",
        f"a job was ended on request\n    job: {job.id} ({job.place})\nThe next run makes it again.",
    )


def out_of_memory(job: JobSpec, seen_bytes: int, there_bytes: int, ran_alone: bool) -> Failure:
    """The kernel killed it, or a program of it."""
    alone = ", also when it ran alone" if ran_alone else ""
    mend = "" if ran_alone else "say how much it needs (memory_needed), "
    return Failure(
        FailureKind.DIED,
        "pipegraph.errors.JobDiedException",
        f"killed by the kernel, since memory ran out{alone}{_had(seen_bytes, there_bytes)}\n"
        f"    job:    {job.id} ({job.place})\n    memory: {size_of(there_bytes)} there are\n"
        f"Have it need less, {mend}or run it where there is more.",
        exit_code=-signal.SIGKILL,
    )


def ended_for_memory(job: JobSpec, seen_bytes: int, there_bytes: int) -> Failure:
    """It was ended so that memory did not run out."""
    return Failure(
        FailureKind.DIED,
        "pipegraph.errors.JobDiedException",
        f"ended before memory ran out{_had(seen_bytes, there_bytes)}\n"
        f"    job:    {job.id} ({job.place})\n    memory: {size_of(there_bytes)} there are\n"
        "It is made again when there is more. Say how much it needs (memory_needed), and it starts only then.",
    )


def _had(seen_bytes: int, there_bytes: int) -> str:
    return f": it had {size_of(seen_bytes)} of {size_of(there_bytes)} when last seen" if seen_bytes else ""


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
