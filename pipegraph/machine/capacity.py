"""How many cores and how much memory this process may use."""

from __future__ import annotations

import os


def cores_of_this_process() -> int:
    """Cores that the scheduler lets this process use (sched_getaffinity(2))."""
    return len(os.sched_getaffinity(0))


def memory_of_this_machine() -> int:
    """Physical memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
