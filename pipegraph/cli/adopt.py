"""``pipegraph adopt FILE``, or ``touch``: the next run believes the files that are there."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

from ..model import Role
from .shared import NotThereError, add_status_file, counted, listed, writing

if TYPE_CHECKING:
    from ..status import StatusFile


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "adopt",
        aliases=["touch"],
        help="have the next run believe the files that are there",
        description="The next run takes the files of these jobs that are there for what the jobs would make now: it "
        "reads them, and calls nothing. For files that were made elsewhere, or whose job changed in a way that does "
        "not matter.",
    )
    parser.add_argument("names", nargs="+", metavar="FILE", help="a file, the id of a job, a pattern, a beginning")
    add_status_file(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    with writing(arguments.status_file, "adopt") as status:
        known = set(status.jobs())
        jobs = _jobs(arguments.names, status)
        now = time.time()
        for job in jobs:
            status.note_adopt(job, now)
    new = [job for job in jobs if job not in known]
    if len(new) < len(jobs):
        print(f"to be adopted by the next run: {counted(len(jobs) - len(new), 'job')}")
        print(*listed(job for job in jobs if job in known), sep="\n")
    if new:
        print("no run knows these yet; they will be adopted if a script declares them:")
        print(*listed(new), sep="\n")
    return 0


def _jobs(names: list[str], status: StatusFile) -> list[str]:
    """Raises NotThereError if there is nothing that could be believed."""
    from .names import as_paths, found, id_of, jobs_by_name, paths_in

    known = jobs_by_name(status.jobs())
    jobs = []
    for name in names:
        paths = sorted(as_paths(path)[0] for path in paths_in(name))
        job = id_of(paths)
        # Of a job that never ran here, the files are the id.
        is_new = job not in known and all(os.path.isfile(path) and not os.path.isabs(path) for path in paths)
        if is_new:
            jobs.append(job)
            continue
        several = found([name], known)
        jobs += several if len(several) == 1 else [each for each in several if not _is_temporary(each, status)]
    jobs = list(dict.fromkeys(jobs))
    for job in jobs:
        paths = paths_in(job)
        missing = [path for path in paths if not os.path.isfile(path)]
        if missing or not paths:
            raise NotThereError(
                "there is nothing to adopt" if len(missing) == len(paths) else "not all files of a job are there",
                [("job", job), *(("missing", path) for path in missing[:3])],
                "Put the files there, or let the next run make them.",
            )
    return jobs


def _is_temporary(job: str, status: StatusFile) -> bool:
    declared = status.declared(job)
    return declared is not None and declared.role is Role.EPHEMERAL
