"""What a script declares; one family a file."""

from .base import Job, OutputFile
from .files import FileGeneratingJob, MultiFileGeneratingJob
from .generating import DependencyInjectionJob, FinalJob, JobGeneratingJob
from .invariants import (
    FileChecksumInvariant,
    FileInvariant,
    FileTimeInvariant,
    FunctionInvariant,
    MultiFileInvariant,
    PackageInvariant,
    ParameterInvariant,
)
from .joblist import JobList, flatten_jobs
from .loading import AttributeLoadingJob, DataLoadingJob
from .shared import SharedFileGeneratingJob, SharedMultiFileGeneratingJob
from .temporary import MultiTempFileGeneratingJob, TempFileGeneratingJob, TempFilePlusGeneratingJob

__all__ = [
    "AttributeLoadingJob",
    "DataLoadingJob",
    "DependencyInjectionJob",
    "FileChecksumInvariant",
    "FileGeneratingJob",
    "FileInvariant",
    "FileTimeInvariant",
    "FinalJob",
    "FunctionInvariant",
    "Job",
    "JobGeneratingJob",
    "JobList",
    "MultiFileGeneratingJob",
    "MultiFileInvariant",
    "MultiTempFileGeneratingJob",
    "OutputFile",
    "PackageInvariant",
    "ParameterInvariant",
    "SharedFileGeneratingJob",
    "SharedMultiFileGeneratingJob",
    "TempFileGeneratingJob",
    "TempFilePlusGeneratingJob",
    "flatten_jobs",
]
