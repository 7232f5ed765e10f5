"""Whole scripts: written to a folder, run as a person would, looked at afterwards."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = "import os, sys, time, signal\nimport pipegraph as ppg\n"


class Script:
    """A script in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun: list[subprocess.Popen[str]] = []
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIPEGRAPH_TEST": str(folder)}

    def write(self, text: str, name: str = "script.py") -> None:
        (self.folder / name).write_text(HEAD + textwrap.dedent(text))

    def start(self, name: str = "script.py") -> subprocess.Popen[str]:
        with (self.folder / "stderr.txt").open("w") as err, (self.folder / "stdout.txt").open("w") as out:
            process = subprocess.Popen(
                [sys.executable, name],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
            )
        self.begun.append(process)
        return process

    def run(self, text: str | None = None, code: int | None = 0) -> str:
        """Run it; what it wrote to stderr."""
        if text is not None:
            self.write(text)
        process = self.start()
        returned = process.wait(60)
        self.assert_no_process_left()
        if code is not None:
            assert returned == code, f"exit {returned}\n{self.stderr}"
        return self.stderr

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr.txt").read_text()

    @property
    def errors(self) -> str:
        path = self.folder / "logs" / "ppg_errors.txt"
        return path.read_text() if path.exists() else ""

    @property
    def started(self) -> list[str]:
        """The jobs that the last run started, in order."""
        log = (self.folder / "logs" / "ppg_run.txt").read_text()
        return re.findall(r"^\S+ \S+ started +(.*?) \(\S+:\d+\) because", log, re.MULTILINE)

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def processes(self) -> list[int]:
        """Processes that work in the folder, or were begun by a run there."""
        found = []
        mark = f"PIPEGRAPH_TEST={self.folder}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state not in "ZX":
                        found.append(int(entry.name))
            except OSError:
                continue
        return found

    def assert_no_process_left(self) -> None:
        wait_until(lambda: not self.processes(), f"processes are left: {self.processes()}")

    def end(self) -> None:
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in self.begun:
            process.wait()


def wait_until(is_true: Callable[[], bool], otherwise: str = "it did not happen", seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, otherwise
        time.sleep(0.005)
