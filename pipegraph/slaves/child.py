"""What happens in a job's own process: old outputs away, callback, contract, fingerprints, one report.

Runs between fork and `_exit`; returns to its caller only in the fork of a job that changes the slave and succeeded.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import time
from typing import Any, NamedTuple

from ..errors import JobContractError, PyPipeGraphError
from ..invariants import files
from ..model import NO_GROWTH, Failure, FailureKind, FileRecord, Growth, Usage
from .failures import failure_from
from .messages import Gone, send
from .protocol import Runnable, Workload

_PEAK_FROM_SECONDS = 1.0
"""Memory is measured of jobs that ran as long; it takes up to 20 ms (proc(5), smaps_rollup)."""


class Report(NamedTuple):
    """How a job ended, by its own word."""

    failure: Failure | None
    outputs: tuple[FileRecord, ...]
    usage: Usage
    growth: Growth = NO_GROWTH


def packed(report: Report) -> tuple[object, ...]:
    """As plain tuples and numbers: a pickle of those touches little memory that would have to be copied."""
    if report.failure is None and report.growth is NO_GROWTH:
        return (*report.usage, [tuple(record) for record in report.outputs])
    return (report,)


def unpacked(parts: tuple[Any, ...]) -> Report:
    """What was `packed`."""
    if len(parts) == 1:
        whole: Report = parts[0]
        return whole
    return Report(None, tuple(FileRecord(*record) for record in parts[-1]), Usage(*parts[:-1]))


class ReportChannel:
    """The way from a job's process to its slave, which the job may have closed, or have used up the number of."""

    def __init__(self, end: socket.socket, folder: str) -> None:
        self._end = end
        self._folder = folder
        status = os.fstat(end.fileno())
        self._identity = status.st_dev, status.st_ino

    def send(self, token: int, report: Report) -> None:
        """Once, from the job's process."""
        try:
            status = os.fstat(self._end.fileno())
            if (status.st_dev, status.st_ino) == self._identity:
                send(self._end, (token, *packed(report)))
                return
        except (OSError, Gone):
            pass
        path = os.path.join(self._folder, str(token))
        with open(path + ".part", "wb") as out:
            pickle.dump(report, out)
        os.rename(path + ".part", path)

    def found_as_file(self, token: int) -> Report | None:
        """What came by the other way."""
        path = os.path.join(self._folder, str(token))
        try:
            with open(path, "rb") as source:
                report: Report = pickle.load(source)
            os.unlink(path)
        except FileNotFoundError:
            return None
        return report


def run_job(workload: Workload, job: Runnable, directory: str) -> Report:
    """Call a job, and see what it left."""
    pid = os.getpid()
    growth = NO_GROWTH
    failure: Failure | None = None
    started_at = time.time()
    began = time.perf_counter()
    outputs: tuple[FileRecord, ...] = ()
    try:
        _clear_outputs(job)
        if job.is_generator:
            workload.begin_growth(job.job_id)
        try:
            job.run()
        except SystemExit as error:
            if error.code not in (None, 0):
                raise
        if job.is_generator:
            growth = workload.end_growth()
    except BaseException as error:
        failure = failure_from(error)
    if os.getpid() != pid:
        os._exit(0)  # a fork of the job's own, that came back here
    seconds = time.perf_counter() - began
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    try:
        os.chdir(directory)
        if failure is None and job.outputs:
            outputs = _check_outputs(job)
    except PyPipeGraphError as error:
        failure = failure_from(error, FailureKind.BROKE_CONTRACT)
    except BaseException as error:
        failure = failure_from(error)
    if failure is not None:
        put_away_outputs(job)
    peak = _private_bytes() if seconds >= _PEAK_FROM_SECONDS else 0
    return Report(failure, outputs, Usage(started_at, seconds, 0.0, peak), growth)


def _clear_outputs(job: Runnable) -> None:
    for path in job.outputs:
        try:
            os.unlink(path)
        except FileNotFoundError:
            folder = os.path.dirname(path)
            if folder:
                os.makedirs(folder, exist_ok=True)
        except IsADirectoryError:
            raise JobContractError(
                "an output is a directory",
                [("output", path), ("job", f"{job.job_id} ({job.place})")],
                "Remove the directory, or give the job another file name.",
            ) from None


def _check_outputs(job: Runnable) -> tuple[FileRecord, ...]:
    records = []
    missing = []
    empty = []
    for path in job.outputs:
        try:
            record = files.read(path, True)
        except FileNotFoundError:
            missing.append(path)
            continue
        except IsADirectoryError:
            raise JobContractError(
                "a job made a directory instead of a file",
                [("output", path), ("job", f"{job.job_id} ({job.place})")],
                "An output is one file. Let the job write a file when the directory is complete.",
            ) from None
        if not record.size and path not in job.empty_ok:
            empty.append(path)
        records.append(record)
    if missing or empty:
        raise JobContractError(
            "a job did not make its files" if missing else "a job left an empty file",
            [("job", f"{job.job_id} ({job.place})")]
            + [("missing", path) for path in missing]
            + [("empty", path) for path in empty],
            "Write to the path that was promised." if missing else "If an empty file is right, pass empty_ok=True.",
        )
    return tuple(records)


def put_away_outputs(job: Runnable) -> None:
    """Nothing that a failed job left may be taken for made."""
    for path in job.outputs:
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                continue
            if job.rename_broken:
                os.rename(path, path + ".broken")
            else:
                os.unlink(path)
        except OSError:
            pass


def _private_bytes() -> int:
    """Memory that this process shares with nobody (proc(5), smaps_rollup)."""
    try:
        with open("/proc/self/smaps_rollup", "rb") as source:
            lines = source.read().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith((b"Private_Dirty", b"Private_Clean")))
