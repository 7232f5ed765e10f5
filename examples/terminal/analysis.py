"""Something to look at while it runs: six samples, half a minute on two cores, and one failure (docs/terminal.rst)."""

import time
from pathlib import Path

import pipegraph as ppg

ppg.new_pipegraph()


def align(output: Path) -> None:
    for number in range(1, 16):
        print(f"{output.stem}: {number * 66_668:,} reads aligned", flush=True)
        time.sleep(0.4)
    if output.stem == "hela_2":
        api_token = "not for logs"  # noqa: F841
        raise ValueError(f"reads of {output.stem} and of its mate differ in number")
    output.write_text("aligned")


def count(output: Path) -> None:
    output.write_text("counted")


for sample in ("hela_1", "hela_2", "k562_1", "k562_2", "hek_1", "hek_2"):
    aligned = ppg.FileGeneratingJob(f"aligned/{sample}.bam", align)
    ppg.FileGeneratingJob(f"counts/{sample}.tsv", count).depends_on(aligned)

ppg.run_pipegraph()
