"""How much a process has read and written, with those of its children that it waited for.

There are two counts of each (proc_pid_io(5); a process that has ended and is not reaped still has them). What was asked
for (``rchar``) is the same in every run, whatever is in the page cache and on whatever file system, but leaves out
files that are mapped. What came from disks (``read_bytes``) counts these, and is nothing where the cache has it, or on
tmpfs. The larger of both is told: what a person expects of a job that reads a file of so many bytes, and what may come
from the disk next time.
"""

from __future__ import annotations

import os

Traffic = tuple[int, int]
"""Bytes read and written."""

NO_TRAFFIC: Traffic = (0, 0)
_MOST_TEXT_BYTES = 1000
_KINDS = ((b"rchar", b"read_bytes"), (b"wchar", b"write_bytes"))


def text_of(pid: int | str = "self") -> bytes:
    """The counts as the kernel has them now, for `traffic`: empty if nobody may know them."""
    try:
        source = os.open(f"/proc/{pid}/io", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(source, _MOST_TEXT_BYTES)
    except OSError:
        return b""
    finally:
        os.close(source)


class OwnTraffic:
    """Asks for the counts of this process often, each time in 1 µs."""

    def __init__(self) -> None:
        try:
            self._counts = os.open("/proc/self/io", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._counts = -1  # not in every kernel

    def text(self) -> bytes:
        """As `text_of` gives it."""
        try:
            return os.pread(self._counts, _MOST_TEXT_BYTES, 0)
        except OSError:
            return b""  # it is not there, or a job has closed it


def traffic(now: bytes, before: bytes = b"") -> Traffic:
    """What was read and written between two of these texts; up to the one, without the other."""
    counts, earlier = _counts(now), _counts(before)
    read, written = (max(counts.get(name, 0) - earlier.get(name, 0) for name in names) for names in _KINDS)
    return max(0, read), max(0, written)


def _counts(text: bytes) -> dict[bytes, int]:
    pairs = (line.partition(b": ") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdigit()}
