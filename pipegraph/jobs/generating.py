"""Jobs that let the graph grow while it runs, and the one that comes after everything."""

from __future__ import annotations

from typing import Any

from ..errors import JobContractError
from ..model import Role
from .base import Callback, Job
from .joblist import flatten_jobs


class JobGeneratingJob(Job):
    """Call a function that makes jobs. Runs in every run, once its inputs have settled.

    It may let new jobs, and jobs that depend on it, depend on others.
    """

    role = Role.GENERATOR
    changes_slave = True
    is_generator = True

    def __init__(self, job_id: str, callback: Callback) -> None:
        if callback is None:
            raise TypeError(f"{type(self).__name__}: the callback must be a function, not None")
        if self._declare(callback):
            self._enlist()


class DependencyInjectionJob(JobGeneratingJob):
    """Call a function that gives inputs to jobs that depend on this one.

    Either the function calls `depends_on` on them, or it returns jobs (nested at will), which then become inputs
    of all that depend on this job directly.

    Parameters
    ----------
    check_for_dependency_injections
        It is a failure if the function added nothing.
    """

    def __init__(self, job_id: str, callback: Callback, check_for_dependency_injections: bool = True) -> None:
        super().__init__(job_id, callback)
        self.check_for_dependency_injections = check_for_dependency_injections

    def run(self) -> None:
        """Inject."""
        assert self.function is not None
        given: Any = self.function()
        if given is not None:
            dependents = self.dependants
            # Old scripts return what depends_on gave back: those have got what they need.
            inputs = [each for each in flatten_jobs(given) if each not in dependents]
            for job in dependents:
                job.depends_on(inputs)
        if self.check_for_dependency_injections and not self.graph.has_grown:
            raise JobContractError(
                "a DependencyInjectionJob injected nothing",
                [("job", f"{self.job_id} ({self.place})")],
                "Let its callback call depends_on, or pass check_for_dependency_injections=False.",
            )


class FinalJob(Job):
    """Call a function when everything else has ended well. Nothing can depend on it.

    It depends on all output jobs, and like them runs only if one of its inputs changed.
    """

    is_final = True

    def __init__(self, job_id: str, callback: Callback) -> None:
        if callback is None:
            raise TypeError(f"{type(self).__name__}: the callback must be a function, not None")
        if self._declare(callback):
            self._enlist()
