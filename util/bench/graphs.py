"""The graphs that are measured, as names with the names of their inputs; scripts that are measured import this file.

Inputs stand before what depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

SHAPES = ("independent", "layers", "chain", "square")
SIDE = 300


def graph(shape: str, jobs: int) -> Iterator[tuple[int, list[int]]]:
    """Jobs by number, each with its inputs.

    Parameters
    ----------
    shape
        ``independent``; ``layers``: ten, each job with two inputs of the layer before; ``chain``; ``square``: layers of
        300, each job with all 300 of the layer before.
    jobs
        How many; of a square, as many whole layers as that makes.
    """
    if shape == "independent":
        yield from ((number, []) for number in range(jobs))
    elif shape == "chain":
        yield from ((number, [number - 1] if number else []) for number in range(jobs))
    elif shape == "layers":
        width = max(2, jobs // 10)
        for number in range(jobs):
            first, at = number // width * width - width, number % width
            yield number, [first + at, first + (at + 1) % width] if first >= 0 else []
    elif shape == "square":
        side = min(SIDE, jobs)
        for number in range(jobs // side * side):
            first = number // side * side - side
            yield number, list(range(first, first + side)) if first >= 0 else []
    else:
        raise ValueError(f"no such shape: {shape}; there are {SHAPES}")


def callback(number: int) -> Callable[[], None]:
    """The one-line job that all of them are."""

    def write() -> None:
        with open(f"o/{number}", "w") as out:
            out.write(str(number))

    return write


def edges(shape: str, jobs: int) -> int:
    """How many there are."""
    return sum(len(inputs) for _, inputs in graph(shape, jobs))
