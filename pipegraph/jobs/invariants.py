"""Invariants: what a job depends on that is not made by a job."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import JobContractError
from ..explanations import Explanation, Part
from ..graph import Graph
from ..invariants.bounds import too_large
from ..invariants.packages import package_version
from ..invariants.parameters import fingerprint_of_flat, fingerprint_parameters, value_text
from ..invariants.shown import value_parts
from ..model import FILES_PREFIX, JobId, JobSpec, Role, Watch, usual_spec
from .base import Callback, Job
from .names import path_of_input, text_id


class Invariant(Job):
    """Base of the invariants: a fingerprint, never run, without inputs."""

    role = Role.INVARIANT

    def _check_may_need(self, job: Job) -> None:
        raise JobContractError(
            "an invariant can't depend on anything",
            [("invariant", f"{self.job_id} ({self.place})"), ("input", f"{job.job_id} ({job.place})")],
            "Let the jobs that depend on the invariant depend on this, too.",
        )

    def _mend_for_other_class(self, cls: type[Job]) -> str:
        if isinstance(self, FileInvariant | FileTimeInvariant) and not issubclass(cls, Invariant):
            return "A job makes this file: declare it before others name the file, or let them depend on the job."
        return super()._mend_for_other_class(cls)


class FunctionInvariant(Invariant):
    """The code of a function, with its constants, defaults and closure, and all of the script's own that it uses.

    Parameters
    ----------
    job_id
        A name; the id is ``FI`` and the name.
    function
        None is allowed: it never changes.
    follow
        As for `Job.watch_code`.
    """

    def __init__(self, job_id: str, function: Callback | None, follow: bool | Iterable[Callback] = True) -> None:
        if function is not None and not callable(function):
            raise TypeError(
                f"FunctionInvariant: function must be a function, not {type(function).__name__}"
                f"\n    where: {self.graph.place_of_caller()}"
            )
        follow = self._checked_follow(follow)
        if self._is_whole and follow == self._follow and self._is_same_function(function):
            return
        place = self.graph.place_of_caller()
        if self._is_whole:
            self._redefine(place)
        self.place = place
        self.function = function
        self._follow = follow
        self._enlist()

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return "FI" + text_id(given, cls.__name__, graph.place_of_caller)

    def specs(self) -> Iterable[JobSpec]:
        """The function's fingerprint."""
        yield self._function_spec(self.job_id, type(self).__name__)


class PackageInvariant(Invariant):
    """The version of an installed package; its code is not followed.

    Parameters
    ----------
    name
        As it is installed, or as it is imported: ``scikit-learn`` or ``sklearn``.

    Raises
    ------
    JobContractError
        It is not installed.
    """

    def __init__(self, name: str) -> None:
        if not self._is_whole:
            self.place = self.graph.place_of_caller()
            self._name = name
            self._fingerprint = self._measured()
            self._enlist()

    _name = ""
    _fingerprint = ""

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return "PKG" + text_id(given, cls.__name__, graph.place_of_caller)

    def _measured(self) -> str:
        found = package_version(self._name)
        if found is None:
            raise JobContractError(
                "a package that is to be watched is not installed",
                [("package", self._name), ("where", self.place)],
                "Install it, or watch a file or a value in its place (depends_on_file, depends_on_params).",
            )
        return fingerprint_parameters(found)

    def explain(self) -> Explanation:
        """The version."""
        return Explanation(tuple(Part(name, version) for name, version in package_version(self._name) or ()))

    def specs(self) -> Iterable[JobSpec]:
        """Of the version."""
        yield JobSpec(self.job_id, self.role, type(self).__name__, self.place, fingerprint=self._fingerprint)


class ParameterInvariant(Invariant):
    """A value: any nesting of plain values, collections, paths, dataclasses, enums, numpy and pandas objects.

    The value is looked at once, when the invariant is made.

    Parameters
    ----------
    job_id
        A name; the id is ``PI`` and the name.
    accept_as_unchanged_func
        Called with the value of the last run if it differs; true: it passes as unchanged. For plain values only.

    Raises
    ------
    FingerprintError
        Something in it can't be fingerprinted stably; names the path to it.
    JobContractError
        The same name with another value.
    """

    def __init__(
        self,
        job_id: str,
        parameters: Any,
        accept_as_unchanged_func: Callable[[Any], bool] | None = None,
    ) -> None:
        fingerprint = fingerprint_of_flat(parameters)
        is_small = fingerprint is not None
        if fingerprint is None:
            fingerprint = fingerprint_parameters(parameters)
        place = self.graph.place_of_caller()
        if self._is_whole:
            if fingerprint == self._fingerprint:
                return
            if not self.graph.is_between_runs:
                raise JobContractError(
                    "one parameter name with two values",
                    [("name", self.job_id[2:]), ("first", self.place), ("second", place)],
                    "Give one of them another name, or put both into one value.",
                )
        self.place = place
        if is_small:
            fingerprint, self._value = self.graph.shared_value(fingerprint, parameters)
        else:
            self._value = None if too_large(parameters) else parameters
        self._fingerprint = fingerprint
        if accept_as_unchanged_func is not None:
            self._accept = accept_as_unchanged_func
            self._value_text = value_text(parameters)
        self._enlist()

    _accept: Callable[[Any], bool] | None = None
    _value: Any = None
    _value_text = ""
    _fingerprint = ""

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return "PI" + text_id(given, cls.__name__, graph.place_of_caller)

    def accepts(self, value_text: str) -> bool:
        """Whether the value of the last run, given as text, counts as the same."""
        if self._accept is None:
            return False
        import ast

        return bool(self._accept(ast.literal_eval(value_text)))

    def explain(self) -> Explanation | None:
        """The value, unless it is very large, or was changed since."""
        if fingerprint_parameters(self._value) != self._fingerprint:
            return None
        name = f"parameter '{self.job_id.removeprefix('PI')}'"
        return Explanation(tuple(value_parts(name, self._value, fingerprint_parameters)))

    def specs(self) -> Iterable[JobSpec]:
        """The value's fingerprint."""
        name, fingerprint, text = type(self).__name__, self._fingerprint, self._value_text
        if text:
            return (JobSpec(self.job_id, self.role, name, self.place, fingerprint=fingerprint, value_text=text),)
        return (usual_spec(self.job_id, self.role, name, self.place, (), (), fingerprint),)


class FileInvariant(Invariant):
    """The content of a file that no job makes. Its size, time and inode only tell whether to read it again.

    Parameters
    ----------
    filename
        At least three characters, as shorter ones are most often mistakes. It may lie anywhere.
    """

    watch = Watch.CONTENT

    def __init__(self, filename: str | os.PathLike[str]) -> None:
        if not self._is_whole:
            self.place = self.graph.place_of_caller()
            if len(os.fspath(filename)) < 3:
                raise JobContractError(
                    "a file name of less than three characters, probably a mistake",
                    [("given", repr(self.job_id)), ("where", self.place)],
                    "Was a str given where a list of names was meant? Else write ./ in front of the name.",
                )
            maker = self.graph.makers.get(self.job_id)
            if maker is not None:
                self._refuse_other_class(maker, self.graph)
            self._enlist()

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return path_of_input(given, graph)

    def explain(self) -> None:
        """What is known of files stands in the status file."""

    def specs(self) -> Iterable[JobSpec]:
        """To be measured when the run begins."""
        job_id = self.job_id
        return (usual_spec(job_id, self.role, type(self).__name__, self.place, (job_id,), (), None, self.watch),)


FileChecksumInvariant = FileInvariant


class FileTimeInvariant(FileInvariant):
    """Size and modification time of a file that no job makes."""

    watch = Watch.TIME


class MultiFileInvariant(Invariant):
    """The contents of several files that no job makes. Renaming one without changing it is no change.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        Not a list of existing files.
    """

    def __init__(self, filenames: Iterable[str | os.PathLike[str]]) -> None:
        if self._is_whole:
            return
        self.place = self.graph.place_of_caller()
        self.paths = _input_paths(filenames, self.graph)
        for path in self.paths:
            if not os.path.isfile(path):
                raise FileNotFoundError(f"MultiFileInvariant: no such file: {path!r}\n    where: {self.place}")
        self._enlist()

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return FILES_PREFIX + ":::".join(_input_paths(given, graph))

    def explain(self) -> None:
        """What is known of files stands in the status file."""

    def specs(self) -> Iterable[JobSpec]:
        """To be measured when the run begins."""
        yield JobSpec(self.job_id, self.role, type(self).__name__, self.place, self.paths, watch=Watch.CONTENT)


def _input_paths(filenames: Any, graph: Graph) -> tuple[str, ...]:
    if isinstance(filenames, str | os.PathLike):
        raise JobContractError(
            "MultiFileInvariant takes several files, not one",
            [("given", repr(filenames)), ("where", graph.place_of_caller())],
            "Put it into a list, or use FileInvariant.",
        )
    if not isinstance(filenames, Iterable):
        raise TypeError(f"MultiFileInvariant: filenames must be a list, not {type(filenames).__name__}")
    paths = tuple(sorted({path_of_input(name, graph) for name in filenames}))
    if not paths:
        raise JobContractError("MultiFileInvariant without files", [("where", graph.place_of_caller())])
    return paths
