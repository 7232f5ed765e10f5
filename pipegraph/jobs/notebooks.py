"""Jobs that execute notebooks: what is declared. How one is executed is in `kernels`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import JobContractError, NotebookError
from ..explanations import Explanation
from ..graph import Graph
from ..model import NOTEBOOK_PREFIX, JobId, JobSpec, Role
from .base import BROKEN
from .files import MultiFileGeneratingJob, PathName
from .invariants import Invariant, ParameterInvariant
from .names import output_path, path_of_input

if TYPE_CHECKING:
    from ..invariants.notebooks import Notebook


class NotebookInvariant(Invariant):
    """The code of a notebook that no job makes. Read when it is declared, and again by each later run of the graph."""

    notebook: Notebook

    def __init__(self, path: PathName) -> None:
        if not self._is_whole:
            self.place = self.graph.place_of_caller()
        elif not self.graph.is_between_runs:
            return  # what is executed is what was fingerprinted, whatever the file has become
        self._read()
        self._enlist()

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return NOTEBOOK_PREFIX + path_of_input(given, graph)

    def _read(self) -> None:
        from ..invariants.notebooks import read_notebook

        path = self.job_id.removeprefix(NOTEBOOK_PREFIX)
        try:
            self.notebook = read_notebook(path)
        except (OSError, ValueError) as error:
            raise JobContractError(
                "a notebook can't be read",
                [("notebook", path), ("because", error), ("where", self.place)],
                "Name a file of Jupyter, or declare the job that makes it first.",
            ) from None
        self._fingerprint = self.notebook.fingerprint()

    def resolve(self) -> None:
        """A run begins. Before a second one the file may have been edited."""
        path = self.job_id.removeprefix(NOTEBOOK_PREFIX)
        maker = _maker(path, self.graph)
        if maker is not None:
            raise JobContractError(
                "a notebook was declared before the job that makes it",
                [
                    ("notebook", f"{path}, used by {self.place}"),
                    ("made by", f"{type(maker).__name__}, {maker.place}"),
                ],
                "Declare the job that makes it first.",
            )
        if self.graph.was_run:
            self._read()

    def explain(self) -> Explanation:
        """Its cells."""
        return self.notebook.explanation()

    def specs(self) -> Iterable[JobSpec]:
        """Of the code."""
        yield JobSpec(self.job_id, self.role, type(self).__name__, self.place, fingerprint=self._fingerprint)


class NotebookJob(MultiFileGeneratingJob):
    """Execute a notebook in a kernel of its own, and keep the executed copy, and an HTML page of it.

    It runs again when the code in its cells changes: not for text cells, outputs, comments or metadata. The working
    directory is the one of the script.

    Parameters
    ----------
    notebook
        Its path. If a job makes it, this job depends on that one, and all of the file counts.
    output_notebook
        Where the executed copy goes; as an input of its own ``job["notebook"]``.
    html
        Where the page goes: beside the copy, if not given; False: there is none. As an input ``job["html"]``.
    parameters
        Names and plain values (numbers, texts, None, lists, dicts ...), set in a cell behind the one that has the tag
        ``parameters``, or before all others. They count.
    kernel
        Name of a Jupyter kernel; if not given, that of the notebook.
    timeout
        Seconds that all of it may take; None: any time.
    outputs
        Files that the notebook writes: paths, or a dict of paths, each then an input of its own as ``job[key]``.
    rename_broken
        After a failure, keep the notebook up to the failed cell, and the other files, as ``….broken``.

    Raises
    ------
    TypeError, JobContractError
        No notebook, no kernel of that name, or parameters that can't be written into it; or what executes notebooks is
        not installed: ``pip install 'pipegraph[notebooks]'``.
    """

    _settings: tuple[Any, ...] = ()
    _has_code = False

    may_share_process = False

    def __new__(
        cls,
        notebook: PathName,
        output_notebook: PathName,
        html: PathName | bool | None = None,
        *,
        outputs: Iterable[PathName] | Mapping[str, PathName] = (),
        **others: Any,
    ) -> Any:
        """The job with these files, if there is one."""
        return super().__new__(cls, _files(output_notebook, html, outputs))

    def __init__(
        self,
        notebook: PathName,
        output_notebook: PathName,
        html: PathName | bool | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        kernel: str | None = None,
        timeout: float | None = None,
        outputs: Iterable[PathName] | Mapping[str, PathName] = (),
        rename_broken: bool = False,
    ) -> None:
        place = self.graph.place_of_caller()
        path = path_of_input(notebook, self.graph)
        values = dict(parameters or {})
        self._check(path, output_path(output_notebook, type(self).__name__, self.graph), values, timeout)
        settings = (path, kernel or "", repr(values), timeout)
        if self._is_whole and settings != self._settings:
            self._redefine(place, "another notebook, other parameters, or another kernel or timeout")
        watched = NotebookInvariant(path) if _maker(path, self.graph) is None else None

        from .kernels import require_programs

        named = kernel or ("" if watched is None else watched.notebook.kernel)
        require_programs(named, html is not False, place)
        if watched is not None and values:
            self._check_names(watched.notebook, values)
        super().__init__(_files(output_notebook, html, outputs), _nothing, rename_broken)
        self._settings = settings
        self._path, self._kernel, self._values, self._timeout = path, kernel or "", values, timeout
        self._watched = watched
        self.depends_on(path if watched is None else watched)
        for name, value in (("parameters", values), ("kernel", kernel)):
            if value:
                self.depends_on(ParameterInvariant(f"{name} of {self._paths[0]}", value))

    def _check(self, path: str, copy: str, values: dict[str, Any], timeout: Any) -> None:
        if os.path.realpath(path) == os.path.realpath(copy):
            self._refuse("a notebook would be overwritten by its executed copy", "notebook", path, "Name another file.")
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0):
            self._refuse("a timeout must be a number of seconds", "given", repr(timeout), "None: any time.")
        from ..invariants.notebooks import is_name, is_plain

        for name, value in values.items():
            if not is_name(name):
                self._refuse("a parameter that is no name", "given", repr(name), "Give names of variables.")
            if not is_plain(value):
                self._refuse(
                    "a parameter that can't be written into a notebook",
                    name,
                    f"{value!r:.80} ({type(value).__name__})",
                    "Give numbers, texts, None, and lists or dicts of these; of a path its text: str(path).",
                )

    def _check_names(self, notebook: Notebook, values: dict[str, Any]) -> None:
        if notebook.language != "python":
            self._refuse(
                "parameters can be given to notebooks in Python only",
                "language",
                notebook.language,
                "Let it read a file that another job writes.",
            )
        known = notebook.parameter_names()
        for name in values if known is not None else ():
            if known is not None and name not in known:
                self._refuse(
                    "a parameter that the notebook does not have",
                    "parameter",
                    f"{name}; there are {', '.join(sorted(known)) or 'none'}",
                    'The cell with the tag "parameters" sets them all, to what they are if they are not given.',
                )

    def _refuse(self, headline: str, name: str, fact: str, mend: str) -> NoReturn:
        facts = [(name, fact), ("where", f"{type(self).__name__}, {self.graph.place_of_caller()}")]
        raise JobContractError(headline, facts, mend)

    def run(self) -> None:
        """Execute the notebook."""
        from .kernels import Execution

        if self._watched is None:
            with open(self._path, encoding="utf-8") as source:
                text = source.read()
        else:
            text = self._watched.notebook.text
        execution = Execution(self._path, text, self._kernel, self._values)
        files = dict(zip(self._keys or (), self._paths))
        try:
            execution.go(self._timeout)
        except NotebookError as error:
            _write(files["notebook"], execution.text)
            kept = f"The notebook up to there: {files['notebook']}{BROKEN}"
            mend = kept if self.rename_broken else "To keep the notebook up to there: rename_broken=True."
            raise NotebookError(error.headline, error.facts, mend) from None
        _write(files["notebook"], execution.text)
        if "html" in files:
            _write(files["html"], execution.html())


def _maker(path: str, graph: Graph) -> Any | None:
    """The job that makes this file, if one does."""
    maker = graph.maker(path)
    return None if maker is None or maker.role is Role.INVARIANT else maker


def _files(copy: PathName, html: PathName | bool | None, others: Any) -> dict[str, PathName]:
    files = {"notebook": copy}
    if html is None or html is True:
        html = os.path.splitext(os.fspath(copy))[0] + ".html"
    if html is not False:
        files["html"] = html
    if isinstance(others, str | os.PathLike):
        others = (others,)
    named = others if isinstance(others, Mapping) else {os.fspath(path): path for path in others}
    for key, path in named.items():
        if key in files:
            raise JobContractError(f"outputs of a notebook must not be named {key!r}", [("file", path)], "Rename it.")
        files[key] = path
    return files


def _nothing() -> None:
    """Stands where others have a callback; what counts is declared instead."""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
