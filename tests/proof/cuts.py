"""Runs over a real status file that is cut at every byte: what is read back, and how the next run goes on.

For each small graph a first run from nothing is recorded, and second ones, after each invariant has changed or an
output was deleted, in every other of which a job fails. The file as it was after each byte of each record is then what
a death left behind: it must be read as if the torn record had never been begun (or as if it were whole, where only its
line feed is missing), the next run must go on from there, and what that run records must be there afterwards.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from pipegraph.events import Warned
from pipegraph.model import Past, Trace
from pipegraph.status import PAST_UNKNOWN, StatusFile

from .explore import Explorer, Tally
from .graphs import OUTPUT, Shape, all_shapes
from .oracle import Known
from .world import Fingerprints, Run, Situation, Violation, with_file


class Written(NamedTuple):
    """One record: where in the file it stands, and how things were before and after it."""

    begin: int
    end: int
    before: Situation
    after: dict[str, Known]


class RecordedRun(Run):
    """A run whose memory is a status file."""

    def __init__(self, status: StatusFile, path: Path, *arguments: Any) -> None:
        self.status = status
        self.path = path
        self.written: list[Written] = []
        super().__init__(*arguments)

    def remember(self, what: str, name: str, trace: Trace | None = None) -> None:
        """Write a record."""
        begin, before = self.path.stat().st_size, self.situation()
        known = dict(self.known)
        if what == "made":
            assert trace is not None
            self.status.note_made(name, trace)
        elif what == "started":
            self.status.note_started(name, 1.0)
        else:
            self.status.note_failed(name, 1.0)
        self.written.append(Written(begin, self.path.stat().st_size, before, known))

    def take(self, what: str, name: str = "") -> None:
        """A step; what came of its record is known behind it."""
        super().take(what, name)
        if self.written:
            self.written[-1] = self.written[-1]._replace(after=dict(self.known))

    def past_of(self, name: str) -> Past | None:
        """As the file has it."""
        past = self.status.past(name)
        return None if past is PAST_UNKNOWN else past


class Cutter:
    """All cuts of one graph's runs.

    Parameters
    ----------
    step
        1: at every byte; more: at the ends of records and every so many bytes between them.
    """

    def __init__(self, shape: Shape, folder: Path, tally: Tally, step: int = 1) -> None:
        explorer = Explorer(shape, tally)
        self.graph, self.choices = explorer.graphs[0], explorer.choices
        self.path, self.tally, self.step = folder / "status", tally, step
        self.names = Fingerprints()

    def cut_everywhere(self) -> None:
        """Raises Violation."""
        self.tally.graphs += 1
        first = self._run(Situation(tuple((name, values[0]) for name, values in self.choices.items())))
        self._cut(first)
        settled, end = self.path.read_bytes(), first.situation()
        changed = [
            end._replace(values=tuple((dict(end.values) | {name: values[1]}).items()))
            for name, values in self.choices.items()
        ]
        changed += [end._replace(files=with_file(end.files, path, None)) for path, _ in end.files]
        for fails, situation in enumerate(changed):
            self.path.write_bytes(settled)
            self._cut(self._run(situation, fails % 2 == 0))
        self.path.unlink()

    def _run(self, before: Situation, fails: bool = False) -> RecordedRun:
        self.tally.runs += 1
        with StatusFile.open(self.path, self._refuse) as status:
            run = RecordedRun(status, self.path, self.graph, before, self.names)
            while fails and not run.has_ended and not run.running:
                run.take("start", next(iter(run.ready)))
                if run.graph.jobs[next(iter(run.running))].role == OUTPUT:
                    run.take("fail", next(iter(run.running)))
            run.go_straight()
        self.tally.steps += len(run.steps)
        return run

    def _cut(self, run: RecordedRun) -> None:
        whole = self.path.read_bytes()
        for record in run.written:
            for size in {*range(record.begin, record.end + 1, self.step), record.end - 1, record.end}:
                self.tally.cuts += 1
                self.path.write_bytes(whole[:size])
                self._go_on(record, size)
        self.path.write_bytes(whole)

    def _go_on(self, record: Written, size: int) -> None:
        known = record.after if size >= record.end - 1 else dict(record.before.known)
        situation = record.before._replace(known=tuple(sorted(known.items())))
        warnings: list[Warned] = []
        with StatusFile.open(self.path, warnings.append) as status:
            if len(warnings) != (record.begin < size < record.end - 1):
                raise Violation(f"a cut at byte {size} of {record.begin} to {record.end} gives {warnings}")
            run = RecordedRun(status, self.path, self.graph, situation, self.names)
            self._compare(run, f"after a cut at byte {size}")
            run.go_straight()
        with StatusFile.open(self.path, self._refuse) as run.status:
            self._compare(run, f"after a run that went on from a cut at byte {size}")
        self.tally.runs += 1
        self.tally.steps += len(run.steps)

    def _compare(self, run: RecordedRun, when: str) -> None:
        for name in self.graph.jobs:
            meant, read = Run.past_of(run, name), run.past_of(name)
            if read is not None and read.trace is not None:
                # What a run decides never depends on why a job was made: the oracle knows no reasons.
                read = read._replace(trace=read.trace._replace(reasons=()))
            if meant != read:
                raise Violation(f"{name}, {when}: {read} was read, and should be {meant}")

    def _refuse(self, warning: Warned) -> None:
        raise Violation(f"nothing is torn, and the status file says: {warning.headline}")


def cut_all(shapes: list[Shape], step: int) -> Tally:
    """Cut the runs of all these graphs; raises Violation."""
    tally = Tally()
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="pipegraph-cuts-", dir=shared) as folder:
        for shape in shapes:
            Cutter(shape, Path(folder), tally, step).cut_everywhere()
    return tally


def main(arguments: list[str]) -> int:
    """``python tests/proof cuts``."""
    parser = argparse.ArgumentParser(prog=sys.argv[0], description=__doc__)
    parser.add_argument("--jobs", type=int, default=3, help="how many jobs a graph has (3)")
    parser.add_argument("--step", type=int, default=1, metavar="BYTES", help="cut every so many bytes (1)")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        tally = cut_all(list(all_shapes(options.jobs)), options.step)
    except Violation as violation:
        print(violation)
        return 1
    print(f"{options.jobs} jobs: {tally}; {time.monotonic() - began:.0f} s; no violation")
    return 0
