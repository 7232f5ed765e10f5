"""Command jobs beside ninja: the same shell recipes, fresh, whole processes from start to end.

    python util/bench_commands.py [--jobs 1000] [--repeat 5] [--cores 2] [--recipes copy echo pipe]

Both make the same files in a temporary folder, one after the other in each round; the figures are medians of the
rounds, and the ratio is the median of their ratios. Needs ninja.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

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


def main() -> None:
    """Measure, and print a line for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    arguments = parser.parse_args()
    if shutil.which("ninja") is None:
        sys.exit("ninja is not installed (Debian, Ubuntu: apt install ninja-build).")
    for name in arguments.recipes:
        rounds = [_round(RECIPES[name], arguments.jobs, arguments.cores) for _ in range(arguments.repeat)]
        ours, theirs = (statistics.median(each) for each in zip(*rounds))
        ratio = statistics.median(our / their for our, their in rounds)
        print(f"{name}: {arguments.jobs} jobs, pipegraph {ours:.2f} s, ninja {theirs:.2f} s, {ratio:.2f} times")


def _round(recipe: str, jobs: int, cores: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "in.txt").write_text("an input\n")
        (here / "script.py").write_text(SCRIPT)
        rules = [f"rule make\n command = {recipe.format(output='$out')}"]
        rules += [f"build o/{number}: make in.txt" for number in range(jobs)]
        (here / "build.ninja").write_text("\n".join(rules) + "\n")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling all modules each time is no part of it
        ours = _seconds([sys.executable, "script.py", str(jobs), str(cores), recipe], here, environment)
        made = sorted(path.read_text() for path in (here / "o").iterdir())
        shutil.rmtree(here / "o")
        theirs = _seconds(["ninja", f"-j{cores}", "--quiet"], here, environment)
        if made != sorted(path.read_text() for path in (here / "o").iterdir()):
            sys.exit("they did not make the same files")
    return ours, theirs


def _seconds(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
