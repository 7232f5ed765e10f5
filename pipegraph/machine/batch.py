"""What a batch system gave to the job in which this process runs, by the variables that it documents. Pure but for
HTCondor, which documents a file.

Each is believed only beside a variable that its batch system sets in jobs: ``NSLOTS`` or ``NCPUS`` alone may be
anybody's. ``OMP_NUM_THREADS`` and its kin are no grants: they say how many threads one process of a job is to have.
What can't be understood is passed over: the kernel's limits hold anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_MIB = 1 << 20


class Grant(NamedTuple):
    """An amount, of cores or bytes, and who says so: here, a variable."""

    amount: int
    by: str


def granted_cores(environ: Mapping[str, str]) -> list[Grant]:
    """Cores of this machine, by each variable that says something.

    Of several tasks a node, Slurm's two numbers differ: the share of one task counts, as the run may be one of them.

    Notes
    -----
    sbatch(1), "output environment variables"; PBS Professional's user's guide, "environment variables" (``NCPUS``), and
    TORQUE's of qsub (``PBS_NUM_PPN``); qsub(1) of Grid Engine; "environment variables set for job execution" of IBM
    Spectrum LSF; "services for running jobs" of HTCondor. Not taken: ``LSB_MAX_NUM_PROCESSORS``, which was asked for
    and not given; ``PBS_NCPUS``, which is some sites' own.
    """
    return [Grant(amount, name) for amount, name in _core_grants(environ) if amount > 0]


def granted_memory(environ: Mapping[str, str]) -> list[Grant]:
    """Bytes of this machine, by each variable that says something.

    Notes
    -----
    Slurm and HTCondor count in MiB. ``sbatch --mem=0`` asks for all there is. LSF, PBS and Grid Engine have no variable
    for it that means the same at all sites; where they hold jobs to their memory, they do so by control groups.
    """
    return [Grant(amount, name) for amount, name in _memory_grants(environ) if amount > 0]


def _core_grants(environ: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    if _is_in_slurm(environ):
        yield from _numbers(environ, "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
        yield _of_this_node(environ), "SLURM_JOB_CPUS_PER_NODE"
    if "PBS_JOBID" in environ:
        yield from _numbers(environ, "NCPUS", "PBS_NUM_PPN")
    if "JOB_ID" in environ:
        # Slots are counted over all hosts; how many are on this one stands in a file, so that an even share is taken.
        hosts = max(1, _number(environ, "NHOSTS"))
        slots = _number(environ, "NSLOTS")
        yield slots and max(1, slots // hosts), "NSLOTS"
    if "LSB_JOBID" in environ:
        # "host1 4 host2 2"; a job's own process runs on the first.
        yield _whole((environ.get("LSB_MCPU_HOSTS", "").split() + ["", ""])[1]), "LSB_MCPU_HOSTS"
        yield from _numbers(environ, "LSB_DJOB_NUMPROC")
    yield _of_condor(environ, "Cpus"), "HTCondor"


def _memory_grants(environ: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    if _is_in_slurm(environ):
        yield _MIB * _number(environ, "SLURM_MEM_PER_NODE"), "SLURM_MEM_PER_NODE"
        cores = _number(environ, "SLURM_CPUS_ON_NODE") or _of_this_node(environ)
        yield _MIB * _number(environ, "SLURM_MEM_PER_CPU") * cores, "SLURM_MEM_PER_CPU"
    yield _MIB * _of_condor(environ, "Memory"), "HTCondor"


def _is_in_slurm(environ: Mapping[str, str]) -> bool:
    return "SLURM_JOB_ID" in environ or "SLURM_JOBID" in environ


def _of_this_node(environ: Mapping[str, str]) -> int:
    """Of ``SLURM_JOB_CPUS_PER_NODE``, ``8(x2),4``: three nodes."""
    node = _number(environ, "SLURM_NODEID")
    for part in environ.get("SLURM_JOB_CPUS_PER_NODE", "").split(","):
        found = re.fullmatch(r"([0-9]+)(?:\(x([0-9]+)\))?", part.strip())
        if found is None:
            return 0
        node -= int(found[2] or 1)
        if node < 0:
            return int(found[1])
    return 0


def _of_condor(environ: Mapping[str, str], attribute: str) -> int:
    """From the description of the slot, lines of ``name = value``."""
    try:
        with open(environ["_CONDOR_MACHINE_AD"], errors="replace") as file:
            found = re.search(rf"^{attribute} *= *([0-9]+) *$", file.read(), re.MULTILINE | re.IGNORECASE)
    except (KeyError, OSError, ValueError):
        return 0
    return 0 if found is None else int(found[1])


def _numbers(environ: Mapping[str, str], *names: str) -> Iterator[tuple[int, str]]:
    return ((_number(environ, name), name) for name in names)


def _number(environ: Mapping[str, str], name: str) -> int:
    return _whole(environ.get(name, ""))


def _whole(text: str) -> int:
    """0 for what is none."""
    return int(text) if re.fullmatch(r"\s*[0-9]{1,15}\s*", text, re.ASCII) else 0
