"""The control: reads of a phage whose mutations are known, so that the calls can be held against the truth."""

from __future__ import annotations

import random
from pathlib import Path

from annotation import opposite, read_fasta, read_variants

SUBSTITUTIONS, INSERTIONS, DELETIONS = 60, 10, 10
APART = 150
"""Bases between two mutations, and from the ends of the phage."""
LONGEST = 6
"""Bases that an insertion or deletion has at most."""
PAIRS = 6000
READ_LENGTH = 100
FRAGMENT_LENGTH, FRAGMENT_SPREAD = 300, 30
QUALITIES = (10, 20, 30, 38)
"""Phred qualities of the simulated bases; each base is wrong as often as its quality says."""


def mutate(reference: str, chance: random.Random) -> list[tuple[int, str, str]]:
    """Mutations as a VCF file writes them: position, bases there, bases instead."""
    kinds = ["substitution"] * SUBSTITUTIONS + ["insertion"] * INSERTIONS + ["deletion"] * DELETIONS
    chance.shuffle(kinds)
    places = sorted(chance.sample(range(1, len(reference) // APART), len(kinds)))
    return [mutation(reference, APART * place, kind, chance) for place, kind in zip(places, kinds)]


def mutation(reference: str, position: int, kind: str, chance: random.Random) -> tuple[int, str, str]:
    before = reference[position - 1]
    if kind == "substitution":
        return position, before, chance.choice([base for base in "ACGT" if base != before])
    length = chance.randint(1, LONGEST)
    if kind == "deletion":
        bases = reference[position - 1 : position + length]
        # One that ends as it begins could be written further to the left: the same deletion would have two names.
        return (position, bases, before) if bases[-1] != before else mutation(reference, position - 1, kind, chance)
    last = chance.choice([base for base in "ACGT" if base != before])
    return position, before, before + "".join(chance.choices("ACGT", k=length - 1)) + last


def mutated(reference: str, mutations: list[tuple[int, str, str]]) -> str:
    # From the end, so that the places still to come stay where they are.
    for position, bases, instead in reversed(mutations):
        reference = reference[: position - 1] + instead + reference[position - 1 + len(bases) :]
    return reference


def sequence(bases: str, chance: random.Random) -> tuple[str, str]:
    """A read, with errors, and its qualities (FASTQ, doi:10.1093/nar/gkp1137)."""
    qualities = chance.choices(QUALITIES, weights=(1, 2, 10, 30), k=len(bases))
    read = "".join(
        chance.choice("ACGT".replace(base, "")) if chance.random() < 10 ** (-quality / 10) else base
        for base, quality in zip(bases, qualities)
    )
    return read, "".join(chr(33 + quality) for quality in qualities)


def simulate(fasta: Path, seed: int, truth: Path, mates: tuple[Path, Path]) -> None:
    """Write the mutations, as VCF, and paired reads of the phage that has them."""
    chance = random.Random(seed)
    reference = read_fasta(fasta)
    mutations = mutate(reference, chance)
    rows = [f"lambda\t{at}\t.\t{bases}\t{instead}\t.\t.\t.\n" for at, bases, instead in mutations]
    truth.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(rows))

    genome = mutated(reference, mutations)
    with mates[0].open("w") as forward, mates[1].open("w") as backward:
        for pair in range(PAIRS):
            length = max(READ_LENGTH, round(chance.gauss(FRAGMENT_LENGTH, FRAGMENT_SPREAD)))
            start = chance.randrange(len(genome) - length)
            fragment = genome[start : start + length]
            ends = [fragment[:READ_LENGTH], opposite(fragment)[:READ_LENGTH]]
            chance.shuffle(ends)
            for bases, mate in zip(ends, (forward, backward)):
                read, qualities = sequence(bases, chance)
                mate.write(f"@pair{pair}\n{read}\n+\n{qualities}\n")


def compare(called: Path, truth: Path) -> tuple[int, int, int]:
    """How many variants were rightly called, wrongly called, and missed."""
    found, real = set(read_variants(called)), set(read_variants(truth))
    return len(found & real), len(found - real), len(real - found)
