"""What a job took of memory and of files, as its own process finds at its end: measuring never fails a job."""

from __future__ import annotations

from typing import NamedTuple

from .memory import most_of_programs, peak_private_bytes
from .traffic import text_of, traffic

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


def taken_so_far() -> Before:
    """By this process; takes 4 µs."""
    return Before(_largest_child_bytes(), text_of())


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
