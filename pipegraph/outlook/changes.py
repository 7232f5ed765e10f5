"""As if something had changed: which invariants and jobs are meant by it, and the world in which they have."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..errors import JobContractError
from ..events import GraphGrew
from ..explanations import Explanation
from ..graph import Graph
from ..model import JobId, JobSpec, Reason, ReasonKind, Role
from .names import Names

_OTHER = "as if it had changed"
_MEND = "Name jobs, files, functions, global variables, or the names of FunctionInvariants and ParameterInvariants."


class Changes(NamedTuple):
    """What is taken as changed.

    Attributes
    ----------
    asked
        As people see it.
    invariants
        These have another fingerprint.
    edited
        Of these jobs, whose own code is not watched or whose file it was, this output is another.
    """

    asked: tuple[str, ...]
    invariants: frozenset[JobId]
    edited: dict[JobId, str]

    def applied(self, arrival: GraphGrew) -> GraphGrew:
        """The same jobs, in a world in which that has changed."""
        problems = dict(arrival.problems)
        for job, path in self.edited.items():
            problems[job] = (*problems.get(job, ()), Reason(ReasonKind.OUTPUT_CHANGED, path))
        return arrival._replace(
            measured={**arrival.measured, **dict.fromkeys(self.invariants, _OTHER)},
            problems=problems,
        )


def changes_of(changed: Any, graph: Graph, specs: Iterable[JobSpec]) -> Changes:
    """What the script, or a person, names.

    Parameters
    ----------
    changed
        A job, its id, a file that one makes or that is an input, a function, the name of an invariant or of a
        function, or several of these.

    Raises
    ------
    TypeError
        Something else.
    JobContractError
        There is nothing of that name.
    """
    names = Names(specs)
    asked: list[str] = []
    invariants: set[JobId] = set()
    edited: dict[JobId, str] = {}
    for item in _flat(changed, graph):
        if isinstance(item, str):
            asked.append(item)
            form, found = names.named(item)
            watched = [] if found else _invariants_of_function(item, graph, names)
            if not found and not watched:
                facts = [("name", item or repr(item)), ("where", graph.place_of_caller())]
                raise names.unknown("changed names something that this graph does not have", facts, item, _MEND)
            for spec in found:
                code = "FI" + spec.id
                if spec.role is Role.INVARIANT:
                    invariants.add(spec.id)
                elif code in spec.inputs and (spec.id == form or spec.role is not Role.OUTPUT):
                    invariants.add(code)
                elif spec.outputs:
                    edited[spec.id] = form if form in spec.outputs else spec.outputs[0]
            invariants.update(watched)
        else:
            name = getattr(item, "__qualname__", repr(item))
            asked.append(f"{name}()")
            watched = _invariants_of_function(item, graph, names)
            if not watched:
                raise JobContractError(
                    "changed names a function whose code no job of this graph watches",
                    [("function", name), ("where", graph.place_of_caller())],
                    _MEND,
                )
            invariants.update(watched)
    return Changes(tuple(asked), frozenset(invariants), edited)


def _flat(given: Any, graph: Graph) -> Iterator[Any]:
    """Names and functions, one by one."""
    if hasattr(given, "job_id"):
        yield given.job_id
    elif isinstance(given, (str, os.PathLike)):
        yield str(os.fspath(given))
    elif callable(given):
        yield given
    elif isinstance(given, Iterable) and not isinstance(given, bytes):
        for each in given:
            yield from _flat(each, graph)
    else:
        raise TypeError(
            f"changed: name jobs, files, functions or invariants, not {type(given).__name__} ({given!r:.80})"
            f"\n    where: {graph.place_of_caller()}"
        )


def _invariants_of_function(function: Any, graph: Graph, names: Names) -> list[JobId]:
    """Those of the functions that are it, or use it; it may be a global variable, too, by its name."""
    wanted = function if isinstance(function, str) else f"{function.__module__}.{getattr(function, '__qualname__', '')}"
    holds: dict[int, bool] = {}  # Groups of parts are shared by many.
    found = []
    for job in graph.jobs.values():
        invariant = job.job_id if job.role is Role.INVARIANT else "FI" + job.job_id
        own = job.function
        if own is None or invariant not in names.spec_of:
            continue
        explanation = job.explain() or Explanation()
        for group in explanation.shared:
            if id(group) not in holds:
                holds[id(group)] = any(_is_called(part.name, wanted) for part in group)
        if (
            own == function
            or any(_is_called(part.name, wanted) for part in explanation.parts)
            or any(holds[id(group)] for group in explanation.shared)
        ):
            found.append(invariant)
    return found


def _is_called(part: str, wanted: str) -> bool:
    """Whether a part of an explanation is this function, class or variable."""
    if part == wanted or part.endswith(f".{wanted}"):
        return True
    return part.startswith(f"global variable '{wanted}") and part[17 + len(wanted)] in "'.["
