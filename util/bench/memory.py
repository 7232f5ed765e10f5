"""Memory of the script's process, beyond that of a script of ten jobs which holds as many functions.

python util/bench/memory.py [--jobs 100000] [--repeat 1]
"""

from __future__ import annotations

import measuring
from measuring import median, thousands

AIM_BYTES = 3_000

SCRIPT = """
import resource, sys
import graphs
import pipegraph as ppg
count, held = int(sys.argv[1]), int(sys.argv[2])
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True)
callbacks = [graphs.callback(number) for number in range(held)]
for number in range(count):
    ppg.FileGeneratingJob(f"o/{number}", callbacks[number])
ppg.run_pipegraph()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def main() -> None:
    """Measure, and print a row for each kind of run."""
    given = measuring.settings(__doc__, jobs=(100_000, 20), repeat=(1, 1))

    def run(count: int) -> list[float]:
        with measuring.scratch() as folder:
            first, second = (
                measuring.run_script(SCRIPT, count, given.jobs, folder=folder).printed[0] for _ in range(2)
            )
        return [first, second]

    found = measuring.in_turns(given.repeat, {"ten": lambda: run(10), "all": lambda: run(given.jobs)})
    rows, most = [], 0.0
    for at, name in enumerate(("fresh", "nothing to do")):
        more = median([big[at] - small[at] for big, small in zip(found["all"], found["ten"])]) / given.jobs
        most = max(most, more)
        rows.append((name, f"{more:.0f}"))
    measuring.table((f"{thousands(given.jobs)} jobs", "bytes a job"), rows)
    measuring.verdict(f"{AIM_BYTES} bytes a job", f"{most:.0f}", most <= AIM_BYTES)


if __name__ == "__main__":
    main()
