"""What several commands need: the status file, to look at or to write; sizes; the trouble of finding nothing."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..errors import PyPipeGraphError, shown

if TYPE_CHECKING:
    from ..events import Warned
    from ..status import StatusFile
    from ..status.knowledge import Knowledge

_SHOWN_NAMES = 10
NOT_CONFIRMED = 2
"""Exit status where there is nobody to ask."""


class NotThereError(PyPipeGraphError):
    """What was asked for is not there: exit status 1."""


def add_status_file(parser: argparse.ArgumentParser) -> None:
    """Declare the option of who reads the status file."""
    parser.add_argument(
        "--status-file", default=".pipegraph_status", metavar="FILE", help="instead of .pipegraph_status"
    )


def knowledge_of(path: str) -> Knowledge:
    """What the status file says; works while a run goes on.

    Raises
    ------
    NotThereError
        There is none.
    StatusError
        It can't be read, or is something else.
    """
    from ..status.knowledge import Knowledge

    if not os.path.lexists(path):
        raise NotThereError(
            "there is no status file here",
            [("status file", os.path.abspath(path))],
            "Go to the directory that the script runs in (pipegraph -C DIR …), or name the file with --status-file.",
        )
    return Knowledge.read(path)


@contextlib.contextmanager
def writing(path: str, command: str) -> Iterator[StatusFile]:
    """The status file, held as a run holds it; it may be a new one.

    Raises
    ------
    StatusHeldError
        A run has it.
    StatusError
        It can't be used; what is not a status file is left as it is.
    """
    from ..status import StatusFile
    from ..status.knowledge import Knowledge

    if os.path.lexists(path):
        Knowledge.read(path)  # opening to write would set aside what is foreign
    with StatusFile.open(path, _warn, {"command": f"pipegraph {command}"}) as status:
        yield status


def counted(count: int, noun: str) -> str:
    """A number and its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Iterable[str]) -> Iterator[str]:
    """A line for each of the first few, and how many more there are."""
    every = list(names)
    yield from (f"    {shown(name)}" for name in every[:_SHOWN_NAMES])
    if len(every) > _SHOWN_NAMES:
        yield f"    and {len(every) - _SHOWN_NAMES:,} more"


def tell(headline: str, lines: list[str]) -> None:
    """A headline and what it is of; nothing, if it is of nothing."""
    if lines:
        print(f"{headline}:")
        print(*(f"    {line}" for line in lines), sep="\n")


def is_confirmed(what: str) -> bool:
    """Whether the person at the terminal says so; false where there is none."""
    if not sys.stdin.isatty():
        print(f"pipegraph: to remove {what}, say --yes", file=sys.stderr)
        return False
    try:
        return input(f"Remove {what}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _warn(warning: Warned) -> None:
    print(f"pipegraph: warning: {shown(warning.headline)}", file=sys.stderr)
    if warning.mend:
        print(f"    {shown(warning.mend)}", file=sys.stderr)
