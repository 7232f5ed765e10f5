"""The control groups of this process and what they limit, cgroups(7): versions 1, 2, and both side by side.

A process is held to the limits of its own group and of all above, so every function takes the groups from the own one
up to the top that can be seen. In a container that is the container's: what is above can't be seen, and limits it all
the same. Only reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Group(NamedTuple):
    """A control group.

    Attributes
    ----------
    directory
        Where its files are.
    name
        As the kernel has it: ``/slurm/uid_1000/job_7``.
    version
        1 or 2.
    """

    directory: str
    name: str
    version: int


class MemoryFiles(NamedTuple):
    """The names of what says how much memory a group may have and has.

    Attributes
    ----------
    limits
        Beyond the first, the kernel kills; beyond the second, it makes the group wait.
    reclaimable
        In `stat`: files read a while ago, which cost nothing to forget.
    kills
        How many of its processes were killed for want of memory, its own or the machine's.
    """

    limits: tuple[str, ...]
    usage: str
    stat: str
    reclaimable: bytes
    kills: str


MEMORY_FILES = {
    1: MemoryFiles(
        ("memory.limit_in_bytes",),
        "memory.usage_in_bytes",
        "memory.stat",
        b"total_inactive_file",
        "memory.oom_control",
    ),
    2: MemoryFiles(
        ("memory.max", "memory.high"),
        "memory.current",
        "memory.stat",
        b"inactive_file",
        "memory.events",
    ),
}
"""By version."""


def groups_of(controller: str, proc: str = "/proc") -> list[Group]:
    """The groups that may limit this process in one respect, its own first.

    Parameters
    ----------
    controller
        ``"memory"`` or ``"cpu"``.
    proc
        Where proc(5) is.
    """
    try:
        with open(os.path.join(proc, "self/cgroup"), errors="surrogateescape") as file:
            memberships = [line.rstrip("\n").split(":", 2) for line in file]
        with open(os.path.join(proc, "self/mountinfo"), errors="surrogateescape") as file:
            mounts = [_Mount.of(line) for line in file if " - cgroup" in line]
    except OSError:
        return []
    found: list[Group] = []
    for _, controllers, path in (each for each in memberships if len(each) == 3):
        if controllers and controller not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        chains = [
            list(mount.groups_from(path))
            for mount in mounts
            if mount.version == version and (version == 2 or controller in mount.options)
        ]
        # The same hierarchy may be mounted twice, once from further up.
        longest = max(chains, key=len, default=[])
        found += longest
    return found


def memory_limit(groups: Sequence[Group], most: int) -> tuple[int, str] | None:
    """The smallest limit in bytes and the name of its group; None: none is below `most`."""
    limits = [(limit, group.name) for group in groups for limit in _memory_limits(group) if limit < most]
    return min(limits, default=None)


def core_quota(groups: Sequence[Group]) -> tuple[float, str] | None:
    """The smallest share of processor time, in cores, and the name of its group; None: there is none."""
    quotas = [(quota, group.name) for group in groups if (quota := _quota(group)) is not None]
    return min(quotas, default=None)


class _Mount(NamedTuple):
    """A hierarchy of groups, as it is mounted."""

    root: str
    point: str
    version: int
    options: frozenset[str]

    @classmethod
    def of(cls, line: str) -> _Mount:
        # proc_pid_mountinfo(5): id, parent, device, root, mount point, options, tags, "-", type, source, super options.
        before, _, after = line.rstrip("\n").partition(" - ")
        kind, _, options = after.partition(" ")
        root, point = (_unescaped(each) for each in before.split(" ")[3:5])
        return cls(root, point, 2 if kind == "cgroup2" else 1, frozenset(options.rpartition(" ")[2].split(",")))

    def groups_from(self, path: str) -> Iterator[Group]:
        """The group at a path, and all above it."""
        root = "" if self.root == "/" else self.root
        below = path[len(root) :] if path == root or path.startswith(f"{root}/") else ""
        names = [each for each in below.split("/") if each]
        if ".." in names:
            names = []  # outside of what is mounted, in another namespace; cgroup_namespaces(7)
        for depth in range(len(names), -1, -1):
            directory = os.path.join(self.point, *names[:depth])
            if os.path.isdir(directory):
                yield Group(directory, "/".join([root, *names[:depth]]) or "/", self.version)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _memory_limits(group: Group) -> Iterator[int]:
    for name in MEMORY_FILES[group.version].limits:
        text = _text_of(group, name).strip()
        if text.isdecimal():  # not "max"
            yield int(text)
    if group.version == 1:
        # Holds also what is above the top that can be seen, as in a container.
        found = re.search(r"^hierarchical_memory_limit ([0-9]+)$", _text_of(group, "memory.stat"), re.MULTILINE)
        if found is not None:
            yield int(found[1])


def _quota(group: Group) -> float | None:
    if group.version == 2:
        words = _text_of(group, "cpu.max").split()
    else:
        words = [_text_of(group, name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    # "max 100000", or in version 1 "-1", is none.
    if len(words) == 2 and all(each.isdecimal() for each in words) and int(words[1]):
        return int(words[0]) / int(words[1])
    return None


def _text_of(group: Group, name: str) -> str:
    """Empty: there is no such file, as in the topmost group, or the group is gone."""
    try:
        with open(os.path.join(group.directory, name)) as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""
