"""Jobs and inputs by what people call them. Looks at specs only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ..errors import JobContractError
from ..model import NOTEBOOK_PREFIX, JobId, JobSpec, Role
from ..patterns import nearest


class Names:
    """All jobs of a graph, to be asked for by name."""

    def __init__(self, specs: Iterable[JobSpec]) -> None:
        self.spec_of: dict[JobId, JobSpec] = {}
        self._makers: dict[str, JobSpec] = {}
        self._watchers: dict[str, list[JobSpec]] = {}
        for spec in specs:
            self.spec_of[spec.id] = spec
            for path in spec.outputs:
                if spec.role is not Role.INVARIANT:
                    self._makers[path] = spec
                elif path != spec.id:
                    self._watchers.setdefault(path, []).append(spec)

    def maker(self, name: str) -> JobSpec | None:
        """The job with this id, or that makes this file."""
        return self.spec_of.get(name) or self._makers.get(name)

    def named(self, name: str) -> tuple[str, list[JobSpec]]:
        """What is called so, and the form of its name that this graph knows.

        A job by its id or a file that it makes, in any form of a path, and the invariants that watch that file; else
        the FunctionInvariant, the ParameterInvariant and the code of the notebook of that name.
        """
        for form in _forms(name):
            maker = self.maker(form)
            found = [] if maker is None else [maker]
            found += self._watchers.get(form, ())
            if found:
                return form, found
        ids = ("FI" + name, "PI" + name, NOTEBOOK_PREFIX + name)
        return name, [self.spec_of[each] for each in ids if each in self.spec_of]

    def unknown(self, headline: str, facts: Iterable[tuple[str, object]], name: str, mend: str) -> JobContractError:
        """The error for a name that nothing has, with the nearest that something has."""

        near = nearest(name, {*self.spec_of, *self._makers, *self._watchers})
        return JobContractError(headline, [*facts, *(("nearest", each) for each in near)], mend)


def _forms(name: str) -> Iterator[str]:
    """The name as it is and, as if it were a path, in both ways in which graphs keep them."""
    yield name
    if name:
        yield os.path.relpath(name)
        yield os.path.abspath(name)
