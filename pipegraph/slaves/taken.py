"""What a job took of memory and of files, as its own process finds at its end: measuring never fails a job."""

from __future__ import annotations

from .memory import most_of_programs, peak_private_bytes
from .traffic import text_of, traffic

Taken = tuple[int, int, int]
"""As in `Usage`: the peak of private memory, what was read, and what was written, in bytes."""

NOTHING_TAKEN: Taken = (0, 0, 0)


THOROUGHLY_FROM_SECONDS = 1.0
"""Of a job that took as long, 20 ms are little."""

_LEAST_BYTES = 4096
"""What was measured is never nothing, which would be taken for not measured."""


def taken_by_self(seconds: float, inherited_bytes: int, has_forked: bool, traffic_before: bytes) -> Taken:
    """By the job of this process, which has just ended; takes up to 20 ms if it was long, else some 0.1 ms.

    Parameters
    ----------
    seconds
        How long it took.
    inherited_bytes
        Memory of the slave.
    has_forked
        Not all children that it waited for were programs.
    traffic_before
        What others have read and written in this process, as `text_of` gives it. They had no children: after one that
        had, no other job runs there.
    """
    read, written = traffic(text_of(), traffic_before)
    own = peak_private_bytes(inherited_bytes, seconds >= THOROUGHLY_FROM_SECONDS)
    return max(_LEAST_BYTES, own, most_of_programs(_largest_child_bytes(), has_forked)), read, written


def _largest_child_bytes() -> int:
    try:
        import resource  # looked for where the job may have left things as it likes
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
