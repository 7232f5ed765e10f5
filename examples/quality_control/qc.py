"""Quality control of sequencing samples: a table and a short report from the reads that a sample sheet lists.

Run it, run it again, then change something (a sample, a function, ``K``) and run it once more: only what follows
from the change is made again. README.rst beside this file goes through it step by step.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pipegraph as ppg

K = 15
"""Length of the k-mers, in bases."""
MINIMUM_QUALITY = 20
"""A base is good from this Phred quality on: 20 is one error in a hundred."""

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
SHEET = DATA / "samples.tsv"
REFERENCES = {
    "rrna16s": DATA / "reference" / "rrna16s.fa",
    "phix174": DATA / "reference" / "phix174.fa",
    "adapters": DATA / "reference" / "adapters.fa",
}

# Filled once, by a loading job; the processes of the jobs that need it share the memory.
LOADED = SimpleNamespace()


# What is read


def sheet_rows() -> list[dict[str, str]]:
    with SHEET.open(newline="") as source:
        return list(csv.DictReader(source, delimiter="\t"))


def fastq_records(fastq: Path) -> Iterator[tuple[str, list[int]]]:
    """Bases and Phred qualities of each read, the qualities as ASCII - 33 (doi:10.1093/nar/gkp1137)."""
    with fastq.open("rb") as source:
        for header in source:
            bases, plus, qualities = (next(source, b"").strip() for _ in range(3))
            if header[:1] != b"@" or plus[:1] != b"+" or len(bases) != len(qualities):
                raise ValueError(f"not a FASTQ record in {fastq}: {header!r}")
            yield bases.decode().upper(), [code - 33 for code in qualities]


def fasta_sequences(fasta: Path) -> list[str]:
    records = fasta.read_text().split(">")[1:]
    return ["".join(record.splitlines()[1:]).upper() for record in records]


def kmers_of(bases: str, k: int) -> list[str]:
    """Every k-mer without unknown bases, as read or as its reverse complement: whichever sorts first."""
    opposite = bases.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    last = len(bases) - k
    pairs = ((bases[at : at + k], opposite[last - at : last - at + k]) for at in range(last + 1))
    return [min(pair) for pair in pairs if set(pair[0]) <= set("ACGT")]


def load_references() -> dict[str, frozenset[str]]:
    return {
        name: frozenset(kmer for bases in fasta_sequences(fasta) for kmer in kmers_of(bases, K))
        for name, fasta in REFERENCES.items()
    }


def read_table(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as source:
        return list(csv.DictReader(source, delimiter="\t"))


def write_table(table: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with table.open("w", newline="") as target:
        csv.writer(target, delimiter="\t", lineterminator="\n").writerows([header, *rows])


# What is made: each function returns the callback of a job, which is given the path (or paths) to write


def unpacked(packed: Path) -> Callable[[Path], None]:
    def write(fastq: Path) -> None:
        with gzip.open(packed) as source, fastq.open("wb") as target:
            shutil.copyfileobj(source, target)

    return write


def counts(fastq: Path) -> Callable[[dict[str, Path]], None]:
    def write(tables: dict[str, Path]) -> None:
        lengths: Counter[int] = Counter()
        bases_seen: Counter[str] = Counter()
        for bases, _ in fastq_records(fastq):
            lengths[len(bases)] += 1
            bases_seen.update(bases)
        strong = bases_seen["G"] + bases_seen["C"]
        known = strong + bases_seen["A"] + bases_seen["T"]
        gc_percent = f"{100 * strong / known:.2f}" if known else "nan"
        row = (lengths.total(), bases_seen.total(), bases_seen["N"], gc_percent)
        write_table(tables["counts"], ("reads", "bases", "unknown_bases", "gc_percent"), [row])
        write_table(tables["lengths"], ("length", "reads"), sorted(lengths.items()))

    return write


def qualities_by_position(fastq: Path) -> Callable[[Path], None]:
    def write(table: Path) -> None:
        seen: list[Counter[int]] = []
        for _, qualities in fastq_records(fastq):
            seen.extend(Counter() for _ in range(len(qualities) - len(seen)))
            for at, quality in enumerate(qualities):
                seen[at][quality] += 1
        rows: list[tuple[object, ...]] = []
        for position, reads_with in enumerate(seen, start=1):
            bases = reads_with.total()
            quality_sum = sum(quality * reads for quality, reads in reads_with.items())
            good = sum(reads for quality, reads in reads_with.items() if quality >= MINIMUM_QUALITY)
            median = sorted(reads_with.elements())[bases // 2]
            rows.append((position, bases, quality_sum, f"{quality_sum / bases:.2f}", median, good))
        write_table(table, ("position", "bases", "quality_sum", "mean", "median", "good_bases"), rows)

    return write


def kmer_spectrum(fastq: Path) -> Callable[[Path], None]:
    def write(table: Path) -> None:
        times_seen: Counter[str] = Counter()
        for bases, _ in fastq_records(fastq):
            times_seen.update(kmers_of(bases, K))
        spectrum = Counter(times_seen.values())
        write_table(table, ("times_seen", "kmers"), sorted(spectrum.items()))

    return write


def reference_matches(fastq: Path) -> Callable[[Path], None]:
    def write(table: Path) -> None:
        references: dict[str, frozenset[str]] = LOADED.kmers_of_reference
        matching = dict.fromkeys(references, 0)
        for bases, _ in fastq_records(fastq):
            kmers = kmers_of(bases, K)
            for name, known in references.items():
                matching[name] += not known.isdisjoint(kmers)
        write_table(table, ("reference", "matching_reads"), sorted(matching.items()))

    return write


def summary(samples: list[tuple[str, str]]) -> Callable[[Path], None]:
    def write(table: Path) -> None:
        rows: list[tuple[object, ...]] = []
        for sample, library in samples:
            made = Path(sample)
            (count,) = read_table(made / "counts.tsv")
            positions = read_table(made / "qualities.tsv")
            spectrum = read_table(made / "kmers.tsv")
            matches = {row["reference"]: int(row["matching_reads"]) for row in read_table(made / "matches.tsv")}
            reads, bases = int(count["reads"]), int(count["bases"])
            quality_sum = sum(int(row["quality_sum"]) for row in positions)
            good_bases = sum(int(row["good_bases"]) for row in positions)
            rows.append(
                (
                    sample,
                    library,
                    reads,
                    f"{bases / reads:.1f}",
                    count["gc_percent"],
                    f"{quality_sum / bases:.2f}",
                    f"{100 * good_bases / bases:.2f}",
                    sum(int(row["kmers"]) for row in spectrum),
                    *(f"{100 * matches[name] / reads:.2f}" for name in sorted(matches)),
                )
            )
        measures = ("reads", "mean_length", "gc_percent", "mean_quality", "good_percent", "distinct_kmers")
        percents = tuple(f"{name}_percent" for name in sorted(matches))
        write_table(table, ("sample", "library", *measures, *percents), rows)

    return write


def report(table: Path) -> Callable[[Path], None]:
    def write(text: Path) -> None:
        rows = read_table(table)
        columns = [name for name in rows[0] if name != "library"]
        cells = [[name.replace("_percent", " %").replace("_", " ") for name in columns]]
        cells += [[row[name] for name in columns] for row in rows]
        widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
        # The sample's name to the left, numbers to the right.
        sides = ["<", *">" * (len(columns) - 1)]
        lines = ["  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths)) for line in cells]
        worst = min(rows, key=lambda row: float(row["good_percent"]))
        lines += ["", f"{len(rows)} samples; the fewest good bases: {worst['sample']} ({worst['library']})"]
        text.write_text("\n".join(lines) + "\n")

    return write


# Who depends on what


def declare_jobs() -> None:
    k = ppg.ParameterInvariant("k", K)
    minimum_quality = ppg.ParameterInvariant("minimum quality", MINIMUM_QUALITY)
    # A job watches its callback; what the callback calls is named here, so that it is watched as well.
    reading = ppg.FunctionInvariant("fastq_records", fastq_records)
    splitting = ppg.FunctionInvariant("kmers_of", kmers_of)
    writing = ppg.FunctionInvariant("write_table", write_table)
    tables = [ppg.FunctionInvariant("read_table", read_table), writing]

    references = ppg.AttributeLoadingJob("references", LOADED, "kmers_of_reference", load_references)
    references.depends_on(k, splitting, ppg.FunctionInvariant("fasta_sequences", fasta_sequences))
    references.depends_on([ppg.FileInvariant(fasta) for fasta in REFERENCES.values()])

    def make_jobs_per_sample() -> None:
        rows = sheet_rows()
        names = [(row["sample"], row["library"]) for row in rows]
        table = ppg.FileGeneratingJob("summary.tsv", summary(names)).depends_on(tables)
        for row in rows:
            sample, packed = row["sample"], DATA / row["reads"]
            fastq = Path("reads") / f"{sample}.fastq"
            made = Path(sample)
            reads = ppg.TempFileGeneratingJob(fastq, unpacked(packed)).depends_on(ppg.FileInvariant(packed))

            numbers = {"counts": made / "counts.tsv", "lengths": made / "lengths.tsv"}
            counted = ppg.MultiFileGeneratingJob(numbers, counts(fastq))
            qualities = ppg.FileGeneratingJob(made / "qualities.tsv", qualities_by_position(fastq))
            spectrum = ppg.FileGeneratingJob(made / "kmers.tsv", kmer_spectrum(fastq))
            matches = ppg.FileGeneratingJob(made / "matches.tsv", reference_matches(fastq))

            for job in (counted, qualities, spectrum, matches):
                job.depends_on(reads, reading, writing)
            qualities.depends_on(minimum_quality)
            spectrum.depends_on(k, splitting)
            matches.depends_on(k, splitting, references)
            table.depends_on(counted["counts"], qualities, spectrum, matches)
        ppg.FileGeneratingJob("report.txt", report(Path("summary.tsv"))).depends_on(table, tables)

    ppg.JobGeneratingJob("samples", make_jobs_per_sample).depends_on(ppg.FileInvariant(SHEET))


def main() -> None:
    arguments = argparse.ArgumentParser(description="Quality control of the samples in data/samples.tsv.")
    arguments.add_argument("--results", type=Path, default=HERE / "results", help="folder for all that is made")
    results: Path = arguments.parse_args().results
    results.mkdir(parents=True, exist_ok=True)
    os.chdir(results)

    ppg.new_pipegraph()
    declare_jobs()
    ppg.run_pipegraph()

    print(Path("report.txt").read_text())
    print(f"Tables of each sample, the summary and the logs: {Path.cwd()}")


if __name__ == "__main__":
    main()
