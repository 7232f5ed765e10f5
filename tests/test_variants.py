"""The genome pipeline on the real tools: its results are theirs, and after each edit it runs just what follows."""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts import wait_until

from pipegraph.status.knowledge import Knowledge

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLE = REPOSITORY / "examples" / "variants"
DEBIAN = Path("/usr/share/doc/bowtie2/examples")
TOOLS = ("bowtie2", "bowtie2-build", "samtools", "bcftools")
SAMPLES = ("pairs", "long", "control")
NOT_THERE = [tool for tool in TOOLS if shutil.which(tool) is None]
if not DEBIAN.is_dir():
    NOT_THERE.append("bowtie2-examples")

pytest.importorskip("matplotlib")
pytestmark = [
    pytest.mark.skipif(
        bool(NOT_THERE),
        reason=f"{', '.join(NOT_THERE)} not there: apt install bowtie2 bowtie2-examples samtools bcftools",
    ),
    # Each of the first tests runs the whole pipeline.
    pytest.mark.timeout(300),
]


class Project:
    """A copy of the example, with reads that may be changed, in which everything was made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, results: str = ".", **environment: str) -> subprocess.Popen[str]:
        arguments = ["--results", self.folder / results, "--reads", self.folder / "reads"]
        return subprocess.Popen(
            [sys.executable, self.folder / "variants.py", *arguments, "--shared", self.folder / "shared"],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, results: str = ".") -> str:
        process = self.start(results)
        out, err = process.communicate(timeout=250)
        assert process.returncode == 0, err
        return out

    def what_ran(self, results: str = ".") -> set[str]:
        """Jobs of the last run, those that loaded data not among them; of several files the first."""
        with (self.folder / results / "logs" / "ppg_runtimes.tsv").open(newline="") as table:
            rows = list(csv.DictReader(table, delimiter="\t"))
        assert {row["result"] for row in rows} <= {"made", "brought back"}
        return {row["job"].partition(":::")[0] for row in rows} - {"genes"}

    def edit(self, old: str, new: str) -> None:
        path = self.folder / "variants.py"
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Path, str]]:
    """A project, a copy of it to go back to, and what it printed."""
    folder = tmp_path_factory.mktemp("variants")
    project = folder / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("results", "shared", "__pycache__"))
    shutil.copytree(DEBIAN / "reads", project / "reads")
    printed = Project(project).run()
    shutil.copytree(project, folder / "copy", symlinks=True)
    yield Project(project), folder / "copy", printed
    shutil.rmtree(folder)


@pytest.fixture
def project(made_once: tuple[Project, Path, str]) -> Iterator[Project]:
    one, copy, _ = made_once
    yield one
    shutil.rmtree(one.folder)
    shutil.copytree(copy, one.folder, symlinks=True)


def per_sample(*files: str, of: tuple[str, ...] = SAMPLES) -> set[str]:
    return {f"{sample}/{file}" for sample in of for file in files}


def caches(*samples: str) -> set[str]:
    return {f"cache/{sample}/coverage.png" for sample in samples}


def by_hand(folder: Path, reads: Path, control: Path) -> None:
    """What a person would type."""
    (folder / "typed.sh").write_text(
        f"""
        set -euo pipefail
        zcat {DEBIAN}/reference/lambda_virus.fa.gz | sed '1s/.*/>lambda/' > lambda.fa
        bowtie2-build --quiet lambda.fa lambda
        samtools faidx lambda.fa
        bowtie2 -x lambda --rg-id pairs --rg SM:pairs -1 {reads}/reads_1.fq.gz -2 {reads}/reads_2.fq.gz > pairs.sam
        bowtie2 -x lambda --rg-id long --rg SM:long -U {reads}/longreads.fq.gz > long.sam
        bowtie2 -x lambda --rg-id control --rg SM:control -1 {control}/reads_1.fq -2 {control}/reads_2.fq > control.sam
        for sample in pairs long control; do
            samtools sort -o $sample.bam $sample.sam
            samtools index $sample.bam
            samtools flagstat -O json $sample.bam > $sample.json
            samtools depth -a $sample.bam > $sample.depth
            bcftools mpileup -f lambda.fa $sample.bam | bcftools call --ploidy 1 -mv |
                bcftools norm -m -any -f lambda.fa | bcftools view -i 'QUAL>=20' > $sample.vcf
        done
        """
    )
    subprocess.run(["bash", "typed.sh"], cwd=folder, check=True, capture_output=True)


def records(vcf: Path) -> list[str]:
    """All but the header, in which each tool writes its command."""
    return [line for line in vcf.read_text().splitlines() if not line.startswith("#")]


def test_results_are_those_of_the_tools_called_by_hand(project, tmp_path):
    by_hand(tmp_path, project.folder / "reads", project.folder / "control")

    for sample in SAMPLES:
        made = project.folder / sample
        assert records(made / "variants.vcf") == records(tmp_path / f"{sample}.vcf") != []
        assert (made / "depth.tsv").read_bytes() == (tmp_path / f"{sample}.depth").read_bytes()
        assert (made / "flagstat.json").read_bytes() == (tmp_path / f"{sample}.json").read_bytes()
        alignments = [
            subprocess.run(["samtools", "view", bam], check=True, capture_output=True).stdout
            for bam in (made / "aligned.bam", tmp_path / f"{sample}.bam")
        ]
        assert alignments[0] == alignments[1] != b""


def test_all_mutations_of_the_control_are_found_and_no_others(made_once, project):
    assert "Control: 80 of 80 known mutations found, 0 called that are none." in made_once[2]
    assert len(records(project.folder / "control" / "truth.vcf")) == 80


def test_the_summary_counts_what_the_files_hold(project):
    with (project.folder / "summary.tsv").open(newline="") as table:
        rows = {row["sample"]: row for row in csv.DictReader(table, delimiter="\t")}

    assert list(rows) == list(SAMPLES)
    assert [rows[sample]["reads"] for sample in SAMPLES] == ["20000", "6000", "12000"]
    for sample, row in rows.items():
        assert int(row["variants"]) == len(records(project.folder / sample / "variants.vcf"))
    for plot in (*per_sample("coverage.png"), "summary.png"):
        assert (project.folder / plot).read_bytes().startswith(b"\x89PNG")


def test_a_second_run_does_nothing(project):
    project.run()

    assert project.what_ran() == set()


def test_another_project_is_given_the_index(project):
    project.run("other")

    log = (project.folder / "other" / "logs" / "ppg_run.txt").read_text()
    assert "brought back reference/lambda.1.bt2" in log
    for index in sorted((project.folder / "reference").glob("*.bt2")):
        assert (project.folder / "other" / "reference" / index.name).read_bytes() == index.read_bytes()


def test_after_it_was_killed_nothing_that_was_finished_is_made_again(project):
    def has_made(job: str) -> bool:
        log = project.folder / "killed" / "logs" / "ppg_run.txt"
        return log.exists() and f" made        {job} " in log.read_text()

    shutil.rmtree(project.folder / "shared")
    process = project.start("killed")
    wait_until(lambda: has_made("long/aligned.bam"), seconds=120)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    known = Knowledge.read(str(project.folder / "killed" / ".pipegraph_status"))
    finished = {job.partition(":::")[0] for job in known.jobs() if known.known(job).past.trace is not None}
    project.run("killed")

    assert {"reference/lambda.fa", "reference/lambda.1.bt2", "long/aligned.bam"} <= finished
    again = project.what_ran("killed")
    assert "summary.png" in again
    assert not again & (finished - per_sample("pileup.bcf"))
    for file in (
        *per_sample("variants.vcf", "variants.tsv", "depth.tsv", "coverage.png"),
        "summary.tsv",
        "summary.png",
    ):
        assert (project.folder / "killed" / file).read_bytes() == (project.folder / file).read_bytes()


OF_ALIGNMENT = ("aligned.bam", "aligned.bam.bai", "flagstat.json", "depth.tsv", "pileup.bcf", "variants.vcf")
OF_CALLS = ("variants.tsv", "coverage.png", "coverage.png.tsv")


def test_a_changed_read_file_remakes_its_sample_and_the_summary(project):
    reads = project.folder / "reads" / "longreads.fq.gz"
    with gzip.open(reads, "rt") as source:
        lines = source.readlines()
    with gzip.open(reads, "wt") as target:
        target.writelines(lines[: len(lines) // 2])

    project.run()

    of_sample = per_sample(*OF_ALIGNMENT, *OF_CALLS, of=("long",)) | caches("long")
    assert project.what_ran() == of_sample | {"summary.tsv", "summary.png", "cache/summary.png"}


def test_a_changed_flag_remakes_what_it_is_given_to_and_what_comes_out_otherwise(project):
    before = {sample: records(project.folder / sample / "variants.vcf") for sample in SAMPLES}
    project.edit("QUAL>=20", "QUAL>=100")

    project.run()

    differ = tuple(s for s in SAMPLES if records(project.folder / s / "variants.vcf") != before[s])
    assert differ
    behind = per_sample(*OF_CALLS, of=differ) | caches(*differ)
    behind |= {"summary.tsv", "summary.png", "cache/summary.png"} | ({"control.txt"} if "control" in differ else set())
    assert project.what_ran() == per_sample("pileup.bcf", "variants.vcf") | behind
    changes = (project.folder / "logs" / "ppg_changes.txt").read_text()
    assert "QUAL>=20" in changes and "QUAL>=100" in changes


def test_a_restyled_plot_is_drawn_again_and_nothing_else_happens(project):
    project.edit('color="#9ecae1"', 'color="#a1d99b"')

    project.run()

    assert project.what_ran() == per_sample("coverage.png")


def test_programs_that_are_not_there_are_named_before_anything_starts(project, tmp_path):
    (tmp_path / "samtools").symlink_to(shutil.which("samtools") or "")

    process = project.start("elsewhere", PATH=str(tmp_path))
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "bowtie2" in err and "bcftools" in err and "variants.py:" in err
    assert not (project.folder / "elsewhere" / "reference").exists()
