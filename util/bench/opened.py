"""What it costs to note which files jobs open: by open, by other events of the interpreter, by job; and to be strict.

    python util/bench/opened.py [--repeat 7] [--jobs 2000]

Each with and without, in turns; medians. Everything happens in a temporary folder.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile

import measuring

EVENTS = """
import os, sys, time
from pipegraph.slaves import opened
class Job:
    outputs = ("out.txt",)
    input_ids = ()
if sys.argv[1] == "with":
    openings = opened.Openings(os.getcwd())
    openings.job, openings.outputs, openings.is_on = Job, Job.outputs, True
names = [f"{i}.txt" for i in range(200)]
for name in names:
    open(name, "w").close()
def opens():
    for name in names:
        os.close(os.open(sys.prefix, os.O_RDONLY))
        open(name).close()
def ids():
    for _ in range(20_000):
        id(names)
for what, count in ((opens, 400), (ids, 20_000)):
    times = []
    for _ in range(20):
        began = time.perf_counter()
        what()
        times.append((time.perf_counter() - began) / count)
    print(min(times) * 1e9)
"""

JOBS = """
import os, sys, time, resource
import pipegraph as ppg
from pipegraph.slaves import opened
if sys.argv[1] == "without":
    sys.addaudithook = lambda hook: None
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True, log_port=None, strict=sys.argv[1] == "strict")
def make(i):
    def f():
        with open(f"o/{i}", "w") as out:
            out.write(str(i))
    return f
for i in range(int(sys.argv[2])):
    ppg.FileGeneratingJob(f"o/{i}", make(i))
began = time.perf_counter()
ppg.run_pipegraph()
print((time.perf_counter() - began) / int(sys.argv[2]) * 1e6)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print((used.ru_utime + used.ru_stime) / int(sys.argv[2]) * 1e6)
print(used.ru_minflt / int(sys.argv[2]))
"""


def measure(program: str, *arguments: str) -> list[float]:
    """The numbers that a program prints, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        answer = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=folder,
            env=measuring.environment(PYTHONHASHSEED="0"),
            capture_output=True,
            text=True,
            check=True,
        )
    return [float(line) for line in answer.stdout.split()]


def main() -> None:
    """Measure, and print a table."""
    given = measuring.settings(__doc__, repeat=(7, 1), jobs=(2_000, 20))
    for program, arguments, names in (
        (EVENTS, (), ("ns an open", "ns an id()")),
        (JOBS, (str(given.jobs),), ("us a job", "us of processors", "page faults a job")),
    ):
        found: dict[str, list[list[float]]] = {"without": [], "with": []}
        if program is JOBS:
            found["strict"] = []
        for _ in range(given.repeat):
            for how, rows in found.items():
                rows.append(measure(program, how, *arguments))
        for at, name in enumerate(names):
            middle = {how: statistics.median(row[at] for row in rows) for how, rows in found.items()}
            more = [f"{how} {value:>8.1f} ({value - middle['without']:+.1f})" for how, value in middle.items()]
            print(f"{name:<20} {'   '.join(more)}")


if __name__ == "__main__":
    main()
