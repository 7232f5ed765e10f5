"""Events as people read them: one line each, and a block for each failure. Writes nothing."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping, Sequence

from ..errors import shown
from ..events import (
    Event,
    FilesOpened,
    FilesRead,
    JobBlocked,
    JobFailed,
    JobNotNeeded,
    JobPutOff,
    JobsLost,
    JobStarted,
    JobStopped,
    JobSucceeded,
    JobUpToDate,
    ProductDropped,
    RunBegan,
    RunEnded,
    SlaveDied,
    StopRequested,
    Warned,
)
from ..machine.amounts import size_of
from ..machine.capacity import cores_in_words
from ..model import Counts, Failure, Frame, JobSpec, Origin, Place, Printed, Reason

_SHOWN_REASONS = _SHOWN_FILES = 20
_LARGE_BYTES = 100_000_000
"""Of a file that had to be read and is smaller, the log has no line."""
_TAIL_LINES = 30
_TAIL_CHARACTERS = 10_000
_UNFOLDED_CALLS = 6
"""In a row in libraries; of more, the first and the last two are shown."""


def shown_block(text: str, indent: str) -> str:
    """Several lines, each as `shown`."""
    return "\n".join(indent + shown(line.expandtabs()) for line in text.splitlines())


def named(spec: JobSpec | None, job: str) -> str:
    """A job with its place."""
    return f"{shown(job)} ({_shown_place(spec.place)})" if spec is not None else shown(job)


@functools.lru_cache(maxsize=64)
def _shown_place(place: Place) -> str:
    """Of many jobs the same."""
    return shown(str(place))


def line_of(event: Event, specs: Mapping[str, JobSpec]) -> str:
    """What, job, because; empty for events that are shown otherwise."""
    if isinstance(event, JobStarted):
        return started(event, named(specs.get(event.job), event.job), because_of(event.reasons))
    if isinstance(event, JobSucceeded):
        return made(event, named(specs.get(event.job), event.job))
    if isinstance(event, JobFailed):
        return (
            f"failed      {named(specs.get(event.job), event.job)} because it {event.failure.kind.value}: "
            f"{headline_of(event.failure)}"
        )
    if isinstance(event, JobPutOff):
        until = put_off_until(event.until, event.attempt, event.of, time.time())
        return f"put off     {named(specs.get(event.job), event.job)} because it {_ended_so(event)}; {until}"
    if isinstance(event, FilesOpened):
        return f"undeclared  {named(specs.get(event.job), event.job)} {opened_files(event)}"
    if isinstance(event, FilesRead):
        large = [f"{shown(each.path)} ({size_of(each.size)})" for each in event.records if each.size >= _LARGE_BYTES]
        return f"read        {', '.join(large)}" if large else ""
    if isinstance(event, JobBlocked):
        return f"blocked     {named(specs.get(event.job), event.job)} because of {shown(event.culprit)}"
    if isinstance(event, JobUpToDate):
        return up_to_date(specs.get(event.job), event.job)
    if isinstance(event, JobNotNeeded):
        return f"not needed  {named(specs.get(event.job), event.job)}"
    if isinstance(event, JobStopped):
        return f"stopped     {named(specs.get(event.job), event.job)} because the run was"
    if isinstance(event, ProductDropped):
        return f"removed     {named(specs.get(event.job), event.job)} because nothing needs it any more"
    if isinstance(event, Warned):
        subject = f" {named(specs.get(event.job), event.job)}" if event.job else ""
        mend = f" | {shown(event.mend)}" if event.mend else ""
        return f"warning    {subject} {shown(event.headline)}{mend}"
    if isinstance(event, SlaveDied):
        return f"slave died  process {event.pid or 'unknown'}, {event.in_a_row} in a row"
    if isinstance(event, JobsLost):
        return f"lost        {', '.join(shown(job) for job in event.running) or 'nothing'}, to be started again"
    if isinstance(event, StopRequested):
        return f"stopping    signal {event.signal}{', at once' if event.is_urgent else ''}"
    if isinstance(event, RunBegan):
        memory = f", {size_of(event.memory_bytes)}" if event.memory_bytes else ""
        means = shown(event.limits) or f"{cores_in_words(event.cores)}{memory}"
        return (
            f"run began   {event.jobs} jobs of {shown(event.script)} in {shown(event.directory)}, {means}, "
            f"{event.host}, process {event.pid}, pipegraph {event.version}"
        )
    if isinstance(event, RunEnded):
        return f"run ended   {summary_of(event.counts)} in {duration(event.seconds)}"
    return ""


def put_off_until(until: float, attempt: int, of: int, now: float) -> str:
    """When a job is tried again, after so many of its attempts (of 0: not counted); times in seconds since 1970."""
    if not of:
        return "is made again when there is room"
    left = until - now
    when = f" in {duration(left) if left < 1 or left >= 60 else f'{left:.0f} s'}" if left >= 0.05 else ""
    return f"will be tried again{when} ({attempt + 1} of {of})"


def put_off(until: float, attempt: int, of: int, now: float) -> str:
    """What became of a job that is tried again, and when it is; see `put_off_until`."""
    return f"{'failed' if of else 'was put off'} and {put_off_until(until, attempt, of, now)}"


def why_put_off(event: JobPutOff) -> str:
    """One line. What was no fault of the job is told without the kind of an exception."""
    headline = headline_of(event.failure)
    return headline if event.of else headline.removeprefix("JobDiedException: ")


def _ended_so(event: JobPutOff) -> str:
    return f"{event.failure.kind.value}: {why_put_off(event)}" if event.of else f"was {why_put_off(event)}"


def started(event: JobStarted, job: str, because: str) -> str:
    """The line of a job, by its name and reasons, that was started."""
    adopted = "; its files are there and are adopted" if event.is_adopted else ""
    return f"started     {job} because {because}{adopted}"


def made(event: JobSucceeded, job: str) -> str:
    """The line of a job, by its name, that succeeded."""
    if event.brought_back:
        return f"brought back {job} from {shown(event.brought_back)}, in {event.usage.seconds:.3f} s"
    return f"made        {job} in {event.usage.seconds:.3f} s"


def up_to_date(spec: JobSpec | None, job: str) -> str:
    """The line of a job that is."""
    return f"up to date  {named(spec, job)}"


def reading_of(event: FilesRead) -> str:
    """What is being read, and how far it is; empty: nothing more."""
    if not event.left:
        return ""
    files = f"{event.left:,} file{'s' if event.left > 1 else ''}"
    return f"reading {files}, {size_of(event.done_bytes)} of {size_of(event.all_bytes)}"


def opened_files(event: FilesOpened) -> str:
    """Which files a job opened without a declaration; of many, the first twenty of each kind."""
    parts = [
        f"{what} {_listed(paths)}"
        for what, paths in (("read, and no input:", event.read), ("written, and no output:", event.written))
        if paths
    ]
    return "; ".join(parts) + ("; and perhaps more" if event.is_cut else "")


def _listed(paths: Sequence[str]) -> str:
    text = ", ".join(map(shown, paths[:_SHOWN_FILES]))
    return text + (f" and {len(paths) - _SHOWN_FILES} more" if len(paths) > _SHOWN_FILES else "")


def because_of(reasons: Sequence[Reason], most: int = _SHOWN_REASONS) -> str:
    """All reasons, or the first of them and how many more there are."""
    if len(reasons) == 1 and not reasons[0].subject:
        return reasons[0].kind.value  # of most jobs
    because = "; ".join([shown(str(reason)) for reason in reasons[:most]])
    if len(reasons) > most:
        because += f"; and {len(reasons) - most} more reasons"
    return because


def headline_of(failure: Failure) -> str:
    """One line."""
    kind = failure.exception_type.removeprefix("builtins.")
    if kind.startswith("pipegraph.errors."):
        kind = kind.rpartition(".")[2]
    first = failure.message.strip().partition("\n")[0]
    return shown(f"{kind}: {first}" if first else kind)[:500]


def summary_of(counts: Counts) -> str:
    """Counts in words; what is zero is left out."""
    parts = [
        (counts.made, "made"),
        (counts.brought_back, "brought back"),
        (counts.up_to_date, "up to date"),
        (counts.not_needed, "not needed"),
        (counts.generators, "generator" if counts.generators == 1 else "generators"),
        (counts.failed, "failed"),
        (counts.blocked, "blocked"),
        (counts.stopped, "stopped"),
    ]
    return ", ".join(f"{count} {word}" for count, word in parts if count) or "nothing to do"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} days {hours % 24} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def own_frame(failure: Failure) -> Frame | None:
    """The innermost call of the user's own code in which the job failed."""
    return next((frame for frame in reversed(failure.frames) if frame.origin is Origin.SCRIPT), None)


def describe_failure(spec: JobSpec, failure: Failure, printed: Printed, file: str = "", is_whole: bool = False) -> str:
    """A failed job: place, exception, trace, variables, and the end of what it printed.

    Parameters
    ----------
    file
        Where the whole is.
    is_whole
        All that is known of what it printed, and not only its end.
    """
    lines = [
        f"{shown(spec.id)} {failure.kind.value}",
        f"    job:       {spec.class_name}, {shown(str(spec.place))}",
        f"    exception: {headline_of(failure)}",
    ]
    own = own_frame(failure)
    if own is not None:
        lines.append(f"    at:        {_call(own)}")
    if file:
        lines.append(f"    file:      {shown(file)}")
    rest = failure.message.strip().partition("\n")[2]
    if rest:
        lines.append(shown_block(rest, "    "))
    if failure.frames:
        lines.append("    trace, the call that failed last:")
        together: list[Frame] = []
        for frame, following in zip(failure.frames, (*failure.frames[1:], None)):
            together.append(frame)
            if frame.ending or following is None or following.origin is not frame.origin:
                lines += _calls(together)
                together = []
            if frame.ending:
                lines.append(f"      {shown(frame.ending)}")
    for name, text, size, path in (
        ("stdout", printed.stdout, printed.stdout_bytes, printed.stdout_path),
        ("stderr", printed.stderr, printed.stderr_bytes, printed.stderr_path),
    ):
        if not text:
            continue
        tail = text if is_whole else "\n".join(text.splitlines()[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]
        where = f", all of it in {shown(path)}" if path else ""
        is_end = path or len(tail) < len(text.rstrip("\n"))
        lines.append(f"    {name}, {size} bytes{where}{', its end' if is_end else ''}:")
        lines.append(shown_block(tail, "        "))
    return "\n".join(lines)


def _calls(frames: list[Frame]) -> list[str]:
    """Calls in a row that are all the user's, a library's, or pipegraph's."""
    indent = "        "
    if frames[0].origin is Origin.SCRIPT:
        return [line for frame in frames for line in _own_call(frame)]
    if frames[0].origin is Origin.PIPEGRAPH:
        many = len(frames)
        return [f"{indent}({many} call{'s' if many > 1 else ''} in pipegraph, to {_call(frames[-1])})"]
    lines = [f"{indent}{_call(frame)}" for frame in frames]
    if len(lines) > _UNFOLDED_CALLS:
        lines[2:-2] = [f"{indent}({len(lines) - 4} more calls in libraries)"]
    return lines


def _call(frame: Frame) -> str:
    return f"{place_of(frame)} in {shown(frame.function)}"


def place_of(frame: Frame) -> str:
    """File and line of a call, below the working directory as jobs' places are."""
    try:
        here = os.getcwd() + os.sep
    except OSError:
        here = os.sep
    return shown(f"{frame.filename.removeprefix(here) if here != os.sep else frame.filename}:{frame.line}")


def _own_call(frame: Frame) -> list[str]:
    lines = [f"        {_call(frame)}"]
    if frame.source:
        lines.append(f"            {shown(frame.source)}")
    lines += [f"              {shown(name)} = {shown(value)}" for name, value in frame.local_variables]
    return lines


class Clock:
    """The time as it stands in logs; formatted once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def now(self) -> str:
        """Local time to the second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return self._text
