"""The graph as the engine keeps it: jobs by number, who depends on whom, what each is in the middle of.

Owns the columns and their plain bookkeeping; decides nothing. Jobs are numbered in the order in which they
arrive, since lists indexed by number are the smallest and fastest thing that Python has for this. Invariants, of which
there are several for each job, have a fingerprint when they arrive, and nothing becomes of them: they have no number,
unless they could not be measured.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from itertools import chain

from ..model import Fingerprint, InputId, JobId, JobSpec, Past, Reason, Role

NO_PAST = Past()


class State(enum.IntEnum):
    """Where a job is between declared and ended."""

    WAITING = 0
    """For an input's fingerprint."""
    VALID = 1
    """Ephemeral: its recorded fingerprint stands, it did not run."""
    UNWANTED = 2
    """Ephemeral: its recorded fingerprint does not stand, and nobody needs another."""
    REQUIRED = 3
    """It must run, and waits for the products of other jobs."""
    READY = 4
    """It was handed out to be started."""
    RUNNING = 5
    DONE = 6
    """Made in this run, or up to date."""
    FAILED = 7
    BLOCKED = 8
    STOPPED = 9


WAITING, REQUIRED, READY, RUNNING, DONE = State.WAITING, State.REQUIRED, State.READY, State.RUNNING, State.DONE
"""Looked up for each job: to ask an enum for a member takes longer than most of what is done with it."""
INVARIANT, OUTPUT, EPHEMERAL, GENERATOR = Role.INVARIANT, Role.OUTPUT, Role.EPHEMERAL, Role.GENERATOR

IN_VAIN = frozenset((State.FAILED, State.BLOCKED))
"""What depends on such a job is blocked. (Where one was stopped, the run is ending, and nothing is.)"""


class Ledger:
    """All jobs of a run.

    Attributes
    ----------
    settled
        The fingerprints of invariants.
    arrived, invariants
        All that came, in pieces, until it is sorted out: the invariants among it.
    fingerprint
        None until the job is settled.
    unsettled
        How many inputs have no fingerprint yet.
    dependents
        Numbers of the direct dependents.
    products
        Of jobs that need more than fingerprints: the numbers of those whose product (files, data or new jobs)
        must exist when they run. Jobs that need none are not in it.
    open
        Of ephemeral jobs and generators: how many direct dependents may still need the product.
    is_present
        The product exists.
    is_kept
        A dependent ended badly, so that files should outlast the run.
    culprit
        Of blocked jobs: the number of the failed one.
    generators_to_come
        Generators that have not ended yet, however they will.
    undropped
        Ephemeral jobs whose product nobody needs, unless a generator that is to come says otherwise.
    put_behind
        Of generators that run again after the death of a slave: others, that are to run after them.
    """

    def __init__(self) -> None:
        self.number_of: dict[JobId, int] = {}
        self.settled: dict[InputId, Fingerprint] = {}
        self.arrived: list[tuple[JobSpec, ...]] = []
        self.invariants: dict[JobId, JobSpec] = {}
        self.maker_of_file: dict[str, int] = {}
        self.file_fingerprint: dict[str, Fingerprint] = {}
        self.spec: list[JobSpec] = []
        self.past: list[Past] = []
        self.state: list[State] = []
        self.fingerprint: list[Fingerprint | None] = []
        self.inputs: list[tuple[InputId, ...] | list[InputId]] = []
        self.dependents: list[list[int] | tuple[int, ...]] = []
        self.unsettled: list[int] = []
        self.products: dict[int, list[int]] = {}
        self.open: dict[int, int] = {}
        self.holds: set[int] = set()
        self.is_present: set[int] = set()
        self.is_kept: set[int] = set()
        self.lies_about: set[int] = set()
        self.problems: dict[int, tuple[Reason, ...]] = {}
        self.reasons: dict[int, tuple[Reason, ...]] = {}
        self.missing: dict[int, int] = {}
        self.waiters: dict[int, dict[int, None]] = {}
        self.culprit: dict[int, int] = {}
        self.generators_to_come: set[int] = set()
        self.undropped: dict[int, None] = {}
        self.put_behind: dict[int, list[int]] = {}

    def add_all(
        self, specs: tuple[JobSpec, ...], pasts: Mapping[JobId, Past], measured: Mapping[JobId, Fingerprint]
    ) -> list[tuple[int, JobSpec]]:
        """Those of these jobs that are new; their edges come with `connect_all`, when all are there.

        Invariants are settled, or failed if they have no fingerprint. In one pass, since there may be millions, and
        most of its time is waiting for memory.

        Returns
        -------
        Of the new ones, those that are no invariants.
        """
        jobs: list[tuple[int, JobSpec]] = []
        failed, past_of, measured_of = State.FAILED, pasts.get, measured.get
        number_of, settled = self.number_of, self.settled
        first = number = len(self.spec)
        self.arrived.append(specs)
        for spec in specs:
            name, role = spec.id, spec.role
            if name in number_of:
                continue
            if role is INVARIANT:
                if name in settled:
                    continue
                fingerprint = measured_of(name) or spec.fingerprint
                if fingerprint is not None:
                    settled[name] = fingerprint
                    continue
            number_of[name] = number
            self.spec.append(spec)
            self.inputs.append(spec.inputs)
            if role is INVARIANT:
                self.fingerprint.append(None)
                self.state.append(failed)
                self.past.append(NO_PAST)
            else:
                jobs.append((number, spec))
                self.fingerprint.append(None)
                self.state.append(WAITING)
                self.past.append(past_of(name, NO_PAST))
                if len(spec.outputs) > 1:
                    for path in spec.outputs:
                        self.maker_of_file[path] = number
                if role is not OUTPUT:
                    self.open[number] = 0
                    if role is GENERATOR:
                        self.generators_to_come.add(number)
            number += 1
        self.dependents += [()] * (number - first)
        self.unsettled += [0] * (number - first)
        return jobs

    def number(self, name: InputId) -> int | None:
        """The job with this id, or that makes this file; None of invariants that are settled."""
        number = self.number_of.get(name)
        return self.maker_of_file.get(name) if number is None else number

    def spec_of(self, name: InputId) -> JobSpec | None:
        """Of the job or invariant with this id, or that makes this file."""
        number = self.number(name)
        if number is not None:
            return self.spec[number]
        if name not in self.settled:
            return None
        # Only generators that declare an invariant again have anybody ask.
        arrived, self.arrived = self.arrived, []
        for spec in chain.from_iterable(arrived):
            if spec.role is INVARIANT:
                self.invariants.setdefault(spec.id, spec)
        return self.invariants[name]

    def connect(self, dependent: int, name: InputId) -> int | None:
        """One edge. The input must be there. None if that is an invariant which is settled."""
        if name in self.settled:
            return None
        source = self.number_of.get(name)
        if source is None:
            source = self.maker_of_file[name]
        dependents = self.dependents[source]
        if type(dependents) is list:
            dependents.append(dependent)
        else:
            self.dependents[source] = [*dependents, dependent]
        if self.fingerprint[source] is None:
            self.unsettled[dependent] += 1
        return source

    def connect_all(self, dependent: int, names: tuple[InputId, ...]) -> None:
        """All edges of a new job, and whose products it needs; as `connect`, for each job of a large graph."""
        number_of, dependents_of, fingerprint, opened = self.number_of, self.dependents, self.fingerprint, self.open
        unsettled = 0
        settled = self.settled
        for name in names:
            if name in settled:
                continue
            source = number_of.get(name)
            if source is None:
                source = self.maker_of_file[name]
            dependents = dependents_of[source]
            if not dependents:
                dependents_of[source] = (dependent,)  # most have one, and a list would take more room
            elif type(dependents) is list:
                dependents.append(dependent)
            else:
                dependents_of[source] = [*dependents, dependent]
            if fingerprint[source] is None:
                unsettled += 1
            if source in opened:
                self.add_product(dependent, source)
        if unsettled:
            self.unsettled[dependent] += unsettled

    def add_product(self, dependent: int, source: int) -> None:
        """The dependent needs the product of source, not only its fingerprint."""
        needed = self.products.setdefault(dependent, [])
        if source not in needed:
            needed.append(source)

    def current_inputs(self, job: int) -> dict[InputId, Fingerprint]:
        """The fingerprint of each input of a job whose inputs are all settled."""
        settled, number_of, fingerprint = self.settled, self.number_of, self.fingerprint
        names = self.inputs[job]
        try:
            return {name: settled[name] for name in names}
        except KeyError:  # not only invariants
            pass
        found: dict[InputId, Fingerprint] = {}
        for name in names:
            number = number_of.get(name)
            if number is not None:
                found[name] = fingerprint[number]  # type: ignore[assignment]
            elif name in settled:
                found[name] = settled[name]
            else:
                found[name] = self.file_fingerprint[name]
        return found
