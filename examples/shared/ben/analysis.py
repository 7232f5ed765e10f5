"""Ben counts the 8-mers that are there once."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import lab_genomes

import pipegraph as ppg

ppg.new_pipegraph()


def count_unique(output: Path) -> None:
    places = json.loads(Path(index.job_id).read_text())
    output.write_text(f"{sum(len(each) == 1 for each in places.values())}\n")


index = lab_genomes.kmer_index(lab_genomes.GENOME, 8)
ppg.FileGeneratingJob("unique.txt", count_unique).depends_on(index)
ppg.run_pipegraph()
