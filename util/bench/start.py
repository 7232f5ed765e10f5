"""What it takes to begin: the import, and a whole script with one job that is up to date, beside bare Python.

    python util/bench/start.py [--repeat 21]

Whole processes from start to end, in turns.
"""

from __future__ import annotations

import sys

import measuring
from measuring import difference, median

AIM_IMPORT_SECONDS = 0.040
AIM_SCRIPT_SECONDS = 0.120

SCRIPT = """
import pipegraph as ppg
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))
ppg.FileGeneratingJob("made.txt", lambda of: of.write_text("made"))
ppg.run_pipegraph()
"""


def main() -> None:
    """Measure, and print a row for each of them."""
    given = measuring.settings(__doc__, repeat=(21, 1))
    with measuring.scratch() as folder:
        for _ in range(2):
            measuring.run_script(SCRIPT, folder=folder)
        commands = {
            "bare python": ["-c", "pass"],
            "import pipegraph": ["-c", "import pipegraph"],
            "script, one job up to date": ["script.py"],
        }
        found = measuring.in_turns(
            given.repeat,
            {
                name: lambda command=command: measuring.measure([sys.executable, *command], folder)
                for name, command in commands.items()
            },
        )
    walls = {name: [each.seconds for each in times] for name, times in found.items()}
    bare = walls["bare python"]
    rows = [
        (
            name,
            f"{1e3 * median(times):.0f}",
            f"{1e3 * difference(times, bare):.0f}",
            f"{1e3 * median([each.cpu_seconds for each in found[name]]):.0f}",
        )
        for name, times in walls.items()
    ]
    measuring.table(("whole process", "ms", "ms more than bare", "CPU ms"), rows)
    imported, script = difference(walls["import pipegraph"], bare), median(walls["script, one job up to date"])
    measuring.verdict(
        "import under 40 ms beyond bare python, a script with one up-to-date job under 120 ms in all",
        f"{1e3 * imported:.0f} ms, {1e3 * script:.0f} ms",
        imported < AIM_IMPORT_SECONDS and script < AIM_SCRIPT_SECONDS,
    )


if __name__ == "__main__":
    main()
