"""``pipegraph clean``: removes temporary files that lie about, caches, and what jobs made that no script declares now.

Only what is still what was recorded. Holds the status file all the while, so that no run begins to need
what it removes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..errors import shown
from ..machine.amounts import size_of
from .shared import NOT_CONFIRMED, add_status_file, counted, is_confirmed, knowledge_of, tell, writing

if TYPE_CHECKING:
    from ..model import FileRecord
    from ..status.knowledge import Knowledge


class _Leftover(NamedTuple):
    """A file that lies about; to be left as it is, if there is an objection."""

    job: str
    path: str
    size: int
    objection: str


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "clean",
        help="remove leftovers of temporary jobs and of jobs that are gone, and caches",
        description="Removes files that lie about, if they are still what was recorded: lists them, and asks first.",
    )
    parser.add_argument("--temp", action="store_true", help="what temporary jobs left, for instance since a job failed")
    parser.add_argument(
        "--caches", action="store_true", help="what cached jobs keep; it is made again when it is needed"
    )
    parser.add_argument(
        "--orphans",
        action="store_true",
        help="what jobs made that no script declares any more; forgets these jobs, too",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_status_file(parser)
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    if not (arguments.temp or arguments.caches or arguments.orphans):
        arguments.parser.error("say what: --temp, --caches or --orphans, or several of these")
    knowledge_of(arguments.status_file)
    with writing(arguments.status_file, "clean") as status:
        knowledge = knowledge_of(arguments.status_file)
        temporary, caches, orphans, makers = _jobs(knowledge)
        found = [
            *(each for job in temporary if arguments.temp for each in _leftovers(job, knowledge)),
            *(each for job in caches if arguments.caches for each in _leftovers(job, knowledge)),
            *(each for job in orphans if arguments.orphans for each in _leftovers(job, knowledge, makers)),
        ]
        removable = [each for each in found if not each.objection]
        tell("to be removed", [f"{shown(each.path)}  {size_of(each.size)}" for each in removable])
        tell("left as it is", [f"{shown(each.path)}: {shown(each.objection)}" for each in found if each.objection])
        what = f"{counted(len(removable), 'file')} ({size_of(sum(each.size for each in removable))})"
        if removable and not (arguments.yes or is_confirmed(what)):
            print("Nothing was removed.")
            return 0 if sys.stdin.isatty() else NOT_CONFIRMED
        kept = {each.job for each in found if each.objection} | set(_remove(removable))
        forgotten = [job for job in orphans if arguments.orphans and job not in kept]
        for job in forgotten:
            status.forget(job)
    print(
        f"Removed {what if removable else 'nothing'}."
        + (f" Forgot {counted(len(forgotten), 'job')}." * bool(forgotten))
    )
    return 0


def _jobs(knowledge: Knowledge) -> tuple[list[str], list[str], list[str], dict[str, str]]:
    """Temporary jobs; caches; jobs that no script declares any more; and who makes which file, of the others."""
    from ..model import Role
    from .names import jobs_by_name

    temporary: list[str] = []
    caches: list[str] = []
    orphans, others = [], []
    for job in sorted(knowledge.jobs()):
        declared = knowledge.declared(job)
        if declared is not None and not declared.scripts:
            orphans.append(job)
            continue
        others.append(job)
        if declared is not None and declared.role is Role.EPHEMERAL:
            (caches if declared.keeps else temporary).append(job)
    return temporary, caches, orphans, jobs_by_name(others)


def _leftovers(job: str, knowledge: Knowledge, makers: Mapping[str, str] | None = None) -> Iterator[_Leftover]:
    """Files of a job that are there; of one that is gone, if it is told who else makes files."""
    from .names import paths_in

    trace = knowledge.past(job).trace
    records: dict[str, FileRecord | None] = dict.fromkeys(paths_in(job))
    if trace is not None:
        records = {record.path: record for record in trace.outputs}
    for path, record in records.items():
        if os.path.isfile(path) or os.path.islink(path):
            objection = "" if makers is None else _use_of(path, knowledge, makers)
            yield _Leftover(job, path, os.lstat(path).st_size, objection or _objection(path, record))


def _objection(path: str, record: FileRecord | None) -> str:
    """Why a file is not to be removed; empty if there is no reason."""
    from ..invariants import files

    if os.path.isabs(path) or os.path.normpath(path).startswith(".."):
        return "it lies outside of this directory"
    if record is None:
        return "no run recorded that it was made"
    try:
        now = files.look(path, record)
    except OSError as error:
        return f"it can't be read ({error.strerror})"
    return "" if now.content == record.content else "it changed since it was made"


def _use_of(path: str, knowledge: Knowledge, makers: Mapping[str, str]) -> str:
    """Who makes or takes a file of a job that is gone; empty if nobody does."""
    if path in makers:
        return f"now made by {makers[path]}"
    for job in knowledge.dependents_of(path):
        declared = knowledge.declared(job)
        if declared is None or declared.scripts:
            return f"an input of {job}"
    return ""


def _remove(leftovers: list[_Leftover]) -> Iterator[str]:
    """Ids of the jobs of which a file could not be removed."""
    for each in leftovers:
        try:
            os.unlink(each.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            print(f"pipegraph: {shown(each.path)} can't be removed: {error.strerror}", file=sys.stderr)
            yield each.job
