"""Small services around the current graph: unique names of the script's own objects, forgetting, ending."""

from __future__ import annotations

import os
from typing import Any

from . import graph as graphs
from .errors import JobContractError


def assert_uniqueness_of_object(
    object: Any,  # noqa: A002 - the name that scripts pass
    pipeline: graphs.Graph | None = None,
    also_check: Any = None,
) -> None:
    """One object per class and ``.name`` in a graph.

    Parameters
    ----------
    object
        Has a ``.name``, a str without ``/``.
    pipeline
        The graph; the current one, if not given.
    also_check
        A class, or several, of which no object may have this name either.

    Raises
    ------
    ValueError
        Another object of the class has that name, or the name has a ``/``.
    """
    graph = pipeline or graphs.current()
    name = object.name
    if "/" in name:
        raise JobContractError("a name with a slash", [("name", name), ("class", type(object).__name__)])
    others = () if also_check is None else also_check if isinstance(also_check, list | tuple) else (also_check,)
    for kind in (type(object), *others):
        if graph.unique_objects.get((kind.__name__, name), object) is not object:
            raise JobContractError(
                "two objects of one class with the same name",
                [("name", name), ("class", kind.__name__), ("where", graph.place_of_caller())],
                "Give one of them another name.",
            )
    graph.unique_objects[type(object).__name__, name] = object


def forget_job_status(filename: str | os.PathLike[str] = ".pipegraph_status") -> None:
    """Forget what was made: all jobs run again.

    Raises
    ------
    StatusHeldError
        A run is using the status file.
    """
    from .status import StatusFile

    if not os.path.exists(filename):
        return
    status = StatusFile.open(os.fspath(filename), lambda warning: None)
    try:
        os.unlink(filename)
    finally:
        status.close()


def destroy_global_pipegraph() -> None:
    """There is no current graph any more."""
    graphs.set_current(None)
