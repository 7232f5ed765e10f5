"""A lab's library: what many of its projects need of a genome, made once for all of them (docs/shared.rst)."""

import json
from pathlib import Path

import pipegraph as ppg

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
GENOME = HERE.parent / "quality_control" / "data" / "reference" / "phix174.fa"


def kmer_index(fasta: Path, length: int) -> ppg.Job:
    """Where each k-mer of a genome is, as JSON."""

    def build(output: Path) -> None:
        lines = fasta.read_text().splitlines()
        sequence = "".join(line for line in lines if not line.startswith(">"))
        places: dict[str, list[int]] = {}
        for start in range(len(sequence) - length + 1):
            places.setdefault(sequence[start : start + length], []).append(start)
        output.write_text(json.dumps(places))

    job = ppg.FileGeneratingJob(f"index/{fasta.stem}_{length}.json", build)
    job.depends_on_file(fasta)
    return job.share(RESULTS)
