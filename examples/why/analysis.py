"""Something to ask ``pipegraph why`` about: three samples are aligned, counted and reported (docs/why.rst)."""

import time
from pathlib import Path

import pipegraph as ppg

ppg.new_pipegraph()


def align(reads: str) -> str:
    time.sleep(0.5)
    return f"aligned {reads}"


def job_for(sample: str) -> ppg.Job:
    def make(output: Path) -> None:
        output.write_text(align(Path(f"raw/{sample}.txt").read_text()))

    job = ppg.FileGeneratingJob(f"aligned/{sample}.bam", make)
    job.depends_on_file(f"raw/{sample}.txt")
    return job


samples = [job_for(sample) for sample in ("hela", "jurkat", "k562")]


def merge(output: Path) -> None:
    output.write_text("".join(Path(job.job_id).read_text() for job in samples))


def count(output: Path) -> None:
    output.write_text(f"{len(Path('merged.txt').read_text())}\n")


def report(output: Path) -> None:
    output.write_text(f"counts: {Path('counts.txt').read_text()}")


merged = ppg.TempFileGeneratingJob("merged.txt", merge).depends_on(samples)
counts = ppg.FileGeneratingJob("counts.txt", count).depends_on(merged)
ppg.FileGeneratingJob("report.txt", report).depends_on(counts)

ppg.run_pipegraph()
