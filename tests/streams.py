"""Recorded runs: streams of events as a display sees them, with a clock of their own."""

from __future__ import annotations

from engine_world import spec_of

from pipegraph.events import (
    Event,
    GraphGrew,
    JobBlocked,
    JobFailed,
    JobsSeen,
    JobStarted,
    JobSucceeded,
    JobUpToDate,
    RunBegan,
    RunEnded,
)
from pipegraph.model import (
    Counts,
    Failure,
    FailureKind,
    Frame,
    JobSpec,
    Past,
    Place,
    Printed,
    Reason,
    ReasonKind,
    Sighting,
    Trace,
    Usage,
)
from pipegraph.watchers.board import Board

BEGAN_AT = 1_800_000_000.0
NEVER = (Reason(ReasonKind.NEVER_MADE),)
FAILURE = Failure(
    FailureKind.RAISED,
    "builtins.ValueError",
    "no\nsecond line",
    (Frame("s.py", 7, "f", "x = y", (("x", "1"), ("api_token", "'abc'"))),),
)


def began(cores: int = 2) -> RunBegan:
    return RunBegan("1-server-4711", BEGAN_AT, "/home/x/project", "analysis.py", "server", 4711, cores, 0, "0.1.0")


def grew(*specs: JobSpec, seconds: dict[str, float] | None = None) -> GraphGrew:
    """`seconds`: what jobs took in an earlier run."""
    pasts = {job: Past(Trace({}, "", (), took)) for job, took in (seconds or {}).items()}
    return GraphGrew(specs, (), None, pasts, {}, {}, {})


def outputs(*names: str, cores: int = 1) -> list[JobSpec]:
    return [
        spec_of(name, "output", cores=cores)._replace(place=Place("analysis.py", 10 + number))
        for number, name in enumerate(names)
    ]


def board_after(*events: Event) -> Board:
    """A board that has seen a run begin, and then these."""
    specs: dict[str, JobSpec] = {}
    board = Board(specs)
    for event in (began(), *events):
        if isinstance(event, GraphGrew):
            specs.update({spec.id: spec for spec in event.jobs})
        board.see(event)
    return board


def started(job: str, after: float = 0.0, cores: int = 1) -> JobStarted:
    return JobStarted(job, NEVER, cores, BEGAN_AT + after)


def made(job: str, seconds: float = 1.0) -> JobSucceeded:
    return JobSucceeded(job, (), Usage(BEGAN_AT, seconds))


def seen(*jobs: str, after: float = 0.0, line: str = "") -> JobsSeen:
    found = [
        Sighting(job, 5000 + number, BEGAN_AT + after, 1 + number, (number + 1) * 1_200_000_000, line)
        for number, job in enumerate(jobs)
    ]
    return JobsSeen(BEGAN_AT + after, tuple(found))


def many(jobs: int, running: int, failed: int) -> list[Event]:
    """A run in its middle: a third up to date, some made, some failed, each blocking two; the rest is to come."""
    names = [f"results/sample_{number:06}/aligned/reads_{number:06}.sorted.bam" for number in range(jobs)]
    known = {name: 600.0 + number % 7 for number, name in enumerate(names) if number % 4}
    events: list[Event] = [grew(*outputs(*names), seconds=known)]
    third = jobs // 3
    events += [JobUpToDate(name) for name in names[:third]]
    rest = iter(names[third:])
    for _ in range(failed):
        job = next(rest)
        events += [started(job), JobFailed(job, FAILURE, Usage(BEGAN_AT, 2.0), Printed("", "oh\n", 0, 3))]
        events += [JobBlocked(next(rest), job), JobBlocked(next(rest), job)]
    for _ in range(max(0, jobs // 10 - failed)):
        job = next(rest)
        events += [started(job), made(job, 612.0)]
    now_running = [next(rest) for _ in range(running)]
    events += [started(job, after=60.0 * number) for number, job in enumerate(now_running)]
    line = "[M::mem_process_seqs] Processed 66668 reads in 12.3 CPU sec, 6.2 real sec \u00b5"
    events.append(
        JobsSeen(
            BEGAN_AT + 3600.0,
            tuple(
                Sighting(job, 5000 + number, BEGAN_AT + 60.0 * number, 1 + number % 3, 900_000_000 * (number + 1), line)
                for number, job in enumerate(now_running)
            ),
        )
    )
    return events


def ended(after: float, counts: Counts, stopped_by: int = 0) -> RunEnded:
    return RunEnded(BEGAN_AT + after, after, counts, stopped_by)
