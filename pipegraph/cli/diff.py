"""``pipegraph diff``: what has changed of the inputs of jobs since they were made: files, values, and lines of code."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence

from ..engine import Fate
from ..errors import shown
from ..explanations import Change
from ..model import JobId, Reason
from ..outlook import Outlook
from ..watchers.wording import named as named_at
from .scripts import add_script
from .shared import NotThereError, add_status_file, knowledge_of

_COLORS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
_MOST_LIKE = 10
_MOST_NAMES = 2
_SHOWN = "%Y-%m-%d %H:%M:%S"

Behind = Sequence[tuple[Reason, tuple[Change, ...]]]
"""Reasons for which a job is or was made, each with what is behind it."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "diff",
        help="what has changed since jobs were made, down to the line of code",
        usage="pipegraph diff [JOB|FILE ...] [--script SCRIPT] [-- ARGUMENT ...]\n"
        "       pipegraph diff --last JOB|FILE ... [--status-file FILE]",
        description="Shows what has changed of the inputs of jobs since they were made: sizes and times of files, "
        "values of parameters, and of code the lines that differ, also in functions that it only uses. The script is "
        "run for that, but none of its jobs, and no file is changed. With --last: what had changed when they were made "
        "last, as it was recorded; no script is run.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="JOB|FILE", help="ids, files, patterns, beginnings (default: all that must run)"
    )
    parser.add_argument("--last", action="store_true", help="what had changed when they were made last")
    add_script(parser)
    add_status_file(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    if arguments.last and not arguments.names:
        print("pipegraph diff --last: of which jobs?", file=sys.stderr)
        return 2
    show = _Show(bool(arguments.names))
    for headline, job, behind in _last(arguments) if arguments.last else _now(arguments):
        show.changes(headline, job, behind)
    show.end()
    return 0


def _now(arguments: argparse.Namespace) -> Iterator[tuple[str, JobId, Behind]]:
    from .outlooks import outlooks_of

    with outlooks_of(arguments) as outlooks:
        yield from _asked(arguments.names, outlooks)


def _asked(names: Sequence[str], outlooks: list[Outlook]) -> Iterator[tuple[str, JobId, Behind]]:
    from .outlooks import named

    if names:
        asked = [each for name in names for each in named(outlooks, name)]
    else:
        asked = [
            (outlook, start.job)
            for outlook in outlooks
            for start in outlook.must
            if not outlook.jobs[start.job].is_generator
        ]
        if not asked:
            yield "Nothing has changed: no job must run.", "", ()
    for outlook, name in asked:
        specs = [spec for spec in outlook.names.named(name)[1] if spec.id in outlook.jobs]
        if not specs:
            raise NotThereError("this is an input, and no job", [("name", name)], f"Ask: pipegraph why {name}")
        for spec in specs:
            foreseen = outlook.jobs[spec.id]
            headline = named_at(spec, spec.id)
            if foreseen.fate is Fate.MAY:
                headline += f": nothing so far; it runs if {_listed(foreseen.inputs or foreseen.roots)} changes"
            elif not foreseen.reasons:
                headline += ": nothing has changed"
            yield headline, spec.id, [(reason, tuple(outlook.explain(reason))) for reason in foreseen.reasons]


def _listed(names: Sequence[str]) -> str:
    return " or ".join(map(shown, names[:_MOST_NAMES])) + (" or another" if len(names) > _MOST_NAMES else "")


def _last(arguments: argparse.Namespace) -> Iterator[tuple[str, JobId, Behind]]:
    from ..status.explaining import Explaining
    from .names import found, jobs_by_name

    knowledge = knowledge_of(arguments.status_file)
    explaining = Explaining(knowledge, lambda invariant: None, lambda name: knowledge.maker(name) or name)
    for job in found(arguments.names, jobs_by_name(knowledge.jobs())):
        trace = knowledge.past(job).trace
        if trace is None:
            yield f"{shown(job)}: was never made here", job, ()
            continue
        at = time.strftime(_SHOWN, time.localtime(trace.ended_at))
        how = f"brought back from {shown(trace.brought_back)}" if trace.brought_back else "made"
        yield f"{shown(job)}, {how} at {at}", job, [(reason, explaining.changes(reason)) for reason in trace.reasons]


class _Show:
    """Prints; what is the same for several jobs once.

    Parameters
    ----------
    is_each
        Each job by itself; else those of which nothing new is to be said are told together, in the end.
    """

    def __init__(self, is_each: bool) -> None:
        self._is_each = is_each
        self._is_colored = (
            sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
        )
        self._known: dict[tuple[Change, ...], JobId] = {}
        self._like: dict[JobId, list[JobId]] = {}

    def changes(self, headline: str, job: JobId, behind: Behind) -> None:
        """Of one job."""
        alike = {self._known.get(changes, "") for _, changes in behind}
        if len(alike) == 1 and "" not in alike and not self._is_each:
            self._like.setdefault(alike.pop(), []).append(job)
            return
        print(headline)
        for reason, changes in behind:
            print(f"    {shown(str(reason))}")
            same_as = self._known.setdefault(changes, job) if changes else job
            if same_as != job:
                print(f"        the same as of {shown(same_as)}")
                continue
            for change in changes:
                for line in change.lines():
                    self._line(shown(line.expandtabs()))

    def end(self) -> None:
        """Tell of those that are like others."""
        for job, like in self._like.items():
            more = f" and {len(like) - _MOST_LIKE:,} more" if len(like) > _MOST_LIKE else ""
            print(f"the same as of {shown(job)}: {', '.join(map(shown, like[:_MOST_LIKE]))}{more}")

    def _line(self, line: str) -> None:
        color = _COLORS.get(line[:1]) if self._is_colored else None
        print(f"        {line}" if color is None else f"        {color}{line}\x1b[0m")
