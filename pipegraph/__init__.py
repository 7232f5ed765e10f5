"""Make for Python functions: declare jobs, run only what must run, in parallel.

Source of the names: ``docs/index.rst``.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

from . import jobs
from .doors import open_doors
from .errors import (
    CacheDamagedError,
    CommunicationFailure,
    CycleError,
    DuplicateOutputError,
    FingerprintError,
    JobContractError,
    JobDiedException,
    NoGraphError,
    NotebookError,
    PyPipeGraphError,
    RuntimeError,
    RuntimeException,
    StatusError,
    StatusHeldError,
    StatusTooNewError,
    StatusWriteError,
)
from .jobs import (
    AttributeLoadingJob,
    DataLoadingJob,
    DependencyInjectionJob,
    FileChecksumInvariant,
    FileGeneratingJob,
    FileInvariant,
    FileTimeInvariant,
    FinalJob,
    FunctionInvariant,
    Job,
    JobGeneratingJob,
    JobList,
    MultiFileGeneratingJob,
    MultiFileInvariant,
    MultiTempFileGeneratingJob,
    PackageInvariant,
    ParameterInvariant,
    TempFileGeneratingJob,
    TempFilePlusGeneratingJob,
)
from .script import inside_ppg, new, new_pipegraph, new_pipeline, run, run_pipegraph
from .uniqueness import assert_uniqueness_of_object, destroy_global_pipegraph, forget_job_status

if TYPE_CHECKING:
    from .jobs import (
        CachedAttributeLoadingJob,
        CachedDataLoadingJob,
        CachedFileJob,
        CachedJob,
        CombinedPlotJob,
        CommandJob,
        JobPerRow,
        MemMappedDataLoadingJob,
        MergeJob,
        NotebookJob,
        PlotJob,
        ProgramInvariant,
        SharedFileGeneratingJob,
        SharedMultiFileGeneratingJob,
        TempCommandJob,
        register_format,
    )

__all__ = [
    "AttributeLoadingJob",
    "CacheDamagedError",
    "CachedAttributeLoadingJob",
    "CachedDataLoadingJob",
    "CachedFileJob",
    "CachedJob",
    "CombinedPlotJob",
    "CommandJob",
    "CommunicationFailure",
    "CycleError",
    "DataLoadingJob",
    "DependencyInjectionJob",
    "DuplicateOutputError",
    "FileChecksumInvariant",
    "FileGeneratingJob",
    "FileInvariant",
    "FileTimeInvariant",
    "FinalJob",
    "FingerprintError",
    "FunctionInvariant",
    "Job",
    "JobContractError",
    "JobDiedException",
    "JobGeneratingJob",
    "JobList",
    "JobPerRow",
    "MemMappedDataLoadingJob",
    "MergeJob",
    "MultiFileGeneratingJob",
    "MultiFileInvariant",
    "MultiTempFileGeneratingJob",
    "NoGraphError",
    "NotebookError",
    "NotebookJob",
    "PackageInvariant",
    "ParameterInvariant",
    "PlotJob",
    "ProgramInvariant",
    "PyPipeGraphError",
    "RuntimeError",
    "RuntimeException",
    "SharedFileGeneratingJob",
    "SharedMultiFileGeneratingJob",
    "StatusError",
    "StatusHeldError",
    "StatusTooNewError",
    "StatusWriteError",
    "TempCommandJob",
    "TempFileGeneratingJob",
    "TempFilePlusGeneratingJob",
    "__version__",
    "assert_uniqueness_of_object",
    "destroy_global_pipegraph",
    "forget_job_status",
    "inside_ppg",
    "new",
    "new_pipegraph",
    "new_pipeline",
    "register_format",
    "run",
    "run_pipegraph",
]

if not TYPE_CHECKING:  # see jobs

    def __getattr__(name: str) -> Any:
        if name not in jobs.LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(jobs, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *jobs.LATE})


open_doors()
