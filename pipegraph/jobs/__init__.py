"""What a script declares; one family a file."""

from .base import Job, OutputFile
from .cached import (
    CachedAttributeLoadingJob,
    CachedDataLoadingJob,
    CachedFileJob,
    CachedJob,
    MemMappedDataLoadingJob,
)
from .commands import CommandJob, ProgramInvariant, TempCommandJob
from .files import FileGeneratingJob, MultiFileGeneratingJob
from .formats import register_format
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
from .notebooks import NotebookJob
from .plots import CombinedPlotJob, PlotJob
from .rows import JobPerRow, MergeJob
from .shared import SharedFileGeneratingJob, SharedMultiFileGeneratingJob
from .temporary import MultiTempFileGeneratingJob, TempFileGeneratingJob, TempFilePlusGeneratingJob

__all__ = [
    "AttributeLoadingJob",
    "CachedAttributeLoadingJob",
    "CachedDataLoadingJob",
    "CachedFileJob",
    "CachedJob",
    "CombinedPlotJob",
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
    "JobPerRow",
    "MemMappedDataLoadingJob",
    "MergeJob",
    "MultiFileGeneratingJob",
    "MultiFileInvariant",
    "MultiTempFileGeneratingJob",
    "NotebookJob",
    "OutputFile",
    "PackageInvariant",
    "ParameterInvariant",
    "PlotJob",
    "ProgramInvariant",
    "SharedFileGeneratingJob",
    "SharedMultiFileGeneratingJob",
    "TempCommandJob",
    "TempFileGeneratingJob",
    "TempFilePlusGeneratingJob",
    "flatten_jobs",
    "register_format",
]
