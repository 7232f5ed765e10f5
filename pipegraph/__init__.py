"""Make for Python functions: declare jobs, run only what must run, in parallel.

Source of the names: ``docs/index.rst``.
"""

__version__ = "0.1.0"

from .doors import open_doors
from .errors import (
    CommunicationFailure,
    CycleError,
    DuplicateOutputError,
    FingerprintError,
    JobContractError,
    JobDiedException,
    NoGraphError,
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
    SharedFileGeneratingJob,
    SharedMultiFileGeneratingJob,
    TempFileGeneratingJob,
    TempFilePlusGeneratingJob,
)
from .script import inside_ppg, new, new_pipegraph, new_pipeline, run, run_pipegraph
from .uniqueness import assert_uniqueness_of_object, destroy_global_pipegraph, forget_job_status

__all__ = [
    "AttributeLoadingJob",
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
    "MultiFileGeneratingJob",
    "MultiFileInvariant",
    "MultiTempFileGeneratingJob",
    "NoGraphError",
    "PackageInvariant",
    "ParameterInvariant",
    "PyPipeGraphError",
    "RuntimeError",
    "RuntimeException",
    "SharedFileGeneratingJob",
    "SharedMultiFileGeneratingJob",
    "StatusError",
    "StatusHeldError",
    "StatusTooNewError",
    "StatusWriteError",
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
    "run",
    "run_pipegraph",
]

open_doors()
