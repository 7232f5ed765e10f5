"""``pipegraph forget JOB``: nothing is known of it any more; its files stay."""

from __future__ import annotations

import argparse

from .shared import add_status_file, counted, knowledge_of, listed, writing


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "forget",
        help="forget what was recorded of jobs, so that the next run makes them",
        description="Forgets what was recorded of jobs: the next run makes them as if it were the first time. Their "
        "files stay until then.",
    )
    parser.add_argument("names", nargs="+", metavar="JOB", help="the id of a job, a file, a pattern, a beginning")
    add_status_file(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    from .names import found, jobs_by_name

    knowledge_of(arguments.status_file)
    with writing(arguments.status_file, "forget") as status:
        jobs = found(arguments.names, jobs_by_name(status.jobs()))
        for job in jobs:
            status.forget(job)
    print(f"forgotten: {counted(len(jobs), 'job')}")
    print(*listed(jobs), sep="\n")
    return 0
