"""Many tiny jobs in shared processes, beside make and ninja on the same files, and a bare loop over reused children.

    python util/bench/tiny.py [--jobs 1000 10000] [--repeat 5]

Each job writes its number to a file: ``echo N > o/N`` for make and ninja, the same as a Python function for the others.
Whole processes from start to end, two jobs at a time. The bare loop has two children, gives each the number of a job,
hashes what it made and writes a record: what nobody can avoid who reuses processes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import measuring
from measuring import Measured, median, ratio, thousands
from projects import Make, Ninja, Ours, Tool, environment_of, not_there

AIM = 3.0

REUSED = """
import os, select, socket, sys, time
import graphs
from xxhash import xxh3_128_hexdigest
count = int(sys.argv[1])
jobs = [graphs.callback(number) for number in range(count)]
os.makedirs("o", exist_ok=True)

def serve(end):
    while told := end.recv(64):
        number = int(told)
        jobs[number]()
        with open(f"o/{number}", "rb") as made:
            end.send(xxh3_128_hexdigest(made.read()).encode())
    os._exit(0)

ends = []
for _ in range(2):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        for each in ends:
            each.close()
        serve(theirs)
    theirs.close()
    ends.append(ours)
record = os.open("records", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
poll = select.poll()
at = dict()
waiting = iter(range(count))
for end in ends:
    poll.register(end, select.POLLIN)
    number = next(waiting, None)
    if number is not None:
        end.send(b"%d" % number)
        at[end.fileno()] = end, number
while at:
    for fd, _ in poll.poll():
        end, number = at.pop(fd)
        content = end.recv(64)
        os.write(record, b"made o/%d %s %f\\n" % (number, content, time.time()))
        number = next(waiting, None)
        if number is None:
            poll.unregister(fd)
            end.close()
        else:
            end.send(b"%d" % number)
            at[fd] = end, number
for _ in ends:
    assert os.wait()[1] == 0
"""


class Reused:
    """The bare loop."""

    name = "bare loop, reused children"
    program = sys.executable

    def many(self, folder: Path, jobs: int) -> None:
        self._jobs = str(jobs)
        (folder / "script.py").write_text(REUSED)
        (folder / "graphs.py").write_text((measuring.FOLDER / "graphs.py").read_text())

    def command(self, folder: Path, is_small: bool) -> list[str]:
        return [sys.executable, "script.py", self._jobs]


def run(tool: Tool | Reused, jobs: int) -> Measured:
    """One tool, once, fresh."""
    with measuring.scratch() as folder:
        tool.many(folder, jobs)
        env = measuring.environment() if isinstance(tool, Reused) else environment_of(tool, folder)
        found = measuring.measure(tool.command(folder, is_small=False), folder, env)
        if sum(1 for path in (folder / "o").iterdir() if path.stat().st_size) != jobs:
            raise SystemExit(f"{tool.name} did not make the {jobs} files")
    return found


def rounds(tools: list[Tool | Reused], jobs: int, repeat: int) -> dict[str, list[Measured]]:
    """All of them in turns."""
    return measuring.in_turns(repeat, {tool.name: lambda tool=tool: run(tool, jobs) for tool in tools})


def main() -> None:
    """Measure, and print a row for each tool and size."""
    given = measuring.settings(__doc__, jobs=([1_000, 10_000], [10]), repeat=(5, 1))
    ours = Ours("shared")
    wanted: list[Tool] = [ours, Make(), Ninja()]
    missing = [said for tool in wanted if (said := not_there(tool))]
    there = [tool for tool in wanted if not not_there(tool)]
    rows, least = [], float("inf")
    for count in given.jobs:
        found = rounds([*there, Reused()], count, given.repeat)
        for name, times in found.items():
            seconds = [each.seconds for each in times]
            cells = [f"{1e6 * median(each) / count:.0f}" for each in (seconds, [each.cpu_seconds for each in times])]
            more = ""
            if ours.name in found and name != ours.name:
                times_ours = ratio(seconds, [each.seconds for each in found[ours.name]])
                more = f"{times_ours:.2f}"
                least = min(least, times_ours) if name in ("make", "ninja") else least
            rows.append((name, thousands(count), *cells, more))
    measuring.table(("who", "jobs", "µs a job", "CPU µs a job", "times pipegraph's"), rows)
    for said in missing:
        print(f"left out: {said}")
    if least < float("inf"):
        measuring.verdict(f"{AIM:.0f} times the throughput of make and ninja", f"{least:.2f} at least", least >= AIM)


if __name__ == "__main__":
    main()
