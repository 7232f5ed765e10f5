"""The command `pipegraph`, run as a person would, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from scripts import Script

ALIGN = """
import pipegraph as ppg

ppg.new_pipegraph(quiet=True, log_port=None)

def write(output):
    output.write_text(output.name)

def write_all(outputs):
    for output in outputs:
        output.write_text(output.name)

reads = ppg.MultiFileInvariant(["data/reads_1.fq", "data/reads_2.fq"])
trimmed = ppg.TempFileGeneratingJob("trimmed/k562.fq", write).depends_on(reads)
bam = ppg.FileGeneratingJob("aligned/k562.bam", write).depends_on(trimmed)
bam.depends_on_params({"seed": 3})
counts = ppg.FileGeneratingJob("counts/k562.tsv", write).depends_on(bam)
stats = ppg.MultiFileGeneratingJob(["stats/k562.txt", "stats/k562.json"], write_all).depends_on(bam)
ppg.run_pipegraph()
"""
"""A script from reads to counts."""

REPORT = """
import pipegraph as ppg

ppg.new_pipegraph(quiet=True, log_port=None)
job = ppg.FileGeneratingJob("report.html", lambda output: output.write_text("report"))
for name in ("counts/k562.tsv", "stats/k562.json", "data/reads_1.fq"):
    job.depends_on_file(name)
ppg.run_pipegraph()
"""
"""Another one, which takes what the first one made as files."""


def write_scripts(folder: Path) -> None:
    """Both, and the reads."""
    (folder / "data").mkdir()
    for name in ("reads_1.fq", "reads_2.fq"):
        (folder / "data" / name).write_text(name)
    (folder / "align.py").write_text(ALIGN)
    (folder / "report.py").write_text(REPORT)


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
