"""The quality-control example: its values are right, and after each edit it runs just what follows."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLE = REPOSITORY / "examples" / "quality_control"
SAMPLES = ("amplicon1_R1", "amplicon1_R2", "amplicon2_R1", "amplicon2_R2", "hela_R1", "hela_R2")
TABLES = ("counts.tsv", "lengths.tsv", "qualities.tsv", "kmers.tsv", "matches.tsv")
END = {"summary.tsv", "report.txt"}


def tables(*names: str, of: tuple[str, ...] = SAMPLES) -> set[str]:
    return {f"{sample}/{name}" for sample in of for name in names}


class Analysis(NamedTuple):
    """A copy of the example, that may be edited."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def run(self, *arguments: str | Path) -> str:
        ended = subprocess.run(
            [sys.executable, self.folder / "qc.py", *arguments],
            cwd=self.folder.parent,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def edit(self, old: str, new: str, file: str = "qc.py") -> None:
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def rows(self, table: str) -> list[dict[str, str]]:
        header, *lines = (self.results / table).read_text().splitlines()
        return [dict(zip(header.split("\t"), line.split("\t"))) for line in lines]


def made_files(results: Path) -> dict[str, Path]:
    found = {}
    for path in results.rglob("*"):
        relative = path.relative_to(results)
        if path.is_file() and relative.parts[0] != "logs" and not relative.parts[0].startswith(".pipegraph_status"):
            found[str(relative)] = path
    return found


def made_by(run: Callable[[], object], results: Path) -> set[str]:
    """The files that a run makes: a job that runs removes its outputs first, so they are others afterwards."""
    before = {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in made_files(results).items()}
    run()
    after = {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in made_files(results).items()}
    return {name for name, identity in after.items() if before.get(name) != identity}


def started_by_the_last_run(results: Path) -> set[str]:
    """By its log: the ids of jobs, those of several files taken apart."""
    log = (results / "logs" / "ppg_run.txt").read_text()
    return {
        name for jobs in re.findall(r"^\S+ \S+ started +(.+) \(\S+\) because ", log, re.M) for name in jobs.split(":::")
    }


def started_for(made: set[str]) -> set[str]:
    """All that must run so that these files are made: the generator, temporary reads and, for matches, loading."""
    samples = {name.partition("/")[0] for name in made - END}
    loading = {"references"} if any(name.endswith("matches.tsv") for name in made) else set()
    return {"samples"} | made | {f"reads/{sample}.fastq" for sample in samples} | loading


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    """The example, run once; where it lies, a copy of it, and what it printed."""
    folder = tmp_path_factory.mktemp("analysis") / "quality_control"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("results", "__pycache__"))
    printed = Analysis(folder).run()
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    yield folder, kept, printed


@pytest.fixture
def analysis(finished: tuple[Path, Path, str]) -> Analysis:
    """The example as its first run left it, always at the same place: its inputs are known by their paths."""
    folder, kept, _ = finished
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    return Analysis(folder)


# What it prints and leaves


def test_the_example_prints_what_its_readme_shows(finished: tuple[Path, Path, str]) -> None:
    readme = (EXAMPLE / "README.rst").read_text()
    command, shown = re.findall(r"\.\. code-block:: (?:bash|text)\n\n((?:   .*\n|\n)+)", readme)[:2]
    python, script = shlex.split(command)

    assert (python, REPOSITORY / script) == (".venv/bin/python", EXAMPLE / "qc.py")
    assert finished[2].startswith("".join(line.removeprefix("   ") for line in shown.splitlines(keepends=True)))


def test_only_results_are_left_and_no_temporary_file(analysis: Analysis) -> None:
    assert set(made_files(analysis.results)) == tables(*TABLES) | END


def test_the_results_go_where_the_command_line_says(analysis: Analysis, tmp_path: Path) -> None:
    printed = analysis.run("--results", tmp_path / "not" / "yet" / "there")

    assert str(tmp_path / "not" / "yet" / "there") in printed
    assert (tmp_path / "not" / "yet" / "there" / "summary.tsv").read_bytes() == (
        analysis.results / "summary.tsv"
    ).read_bytes()


# Its values, worked out here in another way


def lines_of(sample: str) -> list[str]:
    return gzip.decompress((EXAMPLE / "data" / "reads" / f"{sample}.fastq.gz").read_bytes()).decode().splitlines()


def both_strands(bases: str) -> tuple[str, str]:
    return bases, "".join({"A": "T", "C": "G", "G": "C", "T": "A"}.get(base, "N") for base in reversed(bases))


@pytest.mark.parametrize("sample", SAMPLES)
def test_reads_lengths_and_gc_are_right(analysis: Analysis, sample: str) -> None:
    reads = lines_of(sample)[1::4]
    everything = "".join(reads)
    acgt = re.sub("[^ACGT]", "", everything)

    (row,) = analysis.rows(f"{sample}/counts.tsv")
    lengths = analysis.rows(f"{sample}/lengths.tsv")

    assert (int(row["reads"]), int(row["bases"])) == (len(reads), len(everything))
    assert int(row["unknown_bases"]) == len(everything) - len(acgt)
    assert float(row["gc_percent"]) == pytest.approx(100 * len(re.sub("[AT]", "", acgt)) / len(acgt), abs=0.0051)
    assert {(int(r["length"]), int(r["reads"])) for r in lengths} == {(len(reads[0]), len(reads))}


@pytest.mark.parametrize("sample", SAMPLES)
def test_qualities_at_each_position_are_right(analysis: Analysis, sample: str) -> None:
    matrix = numpy.array([list(line.encode()) for line in lines_of(sample)[3::4]]) - 33

    rows = analysis.rows(f"{sample}/qualities.tsv")

    assert [int(row["position"]) for row in rows] == list(range(1, matrix.shape[1] + 1))
    assert [int(row["quality_sum"]) for row in rows] == matrix.sum(axis=0).tolist()
    assert [int(row["good_bases"]) for row in rows] == (matrix >= 20).sum(axis=0).tolist()
    assert [float(row["mean"]) for row in rows] == pytest.approx(matrix.mean(axis=0).tolist(), abs=0.0051)
    assert [int(row["median"]) for row in rows] == numpy.sort(matrix, axis=0)[len(matrix) // 2].tolist()


@pytest.mark.parametrize("sample", ["amplicon1_R2", "hela_R2"])
def test_the_kmer_spectrum_is_right(analysis: Analysis, sample: str) -> None:
    times_seen: Counter[frozenset[str]] = Counter()
    for bases in lines_of(sample)[1::4]:
        for at in range(len(bases) - 14):
            kmer = bases[at : at + 15]
            if "N" not in kmer:
                times_seen[frozenset(both_strands(kmer))] += 1

    rows = analysis.rows(f"{sample}/kmers.tsv")

    assert {int(row["times_seen"]): int(row["kmers"]) for row in rows} == Counter(times_seen.values())


@pytest.mark.parametrize(
    ("sample", "reference"),
    [("hela_R1", "adapters"), ("hela_R2", "adapters"), ("hela_R2", "phix174"), ("amplicon2_R1", "rrna16s")],
)
def test_the_matches_with_a_reference_are_right(analysis: Analysis, sample: str, reference: str) -> None:
    records = (EXAMPLE / "data" / "reference" / f"{reference}.fa").read_text().split(">")[1:]
    strands = "|".join("|".join(both_strands(record.partition("\n")[2].replace("\n", ""))) for record in records)
    matching = sum(
        any(bases[at : at + 15] in strands for at in range(len(bases) - 14) if "N" not in bases[at : at + 15])
        for bases in lines_of(sample)[1::4]
    )

    rows = {row["reference"]: int(row["matching_reads"]) for row in analysis.rows(f"{sample}/matches.tsv")}

    assert rows[reference] == matching


def test_the_summary_brings_the_samples_together(analysis: Analysis) -> None:
    rows = analysis.rows("summary.tsv")

    assert [row["sample"] for row in rows] == list(SAMPLES)
    for row in rows:
        reads = lines_of(row["sample"])
        qualities = numpy.array([list(line.encode()) for line in reads[3::4]]) - 33
        kmers = analysis.rows(f"{row['sample']}/kmers.tsv")
        assert int(row["reads"]) == len(reads) // 4
        assert float(row["mean_length"]) == qualities.shape[1]
        assert float(row["mean_quality"]) == pytest.approx(qualities.mean(), abs=0.0051)
        assert float(row["good_percent"]) == pytest.approx(100 * (qualities >= 20).mean(), abs=0.0051)
        assert int(row["distinct_kmers"]) == sum(int(kmer["kmers"]) for kmer in kmers)
        for matches in analysis.rows(f"{row['sample']}/matches.tsv"):
            percent = 100 * int(matches["matching_reads"]) / int(row["reads"])
            assert float(row[f"{matches['reference']}_percent"]) == pytest.approx(percent, abs=0.0051)


# What runs


def test_the_first_run_starts_every_job(analysis: Analysis) -> None:
    assert started_by_the_last_run(analysis.results) == started_for(tables(*TABLES) | END)


def test_run_again_it_makes_nothing_and_starts_only_the_generator(analysis: Analysis) -> None:
    assert made_by(analysis.run, analysis.results) == set()
    assert started_by_the_last_run(analysis.results) == {"samples"}


def put_the_second_mate_in_place_of_the_first(analysis: Analysis) -> None:
    reads = analysis.folder / "data" / "reads"
    shutil.copyfile(reads / "hela_R2.fastq.gz", reads / "hela_R1.fastq.gz")


def pack_the_same_reads_anew(analysis: Analysis) -> None:
    packed = analysis.folder / "data" / "reads" / "hela_R1.fastq.gz"
    packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes()), compresslevel=1))


def take_a_sample_out(analysis: Analysis) -> None:
    analysis.edit(
        "amplicon1_R2\treads/amplicon1_R2.fastq.gz\t16S rRNA amplicons, sample 1, reverse\n",
        "",
        "data/samples.tsv",
    )


def add_a_sample(analysis: Analysis) -> None:
    with (analysis.folder / "data" / "samples.tsv").open("a") as sheet:
        sheet.write("hela_once_more\treads/hela_R1.fastq.gz\tHeLa RNA again\n")


def name_a_library_otherwise(analysis: Analysis) -> None:
    analysis.edit("HeLa RNA, first of pair", "HeLa total RNA, first of pair", "data/samples.tsv")


def delete_what_a_sample_has(analysis: Analysis) -> None:
    shutil.rmtree(analysis.results / "hela_R2")


def write_into_a_result(analysis: Analysis) -> None:
    with (analysis.results / "hela_R2" / "kmers.tsv").open("a") as table:
        table.write("1\t1\n")


def take_an_adapter_out(analysis: Analysis) -> None:
    path = analysis.folder / "data" / "reference" / "adapters.fa"
    path.write_text(path.read_text()[path.read_text().index(">TruSeq") :])


EDITS: dict[str, tuple[Callable[[Analysis], None], set[str]]] = {
    "a parameter, the quality": (
        lambda a: a.edit("MINIMUM_QUALITY = 20", "MINIMUM_QUALITY = 30"),
        tables("qualities.tsv") | END,
    ),
    "a parameter, the length of k-mers": (
        lambda a: a.edit("\nK = 15", "\nK = 17"),
        tables("kmers.tsv", "matches.tsv") | END,
    ),
    "a function": (
        lambda a: a.edit("{100 * strong", "{50 * strong"),
        tables("counts.tsv", "lengths.tsv") | END,
    ),
    "a function, but not what it makes": (
        lambda a: a.edit("strong = bases_seen", "unused = 0\n        strong = bases_seen"),
        tables("counts.tsv", "lengths.tsv"),
    ),
    "a comment in a function": (
        lambda a: a.edit("        strong = bases", "        # both strands\n        strong = bases"),
        set(),
    ),
    "the line at which every function begins": (lambda a: a.edit("K = 15\n", "K = 15\n\n\n\n"), set()),
    "a function that callbacks call": (lambda a: a.edit("code - 33", "code - 33 + 1"), tables(*TABLES) | END),
    "a function that writes every table": (
        lambda a: a.edit('"\\t", lineterminator="\\n")', '"\\t", lineterminator="\\r\\n")'),
        tables(*TABLES) | END,
    ),
    "a function that reads tables": (
        lambda a: a.edit('table.open(newline="") as', 'table.open(newline="", encoding="utf-8") as'),
        END,
    ),
    "a function that splits reads and references": (
        lambda a: a.edit("last = len(bases) - k", "last = max(len(bases) - k, -1)"),
        tables("kmers.tsv", "matches.tsv"),
    ),
    "a function that only loading calls": (
        lambda a: a.edit("splitlines()[1:]).upper()", "splitlines()[1:]).upper().strip()"),
        tables("matches.tsv"),
    ),
    "what is loaded": (
        lambda a: a.edit("for name, fasta in REFERENCES.items()", "for name, fasta in sorted(REFERENCES.items())"),
        tables("matches.tsv"),
    ),
    "the last function": (lambda a: a.edit("the fewest good bases:", "least good:"), {"report.txt"}),
    "a sample": (put_the_second_mate_in_place_of_the_first, tables(*TABLES, of=("hela_R1",)) | END),
    "how a sample is packed": (pack_the_same_reads_anew, set()),
    "a reference": (take_an_adapter_out, tables("matches.tsv") | END),
    "the sample sheet, one less": (take_a_sample_out, END),
    "the sample sheet, one more": (add_a_sample, tables(*TABLES, of=("hela_once_more",)) | END),
    "the sample sheet, a description": (name_a_library_otherwise, END),
    "results, deleted": (delete_what_a_sample_has, tables(*TABLES, of=("hela_R2",))),
    "a result, edited": (write_into_a_result, {"hela_R2/kmers.tsv"}),
}


@pytest.mark.parametrize("edited", EDITS)
def test_after_an_edit_just_what_follows_is_made(analysis: Analysis, tmp_path: Path, edited: str) -> None:
    edit, remade = EDITS[edited]
    edit(analysis)

    assert made_by(analysis.run, analysis.results) == remade
    # Whether reads that were packed otherwise are other reads can't be known without unpacking them.
    unpacked_to_see = {"reads/hela_R1.fastq"} if edited == "how a sample is packed" else set()
    assert started_by_the_last_run(analysis.results) == started_for(remade) | unpacked_to_see

    assert made_by(analysis.run, analysis.results) == set()
    assert started_by_the_last_run(analysis.results) == {"samples"}

    analysis.run("--results", tmp_path)
    from_nothing = {name: path.read_bytes() for name, path in made_files(tmp_path).items()}
    assert {name: (analysis.results / name).read_bytes() for name in from_nothing} == from_nothing


def test_a_broken_input_fails_its_sample_and_leaves_the_others_done(analysis: Analysis) -> None:
    packed = analysis.folder / "data" / "reads" / "hela_R1.fastq.gz"
    whole = packed.read_bytes()
    packed.write_bytes(whole[:-1000])

    with pytest.raises(AssertionError, match=r"hela_R1\.fastq"):
        analysis.run()
    packed.write_bytes(whole)

    assert made_by(analysis.run, analysis.results) <= tables(*TABLES, of=("hela_R1",)) | END
    assert "6 samples" in (analysis.results / "report.txt").read_text()


# What it reads


def test_reads_and_references_are_those_that_the_source_note_describes() -> None:
    source = (EXAMPLE / "data" / "SOURCE.rst").read_text()
    contents = {f"{sample}.fastq": "\n".join([*lines_of(sample), ""]).encode() for sample in SAMPLES}
    contents |= {path.name: path.read_bytes() for path in (EXAMPLE / "data" / "reference").iterdir()}

    for name, content in contents.items():
        assert re.search(rf"``{re.escape(name)}`` +{hashlib.sha256(content).hexdigest()}\n", source), name


def test_every_data_file_has_its_source_and_the_whole_is_small() -> None:
    source = (EXAMPLE / "data" / "SOURCE.rst").read_text()
    files = [path for path in (EXAMPLE / "data").rglob("*") if path.is_file()]

    unnamed = [
        p.name for p in files if p.name.removesuffix(".fastq.gz") not in source and p.suffix not in {".rst", ".tsv"}
    ]
    assert unnamed == []
    assert sum(path.stat().st_size for path in files) < 500_000
