"""Fifty rounds of attacks on random scripts; and that the rounds notice what is broken.

The seeds start at the number in the environment's ATTACK_SEED. `python -m proof.attack` plays more.
"""

import os

import pytest
from proof import attack

FIRST = int(os.environ.get("ATTACK_SEED", "0"))
ROUNDS_EACH = 5

BROKEN = {
    "successes are not recorded": (
        "from pipegraph.status.store import StatusFile\nStatusFile.note_made = lambda *arguments: None",
        "ended, and not recorded",
    ),
    "starts are not recorded": (
        "from pipegraph.status.store import StatusFile\nStatusFile.note_started = lambda *arguments: None",
        "its start is not recorded",
    ),
    "old outputs stay where they are": (
        "import pipegraph.slaves.child as child\nchild._remove = lambda path, job: None",
        "holds|is not reproducible|exit 1|ran without a reason",
    ),
    "outputs are not looked at": (
        "import pipegraph.status.survey as survey\nsurvey.Survey._problems_of = lambda self, spec, past: ()",
        "had to run, and did not|FileNotFoundError",
    ),
    "changed inputs are no reason": (
        "import pipegraph.engine.reasons as reasons\nreasons.input_reasons = lambda spec, before, now: ()",
        "had to run, and did not|holds",
    ),
    "all are always stale": (
        "import pipegraph.jobs as jobs\njobs.Job.is_forced = True",
        "ran without a reason",
    ),
    "temporary files stay": (
        "import pipegraph.run as run\nrun.Run._drop = lambda self, spec: None",
        "is left over",
    ),
    "the folder of the run stays": (
        "import pipegraph.slaves.sweep as sweep\nsweep.remove_folder = lambda path: None",
        "left in the temporary folder",
    ),
    "more cores are taken than there are": (
        "import pipegraph.coordinator as coordinator\n"
        "fair = coordinator.Coordinator.__init__\n"
        "coordinator.Coordinator.__init__ = lambda self, cores, *more: fair(self, cores + 2, *more)",
        "cores are taken",
    ),
    "a process is left": (
        "import subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)",
        "processes are left",
    ),
    "a file is left": ("open('forgotten', 'w').close()", "a stray file: forgotten"),
    "the lock is kept": (
        "import atexit, fcntl\n"
        "def keep():\n"
        "    fcntl.flock(os.open('.pipegraph_status.lock', os.O_RDONLY), fcntl.LOCK_EX)\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(1000)\n"
        "atexit.register(keep)",
        "is still locked",
    ),
}


@pytest.mark.parametrize("first", range(FIRST, FIRST + 50, ROUNDS_EACH))
def test_what_must_hold_does_whatever_is_killed_and_edited(first, tmp_path):
    for seed in range(first, first + ROUNDS_EACH):
        assert attack.play(seed, tmp_path)["rounds"] == 1


@pytest.mark.parametrize("name", BROKEN)
def test_a_round_notices_what_is_broken(name, tmp_path, monkeypatch):
    planted, words = BROKEN[name]
    monkeypatch.setattr(attack, "LEFT_OVER_SECONDS", 0.5)

    with pytest.raises(attack.Violation, match=words) as raised:
        for seed in range(1, 41):
            attack.play(seed, tmp_path, planted)

    assert f"seed {seed}" in str(raised.value)
    assert (
        tmp_path / str(raised.value).rpartition(f"{tmp_path}/")[2].partition(";")[0] / "work" / "script.py"
    ).exists()


def test_a_run_without_an_end_is_noticed_and_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(attack, "HANG_SECONDS", 1.0)

    with pytest.raises(attack.Violation, match="no end within") as raised:
        attack.play(1, tmp_path, "time.sleep(1000)")

    assert "script.py" in str(raised.value)
    assert "state S" in str(raised.value)


def test_the_same_seed_gives_the_same_script(tmp_path):
    texts = [attack.Round(7, tmp_path / name).plan.script("Seed 7") for name in "ab"]

    assert texts[0] == texts[1]
    assert texts[0] != attack.Round(8, tmp_path / "c").plan.script("Seed 7")
