"""What each job's process does, done a few times in the slave before it forks the first.

CPython does much only once: it specialises bytecode that was run some times, looks up symbols of the C library and the
names of arguments when they are first used, fills caches of attributes. A fork that finds all that done does not do it
again, and does not write to the memory where it is kept, each page of which it would have to copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from ..model import ALONE, Grant, Growth, InputId, JobId, Place
from . import messages
from .capture import Slot
from .forks import Forks
from .opened import Openings
from .protocol import Order, Surroundings

TIMES = 16
"""Twice what CPython 3.11 waits before it specialises a function's bytecode; later versions wait less."""


class _Rehearsed:
    """A job, as far as `run_job` asks; it does what most callbacks do."""

    job_id: JobId = "rehearsal"
    place = Place("", 0)
    empty_ok: frozenset[str] = frozenset()
    rename_broken = changes_slave = is_generator = is_program = False
    loaded_fingerprint = recorded_content = command_line = ""
    granted: Grant = ALONE
    timeout_seconds = 0.0
    input_ids: Iterable[InputId] = ()

    def __init__(self, path: str) -> None:
        self.outputs = (path,)
        self.function: Callable[[], object] = self._write

    def run(self) -> None:
        assert self.function is not None
        self.function()

    def _write(self) -> None:
        (path,) = self.outputs
        with open(path, "w") as out:
            out.write(f"{self.job_id}\n")
        with open(path) as source:
            source.read()

    def paths_in_command(self) -> Iterable[str]:
        return ()

    def launch(self, environment: object) -> None:
        return None

    def release(self) -> None:
        pass


class _Stage:
    """A graph of that one job."""

    def __init__(self, job: _Rehearsed) -> None:
        self._job = job

    def job(self, job_id: JobId) -> _Rehearsed:
        return self._job

    def maker(self, name: InputId) -> None:
        return None

    def begin_growth(self, job_id: JobId) -> None:
        pass

    def end_growth(self) -> Growth:
        raise AssertionError

    def explain(self, invariant: JobId) -> None:
        raise AssertionError


def rehearse(around: Surroundings, openings: Openings) -> None:
    """Leaves nothing behind; what goes wrong is of no consequence. Called in the run's directory."""
    job = _Rehearsed(os.path.join(around.folder, "rehearsal"))
    slot = Slot.__new__(Slot)
    slot.stdout, slot.stderr = 1, 2
    reader, writer = messages.pair()
    try:
        # Not strict: what a process gives up, it never gets back.
        stage = around._replace(workload=_Stage(job), reports=writer, terminal=None, is_strict=False)
        forks = Forks(stage, -1, openings, 0)
        for _ in range(TIMES):
            forks.rehearse(job, slot, Order(job.job_id, 0))
            received = messages.receive(reader)
            if received is None or len(received[0]) < 3:
                return  # it failed, for instance by a full disk; jobs will say so
            os.unlink(job.outputs[0])
    except (OSError, messages.Gone):
        pass
    finally:
        reader.close()
        writer.close()
