"""What a job that has to wait is promised, and which others may start before it all the same.

The first that waits gets a *promise*: the earliest moment at which enough will be free for it, by the times that
running jobs are expected to take (EASY backfilling). Another one may start before it if it will have ended by then, or
if enough is left for both. Where times are not known, or a promise was not kept, such starts are counted instead, and
when they have been many, there are no more: so nobody waits for ever, however wrong the times are.

Owns the arithmetic of this. Holds nothing, and takes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

OVERTAKES_PER_CORE = 16
"""So many others, per core, may start before one that does not fit; then what becomes free is left to it."""


class Amount(NamedTuple):
    """What a job takes, or what is free.

    Attributes
    ----------
    pools
        Of named resources.
    """

    cores: int
    memory_bytes: int
    pools: Mapping[str, int]


NOTHING: Mapping[str, int] = {}


class Patience:
    """How it has gone for a job that waits.

    Attributes
    ----------
    overtakes
        Starts that were counted.
    promised
        The earliest moment that it was ever promised; infinite where none was.
    """

    __slots__ = ("overtakes", "promised")

    def __init__(self) -> None:
        self.overtakes = 0
        self.promised = math.inf


class Promise(NamedTuple):
    """For one job that has to wait.

    Attributes
    ----------
    wants
        What it will take.
    short_of
        The named resource that it lacks, if nothing else; else empty.
    moment
        When it can start, on the clock of who asks; infinite where that is not known.
    spare
        What it leaves then.
    """

    wants: Amount
    short_of: str
    moment: float
    spare: Amount


def later_end(end: float, now: float) -> float:
    """When a running job will end that was expected to end then.

    One that is late is taken to be half-way through its delay: the later it is, the less is its time believed.
    """
    return end if end >= now else now + (now - end)


def promise(
    wants: Amount, short_of: str, is_exclusive: bool, free: Amount, ends: Iterable[tuple[float, Amount]]
) -> Promise:
    """The earliest moment at which there is enough.

    Parameters
    ----------
    free
        Now.
    ends
        When each running job is expected to end, and what that frees; the earliest first.
    """
    cores, memory_bytes, _ = free
    pools = {name: free.pools[name] for name in wants.pools}
    moment = 0.0
    is_enough = False
    for end, freed in ends:
        if is_enough and end > moment and not is_exclusive:
            break
        moment = end
        cores += freed.cores
        memory_bytes += freed.memory_bytes
        for name in pools:
            pools[name] += freed.pools.get(name, 0)
        is_enough = cores >= wants.cores and memory_bytes >= wants.memory_bytes
        is_enough = is_enough and all(pools[name] >= count for name, count in wants.pools.items())
    if is_exclusive or not is_enough:
        return Promise(wants, short_of, moment if is_exclusive else math.inf, Amount(0, 0, NOTHING))
    left = {name: pools[name] - count for name, count in wants.pools.items()}
    return Promise(wants, short_of, moment, Amount(cores - wants.cores, memory_bytes - wants.memory_bytes, left))


def is_harmless(one: Promise, takes: Amount, ends: float) -> bool:
    """A start now keeps the promise, if the times are right."""
    if one.moment == math.inf:
        return False
    if ends <= one.moment:
        return True
    spare = one.spare
    return (
        takes.cores <= spare.cores
        and takes.memory_bytes <= spare.memory_bytes
        and all(count <= spare.pools[name] for name, count in takes.pools.items() if name in spare.pools)
    )


def is_counted(one: Promise, takes: Amount) -> bool:
    """A start now may have the other wait for longer: takes some of what it lacks."""
    return not one.short_of or one.short_of in takes.pools
