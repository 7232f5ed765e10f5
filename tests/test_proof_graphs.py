"""All small graphs against the oracle, and that a fault in the engine does not get past them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from proof.cuts import cut_all
from proof.explore import Explorer, Tally
from proof.graphs import OUTPUT, Node, all_shapes, canonical, tops
from proof.world import Violation

from pipegraph.engine import engine, growth, reasons
from pipegraph.engine.engine import Engine
from pipegraph.engine.ledger import Ledger, State

ROOT = Path(__file__).parent.parent


def prove(*arguments: str) -> None:
    command = [sys.executable, str(ROOT / "tests" / "proof"), "graphs", *arguments]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.strip().endswith("no violation")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("jobs", ["1", "2", "3"])
def test_three_runs_of_every_graph_of_up_to_three_jobs_keep_what_must_hold(jobs):
    prove("--jobs", jobs)


@pytest.mark.timeout(600)
def test_caches_and_loads_that_count_by_their_data_keep_what_must_hold():
    prove("--jobs", "2", "--roles", "iotlgcp")
    prove("--jobs", "3", "--roles", "ioclgp", "--every", "4")
    prove("--jobs", "4", "--roles", "iocp", "--runs", "2", "--every", "12")


@pytest.mark.timeout(900)
def test_two_runs_of_every_graph_of_four_jobs_keep_what_must_hold():
    prove("--jobs", "4", "--runs", "2")


@pytest.mark.timeout(900)
def test_three_runs_of_some_graphs_of_four_jobs_keep_what_must_hold():
    prove("--jobs", "4", "--every", "24")


@pytest.mark.timeout(600)
def test_some_graphs_of_five_and_six_jobs_keep_what_must_hold():
    prove("--jobs", "5", "--runs", "2", "--random", "1", "--seconds", "5")
    prove("--jobs", "6", "--runs", "2", "--random", "1", "--seconds", "5")


@pytest.mark.parametrize(("jobs", "step"), [(2, 1), (3, 9)])
def test_a_status_file_that_is_cut_anywhere_is_gone_on_from(jobs, step):
    tally = cut_all(list(all_shapes(jobs)), step)

    assert tally.cuts > 1000


def test_each_graph_is_there_once():
    # Directed acyclic graphs of n unlabelled nodes: https://oeis.org/A003087.
    found: set[object] = {()}
    shapes = {canonical(()): ()}
    for count in (1, 2, 6, 31, 302):
        shapes = {canonical(top): top for shape in shapes.values() for top in tops(shape) if top[-1].role == OUTPUT}
        found = set(shapes)
        assert len(found) == count


def test_the_name_of_a_job_makes_no_other_graph():
    first = (Node("i", frozenset()), Node("t", frozenset({0})), Node("o", frozenset({1})), Node("o", frozenset({0})))
    second = (Node("i", frozenset()), Node("o", frozenset({0})), Node("t", frozenset({0})), Node("o", frozenset({2})))
    third = (Node("i", frozenset()), Node("o", frozenset({0})), Node("t", frozenset({0})), Node("o", frozenset({0})))

    assert canonical(first) == canonical(second)
    assert canonical(first) != canonical(third)


# --- faults that must not get past: each rule of the engine broken, one at a time


def without(attribute):
    """Reasons that forget to look at something."""

    def plant(patch):
        known = reasons.reasons_to_run

        def forgetful(spec, past, inputs, problems):
            return known(spec, past._replace(**{attribute: False}), inputs, problems)

        patch.setattr(engine, "reasons_to_run", forgetful)

    return plant


def inputs_are_not_compared(patch):
    known = reasons.reasons_to_run

    def forgetful(spec, past, inputs, problems):
        return known(spec, past, inputs if past.trace is None else past.trace.inputs, problems)

    patch.setattr(engine, "reasons_to_run", forgetful)


def problems_are_not_looked_at(patch):
    known = reasons.reasons_to_run
    patch.setattr(engine, "reasons_to_run", lambda spec, past, inputs, problems: known(spec, past, inputs, ()))


def temporary_files_always_stand(patch):
    known = reasons.reasons_to_remake
    patch.setattr(
        engine, "reasons_to_remake", lambda spec, past, inputs: past.trace is None and known(spec, past, inputs)
    )


def what_is_remade_counts_anew(patch):
    patch.setattr(Engine, "_records", lambda self, job, outputs: outputs)


def products_are_dropped_at_once(patch):
    known = Engine._let_go

    def eager(self, job):
        known(self, job)
        for source in self._ledger.products.get(job, ()):
            if self._ledger.spec[source].role.value == "ephemeral" and self._ledger.state[source] is State.DONE:
                self._drop(source)

    patch.setattr(Engine, "_let_go", eager)


def products_are_never_dropped(patch):
    patch.setattr(Engine, "_drop", lambda self, job: False)


def generators_to_come_are_not_thought_of(patch):
    known = Ledger.add_all

    def add_all(self, *given):
        jobs = known(self, *given)
        self.generators_to_come.clear()
        return jobs

    patch.setattr(Ledger, "add_all", add_all)


def growth_is_forgotten(patch):
    known = Engine._on_grew
    patch.setattr(Engine, "_on_grew", lambda self, event: None if event.by else known(self, event))


def injected_edges_are_forgotten(patch):
    patch.setattr(Engine, "_add_edge", lambda self, job, name: None)


def growth_under_a_blocked_job_is_refused(patch):
    known = growth._below

    def below(ledger, generator):
        is_below = known(ledger, generator)
        return lambda job: ledger.state[job] is State.WAITING and is_below(job)

    patch.setattr(growth, "_below", below)


def failures_block_nobody(patch):
    patch.setattr(Engine, "_block_dependents", lambda self, job, culprit: None)


def failures_block_everybody(patch):
    known = Engine._block_dependents

    def block(self, job, culprit):
        known(self, job, culprit)
        for other in range(len(self._ledger.spec)):
            if other != job:
                self._block_one(other, culprit)

    patch.setattr(Engine, "_block_dependents", block)


def lost_memory_is_thought_to_be_there(patch):
    known = Engine._on_lost
    patch.setattr(Engine, "_on_lost", lambda self, event: known(self, event._replace(memory=())))


def jobs_start_after_a_stop(patch):
    known = Engine._on_stop

    def stop(self):
        known(self)
        self._is_stopping = False

    patch.setattr(Engine, "_on_stop", stop)


def traces_lack_an_input(patch):
    known = Engine.trace_of

    def trace_of(self, event):
        trace = known(self, event)
        return trace._replace(inputs=dict(list(trace.inputs.items())[1:]))

    patch.setattr(Engine, "trace_of", trace_of)


def loads_count_by_name_alone(patch):
    patch.setattr(engine, "fingerprint_of_inputs", lambda inputs: reasons.combine(sorted(inputs)))


FAULTS = [
    without("is_unfinished"),
    without("has_failed"),
    inputs_are_not_compared,
    problems_are_not_looked_at,
    temporary_files_always_stand,
    what_is_remade_counts_anew,
    products_are_dropped_at_once,
    products_are_never_dropped,
    generators_to_come_are_not_thought_of,
    growth_is_forgotten,
    injected_edges_are_forgotten,
    growth_under_a_blocked_job_is_refused,
    failures_block_nobody,
    failures_block_everybody,
    lost_memory_is_thought_to_be_there,
    jobs_start_after_a_stop,
    traces_lack_an_input,
    loads_count_by_name_alone,
]


# What takes a graph of four jobs to see.
SHOWN_BY = {
    generators_to_come_are_not_thought_of: "l o0 g1 o0/2",
    growth_under_a_blocked_job_is_refused: "g o o1/0 o012",
    loads_count_by_name_alone: "i l0 o1",
}


def shape_of(text):
    """Each job as its role, the numbers of its inputs and, behind a slash, of its maker."""
    shape = []
    for job in text.split():
        inputs, _, maker = job[1:].partition("/")
        shape.append(Node(job[0], frozenset(map(int, inputs)), int(maker or -1)))
    return tuple(shape)


def find_violation():
    for jobs in (1, 2, 3):
        for shape in all_shapes(jobs):
            Explorer(shape, Tally(), runs=2).explore()


def test_there_is_no_violation_where_there_is_no_fault():
    find_violation()
    for text in SHOWN_BY.values():
        Explorer(shape_of(text), Tally(), runs=2).explore()


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__qualname__)
def test_a_fault_in_the_engine_is_found_and_its_script_shows_it(plant, monkeypatch):
    plant(monkeypatch)

    with pytest.raises(Violation) as caught:
        if plant in SHOWN_BY:
            Explorer(shape_of(SHOWN_BY[plant]), Tally()).explore()
        find_violation()

    script = str(caught.value)[str(caught.value).index("# ") :]
    with pytest.raises(Exception):  # noqa: B017 - the engine's own complaints are violations too
        exec(script, {})
    monkeypatch.undo()
    exec(script, {})


def test_a_script_that_shows_a_violation_is_run_as_it_says(monkeypatch, tmp_path):
    inputs_are_not_compared(monkeypatch)
    with pytest.raises(Violation) as caught:
        find_violation()
    script = tmp_path / "script.py"
    script.write_text(str(caught.value)[str(caught.value).index("# ") :])

    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    subprocess.run([sys.executable, str(script)], env=environment, check=True)
