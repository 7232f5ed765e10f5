"""Which gene a variant is in, and what it does to the protein."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

BASES = "TCAG"
# The bacterial code, NCBI's table 11, codons in the order of BASES.
AMINO_ACIDS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODE = dict(zip([a + b + c for a in BASES for b in BASES for c in BASES], AMINO_ACIDS))
STARTS = {"ATG", "GTG", "TTG"}
COMPLEMENT = str.maketrans("ACGT", "TGCA")

EFFECTS = ("synonymous", "missense", "nonsense", "start lost", "stop lost", "frameshift", "in frame", "intergenic")


@dataclass(frozen=True)
class Gene:
    """A coding sequence, from its first codon to its stop.

    Attributes
    ----------
    start, end
        Its outermost bases on the forward strand, counted from 1, both in it.
    coding
        Its bases, as they are read.
    """

    name: str
    start: int
    end: int
    is_forward: bool
    coding: str


def read_fasta(fasta: Path) -> str:
    """The bases of a file with one sequence."""
    return "".join(fasta.read_text().splitlines()[1:]).upper()


def read_table(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as source:
        return list(csv.DictReader(source, delimiter="\t"))


def opposite(bases: str) -> str:
    """The other strand."""
    return bases.translate(COMPLEMENT)[::-1]


def codons(coding: str) -> list[str]:
    return [coding[at : at + 3] for at in range(0, len(coding), 3)]


def load_genes(table: Path, fasta: Path) -> list[Gene]:
    """The genes of a table, each with its bases in the reference.

    Raises
    ------
    ValueError
        One is no open reading frame of this reference: another strain, or a slip in the table.
    """
    reference = read_fasta(fasta)
    genes = []
    for row in read_table(table):
        start, end, is_forward = int(row["start"]), int(row["end"]), row["strand"] == "+"
        bases = reference[start - 1 : end]
        gene = Gene(row["gene"], start, end, is_forward, bases if is_forward else opposite(bases))
        first, *inner, last = codons(gene.coding)
        if first not in STARTS or CODE.get(last) != "*" or "*" in {CODE[codon] for codon in inner}:
            raise ValueError(f"gene {gene.name} of {table} is not a reading frame of {fasta}: {first} … {last}")
        genes.append(gene)
    return genes


def read_variants(vcf: Path) -> list[tuple[int, str, str]]:
    """Position, reference bases and bases instead of each record, one alternative a record (VCF 4.2)."""
    rows = [line.split("\t") for line in vcf.read_text().splitlines() if not line.startswith("#")]
    return [(int(row[1]), row[3], row[4]) for row in rows]


def annotate(position: int, bases: str, instead: str, genes: list[Gene]) -> list[tuple[str, str, str, str]]:
    """Gene, effect, codon and amino acid of one variant: a row for each gene that it touches."""
    is_substitution = len(bases) == len(instead) == 1
    # Insertions and deletions are written with the base before them, which does not change.
    first, last = (position, position) if is_substitution else (position + 1, position + len(bases) - 1)
    touched = [gene for gene in genes if gene.start <= last and first <= gene.end]
    if is_substitution:
        return [substituted(gene, position, instead) for gene in touched] or [("", "intergenic", "", "")]
    effect = "frameshift" if (len(instead) - len(bases)) % 3 else "in frame"
    return [(gene.name, effect, "", "") for gene in touched] or [("", "intergenic", "", "")]


def substituted(gene: Gene, position: int, base: str) -> tuple[str, str, str, str]:
    """What another base does to one gene."""
    offset = position - gene.start if gene.is_forward else gene.end - position
    number, at = divmod(offset, 3)
    codon = gene.coding[3 * number : 3 * number + 3]
    changed = codon[:at] + (base if gene.is_forward else opposite(base)) + codon[at + 1 :]
    before, after = CODE[codon], CODE[changed]
    if number == 0:
        # Whatever codon it starts with, a protein starts with methionine.
        before, after = "M", "M" if changed in STARTS else after
    if before == after:
        effect = "synonymous"
    elif number == 0:
        effect = "start lost"
    else:
        effect = "nonsense" if after == "*" else "stop lost" if before == "*" else "missense"
    return gene.name, effect, f"{codon}>{changed}", f"{before}{number + 1}{after}"
