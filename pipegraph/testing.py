"""For the tests of libraries that build jobs."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from .errors import RuntimeError
from .jobs import FileGeneratingJob, Job
from .script import run_pipegraph as _run_pipegraph


def run_pipegraph() -> None:
    """Run the current graph; the exception of a single failed job is raised itself.

    Raises
    ------
    Exception
        That of the only failed job; `pipegraph.RuntimeError` if several failed.
    """
    try:
        _run_pipegraph()
    except RuntimeError as error:
        if len(error.exceptions) == 1 and isinstance(error.exceptions[0], BaseException):
            raise error.exceptions[0] from error
        raise


def force_load(job: Job, prefix: str | None = None) -> Job:
    """A job that depends on a loading job, so that it is loaded; gives that job back."""
    name = f"{prefix or 'force_load'}_{job.job_id}".replace("/", "_").replace(":", "_")
    return FileGeneratingJob(name, _write_done).depends_on(job)


def _write_done(output: Any) -> None:
    output.write_text("loaded\n")


class RaisesDirectOrInsidePipegraph:
    """Expect an exception, whether it is raised here or inside a job of the run.

    Parameters
    ----------
    expected
        Its class.
    search_message
        Text that its message must contain.
    """

    def __init__(self, expected: type[BaseException], search_message: str | None = None) -> None:
        self.expected = expected
        self.search_message = search_message
        self.value: BaseException | None = None

    def __enter__(self) -> RaisesDirectOrInsidePipegraph:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if value is None:
            raise AssertionError(f"{self.expected.__name__} was not raised")
        inside = value.exceptions if isinstance(value, RuntimeError) else []
        for each in [value, *inside]:
            if isinstance(each, self.expected):
                if self.search_message is not None and self.search_message not in str(each):
                    raise AssertionError(f"{self.search_message!r} is not in {str(each)!r}")
                self.value = each
                return True
        return False
