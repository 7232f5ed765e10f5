"""Variants of phage lambda: from reads to annotated calls, coverage plots, one table and one figure.

bowtie2 aligns, samtools sorts, bcftools calls, Python annotates and draws. Every sample of data/samples.tsv is treated
alike; the control's mutations are known, and the calls are held against them. README.rst beside this file says how to
install the programs, and goes through what runs again after which change.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from annotation import EFFECTS, annotate, load_genes, read_table, read_variants
from control import compare, simulate
from matplotlib.figure import Figure

import pipegraph as ppg
from pipegraph.placeholders import cores, input, output

HERE = Path(__file__).resolve().parent
SHEET, GENES = HERE / "data" / "samples.tsv", HERE / "data" / "genes.tsv"
EXAMPLES = Path("/usr/share/doc/bowtie2/examples")
INDEX = "reference/lambda"
WINDOW = 200
"""Bases that one point of a coverage plot is the mean of."""
SEED = 1


# Filled once, by a loading job; the processes of the jobs that need it share the memory.
LOADED = SimpleNamespace()


# What Python makes: each function returns the callback of a job


def annotated(vcf: Path) -> Callable[[Path], None]:
    def write(table: Path) -> None:
        with table.open("w", newline="") as target:
            rows = csv.writer(target, delimiter="\t", lineterminator="\n")
            rows.writerow(("position", "bases", "instead", "gene", "effect", "codon", "amino_acid"))
            for variant in read_variants(vcf):
                rows.writerows((*variant, *effect) for effect in annotate(*variant, LOADED.genes))

    return write


def checked(vcf: Path, truth: Path) -> Callable[[Path], None]:
    def write(text: Path) -> None:
        right, wrong, missed = compare(vcf, truth)
        text.write_text(f"Control: {right} of {right + missed} known mutations found, {wrong} called that are none.\n")

    return write


def coverage(depth: Path, variants: Path) -> Callable[[], pd.DataFrame]:
    def calculate() -> pd.DataFrame:
        depths = pd.read_csv(depth, sep="\t", names=["chromosome", "position", "depth"])["depth"].to_numpy()
        starts = np.arange(0, len(depths), WINDOW)
        positions = {int(row["position"]) for row in read_table(variants)}
        in_window = Counter((position - 1) // WINDOW for position in positions)
        return pd.DataFrame(
            {
                "kilobases": (starts + WINDOW / 2) / 1000,
                "depth": np.add.reduceat(depths, starts) / np.diff(starts, append=len(depths)),
                "variants": [in_window[window] for window in range(len(starts))],
            }
        )

    return calculate


def coverage_plot(sample: str) -> Callable[[pd.DataFrame], Figure]:
    def draw(table: pd.DataFrame) -> Figure:
        figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
        axes.fill_between(table["kilobases"], table["depth"], color="#9ecae1", linewidth=0)
        mean = table["depth"].mean()
        axes.axhline(mean, color="#08519c", linewidth=1)
        axes.annotate(f"mean {mean:.0f}×", (1, mean), (4, 0), ("axes fraction", "data"), "offset points", va="center")
        called = table[table["variants"] > 0]
        axes.plot(called["kilobases"], 0 * called["depth"], "|", color="#a50f15", markersize=9, clip_on=False)
        axes.set(
            xlim=(0, table["kilobases"].iloc[-1]),
            ylim=(0, None),
            xlabel="position on lambda (kb)",
            ylabel="reads over a base",
        )
        axes.set_title(f"{sample}: coverage, and where variants were called (red)", loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        return figure

    return draw


def summary(samples: list[str]) -> Callable[[Path], None]:
    def write(table: Path) -> None:
        rows = []
        for sample in samples:
            made = Path(sample)
            reads = json.loads((made / "flagstat.json").read_text())["QC-passed reads"]
            depths = [int(line.split()[2]) for line in (made / "depth.tsv").read_text().splitlines()]
            found = read_table(made / "variants.tsv")
            # A variant in two genes is one variant, with an effect on each.
            effects = Counter(row["effect"] for row in found)
            rows.append(
                {
                    "sample": sample,
                    "reads": reads["primary"],
                    "aligned %": reads["primary mapped %"],
                    "mean depth": f"{sum(depths) / len(depths):.1f}",
                    "variants": len({(row["position"], row["instead"]) for row in found}),
                    **{effect: effects[effect] for effect in EFFECTS},
                }
            )
        pd.DataFrame(rows).to_csv(table, sep="\t", index=False)

    return write


def read_summary() -> pd.DataFrame:
    return pd.read_csv("summary.tsv", sep="\t")


def effects_plot(table: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(figsize=(9, 1.4 + 0.5 * len(table)), layout="constrained")
    colours = [f"C{number}" for number in range(len(EFFECTS))]
    left = np.zeros(len(table))
    for effect, colour in zip(EFFECTS, colours):
        bars = axes.barh(table["sample"], table[effect], left=left, color=colour, label=effect)
        axes.bar_label(bars, [str(n) if n > 2 else "" for n in table[effect]], label_type="center", color="white")
        left += table[effect]
    axes.invert_yaxis()
    axes.set(xlabel="variants, once for each gene that they touch", title="What the variants do")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.3), frameon=False)
    return figure


# Who depends on what


def declare_reference(packed: Path, shared: Path) -> tuple[ppg.Job, ppg.Job, ppg.Job]:
    """The sequence, its index for samtools, and that for bowtie2, which other projects may use as well."""
    fasta = ppg.CommandJob("reference/lambda.fa", "zcat {input} | sed '1s/.*/>lambda/' > {output}", packed)
    fai = ppg.CommandJob("reference/lambda.fa.fai", ["samtools", "faidx", input], fasta)
    parts = [f"{INDEX}.{part}.bt2" for part in ("1", "2", "3", "4", "rev.1", "rev.2")]
    index = ppg.CommandJob(parts, ["bowtie2-build", "--quiet", input, INDEX], fasta, version=True)
    return fasta, fai, index.share(shared)


def declare_control(fasta: ppg.Job) -> ppg.MultiFileGeneratingJob:
    def simulated(files: dict[str, Path]) -> None:
        simulate(Path("reference/lambda.fa"), SEED, files["truth"], (files["reads"], files["mates"]))

    files = {"truth": "control/truth.vcf", "reads": "control/reads_1.fq", "mates": "control/reads_2.fq"}
    control = ppg.MultiFileGeneratingJob(files, simulated)
    control.depends_on(fasta)
    return control


def declare_sample(
    sample: str, reads: list[Any], fasta: ppg.Job, fai: ppg.Job, index: ppg.Job, genes: ppg.Job
) -> ppg.JobList:
    """From reads to annotated variants and a plot of the coverage; gives back what the summary needs of it."""
    given = "-1 {input[reads]} -2 {input[mates]}" if len(reads) == 2 else "-U {input[reads]}"
    # With --reorder, more threads are no reason for other bytes.
    align = f"bowtie2 --threads {cores} --reorder -x {INDEX} --rg-id {sample} --rg SM:{sample} {given}"
    bam = ppg.CommandJob(
        f"{sample}/aligned.bam",
        f"{align} | samtools sort --no-PG -T {{temp}}/sort -o {output} -",
        {**dict(zip(("reads", "mates"), reads)), "index": index},
        version=["bowtie2", "--version"],
    ).use_cores(-1)
    bai = ppg.CommandJob(f"{sample}/aligned.bam.bai", ["samtools", "index", input], bam)
    flagstat = ppg.CommandJob(
        f"{sample}/flagstat.json", ["samtools", "flagstat", "-O", "json", input], bam, stdout=output
    )
    depth = ppg.CommandJob(f"{sample}/depth.tsv", ["samtools", "depth", "-a", "-o", output, input], bam)

    pileup = ppg.TempCommandJob(
        f"{sample}/pileup.bcf",
        ["bcftools", "mpileup", "--no-version", "-Ou", "-o", output, "-f", input["fasta"], input["bam"]],
        {"fasta": fasta, "bam": bam},
    ).depends_on(fai, bai)
    call = "bcftools call --no-version --ploidy 1 -mv -Ou {input[pileup]}"
    norm = "bcftools norm --no-version -m -any -f {input[fasta]} -Ou -"
    called = ppg.CommandJob(
        f"{sample}/variants.vcf",
        f"{call} | {norm} | bcftools view --no-version -i 'QUAL>=20' -o {output} -",
        {"pileup": pileup, "fasta": fasta},
    ).depends_on(fai)

    vcf, table = Path(sample, "variants.vcf"), Path(sample, "variants.tsv")
    effects = ppg.FileGeneratingJob(table, annotated(vcf)).depends_on(called, genes)
    calculate = coverage(Path(sample, "depth.tsv"), table)
    ppg.PlotJob(f"{sample}/coverage.png", calculate, coverage_plot(sample), {"dpi": 150}).depends_on(depth, effects)
    return flagstat + depth + effects


def declare_jobs(reads: Path, packed: Path, shared: Path) -> None:
    fasta, fai, index = declare_reference(packed, shared)
    control = declare_control(fasta)
    simulated = {path: control[path] for path in control.filenames}

    genes = ppg.AttributeLoadingJob("genes", LOADED, "genes", lambda: load_genes(GENES, Path("reference/lambda.fa")))
    genes.depends_on(fasta).depends_on_file(GENES)

    samples = [row["sample"] for row in read_table(SHEET)]
    parts = []
    for row in read_table(SHEET):
        files = [name for name in (row["reads"], row["mates"]) if name]
        given = [simulated.get(name, reads / name) for name in files]
        parts.append(declare_sample(row["sample"], given, fasta, fai, index, genes))

    table = ppg.FileGeneratingJob("summary.tsv", summary(samples)).depends_on(parts)
    ppg.PlotJob("summary.png", read_summary, effects_plot, {"dpi": 150}, skip_table=True).depends_on(table)

    check = ppg.FileGeneratingJob("control.txt", checked(Path("control/variants.vcf"), Path("control/truth.vcf")))
    check.depends_on("control/variants.vcf", control["truth"])


def main() -> None:
    arguments = argparse.ArgumentParser(description="Variants of phage lambda in the samples of data/samples.tsv.")
    arguments.add_argument("--results", type=Path, default=HERE / "results", help="folder for all that is made")
    arguments.add_argument("--reads", type=Path, default=EXAMPLES / "reads", help="folder of the samples' reads")
    arguments.add_argument("--shared", type=Path, default=HERE / "shared", help="folder of results for all projects")
    given = arguments.parse_args()
    packed = EXAMPLES / "reference" / "lambda_virus.fa.gz"
    if not packed.exists() or not given.reads.is_dir():
        sys.exit(f"{packed} or {given.reads} is not there: apt install bowtie2-examples (Debian, Ubuntu)")
    reads, shared = given.reads.resolve(), given.shared.resolve()
    given.results.mkdir(parents=True, exist_ok=True)
    os.chdir(given.results)

    ppg.new_pipegraph()
    declare_jobs(reads, packed, shared)
    ppg.run_pipegraph()

    print(read_summary().to_string(index=False))
    print(Path("control.txt").read_text())
    print(f"Plots, tables and logs: {Path.cwd()}")


if __name__ == "__main__":
    main()
