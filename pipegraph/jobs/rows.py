"""A job for each row of a table that another job makes, and jobs that bring together what many jobs made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import JobContractError
from ..model import Place, Role
from .base import Callback, Job, OutputFile
from .files import FileGeneratingJob, MultiFileGeneratingJob, PathName
from .generating import JobGeneratingJob
from .invariants import ParameterInvariant
from .names import path_of_input, require_arguments

if TYPE_CHECKING:
    from pathlib import Path

_MEND = "Mend the table, or read it in your own way: JobPerRow(..., reader=...)."


class JobPerRow(JobGeneratingJob):
    """Make jobs for each row of a table, in every run, once the table is there.

    Parameters
    ----------
    job_id
        Any unique name.
    table
        The job that makes it, one file of a job, or the path of a file. The first line has the names of the columns;
        they are separated by tabs if it has a tab, else by commas.
    function
        Called with each row, a dict of texts by the names of the columns. Gives back the job that it made, a list or
        dict of several, or None.
    reader
        Called with the path, in place of all that: gives back the rows, of whatever kind, or a table of pandas or
        polars, of which each row is a dict then: ``reader=pandas.read_parquet``.

    Raises
    ------
    TypeError, JobContractError
        What is no table; or a function that does not take one row.
    """

    def __init__(
        self,
        job_id: str,
        table: Job | OutputFile | PathName,
        function: Callable[[Any], object],
        reader: Callable[[str], Any] | None = None,
    ) -> None:
        place = self.graph.place_of_caller()
        path = self._path_of(table, place)
        if reader is not None:
            require_arguments(reader, type(self).__name__, place, ("the path of the table",))
        if self._is_whole and (path, reader) != (self._table, self._reader):
            self._redefine(place, "another table or reader")
        super().__init__(job_id, function)
        self._table, self._reader = path, reader
        if isinstance(table, Job | OutputFile):
            self.depends_on(table)
        else:
            self.depends_on_file(path)

    _table = ""
    _reader: Callable[[str], Any] | None = None
    _merges: dict[MergeJob, None] | None = None
    _made: list[object] | None = None

    def _takes(self, function: Callback, place: Place, may_take: bool) -> bool:
        require_arguments(function, type(self).__name__, place, ("a row of the table",))
        return False

    def _path_of(self, table: Any, place: Place) -> str:
        if isinstance(table, OutputFile):
            return table.path
        if not isinstance(table, Job):
            return path_of_input(table, self.graph)
        if len(table.outputs) == 1:
            return table.outputs[0]
        raise JobContractError(
            "a table is one file",
            [("given", f"{table.job_id} ({type(table).__name__}, {table.place})"), ("where", place)],
            "Give a job that makes one file, or one file of a job: job[key].",
        )

    def __getitem__(self, key: str) -> MadeByRows:
        """For a `MergeJob`: of each row what the function gave back under this key of a dict."""
        return MadeByRows(self, key)

    def add_merge(self, merge: MergeJob) -> None:
        """What is made becomes inputs of this job, too."""
        if self._merges is None:
            self._merges = {}
        self._merges[merge] = None

    def run(self) -> None:
        """Make the jobs."""
        assert self.function is not None
        rows = _rows(self._table) if self._reader is None else _records(self._reader(self._table))
        merges = [merge for merge in self._merges or () if self.job_id in merge.input_ids]
        self._made = []
        row_of: dict[Job, int] = {}
        for number, row in enumerate(rows, 1):
            known = len(self.graph.jobs)
            try:
                made = self.function(row)
                jobs = [thing.job if isinstance(thing, OutputFile) else thing for thing in _things(made)]
            except Exception as error:
                raise self._wrong(f"{type(error).__name__}: {error}".partition("\n")[0], number, row) from error
            if merges and not jobs and len(self.graph.jobs) > known:
                raise self._wrong("the function made jobs and gave none of them back: return them", number, row)
            for job in dict.fromkeys(jobs):
                if job in row_of:
                    raise self._wrong(f"row {row_of[job]} makes the same job, {job.job_id}", number, row)
                row_of[job] = number
            self._made.append(made)
        for merge in merges:
            merge.grow(self)

    def made(self, key: str | None) -> Iterator[Any]:
        """Jobs, and files of jobs, in the order of the rows."""
        assert self._made is not None
        for made in self._made:
            yield from _things(made, key)

    def has_made(self, key: str | None) -> bool:
        """There is something of this kind, or there are no rows."""
        return not any(each is not None for each in self._made or ()) or any(True for _ in self.made(key))

    def _wrong(self, what: str, number: int, row: object) -> JobContractError:
        shown = ", ".join(f"{name}={value}" for name, value in row.items()) if isinstance(row, dict) else repr(row)
        return JobContractError(
            f"row {number} of {self._table}: {what}",
            [("row", f"{shown:.200}"), ("job", f"{self.job_id} ({type(self).__name__}, {self.place})")],
            "Rows are counted from 1, without the line of names.",
        )


class MadeByRows(NamedTuple):
    """What was made under one key, as a source of a `MergeJob`."""

    rows: JobPerRow
    key: str


class MergeJob(FileGeneratingJob):
    """Make one file of the files of many jobs.

    It runs again when one of the files changes, one more or less is made, or their order is another.

    Parameters
    ----------
    output_filename
        Below the working directory.
    jobs
        A `JobPerRow`, or of what it makes one kind, ``rows["bam"]``; a job; a file of a job; lists of these.
    function
        Called with the list of the files' paths, in the order of jobs and rows, and the output's path.
    rename_broken, empty_ok
        As for `FileGeneratingJob`.

    Raises
    ------
    TypeError, JobContractError
        What makes no files; or a function that does not take both.
    """

    def __init__(
        self,
        output_filename: PathName,
        jobs: Any,
        function: Callable[[list[Path], Path], object],
        rename_broken: bool = False,
        empty_ok: bool = False,
    ) -> None:
        place = self.graph.place_of_caller()
        sources = list(_things(jobs))
        for source in sources:
            _check_source(source, place)
        if self._is_whole and sources != self._sources:
            self._redefine(place, "other jobs to merge")
        super().__init__(output_filename, function, rename_broken, empty_ok)
        self._sources = sources
        self._add(sources, ParameterInvariant(f"what {self.job_id} merges", _names(sources)))

    _sources: list[Any] = []

    def _takes(self, function: Callback, place: Place, may_take: bool) -> bool:
        require_arguments(function, type(self).__name__, place, ("the list of files", "the output path"))
        return True

    def _add(self, sources: list[Any], order: Job) -> None:
        self.depends_on(order)
        for source in sources:
            rows = source.rows if isinstance(source, MadeByRows) else source
            if isinstance(rows, JobPerRow):
                rows.add_merge(self)
            self.depends_on(rows)

    def grow(self, rows: JobPerRow) -> None:
        """What was made for the rows becomes inputs. Their order is one, too."""
        for key in dict.fromkeys(key for source, key in map(_split, self._sources_below()) if source is rows):
            if not rows.has_made(key):
                raise JobContractError(
                    "a merge of what no row makes",
                    [
                        ("key", repr(key)),
                        ("rows", f"{rows.job_id} ({rows.place})"),
                        ("merge", f"{self.job_id} ({self.place})"),
                    ],
                    "Let the function of the rows give back a dict that has this key.",
                )
            made = list(rows.made(key))
            for each in made:
                _check_source(each, rows.place)
            name = f"what {self.job_id} merges of {rows.job_id}" + (f"[{key!r}]" if key is not None else "")
            self._add(made, ParameterInvariant(name, _names(made)))

    def _sources_below(self) -> Iterator[Any]:
        """Sources, and those that they have made, as far as they have run."""
        stack = self._sources[::-1]
        while stack:
            yield (source := stack.pop())
            rows, key = _split(source)
            if isinstance(rows, JobPerRow) and rows._made is not None:
                stack += list(rows.made(key))[::-1]

    def run(self) -> None:
        """Call the function."""
        from pathlib import Path

        assert self.function is not None
        paths: dict[str, None] = {}
        for source in self._sources_below():
            if isinstance(source, OutputFile):
                paths[source.path] = None
            elif isinstance(source, Job):
                paths.update(dict.fromkeys(getattr(source, "filenames", ())))
        self.function([Path(path) for path in paths], self.files[0])


def _split(source: Any) -> tuple[Any, str | None]:
    return source if isinstance(source, MadeByRows) else (source, None)


def _names(sources: Iterable[Any]) -> list[str]:
    """Of jobs, files and kinds, for their order."""
    return [
        source.path
        if isinstance(source, OutputFile)
        else f"{source.rows.job_id}[{source.key!r}]"
        if isinstance(source, MadeByRows)
        else source.job_id
        for source in sources
    ]


def _things(made: Any, key: str | None = None) -> Iterator[Any]:
    """Jobs, files and kinds in lists and dicts nested at will; of dicts only what has the key, if there is one."""
    if made is None:
        return
    if isinstance(made, Mapping):
        for name, each in made.items():
            if key is None or name == key:
                yield from _things(each)
    elif isinstance(made, JobPerRow) and key is not None:
        yield made[key]
    elif isinstance(made, MultiFileGeneratingJob) and key is not None:
        if key in made.files:
            yield made[key]
    elif isinstance(made, Job | OutputFile | MadeByRows):
        if key is None:
            yield made
    elif isinstance(made, Iterable) and not isinstance(made, str | bytes):
        for each in made:
            yield from _things(each, key)
    else:
        raise TypeError(f"jobs, or lists or dicts of jobs, are wanted here, not {type(made).__name__} ({made!r:.80})")


def _check_source(source: Any, place: Place) -> None:
    if isinstance(source, Job) and not source.makes_files and not isinstance(source, JobPerRow):
        what = "only a JobPerRow knows what it made" if source.role is Role.GENERATOR else "it makes no files"
        raise JobContractError(
            "a merge of something that has no files",
            [
                ("job", f"{source.job_id} ({type(source).__name__}, {source.place})"),
                ("because", what),
                ("where", place),
            ],
            "Merge jobs that make files; let the function of a JobPerRow give back only these, or a dict, and choose.",
        )


def _rows(path: str) -> Iterator[dict[str, str]]:
    """Of a text file whose first line has the names."""
    import csv

    # Spreadsheets begin UTF-8 with a mark.
    with open(path, newline="", encoding="utf-8-sig") as source:
        first = source.readline()
        source.seek(0)
        lines = csv.reader(source, delimiter="\t" if "\t" in first else ",")
        names = next(lines, [])
        if len(set(names)) < len(names):
            double = next(name for name in names if names.count(name) > 1)
            raise JobContractError(f"{path}: two columns have the name {double!r}", (), _MEND)
        for fields in lines:
            if len(fields) == len(names):
                yield dict(zip(names, fields))
            elif fields:
                many = f"{len(fields)} field{'s' if len(fields) > 1 else ''}, the first line {len(names)}"
                raise JobContractError(f"{path}: line {lines.line_num} has {many}", (), _MEND)


def _records(read: Any) -> Iterable[Any]:
    """The rows of what a reader gave back; iterating a table of pandas or polars would give columns."""
    if hasattr(read, "iter_rows"):
        return read.iter_rows(named=True)  # type: ignore[no-any-return]
    if hasattr(read, "itertuples"):
        return read.to_dict("records")  # type: ignore[no-any-return]
    if isinstance(read, Iterable) and not isinstance(read, str | bytes | os.PathLike):
        return read
    raise TypeError(f"the reader of a table must give back rows, not {type(read).__name__} ({read!r:.80})")
