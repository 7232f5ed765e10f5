"""Counts of genes in samples: read once, kept, and loaded when a table that needs them has to be made."""

import random
from types import SimpleNamespace

import pipegraph as ppg

SAMPLES = ("liver", "lung", "brain")
study = SimpleNamespace(counts={})


def measure(output):
    """Stands for a sequencer: a gene and its counts on each line."""
    pick = random.Random(1)
    with open(output, "w") as out:
        for gene in range(1000):
            print(f"gene{gene}", *(pick.randrange(1000) for _ in SAMPLES), file=out)


def read_counts():
    counts = {sample: {} for sample in SAMPLES}
    with open("counts.txt") as source:
        for line in source:
            gene, *numbers = line.split()
            for sample, number in zip(SAMPLES, numbers):
                counts[sample][gene] = int(number)
    return counts


ppg.new_pipegraph()
measured = ppg.FileGeneratingJob("counts.txt", measure)
counts = ppg.CachedAttributeLoadingJob("cache/counts", study, "counts", read_counts)
counts.depends_on(measured)

for sample in SAMPLES:

    def write_top(output, sample=sample):
        genes = study.counts[sample]
        top = sorted(genes, key=genes.get, reverse=True)[:10]
        output.write_text("".join(f"{gene}\t{genes[gene]}\n" for gene in top))

    ppg.FileGeneratingJob(f"top/{sample}.tsv", write_top).depends_on(counts)

ppg.run_pipegraph()
