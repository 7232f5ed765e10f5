"""Runs that recipes of make start: all of them together use no more cores than make -j was given."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from builds import make_for

JOBS = """
import pipegraph.machine.capacity as capacity
capacity.cores_of_this_process = capacity.machine_cores = lambda: 8
ppg.new_pipegraph(cores=8)
jobs = [job(f"{name}_{{n}}", seconds=0.05) for n in range(10)]
{more}
(SHARED / "up_{name}").touch()
wait_for({waits_for})
ppg.run_pipegraph()
"""


def make(runs, program, *arguments, marked="+", **more):
    """Two recipes, each a run with ten jobs of a core."""
    names = ("a", "b")
    recipes = []
    for name in names:
        waits_for = more.get("waits_for", ", ".join(f'"up_{each}"' for each in names))
        script = runs.make(name, JOBS.format(name=name, more=more.get("jobs", ""), waits_for=waits_for))
        recipes.append(f"{name}:\n\t{marked}@cd {script.folder} && {sys.executable} {name}.py 2>stderr.txt\n")
    (runs.folder / "Makefile").write_text(".PHONY: all a b\nall: a b\n" + "".join(recipes))
    environment = {name: value for name, value in runs.scripts[0].environment.items() if name != "PIPEGRAPH_TEST"}
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        environment.pop(name, None)
    return subprocess.run(
        [program, *arguments],
        cwd=runs.folder,
        env=environment | {"PIPEGRAPH_TEST": str(runs.scripts[0].folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def warnings(script):
    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    return re.findall(r"make's jobserver.*", log)


@pytest.mark.parametrize("style", ["descriptors", "fifo"])
def test_two_runs_under_make_use_no_more_cores_than_it_was_given(runs, style):
    done = make(runs, make_for(style), "-j3")

    assert done.returncode == 0, done.stderr + runs.scripts[0].stderr + runs.scripts[1].stderr
    assert runs.most_at_once() == 3
    assert len(runs.ended()) == 20
    assert [warnings(script) for script in runs.scripts] == [[], []]


@pytest.mark.parametrize("style", ["descriptors", "fifo"])
def test_a_job_of_all_cores_of_make_starts_in_the_end(runs, style):
    done = make(runs, make_for(style), "-j3", jobs='job(f"large_{os.path.basename(os.getcwd())}", cores=3)')

    assert done.returncode == 0, done.stderr + runs.scripts[0].stderr + runs.scripts[1].stderr
    assert {"large_a", "large_b"} <= set(runs.ended())
    jobs = used = 0
    for mark, *_ in runs.witness():
        used += 1 if mark == "+" else -1
        jobs = max(jobs, used)
    assert jobs <= 3


def test_what_a_large_job_had_in_part_is_no_core_for_others_after_it(runs):
    """With one core each of -j2, a job of two gets one; after it the run may still use no more than that."""
    large = 'for each in jobs:\n    each.depends_on(job(f"large_{os.path.basename(os.getcwd())}", cores=2))'
    done = make(runs, make_for("descriptors"), "-j2", jobs=large)

    assert done.returncode == 0, done.stderr + runs.scripts[0].stderr + runs.scripts[1].stderr
    small = most = 0
    for mark, name, *_ in runs.witness():
        if not name.startswith("large"):
            small += 1 if mark == "+" else -1
            most = max(most, small)
    assert most <= 2


def test_make_without_parallel_jobs_has_one_core(runs):
    done = make(runs, make_for("descriptors"), "-j1", waits_for="")

    assert done.returncode == 0, done.stderr + runs.scripts[0].stderr + runs.scripts[1].stderr
    assert len(runs.ended()) == 20


def test_a_recipe_that_is_not_marked_is_told_so_once_and_uses_its_own_cores(runs):
    done = make(runs, make_for("descriptors"), "-j3", marked="")

    assert done.returncode == 0, done.stderr + runs.scripts[0].stderr + runs.scripts[1].stderr
    said = "make's jobserver can't be used: this is not run as a recipe of make that begins with + or names $(MAKE)"
    assert [warnings(script) for script in runs.scripts] == [[said], [said]]
    assert [script.stderr.count("make's jobserver") for script in runs.scripts] == [1, 1]
    # They still share with each other what the machine has.
    assert runs.most_at_once() <= 8


def test_a_run_that_is_killed_ends_make_and_leaves_nothing(runs):
    script = runs.make("a", 'graph()\njob("held_a", gate="never")\nppg.run_pipegraph()\n')
    (runs.folder / "Makefile").write_text(f".PHONY: a\na:\n\t+@cd {script.folder} && exec {sys.executable} a.py\n")
    program = subprocess.Popen(
        [make_for("descriptors"), "-j3"], cwd=runs.folder, env=script.environment, stderr=subprocess.PIPE, text=True
    )
    runs.wait_for_begin("held_a")
    run = next(each for each in script.processes() if _is_script(each))
    os.kill(run, 9)

    assert "Killed" in program.communicate(timeout=60)[1]
    assert program.returncode == 2


def _is_script(pid):
    """The run itself: the child of make."""
    with open(f"/proc/{pid}/stat") as source:
        parent = int(source.read().rpartition(")")[2].split()[1])
    try:
        with open(f"/proc/{parent}/comm") as source:
            return source.read().strip() == "make"
    except OSError:
        return False
