"""Jobs whose programs share cores, and a run of them without a loop: a slave, and the host of the jobserver."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path

import pipegraph as ppg
from pipegraph.events import JobFailed, JobsLost, JobStopped, JobSucceeded
from pipegraph.machine.jobserver import Lending, Style
from pipegraph.model import NO_GROWTH
from pipegraph.slaves import LocalSlave

STYLES = {"fifo": Style.FIFO, "descriptors": Style.DESCRIPTORS}
SECONDS = 100


class OwnCommandJob(ppg.CommandJob):
    """One that has to be called in Python."""

    def run(self):
        super().run()


class Bench:
    """Jobs, a slave that runs them, and the host."""

    def __init__(self, folder: Path, style: str, most: int) -> None:
        self.jobs: dict[str, ppg.Job] = {}
        self.lending = Lending(str(folder), most, STYLES[style])
        self.slave: LocalSlave | None = None
        self.ended: dict[str, object] = {}

    def job(self, job_id):
        return self.jobs[job_id]

    def maker(self, name):
        return None

    def begin_growth(self, job_id):
        pass

    def end_growth(self):
        return NO_GROWTH

    def begin(self, *jobs, is_strict=False):
        """All jobs are there before the slave is."""
        self.jobs = {job.job_id: job for job in jobs}
        self.slave = LocalSlave(self, "test", None, 30.0, is_strict)
        self.slave.begin()

    def start(self, job, shares=True, **how):
        *_, spec = job.specs()
        self.slave.start(spec, access=self.lending.begin(spec.id) if shares else None, **how)

    def end_of(self, job):
        give_up_at = time.monotonic() + SECONDS
        while job.job_id not in self.ended:
            assert time.monotonic() < give_up_at, f"only {self.ended}"
            select.select(list(self.slave.fileno()), [], [], 0.05)
            for event in self.slave.receive():
                if isinstance(event, (JobSucceeded, JobFailed, JobStopped)):
                    self.ended[event.job] = event
                assert not isinstance(event, JobsLost), event
        return self.ended.pop(job.job_id)

    def run(self, job, shares=True, **how):
        self.start(job, shares, **how)
        return self.end_of(job)

    def close(self):
        if self.slave is not None:
            self.slave.end()
        self.lending.close()


def callback_of(*words):
    def build(output):
        with output.open("w") as out:
            subprocess.run(words, stdout=out, check=True)

    return build


def job_of(way: str, *words: str, name: str = "built", **settings: object) -> ppg.Job:
    """A job that runs a program in one of the ways in which a job can."""
    line = " ".join(words)
    if way == "callback":
        return ppg.FileGeneratingJob(name, callback_of(*words), empty_ok=True)
    if way == "os.system":
        return ppg.FileGeneratingJob(name, lambda output: os.system(f"{line} > {output}"), empty_ok=True)
    if way == "program":
        return ppg.CommandJob(name, [*words], stdout=name, empty_ok=True, **settings)
    if way == "pipe":
        return ppg.CommandJob(name, f"{line} | cat > {{output}}", empty_ok=True, **settings)
    if way == "second of a pipe":
        return ppg.CommandJob(name, f"cat /dev/null | {line} > {{output}}", empty_ok=True, **settings)
    if way == "shell":
        return ppg.CommandJob(name, f"for each in once; do {line}; done > {{output}}", empty_ok=True, **settings)
    assert way == "program from Python"
    return OwnCommandJob(name, [*words], stdout=name, empty_ok=True, **settings)


WAYS = ["callback", "os.system", "program", "pipe", "second of a pipe", "shell", "program from Python"]


def said(event):
    """Nothing, of a job of which nothing is to be said."""
    assert isinstance(event, JobSucceeded), event
    return event.printed.stdout, event.printed.stderr, event.remarks


NOTHING_SAID = "", "", ()
