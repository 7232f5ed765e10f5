"""Large random graphs in memory, against what must always hold; and that what is broken is noticed, and shown.

`python tests/proof random` tries more.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from proof import random_graphs

from pipegraph.coordinator import Coordinator
from pipegraph.engine.engine import Engine
from pipegraph.engine.reasons import reasons_to_run
from pipegraph.graph import Graph
from pipegraph.model import Reason, ReasonKind

ROOT = Path(__file__).parent.parent


def without_effect(*_):
    return None


def nothing(*_):
    return ()


def one_core_more(self, cores, memory_bytes, *pools, fair=Coordinator.__init__):
    fair(self, cores + 1, memory_bytes, *pools)
    self.cores = cores


def memory_is_free(self, spec, fair=Coordinator._needs):
    return fair(self, spec)._replace(memory_bytes=0)


def nobody_changes_the_slave(self, spec, fair=Coordinator._needs):
    return fair(self, spec)._replace(changes_slave=False)


def nobody_runs_alone(self, spec, fair=Coordinator._needs):
    return fair(self, spec)._replace(is_exclusive=False)


def what_waits_is_forgotten(self, expected_of, fair=Coordinator.revise):
    fair(self, expected_of)
    self._heads.clear()


def there_is_always_room(self, memory_bytes):
    return True


def cores_stay_taken(self, job, seconds=0.0, fair=Coordinator.end):
    taken = self._free_cores
    fair(self, job, seconds)
    self._free_cores = taken


def what_was_loaded_is_thought_to_be_there(self, event, fair=Engine._on_lost):
    fair(self, event._replace(memory=()))


def files_stand_for_their_job(self, name):
    maker = self.graph.maker(os.fspath(name))
    self._add_input(maker, maker.job_id)


def growth_without_edges(self, fair=Graph.end_growth):
    return fair(self)._replace(edges=())


class Forgetful(set):
    update = without_effect


def nothing_is_kept(self, job, fair=Engine._end_badly):
    self._ledger.is_kept = Forgetful()
    fair(self, job)


def always_one_more(*facts, fair=reasons_to_run):
    return (*fair(*facts), Reason(ReasonKind.FORCED))


BROKEN = [
    ("pipegraph.engine.engine.reasons_to_run", always_one_more, "had finished|no reason|because"),
    ("pipegraph.engine.engine.fingerprint_of_inputs", lambda inputs: "the same", "a fingerprint is wrong"),
    ("pipegraph.engine.engine.Engine._end_badly", nothing_is_kept, "is removed, and a job"),
    ("pipegraph.engine.reasons.input_reasons", nothing, "reads|should|holds|reason|fingerprint is wrong"),
    ("pipegraph.engine.engine.reasons_to_remake", nothing, "AssertionError"),
    ("pipegraph.engine.engine.Engine._drop", without_effect, "left behind"),
    ("pipegraph.engine.engine.Engine._block_dependents", without_effect, "Violation|Exception"),
    ("pipegraph.engine.engine.Engine._on_lost", what_was_loaded_is_thought_to_be_there, "is not there|has not run"),
    ("pipegraph.engine.engine.Engine._look_for_leftovers", without_effect, "left behind|should|reason"),
    ("pipegraph.coordinator.Coordinator.__init__", one_core_more, "cores"),
    ("pipegraph.coordinator.Coordinator._needs", memory_is_free, "bytes are taken"),
    ("pipegraph.coordinator.Coordinator._needs", nobody_changes_the_slave, "change the slave at once"),
    ("pipegraph.coordinator.Coordinator._needs", nobody_runs_alone, "which run alone"),
    ("pipegraph.coordinator.Coordinator.revise", what_waits_is_forgotten, "stalls"),
    ("pipegraph.coordinator.Coordinator.set_lent", without_effect, "cores are lent"),
    ("pipegraph.coordinator.Room.holds", there_is_always_room, "there is no room"),
    ("pipegraph.coordinator.Coordinator.end", cores_stay_taken, "stalls"),
    ("pipegraph.coordinator.Coordinator.withdraw", without_effect, "is not ready"),
    ("pipegraph.jobs.base.Job._add_file", files_stand_for_their_job, "declares|injects"),
    ("pipegraph.graph.Graph._leave_out", without_effect, "declares"),
    ("pipegraph.graph.Graph.end_growth", growth_without_edges, "injects"),
]


def leave_as_found(monkeypatch):
    """Making it smaller takes most of the time."""
    monkeypatch.setattr(random_graphs, "smallest", lambda calls: (calls, random_graphs.error_of(calls)))


@pytest.mark.parametrize("seed", range(4))
def test_what_must_hold_does_on_large_graphs(seed, graph):
    tally = Counter()

    random_graphs.explore(seed, 40, tally)

    assert tally["jobs of the largest"] >= 60
    assert tally["jobs started"] > 1500
    assert len(tally.keys() & {"cut", "stop", "fail", "lose", "lose all", "too demanding"}) >= 4
    assert not list(Path().iterdir())


@pytest.mark.timeout(400)  # most are found in seconds, those of memory in half a minute of a core
@pytest.mark.parametrize(("what", "broken", "words"), BROKEN, ids=lambda each: getattr(each, "__name__", None))
def test_what_is_broken_is_noticed(what, broken, words, monkeypatch, graph):
    monkeypatch.setattr(what, broken)
    leave_as_found(monkeypatch)

    with pytest.raises(random_graphs.Violation, match=words):
        for seed in range(1, 16):  # each begins with small graphs, which are fast
            random_graphs.explore(seed, 100, Counter())


@pytest.mark.parametrize("is_small", [True, False])
def test_the_script_of_a_violation_shows_it_again_and_nothing_without_the_bug(is_small, monkeypatch, graph, tmp_path):
    plant = "import pipegraph.engine.reasons as reasons\nreasons.input_reasons = lambda *_: ()\n"
    monkeypatch.setattr("pipegraph.engine.reasons.input_reasons", nothing)
    if not is_small:
        leave_as_found(monkeypatch)

    with pytest.raises(random_graphs.Violation) as raised:
        random_graphs.explore(0, 1500, Counter())

    shown = str(raised.value)
    assert (len(shown.splitlines()) < 150) == is_small
    headline = shown.partition("\n")[0].partition(": ")[2]
    assert headline in run(tmp_path, plant + shown)
    assert run(tmp_path, shown) == ""


def test_one_seed_always_gives_the_same_histories(graph):
    tallies = [Counter(), Counter()]

    for tally in tallies:
        random_graphs.explore(7, 20, tally)

    assert tallies[0] == tallies[1]


def test_a_job_that_takes_no_part_may_be_given_inputs_while_the_graph_grows(script):
    script.run(
        """
        ppg.new_pipegraph(quiet=True)
        def inject():
            return [ppg.FileGeneratingJob("new", lambda output: output.write_text("new"))]
        injection = ppg.DependencyInjectionJob("injection", inject)
        kept = ppg.FileGeneratingJob("kept", lambda output: output.write_text("kept")).depends_on(injection)
        ppg.FileGeneratingJob("pruned", lambda output: output.write_text("pruned")).depends_on(injection).prune()
        ppg.run_pipegraph()
        """
    )

    assert set(script.started) == {"injection", "new", "kept"}


def test_generators_run_again_in_their_order_after_a_slave_died(script):
    script.run(
        """
        from types import SimpleNamespace
        ppg.new_pipegraph(quiet=True)
        J = SimpleNamespace()

        def first():
            J.early = ppg.FileGeneratingJob("early", lambda output: output.write_text("early"))

        def second():
            ppg.FileGeneratingJob("late", make_late).depends_on(J.early)

        def make_late(output):
            if not os.path.exists("was_here"):
                open("was_here", "w").close()
                os.kill(os.getppid(), signal.SIGKILL)
                signal.pause()
            output.write_text("late")

        between = ppg.FileGeneratingJob("between", lambda output: output.write_text("between"))
        between.depends_on(ppg.JobGeneratingJob("first", first))
        ppg.JobGeneratingJob("second", second).depends_on(between)
        ppg.run_pipegraph()
        """
    )

    assert script.started.count("first") == script.started.count("second") == 2


def test_a_job_that_needs_too_much_fails_after_all_others_were_told_to_start(script):
    script.run(
        """
        ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(1), quiet=True)

        def make(output):
            output.write_text("made")

        greedy = ppg.FileGeneratingJob("greedy", make).use_cores(3)
        between = ppg.FileGeneratingJob("between", make).depends_on(greedy)
        temporary = ppg.TempFileGeneratingJob("temporary", make)
        ppg.FileGeneratingJob("last", make).depends_on(temporary, between)
        ppg.FileGeneratingJob("other", make)
        ppg.run_pipegraph()
        """,
        code=1,
    )

    assert script.started == ["other"]
    assert not (script.folder / "temporary").exists()


def run(folder: Path, text: str) -> str:
    """What a script prints to stderr."""
    (folder / "failing.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "failing.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert bool(done.returncode) == bool(done.stderr)
    return done.stderr
