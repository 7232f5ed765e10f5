"""One change among many jobs that are up to date, beside a run with nothing to do.

    python util/bench/change.py [--jobs 100000] [--repeat 5]

Each job has the three invariants of ``nothing.py``; one job of all depends on what has changed, and it alone must run,
which is checked. Whole processes from start to end.
"""

from __future__ import annotations

from pathlib import Path

import measuring
from measuring import difference, median, thousands
from nothing import SCRIPT, prepare, started_in

AIM_SECONDS = 0.1
"""For one job of one line, in a slave that has all callbacks; noise is larger."""

CHANGED = SCRIPT.replace("began = ", "changed = sys.argv[3]\nbegan = ", 1).replace(
    "    if how", '    if number == 7:\n        parameters["k"] = changed\n    if how', 1
)


def main() -> None:
    """Measure, and print a row for each kind of change."""
    given = measuring.settings(__doc__, jobs=(100_000, 50), repeat=(5, 1))
    with measuring.scratch() as folder:
        prepare(SCRIPT, given.jobs, folder)
        values = iter(range(1, 10**6))
        value = 0

        def run(started: int) -> tuple[float, float]:
            found = measuring.run_script(CHANGED, given.jobs, "ours", value, folder=folder)
            started_in(folder, started)
            return found.seconds, found.cpu_seconds

        def change(path: Path | None) -> tuple[float, float]:
            nonlocal value
            if path is None:
                value = next(values)
            elif path.parent.name == "in":
                path.write_text(f"other {next(values)}")
            else:
                path.unlink()
            return run(1)

        run(1)  # the parameter is one of the command line from here on
        found = measuring.in_turns(
            given.repeat,
            {
                "nothing": lambda: run(0),
                "an input file": lambda: change(folder / "in" / "3"),
                # What is younger than the file system's tick is read again by the next run; no part of the comparison.
                "nothing, after": lambda: run(0),
                "a parameter": lambda: change(None),
                "an output deleted": lambda: change(folder / "o" / "5"),
            },
        )
    nothing = found["nothing"]
    rows, worst = [], 0.0
    for name, times in found.items():
        seconds, cpu = ([list(each) for each in zip(*times)][at] for at in (0, 1))
        base, base_cpu = ([list(each) for each in zip(*nothing)][at] for at in (0, 1))
        more = difference(seconds, base)
        if name != "nothing, after":
            worst = max(worst, more)
            more_cpu = 1e3 * difference(cpu, base_cpu)
            rows.append((name, f"{median(seconds):.2f}", f"{1e3 * more:+.0f}", f"{more_cpu:+.0f}"))
    measuring.table((f"of {thousands(given.jobs)} jobs, changed", "seconds", "ms more", "CPU ms more"), rows)
    measuring.verdict(
        "nothing to do, and what runs (under 0.1 s)", f"{1e3 * worst:+.0f} ms at most", worst <= AIM_SECONDS
    )


if __name__ == "__main__":
    main()
