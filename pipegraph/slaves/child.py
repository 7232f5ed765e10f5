"""What happens in a job's own process: old outputs away, callback, contract, fingerprints, one report.

Runs between fork and `_exit`; returns to its caller only in the fork of a job that changes the slave and succeeded.
Every page of memory that is touched here has to be copied, in every job: so the common path is one function that
makes few objects, and what is rarely needed is imported late.
"""

from __future__ import annotations

import marshal
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..invariants import files
from ..model import (
    MEASURED_FROM_SECONDS,
    NO_GROWTH,
    NOTHING_OPENED,
    Failure,
    FailureKind,
    FileRecord,
    Growth,
    Opened,
    Usage,
)
from ..programs import line_of
from .messages import End, Gone, send
from .opened import Openings, opened_by_command
from .protocol import Order, Runnable, Workload
from .taken import NOTHING_TAKEN, taken_by_self

if TYPE_CHECKING:
    from ..results.claim import Claim
    from .strict import Confinement

_SIZE = FileRecord._fields.index("size")
_TICK_SECONDS = 0.01
"""The time that children took is counted in these (times(2)): a shorter job has none to tell of."""

FAILED = 93
"""Exit status of a job that reported how it failed. One that reported success leaves with 0."""


class Report(NamedTuple):
    """How a job ended, by its own word."""

    failure: Failure | None
    outputs: tuple[FileRecord, ...]
    usage: Usage
    growth: Growth = NO_GROWTH
    opened: Opened = NOTHING_OPENED
    brought_back: str = ""
    remarks: tuple[tuple[str, str], ...] = ()


Used = tuple[float, float, float, int, int, int]
"""As `Usage`, made of less."""

_Kept = tuple[str, list[tuple[str, str]]]
NOT_KEPT: _Kept = ("", [])
Told = tuple[Failure | None, list[FileRecord], Used, Growth, Opened, _Kept]
"""A report, made of less."""


def packed(told: Told) -> tuple[Any, ...]:
    """As plain values."""
    failure, outputs, usage, growth, opened, kept = told
    if failure is None and growth is NO_GROWTH:
        files = []  # not by a comprehension, which is a function that is made and called
        for path, _, content, size, mtime_ns, inode, is_racy in outputs:
            files.append((path, content, size, mtime_ns, inode, is_racy))
        if kept is not NOT_KEPT:
            return usage, files, tuple(opened), kept
        return (usage, files) if opened is NOTHING_OPENED else (usage, files, tuple(opened))
    import pickle

    return (pickle.dumps(told, 5),)


def unpacked(parts: tuple[Any, ...]) -> Report:
    """What was `packed`."""
    if len(parts) == 1:
        import pickle

        failure, outputs, usage, growth, opened, _ = pickle.loads(parts[0])
        return Report(failure, tuple(outputs), Usage._make(usage), growth, opened)
    # What a job made counts by its content.
    outputs = tuple([FileRecord(path, content, content, *rest) for path, content, *rest in parts[1]])
    opened = Opened._make(parts[2]) if len(parts) > 2 and any(parts[2]) else NOTHING_OPENED
    brought_back, remarks = parts[3] if len(parts) > 3 else NOT_KEPT
    return Report(None, outputs, Usage._make(parts[0]), NO_GROWTH, opened, brought_back, tuple(remarks))


class ReportChannel:
    """The way from a job's process to the master, which the job may have closed, or have used up the number of.

    Jobs wait here when the master is behind; slaves never do.
    """

    def __init__(self, end: End, folder: str) -> None:
        self._end = end
        self._descriptor = end.fileno()
        self._folder = folder
        self._identity = os.fstat(self._descriptor)[1:3]  # inode and device; of names, more would be touched

    def send(self, token: int, told: Told) -> None:
        """Once, from the job's process."""
        message = (token, *packed(told))
        try:
            if self.is_there():
                self.pass_on(message)
                return
        except (OSError, Gone):
            pass
        path = os.path.join(self._folder, str(token))
        with open(path + ".part", "wb") as out:
            marshal.dump(message, out)
        os.rename(path + ".part", path)

    def is_there(self) -> bool:
        """It was not closed."""
        try:
            status = os.fstat(self._descriptor)
        except OSError:
            return False
        return status[1:3] == self._identity

    def pass_on(self, message: tuple[Any, ...]) -> None:
        """Send what is made up already.

        Raises
        ------
        Gone, OSError
            The master has ended; there are no descriptors left for what is large.
        """
        send(self._end, message)


def found_as_file(folder: str, token: int) -> Report | None:
    """A report that came by the other way."""
    path = os.path.join(folder, str(token))
    try:
        with open(path, "rb") as source:
            message = marshal.load(source)
        os.unlink(path)
    except FileNotFoundError:
        return None
    return unpacked(message[1:])


def run_job(
    workload: Workload,
    job: Runnable,
    directory: str,
    inherited_bytes: int,
    order: Order,
    openings: Openings,
    confine: Callable[[Runnable, Order], Confinement] | None = None,
    traffic_before: bytes = b"",
) -> Told:
    """Call a job, and see what it left; or only see what is there already, where that is adopted.

    Parameters
    ----------
    inherited_bytes
        Memory of the slave.
    confine
        From its call on, this process may write into the folders of the job's outputs, and few more, only.
    traffic_before
        What others have read and written in this process, as `traffic.text_of` gives it.
    """
    pid = os.getpid()
    job_id, _, is_adopted, _, _, _, address, _, _ = order
    growth = NO_GROWTH
    opened = NOTHING_OPENED
    kept = NOT_KEPT
    confinement: Confinement | None = None
    failure: Failure | None = None
    claim: Claim | None = None
    started_at = time.time()
    began = time.perf_counter()
    records: list[FileRecord] = []
    outputs = job.outputs
    is_generator = job.is_generator
    try:
        if not is_adopted:
            make_room(job)
        if is_generator:
            workload.begin_growth(job_id)
        if address is not None:
            from ..results.claim import Claim

            claim = Claim(address, job, directory, workload.maker)
            is_adopted = claim.bring()
            if not is_adopted:  # it may have waited
                started_at, began = time.time(), time.perf_counter()
        try:
            if not is_adopted:
                if confine is not None:
                    confinement = confine(job, order)
                openings.job = job
                openings.outputs = outputs if len(outputs) < 8 else frozenset(outputs)
                openings.has_forked = False
                openings.is_on = True
                job.run()
        except SystemExit as error:
            if error.code not in (None, 0):
                raise
        openings.is_on = False
        if is_generator:
            growth = workload.end_growth()
    except BaseException as error:
        openings.is_on = False
        failure = _failure(error if confinement is None else confinement.explained(error))
    if os.getpid() != pid:
        os._exit(0)  # a fork of the job's own, that came back here
    if confinement is not None:
        confinement.end()
    seconds = time.perf_counter() - began
    try:
        sys.stdout.flush()
    except Exception:
        pass
    try:
        sys.stderr.flush()
    except Exception:
        pass
    try:
        os.chdir(directory)
        if openings.is_any:
            opened = openings.found()
        if job.is_program:
            opened = opened_by_command(job, opened, started_at, failure is not None)
        if failure is None:
            records, failure = measured(job, files.read if claim is None else claim.read)
        if claim is not None and failure is None:
            claim.keep(records, opened, started_at, seconds)
    except BaseException as error:
        failure = broken_contract(job) if failure is None else failure
        failure = failure or _failure(error)
    if failure is not None:
        put_away(outputs, job.rename_broken)
    taken = NOTHING_TAKEN
    cpu_seconds = time.process_time()
    if seconds >= _TICK_SECONDS:
        times = os.times()
        cpu_seconds += times.children_user + times.children_system
        if seconds >= MEASURED_FROM_SECONDS:
            taken = taken_by_self(seconds, inherited_bytes, openings.has_forked, traffic_before)
    if claim is not None:
        claim.release()
        kept = claim.brought_back, claim.remarks
    return failure, records, (started_at, seconds, cpu_seconds, *taken), growth, opened, kept


def make_room(job: Runnable) -> None:
    """Old outputs away, folders for new ones there.

    Raises
    ------
    JobContractError, OSError
        An old output is a directory, or can't be removed.
    """
    for path in job.outputs:
        # Asked first, since an exception for each new file would cost more.
        if os.access(path, os.F_OK, follow_symlinks=False):
            _remove(path, job)
        else:
            folder = path.rpartition("/")[0]
            if folder and not os.access(folder, os.F_OK):
                os.makedirs(folder, exist_ok=True)


def measured(
    job: Runnable, read: Callable[[str, bool], FileRecord] = files.read
) -> tuple[list[FileRecord], Failure | None]:
    """The outputs as they are, and what is wrong with them.

    Raises
    ------
    OSError
        One can't be read.
    """
    records = []
    failure = None
    for path in job.outputs:
        record = read(path, True)
        records.append(record)
        if not record[_SIZE] and path not in job.empty_ok:
            failure = broken_contract(job)
    return records, failure


def _remove(path: str, job: Runnable) -> None:
    try:
        os.unlink(path)
    except IsADirectoryError:
        from ..errors import JobContractError

        raise JobContractError(
            "an output is a directory",
            [("output", path), ("job", f"{job.job_id} ({job.place})")],
            "Remove the directory, or give the job another file name.",
        ) from None


def _failure(error: BaseException, kind: FailureKind = FailureKind.RAISED) -> Failure:
    from .failures import failure_from

    return failure_from(error, kind)


def broken_contract(job: Runnable) -> Failure | None:
    """What is wrong with the outputs; None if it is nothing that the job promised."""
    from ..errors import JobContractError

    missing = []
    empty = []
    for path in job.outputs:
        if os.path.isdir(path):
            error = JobContractError(
                "a job made a directory instead of a file",
                [("output", path), ("job", f"{job.job_id} ({job.place})")],
                "An output is one file. Let the job write a file when the directory is complete.",
            )
            return _failure(error, FailureKind.BROKE_CONTRACT)
        if not os.path.exists(path):
            missing.append(path)
        elif not os.path.getsize(path) and path not in job.empty_ok:
            empty.append(path)
    if not missing and not empty:
        return None
    error = JobContractError(
        "a job did not make its files" if missing else "a job left an empty file",
        [("job", f"{job.job_id} ({job.place})")]
        + ([("command", line_of(job))] if job.is_program else [])
        + [("missing", path) for path in missing]
        + [("empty", path) for path in empty],
        "Write to the path that was promised." if missing else "If an empty file is right, pass empty_ok=True.",
    )
    return _failure(error, FailureKind.BROKE_CONTRACT)


def put_away(outputs: tuple[str, ...], rename_broken: bool) -> None:
    """Nothing that a failed job left may be taken for made."""
    for path in outputs:
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                continue
            if rename_broken:
                try:
                    os.rename(path, path + ".broken")
                    continue
                except OSError:
                    pass  # the longer name is too long, or that of a folder
            os.unlink(path)
        except OSError:
            pass
