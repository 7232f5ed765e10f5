"""Whole runs by shape of the graph, fresh and with nothing to do: whether the cost of a job and edge stays the same.

    python util/bench/whole.py [--shapes chain layers square fan generators] [--repeat 3]

From the first declaration to the end of the run. Of the million edges into one job, only that job is forked; generators
are in a chain, each of which makes a job and the next generator.
"""

from __future__ import annotations

import measuring
from measuring import median, thousands

GROWS_AT_MOST = 1.5

SCRIPT = """
import sys, time
import graphs
import pipegraph as ppg
shape, n = sys.argv[1], int(sys.argv[2])
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True)
began = time.perf_counter()
def job(name, *inputs):
    return ppg.FileGeneratingJob("o/" + name, graphs.callback(name)).depends_on(*inputs)
layer = []
if shape == "chain":
    for i in range(n):
        layer = [job(str(i), layer)]
elif shape == "layers":
    for i in range(n):
        layer = [job(f"{i}.{k}", layer) for k in range(3)]
elif shape == "square":
    for i in range(n):
        layer = [job(f"{i}.{k}", layer) for k in range(300)]
elif shape == "fan":
    job("end", [ppg.ParameterInvariant(f"p{i}", i) for i in range(n)])
elif shape == "generators":
    def generator(i):
        def generate():
            job(str(i))
            if i + 1 < n:
                ppg.JobGeneratingJob(f"g{i + 1}", generator(i + 1))
        return generate
    ppg.JobGeneratingJob("g0", generator(0))
ppg.run_pipegraph()
print(time.perf_counter() - began)
"""

SIZES = {
    "chain": ((1_000, 10_000), lambda n: 2 * n),
    "layers": ((300, 3_000), lambda n: 12 * n),
    "square": ((3, 10), lambda n: 300 * n + 90_000 * (n - 1)),
    "fan": ((100_000, 1_000_000), lambda n: 2 * n),
    "generators": ((500, 5_000), lambda n: 2 * n),
}
"""Each with how many jobs and edges that makes."""


def rounds(shape: str, count: int, repeat: int) -> list[list[float]]:
    """Of each the seconds fresh and with nothing to do."""

    def run() -> list[float]:
        with measuring.scratch() as folder:
            return [measuring.run_script(SCRIPT, shape, count, folder=folder).printed[0] for _ in range(2)]

    return measuring.in_turns(repeat, {shape: run})[shape]


def main() -> None:
    """Measure, and print a row for each shape and size."""
    given = measuring.settings(
        __doc__, {"shapes": list(SIZES)}, shapes=(list(SIZES), ["chain", "layers", "fan", "generators"]), repeat=(3, 1)
    )
    rows, worst = [], 0.0
    for shape in given.shapes:
        sizes, jobs_and_edges = SIZES[shape]
        costs = []
        for count in (5, 10) if given.quick else sizes:
            found = rounds(shape, count, given.repeat)
            costs.append([1e6 * median(each) / jobs_and_edges(count) for each in zip(*found)])
            rows.append((shape, thousands(count), thousands(jobs_and_edges(count)), *(f"{c:.1f}" for c in costs[-1])))
        worst = max(worst, *(large / small for small, large in zip(*costs)))
    measuring.table(("graph", "size", "jobs and edges", "fresh µs", "nothing to do µs"), rows)
    measuring.verdict(
        "a job and edge costs the same at ten times the size", f"{worst:.2f} times", worst < GROWS_AT_MOST
    )


if __name__ == "__main__":
    main()
