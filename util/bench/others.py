"""Other tools with the same jobs: fresh, nothing to do, and whether they see that something has changed.

    python util/bench/others.py [--tools …] [--jobs 1000] [--snakemake-jobs 1000] [--repeat 5] [--others-bin FOLDER]

``fresh`` and ``nothing`` are whole processes from start to end, two jobs at a time, in turns, divided by the jobs:
one-line jobs that depend on nothing. What is changed is of a project of two jobs: after each change the tool is called
once, and what it made is compared with what a build from nothing would make.

    right       the files are what they must be, and no job ran that need not have
    wrong       a file is not what it must be
    needless    the files are right, but jobs ran that need not have
    failed      the tool said so

Tools that are not there are left out, and how to get them is said. ``--others-bin`` is where else they are looked for.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import measuring
from measuring import median, thousands
from projects import TOOLS, Small, Tool, environment_of, not_there


class Change(NamedTuple):
    """What is done to the small project, and which jobs must run because of it."""

    name: str
    apply: Callable[[Path], None]
    state: Small
    must_run: frozenset[str]


def rewrite(folder: Path, is_time_restored: bool) -> None:
    """An input in place, with as many bytes as before."""
    path = folder / "in.txt"
    before = path.stat()
    with path.open("r+") as file:
        file.write("c\na\n")
    if is_time_restored:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(folder: Path) -> None:
    """An input by another file of as many bytes and the same time."""
    path, other = folder / "in.txt", folder / "in.new"
    before = path.stat()
    other.write_text("c\na\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def append(path: Path, text: str) -> None:
    """To a file that is there."""
    with path.open("a") as file:
        file.write(text)


BOTH = frozenset({"mid", "end"})
CHANGES = (
    Change("recipe", lambda folder: None, Small(is_reversed=True), BOTH),
    Change("parameter", lambda folder: None, Small(word="second"), BOTH),
    Change("input rewritten, same size", lambda folder: rewrite(folder, False), Small(), BOTH),
    Change("input rewritten, size and time kept", lambda folder: rewrite(folder, True), Small(), BOTH),
    Change("input replaced, size and time kept", replace, Small(), BOTH),
    Change("input left out", lambda folder: None, Small(inputs=("in.txt",)), BOTH),
    Change("output edited", lambda folder: append(folder / "end.txt", "by hand\n"), Small(), frozenset({"end"})),
    Change("output deleted", lambda folder: (folder / "end.txt").unlink(), Small(), frozenset({"end"})),
    Change("same intermediate", lambda folder: append(folder / "in.txt", "a\n"), Small(), frozenset({"mid"})),
)


def judge(tool: Tool, change: Change) -> str:
    """Whether a tool sees a change: right, wrong, needless or failed."""
    with measuring.scratch() as folder:
        (folder / "in.txt").write_text("b\na\n")
        (folder / "other.txt").write_text("x\n")
        env = environment_of(tool, folder)
        command = tool.command(folder, is_small=True)
        tool.small(folder, Small())
        for _ in range(2):
            measuring.measure(command, folder, env)
        if {name: (folder / name).read_text() for name in ("mid.txt", "end.txt")} != Small().expected(folder):
            raise SystemExit(f"{tool.name} does not make the small project")
        (folder / "ran").write_text("")
        time.sleep(0.05)  # clocks of file systems tick every few milliseconds
        change.apply(folder)
        if change.state != Small():
            tool.small(folder, change.state)
        try:
            measuring.measure(command, folder, env)
        except SystemExit:
            return "failed"
        expected = change.state.expected(folder)
        if any(not (folder / name).exists() or (folder / name).read_text() != expected[name] for name in expected):
            return "wrong"
        return "needless" if set((folder / "ran").read_text().split()) - change.must_run else "right"


def timed(tool: Tool, jobs: int) -> tuple[float, float]:
    """Microseconds a job, fresh and with nothing to do."""
    with measuring.scratch() as folder:
        tool.many(folder, jobs)
        env, command = environment_of(tool, folder), tool.command(folder, is_small=False)
        fresh, nothing = (measuring.measure(command, folder, env).seconds for _ in range(2))
        if sum(1 for path in (folder / "o").iterdir() if path.stat().st_size) != jobs:
            raise SystemExit(f"{tool.name} did not make the {jobs} files")
    return 1e6 * fresh / jobs, 1e6 * nothing / jobs


def main() -> None:
    """Measure, and print a row for each tool, and one for each change."""
    names, kinds = [tool.name for tool in TOOLS], [change.name for change in CHANGES]
    given = measuring.settings(
        __doc__,
        {"tools": names, "changes": kinds},
        tools=(names, names),
        changes=(kinds, kinds[-2:]),
        jobs=(1_000, 5),
        snakemake_jobs=(1_000, 2),
        repeat=(5, 1),
        others_bin=("", ""),
    )
    if given.others_bin:
        os.environ["PATH"] = os.pathsep.join([str(Path(given.others_bin).resolve()), os.environ["PATH"]])
    tools = [tool for tool in TOOLS if tool.name in given.tools]
    missing = [said for tool in tools if (said := not_there(tool))]
    tools = [tool for tool in tools if not not_there(tool)]
    jobs = {tool.name: given.snakemake_jobs if tool.name == "snakemake" else given.jobs for tool in tools}
    runs = {tool.name: lambda tool=tool: timed(tool, jobs[tool.name]) for tool in tools}
    found = measuring.in_turns(given.repeat, runs)
    rows = []
    judged: dict[str, list[str]] = {change.name: [] for change in CHANGES}
    changes = [change for change in CHANGES if change.name in given.changes]
    for tool in tools:
        fresh, nothing = (median(times) for times in zip(*found[tool.name]))
        for change in changes:
            measuring.say(f"{tool.name}: {change.name}")
            judged[change.name].append(judge(tool, change))
        numbers = (thousands(jobs[tool.name]), f"{fresh:.0f}", f"{nothing:.0f}")
        rows.append((tool.name, tool.version(), *numbers))
    if rows:
        measuring.table(("tool", "version", "jobs", "fresh µs", "nothing µs"), rows)
    if rows and changes:
        print()
        measuring.table(
            ("changed", *(tool.name for tool in tools)), [(change.name, *judged[change.name]) for change in changes]
        )
    for said in missing:
        print(f"left out: {said}")
    if not rows:
        sys.exit("none of these tools is there")


if __name__ == "__main__":
    main()
