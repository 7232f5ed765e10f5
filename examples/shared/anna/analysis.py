"""Anna looks for the 8-mer that is most frequent."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import lab_genomes

import pipegraph as ppg

ppg.new_pipegraph()


def most_frequent(output: Path) -> None:
    places = json.loads(Path(index.job_id).read_text())
    best = min(places, key=lambda kmer: (-len(places[kmer]), kmer))
    output.write_text(f"{best} {len(places[best])}\n")


index = lab_genomes.kmer_index(lab_genomes.GENOME, 8)
ppg.FileGeneratingJob("frequent.txt", most_frequent).depends_on(index)
ppg.run_pipegraph()
