"""Decisions alone, by shape of the graph: the engine is told what happened, and nothing is forked.

    python util/bench/decisions.py [--shapes chain layers fan square generators] [--repeat 5]

Each shape in two sizes, since what counts is that the cost of a job and edge stays the same.
"""

from __future__ import annotations

import measuring
from measuring import median, thousands

GROWS_AT_MOST = 1.5

# Times are of decisions, so nothing is forked: traces are told to the engine as if every job had succeeded at once.
DECIDE = """
import sys, time
from pipegraph.engine import Engine, StartJob, EndRun
from pipegraph.events import GraphGrew, JobStarted, JobSucceeded
from pipegraph.model import FileRecord, Growth, JobSpec, Past, Place, Role
shape, n = sys.argv[1], int(sys.argv[2])
place = Place("script.py", 1)
def job(name, inputs=()):
    return JobSpec(name, Role.OUTPUT, "FileGeneratingJob", place, (name,), tuple(inputs))
growth = {}
if shape == "chain":
    specs = [job(f"a{i}", [f"a{i-1}"] if i else []) for i in range(n)]
elif shape == "layers":
    specs = [job(f"a{i}.{k}", [f"a{i-1}.{m}" for m in range(3)] if i else []) for i in range(n) for k in range(3)]
elif shape == "fan":
    specs = [job(f"a{i}") for i in range(n)]
    specs.append(job("end", [f"a{i}" for i in range(n)]))
elif shape == "square":
    specs = [job(f"a{i}.{k}", [f"a{i-1}.{m}" for m in range(300)] if i else []) for i in range(n) for k in range(300)]
elif shape == "generators":
    def generator(i):
        return JobSpec(f"g{i}", Role.GENERATOR, "JobGeneratingJob", place, (), ())
    specs = [generator(0)]
    growth = {f"g{i}": Growth((generator(i + 1), job(f"a{i}"))) for i in range(n - 1)}
edges = sum(len(spec.inputs) for spec in specs)
def go(pasts):
    found = {}
    engine = Engine()
    queue = list(engine.handle(GraphGrew(tuple(specs), (), None, pasts, {}, {}, {})))
    for answer in queue:
        if type(answer) is StartJob:
            name = answer.job
            engine.handle(JobStarted(name, answer.reasons, 1, 0.0))
            records = () if name[0] == "g" else (FileRecord(name, name, name, 1, 1, 1, False),)
            event = JobSucceeded(name, records, growth=growth.get(name, Growth()))
            assert engine.objection_to(event) is None
            found[name] = Past(engine.trace_of(event))
            if event.growth.jobs:
                queue.extend(engine.handle(GraphGrew(event.growth.jobs, (), name, pasts, {}, {}, {})))
            queue.extend(engine.handle(event))
    assert type(queue[-1]) is EndRun
    return found
began = time.perf_counter()
pasts = go({})
middle = time.perf_counter()
go(pasts)
print(middle - began, time.perf_counter() - middle, len(pasts), edges)
"""

SIZES = {
    "chain": (10_000, 100_000),
    "layers": (500, 5_000),
    "fan": (100_000, 1_000_000),
    "square": (3, 30),
    "generators": (500, 5_000),
}


def rounds(shape: str, count: int, repeat: int) -> list[list[float]]:
    """Of each the seconds fresh and with nothing to do, the jobs and the edges."""
    with measuring.scratch() as folder:
        run = {shape: lambda: measuring.run_script(DECIDE, shape, count, folder=folder).printed}
        return measuring.in_turns(repeat, run)[shape]


def main() -> None:
    """Measure, and print a row for each shape and size."""
    given = measuring.settings(__doc__, {"shapes": list(SIZES)}, shapes=(list(SIZES), list(SIZES)), repeat=(5, 1))
    rows, worst = [], 0.0
    for shape in given.shapes:
        costs = []
        for count in (3, 6) if given.quick else SIZES[shape]:
            found = rounds(shape, count, given.repeat)
            jobs, edges = found[0][2:]
            costs.append([1e6 * median([each[at] for each in found]) / (jobs + edges) for at in (0, 1)])
            rows.append((shape, thousands(jobs), thousands(edges), *(f"{each:.2f}" for each in costs[-1])))
        worst = max(worst, *(large / small for small, large in zip(*costs)))
    measuring.table(("graph", "jobs", "edges", "fresh µs", "nothing to do µs"), rows)
    measuring.verdict(
        "a job and edge costs the same at ten times the size", f"{worst:.2f} times", worst < GROWS_AT_MOST
    )


if __name__ == "__main__":
    main()
