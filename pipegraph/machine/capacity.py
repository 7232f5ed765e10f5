"""How many cores and how much memory this process may use, and who says so. Asked anew each time: nothing is kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..errors import JobContractError
from .amounts import bytes_of, size_of
from .batch import Grant, granted_cores, granted_memory

CORES_VARIABLE = "PIPEGRAPH_CORES"
MEMORY_VARIABLE = "PIPEGRAPH_MEMORY"


class Capacity(NamedTuple):
    """What may be used of this machine.

    Attributes
    ----------
    cores_from, memory_from
        Who restricts it, and how much there is: ``"of 64: SLURM_CPUS_PER_TASK"``; or who asked for more than there is:
        ``"the script; there are 2"``. Empty: it is all of it.
    """

    cores: int
    cores_from: str
    memory_bytes: int
    memory_from: str

    @property
    def limits(self) -> str:
        """In words, if anything is restricted: ``"8 cores (of 64: SLURM_CPUS_PER_TASK), 270 GB"``."""
        if not self.cores_from and not self.memory_from:
            return ""
        return f"{cores_in_words(self.cores)}{_in_brackets(self.cores_from)}, " + (
            f"{size_of(self.memory_bytes)}{_in_brackets(self.memory_from)}"
        )


def capacity(
    environ: Mapping[str, str] = os.environ,
    cores: Grant | None = None,
    memory: Grant | None = None,
    proc: str = "/proc",
) -> Capacity:
    """What a run that begins now may use.

    Cores: the least of the scheduler's (``sched_getaffinity(2)``, where cpusets show, too), the quotas of the control
    groups, and what a batch system granted. Memory: the least of the machine's, the limits of the control groups, and
    what a batch system granted. ``PIPEGRAPH_CORES`` and ``PIPEGRAPH_MEMORY`` can only make it less.

    Parameters
    ----------
    cores, memory
        Asked for, and by whom, instead of what there is; may be more.
    proc
        Where proc(5) is.

    Raises
    ------
    JobContractError
        ``PIPEGRAPH_CORES`` or ``PIPEGRAPH_MEMORY`` make no sense.

    Notes
    -----
    A quota of 2.5 cores counts as 2, one of half a core as 1. The rest is for the loop that starts jobs, and for what
    jobs do beside their own thread: when a group has used up its quota, all in it stand still until the next period,
    the loop as well as the jobs.

    ``RLIMIT_AS`` and ``RLIMIT_DATA`` don't count: they hold for each process, and say nothing of many together.
    """
    from .cgroups import core_quota, groups_of, memory_limit  # not needed to import pipegraph

    # Of several that say the same the first is named: who asked for it rather than who sees to it.
    core_grants = granted_cores(environ)
    quota = core_quota(groups_of("cpu", proc))
    if quota is not None:
        core_grants.append(Grant(max(1, int(quota[0])), f"quota of control group {quota[1]}"))
    core_grants.append(Grant(cores_of_this_process(), "CPU affinity"))
    memory_grants = granted_memory(environ)
    limit = memory_limit(groups_of("memory", proc), machine_memory())
    if limit is not None:
        memory_grants.append(Grant(limit[0], f"limit of control group {limit[1]}"))
    least_cores, least_bytes = restrictions_of(environ)
    return Capacity(
        *_chosen(machine_cores(), core_grants, cores, least_cores, str),
        *_chosen(machine_memory(), memory_grants, memory, least_bytes, size_of),
    )


def _chosen(
    most: int, grants: Sequence[Grant], asked: Grant | None, restriction: Grant | None, in_words: Callable[[int], str]
) -> tuple[int, str]:
    """An amount, and its words for `Capacity`."""
    there = min((*grants, Grant(most, "")), key=lambda grant: grant.amount)
    chosen = asked or there
    if restriction is not None and restriction.amount <= chosen.amount:
        chosen = restriction
    if chosen.amount > there.amount:
        words = f"{chosen.by}; there are {in_words(there.amount)}"
        return chosen.amount, f"{words}: {there.by}" if there.by and there.amount < most else words
    return chosen.amount, f"of {in_words(most)}: {chosen.by}" if chosen.amount < most else ""


def restrictions_of(environ: Mapping[str, str]) -> tuple[Grant | None, Grant | None]:
    """Cores and bytes to which ``PIPEGRAPH_CORES`` and ``PIPEGRAPH_MEMORY`` restrict all runs.

    Raises
    ------
    JobContractError
        They make no sense.
    """
    cores = environ.get(CORES_VARIABLE, "").strip()
    if cores and (not re.fullmatch("[0-9]{1,9}", cores) or not int(cores)):
        raise JobContractError(
            f"{CORES_VARIABLE} is not a number of cores",
            [(CORES_VARIABLE, repr(cores))],
            "Set it to a whole number of at least 1; unset it to use all there are.",
        )
    memory = environ.get(MEMORY_VARIABLE, "").strip()
    return (
        Grant(int(cores), CORES_VARIABLE) if cores else None,
        Grant(checked_memory(memory, MEMORY_VARIABLE), MEMORY_VARIABLE) if memory else None,
    )


def checked_memory(given: object, name: str) -> int:
    """Bytes for a whole run, by the variable or argument of that name.

    Raises
    ------
    JobContractError
        It is no amount of memory; or less than a megabyte, in which nothing runs: gigabytes were meant.
    """
    try:
        amount = bytes_of(given)
        because = "" if amount >= 1_000_000 else f"that is {size_of(amount)}"
    except ValueError as error:
        because = str(error)
    if not because:
        return amount
    raise JobContractError(
        f"{name} is not an amount of memory for a run",
        [(name, repr(given)), ("because", because)],
        'Give bytes, as a whole number, or text like "16GB", "1.5 TB", "512MiB"; leave it out to use all there is.',
    )


def cores_of_this_process() -> int:
    """Cores that the scheduler lets this process use, sched_getaffinity(2)."""
    return len(os.sched_getaffinity(0))


def machine_cores() -> int:
    """Of the whole machine, whatever this process is restricted to.

    Notes
    -----
    Not `os.cpu_count`: since Python 3.13 that says what ``PYTHON_CPU_COUNT`` does.
    """
    return os.sysconf("SC_NPROCESSORS_ONLN")


def machine_memory() -> int:
    """Physical memory of the whole machine in bytes, whatever this process is restricted to."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cores_in_words(cores: int) -> str:
    """``"1 core"``, ``"8 cores"``."""
    return f"{cores} core{'' if cores == 1 else 's'}"


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
