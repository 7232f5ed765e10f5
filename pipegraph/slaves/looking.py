"""A look at jobs' processes from outside: who they are, what memory they took, what they printed last."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence

import psutil

from ..model import JobSpec, Printed, Sighting

_LOOK_BYTES = 2000
_SHOWN_CHARACTERS = 300


def sighting(spec: JobSpec, pids: Sequence[int], started_at: float, inherited_bytes: int) -> Sighting:
    """A job that runs in these processes, the one that prints first."""
    family = family_of(*pids)
    memory = own_bytes(family, 0 if spec.command else inherited_bytes)
    return Sighting(spec.id, pids[0], started_at, len(family), memory, last_line(pids[0], spec.outputs))


def printed(pid: int, outputs: Iterable[str], most_bytes: int) -> Printed:
    """The end of what a job has printed so far."""
    streams = printing(pid, outputs)
    out, out_bytes, _ = tail(pid, 1, most_bytes) if 1 in streams else ("", 0, 0)
    err, err_bytes, _ = tail(pid, 2, most_bytes) if 2 in streams else ("", 0, 0)
    return Printed(out, err, out_bytes, err_bytes)


def family_of(*pids: int) -> list[int]:
    """Processes, their children, and so on."""
    found = list(pids)
    for each in found:
        try:
            # proc(5), children: of each thread those that it started; not in every kernel.
            for thread in os.listdir(f"/proc/{each}/task"):
                with open(f"/proc/{each}/task/{thread}/children", "rb") as source:
                    found += map(int, source.read().split())
        except FileNotFoundError:
            if os.path.exists(f"/proc/{each}/stat"):
                with contextlib.suppress(psutil.Error):
                    below = [psutil.Process(pid).children(recursive=True) for pid in pids]
                    return [*pids, *(child.pid for children in below for child in children)]
        except OSError:
            pass
    return found


def own_bytes(family: list[int], inherited_bytes: int) -> int:
    """Memory of a job's processes that it did not inherit.

    What forks inherit of each other is counted once: of each, what it has more than the eldest of those that go back to
    the same execve(2), and of that one all, but for the job's own process. It is what can be had at once: pages that
    were inherited and then written to are not seen (smaps_rollup sees them, in 20 ms for each 400 MB; proc(5)).

    Parameters
    ----------
    family
        The elder before the younger, the job's own process first.
    """
    total = 0
    size_of_eldest: dict[bytes, int] = {}
    for pid in family:
        with contextlib.suppress(psutil.Error):
            memory = psutil.Process(pid).memory_info()
            size = memory.rss - memory.shared
            layout = _layout(pid)
            inherited = inherited_bytes if pid == family[0] else size_of_eldest.get(layout, 0)
            total += max(0, size - inherited)
            if layout:
                size_of_eldest.setdefault(layout, size)
    return total


def _layout(pid: int) -> bytes:
    """Where its program was put in memory: the same for forks, drawn anew by each execve(2) (proc(5), auxv)."""
    try:
        with open(f"/proc/{pid}/auxv", "rb") as source:
            return source.read()
    except OSError:
        return b""


def tail(pid: int, descriptor: int, most_bytes: int = _LOOK_BYTES) -> tuple[str, int, int]:
    """The end of what a process wrote to a file that it has open; with the file's size and time of change in ns."""
    path = f"/proc/{pid}/fd/{descriptor}"
    try:
        status = os.stat(path)
        # Opening a pipe would make us one of its readers.
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return "", 0, 0
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "", 0, 0
    try:
        data = os.pread(source, most_bytes, max(0, status.st_size - most_bytes))
    except OSError:
        return "", 0, 0
    finally:
        os.close(source)
    return data.decode("utf-8", "backslashreplace"), status.st_size, status.st_mtime_ns


def printing(pid: int, outputs: Iterable[str]) -> list[int]:
    """Those of its stdout and stderr that don't go to one of these files, which a job makes."""
    made = {os.path.realpath(path) for path in outputs}
    found = []
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") not in made:
                found.append(descriptor)
    return found


def last_line(pid: int, outputs: Iterable[str] = ()) -> str:
    """What a job printed last, on stdout or stderr; of a line that was written over and over, the last state."""
    best, best_time = "", -1
    for descriptor in printing(pid, outputs):
        text, _, changed_at = tail(pid, descriptor)
        lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
        if lines and changed_at > best_time:
            best, best_time = lines[-1].strip(), changed_at
    return best[-_SHOWN_CHARACTERS:]
