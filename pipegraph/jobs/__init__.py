"""What a script declares; one family a file."""

from .base import Job, OutputFile
from .commands import CommandJob, ProgramInvariant, TempCommandJob
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
from .temporary import MultiTempFileGeneratingJob, TempFileGeneratingJob, TempFilePlusGeneratingJob

__all__ = [
    "AttributeLoadingJob",
    "CommandJob",
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
    "ProgramInvariant",
    "TempCommandJob",
    "TempFileGeneratingJob",
    "TempFilePlusGeneratingJob",
    "flatten_jobs",
]
