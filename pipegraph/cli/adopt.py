"""``pipegraph adopt FILE``, or ``touch``: the next run believes the files that are there."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

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
        jobs = _jobs(arguments.names, status)
        now = time.time()
        for job in jobs:
            status.note_adopt(job, now)
    print(f"{counted(len(jobs), 'job')} to be adopted by the next run:")
    print(*listed(jobs), sep="\n")
    return 0


def _jobs(names: list[str], status: StatusFile) -> list[str]:
    """Raises NotThereError if there is nothing that could be believed."""
    from .names import as_paths, found, jobs_by_name, paths_in

    known = jobs_by_name(status.jobs())
    jobs = []
    for name in names:
        path = as_paths(name)[0]
        if path not in known and os.path.isfile(path) and not path.startswith("/"):
            jobs.append(path)  # of a job that never ran here: most often its id
        else:
            jobs += found([name], known)
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
