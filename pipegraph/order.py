"""How long the way is from each job to an end: who begins the longest starts first. Pure, and does not recurse.

Jobs are numbers, in the order in which they were declared, as the engine's ledger holds them. Most scripts declare what
a job needs before the job; then one pass from the last to the first is all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def longest_ways(
    dependents: Sequence[Sequence[int]], seconds: Sequence[float], known: Sequence[float] = ()
) -> list[float]:
    """Of each job the seconds of the longest way from its start to an end of the graph.

    Parameters
    ----------
    dependents
        Of each job the numbers of those that wait for it; there is no circle.
    seconds
        What each takes: 0 of one that will not run, a mean of one of which nothing is known.
    known
        What was found of the first so many, which stays: for a graph that has grown. A new job is worth what comes
        after it; the jobs before it, most of which have ended, do not gain by it. Done anew for all (whenever the graph
        has grown by half, so that it costs little), they do.

    Notes
    -----
    This is the order of HLFET (Adam, Chandy and Dickson 1974), and the upward rank of HEFT (Topcuoglu, Hariri and Wu
    2002) without times for moving data.
    """
    first = len(known)
    ways: list[Any] = [*known, *[None] * (len(dependents) - first)]
    way_of = ways.__getitem__
    for job in range(len(dependents) - 1, first - 1, -1):
        later = dependents[job]
        if ways[job] is not None:
            continue
        try:
            # Adding to None, or comparing with it, is how it shows, at no cost, that one of them is not known yet.
            if len(later) > 1:
                ways[job] = seconds[job] + max(map(way_of, later))
            else:
                ways[job] = seconds[job] + ways[later[0]] if later else seconds[job]
        except TypeError:
            _find(job, dependents, seconds, ways)
    return ways


def _find(job: int, dependents: Sequence[Sequence[int]], seconds: Sequence[float], ways: list[Any]) -> None:
    """That of a job which was declared after some of those that wait for it, and of all these."""
    stack = [job]
    while stack:
        top = stack[-1]
        if ways[top] is not None:
            stack.pop()
            continue
        missing = [each for each in dependents[top] if ways[each] is None]
        if missing:
            stack += missing
        else:
            ways[top] = seconds[top] + max([ways[each] for each in dependents[top]], default=0.0)
            stack.pop()
