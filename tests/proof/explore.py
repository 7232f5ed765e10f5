"""All histories of a small graph: runs in every order and with every mishap, and every edit between them.

A history is two or three runs. Between two of them one thing is changed: an invariant, a file, the graph. In one run
before the last, one thing goes wrong: a job fails, or makes something else than it did; the slave dies; a job can't
read a cache; somebody stops the run; or everything is cut (kill -9) between any two steps. Situations that were seen
are not gone into again, nor are those that differ only in how the values of invariants are called.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple

from .graphs import CACHE, FILES, INVARIANT, OPAQUE, Node, Shape, can_be_declared
from .oracle import EMPTY, Content, Job
from .world import FOREIGN, Fingerprints, Graph, Run, Situation, Violation, with_file

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DEEPEST = 2
"""How many levels of jobs may notice a change before one makes the same as before."""

NOBODY: frozenset[str] = frozenset()


class Tally:
    """How much was tried."""

    def __init__(self) -> None:
        self.graphs = self.histories = self.runs = self.steps = self.cuts = 0

    def add(self, other: Tally) -> None:
        """Sum up."""
        for name, value in other.__dict__.items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return ", ".join(f"{value:,} {name}" for name, value in self.__dict__.items())


class Moment(NamedTuple):
    """Where a history stands between two runs.

    Attributes
    ----------
    graph
        Which of the explorer's; 0 is the whole one.
    has_mishap
        Something has gone wrong.
    finished
        Jobs whose success is recorded, if nothing was edited since a run was cut: they must not run again.
    moves
        How it came to this, for `replay`.
    """

    graph: int
    situation: Situation
    has_mishap: bool = False
    finished: frozenset[str] = NOBODY
    moves: tuple[tuple[object, ...], ...] = ()


class Explorer:
    """Everything that can happen to one graph.

    Parameters
    ----------
    runs
        2 or 3: how long histories are.
    """

    def __init__(self, shape: Shape, tally: Tally, runs: int = 3) -> None:
        self.tally = tally
        self.runs = runs
        self.names = Fingerprints()
        smaller = [jobs_of(shape, without=number) for number in range(len(shape))]
        smaller += [
            jobs_of(shape, cut=(source, number)) for number, node in enumerate(shape) for source in sorted(node.inputs)
        ]
        self.graphs = [Graph(jobs) for jobs in [jobs_of(shape), *smaller] if jobs is not None]
        self.choices: dict[str, list[Content]] = {}
        for number, node in enumerate(shape):
            if node.role == INVARIANT:
                one, other = LETTERS[2 * number : 2 * number + 2]
                self.choices[name_of(shape, number)] = [f"{one}'0", f"{other}'0"] + [
                    f"{one}'{depth}" for depth in range(1, DEEPEST + 1)
                ]
        self.seen: set[Hashable] = set()
        self.at: tuple[Moment, Run | None]

    def explore(self) -> None:
        """Try everything.

        Raises
        ------
        Violation
            With a script that shows it.
        """
        self.tally.graphs += 1
        nothing = Situation(tuple((name, values[0]) for name, values in self.choices.items()))
        try:
            for graph in range(len(self.graphs)):
                moves = (("declare", self.graphs[graph].jobs),)
                self._go_on(Moment(graph, nothing, moves=moves), 1)
        except Exception as error:
            raise Violation(f"{error}\n{self._script(error)}") from error

    def _go_on(self, moment: Moment, level: int) -> None:
        for end in self._after(moment, level):
            for edited in self._edited(end):
                if level + 1 < self.runs:
                    self._go_on(edited, level + 1)
                else:
                    self.tally.histories += 1
                    for _ in self._after(edited, level + 1):
                        pass

    def _after(self, moment: Moment, level: int) -> Iterator[Moment]:
        """All moments that a run can lead to; none if the situation was seen before."""
        is_last = level == self.runs
        key = (moment.graph, moment.has_mishap, is_last, self._form(moment.situation))
        if key in self.seen:
            return
        self.seen.add(key)
        may_go_wrong = not is_last and not moment.has_mishap and (level > 1 or not moment.graph)
        self.at = (moment, None)
        begun = self._run(moment)
        if is_last and (moment.has_mishap or level > 2):
            self._go_straight(moment, begun)
            return
        ends: dict[Situation, Moment] = {}
        self._go_every_way(moment, begun, may_go_wrong, ends)
        yield from ends.values()
        for name in begun.expected.runs if may_go_wrong else ():
            if begun.graph.jobs[name].role in FILES + OPAQUE:
                odd = self._run(moment, frozenset([name]))
                self._go_straight(moment, odd)
                yield self._moment_after(moment, odd, True, NOBODY)

    def _run(self, moment: Moment, irreproducible: frozenset[str] = NOBODY) -> Run:
        self.tally.runs += 1
        salt = str(len(moment.moves))
        graph = self.graphs[moment.graph]
        return Run(graph, moment.situation, self.names, irreproducible, salt, moment.finished)

    def _go_straight(self, moment: Moment, run: Run) -> None:
        """To the end, in one order."""
        self.at = (moment, run)
        run.go_straight()
        self.tally.steps += len(run.steps)

    def _go_every_way(self, moment: Moment, begun: Run, may_go_wrong: bool, ends: dict[Situation, Moment]) -> None:
        """To the end in all orders, with and without mishaps."""
        seen: set[Hashable] = set()
        stack = [(begun, False)]
        clean_ends: set[Situation] = set()

        def note(run: Run, has_mishap: bool, finished: frozenset[str] = NOBODY) -> None:
            situation = run.situation()
            known = ends.get(situation)
            if known is None or known.has_mishap > has_mishap:
                ends[situation] = self._moment_after(moment, run, has_mishap, finished)

        def branch(run: Run, has_mishap: bool, what: str, name: str = "") -> None:
            other = run.copy()
            self.at = (moment, other)
            other.take(what, name)
            stack.append((other, has_mishap))

        while stack:
            run, has_mishap = stack.pop()
            self.at = (moment, run)
            if run.has_ended or not (run.ready or run.running):
                run.check_end()
                note(run, has_mishap)
                if not has_mishap:
                    clean_ends.add(run.situation())
                continue
            key = (run.state(), has_mishap)
            if key in seen:
                continue
            seen.add(key)
            self.tally.steps += 1
            goes_wrong = may_go_wrong and not has_mishap
            # After a death, what was made before is made again, and may fail then.
            may_fail = goes_wrong or (may_go_wrong and run.has_lost and "failed" not in run.outcome.values())
            if goes_wrong:
                self.tally.cuts += 1
                note(run, True, run.finished)
                branch(run, True, "stop")
                branch(run, True, "lose")
            for name in run.ready:
                branch(run, has_mishap, "start", name)
            for name in run.running:
                other = run.copy()
                self.at = (moment, other)
                stack.append((other, has_mishap))
                for part in ("finish", "record", "tell_finished"):
                    other.take(part, name)
                    if goes_wrong and part != "tell_finished":
                        self.tally.cuts += 1
                        note(other, True, other.finished)
                if may_fail:
                    branch(run, True, "fail", name)
                has_cache = any(run.graph.jobs[each].role == CACHE for each in run.graph.jobs[name].inputs)
                if name in run.have_read or (goes_wrong and has_cache):
                    branch(run, True, "find_damaged", name)
                if run.was_stopped:
                    branch(run, has_mishap, "be_stopped", name)
        if len(clean_ends) > 1:
            raise Violation("the end depends on the order")

    def _moment_after(self, moment: Moment, run: Run, has_mishap: bool, finished: frozenset[str]) -> Moment:
        move = ("run", run.steps, tuple(run.irreproducible))
        return Moment(moment.graph, run.situation(), moment.has_mishap or has_mishap, finished, (*moment.moves, move))

    def _edited(self, moment: Moment) -> Iterator[Moment]:
        """Everything that a person may do between two runs; nothing, first of all."""
        yield moment
        situation = moment.situation
        values, files = dict(situation.values), dict(situation.files)
        jobs = self.graphs[moment.graph].jobs

        def after(move: tuple[object, ...], graph: int = moment.graph, **changed: object) -> Moment:
            return Moment(graph, situation._replace(**changed), moment.has_mishap, NOBODY, (*moment.moves, move))  # type: ignore[arg-type]

        for name in values.keys() & jobs.keys():
            for value in self.choices[name]:
                if value != values[name]:
                    yield after(("value", name, value), values=tuple((values | {name: value}).items()))
        for name, job in jobs.items():
            if job.role in FILES:
                for content in (None, EMPTY, FOREIGN):
                    if files.get(name) != content:
                        yield after(("file", name, content), files=with_file(situation.files, name, content))
        for graph, other in enumerate(self.graphs):
            if graph != moment.graph and 0 in (graph, moment.graph):
                yield after(("declare", other.jobs), graph)

    def _form(self, situation: Situation) -> Hashable:
        """The same for situations that differ only in how values are called."""
        swaps = {}
        for name, value in situation.values:
            one, other = str(self.choices[name][0])[0], str(self.choices[name][1])[0]
            if str(value)[0] == other:
                swaps |= {ord(one): other, ord(other): one}
        return repr(situation).translate(swaps) if swaps else situation

    def _script(self, error: Exception) -> str:
        """A script that shows what went wrong."""
        moment, run = self.at
        moves = moment.moves
        if run is not None:
            moves = (*moves, ("run", run.steps, tuple(run.irreproducible)))
        values = {name: choices[0] for name, choices in self.choices.items()}
        lines = [
            f"# {type(error).__name__}: {str(error).splitlines()[0]}",
            "# In the repository: PYTHONPATH=.:tests python THIS",
            "from proof.oracle import Job",
            "from proof.world import replay",
            "",
            f"replay({values}, [",
            *(f"    {move}," for move in moves),
            "])",
        ]
        return "\n".join(lines)


def name_of(shape: Shape, number: int) -> str:
    """A job's id."""
    return f"{shape[number].role}{number}"


def jobs_of(shape: Shape, without: int = -2, cut: tuple[int, int] = (-1, -1)) -> dict[str, Job] | None:
    """The jobs of a graph, without one of them (and what it declares) or without one edge; None if that can't be."""
    gone = {without}
    for number, node in enumerate(shape):
        if node.maker in gone:
            gone.add(number)
    kept = [number for number in range(len(shape)) if number not in gone]
    place = {number: at for at, number in enumerate(kept)} | {-1: -1}
    inputs_of = {
        number: [source for source in sorted(shape[number].inputs) if source not in gone and (source, number) != cut]
        for number in kept
    }
    smaller = tuple(
        Node(shape[number].role, frozenset(place[each] for each in inputs_of[number]), place[shape[number].maker])
        for number in kept
    )
    if not can_be_declared(smaller):
        return None
    return {
        name_of(shape, number): Job(
            shape[number].role,
            tuple(name_of(shape, source) for source in inputs_of[number]),
            "" if shape[number].maker < 0 else name_of(shape, shape[number].maker),
        )
        for number in kept
    }
