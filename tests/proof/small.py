"""All small graphs, by command, on all cores."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from .explore import Explorer, Tally, Violation
from .graphs import ROLES, Shape, all_shapes, random_shape


def explore_all(shares: list[Iterable[Shape]], runs: int, seconds: float = 1e9) -> Tally:
    """Explore graphs, each share in a process of its own, to their end or until time is up; raises Violation."""
    context = multiprocessing.get_context("fork")
    results: Any = context.SimpleQueue()
    until = time.monotonic() + seconds
    workers = [context.Process(target=_explore, args=(share, runs, until, results)) for share in shares]
    for worker in workers:
        worker.start()
    tally = Tally()
    try:
        for _ in workers:
            result = results.get()
            if isinstance(result, str):
                raise Violation(result)
            tally.add(result)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    return tally


def shares_of(shapes: list[Shape], processes: int) -> list[Iterable[Shape]]:
    """Every so manieth, for each process."""
    return [shapes[nth::processes] for nth in range(processes)]


def _explore(shapes: Iterable[Shape], runs: int, until: float, results: Any) -> None:
    tally = Tally()
    try:
        for shape in itertools.takewhile(lambda _: time.monotonic() < until, shapes):
            Explorer(shape, tally, runs).explore()
    except BaseException as error:
        # As text: a traceback does not cross processes, and the parent waits for an answer.
        results.put(f"{type(error).__name__}: {error}")
        raise
    results.put(tally)


def _random_shapes(size: int, seed: str) -> Iterator[Shape]:
    pick = random.Random(seed)
    while True:
        yield random_shape(pick, size)


def main(arguments: list[str]) -> int:
    """``python tests/proof graphs``."""
    parser = argparse.ArgumentParser(prog=sys.argv[0], description=__doc__)
    parser.add_argument("--jobs", type=int, default=4, help="how many jobs a graph has (4)")
    parser.add_argument("--runs", type=int, default=3, choices=(2, 3), help="how many runs a history has (3)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take one in N of these graphs")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="leave out the first N")
    parser.add_argument("--roles", default=ROLES, help="of these roles only: i, o, t, l, g, c, p (iotlg)")
    parser.add_argument("--random", metavar="SEED", help="random ones, until time is up")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no new graph after so many seconds")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args(arguments)
    began = time.monotonic()
    shares: list[Iterable[Shape]]
    if options.random is not None:
        of = "endless"
        shares = [_random_shapes(options.jobs, f"{options.random} {nth}") for nth in range(options.processes)]
    else:
        shapes = list(all_shapes(options.jobs, options.roles))[options.first :: options.every]
        of = f"{len(shapes):,}"
        shares = shares_of(shapes, options.processes)
        print(f"{of} graphs of {options.jobs} jobs, found in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    try:
        tally = explore_all(shares, options.runs, options.seconds)
    except Violation as violation:
        print(violation)
        return 1
    spent = os.times()
    print(
        f"{options.jobs} jobs, {options.runs} runs: {tally}; of {of} graphs; {time.monotonic() - began:.0f} s, "
        f"{spent.children_user + spent.children_system:.0f} s of cores; no violation"
    )
    return 0
