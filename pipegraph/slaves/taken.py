"""What a job took of memory and of files, as its own process finds at its end: measuring never fails a job."""

from __future__ import annotations

import os
from typing import NamedTuple

from .memory import most_of_programs, peak_private_bytes
from .traffic import MOST_TEXT_BYTES, text_of, traffic

Taken = tuple[int, int, int]
"""As in `Usage`: the peak of private memory, what was read, and what was written, in bytes."""

NOTHING_TAKEN: Taken = (0, 0, 0)


class Before(NamedTuple):
    """What a process that jobs share had used when one of them began.

    Attributes
    ----------
    largest_child_bytes
        Of those that it had waited for.
    traffic
        As `traffic.text_of` gives it.
    """

    largest_child_bytes: int
    traffic: bytes


NOTHING_BEFORE = Before(0, b"")


class SoFar:
    """Asks for what this process has used, which takes 2 µs: before each of the jobs that share it."""

    def __init__(self) -> None:
        try:
            self._counts = os.open("/proc/self/io", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._counts = -1  # not in every kernel

    def now(self) -> Before:
        """What it is."""
        try:
            text = os.pread(self._counts, MOST_TEXT_BYTES, 0)
        except OSError:
            text = b""  # it is not there, or a job has closed it
        return Before(_largest_child_bytes(), text)


def taken_by_self(inherited_bytes: int, has_forked: bool, before: Before | None) -> Taken:
    """By the job of this process, which has just ended; takes up to 20 ms.

    Parameters
    ----------
    inherited_bytes
        Memory of the slave.
    has_forked
        Not all children that it waited for were programs.
    before
        What others have taken in this process; None: nobody has.
    """
    before = before or NOTHING_BEFORE
    read, written = traffic(text_of(), before.traffic)
    peak = peak_private_bytes(inherited_bytes)
    largest = _largest_child_bytes()
    # The largest of all that this process ever had: not larger than before, it tells nothing of this job.
    if largest > before.largest_child_bytes:
        peak = max(peak, most_of_programs(largest, has_forked))
    return peak, read, written


def _largest_child_bytes() -> int:
    try:
        import resource  # looked for where the job may have left things as it likes
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
