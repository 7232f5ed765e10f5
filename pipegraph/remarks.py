"""What a run says of its jobs beside what happened to them: remarks, inputs that changed meanwhile, undeclared files.

Owns what was said already, and is not said again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .events import Event, Warned
from .model import JobId, JobSpec
from .status import StatusFile
from .status.survey import changed_inputs
from .undeclared import Undeclared


class Remarks:
    """Of one run.

    Parameters
    ----------
    specs
        All jobs; it may grow.
    show
        Takes what is to be said.
    """

    def __init__(self, status: StatusFile, specs: Mapping[JobId, JobSpec], show: Callable[[Event], None]) -> None:
        self._status = status
        self._specs = specs
        self._show = show
        # Watched files that jobs have used since it was last seen whether they changed, and the last such job.
        self._used_inputs: dict[JobId, JobId] = {}
        self._warned_inputs: set[str] = set()
        self._shown_remarks: set[str] = set()

    def show_on(self, specs: Iterable[JobSpec]) -> None:
        """Each once, of the first job that it is true of; of what was made with the same code before, no more."""
        found: dict[tuple[str, str], list[JobId]] = {}
        for spec in specs:
            if spec.remarks and not self._status.has_explained(spec.fingerprint or ""):
                for remark in spec.remarks:
                    found.setdefault(remark, []).append(spec.id.removeprefix("FI"))
        for (headline, mend), jobs in found.items():
            if headline not in self._shown_remarks:
                self._shown_remarks.add(headline)
                more = f" (and {len(jobs) - 1} more job{'s' * (len(jobs) > 2)})" if len(jobs) > 1 else ""
                self._show(Warned(headline + more, jobs[0], mend))

    def note_used(self, spec: JobSpec) -> None:
        """A job has run, and has used its inputs."""
        for name in spec.inputs:
            if name in self._specs and self._specs[name].watch is not None:
                self._used_inputs[name] = spec.id

    def check_inputs(self) -> None:
        """Say which files have changed since they were measured; each is looked at once for all jobs that used it."""
        used, self._used_inputs = self._used_inputs, {}
        for name, path in changed_inputs((self._specs[name] for name in used), self._status):
            if path not in self._warned_inputs:
                self._warned_inputs.add(path)
                self._show(
                    Warned(
                        f"an input file changed during the run: {path}",
                        used[name],
                        "What was made from it will be made again by the next run.",
                    )
                )

    def show_bond(self, job: JobId, bond: str) -> None:
        """What binds its result to this project."""
        headline = f"its result is shared with no other project: {bond}"
        self._show(Warned(headline, job, "In another project, the same names may stand for something else."))

    def show_undeclared(self, faults: tuple[Undeclared, ...]) -> None:
        """What a job opened that it should depend on, or declare."""
        for each in faults:
            self._show(Warned(each.headline, each.job.id, each.mend))
