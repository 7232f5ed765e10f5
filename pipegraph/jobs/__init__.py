"""What a script declares; one family a file."""

from .base import Job, OutputFile
from .cached import (
    CachedAttributeLoadingJob,
    CachedDataLoadingJob,
    CachedFileJob,
    CachedJob,
    MemMappedDataLoadingJob,
)
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
from .plots import CombinedPlotJob, PlotJob
from .temporary import MultiTempFileGeneratingJob, TempFileGeneratingJob, TempFilePlusGeneratingJob

__all__ = [
    "AttributeLoadingJob",
    "CachedAttributeLoadingJob",
    "CachedDataLoadingJob",
    "CachedFileJob",
    "CachedJob",
    "CombinedPlotJob",
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
    "MemMappedDataLoadingJob",
    "MultiFileGeneratingJob",
    "MultiFileInvariant",
    "MultiTempFileGeneratingJob",
    "OutputFile",
    "PackageInvariant",
    "ParameterInvariant",
    "PlotJob",
    "TempFileGeneratingJob",
    "TempFilePlusGeneratingJob",
    "flatten_jobs",
    "register_format",
]
