"""An outlook in words: jobs that are alike together, and no more lines than a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..engine import Fate
from ..errors import shown
from ..estimates import Estimate
from ..explanations import Change
from ..model import JobSpec, Role
from ..watchers.wording import because_of, duration, named

if TYPE_CHECKING:
    from .ahead import Foreseen, Outlook

MOST_GROUPS = 20
_MOST_REASONS = 3
_MOST_DEPENDENTS = 20
_MOST_FILES = 5
NOT_KNOWN = "what they will declare is not known"


class Group(NamedTuple):
    """A job, or several that are alike, of which the first stands for all.

    Attributes
    ----------
    seconds
        Of all of them, one after the other; None where that of one is not known.
    """

    first: Foreseen
    jobs: int
    seconds: float | None
    because: str


class Section(NamedTuple):
    """What will become of jobs in one way; `more` of them are in no group."""

    title: str
    groups: list[Group]
    more: int


def lines_of(outlook: Outlook) -> Iterator[str]:
    """All of it, as text."""
    yield from headlines_of(outlook)
    for section in sections_of(outlook):
        yield ""
        yield section.title
        for group in section.groups:
            time = "" if group.seconds is None else f", {duration(group.seconds)}"
            because = f": {group.because}" if group.because else ""
            yield f"    {title_of(group)} ({shown(str(group.first.place))}){time}{because}"
        if section.more:
            yield f"    …and {grouped(section.more)} more"


def headlines_of(outlook: Outlook) -> Iterator[str]:
    """How many, how long, and what should be known."""
    for warning in outlook.warnings:
        yield shown(warning)
    must, may = outlook.count(Fate.MUST), outlook.count(Fate.MAY)
    blocked = 0 if outlook.changed is not None else outlook.count(Fate.BLOCKED)
    parts = [
        f"{grouped(count)} {words}"
        for count, words in ((must, "must run"), (may, "may run"), (blocked, "can't run"))
        if count
    ]
    if outlook.changed is not None:
        yield f"As if this had changed: {', '.join(map(shown, outlook.changed)) or 'nothing'}"
        yield f"Jobs: {', '.join(parts) or 'nothing would run because of it'}."
        anyway = [outlook.jobs[job] for job in outlook.anyway]
        generators = sum(1 for each in anyway if each.is_generator)
        if len(anyway) > generators:
            yield f"Must run anyway: {grouped(len(anyway) - generators)}."
        if generators:
            whose = "a generator" if generators == 1 else f"{grouped(generators)} generators"
            yield f"What {whose} will declare, and whether that would run, is not known."
    else:
        done, idle = outlook.count(Fate.UP_TO_DATE), outlook.count(Fate.NOT_NEEDED)
        parts += [f"{grouped(count)} {words}" for count, words in ((done, "up to date"), (idle, "not needed")) if count]
        start = "Jobs" if must or may or blocked else "Nothing has to run"
        yield f"{start}: {', '.join(parts) or 'there are no jobs'}."
    if must or may:
        yield _time_line(outlook, must, may)


def _time_line(outlook: Outlook, must: int, may: int) -> str:
    least, most = outlook.estimate_must, outlook.estimate_all
    if least is None or most is None:
        return "How long it takes is not known: nothing was ever timed here."
    cores = f"{outlook.cores} core{'s' if outlook.cores != 1 else ''}"
    if must and may:
        times = f"about {duration(least.seconds)} on {cores}, {duration(most.seconds)} if all of it runs"
    else:
        times = f"about {duration(most.seconds)} on {cores}{'' if must else ', if all of it runs'}"
    return f"Time: {times}{_guesses(most)}."


def _guesses(estimate: Estimate) -> str:
    if not estimate.guessed:
        return ""
    return f" ({grouped(estimate.guessed)} never timed: taken for as long as others)"


def sections_of(outlook: Outlook) -> Iterator[Section]:
    """What must, what may, what can't run, and the generators; the empty ones left out."""
    must = [outlook.jobs[start.job] for start in outlook.must]
    generators = [each for each in must if each.is_generator]
    stuck = [] if outlook.changed is not None else [each for each in outlook.jobs.values() if each.fate is Fate.BLOCKED]
    for title, found in (
        ("must run", [each for each in must if not each.is_generator]),
        ("may run", [outlook.jobs[job] for job in outlook.may]),
        ("can't run", stuck),
        (f"generators, which run in every run; {NOT_KNOWN}", generators),
    ):
        if found:
            groups = _groups(found, outlook)
            rest = groups[MOST_GROUPS:]
            yield Section(title, groups[:MOST_GROUPS], sum(group.jobs for group in rest))


def _groups(jobs: Sequence[Foreseen], outlook: Outlook) -> list[Group]:
    """Each by itself if they are few; else those together that were made alike and run for reasons that are alike."""
    found: dict[object, list[Foreseen]] = {}
    for each in jobs:
        likeness = each.job if len(jobs) <= MOST_GROUPS else _likeness(each, outlook)
        found.setdefault(likeness, []).append(each)
    groups = []
    for alike in found.values():
        times = [each.expected_seconds for each in alike]
        seconds = None if None in times else sum(time for time in times if time is not None)
        groups.append(Group(alike[0], len(alike), seconds, _because(alike[0], outlook)))
    return groups


def _likeness(each: Foreseen, outlook: Outlook) -> object:
    def made_at(name: str) -> object:
        maker = outlook.names.maker(name)
        return name if maker is None else maker.place

    reasons = tuple((why.kind, made_at(why.subject)) for why in each.reasons)
    return each.place, reasons, tuple(dict.fromkeys(map(made_at, each.roots)))


def title_of(group: Group) -> str:
    """The first, and how many more."""
    more = f" and {grouped(group.jobs - 1)} like it" if group.jobs > 1 else ""
    return f"{shown(group.first.job)}{more}"


def _because(each: Foreseen, outlook: Outlook) -> str:
    if each.is_generator:
        return ""
    if each.fate is Fate.MAY:
        return _condition(each)
    if each.fate is Fate.BLOCKED:
        return f"because of {shown(each.roots[0])}, which can't be read"
    unless = ""
    if each.adopts:
        unless = "; its files are adopted if they are there"
    elif each.kept_in:
        unless = "; unless it can be brought back"
    return because_of(each.reasons, _MOST_REASONS) + unless


def _condition(each: Foreseen) -> str:
    if each.reasons:
        return f"if {shown(each.reasons[0].subject)} runs"
    names = [shown(name) for name in each.roots[:2]]
    if len(each.roots) > len(names):
        return f"if {', '.join(names)} or another changes"
    return f"if {' or '.join(names)} changes"


def why_lines(outlook: Outlook, spec: JobSpec) -> Iterator[str]:
    """One job, or one input, with all that is known."""
    if spec.role is Role.INVARIANT:
        yield from _input_lines(outlook, spec)
        return
    each = outlook.jobs[spec.id]
    name = named(spec, spec.id)
    time = "" if each.expected_seconds is None else f" (about {duration(each.expected_seconds)})"
    if each.is_generator:
        yield f"{name} runs in every run{time}; what it will declare is not known"
    elif each.fate is Fate.MUST:
        yield f"{name} must run{time}"
        for reason in each.reasons:
            yield f"    because {shown(str(reason))}"
            yield from change_lines(outlook.explain(reason))
        if each.adopts:
            yield "    its files are adopted if they are there: then nothing is called"
        elif each.kept_in:
            yield f"    if its result is in {shown(each.kept_in)}, it is brought back: then nothing is called"
    elif each.fate is Fate.MAY:
        yield f"{name} may run{time}"
        if each.reasons:
            yield f"    {_condition(each)}"
        if each.inputs:
            first = each.inputs[:_MOST_DEPENDENTS]
            yield f"    if what it depends on changes: {', '.join(map(shown, first))}{_and_more(each.inputs)}"
        for root in each.roots:
            reasons = outlook.jobs[root].reasons
            yield f"    {shown(root)} leads to it, and must run because {because_of(reasons, _MOST_REASONS)}"
    elif each.fate is Fate.UP_TO_DATE:
        yield f"{name} is up to date"
    elif each.fate is Fate.NOT_NEEDED:
        yield f"{name} is not needed: nothing that depends on it runs"
    else:
        yield f"{name} can't run"
        yield from _failure_lines(outlook, each.roots[0])
    for what, paths in (("read, and is no input", each.read), ("written, and is no output", each.written)):
        for path in paths[:_MOST_FILES]:
            yield f"    hint: {shown(path)} was {what}"


def change_lines(changes: Iterable[Change]) -> Iterator[str]:
    """What a reason's line is followed by."""
    for change in changes:
        yield from (f"        {shown(line.expandtabs())}" for line in change.lines())


def _input_lines(outlook: Outlook, spec: JobSpec) -> Iterator[str]:
    name = named(spec, spec.id)
    if spec.id in outlook.failures:
        yield f"{name} can't be read"
        yield from _failure_lines(outlook, spec.id)
        return
    led = [start for start in outlook.must if any(why.subject == spec.id for why in start.reasons)]
    if not led:
        yield f"{name} did not change: nothing runs because of it"
        return
    yield f"{name} makes {grouped(len(led))} run"
    for start in led[:_MOST_DEPENDENTS]:
        reasons = [why for why in start.reasons if why.subject == spec.id]
        yield f"    {named(outlook.names.spec_of[start.job], start.job)}: {because_of(reasons)}"
        yield from change_lines(change for why in reasons for change in outlook.explain(why))
    if len(led) > _MOST_DEPENDENTS:
        yield f"    …and {grouped(len(led) - _MOST_DEPENDENTS)} more"


def _failure_lines(outlook: Outlook, name: str) -> Iterator[str]:
    yield from (f"    {shown(line)}" for line in outlook.failures[name].message.splitlines())


def _and_more(names: tuple[str, ...]) -> str:
    rest = len(names) - _MOST_DEPENDENTS
    return f" and {grouped(rest)} more" if rest > 0 else ""


def grouped(number: int) -> str:
    """1 234 567: the blanks do not break lines."""
    return f"{number:,}".replace(",", "\u00a0")
