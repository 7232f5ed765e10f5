"""How a job fared in the last run, as scripts read it from the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import errors
from .errors import JobDiedException, PyPipeGraphError, RuntimeError
from .events import Event, JobBlocked, JobFailed, JobStarted, JobStopped, JobSucceeded
from .model import NO_USAGE, Failure, FailureKind, JobSpec, Origin, Usage

INDIRECT = "Indirect"
_SHOWN_FAILURES = 10


class Outcome(NamedTuple):
    """Of one job and one run; the defaults are those of a job that did not run.

    Attributes
    ----------
    was_invalidated
        It had a reason to run, and was started.
    exception
        Of a failed job; its text, where the object could not be brought back from the job's process.
    error_reason
        The words of the original API.
    """

    was_invalidated: bool = False
    was_run: bool = False
    failed: bool = False
    exception: Any = None
    trace: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    error_reason: str = "no error"
    usage: Usage = NO_USAGE

    @property
    def began_at(self) -> float | None:
        """Seconds since 1970."""
        return self.usage.started_at or None

    @property
    def ended_at(self) -> float | None:
        """Seconds since 1970."""
        return self.usage.started_at + self.usage.seconds if self.usage.started_at else None

    @property
    def seconds(self) -> float | None:
        """Wall time."""
        return self.usage.seconds if self.usage.started_at else None


FATES = frozenset((JobStarted, JobSucceeded, JobFailed, JobBlocked, JobStopped))
"""Events that say how a job fares."""
NO_OUTCOME = Outcome()
_STARTED = Outcome(was_invalidated=True)


def outcome_after(before: Outcome, event: Event) -> Outcome:
    """How a job fared, after one more event that is about it."""
    if isinstance(event, JobStarted):
        return _STARTED if before is NO_OUTCOME else before._replace(was_invalidated=True)
    if isinstance(event, JobSucceeded):
        printed = event.printed
        out, err = printed.stdout, printed.stderr
        return Outcome(True, True, False, None, None, out, err, NO_OUTCOME.error_reason, event.usage)
    if isinstance(event, JobFailed):
        return before._replace(
            was_run=event.usage.started_at > 0,
            failed=True,
            exception=exception_of(event.failure),
            trace=text_of_frames(event.failure),
            stdout=event.printed.stdout,
            stderr=event.printed.stderr,
            error_reason=_ERROR_REASONS[event.failure.kind],
            usage=event.usage,
        )
    if isinstance(event, JobBlocked):
        return before._replace(failed=True, error_reason=INDIRECT)
    if isinstance(event, JobStopped):
        return before._replace(error_reason="stopped")
    return before


_ERROR_REASONS: Mapping[FailureKind, str] = {
    FailureKind.RAISED: "Exception",
    FailureKind.DIED: "Unknown/died",
    FailureKind.BROKE_CONTRACT: "Exception",
    FailureKind.NOT_RECORDED: "Exception",
    FailureKind.TOO_DEMANDING: "Needed to much memory/cores",
    FailureKind.NOT_MEASURED: "Exception",
}


def exception_of(failure: Failure) -> object:
    """The exception as an object; its text where it can't be brought back."""
    if failure.pickled:
        import pickle

        try:
            return pickle.loads(failure.pickled)
        except Exception:
            pass
    own = failure.exception_type.removeprefix("pipegraph.errors.")
    if own == JobDiedException.__name__:
        return JobDiedException(failure.message, exit_code=failure.exit_code or 0)
    kind = getattr(errors, own, None)
    if isinstance(kind, type) and issubclass(kind, PyPipeGraphError):
        return kind(failure.message)
    return f"{failure.exception_type}: {failure.message}" if failure.message else failure.exception_type


def error_of_run(
    failures: Sequence[tuple[JobFailed, JobSpec]],
    blocked: int,
    log_directory: str | None,
    exceptions: Sequence[object],
    is_cut_short: bool = False,
) -> RuntimeError:
    """What a run raises whose jobs failed; only the first of them are named. Cut short: nothing more was started."""
    facts: list[tuple[str, str]] = []
    for event, spec in failures[:_SHOWN_FAILURES]:
        line = event.failure.message.strip().splitlines()
        what = event.failure.exception_type.removeprefix("builtins.").rsplit(".", 1)[-1]
        facts.append(("job", f"{spec.id} ({spec.place}): {what}" + (f": {line[0]}" if line else "")))
    if len(failures) > _SHOWN_FAILURES:
        facts.append(("…", f"and {len(failures) - _SHOWN_FAILURES} more"))
    is_many = len(failures) > 1
    headline = f"{len(failures)} job{'s' if is_many else ''} failed"
    if blocked:
        headline += f", {blocked} blocked by {'them' if is_many else 'it'}"
    mend = (
        "Nothing more was started; what was finished is kept."
        if is_cut_short
        else "Everything else was done and is kept."
    )
    if log_directory:
        mend += f" Details: {log_directory}/ppg_errors.txt"
    return RuntimeError(headline, facts, mend, exceptions)


def text_of_frames(failure: Failure) -> str:
    """The failed job's traceback as Python writes it."""
    lines: list[str] = []
    for frame in failure.frames:
        if frame.origin is Origin.PIPEGRAPH:
            continue
        lines.append(f'  File "{frame.filename}", line {frame.line}, in {frame.function}')
        if frame.source:
            lines.append(f"    {frame.source.strip()}")
    return "\n".join(lines)
