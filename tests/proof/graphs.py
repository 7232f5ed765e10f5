"""All small graphs of jobs: each once, whatever its jobs are called.

A graph is a number of nodes in an order in which they can be made, each with a role, its inputs, and the generator
that makes it (if the script does not). Two graphs are the same if renaming jobs turns one into the other.

What counts as sensible: jobs hang together; invariants have no inputs, and no two have the same dependents (they
would be one); somebody depends on each invariant, temporary file, cache and load, and each generator declares
something; a job's inputs are known when it is declared or, where they come from a generator later than that, the job
waits for that generator, which then injects them. What falls apart, or is needed by nobody, arises from these when
jobs and edges are taken away between runs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations, permutations, product
from typing import NamedTuple

INVARIANT, OUTPUT, TEMP, LOAD, GENERATOR = "i", "o", "t", "l", "g"
CACHE, OPAQUE = "c", "p"
"""A temporary file that is kept; a load that counts by what it loaded."""
ROLES = INVARIANT + OUTPUT + TEMP + LOAD + GENERATOR
FILES = OUTPUT + TEMP + CACHE
LOADS = LOAD + OPAQUE
EPHEMERAL = TEMP + CACHE + LOADS


class Node(NamedTuple):
    """One job.

    Attributes
    ----------
    inputs
        Numbers of earlier nodes.
    maker
        The number of the generator that declares it; -1: the script does.
    """

    role: str
    inputs: frozenset[int]
    maker: int = -1


Shape = tuple[Node, ...]


def all_shapes(size: int, roles: str = ROLES) -> Iterator[Shape]:
    """Every sensible graph of so many jobs, all of these roles, once."""
    seen = set()
    for shape in _grown(size, roles):
        if is_sensible(shape):
            form = canonical(shape)
            if form not in seen:
                seen.add(form)
                yield shape


def _grown(size: int, roles: str) -> Iterator[Shape]:
    """Every graph of so many jobs at least once, by one more job on top of each smaller graph."""
    if not size:
        yield ()
        return
    below: dict[object, Shape] = {canonical(shape): shape for shape in _grown(size - 1, roles)}
    for shape in below.values():
        yield from tops(shape, roles)


def tops(shape: Shape, roles: str = ROLES) -> Iterator[Shape]:
    """All graphs with one more job than this one, on which nothing depends."""
    numbers = range(len(shape))
    makers = [-1, *(number for number in numbers if shape[number].role == GENERATOR)]
    for role, maker in product(roles, makers):
        for count in range(1 if role == INVARIANT else len(shape) + 1):
            for inputs in combinations(numbers, count):
                if maker not in inputs:
                    grown = (*shape, Node(role, frozenset(inputs), maker))
                    if can_be_declared(grown):
                        yield grown


def is_sensible(shape: Shape) -> bool:
    """Whether each job is there for something, and all hang together."""
    dependents = [dependents_of(shape, number) for number in range(len(shape))]
    makes = {node.maker for node in shape}
    watched = set()
    for number, node in enumerate(shape):
        if node.role in INVARIANT + EPHEMERAL and not dependents[number]:
            return False
        if node.role == GENERATOR and number not in makes:
            return False
        if node.role == INVARIANT:
            if (node.maker, *dependents[number]) in watched:
                return False
            watched.add((node.maker, *dependents[number]))
    together, stack = {0}, [0]
    while stack:
        one = stack.pop()
        near = {*shape[one].inputs, *dependents[one], shape[one].maker}
        near |= {number for number, node in enumerate(shape) if node.maker == one}
        stack += near - together - {-1}
        together |= near
    return len(together - {-1}) == len(shape)


def random_shape(pick: random.Random, size: int) -> Shape:
    """One sensible graph of so many jobs; not each is equally likely."""
    while True:
        shape: Shape = ()
        while len(shape) < size:
            shape = pick.choice(list(tops(shape)))
        if is_sensible(shape):
            return shape


def dependents_of(shape: Shape, number: int) -> list[int]:
    """The direct dependents of a job."""
    return [other for other, node in enumerate(shape) if number in node.inputs]


def can_be_declared(shape: Shape) -> bool:
    """Whether each input is known when it is needed, or injected by its generator into a job that waits for it."""
    return all(
        is_known(shape, source, number) or waits_for(shape, number, shape[source].maker)
        for number, node in enumerate(shape)
        for source in node.inputs
    )


def is_known(shape: Shape, source: int, number: int) -> bool:
    """Whether an input is declared when the job is: by the script, by the same maker, or by one that ended before."""
    maker = shape[source].maker
    return maker == -1 or maker in makers_before(shape, shape[number].maker)


def makers_before(shape: Shape, maker: int) -> set[int]:
    """This generator, and all that ended before it began."""
    found: set[int] = set()
    stack = [maker]
    while stack:
        number = stack.pop()
        if number == -1 or number in found:
            continue
        found.add(number)
        stack += [shape[number].maker, *shape[number].inputs]
    return {number for number in found if shape[number].role == GENERATOR}


def waits_for(shape: Shape, number: int, generator: int) -> bool:
    """Whether a job is there before the generator runs, and waits for it without what the generator injects."""
    if shape[number].maker not in (-1, *makers_before(shape, generator)):
        return False
    stack, seen = [number], {number}
    while stack:
        one = stack.pop()
        for source in shape[one].inputs:
            if source == generator:
                return True
            if source not in seen and is_known(shape, source, one):
                seen.add(source)
                stack.append(source)
    return False


def canonical(shape: Shape) -> object:
    """The same for two graphs if, and only if, renaming jobs turns one into the other."""
    colours = [hash((node.role, len(node.inputs), node.maker == -1)) for node in shape]
    for _ in shape:
        colours = [
            hash(
                (
                    colours[number],
                    tuple(sorted(colours[source] for source in node.inputs)),
                    tuple(sorted(colours[other] for other in dependents_of(shape, number))),
                    colours[node.maker] if node.maker >= 0 else 0,
                    tuple(sorted(colours[other] for other, each in enumerate(shape) if each.maker == number)),
                )
            )
            for number, node in enumerate(shape)
        ]
    classes: dict[int, list[int]] = {}
    for number, colour in enumerate(colours):
        classes.setdefault(colour, []).append(number)
    best = None
    for orders in product(*(permutations(classes[colour]) for colour in sorted(classes))):
        order = [number for one in orders for number in one]
        place = {number: at for at, number in enumerate(order)} | {-1: -1}
        form = tuple(
            (
                shape[number].role,
                tuple(sorted(place[source] for source in shape[number].inputs)),
                place[shape[number].maker],
            )
            for number in order
        )
        if best is None or form < best:
            best = form
    return best
