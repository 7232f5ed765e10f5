"""Jobs that make files that stay."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import JobContractError
from ..graph import Graph
from ..model import JobId
from .base import Callback, Job, OutputFile
from .names import output_path

if TYPE_CHECKING:
    from pathlib import Path

_NONE: frozenset[str] = frozenset()
PathName = str | os.PathLike[str]


class FileGeneratingJob(Job):
    """Make one file.

    Parameters
    ----------
    output_filename
        Below the working directory; missing folders are made.
    function
        Called without argument, or with the output's `Path` if it has one parameter without default.
    rename_broken
        Keep what a failed job left as ``….broken``, instead of removing it.
    empty_ok, empty_file_allowed
        An empty file is no failure.
    isolation
        ``"shared"``: many small jobs one after the other in one process; see `Job.isolation`.

    Raises
    ------
    TypeError, JobContractError
        Arguments of the wrong type; a path outside the working directory; another job with this output.
    """

    makes_files = True
    may_share_process = True

    def __init__(
        self,
        output_filename: PathName,
        function: Callback,
        rename_broken: bool = False,
        empty_ok: bool = False,
        *,
        empty_file_allowed: bool | None = None,
        isolation: str | None = None,
    ) -> None:
        _require_function(self, function)
        if isolation is not None:
            self.isolation = isolation
        if self._declare(function, takes_output=True) or self.graph.is_between_runs:
            may_be_empty = empty_ok if empty_file_allowed is None else empty_file_allowed
            if may_be_empty or self.empty_ok or rename_broken != self.rename_broken:
                self._set_options(rename_broken, frozenset((self.job_id,)) if may_be_empty else _NONE)
            self._enlist()

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return output_path(given, cls.__name__, graph)

    def _mend_for_other_class(self, cls: type[Job]) -> str:
        if cls.__name__.endswith("Invariant"):
            return "The file is made by a job: depend on that job."
        return super()._mend_for_other_class(cls)

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The one path."""
        return (self.job_id,)

    @property
    def filename(self) -> str:
        """The output's path."""
        return self.job_id

    @property
    def filenames(self) -> list[str]:
        """The output's path, in a list."""
        return [self.job_id]

    @property
    def files(self) -> list[Path]:
        """The output, in a list."""
        from pathlib import Path

        return [Path(self.job_id)]

    def run(self) -> None:
        """Call the callback."""
        assert self.function is not None
        if self._takes_output:
            self.function(self.files[0])
        else:
            self.function()


class MultiFileGeneratingJob(Job):
    """Make several files at once.

    Parameters
    ----------
    filenames
        Paths, or a dict of paths; of the latter each is an input of its own as ``job[key]``.
    function
        Called without argument, or with the list or dict of `Path` as given.
    rename_broken
        Keep what a failed job left as ``….broken``.
    empty_ok, empty_files_ok
        Empty files are no failure: of all, or by a dict of file names.
    isolation
        ``"shared"``: many small jobs one after the other in one process; see `Job.isolation`.

    Raises
    ------
    TypeError, ValueError, JobContractError
        Filenames that are no collection, empty or double.
    """

    has_several_files = True
    makes_files = True
    may_share_process = True

    def __init__(
        self,
        filenames: Iterable[PathName] | Mapping[str, PathName],
        function: Callback,
        rename_broken: bool = False,
        empty_ok: bool | Mapping[PathName, bool] = False,
        *,
        empty_files_ok: bool | Mapping[PathName, bool] | None = None,
        isolation: str | None = None,
    ) -> None:
        _require_function(self, function)
        if isolation is not None:
            self.isolation = isolation
        self._promise(filenames, function, rename_broken, empty_ok if empty_files_ok is None else empty_files_ok)

    def _promise(
        self,
        filenames: Iterable[PathName] | Mapping[str, PathName],
        function: Callback | None,
        rename_broken: bool,
        may_be_empty: bool | Mapping[PathName, bool],
    ) -> None:
        keys, paths = _collect(filenames, type(self).__name__, self.graph)
        if self._is_whole and (keys, paths) != (self._keys, self._paths):
            self._redefine(self.graph.place_of_caller())
            self.function = None
        if self._declare(function, takes_output=True) or self.graph.is_between_runs:
            self._keys, self._paths = keys, paths
            self.outputs = tuple(sorted(paths))
            self.has_several_files = len(paths) > 1
            if isinstance(may_be_empty, Mapping):
                named = {output_path(name, type(self).__name__, self.graph) for name, ok in may_be_empty.items() if ok}
            else:
                named = set(paths if may_be_empty else ())
            self._set_options(rename_broken, frozenset(named))
            self._enlist()
            for path in paths if self.has_several_files else ():
                self.graph.makers[path] = self

    _keys: tuple[str, ...] | None = None
    _paths: tuple[str, ...] = ()

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return ":::".join(sorted(_collect(given, cls.__name__, graph)[1]))

    @property
    def filenames(self) -> list[str]:
        """The paths, in the order in which they were given."""
        return list(self._paths)

    @property
    def files(self) -> list[Path] | dict[str, Path]:
        """The list or dict of paths as given."""
        from pathlib import Path

        if self._keys is not None:
            return {key: Path(path) for key, path in zip(self._keys, self._paths)}
        return [Path(path) for path in self._paths]

    def __getitem__(self, name: str | int | os.PathLike[str]) -> OutputFile:
        """One file, by its key or path, or its number in the list as given; to be depended on alone."""
        if isinstance(name, int):
            return OutputFile(self, self._paths[name])
        if self._keys is not None and name in self._keys:
            return OutputFile(self, self._paths[self._keys.index(name)])
        path = output_path(name, type(self).__name__, self.graph)
        if path not in self._paths:
            raise KeyError(f"{name!r} is none of the files of {self.job_id}: {', '.join(self._keys or self._paths)}")
        return OutputFile(self, path)

    def run(self) -> None:
        """Call the callback."""
        assert self.function is not None
        if self._takes_output:
            self.function(self.files)
        else:
            self.function()


def _require_function(job: Job, function: Any) -> None:
    if function is None:
        raise TypeError(
            f"{type(job).__name__}: the callback must be a function, not None\n    where: {job.graph.place_of_caller()}"
        )


def _collect(filenames: Any, class_name: str, graph: Graph) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    where = graph.place_of_caller
    if isinstance(filenames, str | os.PathLike):
        raise JobContractError(
            f"{class_name} takes several files, not one",
            [("given", repr(filenames)), ("where", where())],
            "Put it into a list, or use FileGeneratingJob.",
        )
    if not isinstance(filenames, Iterable):
        raise TypeError(
            f"{class_name}: filenames must be a list or dict of paths, not {type(filenames).__name__}"
            f"\n    where: {where()}"
        )
    keys = None
    if isinstance(filenames, Mapping):
        keys = tuple(filenames)
        filenames = filenames.values()
    elif not isinstance(filenames, list | tuple | set | frozenset):
        raise TypeError(
            f"{class_name}: filenames must be a list or dict of paths, not {type(filenames).__name__}, which can be "
            f"read only once\n    where: {where()}"
        )
    paths = tuple(output_path(name, class_name, graph) for name in filenames)
    if not paths:
        raise JobContractError(f"{class_name} without files", [("where", where())], "Name at least one.")
    if len(set(paths)) < len(paths):
        double = next(path for path in paths if paths.count(path) > 1)
        raise JobContractError(f"{class_name} with one file twice", [("file", double), ("where", where())])
    return keys, paths
