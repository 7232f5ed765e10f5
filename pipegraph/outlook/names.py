"""Jobs and inputs by what people call them. Looks at specs only."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..errors import JobContractError
from ..model import JobId, JobSpec, Role

_NEAREST = 3


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

    def named(self, name: str) -> list[JobSpec]:
        """The job with this id, or that makes this file, or the invariants that watch it or have this name."""
        maker = self.maker(name)
        found = [] if maker is None else [maker]
        found += self._watchers.get(name, ())
        if not found:
            found = [self.spec_of[prefix + name] for prefix in ("FI", "PI") if prefix + name in self.spec_of]
        return found

    def unknown(self, headline: str, facts: Iterable[tuple[str, object]], name: str, mend: str) -> JobContractError:
        """The error for a name that nothing has, with the nearest that something has."""
        near = difflib.get_close_matches(name, {*self.spec_of, *self._makers, *self._watchers}, _NEAREST)
        return JobContractError(headline, [*facts, *(("nearest", each) for each in near)], mend)
