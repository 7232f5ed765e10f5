"""What the logs cost: the master's processor time for 10 000 one-line jobs, with logs and without, side by side.

    python util/bench_logs.py [--jobs 10000] [--repeat 5]

The cost of the run is the processor time of all its processes; the share is what the logs add, of that. They include
the lines by UDP, to which nobody listens. Everything happens in a temporary folder.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile

from bench import FRESH, call

SCRIPT = FRESH.replace(
    "quiet=True)", "quiet=True)\nif sys.argv[2] == 'without':\n    ppg.util.global_pipegraph.log_directory = None"
).replace("print(ended - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)", "")
SCRIPT += """
def seconds(who):
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime
own = seconds(resource.RUSAGE_SELF)
print(own, own + seconds(resource.RUSAGE_CHILDREN), ended - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="What the logs cost.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    found: dict[str, list[list[float]]] = {"with": [], "without": []}
    for _ in range(arguments.repeat):
        for how, figures in found.items():
            with tempfile.TemporaryDirectory() as folder:
                figures.append(call(SCRIPT, arguments.jobs, how, folder=folder))
    medians = {how: [statistics.median(column) for column in zip(*figures)] for how, figures in found.items()}
    for how, (own, everyone, wall) in medians.items():
        each = [1e6 * seconds / arguments.jobs for seconds in (own, everyone, wall)]
        print(f"  {how:<7} logs: master {each[0]:5.0f} us a job, all processes {each[1]:5.0f}, wall {each[2]:5.0f}")
    added = statistics.median(one[0] - other[0] for one, other in zip(found["with"], found["without"]))
    share = 100 * added / medians["without"][1]
    print(f"  the logs: {1e6 * added / arguments.jobs:.0f} us a job, {share:.1f} % of the run")


if __name__ == "__main__":
    main()
