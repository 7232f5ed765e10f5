"""What a job needs while it runs: cores, memory, named resources, the slave; and why it can never have that.

Owns the reading of a spec. Knows nothing of what is free, nor of the order of anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..model import Failure, FailureKind, JobSpec, Role

_SIGNIFICANT_BITS = 3


class Needs(NamedTuple):
    """As the job says it.

    Attributes
    ----------
    cores
        -1 is all, -2 all but one, of what there is when it starts.
    memory_bytes
        -1: not said.
    changes_slave
        Later jobs are forked from what it leaves: one at a time.
    resources
        Names, sorted, and how many.
    is_exclusive
        Nothing runs beside it.
    """

    cores: int
    memory_bytes: int
    changes_slave: bool
    resources: tuple[tuple[str, int], ...] = ()
    is_exclusive: bool = False

    @property
    def is_plain(self) -> bool:
        """One core, and nothing that more than one job may want at once, but for memory."""
        return self.cores == 1 and not (self.changes_slave or self.resources or self.is_exclusive)


class Held(NamedTuple):
    """What running jobs hold in sum."""

    cores: int
    memory_bytes: int


_SIMPLE = Needs(1, -1, False)
_OUTPUT = Role.OUTPUT


def needs_of(spec: JobSpec) -> Needs:
    """What this job says that it needs."""
    changes_slave = spec.in_memory or spec.role is Role.GENERATOR
    if spec.cores == 1 and spec.memory_bytes < 0 and not (changes_slave or spec.resources or spec.is_exclusive):
        return _SIMPLE
    return Needs(spec.cores, max(-1, spec.memory_bytes), changes_slave, spec.resources, spec.is_exclusive)


def about(memory_bytes: int) -> int:
    """This much rounded up to three significant bits, so that a thousand sizes are a few dozen; 0 and -1 stay."""
    shift = max(0, memory_bytes.bit_length() - _SIGNIFICANT_BITS) if memory_bytes > 0 else 0
    return (memory_bytes + (1 << shift) - 1) >> shift << shift


def objection_to(
    needs: Needs, spec: JobSpec, cores: int, memory_bytes: int, pools: Mapping[str, int]
) -> Failure | None:
    """Why a job can't have what it declared, where there is so much; None if it can.

    Parameters
    ----------
    cores, memory_bytes, pools
        All that there is.
    """
    mend = ""
    if needs.cores > cores:
        wanted, there = f"{needs.cores} cores", f"{cores}"
        mend = "Lower cores_needed (-1 means all there are)."
    elif needs.memory_bytes > memory_bytes:
        wanted, there = f"{needs.memory_bytes:,} bytes of memory", f"{memory_bytes:,}"
        mend = "Lower memory_needed, or leave it out: then it is learnt."
    for name, count in () if mend else needs.resources:
        if name not in pools:
            known = ", ".join(f"{each} ({pools[each]})" for each in sorted(pools)) or "no named resources"
            wanted, there = f"{count} of {name}", known
            mend = f"Say how many there are: new_pipegraph(resources={{{name!r}: {count}}})."
            break
        if count > pools[name]:
            wanted, there = f"{count} of {name}", f"{pools[name]}"
            mend = f"Let it use fewer, or raise the {name!r} of new_pipegraph(resources={{…}})."
            break
    if not mend:
        return None
    return Failure(
        FailureKind.TOO_DEMANDING,
        "pipegraph.errors.JobContractError",
        f"a job needs more than there is\n    job:   {spec.id} ({spec.place})\n    needs: {wanted}\n"
        f"    there: {there}\n{mend}",
    )
