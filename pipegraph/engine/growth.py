"""What a generator may add to a graph that is running, and what not.

Only looks. Settled jobs are never walked through: nothing above one can be waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..model import Failure, FailureKind, Growth, InputId, JobId, JobSpec, Role
from .ledger import Ledger, State


def objection_to(ledger: Ledger, by: int, growth: Growth) -> Failure | None:
    """Why this growth can't be; None if it can."""
    new: dict[JobId, JobSpec] = {}
    files: dict[str, JobSpec] = {}
    for spec in growth.jobs:
        if spec.id not in ledger.number_of and spec.id not in ledger.settled:
            new[spec.id] = spec
            if spec.role is not Role.INVARIANT:
                files.update(dict.fromkeys(spec.outputs, spec))
            continue
        known = ledger.spec_of(spec.id)
        assert known is not None
        if known._replace(place=spec.place) != spec:
            return _refusal(
                "JobContractError",
                "a generator made a job again, and differently",
                ("generator", _shown(ledger.spec[by])),
                ("job", _shown(spec)),
                ("first", _shown(known)),
            )
    for path, spec in files.items():
        maker = ledger.spec_of(path)
        if maker is not None and maker.id != spec.id:
            return _refusal(
                "DuplicateOutputError",
                "two jobs promise the same file",
                ("file", path),
                ("first", _shown(maker)),
                ("second", _shown(spec)),
                ("generator", _shown(ledger.spec[by])),
            )
    edges = [
        (dependent, name)
        for dependent, name in growth.edges
        if dependent in new or not _is_edge(ledger, dependent, name)
    ]
    number_of, settled = ledger.number_of, ledger.settled
    is_in_order = True
    seen: set[InputId] = set()
    for spec in new.values():
        for name in spec.inputs:
            if name in seen or name in number_of or name in settled:
                continue
            if name not in new and name not in files and ledger.number(name) is None:
                return _unknown(ledger, by, name)
            is_in_order = is_in_order and name not in new and name not in files
        seen.add(spec.id)
        if spec.role is not Role.INVARIANT:
            seen.update(spec.outputs)
    for dependent, name in edges:
        if dependent not in new and dependent not in number_of:
            return _unknown(ledger, by, dependent)
        if name not in new and name not in files and name not in settled and ledger.number(name) is None:
            return _unknown(ledger, by, name)
    is_below = _below(ledger, by)
    for dependent, name in edges:
        if dependent not in new and not is_below(ledger.number_of[dependent]):
            return _refusal(
                "JobContractError",
                "an edge comes too late",
                ("generator", _shown(ledger.spec[by])),
                ("job", _shown(ledger.spec[ledger.number_of[dependent]])),
                ("input", name),
                mend="A generator may add inputs to jobs that it made, and to jobs that depend on it. "
                "Let the job depend on the generator.",
            )
    # If each comes behind what it depends on, none can wait for itself.
    return None if is_in_order and not edges else _cycle(ledger, new, files, edges)


def _is_edge(ledger: Ledger, dependent: JobId, name: InputId) -> bool:
    number = ledger.number_of.get(dependent)
    return number is not None and name in ledger.inputs[number]


def _below(ledger: Ledger, generator: int) -> Callable[[int], bool]:
    """Whether a job waits for the generator, directly or through others."""
    known: dict[int, bool] = {generator: False}

    def is_below(job: int) -> bool:
        stack = [job]
        while stack:
            one = stack[-1]
            if one in known:
                stack.pop()
            elif ledger.state[one] not in (State.WAITING, State.BLOCKED, State.FAILED):
                # (What a failure blocked, or was refused before its turn, may have waited for the generator as well.)
                known[one] = False
            else:
                inputs = [number for name in ledger.inputs[one] if (number := ledger.number(name)) is not None]
                if generator in inputs or any(known.get(each) for each in inputs):
                    known[one] = True
                elif unknown := [each for each in inputs if each not in known]:
                    stack.extend(unknown)
                else:
                    known[one] = False
        return known[job]

    return is_below


def _cycle(
    ledger: Ledger,
    new: dict[JobId, JobSpec],
    files: dict[str, JobSpec],
    edges: list[tuple[JobId, InputId]],
) -> Failure | None:
    extra: dict[JobId, list[InputId]] = {}
    for dependent, name in edges:
        extra.setdefault(dependent, []).append(name)
    is_old_changed = any(dependent not in new for dependent in extra)

    def inputs_of(job: JobId) -> Iterable[JobId]:
        if job in new:
            names: list[InputId] = [*new[job].inputs, *extra.get(job, ())]
        else:
            number = ledger.number_of[job]
            # Old jobs lead back to new ones only through edges that are new.
            if not is_old_changed or ledger.fingerprint[number] is not None:
                return ()
            names = [*ledger.inputs[number], *extra.get(job, ())]
        found = []
        for name in names:
            if name in new:
                found.append(name)
            elif name in files:
                found.append(files[name].id)
            else:
                number_ = ledger.number(name)
                if number_ is not None:
                    found.append(ledger.spec[number_].id)
        return found

    finished: set[JobId] = set()
    for start in [*new, *extra]:
        if start in finished:
            continue
        path: dict[JobId, None] = {start: None}
        stack = [iter(inputs_of(start))]
        while stack:
            for job in stack[-1]:
                if job in path:
                    circle = list(path)[list(path).index(job) :] + [job]
                    specs = [new[each] if each in new else ledger.spec[ledger.number_of[each]] for each in circle]
                    return _refusal(
                        "CycleError",
                        "jobs wait for each other in a circle",
                        *(("job" if at == 0 else "needs", _shown(spec)) for at, spec in enumerate(specs)),
                        mend="Remove one of these dependencies.",
                    )
                if job not in finished:
                    path[job] = None
                    stack.append(iter(inputs_of(job)))
                    break
            else:
                finished.add(path.popitem()[0])
                stack.pop()
    return None


def _unknown(ledger: Ledger, by: int, name: str) -> Failure:
    return _refusal(
        "JobContractError",
        "a generator names a job that is not in the graph",
        ("generator", _shown(ledger.spec[by])),
        ("name", name),
        mend="It may have been pruned, or made by a generator that failed.",
    )


def _shown(spec: JobSpec) -> str:
    return f"{spec.id} ({spec.class_name}, {spec.place})"


def _refusal(kind: str, headline: str, *facts: tuple[str, str], mend: str = "") -> Failure:
    lines = [headline, *(f"    {name + ':':<11} {value}" for name, value in facts)]
    if mend:
        lines.append(mend)
    return Failure(FailureKind.BROKE_CONTRACT, f"pipegraph.errors.{kind}", "\n".join(lines))
