"""Generators that make jobs in the middle of a run, beside the same jobs declared up front.

    python util/bench/growth.py [--generators 100] [--jobs 1000] [--repeat 3]
    python util/bench/growth.py --jobs 100 --repeat 5                          a quick look

``--jobs`` is of each generator. Fresh, and once more with nothing to do but the generators themselves. From the first
declaration to the end of the run; processor time is that of the script, its slaves and the jobs.
"""

from __future__ import annotations

import measuring
from measuring import median, ratio, thousands

AIM = 1.1

SCRIPT = """
import os, resource, sys, time
import graphs
generators, count, is_grown = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "generators"
import pipegraph as ppg
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True)

def spent():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)

def part(first):
    def declare():
        for number in range(first, first + count):
            ppg.FileGeneratingJob(f"o/{number}", graphs.callback(number))
    return declare

began, used = time.perf_counter(), spent()
for number in range(generators):
    declare = part(number * count)
    if is_grown:
        ppg.JobGeneratingJob(f"generator {number}", declare)
    else:
        declare()
ppg.run_pipegraph()
print(time.perf_counter() - began, spent() - used)
"""


def main() -> None:
    """Measure, and print a row for each of fresh and nothing to do."""
    given = measuring.settings(__doc__, generators=(100, 2), jobs=(1_000, 10), repeat=(3, 1))

    def run(how: str) -> tuple[list[float], list[float]]:
        with measuring.scratch() as folder:
            first, second = (
                measuring.run_script(SCRIPT, given.generators, given.jobs, how, folder=folder).printed for _ in range(2)
            )
            assert len(list((folder / "o").iterdir())) == given.generators * given.jobs
        return first, second

    found = measuring.in_turns(given.repeat, {"up front": lambda: run("up front"), "grown": lambda: run("generators")})
    rows, worst, count = [], 0.0, given.generators * given.jobs
    for at, name in enumerate(("fresh", "nothing to do")):
        front, grown = ([list(each) for each in zip(*(one[at] for one in found[how]))] for how in ("up front", "grown"))
        times = [1e6 * median(each) / count for each in (*front, *grown)]
        wall, cpu = ratio(grown[0], front[0]), ratio(grown[1], front[1])
        worst = max(worst, wall)
        rows.append((name, *(f"{each:.0f}" for each in times), f"{wall:.2f}", f"{cpu:.2f}"))
    print(f"{given.generators} generators of {thousands(given.jobs)} jobs each; microseconds a job\n")
    measuring.table(
        ("run", "up front µs", "up front CPU µs", "generators µs", "generators CPU µs", "times", "times, CPU"), rows
    )
    measuring.verdict(f"{AIM} times the same jobs up front", f"{worst:.2f} at most", worst <= AIM)


if __name__ == "__main__":
    main()
