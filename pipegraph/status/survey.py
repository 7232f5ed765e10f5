"""What the working directory holds, compared with what was recorded: the facts for the engine to decide by.

Looks at files and measures invariants. Has read again only what may have changed, and notes in the status file what was
read, as soon as it was, so that the next run need not. Decides nothing.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator

from ..events import GraphGrew
from ..invariants import files
from ..invariants.clock import FILE_CLOCKS, FileClocks
from ..invariants.waiting import Patience, side_by_side
from ..model import (
    Failure,
    FailureKind,
    FileRecord,
    Fingerprint,
    InputId,
    InvariantRecord,
    JobId,
    JobSpec,
    Past,
    Reason,
    ReasonKind,
    Role,
    Watch,
    combine,
)
from .explaining import note_replaced
from .glance import Glance
from .reading import Awaited, Reading
from .recollection import PAST_UNKNOWN
from .records import UsualTrace
from .store import StatusFile

Accepts = Callable[[JobId, str], bool]
"""Whether a parameter whose value was this text may pass as unchanged."""

_INVARIANT, _CONTENT = Role.INVARIANT, Watch.CONTENT
"""To ask an enum for a member takes long, for each of a million."""

_AHEAD = 4096
"""So many files are looked at side by side, where a file system is slow."""


def survey(
    specs: tuple[JobSpec, ...],
    edges: tuple[tuple[JobId, InputId], ...],
    by: JobId | None,
    status: StatusFile | Glance,
    accepts: Accepts,
    clocks: FileClocks = FILE_CLOCKS,
) -> GraphGrew:
    """The arrival of these jobs, with all that the engine has to know of them; everything is read at once.

    Parameters
    ----------
    clocks
        What may be asked for the time of a file system, and then writes to it.

    Raises
    ------
    StatusWriteError
        What was measured could not be recorded.
    """
    one = Survey(specs, edges, by, status, accepts, Reading(clocks))
    one.go_on()
    return one.arrival()


class Survey:
    """Of the jobs that arrive together: goes on as far as it can, and waits for what others read.

    Parameters
    ----------
    reading
        Shared by all surveys of a run, so that each file is read once.

    Attributes
    ----------
    specs
        The jobs.
    """

    def __init__(
        self,
        specs: tuple[JobSpec, ...],
        edges: tuple[tuple[JobId, InputId], ...],
        by: JobId | None,
        status: StatusFile | Glance,
        accepts: Accepts,
        reading: Reading,
    ) -> None:
        self.specs = specs
        self._edges = edges
        self._by = by
        self._status = status
        self._accepts = accepts
        self._reading = reading
        self._next = 0
        self._ahead = 0
        self._pasts: dict[JobId, Past] = {}
        self._measured: dict[JobId, Fingerprint] = {}
        self._unmeasured: dict[JobId, Failure] = {}
        self._problems: dict[JobId, tuple[Reason, ...]] = {}
        self._awaited: dict[str, Awaited] = {}
        self._waiting: dict[str, list[JobSpec]] = {}
        self._missing: dict[JobId, int] = {}
        reading.begin()

    @property
    def is_through(self) -> bool:
        """All jobs were looked at; some may wait for files."""
        return self._next == len(self.specs)

    @property
    def is_done(self) -> bool:
        """It has all that `arrival` needs."""
        return self.is_through and not self._missing

    def go_on(self, until: float = math.inf) -> None:
        """Look at jobs, up to this moment of the monotonic clock.

        Raises
        ------
        StatusWriteError
            What was measured could not be recorded.
        """
        reading = self._reading
        is_bounded = until < math.inf
        specs = self.specs
        for index in range(self._next, len(specs)):
            self._next = index
            spec = specs[index]
            if spec.role is _INVARIANT and spec.watch is None and not spec.value_text:
                continue  # functions and parameters, which are most of a large graph
            if reading.patience.is_over and index >= self._ahead:
                self._look_ahead()
            self._look_at(spec)
            if is_bounded and time.monotonic() >= until:
                self._next = index + 1
                return
        self._next = len(specs)

    def awaited(self) -> list[Awaited]:
        """What it waits for, of which nobody was told yet."""
        found = list(self._awaited.values())
        self._awaited.clear()
        return found

    def note(self, paths: Iterable[str]) -> None:
        """The reading has got these files.

        Raises
        ------
        StatusWriteError
            What was measured could not be recorded.
        """
        for path in paths:
            for spec in self._waiting.pop(path, ()):
                self._missing[spec.id] -= 1
                if not self._missing[spec.id]:
                    del self._missing[spec.id]
                    self._look_at(spec)
                elif spec.role is Role.INVARIANT:
                    self._keep(path)

    def arrival(self) -> GraphGrew:
        """All that the engine has to know."""
        found = self._pasts, self._measured, self._unmeasured, self._problems
        return GraphGrew(self.specs, self._edges, self._by, *found)

    def _look_at(self, spec: JobSpec) -> None:
        if spec.role is _INVARIANT:
            if spec.watch is not None:
                self._measure(spec)
            elif spec.value_text:
                self._measured[spec.id] = _accept_or_note(spec, self._status, self._accepts)
            return
        past = self._status.past(spec.id)
        if past is PAST_UNKNOWN:
            return
        self._pasts[spec.id] = past
        if spec.outputs:
            found = self._problems_of(spec, past)
            if found:
                self._problems[spec.id] = found

    def _wait(self, spec: JobSpec, awaited: list[Awaited]) -> None:
        for each in awaited:
            self._awaited[each.path] = each
            self._waiting.setdefault(each.path, []).append(spec)
        self._missing[spec.id] = len(awaited)

    def _measure(self, spec: JobSpec) -> None:
        name, paths = spec.id, spec.outputs
        if spec.watch is _CONTENT and len(paths) == 1 and paths[0] == name:
            # As of nearly all: what is recorded is compared with the stamp as it stands there, and not decoded.
            now = self._reading.stamp(name)
            fingerprint = None if now is None else self._status.measured_if(name, now)
            if fingerprint is not None:
                self._measured[name] = fingerprint
                return
        known = self._status.invariant(name)
        records: list[FileRecord] = []
        awaited: list[Awaited] = []
        try:
            known_files = {} if known is None else {record.path: record for record in known.files}
            # Of several files, some may have been measured before a run was cut short.
            also_known = self._kept if len(spec.outputs) > 1 else _nothing
            if spec.watch is Watch.TIME:
                records = [files.look_at_time(path, self._reading.stat) for path in spec.outputs]
            else:
                for path in spec.outputs:
                    try:
                        records.append(self._reading.look(path, known_files.get(path), also_known))
                    except Awaited as one:
                        awaited.append(one)
        except OSError as error:
            self._unmeasured[spec.id] = _not_measured(spec, error)
            return
        if awaited:
            self._wait(spec, awaited)
            return
        if len(records) == 1:
            fingerprint = records[0].content or records[0].fingerprint
        else:
            # Without the names: renaming a file is no change.
            fingerprint = combine(sorted(record.content for record in records))
        found = tuple(records)
        if known is None or known.files != found:
            measured = InvariantRecord(fingerprint, found)
            note_replaced(known, measured, self._status)
            self._status.note_measured(spec.id, measured)
        self._measured[spec.id] = fingerprint

    def _kept(self, path: str) -> FileRecord | None:
        """What is known of a file by itself, and not only as one of several."""
        known = self._status.invariant(path)
        return known.files[0] if known is not None and len(known.files) == 1 and known.files[0].content else None

    def _keep(self, path: str) -> None:
        """One of several files was read, and the others were not yet: a run that is cut here is to lose nothing."""
        record = self._reading.came(path)
        known = self._status.invariant(path)
        is_free = known is None or (len(known.files) == 1 and known.files[0].content)
        if record is not None and is_free and record.size >= files.LARGE_BYTES:
            measured = InvariantRecord(record.content, (record,))
            note_replaced(known, measured, self._status)
            self._status.note_measured(path, measured)

    def _problems_of(self, spec: JobSpec, past: Past) -> tuple[Reason, ...]:
        if past.trace is None:
            # A temporary file may have outlasted a run that was cut; nothing else is asked of what was never made.
            missing = [path for path in spec.outputs if not os.path.lexists(path)]
            return tuple(Reason(ReasonKind.OUTPUT_MISSING, path) for path in missing)
        trace = past.trace
        if type(trace) is UsualTrace:
            now_there = self._reading.stamp(spec.id)
            if now_there is not None and trace.is_stamped(now_there) and now_there.st_size:
                return ()  # as of nearly all
        outputs = trace.outputs
        found = []
        seen: list[FileRecord] = []
        awaited: list[Awaited] = []
        for record in outputs:
            try:
                now = self._reading.look(record.path, record)
            except Awaited as one:
                awaited.append(one)
                continue
            except FileNotFoundError:
                found.append(Reason(ReasonKind.OUTPUT_MISSING, record.path))
                continue
            except OSError:
                found.append(Reason(ReasonKind.OUTPUT_CHANGED, record.path, record.content))
                continue
            if now.content != record.content:
                found.append(Reason(ReasonKind.OUTPUT_CHANGED, record.path, record.content, now.content))
            if not now.size and record.path not in spec.empty_ok:
                found.append(Reason(ReasonKind.OUTPUT_EMPTY, record.path))
            if now is not record:
                seen.append(now)
        if awaited:
            self._wait(spec, awaited)
            return ()
        if seen and not found:
            by_path = {record.path: record for record in seen}
            outputs = tuple(by_path.get(record.path, record) for record in outputs)
            self._status.note_seen(spec.id, outputs)
        return tuple(found)

    def _look_ahead(self) -> None:
        """At the stamps of the next files, which are on a slow file system."""
        paths: list[str] = []
        self._ahead = self._next
        while self._ahead < len(self.specs) and len(paths) < _AHEAD:
            paths += self._stamps_of(self.specs[self._ahead])
            self._ahead += 1
        self._reading.look_ahead(paths)

    def _stamps_of(self, spec: JobSpec) -> Iterator[str]:
        """Files whose stamps will be asked for."""
        records: tuple[FileRecord, ...] = ()
        if spec.role is not Role.INVARIANT:
            trace = self._status.past(spec.id).trace if spec.outputs else None
            records = () if trace is None else trace.outputs
        elif spec.watch is Watch.TIME:
            return iter(spec.outputs)
        elif spec.watch is not None:
            known = self._status.invariant(spec.id)
            records = () if known is None else known.files
        return (record.path for record in records if not record.is_racy)


def changed_inputs(specs: Iterable[JobSpec], status: StatusFile | Glance) -> list[tuple[JobId, str]]:
    """Files of these invariants that are not any more as they were measured, by size, time and inode."""
    watched = [(spec.id, file) for spec in specs for file in (status.invariant(spec.id) or _NO_FILES).files]
    stamps: list[os.stat_result | OSError] = []
    patience = Patience()
    for _, file in watched:
        if patience.is_over:
            stamps += side_by_side(os.stat, [left.path for _, left in watched[len(stamps) :]])
            break
        began = time.perf_counter()
        try:
            stamps.append(os.stat(file.path))
        except OSError as error:
            stamps.append(error)
        patience.spend(time.perf_counter() - began)
    return [(name, file.path) for (name, file), now in zip(watched, stamps, strict=True) if _is_changed(file, now)]


_NO_FILES = InvariantRecord("", ())


def _is_changed(file: FileRecord, now: os.stat_result | OSError) -> bool:
    return isinstance(now, OSError) or not files.is_as_recorded(now, file)


def _nothing(path: str) -> None:
    return None


def _accept_or_note(spec: JobSpec, status: StatusFile | Glance, accepts: Accepts) -> Fingerprint:
    assert spec.fingerprint is not None
    known = status.invariant(spec.id)
    if known is not None:
        if known.fingerprint == spec.fingerprint:
            return spec.fingerprint
        if known.value_text and accepts(spec.id, known.value_text):
            return known.fingerprint
    status.note_measured(spec.id, InvariantRecord(spec.fingerprint, (), spec.value_text))
    return spec.fingerprint


def _not_measured(spec: JobSpec, error: OSError) -> Failure:
    name = error.filename or ", ".join(spec.outputs)
    return Failure(
        FailureKind.NOT_MEASURED,
        f"builtins.{type(error).__name__}",
        f"an input file can't be read\n    file:     {name}\n    declared: {spec.class_name}, {spec.place}\n"
        f"    reason:   {error.strerror or error}\nPut the file there, or correct its name.",
    )
