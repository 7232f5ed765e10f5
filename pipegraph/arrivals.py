"""Jobs that are surveyed before the engine is told of them: the script's own, and what each generator declared.

Owns their surveys, what these share of the files that are read, and the generators that succeed meanwhile. It looks
for a short time whenever it is called; what takes long to read it asks others for. What follows from an end is for the
loop to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from .errors import StatusWriteError
from .events import FilesRead, JobSucceeded
from .model import NOTHING_OPENED, JobId, JobSpec, Opened, Role
from .status import StatusFile
from .status.reading import Reading
from .status.survey import Accepts, Survey

_SURVEY_SECONDS = 0.1
_GENERATOR = Role.GENERATOR


class Arrival(NamedTuple):
    """Jobs that are surveyed before the engine is told of them; of a generator also its success, and hints on it.

    Its fork may have been asked what is behind fingerprints: that is waited for, too.
    """

    survey: Survey
    success: JobSucceeded | None = None
    hints: Opened = NOTHING_OPENED


class Arrivals:
    """All that are surveyed now.

    Parameters
    ----------
    read
        Has others read files, of which `note_read` tells.
    end
        Takes an arrival of which all is known, or, with the error, can't be recorded; it is none of these any more.
    is_to_grow
        Whether any generator but this one, of those that the engine knows, has not ended.
    """

    def __init__(
        self,
        status: StatusFile,
        accepts: Accepts,
        read: Callable[[Iterable[tuple[str, int]]], None],
        end: Callable[[Arrival, StatusWriteError | None], None],
        is_to_grow: Callable[[JobId | None], bool],
    ) -> None:
        self._status = status
        self._accepts = accepts
        self._read = read
        self._on_end = end
        self._is_to_grow = is_to_grow
        self._reading = Reading(is_alone=False)
        # By the generator that made them; None: the script.
        self._arrivals: dict[JobId | None, Arrival] = {}
        self._unexplained: set[JobId | None] = set()
        # Generators that succeeded while what another one declared was looked at.
        self._held: list[JobSucceeded] = []

    @property
    def are_looked_at(self) -> bool:
        """There is more to do than to wait for what others read."""
        return any(not arrival.survey.is_through for arrival in self._arrivals.values())

    @property
    def is_script_awaited(self) -> bool:
        """The engine knows of no job yet."""
        return None in self._arrivals

    def makers(self) -> list[JobId | None]:
        """The generators that declared them; None: the script."""
        return list(self._arrivals)

    def succeeded(self) -> set[JobId | None]:
        """The generators that have, of which the engine was not told yet; None: the script."""
        return {*self._arrivals, *(event.job for event in self._held)}

    def begin(
        self,
        specs: tuple[JobSpec, ...],
        edges: tuple[tuple[JobId, str], ...],
        success: JobSucceeded | None = None,
        hints: Opened = NOTHING_OPENED,
        is_explained: bool = True,
    ) -> None:
        """Another one, of the script, or of the generator that succeeded; it ends not before it is explained."""
        by = None if success is None else success.job
        survey = Survey(specs, edges, by, self._status, self._accepts, self._reading)
        self._arrivals[by] = Arrival(survey, success, hints)
        (self._unexplained.discard if is_explained else self._unexplained.add)(by)

    def note_explained(self, by: JobId) -> None:
        """What that generator declared was explained."""
        self._unexplained.discard(by)

    def go_on(self) -> None:
        """For a short time; what has to be read is asked for once all was looked at, and shared out then."""
        for by, arrival in list(self._arrivals.items()):
            survey = arrival.survey
            try:
                survey.go_on(time.monotonic() + _SURVEY_SECONDS)
            except StatusWriteError as error:
                self._end(by, error)
                continue
            if survey.is_done and by not in self._unexplained:
                self._end(by)
            elif survey.is_through and (wanted := self._reading.ask(survey.awaited())):
                self._read(wanted)

    def note_read(self, event: FilesRead) -> None:
        """Others have read files."""
        paths = self._reading.note(event.records, event.unread)
        for by, arrival in list(self._arrivals.items()):
            try:
                arrival.survey.note(paths)
            except StatusWriteError as error:
                self._end(by, error)

    def drop(self, of: Iterable[JobId | None]) -> list[JobId]:
        """What these declared is not waited for; those of them that are generators."""
        dropped = [self._arrivals.pop(by, None) for by in of]
        return [arrival.success.job for arrival in dropped if arrival is not None and arrival.success is not None]

    # --- generators that succeeded meanwhile

    def hold(self, event: JobSucceeded) -> bool:
        """Keep a success that may name what the engine was not told of yet; False: there is no such thing."""
        if not self._arrivals or not (event.growth.jobs or event.growth.edges):
            return False
        self._held.append(event)
        return True

    def release(self) -> list[JobSucceeded]:
        """Those that were held, and are not any more; each may have to be again."""
        held, self._held = self._held, []
        return held

    def drop_held(self, of: Collection[JobId] | None = None) -> list[JobId]:
        """Of these generators, or of all, no success is held any more; those of which one was."""
        dropped = [event.job for event in self._held if of is None or event.job in of]
        self._held = [event for event in self._held if event.job not in dropped]
        return dropped

    # ---

    def _end(self, by: JobId | None, error: StatusWriteError | None = None) -> None:
        arrival = self._arrivals.pop(by)
        if not self._arrivals:
            self._reading.forget()
            if not self._is_to_grow(by) and all(spec.role is not _GENERATOR for spec in arrival.survey.specs):
                self._status.drop_text()
        self._on_end(arrival, error)
