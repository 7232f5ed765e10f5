"""Jobs that make files which last only as long as another job needs them."""

from __future__ import annotations

from ..errors import JobContractError
from ..model import Role
from .base import Callback
from .files import FileGeneratingJob, MultiFileGeneratingJob, PathName
from .names import output_path


class TempFileGeneratingJob(FileGeneratingJob):
    """Make one file, removed when all jobs that depend on it have settled; see `FileGeneratingJob`."""

    role = Role.EPHEMERAL


class MultiTempFileGeneratingJob(MultiFileGeneratingJob):
    """Make several files, removed when all jobs that depend on them have settled; see `MultiFileGeneratingJob`."""

    role = Role.EPHEMERAL


class TempFilePlusGeneratingJob(TempFileGeneratingJob):
    """Make a file that is removed, and one beside it that is kept, such as a log.

    The kept file is no input for others: only the content of the temporary one counts.
    """

    def __init__(
        self,
        output_filename: PathName,
        log_filename: PathName,
        function: Callback,
        rename_broken: bool = False,
        empty_ok: bool = False,
        *,
        isolation: str | None = None,
    ) -> None:
        log = output_path(log_filename, type(self).__name__, self.graph)
        if self._is_whole and log != self._log:
            self._redefine(self.graph.place_of_caller())
        if log == self.job_id:
            raise JobContractError(
                "the kept file and the temporary one are the same",
                [("file", log), ("where", self.graph.place_of_caller())],
                "Give the kept file another name.",
            )
        self._log = log
        super().__init__(output_filename, function, rename_broken, empty_ok, isolation=isolation)
        self.graph.makers[log] = self

    _log = ""

    @property
    def log_filename(self) -> str:
        """The path of the file that is kept."""
        return self._log

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Both paths."""
        return (self.job_id, self._log)

    @property
    def spec_outputs(self) -> tuple[str, ...]:
        """The temporary file alone."""
        return (self.job_id,)
