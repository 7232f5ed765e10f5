"""Command jobs beside ninja: the same shell recipes, fresh, whole processes from start to end.

    python util/bench/commands.py [--jobs 1000 10000] [--repeat 5] [--cores 2] [--recipes copy echo pipe]

Both make the same files in a temporary folder, one after the other in each round; the figures are medians of the
rounds, and the ratio is the median of their ratios. Processor time is that of all processes. Needs ninja.
"""

from __future__ import annotations

import shutil
import sys

import measuring
from measuring import Measured, median, ratio, thousands

AIM = 1.1

RECIPES = {
    "copy": "cat in.txt > {output}",
    "echo": "echo made > {output}",
    "pipe": "cat in.txt | tr a b > {output}",
}

SCRIPT = """
import sys
import pipegraph as ppg
n, cores, recipe = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(cores), quiet=True)
for number in range(n):
    ppg.CommandJob(f"o/{number}", recipe, "in.txt")
ppg.run_pipegraph()
"""


def rounds(recipe: str, count: int, cores: int, repeat: int) -> dict[str, list[tuple[Measured, list[str]]]]:
    """Both in turns, with what they made."""
    with measuring.scratch() as folder:
        (folder / "in.txt").write_text("an input\n")
        (folder / "script.py").write_text(SCRIPT)
        rules = [f"rule make\n command = {recipe.format(output='$out')}"]
        rules += [f"build o/{number}: make in.txt" for number in range(count)]
        (folder / "build.ninja").write_text("\n".join(rules) + "\n")

        def run(*command: object) -> tuple[Measured, list[str]]:
            for left in (".pipegraph_status", ".ninja_log", ".ninja_deps"):
                (folder / left).unlink(missing_ok=True)
            shutil.rmtree(folder / "o", ignore_errors=True)
            measured = measuring.measure(command, folder)
            return measured, sorted(path.read_text() for path in (folder / "o").iterdir())

        return measuring.in_turns(
            repeat,
            {
                "ours": lambda: run(sys.executable, "script.py", count, cores, recipe),
                "ninja": lambda: run("ninja", f"-j{cores}", "--quiet"),
            },
        )


def main() -> None:
    """Measure, and print a row for each recipe and size."""
    given = measuring.settings(
        __doc__,
        {"recipes": list(RECIPES)},
        jobs=([1_000, 10_000], [10]),
        recipes=(list(RECIPES), list(RECIPES)),
        cores=(2, 2),
        repeat=(5, 1),
    )
    if measuring.missing("ninja"):
        sys.exit(measuring.missing("ninja"))
    rows, worst = [], 0.0
    for count in given.jobs:
        for name in given.recipes:
            found = rounds(RECIPES[name], count, given.cores, given.repeat)
            if found["ours"][0][1] != found["ninja"][0][1]:
                sys.exit("they did not make the same files")
            seconds, cpu = (
                [[1e6 * each[0][at] / count for each in found[who]] for who in ("ours", "ninja")] for at in (0, 1)
            )
            wall = ratio(*seconds)
            worst = max(worst, wall)
            times = [f"{median(each):.0f}" for each in (*seconds, *cpu)]
            rows.append((name, thousands(count), *times, f"{wall:.2f}", f"{ratio(*cpu):.2f}"))
    heads = ("recipe", "jobs", "run µs", "ninja µs", "run CPU µs", "ninja CPU µs", "times", "times, CPU")
    measuring.table(heads, rows)
    measuring.verdict(f"{AIM} times ninja", f"{worst:.2f} at most", worst <= AIM)


if __name__ == "__main__":
    main()
