"""Which scripts declare which jobs: written where it changes, so that a run of the same jobs again writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from functools import partial

from ..model import JobId, JobSpec, Role
from .records import Declaration
from .store import StatusFile

_AT_ONCE = 1000


def declare(specs: Iterable[JobSpec], script: str, status: StatusFile) -> None:
    """These jobs, but for invariants, are declared by the script.

    Raises
    ------
    StatusWriteError
        It could not be recorded.
    """
    invariant = Role.INVARIANT
    last: tuple[object, ...] = ()
    notes: list[Callable[[], None]] = []
    for spec in specs:
        if spec.role is invariant:
            continue
        known = status.declared(spec.id)
        this = known, spec.class_name, spec.role, spec.keeps, spec.is_wanted
        if this == last:
            continue  # as nearly all: what many are declared as is one object
        role = Role.EPHEMERAL if spec.is_wanted else spec.role
        is_same = known is not None and known[:2] == (spec.class_name, role) and known.keeps == spec.keeps
        if is_same and known is not None and script in known.scripts:
            last = this
            continue
        scripts = {script} if known is None else {*known.scripts, script}
        declared = Declaration(spec.class_name, role, tuple(sorted(scripts)), spec.keeps)
        if known != declared:
            notes.append(partial(status.note_declared, spec.id, *declared))
            if len(notes) == _AT_ONCE:
                _write(notes, status)
                notes = []
    _write(notes, status)


def _write(notes: list[Callable[[], None]], status: StatusFile) -> None:
    for note in notes[status.together(notes) :]:
        note()


def gone_of(script: str, declared: Set[JobId], status: StatusFile) -> list[JobId]:
    """What the script declared in earlier runs, if these are all that it declares."""
    gone = []
    for job in status.declared_jobs() - declared:
        known = status.declared(job)
        if known is not None and script in known.scripts:
            gone.append(job)
    return gone


def retract(script: str, gone: Iterable[JobId], status: StatusFile) -> None:
    """The script does not declare these any more.

    Raises
    ------
    StatusWriteError
        It could not be recorded.
    """
    for job in gone:
        known = status.declared(job)
        if known is not None and script in known.scripts:
            others = tuple(each for each in known.scripts if each != script)
            status.note_declared(job, *known._replace(scripts=others))
