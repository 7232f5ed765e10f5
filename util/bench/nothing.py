"""Second runs, with nothing to do: jobs with three invariants (function, parameter, file); where the time goes.

    python util/bench/nothing.py [--jobs 10000 100000] [--repeat 5]
    python util/bench/nothing.py --jobs 1000000 --repeat 1

Beside it is the same script with the declarations of jobs, and the run, replaced by nothing: the script's own work.
Both are whole processes from start to end; ``run`` is from the first declaration to the end of the run. Where the time
goes is looked up a thousand times a second of the script's processor time; children have none to speak of.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import measuring
import phases
from measuring import Measured, difference, median, thousands

AIM = 25
AIM_MILLION_SECONDS = 60
AIM_MILLION_BYTES = 4e9

SCRIPT = """
import os, resource, sys, time
import graphs
count, how = int(sys.argv[1]), sys.argv[2]
if how != "own":
    import pipegraph as ppg
    ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True)
if how == "prepare":
    os.makedirs("in")
    for number in range(count):
        with open(f"in/{number}", "w") as out:
            out.write(str(number))
if how == "phases":
    import phases
    phases.begin()
began = time.perf_counter()
for number in range(count):
    name, callback, path = f"o/{number}", graphs.callback(number), f"in/{number}"
    parameters = {"k": 21, "name": "x", "cutoff": 0.5}
    if how != "own":
        job = ppg.FileGeneratingJob(name, callback)
        job.depends_on(ppg.ParameterInvariant(name, parameters))
        job.depends_on(ppg.FileInvariant(path))
if how != "own":
    ppg.run_pipegraph()
if how == "phases":
    phases.end()
else:
    print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def prepare(text: str, count: int, folder: Path) -> None:
    """Have everything made, and one more run that reads again what is too new to be believed."""
    for name in ("graphs.py", "phases.py"):
        shutil.copyfile(measuring.FOLDER / name, folder / name)
    (folder / "script.py").write_text(text)
    for command in (["at_once.py", "script.py", count, "prepare"], ["script.py", count, "ours"]):
        command[0] = measuring.FOLDER / command[0] if command[0] == "at_once.py" else command[0]
        measuring.say(f"{thousands(count)} jobs: preparing")
        measuring.measure([sys.executable, *command], folder)
    started_in(folder, 0)


def started_in(folder: Path, expected: int) -> None:
    """Check how many jobs the last run has started.

    Raises
    ------
    SystemExit
        Others than it should have.
    """
    with (folder / "logs" / "latest" / "ppg_run.txt").open() as log:
        started = sum(1 for line in log if " started  " in line)
    if started != expected:
        raise SystemExit(f"{started} jobs were started, and not {expected}: {folder}")


def rounds(count: int, repeat: int) -> tuple[dict[str, list[Measured]], list[list[float]]]:
    """The script's own work and all of it, in turns; and some more runs that tell where the time goes."""
    with measuring.scratch() as folder:
        prepare(SCRIPT, count, folder)

        def run(how: str) -> Measured:
            return measuring.run_script(SCRIPT, count, how, folder=folder)

        found = measuring.in_turns(repeat, {"own": lambda: run("own"), "ours": lambda: run("ours")})
        started_in(folder, 0)
        return found, [run("phases").printed for _ in range(max(1, repeat // 2))]


def main() -> None:
    """Measure, and print a row for each size; then where the time of the largest goes."""
    given = measuring.settings(__doc__, jobs=([10_000, 100_000], [50]), repeat=(5, 1))
    rows, reached, said = [], True, []
    for count in given.jobs:
        found, looked = rounds(count, given.repeat)
        own, ours = ([each.seconds for each in found[name]] for name in ("own", "ours"))
        more = 1e6 * difference(ours, own) / count
        runs = difference(*([each.printed[0] for each in found[name]] for name in ("ours", "own")))
        cpu = difference(*([each.cpu_seconds for each in found[name]] for name in ("ours", "own")))
        peak, base = (median([each.printed[1] for each in found[name]]) for name in ("ours", "own"))
        rows.append(
            (
                thousands(count),
                f"{1e6 * median(own) / count:.1f}",
                f"{1e6 * runs / count:.1f}",
                f"{more:.1f}",
                f"{1e6 * cpu / count:.1f}",
                f"{median(ours):.1f}",
                f"{peak / 1e9:.2f}",
                f"{(peak - base) / count:.0f}",
            )
        )
        said.append(f"{more:.1f} at {thousands(count)}")
        reached &= more <= AIM
        if count >= 1_000_000:
            reached = median(ours) < AIM_MILLION_SECONDS and peak < AIM_MILLION_BYTES
            said.append(f"{median(ours):.0f} s, {peak / 1e9:.2f} GB")
    measuring.table(
        (
            "jobs",
            "script's own µs",
            "run, µs more",
            "whole, µs more",
            "CPU µs more",
            "whole s",
            "peak GB",
            "bytes a job",
        ),
        rows,
    )
    measuring.verdict(
        f"{AIM} µs a job beyond the script's own; a million under a minute and 4 GB", ", ".join(said), reached
    )
    columns = [1e6 * median(column) / given.jobs[-1] for column in zip(*looked)]
    shares = list(zip((*phases.ORDER, "waiting"), columns))
    measuring.table(
        (f"where, of {thousands(given.jobs[-1])} jobs", "µs a job", "share"),
        [(name, f"{each:.1f}", f"{100 * each / sum(columns):.0f} %") for name, each in shares],
    )


if __name__ == "__main__":
    main()
