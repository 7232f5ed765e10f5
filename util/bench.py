"""What pipegraph costs by itself, beside what nobody can avoid.

    python util/bench.py [fresh | nothing | shapes | whole | memory | import | all] [--repeat 5]

Each figure is a median of several runs, and each comparison is made side by side in one call: absolute times differ
between machines. Everything happens in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

BARE = """
import os, sys, time
n = int(sys.argv[1])
def make(i):
    def f():
        with open(f"o/{i}", "w") as out:
            out.write(str(i))
    return f
jobs = [make(i) for i in range(n)]
os.makedirs("o", exist_ok=True)
import gc; gc.freeze(); gc.disable()
began = time.perf_counter()
running = 0
for job in jobs:
    if running == 2:
        os.waitpid(-1, 0)
        running -= 1
    if os.fork() == 0:
        job()
        os._exit(0)
    running += 1
while running:
    os.waitpid(-1, 0)
    running -= 1
print(time.perf_counter() - began)
"""

HEAD = """
import os, sys, time, resource
n = int(sys.argv[1])
import pipegraph as ppg
coordinator = ppg.resource_coordinators.LocalSystem(2)
ppg.new_pipegraph(coordinator, quiet=True)
def make(i):
    def f():
        with open(f"o/{i}", "w") as out:
            out.write(str(i))
    return f
"""
TAIL = """
declared = time.perf_counter()
ppg.run_pipegraph()
ended = time.perf_counter()
print(ended - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

FRESH = (
    HEAD
    + """
jobs = [make(i) for i in range(n)]
began = time.perf_counter()
for i in range(n):
    ppg.FileGeneratingJob(f"o/{i}", jobs[i])
"""
    + TAIL
)

# 20 000 jobs with 60 000 invariants: function, parameter and file each.
INVARIANTS = (
    HEAD
    + """
os.makedirs("in", exist_ok=True)
if not os.path.exists("in/0"):
    for i in range(n):
        with open(f"in/{i}", "w") as out:
            out.write(str(i))
jobs = [make(i) for i in range(n)]
began = time.perf_counter()
for i in range(n):
    job = ppg.FileGeneratingJob(f"o/{i}", jobs[i])
    job.depends_on(ppg.ParameterInvariant(f"o/{i}", {"k": 21, "name": "x", "cutoff": 0.5}))
    job.depends_on(ppg.FileInvariant(f"in/{i}"))
"""
    + TAIL
)

# Times are of decisions, so nothing is forked: traces are told to the engine as if every job had succeeded at once.
DECIDE = """
import sys, time
from pipegraph.engine import Engine, StartJob, EndRun
from pipegraph.events import GraphGrew, JobStarted, JobSucceeded
from pipegraph.model import FileRecord, Growth, JobSpec, Past, Place, Role
shape, n = sys.argv[1], int(sys.argv[2])
place = Place("bench.py", 1)
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


# Whole runs of the same shapes. Of the million edges only one job is forked.
WHOLE = (
    HEAD
    + """
shape = sys.argv[2]
began = time.perf_counter()
def job(name, *inputs):
    return ppg.FileGeneratingJob("o/" + name, make(name)).depends_on(*inputs)
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
"""
    + TAIL
)


def call(code: str, *arguments: object, folder: str) -> list[float]:
    """Run code in a process of its own; the numbers that it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # With compiled modules, as an installed package has them.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return [float(each) for each in done.stdout.split()]


def fresh(repeat: int) -> None:
    print("fresh run of independent one-line jobs, beside a bare two-slot fork loop")
    for n in (1_000, 10_000, 20_000):
        ratios, ours, bares = [], [], []
        for _ in range(repeat if n < 10_000 else max(3, repeat // 2)):
            with tempfile.TemporaryDirectory() as folder:
                bare = call(BARE, n, folder=folder)[0]
            with tempfile.TemporaryDirectory() as folder:
                own = call(FRESH, n, folder=folder)[0]
            ratios.append(own / bare)
            ours.append(1e6 * own / n)
            bares.append(1e6 * bare / n)
        median = statistics.median
        print(f"  {n:>6} jobs: {median(ours):7.0f} us a job, bare {median(bares):7.0f}, ratio {median(ratios):.2f}")


def nothing(repeat: int) -> None:
    print("second run, nothing changed; declaring included, the script's own functions not")
    for n in (5_000, 20_000):
        with tempfile.TemporaryDirectory() as folder:
            call(INVARIANTS, n, folder=folder)
            times = [call(INVARIANTS, n, folder=folder)[0] for _ in range(repeat)]
        print(f"  {n:>6} jobs, {3 * n} invariants: {1e6 * statistics.median(times) / n:6.1f} us a job")


def shapes(repeat: int) -> None:
    print("decisions alone, per job and edge: fresh, nothing to do")
    for shape, sizes in (
        ("chain", (10_000, 100_000)),
        ("layers", (500, 5_000)),
        ("fan", (100_000, 1_000_000)),
        ("square", (3, 30)),
        ("generators", (500, 5_000)),
    ):
        for n in sizes:
            found = [call(DECIDE, shape, n, folder="/tmp") for _ in range(max(3, repeat // 2))]
            first, second = (statistics.median(each[at] for each in found) for at in (0, 1))
            jobs, edges = found[0][2], found[0][3]
            per = 1e6 / (jobs + edges)
            print(
                f"  {shape:<10} {n:>9}: {jobs:>9.0f} jobs {edges:>9.0f} edges"
                f"  {first * per:6.2f} us  {second * per:6.2f} us"
            )


def whole(repeat: int) -> None:
    print("whole runs of these shapes, declaring included, per job and edge: fresh, nothing to do")
    for shape, sizes, jobs_and_edges in (
        ("chain", (1_000, 10_000), lambda n: 2 * n),
        ("layers", (300, 3_000), lambda n: 12 * n),
        ("square", (3, 10), lambda n: 300 * n + 90_000 * (n - 1)),
        ("fan", (100_000, 1_000_000), lambda n: 2 * n),
        ("generators", (500, 5_000), lambda n: 2 * n),
    ):
        for n in sizes:
            with tempfile.TemporaryDirectory() as folder:
                first, second = (call(WHOLE, n, shape, folder=folder)[0] for _ in range(2))
            per = 1e6 / jobs_and_edges(n)
            print(f"  {shape:<10} {n:>9}: {first * per:8.1f} us  {second * per:6.2f} us")


def memory(repeat: int) -> None:
    print("memory of the master, beyond a run of ten jobs and the script's own functions")
    n = 100_000
    with tempfile.TemporaryDirectory() as folder:
        base = call(
            FRESH.replace("declared =", "more = [make(i) for i in range(100_000)]; declared ="), 10, folder=folder
        )[1]
    with tempfile.TemporaryDirectory() as folder:
        first = call(FRESH, n, folder=folder)[1]
        second = call(FRESH, n, folder=folder)[1]
    for name, peak in (("fresh", first), ("nothing to do", second)):
        print(f"  {n} jobs, {name}: {(peak - base) * 1024 / n:6.0f} bytes a job")


def importing(repeat: int) -> None:
    print("import, beside bare python")
    times: dict[str, list[float]] = {"pass": [], "import pipegraph": []}
    for _ in range(max(11, repeat)):
        for code, found in times.items():
            began = time.perf_counter()
            call(code, folder=str(ROOT))
            found.append(time.perf_counter() - began)
    bare, own = (1e3 * statistics.median(found) for found in times.values())
    print(f"  {own - bare:.0f} ms more than {bare:.0f} ms")


KINDS: dict[str, Callable[[int], None]] = {
    "fresh": fresh,
    "nothing": nothing,
    "shapes": shapes,
    "whole": whole,
    "memory": memory,
    "import": importing,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What pipegraph costs by itself.")
    parser.add_argument("kind", nargs="?", default="all", choices=[*KINDS, "all"])
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    for name, measure in KINDS.items():
        if arguments.kind in (name, "all"):
            measure(arguments.repeat)


if __name__ == "__main__":
    main()
