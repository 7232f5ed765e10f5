"""Who may take what: the arithmetic by which runs share the cores and the memory of a slave. No files, no clock.

Every run that wants more has the same share of the cores; who wants less leaves the rest to the others (max-min
fairness). Claims stand in a line. In its front are those within their run's share, and those that are larger than any
share, so that one more turn has to be made for them; the first of these that came goes first, and what it wants is kept
for it. Behind stand those that take more than their run's share: they get what is left, and nothing is kept for them.

Who held more than its share while others waited *rests* for as long as it takes to make up for that: until then its
claims that are larger than its share stand behind. So a stream of jobs that need all cores and a stream of small ones
take turns of the same length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Amounts(NamedTuple):
    """Of what is shared."""

    cores: int
    memory_bytes: int


class Claimant(NamedTuple):
    """A run, as far as it matters for one slave.

    Attributes
    ----------
    ceiling_cores
        What it may hold at most, by its own settings.
    wanted
        What its next job needs, of which it takes all or nothing; None if it does not wait.
    since
        When it began to wait, in seconds of a clock that all share.
    rests_until
        On the same clock.
    """

    ceiling_cores: int
    held: Amounts
    wanted: Amounts | None = None
    since: float = 0.0
    rests_until: float = 0.0


def share_cores(total_cores: int, claimants: Iterable[Claimant]) -> float:
    """How many cores a run may hold that wants as many as it can get; need not be whole."""
    demands = sorted(each.held.cores if each.wanted is None else each.ceiling_cores for each in claimants)
    left = float(total_cores)
    for number, demand in enumerate(demands):
        level = left / (len(demands) - number)
        if demand >= level:
            return level
        left -= demand
    return float(total_cores)


def takers(total: Amounts, claimants: Sequence[Claimant], now: float) -> list[int]:
    """Who of those that wait may take now what it wants, in the order of the line; as positions in `claimants`."""
    share = share_cores(total.cores, claimants)
    cores = total.cores - sum(each.held.cores for each in claimants)
    memory_bytes = total.memory_bytes - sum(each.held.memory_bytes for each in claimants)
    found = []
    for is_behind, _, _, position in _line(claimants, share, now):
        wanted = claimants[position].wanted
        if wanted is None:
            continue
        # Who wants more than there is, by another's word, gets all.
        needs_cores, needs_bytes = min(wanted.cores, total.cores), min(wanted.memory_bytes, total.memory_bytes)
        fits = needs_cores <= max(cores, 0) and needs_bytes <= max(memory_bytes, 0)
        if fits:
            found.append(position)
        if fits or not is_behind:
            cores -= needs_cores
            memory_bytes -= needs_bytes
    return found


def rest_seconds(held_cores: int, share: float, seconds: float) -> float:
    """For how long to rest after that time with so many cores, so that both together come to the share."""
    return seconds * max(0.0, held_cores - share) / share if share else 0.0


def _line(claimants: Sequence[Claimant], share: float, now: float) -> list[tuple[bool, int, float, int]]:
    """Those that wait: whether behind, cores held (of those behind, who has least goes first), since, position."""
    line = []
    for position, each in enumerate(claimants):
        if each.wanted is not None:
            cores = each.wanted.cores
            is_in_front = each.held.cores + cores <= share or (cores > share and each.rests_until <= now)
            line.append((not is_in_front, 0 if is_in_front else each.held.cores, each.since, position))
    return sorted(line)
