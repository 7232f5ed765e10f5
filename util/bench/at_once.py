"""Get a folder up to date fast: run a script with its jobs called in the script's own process, one after the other.

    python at_once.py SCRIPT [ARGUMENT …]

Only for benchmarks, which need 100 000 jobs made before they measure what comes after. All else of the run is as
always: what is recorded, and the logs. Not for jobs that load or generate.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections.abc import Iterable
from typing import Any

import pipegraph.slaves
from pipegraph.events import Event, FilesRead, JobBegan, JobSucceeded
from pipegraph.invariants import files
from pipegraph.model import JobSpec, Usage
from pipegraph.slaves import LocalSlave


class AtOnce(LocalSlave):
    """In the place of a slave, for the loop; it has no process."""

    def __init__(self, graph: Any, *arguments: Any, **more: Any) -> None:
        super().__init__(graph, *arguments, **more)
        self._jobs = graph
        self._told: list[Event] = []
        self._ahead: list[JobSpec] = []
        self._always = os.open(os.devnull, os.O_RDONLY)

    def begin(self) -> None:
        self._told = []

    def read(self, wanted: Iterable[tuple[str, int]]) -> None:
        self._told.append(FilesRead(tuple(files.read(path) for path, _ in wanted), (), 0, 0, 0))

    @property
    def has_news(self) -> bool:
        return bool(self._told)

    def end(self) -> None:
        os.close(self._always)

    def fileno(self) -> list[int]:
        return [self._always]

    def next_deadline(self) -> None:
        return None

    def start(self, spec: JobSpec, is_ahead: bool = False, *_: Any, **__: Any) -> None:
        if is_ahead:
            self._ahead.append(spec)
        else:
            self._call(spec)

    def go(self, job: str) -> None:
        """Its turn comes in any case."""

    def receive(self, readable: object = None) -> list[Event]:
        for spec in self._ahead:
            self._told.append(JobBegan(spec.id))
            self._call(spec)
        told, self._told, self._ahead = self._told, [], []
        return told

    def _call(self, spec: JobSpec) -> None:
        for path in spec.outputs:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        began = time.time()
        self._jobs.job(spec.id).run()
        records = tuple(files.read(path) for path in spec.outputs)
        self._told.append(JobSucceeded(spec.id, records, Usage(began, time.time() - began)))


def main() -> None:
    """Run the script that was named."""
    vars(pipegraph.slaves)["LocalSlave"] = AtOnce
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.getcwd())
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
