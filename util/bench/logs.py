"""What the logs cost: the master's processor time for 10 000 one-line jobs, with logs and without, side by side.

    python util/bench/logs.py [--jobs 10000] [--repeat 5]

The cost of the run is the processor time of all its processes; the share is what the logs add, of that. They include
the lines by UDP, to which nobody listens. Everything happens in a temporary folder.
"""

from __future__ import annotations

import statistics

import measuring

SCRIPT = """
import resource, sys, time
import graphs
import pipegraph as ppg
count = int(sys.argv[1])
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True)
if sys.argv[2] == "without":
    ppg.util.global_pipegraph.log_directory = None
for number in range(count):
    ppg.FileGeneratingJob(f"o/{number}", graphs.callback(number))
began = time.perf_counter()
ppg.run_pipegraph()
ended = time.perf_counter()
def seconds(who):
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime
own = seconds(resource.RUSAGE_SELF)
print(own, own + seconds(resource.RUSAGE_CHILDREN), ended - began)
"""


def main() -> None:
    given = measuring.settings(__doc__, jobs=(10_000, 20), repeat=(5, 1))

    def run(how: str) -> list[float]:
        with measuring.scratch() as folder:
            return measuring.run_script(SCRIPT, given.jobs, how, folder=folder).printed

    found = measuring.in_turns(given.repeat, {"with": lambda: run("with"), "without": lambda: run("without")})
    medians = {how: [statistics.median(column) for column in zip(*figures)] for how, figures in found.items()}
    for how, (own, everyone, wall) in medians.items():
        each = [1e6 * seconds / given.jobs for seconds in (own, everyone, wall)]
        print(f"  {how:<7} logs: master {each[0]:5.0f} us a job, all processes {each[1]:5.0f}, wall {each[2]:5.0f}")
    added = statistics.median(one[0] - other[0] for one, other in zip(found["with"], found["without"]))
    share = 100 * added / medians["without"][1]
    print(f"  the logs: {1e6 * added / given.jobs:.0f} us a job, {share:.1f} % of the run")


if __name__ == "__main__":
    main()
