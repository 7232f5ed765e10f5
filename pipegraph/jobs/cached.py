"""Jobs that calculate something once, keep it in a file, and load it only for dependents that run.

Each loading job here is two: one that makes the file (`CachedFileJob`), and one that loads it, in the slave.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ..errors import CacheDamagedError, JobContractError
from ..graph import Graph
from ..invariants import files
from ..model import JobId, Role
from .base import Callback, Job
from .files import FileGeneratingJob, PathName
from .formats import PICKLE, Format, chosen_format, memory_mapped, type_name
from .invariants import FunctionInvariant, ParameterInvariant
from .loading import AttributeLoadingJob, DataLoadingJob
from .names import output_path
from .resources import Needs


class CachedFileJob(FileGeneratingJob):
    """Keep what a function returns in a file; made only if a job that runs needs it.

    Parameters
    ----------
    cache_filename
        Below the working directory.
    function
        Takes no argument; returns the value.
    format
        None (pickle), a name ("pickle", "text", "npy", "npz", "parquet", "polars", "joblib", "h5ad", or a registered
        one), or a pair of functions ``(write(value, path), read(path))``.
    """

    role = Role.EPHEMERAL
    keeps = True
    _format: Format = PICKLE

    def __init__(self, cache_filename: PathName, function: Callback, format: Any = None) -> None:  # noqa: A002
        if function is None:
            raise TypeError(f"{type(self).__name__}: the callback must be a function, not None")
        chosen = chosen_format(format, self.graph)
        if self._is_whole and chosen != self._format:
            if not self.graph.is_between_runs:
                raise JobContractError(
                    "a second job for the same cache with another format",
                    [("cache", self.job_id), ("first", self.place), ("second", self.graph.place_of_caller())],
                    "Give both the same format, or give one of them another file name.",
                )
            self._redefine(self.graph.place_of_caller())
            self.function = None
        if self._declare(function):
            self._format = chosen
            self.empty_ok = frozenset((self.job_id,))
            self._enlist()
            self._watch_format()

    def _watch_format(self) -> None:
        """The default needs no invariant: any other has one, which comes or goes when the format changes."""
        self._readers = ()
        if not self._format.is_ours:
            self.depends_on(FunctionInvariant(f"{self.job_id} write", self._format.write))
            self._readers = (FunctionInvariant(f"{self.job_id} read", self._format.read),)
        elif self._format != PICKLE:
            self._readers = (ParameterInvariant(f"{self.job_id} format", self._format.name),)
            self.depends_on(self._readers)

    def run(self) -> None:
        """Calculate, and write."""
        assert self.function is not None
        value = self.function()
        try:
            self._format.write(value, self.job_id)
        except (OSError, ImportError, MemoryError):
            raise
        except Exception as error:
            raise JobContractError(
                f"what was calculated can't be written to a cache: {type_name(value)}, as {self._format}",
                [
                    ("job", f"{self.job_id} ({type(self).__name__}, {self.place})"),
                    ("because", f"{type(error).__name__}: {error}"),
                ],
                "Return plain data (no lambdas, generators or open files), or give a format that can hold it.",
            ) from error

    def load(self) -> Any:
        """Read the value back, in whatever process.

        Raises
        ------
        CacheDamagedError
            The file can't be read, or is not what was written. In a job that depends on this one, the run makes the
            cache again, and then starts that job again.
        """
        path = os.path.join(self.graph.directory, self.job_id)
        try:
            if self.recorded_content and not self._format.is_lazy and files.read(path).content != self.recorded_content:
                raise ValueError("it is not what was written")
            return self._format.read(path)
        except MemoryError:
            raise
        except Exception as error:
            is_there = os.path.exists(path)
            raise CacheDamagedError(
                f"a cache can't be read back from {self._format}"
                if is_there
                else "a cache that is not there is loaded",
                [
                    ("cache", f"{self.job_id} ({self.place})"),
                    ("because", f"{type(error).__name__}: {error}"),
                ],
                "A run makes it again, once. If that does not help, what is calculated does not survive this format: "
                "give it another."
                if is_there
                else "Let the job that loads it depend on it. Outside of jobs it can be loaded when a run has made it "
                "for one that does.",
                self.job_id,
            ) from error


class CachedJob(DataLoadingJob):
    """Base of jobs that load what another one keeps in a file.

    What it is told to depend on, the calculation depends on; so does what it is said to need while it runs.

    Attributes
    ----------
    lfg
        The job that makes the file.
    """

    lfg: CachedFileJob

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return output_path(given, cls.__name__, graph) + "_load"

    def _made_by(self, cache_filename: PathName, function: Callback, format: Any) -> CachedFileJob:  # noqa: A002
        if format == "polars":
            raise JobContractError(
                "polars frames can't be loaded where jobs are forked: those that use polars would hang",
                [("cache", os.fspath(cache_filename)), ("where", self.graph.place_of_caller())],
                "Have each job load it by itself, with CachedFileJob(…).load(), or keep numpy arrays or a pandas "
                "DataFrame.",
            )
        return CachedFileJob(cache_filename, function, format)

    def _load_from(self, lfg: CachedFileJob) -> None:
        self.lfg = lfg
        Job.depends_on(self, lfg)

    def depends_on(self, *jobs: Any) -> CachedJob:
        """Add inputs of the calculation."""
        self.lfg.depends_on(*jobs)
        return self

    def ignore_code_changes(self) -> Job:
        """Watch neither the calculation's code nor that of the loading."""
        self.lfg.ignore_code_changes()
        return super().ignore_code_changes()

    def _who_needs(self) -> Iterable[Needs]:
        """The calculation."""
        return (self.lfg,)


class CachedDataLoadingJob(CachedJob):
    """Calculate something once, keep it in a file, and give it to a function, in the slave, for dependents that run.

    Parameters
    ----------
    cache_filename
        Below the working directory.
    calculating_function
        Takes no argument; returns the value.
    loading_function
        Called with the value.
    format
        As for `CachedFileJob`.
    cut_off
        As for `DataLoadingJob`.
    """

    def __init__(
        self,
        cache_filename: PathName,
        calculating_function: Callback,
        loading_function: Callback,
        format: Any = None,  # noqa: A002
        *,
        cut_off: bool = False,
    ) -> None:
        self._require_takes_value(loading_function)
        lfg = self._made_by(cache_filename, calculating_function, format)
        if self._declare(loading_function, takes_output=True):
            self._enlist()
            self._load_from(lfg)
        self._set_cut_off(cut_off)

    def _require_takes_value(self, function: Any) -> None:
        import inspect

        if function is None:
            raise TypeError(f"{type(self).__name__}: the loading function must be a function, not None")
        try:
            inspect.signature(function).bind(None)
        except ValueError:
            pass  # C functions may not tell
        except TypeError as error:
            raise JobContractError(
                "a loading function is called with the value, and nothing else",
                [
                    ("loading function", f"{getattr(function, '__qualname__', repr(function))}"),
                    ("because", error),
                    ("where", self.graph.place_of_caller()),
                ],
                "Give it one parameter.",
            ) from None

    def _call(self, function: Callback) -> object:
        return function(self.lfg.load())


class MemMappedDataLoadingJob(CachedDataLoadingJob):
    """Calculate an array once, keep it in a file (npy), and give that to a function as a read-only memory map.

    Nothing is read before it is looked at, all jobs share what was, and the system may forget it again: so the array
    may be larger than memory.

    Parameters
    ----------
    cache_filename
        Below the working directory.
    calculating_function
        Takes no argument; returns an array.
    loading_function
        Called with the `numpy.memmap`.
    dtype
        Of the file; what is returned is cast to it, within its kind (float64 to float32, not to int32).
    """

    def __init__(
        self,
        cache_filename: PathName,
        calculating_function: Callback,
        loading_function: Callback,
        dtype: Any,
        *,
        cut_off: bool = False,
    ) -> None:
        import numpy

        try:
            name = numpy.dtype(dtype).str
        except TypeError as error:
            raise TypeError(
                f"{type(self).__name__}: dtype must be a dtype, not {dtype!r:.80}: {error}"
                f"\n    where: {self.graph.place_of_caller()}"
            ) from None
        super().__init__(cache_filename, calculating_function, loading_function, memory_mapped(name), cut_off=cut_off)


class CachedAttributeLoadingJob(CachedJob, AttributeLoadingJob):
    """Calculate something once, keep it in a file, and set an attribute to it, in the slave, for dependents that run.

    Parameters
    ----------
    cache_filename
        Below the working directory.
    target_object, target_attribute
        What gets the attribute, and its name.
    calculating_function
        Takes no argument; returns the value.
    format
        As for `CachedFileJob`.
    cut_off
        As for `AttributeLoadingJob`.
    """

    def __init__(
        self,
        cache_filename: PathName,
        target_object: object,
        target_attribute: str,
        calculating_function: Callback,
        format: Any = None,  # noqa: A002
        *,
        cut_off: bool = False,
    ) -> None:
        self._check_target(target_object, target_attribute)
        lfg = self._made_by(cache_filename, calculating_function, format)
        self._declare(None)
        self._object = target_object
        self._attribute = target_attribute
        self._enlist()
        self._load_from(lfg)
        self._set_cut_off(cut_off)

    def run(self) -> None:
        """Load it."""
        self._set(self.lfg.load())
