"""What docs/shared.rst shows is what its commands print, typed where its example is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from scripts import ROOT
from test_commands_document import blocks_of

DOCUMENT = ROOT / "docs" / "shared.rst"


def typed(block, folder):
    """The block as a shell fills it; each line begins in the example's folder."""
    lines = []
    for line in re.findall(r"^\$ .*", block, re.MULTILINE):
        ended = subprocess.run(
            ["bash", "-c", line[2:]],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{folder}/bin:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        lines += [line, *ended.stdout.splitlines()]
    return lines


def settled(line, folder):
    """Without what differs from run to run, from machine to machine, and from folder to folder."""
    line = line.replace(f"{folder}/", "")
    line = re.sub(r"\d+\.\d+ s", "SECONDS", re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", "DATE", line))
    line = re.sub(r" by \S+ on \S+ in ", " by USER on HOST in ", line)
    line = re.sub(r"0 s +\S+ +index", "0 s  USER  index", line)
    return re.sub(" {2,}", "  ", line).rstrip()


def test_the_document_shows_what_the_commands_print(tmp_path):
    for name in ("shared", "quality_control"):
        shutil.copytree(ROOT / "examples" / name, tmp_path / name)
    folder = tmp_path / "shared"
    (folder / "bin").mkdir()
    for name, what in (("python", ""), ("pipegraph", "-m pipegraph")):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {what} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    blocks = blocks_of(DOCUMENT.read_text())
    shown = [[settled(line, folder) for line in block.splitlines() if line.strip()] for block in blocks]

    assert len(shown) == 2
    assert [[settled(line, folder) for line in typed(block, folder)] for block in blocks] == shown
    assert (folder / "anna" / "frequent.txt").read_text() == "AAGAGATT 5\n"
    assert (folder / "ben" / "unique.txt").read_text() == "4520\n"
