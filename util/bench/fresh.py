"""Fresh runs of one-line jobs, one fork each, beside a bare two-slot fork loop on the same graph, in its order.

    python util/bench/fresh.py [--shapes independent layers chain square] [--jobs 1000 10000 100000] [--repeat 5]
    python util/bench/fresh.py --shapes square --layers 300 --repeat 1    the whole 300 × 300
    python util/bench/fresh.py --shapes independent --jobs 1000 --imports numpy pandas

Time is from the first declaration to the end of the run; the bare loop declares nothing. Processor time is that of the
script, its slaves and the jobs. ``--bare recorded``: the bare loop also hashes what was made and writes a record of it.
``--imports``: what both scripts import beside what they need, as scripts that compute do; each fork copies it.
"""

from __future__ import annotations

from pathlib import Path

import graphs
import measuring
from measuring import median, ratio, thousands

AIM = 1.15

SCRIPT = """
import os, resource, sys, time
import graphs
import pipegraph as ppg

def spent():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)

shape, count = sys.argv[1], int(sys.argv[2])
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True)
declared = [(graphs.callback(number), inputs) for number, inputs in graphs.graph(shape, count)]
began, used = time.perf_counter(), spent()
jobs = []
for number, (callback, inputs) in enumerate(declared):
    job = ppg.FileGeneratingJob(f"o/{number}", callback)
    if inputs:
        job.depends_on([jobs[each] for each in inputs])
    jobs.append(job)
ppg.run_pipegraph()
print(time.perf_counter() - began, spent() - used)
"""

BARE = (Path(__file__).parent / "bare.py").read_text()


def rounds(shape: str, count: int, repeat: int, bare: str, imports: list[str]) -> dict[str, list[list[float]]]:
    """Seconds and processor seconds of both, in turns."""

    def run(text: str, *more: str) -> list[float]:
        text = text.replace("import graphs\n", "".join(f"import {name}\n" for name in ("graphs", *imports)), 1)
        with measuring.scratch() as folder:
            printed = measuring.run_script(text, shape, count, *more, folder=folder).printed
            assert len(list((folder / "o").iterdir())) == count
        return printed

    return measuring.in_turns(repeat, {"bare": lambda: run(BARE, bare), "ours": lambda: run(SCRIPT)})


def main() -> None:
    """Measure, and print a row for each graph and size."""
    given = measuring.settings(
        __doc__,
        {"shapes": graphs.SHAPES, "bare": ("plain", "recorded")},
        shapes=(list(graphs.SHAPES), list(graphs.SHAPES)),
        jobs=([1_000, 10_000, 100_000], [20]),
        layers=(10, 2),
        bare=("plain", "plain"),
        imports=([], []),
        repeat=(5, 1),
    )
    rows, worst = [], 0.0
    for shape in given.shapes:
        side = graphs.SIDE if max(given.jobs) > graphs.SIDE else max(given.jobs)
        for count in [given.layers * side] if shape == "square" else given.jobs:
            found = rounds(shape, count, given.repeat, given.bare, given.imports)
            bare, ours = ([list(column) for column in zip(*found[name])] for name in ("bare", "ours"))
            times = [1e6 * median(each) / count for each in (*bare, *ours)]
            wall, cpu = ratio(ours[0], bare[0]), ratio(ours[1], bare[1])
            worst = max(worst, wall)
            name = f"{shape} ({thousands(graphs.edges(shape, count))} edges)" if shape == "square" else shape
            cells = [f"{each:.0f}" for each in times]
            rows.append((name, thousands(count), *cells, f"{wall:.2f}", f"{cpu:.2f}"))
    heads = ("graph", "jobs", "bare µs", "bare CPU µs", "run µs", "run CPU µs", "times", "times, CPU")
    measuring.table(heads, rows)
    measuring.verdict(f"within {AIM} of the bare loop", f"{worst:.2f} at most", worst <= AIM)


if __name__ == "__main__":
    main()
