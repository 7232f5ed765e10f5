"""``pipegraph graph``: who was made from whom, as a tree of text or as a drawing."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import shown
from .shared import NotThereError, add_status_file, knowledge_of

if TYPE_CHECKING:
    from .lineage import Lineage

Nodes = dict[str, list[str]]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "graph",
        help="jobs and files, and who was made from whom",
        description="Shows the jobs that runs of any script recorded, and the files that they were made from: what "
        "nothing else was made from stands first, and below each what it was made from. Functions and parameters are "
        "left out: pipegraph inputs has them.",
    )
    parser.add_argument("names", nargs="*", metavar="JOB", help="only these, what they need, and what needs them")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dot", action="store_const", const="dot", dest="how", help="as text for Graphviz")
    how.add_argument("--mermaid", action="store_const", const="mermaid", dest="how", help="as text for Mermaid")
    how.add_argument("--svg", action="store_const", const="svg", dest="how", help="as a picture; needs Graphviz")
    add_status_file(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    from .lineage import Lineage, tree

    lineage = Lineage(knowledge_of(arguments.status_file))
    nodes = _nodes(lineage, arguments.names)
    if not nodes:
        print("Nothing is recorded yet.")
    elif arguments.how is None:
        needed = {each for inputs in nodes.values() for each in inputs}
        last = sorted(name for name in nodes if name not in needed)
        for line in tree(last, nodes.__getitem__, lineage.label):
            print(line)
    elif arguments.how == "svg":
        _draw("\n".join(_dot(nodes, lineage)))
    else:
        for line in (_dot if arguments.how == "dot" else _mermaid)(nodes, lineage):
            print(line)
    return 0


def _nodes(lineage: Lineage, names: list[str]) -> Nodes:
    """Jobs and files, each with its direct inputs; all, or what belongs to these names."""
    from .lineage import FILE, JOB, reached
    from .names import found

    if names:
        roots = [lineage.node(name) for name in found(names, lineage.names)]
        every = reached(roots, lineage.inputs) | reached(roots, lineage.dependents)
    else:
        every = reached(lineage.jobs, lineage.inputs)
    kept = {name for name in every if lineage.kind(name) in (JOB, FILE)}
    return {name: [each for each in lineage.inputs(name) if each in kept] for name in every if name in kept}


def _dot(nodes: Nodes, lineage: Lineage) -> Iterator[str]:
    from .lineage import FILE

    number = {name: f"n{count}" for count, name in enumerate(nodes)}
    yield "digraph {"
    yield "  rankdir=LR; node [shape=box];"
    for name in nodes:
        text = shown(name).replace("\\", "\\\\").replace('"', '\\"')
        yield f'  {number[name]} [label="{text}"{", style=dashed" if lineage.kind(name) == FILE else ""}];'
    for name, inputs in nodes.items():
        for each in inputs:
            yield f"  {number[each]} -> {number[name]};"
    yield "}"


def _mermaid(nodes: Nodes, lineage: Lineage) -> Iterator[str]:
    from .lineage import FILE

    number = {name: f"n{count}" for count, name in enumerate(nodes)}
    yield "graph LR"
    for name in nodes:
        text = shown(name).replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
        yield f'  {number[name]}(["{text}"])' if lineage.kind(name) == FILE else f'  {number[name]}["{text}"]'
    for name, inputs in nodes.items():
        for each in inputs:
            yield f"  {number[each]} --> {number[name]}"


def _draw(dot: str) -> None:
    try:
        drawn = subprocess.run(["dot", "-Tsvg"], input=dot.encode(), capture_output=True, check=False)
    except OSError as error:
        raise NotThereError(
            "the program dot can't be started",
            [("because", error.strerror)],
            "Install Graphviz, or give --dot (or --mermaid) and draw it elsewhere.",
        ) from error
    if drawn.returncode:
        told = drawn.stderr.decode(errors="backslashreplace").strip()
        raise NotThereError("dot could not draw the graph", [("because", told)], "Ask for fewer jobs: graph JOB --svg.")
    sys.stdout.write(drawn.stdout.decode())
