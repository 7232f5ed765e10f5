"""Large random graphs in memory: histories are drawn, checked run by run, and made small where something is wrong.

A *plan* says which jobs there are; it is rendered as the text of a script, which is executed before each run. A
*history* is what a person does with it: runs, with and without mishaps, and edits between them. Every step is checked
against the oracle, and what goes wrong is told as a script that does it again.

Drawn as lists by `hypothesis.given`, and not by a state machine: the moves come first and the plan's jobs after them,
each in its own place.

    python tests/proof random --seconds 600 --seed 1
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import hypothesis
from hypothesis import strategies

import pipegraph as ppg

from .graphs import GENERATOR, INVARIANT
from .oracle import EMPTY, Content
from .random_plans import (
    CORES,
    DRAWN,
    GIB,
    VALUES,
    VERSIONS,
    Bonds,
    Declared,
    Plan,
    Planned,
    bonds_of,
    kind_of,
    left_out,
    paths_of,
    text_of,
)
from .random_runs import LargeRun
from .world import FOREIGN, Fingerprints, Situation, Violation, with_file

# --- a history


Call = tuple[str, tuple[Any, ...]]


class NoPlan(Exception):
    """No script can be like that."""


class History:
    """What happens to a script over time; `calls` is how to say it again."""

    def __init__(self) -> None:
        self.names = Fingerprints()
        self.bonds = Bonds()
        self.situation = Situation(())
        self.finished: frozenset[str] = frozenset()
        self.calls: list[Call] = []
        self.tally: Counter[str] = Counter()
        self.declared: Declared

    def declare(self, plan: Plan, text: str = "") -> None:
        """From now on this is the script; `text` instead of how it would be rendered."""
        self.bonds = bonds_of(plan)
        out = left_out(self.bonds)
        if out is None:
            raise NoPlan("a job that stays would be given one that is pruned")
        self.declared = Declared(self.bonds, out, text)
        self.finished = frozenset()
        values = dict.fromkeys((name for name in self.bonds.plan if name.startswith("in_")), VALUES[0])
        self.situation = self.situation._replace(values=tuple((values | dict(self.situation.values)).items()))
        self.calls.append(("declare", (self.bonds.plan, self.declared.text)))

    def run(self, order: int = 0, mishap: str = "", percent: int = 0, cores: int = CORES) -> None:
        """A run.

        Parameters
        ----------
        order
            Seed of what is left to chance; 0: nothing.
        mishap
            "cut", "stop", "lose" a slave, "lose all" or "fail"; that many `percent` of what is to run have ended then.
        """
        self.calls.append(("run", (order, mishap, percent, cores)))
        try:
            run = LargeRun(self.declared, self.situation, self.names, self.finished, cores, order)
            run.go(mishap, len(run.expected.runs) * percent // 100)
        finally:
            ppg.util.global_pipegraph = None
        self.tally.update({"runs": 1, "steps": run.steps, "jobs started": len(run.started)})
        self.tally.update(run.mishaps)
        self.situation, self.finished = run.situation(), run.finished

    def set_value(self, name: str, value: str) -> None:
        """An input file changes."""
        self.calls.append(("set_value", (name, value)))
        self.finished = frozenset()
        values = dict(self.situation.values) | {name: value}
        self.situation = self.situation._replace(values=tuple(values.items()))

    def set_file(self, path: str, content: Content | None) -> None:
        """Somebody writes a job's file, or removes it (None)."""
        self.calls.append(("set_file", (path, content)))
        self.finished = frozenset()
        self.situation = self.situation._replace(files=with_file(self.situation.files, path, content))


def script_of(calls: list[Call], violation: BaseException) -> str:
    """A script that shows what went wrong."""
    what = f"{type(violation).__name__}: {violation}".replace("\\", "\\\\").replace('"""', "...")
    lines = ['"""' + what, "", "In the repository: PYTHONPATH=.:tests python THIS", '"""', ""]
    lines += ["from proof.random_graphs import History, Planned", "", "history = History()"]
    for name, given in calls:
        if name == "declare":
            plan, text = given[0], given[1] or text_of(bonds_of(given[0]))
            lines += [
                "history.declare(",
                "    {",
                *(f"        {each!r}: {job}," for each, job in plan.items()),
                "    },",
            ]
            lines += ["    r'''", f"{text}''',", ")"]
        elif name == "run":
            words = zip(("order", "mishap", "percent", "cores"), given, (None, "", 0, CORES))
            shown = ", ".join(f"{word}={value!r}" for word, value, usual in words if value != usual)
            lines.append(f"history.run({shown})")
        else:
            lines.append(f"history.{name}({', '.join(map(repr, given))})")
    return "\n".join([*lines, ""])


# --- made smaller


def smallest(calls: list[Call]) -> tuple[list[Call], Exception]:
    """The same violation with fewer calls, jobs and inputs, none of which can be left out; and the violation.

    By taking away halves, quarters and so on: hypothesis, which does not know what a job is, is too slow at this size.
    """
    error = error_of(calls)
    assert error is not None
    wanted = origin_of(error)

    def still_shows(fewer: list[Call]) -> bool:
        found = error_of(fewer)
        return found is not None and origin_of(found) == wanted

    before = None
    while before != calls:
        before = calls
        calls = _fewest(calls, lambda kept: kept, still_shows)
        names = list(dict.fromkeys(name for what, given in calls if what == "declare" for name in given[0]))
        kept_names = _fewest(names, lambda kept, calls=calls: _with_jobs(calls, kept), still_shows)  # type: ignore[misc]
        calls = _with_jobs(calls, kept_names)
        for name in kept_names:
            for field, usual in Planned._field_defaults.items():
                calls = _kept(calls, _edited(calls, name, **{field: usual}), still_shows)
            for source in {
                each for what, given in calls if what == "declare" for each in given[0].get(name, Planned()).inputs
            }:
                calls = _kept(calls, _edited(calls, name, without=source), still_shows)
        for at, (what, given) in enumerate(calls):
            for plainer in ((0, "", 0, CORES), (0, *given[1:]), (*given[:3], CORES)) if what == "run" else ():
                calls = _kept(calls, [*calls[:at], (what, plainer), *calls[at + 1 :]], still_shows)
    error = error_of(calls)
    assert error is not None
    return calls, error


def _fewest(
    things: list[Any], calls_with: Callable[[list[Any]], list[Call]], still_shows: Callable[[list[Call]], bool]
) -> list[Any]:
    size = len(things)
    while size:
        for at in range((len(things) - 1) // size * size, -1, -size):
            fewer = things[:at] + things[at + size :]
            if still_shows(calls_with(fewer)):
                things = fewer
        size //= 2
    return things


def _kept(calls: list[Call], plainer: list[Call], still_shows: Callable[[list[Call]], bool]) -> list[Call]:
    return plainer if plainer != calls and still_shows(plainer) else calls


def _with_jobs(calls: list[Call], names: Iterable[str]) -> list[Call]:
    return _redeclared(calls, lambda plan: {name: job for name, job in plan.items() if name in set(names)})


def _edited(calls: list[Call], name: str, without: str = "", **changed: Any) -> list[Call]:
    def edit(plan: Plan) -> Plan:
        if name not in plan:
            return plan
        inputs = tuple(each for each in plan[name].inputs if each != without)
        return {**plan, name: plan[name]._replace(**{"inputs": inputs, **changed})}

    return _redeclared(calls, edit)


def _redeclared(calls: list[Call], edit: Callable[[Plan], Plan]) -> list[Call]:
    """With plans that were edited; their texts are rendered anew."""
    return [
        (what, (bonds_of(edit(given[0])).plan, "")) if what == "declare" else (what, given) for what, given in calls
    ]


def error_of(calls: Iterable[Call]) -> Exception | None:
    """What these calls come to, if not to a good end."""
    history = History()
    try:
        for name, given in calls:
            getattr(history, name)(*given)
    except NoPlan:
        return None
    except Exception as error:
        return error
    return None


def origin_of(error: BaseException) -> tuple[object, ...]:
    """The same for errors from one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return type(error), last.filename, last.lineno


# --- drawn

SIZES = tuple(round(10 * 1.12**step) for step in range(31))
"""10 to 300, small ones more often."""

ROWS = strategies.tuples(
    strategies.sampled_from(DRAWN),
    strategies.integers(0, 15),
    strategies.lists(strategies.integers(0, 63), max_size=5),
    strategies.integers(0, 63),
)
"""A job to be: kind, generator, inputs (by how far back they are), cores and memory."""


def add_drawn(bonds: Bonds, number: int, row: tuple[str, int, list[int], int]) -> None:
    """One more job."""
    kind, maker, back, needs = row
    names = list(bonds.plan)
    generators = [name for name in names if kind_of(name).role == GENERATOR]
    inputs = []
    for distance in back if names else ():
        source = names[-1 - distance % len(names)]
        files = paths_of(source)
        inputs.append((source, *files)[distance % 3] if len(files) > 1 else source)
    if kind_of(kind).role == INVARIANT:
        needs = 0
    job = Planned(
        tuple(inputs),
        generators[-1 - maker // 2 % len(generators)] if generators and maker % 2 else "",
        cores=(2, 3, 4, -1, -2)[needs % 8] if 0 < needs % 8 < 5 and needs >= 32 else 1,
        memory=(needs - 24) * GIB if 24 < needs < 28 else -1,
    )
    bonds.add(f"{kind}_{number}", job)


@strategies.composite
def plans(draw: Callable[[Any], Any]) -> Plan:
    """Of 10 to 300 jobs."""
    bonds = Bonds()
    for number in range(draw(strategies.sampled_from(SIZES))):
        add_drawn(bonds, number, draw(ROWS))
    return bonds.plan


class Mover:
    """Makes moves of what was drawn, as far as there is something to be moved."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.gone: dict[str, Planned] = {}
        self.number = 1000

    def move(self, word: str, which: int, how: int) -> None:
        getattr(self, f"_{word.replace(' ', '_')}")(which, how)

    def _run(self, which: int, how: int) -> None:
        self.history.run(which, cores=CORES - how % 4 if how > 200 else CORES)

    def _mishap(self, which: int, how: int, mishap: str) -> None:
        self.history.run(which, mishap, min(100, how // 2))

    def _cut(self, which: int, how: int) -> None:
        self._mishap(which, how, "cut")

    def _fail(self, which: int, how: int) -> None:
        self._mishap(which, how, "fail")

    def _stop(self, which: int, how: int) -> None:
        self._mishap(which, how, "stop")

    def _lose(self, which: int, how: int) -> None:
        self._mishap(which, how, "lose all" if how % 2 else "lose")

    def _value(self, which: int, how: int) -> None:
        if names := [name for name in self.history.bonds.plan if name.startswith("in_")]:
            self.history.set_value(names[which % len(names)], VALUES[how % len(VALUES)])

    def _file(self, which: int, how: int) -> None:
        paths = [path for path, _ in self.history.situation.files]
        if not which % 8:
            # Also what is not there, such as a temporary file.
            paths = [path for name in self.history.bonds.plan for path in paths_of(name)]
        if paths:
            self.history.set_file(paths[which % len(paths)], (None, EMPTY, FOREIGN)[how % 3])

    def _code(self, which: int, how: int) -> None:
        self._change(which, lambda job: job._replace(value=VERSIONS[how % len(VERSIONS)]))

    def _prune(self, which: int, how: int) -> None:
        self._change(which, lambda job: job._replace(is_pruned=True))

    def _unprune(self, which: int, how: int) -> None:
        pruned = [name for name, job in self.history.bonds.plan.items() if job.is_pruned]
        if pruned:
            name = pruned[which % len(pruned)]
            self._declare(self.history.bonds.plan | {name: self.history.bonds.plan[name]._replace(is_pruned=False)})

    def _input(self, which: int, how: int) -> None:
        """One more input."""
        names = list(self.history.bonds.plan)
        at = which % len(names) if names else 0
        if at:
            self._change(at, lambda job: job._replace(inputs=(*job.inputs, names[how % at])))

    def _no_input(self, which: int, how: int) -> None:
        """One input less."""
        self._change(which, lambda job: job._replace(inputs=job.inputs[:-1] if how % 2 else job.inputs[1:]))

    def _remove(self, which: int, how: int) -> None:
        plan = dict(self.history.bonds.plan)
        if plan:
            name = list(plan)[which % len(plan)]
            self.gone[name] = plan.pop(name)
            self._declare(plan)

    def _add(self, which: int, how: int) -> None:
        """A new job, or one that was there before."""
        bonds = bonds_of(self.history.bonds.plan)
        if self.gone and which % 2:
            bonds.add(*self.gone.popitem())
        else:
            self.number += 1
            add_drawn(bonds, self.number, (DRAWN[which % len(DRAWN)], how % 4, [how % 7, how % 11], 0))
        self._declare(bonds.plan)

    def _change(self, which: int, edit: Callable[[Planned], Planned]) -> None:
        plan = dict(self.history.bonds.plan)
        if plan:
            name = list(plan)[which % len(plan)]
            plan[name] = edit(plan[name])
            self._declare(plan)

    def _declare(self, plan: Plan) -> None:
        bonds = bonds_of(plan)
        if bonds.plan != self.history.bonds.plan and left_out(bonds) is not None:
            self.history.declare(bonds.plan)


WORDS = (
    "run",
    "value",
    "cut",
    "fail",
    "stop",
    "lose",
    "file",
    "code",
    "prune",
    "unprune",
    "remove",
    "add",
    "input",
    "no input",
)
MOVES = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(("run", "run", *WORDS, "value", "lose", "cut")),
        strategies.integers(0, 255),
        strategies.integers(0, 255),
    ),
    min_size=3,
    max_size=12,
)


def play(moves: list[tuple[str, int, int]], plan: Plan) -> History:
    """One history; after all that happens, a run to its end.

    Raises
    ------
    Violation
        With a script that shows it.
    """
    history = History()
    mover = Mover(history)
    try:
        history.declare(plan)
        for move in moves:
            mover.move(*move)
        history.run()
    except Exception as error:
        raise Violation(script_of(*smallest(history.calls))) from error
    return history


def explore(seed: int, examples: int, tally: Counter[str]) -> None:
    """So many histories, always the same for one seed; `tally` is added to.

    Raises
    ------
    Violation
        With a small script that shows it.
    """

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(MOVES, plans())
    def each(moves: list[tuple[str, int, int]], plan: Plan) -> None:
        if found:
            raise found[0]  # it is asked for again, to be shown
        tally["graphs"] += 1
        tally["jobs of the largest"] = max(tally["jobs of the largest"], len(plan))
        try:
            tally.update(play(moves, plan).tally)
        except Violation as violation:
            found.append(violation)
            raise

    found: list[Violation] = []
    each()


def main(arguments: list[str]) -> int:
    """``python tests/proof random``."""
    parser = argparse.ArgumentParser(prog=sys.argv[0], description="Large random graphs, in memory.")
    parser.add_argument("--seconds", type=float, default=60, help="begin no new graphs after so many seconds (60)")
    parser.add_argument("--seed", type=int, default=1, help="of the first 100 histories; later ones count on (1)")
    options = parser.parse_args(arguments)
    tally: Counter[str] = Counter()
    began = time.monotonic()
    seed = options.seed
    try:
        while time.monotonic() - began < options.seconds:
            explore(seed, 100, tally)
            seed += 1
    except Violation as violation:
        print(violation)
        print(f"# found with --seed {seed}", file=sys.stderr)
        return 1
    figures = ", ".join(f"{value:,} {name}" for name, value in tally.items())
    print(f"seeds {options.seed} to {seed - 1}: {figures}; {time.monotonic() - began:.0f} s; no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
