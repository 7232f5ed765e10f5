"""Why a job must run: the one place where traces are compared with what is there now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..model import (
    FILES_PREFIX,
    FileRecord,
    Fingerprint,
    InputId,
    JobSpec,
    Past,
    Reason,
    ReasonKind,
    combine,
)

_NEVER_MADE = Reason(ReasonKind.NEVER_MADE)
_UNFINISHED = Reason(ReasonKind.UNFINISHED)
_FAILED = Reason(ReasonKind.FAILED)
_FORCED = Reason(ReasonKind.FORCED)


def reasons_to_run(
    spec: JobSpec,
    past: Past,
    inputs: Mapping[InputId, Fingerprint],
    problems: Iterable[Reason],
) -> tuple[Reason, ...]:
    """All reasons for an output job to run; empty if it is up to date.

    Parameters
    ----------
    inputs
        The fingerprints of its inputs now.
    problems
        What is wrong with its files, compared with their records.
    """
    trace = past.trace
    if (
        trace is not None
        and trace.used(inputs)
        and not (past.is_unfinished or past.has_failed or problems or spec.forced)
    ):
        return ()
    reasons = []
    if trace is None:
        reasons.append(_NEVER_MADE)
    reasons.extend(problems)
    if past.is_unfinished:
        reasons.append(_UNFINISHED)
    if past.has_failed:
        reasons.append(_FAILED)
    if trace is not None:
        reasons.extend(input_reasons(spec, trace.inputs, inputs))
    if spec.forced:
        reasons.append(_FORCED)
    return tuple(reasons)


def reasons_to_remake(spec: JobSpec, past: Past, inputs: Mapping[InputId, Fingerprint]) -> tuple[Reason, ...]:
    """Why the recorded fingerprint of an ephemeral job does not stand; empty if it does.

    Its files need not be there, and an attempt that failed or never ended says nothing against the last one
    that succeeded.
    """
    if past.trace is None or (spec.is_opaque and past.trace.fingerprint == fingerprint_of_inputs(past.trace.inputs)):
        # (Or it was transparent then.)
        reasons = [_NEVER_MADE]
    elif past.trace.inputs == inputs:
        reasons = []
    else:
        reasons = list(input_reasons(spec, past.trace.inputs, inputs))
    if spec.forced:
        reasons.append(_FORCED)
    return tuple(reasons)


def input_reasons(
    spec: JobSpec, before: Mapping[InputId, Fingerprint], now: Mapping[InputId, Fingerprint]
) -> Iterable[Reason]:
    """What differs between the inputs of the last success and those of now."""
    renamed = _renamed_collections(before, now)
    for name, fingerprint in now.items():
        recorded = before.get(name)
        if recorded is None and name in renamed:
            continue
        if recorded is None:
            yield Reason(ReasonKind.INPUT_ADDED, name, now=fingerprint)
        elif recorded != fingerprint:
            yield Reason(ReasonKind.INPUT_CHANGED, name, recorded, fingerprint)
    for name, recorded in before.items():
        if name not in now and name not in spec.unwatched and name not in renamed:
            yield Reason(ReasonKind.INPUT_REMOVED, name, recorded)


def _renamed_collections(before: Mapping[InputId, Fingerprint], now: Mapping[InputId, Fingerprint]) -> set[InputId]:
    """Collections of files, among those that came or went, whose contents are the same under other names."""
    gone = {before[name]: name for name in before if name.startswith(FILES_PREFIX) and name not in now}
    renamed: set[InputId] = set()
    for name in now if gone else ():
        if name.startswith(FILES_PREFIX) and name not in before and now[name] in gone:
            renamed |= {name, gone.pop(now[name])}
    return renamed


def fingerprint_of_inputs(inputs: Mapping[InputId, Fingerprint]) -> Fingerprint:
    """Of a transparent job: it stands for whatever it depends on."""
    return combine(text for pair in sorted(inputs.items()) for text in pair)


def fingerprint_of_files(records: Sequence[FileRecord]) -> Fingerprint:
    """Of a job with one file: the file's. With several: of all, by their paths."""
    if len(records) == 1:
        return records[0].fingerprint
    pairs = sorted((record.path, record.fingerprint) for record in records)
    return combine(text for pair in pairs for text in pair)
