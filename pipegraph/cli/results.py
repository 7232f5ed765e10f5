"""``pipegraph results``: what a folder of shared results holds, and the removal of what nobody used for long."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from typing import TYPE_CHECKING

from ..errors import shown
from ..machine.amounts import size_of
from .shared import NOT_CONFIRMED, NotThereError, counted, is_confirmed, tell

if TYPE_CHECKING:
    from ..results.holdings import Held, Leftover
    from ..results.store import Store

_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "results",
        help="list a folder of shared results, or remove those that nobody uses",
        description="Lists the results that are kept in a folder (job.share(FOLDER); those of job.keep_versions are in "
        "cache/versions), the one that was used last at the end.",
    )
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument(
        "--unused-for",
        type=_seconds,
        metavar="TIME",
        help="remove what no job has taken for so long (90d, 2w, 12h), and no project's file is a link to; asks first",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    from ..results.holdings import holdings, leftovers
    from ..results.store import MARK, Store

    if not os.path.isfile(os.path.join(arguments.folder, MARK)):
        raise NotThereError(
            "no results are kept there",
            [("folder", os.path.abspath(arguments.folder))],
            "Give the folder that jobs name in job.share(…), or cache/versions of a project.",
        )
    store = Store(os.path.abspath(arguments.folder))
    held = sorted(holdings(store), key=lambda each: each.used_at)
    lying_about = list(leftovers(store))
    if arguments.unused_for is None:
        _list(held, lying_about)
        return 0
    return _collect(store, held, lying_about, time.time() - arguments.unused_for, arguments.yes)


def _list(held: list[Held], lying_about: list[Leftover]) -> None:
    rows = [("size", "linked", "last used", "made", "took", "by", "job")]
    for each in held:
        its = each.manifest
        rows.append(
            (
                size_of(its.size),
                "yes" if each.is_linked else "no",
                _day(each.used_at),
                _day(its.made_at),
                f"{its.seconds:.0f} s",
                shown(its.user),
                f"{shown(its.job)} of {shown(its.directory)}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows if held else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(f"{counted(len(held), 'result')} ({size_of(sum(each.manifest.size for each in held))})")
    if lying_about:
        size = size_of(sum(each.size for each in lying_about))
        print(f"{counted(len(lying_about), 'leftover')} of what was cut short or damaged ({size})")


def _collect(store: Store, held: list[Held], lying_about: list[Leftover], before: float, is_agreed: bool) -> int:
    from ..results.holdings import remove, remove_leftover

    unused = [each for each in held if each.used_at < before]
    removable = [each for each in unused if not each.is_linked]
    old = [each for each in lying_about if each.at < before]
    tell("to be removed", [*map(_line, removable), *(f"{size_of(each.size)}  {shown(each.path)}" for each in old)])
    tell("left as it is, since files of projects are links to it", [_line(each) for each in unused if each.is_linked])
    size = sum(each.manifest.size for each in removable) + sum(each.size for each in old)
    what = f"{counted(len(removable) + len(old), 'result')} ({size_of(size)})"
    if not removable and not old:
        print("Removed nothing.")
        return 0
    if not (is_agreed or is_confirmed(what)):
        print("Nothing was removed.")
        return 0 if sys.stdin.isatty() else NOT_CONFIRMED
    try:
        kept = [each.manifest.job for each in removable if not remove(store, each)]
        kept += [each.path for each in old if not remove_leftover(store, each)]
    except OSError as error:
        print(f"pipegraph: {shown(store.folder)}: {error.strerror}", file=sys.stderr)
        return 1
    tell("left as it is, since it is in use now", [shown(each) for each in kept])
    print(f"Removed {what}." if not kept else f"Removed the other {len(removable) + len(old) - len(kept)}.")
    return 0


def _line(held: Held) -> str:
    return f"{size_of(held.manifest.size)}  {shown(held.manifest.job)}, last used {_day(held.used_at)}"


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: say 90d (days), 12h (hours) or 2w (weeks)")
    return float(match[1]) * _SECONDS[match[2]]
