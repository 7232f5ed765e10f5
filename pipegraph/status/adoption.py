"""Which jobs are adopted: the files that are there are believed, though nobody saw how they were made.

A job's class says so of jobs that were never made; the command line wishes so of one, and the status file remembers.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from ..model import JobId, JobSpec, Reason, ReasonKind
from .store import StatusFile

_NOT_BELIEVED = {ReasonKind.FORCED, ReasonKind.OUTPUT_MISSING, ReasonKind.OUTPUT_EMPTY}
"""Reasons to make a job although it is to be adopted."""


def is_believed(spec: JobSpec, reasons: Iterable[Reason], status: StatusFile) -> bool:
    """Whether a job that has these reasons is adopted: its callback is not called, nor is it recorded as started."""
    if not spec.adopts and not status.has_wishes:
        return False
    kinds = {reason.kind for reason in reasons}
    is_wished = status.is_to_be_adopted(spec.id) and kinds.isdisjoint(_NOT_BELIEVED)
    if not spec.outputs or not (is_wished or (spec.adopts and kinds == {ReasonKind.NEVER_MADE})):
        return False
    return all(_is_there(path, path in spec.empty_ok) for path in spec.outputs)


def end_wish(job: JobId, status: StatusFile) -> None:
    """What is up to date need not be adopted; nor is it to be when it is stale in a later run.

    Raises
    ------
    StatusWriteError
        It could not be recorded.
    """
    trace = status.past(job).trace
    if trace is not None:
        status.note_made(job, trace)


def _is_there(path: str, may_be_empty: bool) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and (may_be_empty or found.st_size > 0)
