"""Imports point one way: every module of the package imports from its layer's lower neighbours only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "pipegraph"

# From the bottom up. Parts of one layer do not import each other, except in the two layers of LISTED_IN_ORDER,
# where a part may import those that stand before it.
LAYERS = (
    ("errors", "explanations", "masking", "model", "events", "patterns", "placeholders", "shell"),
    (
        "caches",
        "cycles",
        "estimates",
        "machine",
        "order",
        "outcomes",
        "programs",
        "rendering",
        "retries",
        "signals",
        "targets",
        "undeclared",
        "wishes",
    ),
    ("engine", "invariants"),
    ("graph", "results"),
    ("jobs", "status", "slaves", "watchers", "keyboard"),
    ("arrivals", "changes", "coordinator", "dialogue", "outlook", "remarks"),
    ("admission",),
    ("second_chances",),
    ("installed", "run"),
    ("script",),
    ("testing", "uniqueness", "doors", "cli", "__init__", "__main__"),
)
LISTED_IN_ORDER = (0, len(LAYERS) - 1)
# What scripts of the original API import by name: each leads to the real thing and belongs to the doors.
DOORS = ("util", "job", "ppg_exceptions", "resource_coordinators", "interactive")

PURE = {
    *(
        "__future__",
        "abc",
        "array",
        "bisect",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "heapq",
        "itertools",
    ),
    *("math", "operator", "types", "typing"),
}
"""All that the engine may import from outside of the package: it decides, and never looks at the world."""

NOTEBOOKS = ("jupyter_core", "nbclient", "nbconvert", "nbformat")
"""What an extra installs; imported where it is needed."""


class Import(NamedTuple):
    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules(package: Path) -> dict[str, Path]:
    """Every module by its dotted name; packages by theirs: ``pipegraph``, ``pipegraph.engine``."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """All imports of a module, wherever they stand, as dotted names of modules.

    ``from package import name`` is an import of ``package.name`` where that is a module, of ``package`` otherwise.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    yield Import(name, alias.name, node.lineno)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                above = ".".join(package.split(".")[: len(package.split(".")) - level + 1]) if level else ""
                source = ".".join(part for part in (above, module) if part)
                for alias in aliases:
                    inner = f"{source}.{alias.name}"
                    is_fact = inner == "pipegraph.__version__"
                    yield Import(name, inner if inner in known or is_fact else source, node.lineno)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module" | "__import__"),
                args=[ast.Constant(value=str(imported)), *_],
            ):
                absolute = imported if not imported.startswith(".") else package + "." + imported.lstrip(".")
                yield Import(name, absolute, node.lineno)
            case ast.Call(
                func=ast.Name(id="import_module"),
                args=[ast.JoinedStr(values=[ast.Constant(value="."), ast.FormattedValue()]), ast.Name(id="__name__")],
            ) if path.name == "__init__.py":
                yield from (Import(name, each, node.lineno) for each in known if each.rpartition(".")[0] == name)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module" | "__import__")
            ):
                yield Import(name, "something that can't be read from the source", node.lineno)


def part_of(module: str) -> str:
    """The part of the package that a module belongs to; ``__init__`` for the package itself."""
    below = module.split(".")[1:]
    if not below:
        return "__init__"
    return "doors" if below[0] in DOORS else below[0]


def layer_of(part: str) -> int | None:
    return next((height for height, parts in enumerate(LAYERS) if part in parts), None)


def wrong_arrows(package: Path) -> list[str]:
    """What breaks the order, as sentences; empty if nothing does."""
    known = modules(package)
    problems = []
    for name, path in known.items():
        importer = part_of(name)
        if layer_of(importer) is None:
            problems.append(f"{name} has no layer: give its part ({importer}) one in {Path(__file__).name}")
            continue
        for found in imports_of(name, path, known):
            top = found.imported.partition(".")[0]
            if top not in {
                "pipegraph",
                *sys.stdlib_module_names,
                "psutil",
                "rich",
                "xxhash",
                "numpy",
                "pandas",
                "polars",
                "joblib",
                "anndata",
                *NOTEBOOKS,
            }:
                problems.append(f"{found}, which is neither ours, nor Python's, nor a dependency")
            # The package is imported before any of its modules: its version, a fact, is no arrow.
            if found.imported == "pipegraph.__version__":
                continue
            if top == "pipegraph" and not is_downward(importer, part_of(found.imported)):
                problems.append(str(found))
    return problems


def is_downward(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    upper, lower = layer_of(importer), layer_of(imported)
    if upper is None or lower is None or lower > upper:
        return False
    if lower < upper:
        return True
    parts = LAYERS[upper]
    return upper in LISTED_IN_ORDER and parts.index(imported) < parts.index(importer)


def test_every_import_in_the_package_points_downward() -> None:
    problems = wrong_arrows(PACKAGE)

    assert not problems, "\n".join(problems)


def test_the_engine_imports_nothing_that_looks_at_the_world() -> None:
    known = modules(PACKAGE)
    looks = [
        str(found)
        for name, path in known.items()
        if part_of(name) == "engine"
        for found in imports_of(name, path, known)
        if found.imported.partition(".")[0] not in PURE | {"pipegraph"}
    ]

    assert not looks, "\n".join(looks)


def test_importing_the_package_imports_nothing_slow() -> None:
    """rich, numpy and the like are imported when they are needed: the import is part of every script's start."""
    show = (
        "import sys, pipegraph; print({'rich', 'numpy', 'pandas', 'asyncio', 'inspect', 'pickle'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", show], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert answer.stdout == "set()\n"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors.py", "from pipegraph import model"),
        ("errors.py", "from . import model"),
        ("model.py", "import pipegraph.events"),
        ("engine/ledger.py", "from ..status import StatusFile"),
        ("engine/ledger.py", "from ..graph import Graph"),
        ("engine/__init__.py", "from .. import invariants"),
        ("engine/deep/er.py", "from ...status.store import StatusFile"),
        ("status/store.py", "def look():\n    from pipegraph.jobs import Job"),
        ("graph.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .jobs import Job"),
        ("graph.py", "from . import FileGeneratingJob"),
        ("graph.py", "import pipegraph"),
        ("run.py", "from . import __version__, new_pipegraph"),
        ("slaves/local.py", "try:\n    from .. import watchers\nexcept ImportError:\n    pass"),
        ("coordinator.py", "from .run import run_pipegraph"),
        ("run.py", "import importlib\nimportlib.import_module('pipegraph.cli')"),
        ("run.py", "from importlib import import_module\nimport_module('.cli', __package__)"),
        ("run.py", "import importlib\nimportlib.import_module(chosen)"),
        ("testing.py", "from .cli import main"),
        ("watchers/terminal.py", "import requests"),
        ("run.py", "from .util import global_pipegraph"),
        ("helpers.py", ""),
    ],
)
def test_an_arrow_that_does_not_point_downward_is_found(tmp_path: Path, module: str, source: str) -> None:
    package = small_package(tmp_path)
    path = package / module
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)

    assert len(wrong_arrows(package)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("events.py", "from .model import Role"),
        ("engine/ledger.py", "from .states import State\nfrom ..model import Role\nfrom .. import errors"),
        ("engine/__init__.py", "from .ledger import Ledger"),
        ("jobs/files.py", "from ..graph import Graph\nimport pipegraph.invariants.files"),
        ("run.py", "from .coordinator import Coordinator\nfrom .engine import Engine\nfrom . import status"),
        ("cli/why.py", "from .. import doors\nfrom ..run import run_pipegraph\nimport os, rich.table"),
        ("run.py", "from . import __version__"),
        ("__init__.py", "from .script import run_pipegraph\nfrom .util import global_pipegraph"),
        ("util.py", "from .doors import global_pipegraph\nfrom .graph import current"),
    ],
)
def test_downward_arrows_are_left_alone(tmp_path: Path, module: str, source: str) -> None:
    package = small_package(tmp_path)
    path = package / module
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)

    assert wrong_arrows(package) == []


def small_package(folder: Path) -> Path:
    package = folder / "pipegraph"
    for parts in LAYERS:
        for part in parts:
            path = package / ("__init__.py" if part == "__init__" else f"{part}/__init__.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for part in ("cycles", "graph", "model", "errors", "events", "coordinator", "run", "testing", "__main__"):
        (package / part / "__init__.py").unlink()
        (package / part).rmdir()
        (package / f"{part}.py").touch()
    (package / "engine" / "states.py").touch()
    (package / "util.py").touch()
    return package
