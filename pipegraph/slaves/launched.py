"""Jobs that are an external program: begun from the slave itself, and what is to be reported when the program ended.

What takes long is done by a fork of the slave: reading large outputs, and whatever needs Python.
"""

from __future__ import annotations

import os
import time

from ..errors import JobDiedException
from ..model import NO_GROWTH, NOTHING_OPENED, Failure, FailureKind, FileRecord, Opened
from ..programs import Launch, exit_code_of, failure_of, not_started, start
from .capture import Slot
from .child import NOT_KEPT, Told, Used, broken_contract, make_room, measured, put_away
from .deaths import is_lack
from .opened import opened_by_command
from .protocol import Runnable

READ_AT_ONCE_BYTES = 1 << 20
"""Of all outputs of a job; hashing as much takes less than forking."""


class NotBegun(Exception):
    """The job failed before its program ran."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self.told = told


def begin(job: Runnable, launch: Launch, slot: Slot) -> tuple[int, ...]:
    """Start the program, or all of a pipe; the process ids, the first of which is that of the group.

    No ids: it is to share cores, and can't be started so. Whether the program or the jobserver is the cause, a process
    of Python finds out, which does without the latter and says so.

    Raises
    ------
    NotBegun
        It can't be, or an old output can't be removed.
    OSError
        The system has no room for another process now.
    """
    access = job.granted.access
    try:
        make_room(job)
        if access is not None and not os.access(access[0], os.W_OK):
            return ()
        try:
            return start(launch, slot.stdout, slot.stderr)
        except OSError as error:
            put_away(job.outputs, job.rename_broken)  # they may have been opened
            if is_lack(error):
                raise
            if access is not None:
                return ()
            raise not_started(job, launch, error) from None
    except Exception as error:
        if isinstance(error, OSError) and is_lack(error):
            raise
        failure = _failure(error.with_traceback(None), FailureKind.DIED)
        raise NotBegun(_told(failure, [], (time.time(), 0.0, 0.0, 0, 0, 0))) from None


def told_of_end(
    job: Runnable,
    launch: Launch,
    codes: tuple[int, ...],
    stderr: int,
    used: Used,
    overtime: float,
) -> Told | None:
    """What to report of a program that ended; None if its outputs are so large that a fork has to read them.

    Parameters
    ----------
    codes
        The exit codes of all parts of a pipe.
    overtime
        The seconds that it was given, if it took longer; else 0.
    """
    failure: Failure | None = None
    records: list[FileRecord] = []
    if overtime or exit_code_of(codes) not in launch.exit_codes:
        failure = _failure(failure_of(job, launch, codes, stderr, overtime), FailureKind.DIED)
    else:
        try:
            if sum([os.stat(path).st_size for path in job.outputs]) > READ_AT_ONCE_BYTES:
                return None
            records, failure = measured(job)
        except OSError as error:
            failure = broken_contract(job) or _failure(error, FailureKind.BROKE_CONTRACT)
    if failure is not None:
        put_away(job.outputs, job.rename_broken)
    opened = opened_by_command(job, NOTHING_OPENED, used[0], failure is not None)
    return _told(failure, records, used, opened)


def told_of_overtime(job: Runnable, exit_code: int, started_at: float) -> Told:
    """What to report of a job that was ended since it took longer than it may."""
    error = JobDiedException(
        f"a job took longer than its timeout of {job.timeout_seconds:g} s",
        [("job", f"{job.job_id} ({job.place})")],
        "It was ended. Give it more time, job.timeout(…), or see what it waits for.",
        exit_code,
    )
    put_away(job.outputs, job.rename_broken)
    return _told(_failure(error, FailureKind.DIED), [], (started_at, time.time() - started_at, 0.0, 0, 0, 0))


def _failure(error: BaseException, kind: FailureKind) -> Failure:
    from .failures import failure_from

    return failure_from(error, kind if isinstance(error, JobDiedException) else FailureKind.BROKE_CONTRACT)


def _told(failure: Failure | None, records: list[FileRecord], used: Used, opened: Opened = NOTHING_OPENED) -> Told:
    return failure, records, used, NO_GROWTH, opened, NOT_KEPT
