"""Jobs that make plots: a calculation, whose result is kept, a table of that, and functions that plot it.

Each part is watched by itself, so that looks change without calculating again. What draws is in `rendering`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ..errors import CacheDamagedError, JobContractError
from ..graph import Graph
from ..invariants.functions import fingerprint_function
from ..model import JobId
from .base import Callback, Job
from .cached import CachedFileJob
from .files import FileGeneratingJob, PathName
from .invariants import FunctionInvariant, ParameterInvariant
from .names import output_path
from .resources import Needs
from .tables import TableJob

EXTENSIONS = (".png", ".pdf", ".svg", ".eps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".html", ".json")
"""Which library writes which is in docs/plots.rst."""

_Self = TypeVar("_Self", bound="RenderingJob")


class RenderingJob(FileGeneratingJob):
    """Base of the jobs that make a picture of data which others keep."""

    may_share_process = False

    _render_args: Mapping[str, Any] = {}
    _fiddles: tuple[Callback, ...] = ()

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        path = output_path(given, cls.__name__, graph)
        if not path.lower().endswith(EXTENSIONS):
            raise JobContractError(
                "a plot's file name does not end with a known format",
                [("file", path), ("job", f"{cls.__name__}, {graph.place_of_caller()}")],
                f"Known are {', '.join(EXTENSIONS)}.",
            )
        return path

    def _declare_plot(self, plot_function: Callback, render_args: Mapping[str, Any] | None) -> None:
        self._require_type("render_args", render_args, (dict, type(None)), "a dict or None")
        arguments = dict(render_args or {})
        self._declare(plot_function, takes_output=True)
        if not self._takes_output:
            raise JobContractError(
                "a plot function that does not take the data",
                [
                    ("plot function", getattr(plot_function, "__qualname__", repr(plot_function))),
                    ("job", f"{type(self).__name__} {self.job_id}, {self.place}"),
                ],
                "Give it one parameter without default: it is called with what the calculation returned.",
            )
        self._forget_fiddles()
        self._enlist()
        self.plot_depends_on(ParameterInvariant(f"{self.job_id} render_args", arguments))
        self._render_args = arguments

    def _forget_fiddles(self) -> None:
        """In a notebook, a cell that is run again adds its own again."""
        if self.graph.is_between_runs:
            self._unwatch_fiddles()
            self._fiddles = ()

    def _unwatch_fiddles(self) -> None:
        for number in range(1, len(self._fiddles) + 1):
            self._unwatch(f"{self.job_id} fiddle {number}")

    def _unwatch(self, name: str) -> None:
        self._remove_input(f"FI{name}")

    def ignore_code_changes(self) -> Job:
        """Watch neither the code of the plot function nor that of fiddles; gives back the job."""
        self._unwatch_fiddles()
        return super().ignore_code_changes()

    def plot_depends_on(self: _Self, *jobs: Any) -> _Self:
        """Add inputs of the plot function alone, such as loaded data that it uses; gives back the job."""
        Job.depends_on(self, *jobs)
        return self

    def add_fiddle(self: _Self, fiddle_function: Callback) -> _Self:
        """Call a function with the plot before it is rendered; gives back the job.

        If it returns a figure (and not, say, what a call for axes gave), that is rendered instead.
        """
        if not callable(fiddle_function):
            raise TypeError(
                f"{type(self).__name__}: a fiddle must be a function, not {type(fiddle_function).__name__}"
                f"\n    where: {self.graph.place_of_caller()}"
            )
        mark = fingerprint_function(fiddle_function)[0]
        if all(fingerprint_function(known)[0] != mark for known in self._fiddles):
            self._fiddles = (*self._fiddles, fiddle_function)
            if self._is_code_watched:
                name = f"{self.job_id} fiddle {len(self._fiddles)}"
                self.plot_depends_on(FunctionInvariant(name, fiddle_function))
        return self

    def get_data(self) -> Any:
        """What is plotted. A job that calls this depends on the `cache_job`."""
        raise NotImplementedError

    def _plotted(self) -> Any:
        """The plot, in whatever process."""
        from ..rendering import drawn, is_figure

        assert self.function is not None
        plot = self.function(self.get_data())
        if drawn(plot) is None:
            raise self._no_plot(plot)
        for change in self._changes:
            changed = change(plot)
            plot = changed if is_figure(changed) else plot
        return plot

    @property
    def _changes(self) -> tuple[Callback, ...]:
        return self._fiddles

    def _no_plot(self, plot: object) -> JobContractError:
        facts = [
            ("plot function", getattr(self.function, "__qualname__", repr(self.function))),
            ("job", f"{self.job_id} ({type(self).__name__}, {self.place})"),
        ]
        if plot is None:
            mend = "End it with `return figure`; after calls of pyplot alone, with `return plt.gcf()`."
            return JobContractError("a plot function returned nothing", facts, mend)
        return JobContractError(
            "a plot function returned something that is no plot",
            [*facts, ("returned", f"{plot!r:.80} ({type(plot).__name__})")],
            "Return the figure, or axes of it, and leave the file to the job: it calls savefig, save or render.",
        )

    def run(self) -> None:
        """Plot, and write the file."""
        from ..rendering import begin_rendering, render

        begin_rendering()
        render(self._plotted(), self.job_id, self._render_args)

    def __call__(self) -> Any:
        """Make this plot, and what it needs, and nothing else; gives back the plot, which notebooks show.

        The plot function is called once more, in this process, with what was kept; of axes, their figure is given.
        """
        from ..rendering import figure_of, own_figures

        self.graph.run(False, self._parts)
        with own_figures():
            try:
                plot = self._plotted()
            except CacheDamagedError:
                # They are gone or spoiled, and nobody needed them: a plot that is made again does.
                self.is_forced = True
                try:
                    self.graph.run(False, self._parts)
                finally:
                    self.is_forced = False
                plot = self._plotted()
            return figure_of(plot, self._render_args)

    @property
    def _parts(self) -> list[Job]:
        return [self]


class PlotJob(RenderingJob):
    """Calculate, keep the result, write it as a table, and plot it.

    Inputs, cores and memory are those of the calculation.

    Parameters
    ----------
    output_filename
        Its ending says the format; which library writes which is in docs/plots.rst.
    calc_function
        Takes no argument; returns the data: best a data frame.
    plot_function
        Called with the data; returns the plot: what has ``savefig``, ``save`` or ``render``, or axes.
    render_args
        Keyword arguments for the library's saving.
    skip_table
        Do not write the data as ``<output_filename>.tsv``.
    skip_caching
        Do not keep the data: calculate once for each file.

    Attributes
    ----------
    cache_job
        Keeps the data, in ``<cache_folder>/<output_filename>``; None with skip_caching.
    table_job
        Writes the table; None with skip_table.

    Raises
    ------
    TypeError, JobContractError
        Arguments of the wrong type; a format that is not known; a plot function without parameter.
    """

    cache_job: CachedFileJob | None = None
    table_job: TableJob | None = None

    def __init__(
        self,
        output_filename: PathName,
        calc_function: Callback,
        plot_function: Callback,
        render_args: Mapping[str, Any] | None = None,
        skip_table: bool = False,
        skip_caching: bool = False,
        *,
        _of: PlotJob | None = None,
    ) -> None:
        for name, function in (("calc_function", calc_function), ("plot_function", plot_function)):
            if not callable(function):
                raise TypeError(
                    f"PlotJob: {name} must be a function, not {type(function).__name__}"
                    f"\n    where: {self.graph.place_of_caller()}"
                )
        cache = None
        if not skip_caching:
            name = os.path.join(self.graph.cache_folder, self.job_id)
            cache = _of.cache_job if _of is not None else CachedFileJob(name, calc_function)
        if self._is_whole and cache is not self.cache_job:
            self._redefine(self.graph.place_of_caller())
        self._declare_plot(plot_function, render_args)
        self.cache_job = cache
        self._calc_function = calc_function
        self.table_job = None
        if not skip_table:
            self.table_job = TableJob(f"{self.job_id}.tsv", self.get_data, calc_function if skip_caching else None)
        if cache is None:
            self.plot_depends_on(FunctionInvariant(f"{self.job_id} calculation", calc_function))
        for job in self._parts:
            Job.depends_on(job, cache)

    def add_another_plot(
        self, output_filename: PathName, plot_function: Callback, render_args: Mapping[str, Any] | None = None
    ) -> PlotJob:
        """Plot the same data in another way; gives back the new job, which has no table of its own."""
        return PlotJob(
            output_filename, self._calc_function, plot_function, render_args, True, self.cache_job is None, _of=self
        )

    def get_data(self) -> Any:
        """What the calculation returned. A job that calls this depends on the `cache_job`."""
        return self._calc_function() if self.cache_job is None else self.cache_job.load()

    @property
    def _parts(self) -> list[Job]:
        return [self] if self.table_job is None else [self, self.table_job]

    @property
    def _calculating(self) -> list[Job]:
        return self._parts if self.cache_job is None else [self.cache_job]

    def depends_on(self, *jobs: Any) -> PlotJob:
        """Add inputs of the calculation; see `plot_depends_on`."""
        for job in self._calculating:
            Job.depends_on(job, *jobs)
        return self

    def ignore_code_changes(self) -> Job:
        """Watch neither the code of the calculation nor that of the plot function and fiddles; gives back the job."""
        for job in (*self._calculating, *self._parts):
            Job.ignore_code_changes(job)
        self._unwatch(f"{self.job_id} calculation")
        return super().ignore_code_changes()

    def _who_needs(self) -> Iterable[Needs]:
        return self._calculating

    def prune(self) -> None:
        """Take no part in the run, with the table; the data are only calculated if another plot needs them."""
        for job in self._parts:
            Job.prune(job)

    def unprune(self) -> None:
        """Take part again."""
        for job in self._parts:
            Job.unprune(job)


class CombinedPlotJob(RenderingJob):
    """Plot the data of several plot jobs below each other in one, with the first one's plot function, in facets.

    Parameters
    ----------
    plot_jobs
        Their data are data frames (or lists of dicts) that fit below each other.
    facet_arguments
        For the plot's own ``facet`` (altair, seaborn.objects), or plotnine's ``facet_wrap``: a dict, a list, one value.
    render_args
        As for `PlotJob`.
    fiddle
        As for `PlotJob.add_fiddle`.
    """

    _caches: tuple[CachedFileJob, ...] = ()

    def __init__(
        self,
        output_filename: PathName,
        plot_jobs: Iterable[PlotJob],
        facet_arguments: Mapping[str, Any] | Iterable[Any] | str,
        render_args: Mapping[str, Any] | None = None,
        fiddle: Callback | None = None,
    ) -> None:
        jobs = list(plot_jobs)
        caches = [job.cache_job for job in jobs if isinstance(job, PlotJob) and job.cache_job is not None]
        if not jobs or len(caches) < len(jobs):
            raise JobContractError(
                "CombinedPlotJob takes PlotJobs that keep their data",
                [("given", f"{jobs!r:.200}"), ("where", self.graph.place_of_caller())],
                "Give at least one PlotJob, and none with skip_caching=True.",
            )
        assert jobs[0].function is not None
        if self._is_whole and self._caches != tuple(caches):
            self._redefine(self.graph.place_of_caller())
        self._declare_plot(jobs[0].function, render_args)
        self._caches = tuple(caches)
        self._facets = _call_arguments(facet_arguments)
        self.plot_depends_on(caches, ParameterInvariant(f"{self.job_id} facets", self._facets))
        if fiddle is not None:
            self.add_fiddle(fiddle)

    def get_data(self) -> Any:
        """The data of all, below each other."""
        tables = [cache.load() for cache in self._caches]
        library = sys.modules.get(type(tables[0]).__module__.partition(".")[0])
        if all(isinstance(table, list) for table in tables):
            return [row for table in tables for row in table]
        if len({type(table) for table in tables}) == 1 and hasattr(library, "concat"):
            table = library.concat(tables)  # type: ignore[union-attr]
            return table.reset_index(drop=True) if hasattr(table, "reset_index") else table
        raise JobContractError(
            "data that can't be put below each other",
            [
                ("job", f"{self.job_id} ({self.place})"),
                *((cache.job_id, type(table).__name__) for cache, table in zip(self._caches, tables)),
            ],
            "Let the calculations return data frames.",
        )

    @property
    def _changes(self) -> tuple[Callback, ...]:
        return (self._faceted, *self._fiddles)

    def _faceted(self, plot: Any) -> Any:
        values, named = self._facets
        if callable(facet := getattr(plot, "facet", None)):
            return facet(*values, **named)
        if type(plot).__module__.startswith("plotnine."):
            return plot + sys.modules["plotnine"].facet_wrap(*values, **named)
        raise JobContractError(
            "a plot that has no facets",
            [("job", f"{self.job_id} ({self.place})"), ("plot", f"{plot!r:.80} ({type(plot).__name__})")],
            "Of plotnine, altair and seaborn.objects plots have facets; else plot them by hand in a PlotJob.",
        )


def _call_arguments(given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(given, Mapping):
        return (), dict(given)
    return (tuple(given) if isinstance(given, list | tuple) else (given,)), {}
