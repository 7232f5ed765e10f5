"""How much memory can be had, watched while a run runs. Decides nothing, and takes it from nobody."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from .capacity import machine_memory
from .cgroups import MEMORY_FILES, Group, groups_of, memory_limit

_MOST_TEXT = 16_384
"""Of any of these files; memory.stat has about 2 kB, meminfo 1.5."""


class _Limited(NamedTuple):
    """The open files of a control group that has a limit."""

    limits: tuple[int, ...]
    usage: int
    stat: int
    reclaimable: bytes


class Memory:
    """Watches the memory of the machine, and of the control groups of this process that have a limit.

    Each answer is read anew, by files that stay open (`open` of a file below /sys or /proc takes several times as long
    as reading it), and survives the end of the control group: what can't be read limits nothing. A limit that changes
    is noticed; a group that gets its first one later is not.

    Parameters
    ----------
    proc
        Where proc(5) is.

    Attributes
    ----------
    total
        The least of the machine's memory and of the limits, in bytes, when this was made.
    """

    def __init__(self, proc: str = "/proc") -> None:
        machine = machine_memory()
        groups = groups_of("memory", proc)
        limit = memory_limit(groups, machine)
        self.total = machine if limit is None else limit[0]
        self._descriptors: list[int] = []
        self._machine = self._opened(proc, "meminfo")
        self._groups = [self._limited(group) for group in groups if memory_limit([group], machine) is not None]
        self._kills, self._kills_key = self._kill_counter(groups, proc)
        self._pressure = self._pressure_file(groups, proc)

    def available(self) -> int:
        """Bytes that can be had now without swapping, by this process and its children together.

        Notes
        -----
        The least of ``MemAvailable`` in proc_meminfo(5), and of each limited group's limit without what it uses; files
        it read a while ago don't count as used, since the kernel forgets them for the asking.
        """
        least = self._available_of_machine()
        for group in self._groups:
            limits = [limit for each in group.limits if (limit := _number_in(each)) is not None]
            usage = _number_in(group.usage)
            if limits and usage is not None:
                reclaimable = _value_of(group.reclaimable, _text_in(group.stat)) or 0
                least = min(least, min(limits) - max(0, usage - reclaimable))
        return max(0, least)

    def kills(self) -> int:
        """How many processes the kernel killed for want of memory so far: the difference of two answers counts.

        Those of this process' control group, whosever memory was short, and in version 2 of groups below it; where
        the group does not count, those of the whole machine.

        Notes
        -----
        ``oom_kill`` of ``memory.events`` (the kernel's cgroup-v2.rst), of ``memory.oom_control``
        (cgroup-v1/memory.rst), of ``/proc/vmstat``, in this order.
        """
        return _value_of(self._kills_key, _text_in(self._kills)) or 0

    def pressure(self) -> float | None:
        """Share of the last ten seconds, 0 to 1, in which some process waited for memory; None: the kernel can't tell.

        Of this process' control group of version 2, or else of the machine.

        Notes
        -----
        ``some avg10`` of Documentation/accounting/psi.rst of the kernel. Not ``full``, the share in which all of them
        waited: with many jobs side by side, that shows only when it is too late to hold one back.
        """
        return _pressure_in(self._pressure)

    def close(self) -> None:
        """Asked afterwards, it knows nothing: 0 bytes, no kills, no pressure."""
        while self._descriptors:
            os.close(self._descriptors.pop())
        self._groups = []
        self._machine = self._kills = self._pressure = -1

    close_in_fork = close
    """Gives back the files that a fork has inherited; the other process keeps its own."""

    def _available_of_machine(self) -> int:
        found = _value_of(b"MemAvailable:", _text_in(self._machine))
        if found is not None:
            return 1024 * found
        if self._machine < 0:
            return 0
        import psutil

        return int(psutil.virtual_memory().available)  # estimates, for kernels before 3.14

    def _limited(self, group: Group) -> _Limited:
        names = MEMORY_FILES[group.version]
        limits = tuple(self._opened(group.directory, name) for name in names.limits)
        usage, stat = (self._opened(group.directory, name) for name in (names.usage, names.stat))
        return _Limited(limits, usage, stat, names.reclaimable)

    def _kill_counter(self, groups: Sequence[Group], proc: str) -> tuple[int, bytes]:
        for group in groups:
            descriptor = self._opened(group.directory, MEMORY_FILES[group.version].kills)
            if _value_of(b"oom_kill ", _text_in(descriptor)) is not None:
                return descriptor, b"oom_kill "
        return self._opened(proc, "vmstat"), b"oom_kill "

    def _pressure_file(self, groups: Sequence[Group], proc: str) -> int:
        own = next((group.directory for group in groups if group.version == 2), None)
        for directory, name in (own, "memory.pressure"), (proc, "pressure/memory"):
            descriptor = -1 if directory is None else self._opened(directory, name)
            if _pressure_in(descriptor) is not None:
                return descriptor
        return -1

    def _opened(self, directory: str, name: str) -> int:
        """A descriptor, which a program started later does not inherit; below 0: there is no such file."""
        with contextlib.suppress(OSError):
            self._descriptors.append(os.open(os.path.join(directory, name), os.O_RDONLY | os.O_CLOEXEC))
            return self._descriptors[-1]
        return -1


def _text_in(descriptor: int) -> bytes:
    """Empty: it could not be opened, or is gone."""
    try:
        return os.pread(descriptor, _MOST_TEXT, 0)
    except OSError:
        return b""


def _number_in(descriptor: int) -> int | None:
    """None: there is none, as for ``max``."""
    try:
        return int(_text_in(descriptor))
    except ValueError:
        return None


def _value_of(key: bytes, text: bytes) -> int | None:
    """The number behind a key at the beginning of a line."""
    at = 0 if text.startswith(key) else text.find(b"\n" + key) + 1
    if not text or (at == 0 and not text.startswith(key)):
        return None
    words = text[at + len(key) : at + len(key) + 40].split(None, 1)
    return int(words[0]) if words and words[0].isdigit() else None


def _pressure_in(descriptor: int) -> float | None:
    text = _text_in(descriptor)
    at = text.find(b"some avg10=")
    return float(text[at + 11 :].split(None, 1)[0]) / 100 if at >= 0 else None
