"""What has to be said when it happens, and at the end: failures, warnings, a stop, the summary. The same words for all.

Lines with a style each, for whoever prints them. Never a line per job: what is many is counted.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from ..errors import shown
from ..events import (
    Event,
    JobFailed,
    JobPutOff,
    JobStarted,
    JobStopped,
    JobSucceeded,
    JobsUpToDate,
    RunEnded,
    SlaveDied,
    StopRequested,
    Warned,
)
from .board import Board
from .overview import FailedJob
from .wording import duration, headline_of, named, own_frame, place_of, put_off, summary_of, why_put_off

SHOWN_FAILURES = 10
SHOWN_WARNINGS = 20
_SHOWN_STOPPED = 5
_SILENT = frozenset((JobStarted, JobSucceeded, JobsUpToDate))
"""Nearly all that happens."""


class Line(NamedTuple):
    """One line, and how it looks where there are colours (a style of rich)."""

    text: str
    style: str = ""


class Announcements:
    """Words for events.

    Parameters
    ----------
    is_quiet
        Failures and warnings only.
    log_directory
        Named in the lines that lead there; None if there are no logs.
    """

    def __init__(self, board: Board, is_quiet: bool, log_directory: str | None) -> None:
        self._board = board
        self._is_quiet = is_quiet
        self._log_directory = log_directory
        self._failed = self._warned = self._put_off = 0
        self._stopped: list[str] = []

    def lines_for(self, event: Event) -> list[Line]:
        """What to print of an event that the board has seen; most often nothing."""
        if type(event) in _SILENT:
            return []
        if isinstance(event, JobFailed):
            return self._failure(event)
        if isinstance(event, JobPutOff):
            return self._putting_off(event)
        if isinstance(event, Warned):
            return self._warning(event)
        if isinstance(event, SlaveDied):
            return [Line("pipegraph: a compute slave died; what it was running is started again", "yellow")]
        if isinstance(event, StopRequested):
            return self._stop(event)
        if isinstance(event, JobStopped):
            self._stopped += [event.job] if event.has_begun else []
        elif isinstance(event, RunEnded):
            return self._end(event)
        return []

    def _failure(self, event: JobFailed) -> list[Line]:
        self._failed += 1
        if self._failed > SHOWN_FAILURES:
            if self._failed == SHOWN_FAILURES + 1:
                return [Line("pipegraph: more jobs failed; they are only counted from here on", "red")]
            return []
        lines = [
            Line(f"pipegraph: failed {named(self._board.specs.get(event.job), event.job)}", "bold red"),
            Line(f"    {headline_of(event.failure)}"),
        ]
        own = own_frame(event.failure)
        if own is not None:
            lines.append(Line(f"    at {place_of(own)}  {shown(own.source)}"))
        printed = (event.printed.stderr or event.printed.stdout).rstrip().splitlines()
        if printed:
            lines.append(Line(f"    last line printed: {shown(printed[-1])[:200]}"))
        file = self._board.failure_of(event.job).file
        if file:
            lines.append(Line(f"    all of it: {shown(file)}", "dim"))
        return lines

    def _putting_off(self, event: JobPutOff) -> list[Line]:
        self._put_off += 1
        if self._is_quiet:
            return []
        if self._put_off > SHOWN_FAILURES:
            if self._put_off == SHOWN_FAILURES + 1:
                return [Line("pipegraph: more jobs will be tried again; they are in the log only", "yellow")]
            return []
        what = put_off(event.until, event.attempt, event.of, time.time())
        return [
            Line(f"pipegraph: {named(self._board.specs.get(event.job), event.job)} {what}", "yellow"),
            Line(f"    {why_put_off(event)}"),
        ]

    def _warning(self, event: Warned) -> list[Line]:
        self._warned += 1
        if self._warned > SHOWN_WARNINGS:
            if self._warned == SHOWN_WARNINGS + 1:
                return [Line("pipegraph: more warnings; they are in the log only", "yellow")]
            return []
        subject = f" {named(self._board.specs.get(event.job), event.job)}" if event.job else ""
        lines = [Line(f"pipegraph: warning:{subject} {shown(event.headline)}", "yellow")]
        if event.mend:
            lines.append(Line(f"    {shown(event.mend)}"))
        return lines

    def _stop(self, event: StopRequested) -> list[Line]:
        if not event.signal:
            return []
        how = "ending running jobs at once" if event.is_urgent else "ending running jobs (again: at once)"
        return [Line(f"pipegraph: stopping, {how}", "bold yellow")]

    def _end(self, event: RunEnded) -> list[Line]:
        counts = event.counts
        is_unfinished = bool(event.stopped_by or counts.stopped)
        if self._is_quiet and not counts.failed and not is_unfinished:
            return []
        style = "bold red" if counts.failed else "bold yellow" if is_unfinished else "bold green"
        lines = [Line(f"pipegraph: {summary_of(counts)} in {duration(event.seconds)}", style)]
        failed = self._board.failures(SHOWN_FAILURES)
        for job in failed:
            lines += self._failed_line(job)
        if counts.failed > len(failed):
            lines.append(Line(f"    and {counts.failed - len(failed):,} more"))
        if counts.failed and self._log_directory is not None:
            lines.append(Line(f"    details: {shown(self._log_directory)}/ppg_errors.txt"))
        if is_unfinished or self._board.is_stopping:
            lines += self._unfinished()
        return lines

    def _failed_line(self, job: FailedJob) -> list[Line]:
        place = f" ({shown(job.place)})" if job.place else ""
        blocked = f", blocking {job.blocked:,} job{'s' if job.blocked > 1 else ''}" if job.blocked else ""
        return [Line(f"    failed: {shown(job.job)}{place}{blocked}", "red")]

    def _unfinished(self) -> list[Line]:
        lines = []
        if self._stopped:
            names = ", ".join(map(shown, self._stopped[:_SHOWN_STOPPED]))
            others = len(self._stopped) - _SHOWN_STOPPED
            lines.append(Line(f"    stopped: {names}{f' and {others:,} more' if others > 0 else ''}", "yellow"))
        waiting = self._board.waiting
        if waiting:
            lines.append(Line(f"    not begun: {waiting:,} job{'s' if waiting > 1 else ''}"))
        lines.append(Line("    What was finished is kept; the next run goes on from here."))
        return lines
