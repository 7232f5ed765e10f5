"""How much memory a job needed by itself, beside what it inherited by fork."""

from __future__ import annotations

_DOUBT = 8
"""The kernel counts pages in batches, for each core: sizes that differ by less than such a part may be the same one."""


def anonymous_bytes() -> int:
    """Memory of this process that a fork inherits (proc(5), RssAnon)."""
    return _status().get(b"RssAnon", 0)


def most_bytes() -> int:
    """The largest size of this process so far (proc(5), VmHWM)."""
    return _status().get(b"VmHWM", 0)


def most_of_programs(largest_child_bytes: int, has_forked: bool) -> int:
    """What a child that this process waited for took at the most, as far as that is sure; 0 if nothing is.

    Parameters
    ----------
    largest_child_bytes
        ``ru_maxrss`` of it, or of all children.
    has_forked
        It may be of a fork in which nothing was executed.

    Notes
    -----
    ``ru_maxrss`` is kept over execve(2), and so begins with the size of the process that started the program: it is the
    program's own only where it is larger than that process has ever been. Of a fork, it counts all that was inherited:
    only what is beyond is its own. Either counts pages of files that are mapped.
    """
    most = most_bytes()
    if has_forked:
        return max(0, largest_child_bytes - most - most // _DOUBT)
    return largest_child_bytes if largest_child_bytes > most + most // _DOUBT else 0


def peak_private_bytes(inherited_bytes: int, is_thorough: bool = True) -> int:
    """The most that this process has had for itself, as far as one look at its end can tell.

    Parameters
    ----------
    inherited_bytes
        `anonymous_bytes` of the process that it was forked from.
    is_thorough
        Also pages that were inherited and then written to count.

    Notes
    -----
    The larger of two: what is private now, which counts inherited pages that were written to; and by how much its
    largest size so far (VmHWM, which begins at a fork with what was inherited) exceeds the inherited. A process that
    writes to what it inherited, and then gives back memory of its own, needed more than either. ``ru_maxrss`` can't
    be used: it counts all that was inherited. The first takes up to 20 ms (proc(5), smaps_rollup).
    """
    status = _status()
    grown = status.get(b"VmHWM", 0) - status.get(b"RssFile", 0) - inherited_bytes
    return max(grown, _private_bytes()) if is_thorough else grown


def _status() -> dict[bytes, int]:
    """The lines of /proc/self/status that are in kB, in bytes."""
    try:
        with open("/proc/self/status", "rb") as source:
            lines = source.read().splitlines()
    except OSError:
        return {}
    pairs = [line.partition(b":") for line in lines if line.endswith(b" kB")]
    return {name: 1024 * int(value[:-3]) for name, _, value in pairs}


def _private_bytes() -> int:
    try:
        with open("/proc/self/smaps_rollup", "rb") as source:
            lines = source.read().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith((b"Private_Dirty", b"Private_Clean")))
