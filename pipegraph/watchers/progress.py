"""Plain lines on stderr: how a run goes, for whoever sits before it or reads a batch system's output.

No control codes, and never a line per job. Writes nothing any more once nobody reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from ..errors import shown
from ..events import (
    Event,
    GraphGrew,
    JobBlocked,
    JobFailed,
    JobNotNeeded,
    JobStarted,
    JobStopped,
    JobSucceeded,
    JobUpToDate,
    RunBegan,
    RunEnded,
    SlaveDied,
    StopRequested,
    Warned,
)
from ..model import JobSpec, Role
from .wording import duration, headline_of, named, summary_of

SHOWN_FAILURES = 10
SHOWN_WARNINGS = 20
_FIRST_SECONDS = 2.0
_SLOWEST_SECONDS = 60.0


class Progress:
    """Lines on a stream.

    Parameters
    ----------
    specs
        All jobs by id.
    quiet
        Failures and warnings only.
    log_directory
        Named in the lines that lead there; None if there are no logs.
    """

    def __init__(
        self, specs: Mapping[str, JobSpec], stream: TextIO | None, quiet: bool, log_directory: str | None
    ) -> None:
        self._specs = specs
        self._stream = stream
        self._quiet = quiet
        self._log_directory = log_directory
        self._total = self._settled = self._failed = self._warned = 0
        self._running: dict[str, None] = {}
        self._blocked_by: dict[str, int] = {}
        self._began: float | None = None
        self._interval = _FIRST_SECONDS
        self._next: float | None = None

    def see(self, event: Event) -> None:
        """Count, and say what can't wait."""
        if isinstance(event, (JobUpToDate, JobNotNeeded)):
            self._settled += 1
        elif isinstance(event, JobStarted):
            self._running[event.job] = None
        elif isinstance(event, (JobSucceeded, JobStopped)):
            self._settled += 1
            self._running.pop(event.job, None)
        elif isinstance(event, JobFailed):
            self._settled += 1
            self._running.pop(event.job, None)
            self._say_failure(event)
        elif isinstance(event, JobBlocked):
            self._settled += 1
            self._blocked_by[event.culprit] = self._blocked_by.get(event.culprit, 0) + 1
        elif isinstance(event, GraphGrew):
            self._total += sum(1 for spec in event.jobs if spec.role is not Role.INVARIANT)
        elif isinstance(event, Warned):
            self._say_warning(event)
        elif isinstance(event, SlaveDied):
            self._say("pipegraph: a compute slave died; what it was running is started again")
        elif isinstance(event, StopRequested):
            if event.signal:
                how = "ending running jobs at once" if event.is_urgent else "ending running jobs (again: at once)"
                self._say(f"pipegraph: stopping, {how}")
        elif isinstance(event, RunBegan):
            self._began = event.at
        elif isinstance(event, RunEnded):
            self._say_end(event)

    def tick(self, now: float) -> None:
        """About once a second; speaks less often."""
        if self._next is None:
            self._next = now + self._interval - 1.0
        if now < self._next or self._quiet:
            return
        self._interval = min(_SLOWEST_SECONDS, self._interval * 1.5)
        self._next = now + self._interval
        newest = next(reversed(self._running), None)
        doing = ""
        if newest is not None:
            others = f" and {len(self._running) - 1} more" if len(self._running) > 1 else ""
            doing = f", running {shown(newest)[:60]}{others}"
        failed = f", {self._failed} failed" if self._failed else ""
        self._say(f"pipegraph: {self._settled} of {self._total} jobs settled{failed}{doing}")

    def close(self) -> None:
        """Nothing is owned."""

    def _say_failure(self, event: JobFailed) -> None:
        self._failed += 1
        if self._failed > SHOWN_FAILURES:
            if self._failed == SHOWN_FAILURES + 1:
                self._say("pipegraph: more jobs failed; they are only counted from here on")
            return
        lines = [
            f"pipegraph: failed {named(self._specs.get(event.job), event.job)}",
            f"    {headline_of(event.failure)}",
        ]
        own = event.failure.frames[-1] if event.failure.frames else None
        if own is not None:
            lines.append(f"    at {shown(own.filename)}:{own.line}  {shown(own.source)}")
        printed = (event.printed.stderr or event.printed.stdout).rstrip().splitlines()
        if printed:
            lines.append(f"    last line printed: {shown(printed[-1])[:200]}")
        self._say("\n".join(lines))

    def _say_warning(self, event: Warned) -> None:
        self._warned += 1
        if self._warned > SHOWN_WARNINGS:
            if self._warned == SHOWN_WARNINGS + 1:
                self._say("pipegraph: more warnings; they are in the log only")
            return
        subject = f" {named(self._specs.get(event.job), event.job)}" if event.job else ""
        self._say(f"pipegraph: warning:{subject} {shown(event.headline)}")
        if event.mend:
            self._say(f"    {shown(event.mend)}")

    def _say_end(self, event: RunEnded) -> None:
        if self._quiet and not event.counts.failed and not event.stopped_by:
            return
        self._say(f"pipegraph: {summary_of(event.counts)} in {duration(event.seconds)}")
        roots = sorted(event.counts.failed_ids, key=lambda job: -self._blocked_by.get(job, 0))
        for job in roots[:SHOWN_FAILURES]:
            blocked = self._blocked_by.get(job, 0)
            tail = f", blocking {blocked} job{'s' if blocked > 1 else ''}" if blocked else ""
            self._say(f"    failed: {named(self._specs.get(job), job)}{tail}")
        if len(roots) > SHOWN_FAILURES:
            self._say(f"    and {len(roots) - SHOWN_FAILURES} more")
        if roots and self._log_directory is not None:
            self._say(f"    details: {shown(self._log_directory)}/ppg_errors.txt")
        if event.stopped_by:
            self._say("    What was finished is kept; the next run goes on from here.")

    def _say(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None
