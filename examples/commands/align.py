"""From the reads of a sample to counts, each step one line of text; see docs/commands.rst."""

import pipegraph as ppg

ppg.new_pipegraph()


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
