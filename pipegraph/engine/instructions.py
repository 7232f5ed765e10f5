"""What the engine wants done. Decisions that need no deed come as events in the same list."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from ..events import JobBlocked, JobFailed, JobNotNeeded, JobUpToDate, Warned
from ..model import JobId, Reason


class StartJob(NamedTuple):
    """Run this job as soon as there are resources for it; all that it needs is there."""

    job: JobId
    reasons: tuple[Reason, ...]


class WithdrawJob(NamedTuple):
    """Do not start this job, which was asked for and has not started yet."""

    job: JobId


class DropProduct(NamedTuple):
    """Remove the files, or the loaded data, of an ephemeral job."""

    job: JobId


class EndRun(NamedTuple):
    """Nothing is left to do."""


Instruction: TypeAlias = (
    StartJob | WithdrawJob | DropProduct | EndRun | JobUpToDate | JobNotNeeded | JobBlocked | JobFailed | Warned
)
