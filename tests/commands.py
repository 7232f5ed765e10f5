"""The command `pipegraph`, run as a person would, in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from scripts import ROOT, Script

EXAMPLE = ROOT / "examples" / "commands"
"""A script from reads to counts, and another one, which takes what the first one made as files."""


def write_scripts(folder: Path) -> None:
    """Both, and the reads."""
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)


class Ended(NamedTuple):
    """What a command left."""

    code: int
    stdout: str
    stderr: str


def pipegraph(script: Script, *arguments: str, timeout: float = 60) -> Ended:
    """In the folder of the script; stdin is no terminal."""
    ended = subprocess.run(
        [sys.executable, "-m", "pipegraph", *arguments],
        cwd=script.folder,
        env=script.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
