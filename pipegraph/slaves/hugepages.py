"""Puts what a job loaded into huge pages (2 MB instead of 4 kB), so that the forks after it have less to copy.

A fork copies an entry for each page that the slave holds, and its end gives each back: about 40 ms a GB, of which the
slave itself waits for half. Huge pages take a tenth of that. Called once, in the fork of a job that loaded much, when
it has succeeded and nobody else shares its pages; only what depends on that job waits meanwhile.

Never takes more memory: a block is left alone if more than 5 % of it are not there, or are shared with another
process. There is no MADV_HUGEPAGE on purpose: it would have the kernel fill holes later, as it likes, and cut memory
areas into pieces, each of which a fork has to copy, too.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

ENABLED = "/sys/kernel/mm/transparent_hugepage/enabled"

BLOCK = 2 << 20
"""Of a huge page, where pages have 4 kB: x86-64, and arm64 as most often."""

STEP = 32 * BLOCK
"""At once. In between it is seen to whether it pays; and who is told to end, ends."""

SECONDS_A_BYTE = 20e-3 / (1 << 30)
"""What each later fork is spared. Measured: 36 ms a GB over both processes; each slot works off its own part."""

TOLD_FROM_SECONDS = 5.0
"""Of a run, below which it is not worth a word that there are no huge pages."""

_PAGE = 4096
_PAGES = BLOCK // _PAGE
_MOST_MISSING = _PAGES // 21
"""At most 24 more than 488: 5 % more memory."""
_ENTRY_BYTES = 8
_OWN_AND_PRESENT = b"\x81"
"""The upper byte of an entry in pagemap: present, and mapped by one process only (bits 63 and 56); not of a file, not
shared, not in swap, not guarded (bits 57 to 62)."""
_SLACK_SECONDS = 0.05
_MADV_COLLAPSE = 25


class Gathered(NamedTuple):
    """What was done.

    Attributes
    ----------
    size
        Bytes that are in huge pages now, at the most: for moments the kernel may not get hold of a page.
    remark
        Headline and mend of what a person should know; None: nothing.
    """

    size: int = 0
    seconds: float = 0.0
    remark: tuple[str, str] | None = None


class Memory:
    """Of this process, by what the kernel tells of it."""

    def __init__(self) -> None:
        self._madvise = ctypes.CDLL(None, use_errno=True).madvise
        self._madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

    def is_offered(self) -> bool:
        """Whether the system has huge pages, and they are not turned off."""
        try:
            with open(ENABLED) as source:
                return "[never]" not in source.read()
        except OSError:
            return False

    def areas(self) -> list[tuple[int, int]]:
        """From where to where there is memory of no file that can be written to: private, without the stack."""
        found = []
        with open("/proc/self/maps", "rb") as source:
            for line in source.read().splitlines():
                addresses, access, _, _, inode, *name = line.split(None, 5)
                if access[:4] == b"rw-p" and inode == b"0" and not (name and name[0].startswith((b"[stack", b"[v"))):
                    start, end = (int(each, 16) for each in addresses.split(b"-"))
                    found.append((start, end))
        return found

    def entries(self, start: int, size: int) -> bytes:
        """Of each page eight bytes (Documentation/admin-guide/mm/pagemap.rst of the kernel)."""
        with open("/proc/self/pagemap", "rb", buffering=0) as source:
            return os.pread(source.fileno(), size // _PAGE * _ENTRY_BYTES, start // _PAGE * _ENTRY_BYTES)

    def collapse(self, start: int, size: int) -> None:
        """Put it into huge pages now (madvise(2), MADV_COLLAPSE).

        Raises
        ------
        OSError
            EINVAL: a kernel before 6.1, or it may not be. ENOMEM: no memory is free in pieces as large. EAGAIN, EBUSY:
            some is in use by the kernel at this moment.
        """
        if self._madvise(start, size, _MADV_COLLAPSE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def small_bytes(self) -> int:
        """Memory in small pages. Takes 50 ms a GB."""
        size = 0
        with open("/proc/self/smaps_rollup", "rb") as source:
            for line in source:
                if line.startswith((b"Anonymous:", b"AnonHugePages:")):
                    kilobytes = int(line.split()[1])
                    size += kilobytes if line.startswith(b"Anonymous") else -kilobytes
        return 1024 * size

    def now(self) -> float:
        """Seconds."""
        return time.perf_counter()


def gather(followers: int, memory: Memory | None = None) -> Gathered:
    """Put the memory of this process into huge pages, as far as that pays and takes no more memory.

    Parameters
    ----------
    followers
        How many jobs are to come: from each, a fork is expected.
    """
    if mmap.PAGESIZE != _PAGE:
        return Gathered()
    memory = memory or Memory()
    began = memory.now()
    size = refused = 0
    why: tuple[str, str] | None = None
    try:
        if not memory.is_offered():
            why = "the system offers no huge pages", f"As root: echo madvise > {ENABLED}"
            return Gathered(remark=_remark(why, followers, memory))
        for start, length in _steps(memory.areas()):
            for at, full in _full(start, memory.entries(start, length)):
                try:
                    memory.collapse(at, full)
                except OSError as error:
                    if error.errno == errno.EINVAL:
                        refused += full
                        continue
                    if error.errno not in (errno.EAGAIN, errno.EBUSY):
                        raise
                size += full
            if memory.now() - began > _SLACK_SECONDS + size * followers * SECONDS_A_BYTE:
                break
    except OSError as error:
        if error.errno == errno.ENOMEM:
            why = (
                "no memory is free in pieces of 2 MB, for huge pages",
                "As root: echo 1 > /proc/sys/vm/compact_memory; or leave more memory free.",
            )
        else:
            why = f"it can't be put into huge pages: {error}", "See to it that /proc/self can be read."
    if refused > size:
        why = (
            "the kernel puts it into no huge pages (MADV_COLLAPSE)",
            "That takes Linux 6.1, and that no one turned it off for the process (THP_enabled in /proc/self/status).",
        )
    return Gathered(size, memory.now() - began, why and _remark(why, followers, memory))


def _steps(areas: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The whole blocks in these areas, largest areas first: start and size."""
    for start, end in sorted(areas, key=lambda area: area[0] - area[1]):
        start = -(-start // BLOCK) * BLOCK
        end = end // BLOCK * BLOCK
        for at in range(start, end, STEP):
            yield at, min(STEP, end - at)


def _full(start: int, entries: bytes) -> Iterator[tuple[int, int]]:
    """Of the blocks from here on those that are there, and nobody else's: start and size of each row of them."""
    kinds = entries[_ENTRY_BYTES - 1 :: _ENTRY_BYTES]
    row = 0
    for first in range(0, len(kinds) + _PAGES, _PAGES):
        if kinds.count(_OWN_AND_PRESENT, first, first + _PAGES) >= _PAGES - _MOST_MISSING:
            row += 1
        elif row:
            yield start + (first // _PAGES - row) * BLOCK, row * BLOCK
            row = 0


def _remark(why: tuple[str, str], followers: int, memory: Memory) -> tuple[str, str] | None:
    try:
        small = memory.small_bytes()
    except OSError:
        return None
    seconds = small * SECONDS_A_BYTE
    if seconds * followers < TOLD_FROM_SECONDS:
        return None
    headline, mend = why
    return f"{small / (1 << 30):.1f} GB were loaded, and {headline}: {1000 * seconds:.0f} ms more for each job", mend
