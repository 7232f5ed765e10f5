"""What a script declares; one family a file. What few scripts use is imported when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from .temporary import MultiTempFileGeneratingJob, TempFileGeneratingJob, TempFilePlusGeneratingJob

if TYPE_CHECKING:
    from .cached import (
        CachedAttributeLoadingJob,
        CachedDataLoadingJob,
        CachedFileJob,
        CachedJob,
        MemMappedDataLoadingJob,
    )
    from .commands import CommandJob, ProgramInvariant, TempCommandJob
    from .formats import register_format
    from .notebooks import NotebookJob
    from .plots import CombinedPlotJob, PlotJob
    from .rows import JobPerRow, MergeJob
    from .shared import SharedFileGeneratingJob, SharedMultiFileGeneratingJob

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

LATE = {
    "CachedAttributeLoadingJob": "cached",
    "CachedDataLoadingJob": "cached",
    "CachedFileJob": "cached",
    "CachedJob": "cached",
    "CombinedPlotJob": "plots",
    "CommandJob": "commands",
    "JobPerRow": "rows",
    "MemMappedDataLoadingJob": "cached",
    "MergeJob": "rows",
    "NotebookJob": "notebooks",
    "PlotJob": "plots",
    "ProgramInvariant": "commands",
    "SharedFileGeneratingJob": "shared",
    "SharedMultiFileGeneratingJob": "shared",
    "TempCommandJob": "commands",
    "register_format": "formats",
}
"""What is imported late: names, and the modules that they are in."""

if not TYPE_CHECKING:  # who checks types is told of each name, and of no others

    def __getattr__(name: str) -> Any:
        if name not in LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f".{LATE[name]}", __name__), name)
        return value
