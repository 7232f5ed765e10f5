"""How all benchmarks measure: settings, scripts in processes of their own, rounds in turns, tables.

Absolute times differ between machines, and between hours on one. So what is compared is measured in turns (A B A B …),
each with its neighbour, and what counts is the median of the ratios of such pairs. Everything happens in temporary
folders. Scripts are run with this checkout and with compiled modules, as an installed package has them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = Path(__file__).resolve().parent

CHECKOUT = "PIPEGRAPH_BENCH_CHECKOUT"
"""The environment variable that names another checkout, to be measured by the benchmarks of this one."""
PACKAGE = os.environ.get(CHECKOUT) or str(ROOT)
"""Where pipegraph is imported from."""

T = TypeVar("T")


class Measured(NamedTuple):
    """One process from its start to its end, with all of its descendants that were waited for."""

    seconds: float
    cpu_seconds: float
    page_faults: int
    printed: list[float]
    """The numbers that it printed."""


def settings(document: str, choices: Mapping[str, Sequence[str]] | None = None, **names: tuple[Any, Any]) -> Any:
    """What was asked for on the command line: ``--name VALUE``, or several values where the default is a list.

    Parameters
    ----------
    choices
        Of those of these names that are words.
    names
        Each with what it is by default, and with ``--quick``: the smallest that shows that the script still works.
    """
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest settings: does it still work?")
    for name, (default, quick) in names.items():
        is_list = isinstance(default, list)
        kind = type((default or quick or [""])[0]) if is_list else type(default)
        more: dict[str, Any] = {"nargs": "*" if is_list else None, "type": kind}
        if name in (choices or {}):
            more["choices"] = (choices or {})[name]
        said = f"{' '.join(map(str, default)) or 'none' if is_list else default}; quick: "
        said += " ".join(map(str, quick)) if is_list else str(quick)
        parser.add_argument("--" + name.replace("_", "-"), default=None, help=said, **more)
    given = parser.parse_args()
    for name, (default, quick) in names.items():
        if getattr(given, name) is None:
            setattr(given, name, quick if given.quick else default)
    return given


@contextlib.contextmanager
def scratch(where: str | None = None) -> Iterator[Path]:
    """A temporary folder; removing it is no part of what is measured."""
    folder = Path(tempfile.mkdtemp(prefix="pipegraph-bench-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(**more: str) -> dict[str, str]:
    """Of a process that is measured."""
    found = {**os.environ, "PYTHONPATH": PACKAGE, **more}
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def measure(
    command: Sequence[object], folder: Path, env: Mapping[str, str] | None = None, may_fail: bool = False
) -> Measured:
    """Run a command in a folder, from its start to its end.

    Raises
    ------
    SystemExit
        It failed, and may not; with what it said.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode and not may_fail:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, cpu, after.ru_minflt - before.ru_minflt, _numbers(done.stdout))


def run_script(
    text: str, *arguments: object, folder: Path, env: Mapping[str, str] | None = None, name: str = "script.py"
) -> Measured:
    """Run Python code as a script of its own in that folder, which may import ``graphs``."""
    path = folder / name
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    if not (folder / "graphs.py").exists():
        shutil.copyfile(FOLDER / "graphs.py", folder / "graphs.py")
    return measure([sys.executable, name, *arguments], folder, env)


def in_turns(repeat: int, contestants: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Each of them once in each round, one after the other."""
    found: dict[str, list[T]] = {name: [] for name in contestants}
    for number in range(repeat):
        for name, call in contestants.items():
            say(f"round {number + 1} of {repeat}: {name}")
            found[name].append(call())
    return found


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """How many times the others, pair by pair."""
    return statistics.median(one / other for one, other in zip(ones, others))


def difference(ones: Sequence[float], others: Sequence[float]) -> float:
    """How much more than the others, pair by pair."""
    return statistics.median(one - other for one, other in zip(ones, others))


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table as docs/performance.rst has it."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in [list(heads), *texts]) for at in range(len(heads))]
    line = " ".join("=" * width for width in widths)
    print(line)
    for number, row in enumerate([list(heads), *texts]):
        print(" ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print(line)
    print(line, flush=True)


def verdict(aim: str, measured: str, is_reached: bool) -> None:
    """Print what was to be reached, and whether it was."""
    print(f"\naim: {aim}; measured: {measured}{'' if is_reached else ': **not reached**'}\n", flush=True)


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}\r", end="", file=sys.stderr, flush=True)


def thousands(number: float) -> str:
    """With thin groups: 100 000."""
    return f"{number:,.0f}".replace(",", " ")


def missing(program: str) -> str:
    """How to get a program that is not there; empty if it is."""
    if shutil.which(program):
        return ""
    from_where = {"make": "Debian: apt install make", "ninja": "Debian: apt install ninja-build"}
    return f"{program} is not there ({from_where.get(program, 'PyPI: pip install ' + program)})"


def _numbers(text: str) -> list[float]:
    found = []
    for word in text.split():
        with contextlib.suppress(ValueError):
            found.append(float(word))
    return found
