"""The files in logs/, for afterwards. Owns them; a log that can't be written costs a warning, never the run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TextIO

from ..errors import shown
from ..events import Event, GraphGrew, JobFailed, JobStopped, JobSucceeded, RunEnded
from ..model import JobSpec, Role
from .wording import Clock, describe_failure, line_of

KEPT_RUNS = 20
"""How many earlier runs' logs are kept."""
_NAMES = ("ppg_run.txt", "ppg_errors.txt", "ppg_graph.txt", "ppg_runtimes.tsv")


class Logs:
    """Writes what happened; `also` is given each line of ppg_run.txt, `specs` are all jobs by id."""

    def __init__(
        self,
        specs: Mapping[str, JobSpec],
        directory: str,
        dump_graph: bool,
        warn: Callable[[str], None],
        also: Callable[[str], None],
    ) -> None:
        self._specs = specs
        self._directory = directory
        self._dump_graph = dump_graph
        self._warn = warn
        self._also = also
        self._clock = Clock()
        self._files: dict[str, TextIO] = {}
        self._is_broken = False
        try:
            os.makedirs(directory, exist_ok=True)
            _number_earlier_runs(directory)
        except OSError as error:
            self._give_up(error)

    def see(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, GraphGrew):
            if self._dump_graph:
                self._write_graph(event)
            return
        line = line_of(event, self._specs)
        if line:
            line = f"{self._clock.now()} {line}\n"
            self._write("ppg_run.txt", line)
            self._also(line)
        if isinstance(event, JobFailed):
            self._write_runtime(event.job, event.usage.started_at, event, "failed")
            failed = self._specs.get(event.job)
            if failed is not None:
                block = describe_failure(failed, event.failure, event.printed)
                self._write("ppg_errors.txt", f"{self._clock.now()} {block}\n\n")
            self.tick(0.0)
        elif isinstance(event, JobSucceeded):
            self._write_runtime(event.job, event.usage.started_at, event, "made")
        elif isinstance(event, (JobStopped, RunEnded)):
            self.tick(0.0)

    def tick(self, now: float) -> None:
        """Let readers see what was written; about once a second."""
        for file in self._files.values():
            try:
                file.flush()
            except OSError as error:
                self._give_up(error)
                return

    def close(self) -> None:
        """The run is over."""
        for file in self._files.values():
            try:
                file.close()
            except OSError as error:
                self._give_up(error)
        self._files = {}

    def _write(self, name: str, text: str) -> None:
        if self._is_broken:
            return
        file = self._files.get(name)
        try:
            if file is None:
                path = os.path.join(self._directory, name)
                file = open(path, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
                self._files[name] = file
                if name == "ppg_runtimes.tsv":
                    file.write("job\tseconds\tcpu_seconds\tpeak_bytes\tstarted_at\toutcome\n")
            file.write(text)
        except OSError as error:
            self._give_up(error)

    def _write_graph(self, event: GraphGrew) -> None:
        parts = []
        for spec in event.jobs:
            if spec.role is not Role.INVARIANT:
                parts.append(f"{shown(spec.id)}\n")
                parts += [f"    needs {shown(name)}\n" for name in spec.inputs]
        for dependent, name in event.edges:
            parts.append(f"{shown(dependent)}\n    needs {shown(name)}\n")
        self._write("ppg_graph.txt", "".join(parts))

    def _write_runtime(self, job: str, started_at: float, event: JobSucceeded | JobFailed, outcome: str) -> None:
        usage = event.usage
        self._write(
            "ppg_runtimes.tsv",
            f"{shown(job)}\t{usage.seconds:.6f}\t{usage.cpu_seconds:.6f}\t{usage.peak_bytes}\t{started_at:.3f}\t{outcome}\n",
        )

    def _give_up(self, error: OSError) -> None:
        if self._is_broken:
            return
        self._is_broken = True
        for file in self._files.values():
            try:
                file.close()
            except OSError:
                pass
        self._files = {}
        self._warn(f"no logs are written to {shown(self._directory)}: {error.strerror}. The run goes on.")


def _number_earlier_runs(directory: str) -> None:
    """The last run's logs get the next number; the oldest beyond the bound are removed."""
    pattern = re.compile(r"ppg_(?:run|errors|graph|runtimes)\.(\d+)\.(?:txt|tsv)")
    numbered: dict[int, list[str]] = {}
    for name in os.listdir(directory):
        found = pattern.fullmatch(name)
        if found:
            numbered.setdefault(int(found[1]), []).append(name)
    present = [name for name in _NAMES if os.path.lexists(os.path.join(directory, name))]
    if present:
        number = max(numbered, default=0) + 1
        for name in present:
            stem, ending = name.split(".")
            new = f"{stem}.{number}.{ending}"
            os.rename(os.path.join(directory, name), os.path.join(directory, new))
            numbered.setdefault(number, []).append(new)
    for number in sorted(numbered)[:-KEPT_RUNS]:
        for name in numbered[number]:
            os.unlink(os.path.join(directory, name))
