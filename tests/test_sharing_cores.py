"""Jobs whose programs share cores: a slave, real programs, and the host of the jobserver, without a run's loop."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from builds import Witness, make_for, makefile, newer_ninja
from scripts import wait_until
from sharers import NOTHING_SAID, STYLES, WAYS, Bench, job_of, said

import pipegraph as ppg
from pipegraph.events import JobFailed, JobStopped
from pipegraph.slaves.strict import landlock_version

OTHER_JOBSERVERS = ("MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS")


@pytest.fixture
def bench(graph, tmp_path, monkeypatch):
    """Makes one, of this style; no jobserver of whoever runs the tests is in the way."""
    for name in (*OTHER_JOBSERVERS, "MAKELEVEL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "run"
    folder.mkdir()
    made = []

    def make(style, most=3):
        made.append(Bench(folder, style, most))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("style", STYLES)
def test_make_in_a_job_runs_as_many_recipes_as_it_may_and_never_more(bench, tmp_path, style, way):
    job = job_of(way, make_for(style))
    witness = Witness(tmp_path, together=3)
    makefile(tmp_path, witness)
    run = bench(style)
    run.begin(job)
    run.start(job)
    run.lending.offer(2)

    assert said(run.end_of(job)) == NOTHING_SAID

    assert Path("built").read_text() == ""
    assert (witness.begun(), witness.most_at_once()) == (10, 3)
    assert run.lending.used() == 0


@pytest.mark.parametrize("way", ["callback", "program", "program from Python"])
def test_ninja_in_a_job_shares_too(bench, tmp_path, way):
    ninja = newer_ninja()
    witness = Witness(tmp_path, together=3)
    edges = "".join(f"build t{number}: stamp\n" for number in range(10))
    (tmp_path / "build.ninja").write_text(f"rule stamp\n  command = sh {witness.script} && touch $out\n{edges}")
    job = job_of(way, ninja, "--quiet")
    run = bench("fifo")
    run.begin(job)
    run.start(job)
    run.lending.offer(2)

    assert said(run.end_of(job)) == NOTHING_SAID

    assert (witness.begun(), witness.most_at_once()) == (10, 3)


@pytest.mark.parametrize("style", STYLES)
def test_two_jobs_share_what_is_to_spare(bench, tmp_path, style):
    make = make_for(style)
    witness = Witness(tmp_path, together=4)
    jobs = []
    for name, way in (("one", "callback"), ("two", "program")):
        (tmp_path / name).mkdir()
        makefile(tmp_path / name, witness, targets=6)
        jobs.append(job_of(way, make, "--no-print-directory", "-C", name, name=f"{name}/built"))
    run = bench(style)
    run.begin(*jobs)
    for job in jobs:
        run.start(job)
    run.lending.offer(2)

    assert [said(run.end_of(job)) for job in jobs] == [NOTHING_SAID] * 2

    assert (witness.begun(), witness.most_at_once()) == (12, 4)
    assert run.lending.used() == 0


@pytest.mark.parametrize("way", ["callback", "program"])
def test_what_is_told_ahead_shares_when_it_begins(bench, tmp_path, way):
    witness = Witness(tmp_path, together=3)
    makefile(tmp_path, witness)
    job = job_of(way, make_for("descriptors"))
    first = ppg.FileGeneratingJob("first", lambda output: output.write_text("x"))
    run = bench("descriptors")
    run.begin(first, job)
    run.start(job, is_ahead=True)
    run.lending.offer(2)
    run.start(first, shares=False)

    assert said(run.end_of(job)) == NOTHING_SAID

    assert (witness.begun(), witness.most_at_once()) == (10, 3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("style", STYLES)
def test_a_job_that_does_not_share_uses_its_own_core_beside_one_that_does(bench, tmp_path, style, way):
    job = job_of(way, make_for(style))
    sharing = ppg.FileGeneratingJob("shares", lambda output: wait_until(Path("built").exists) or output.touch())
    sharing.empty_ok = frozenset(("shares",))
    witness = Witness(tmp_path, together=1)
    makefile(tmp_path, witness)
    run = bench(style)
    run.begin(job, sharing)
    run.start(sharing)
    run.lending.offer(2)

    assert said(run.run(job, shares=False)) == NOTHING_SAID

    assert (witness.begun(), witness.most_at_once()) == (10, 1)


def what_jobs_find(output):
    """What a job would leave to the ones after it."""
    links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
    held = [os.readlink(each) for each in links if os.path.lexists(each)]
    output.write_text(
        json.dumps(
            {
                "variables": {name: os.environ.get(name) for name in OTHER_JOBSERVERS},
                "pipes": [each for each in held if "jobserver" in each],
                "Popen": subprocess.Popen.__init__.__qualname__,
            }
        )
    )


@pytest.mark.parametrize("style", STYLES)
def test_what_a_loading_job_shared_is_not_for_the_jobs_after_it(bench, tmp_path, style, monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "k")
    make = make_for(style)
    load = ppg.DataLoadingJob("load", lambda: subprocess.run([make], check=True))
    after = ppg.FileGeneratingJob("after", what_jobs_find)
    program = ppg.CommandJob("program", 'echo "$MAKEFLAGS" > {output}')
    sharing = job_of("callback", make, "again")
    witness = Witness(tmp_path, together=3)
    makefile(tmp_path, witness)
    with open("Makefile", "a") as out:
        out.write("again: all\n")
    run = bench(style)
    run.begin(load, after, program, sharing)
    run.start(load)
    run.lending.offer(2)

    assert said(run.end_of(load)) == NOTHING_SAID
    assert (witness.begun(), witness.most_at_once()) == (10, 3)
    run.slave.adopt("load")
    for job in (after, program):
        assert said(run.run(job, shares=False)) == NOTHING_SAID

    assert json.loads(Path("after").read_text()) == {
        "variables": {"MAKEFLAGS": "k", "MFLAGS": None, "CARGO_MAKEFLAGS": None},
        "pipes": [],
        "Popen": "Popen.__init__",
    }
    assert Path("program").read_text() == "k\n"
    witness.log.write_text("")
    run.start(sharing)
    run.lending.offer(2)
    assert said(run.end_of(sharing)) == NOTHING_SAID
    assert (witness.begun(), witness.most_at_once()) == (10, 3)


# --- when there is no way to it


WITHOUT = "its programs use its own cores only, since make's jobserver can't be reached: "


def assert_goes_without(event, why):
    _, printed, remarks = said(event)
    assert remarks == ((f"{WITHOUT}{why}", ""),)
    assert printed == ""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("style", STYLES)
def test_a_job_does_without_a_pipe_that_is_gone_and_says_so_once(bench, tmp_path, style, way):
    job = job_of(way, make_for(style))
    witness = Witness(tmp_path, together=1)
    makefile(tmp_path, witness)
    run = bench(style)
    run.begin(job)
    os.unlink(run.lending.begin("other").path)

    assert_goes_without(run.run(job), "No such file or directory")

    assert (witness.begun(), witness.most_at_once()) == (10, 1)


@pytest.mark.parametrize("style", STYLES)
def test_a_loading_job_does_without_too(bench, style):
    load = ppg.DataLoadingJob("load", lambda: None)
    run = bench(style)
    run.begin(load)
    os.unlink(run.lending.begin("other").path)

    assert_goes_without(run.run(load), "No such file or directory")


@pytest.mark.parametrize("way", WAYS)
def test_a_job_does_without_where_no_descriptor_of_so_high_a_number_may_be_open(bench, tmp_path, way):
    def limit():
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (38, hard))

    load = ppg.DataLoadingJob("load", limit)
    job = job_of(way, make_for("descriptors"))
    witness = Witness(tmp_path, together=1)
    makefile(tmp_path, witness)
    run = bench("descriptors")
    run.begin(load, job)
    run.run(load, shares=False)
    run.slave.adopt("load")

    assert_goes_without(run.run(job), "Invalid argument")

    assert (witness.begun(), witness.most_at_once()) == (10, 1)


@pytest.mark.parametrize("is_gone", [False, True])
@pytest.mark.parametrize("style", STYLES)
def test_a_program_that_is_not_there_is_named_as_ever(bench, style, is_gone, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)  # a folder on it that may not be read makes it another error
    job = ppg.CommandJob("built", ["no-such-program-anywhere"], stdout="built")
    run = bench(style)
    run.begin(job)
    path = run.lending.begin("other").path
    if is_gone:
        os.unlink(path)

    event = run.run(job)

    assert isinstance(event, JobFailed)
    assert "a program is not installed: no-such-program-anywhere" in event.failure.message
    assert not os.path.exists("built")


# --- what else there is


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock: nothing is confined")
@pytest.mark.parametrize("way", ["callback", "program"])
@pytest.mark.parametrize("style", STYLES)
def test_strict_jobs_share(bench, tmp_path, style, way):
    folder = tmp_path / "o"
    folder.mkdir()
    job = job_of(way, make_for(style), "--no-print-directory", "-C", "o", name="o/built")
    witness = Witness(folder, together=3)
    makefile(folder, witness)
    run = bench(style)
    run.begin(job, is_strict=True)
    run.start(job)
    run.lending.offer(2)

    assert said(run.end_of(job)) == NOTHING_SAID

    assert (witness.begun(), witness.most_at_once()) == (10, 3)


@pytest.mark.parametrize("way", ["program", "shell", "program from Python"])
def test_what_a_command_sets_for_make_itself_is_kept_but_for_how_many_run(bench, tmp_path, way):
    (tmp_path / "Makefile").write_text("all: a b c\na b c: ; @echo $(X) '$(MAKEFLAGS)'\n")
    job = job_of(way, make_for("descriptors"), env={"MAKEFLAGS": "k -j9 -- X=1"})
    run = bench("descriptors")
    run.begin(job)

    assert said(run.run(job)) == NOTHING_SAID

    lines = Path("built").read_text().splitlines()
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("1 k ")
        assert "-j4" in line
        assert "-j9" not in line


def test_a_result_that_is_there_already_needs_no_jobserver(bench):
    Path("built").write_text("by hand")
    job = ppg.FileGeneratingJob("built", lambda output: output.write_text("made"))
    run = bench("fifo")
    run.begin(job)
    os.unlink(run.lending.begin("other").path)

    assert said(run.run(job, is_adopted=True)) == NOTHING_SAID

    assert Path("built").read_text() == "by hand"


@pytest.mark.parametrize("way", ["callback", "program"])
def test_what_a_stopped_job_had_taken_is_there_for_the_next(bench, tmp_path, way):
    make = make_for("descriptors")
    (tmp_path / "Makefile").write_text("all: a b c d\na b c d:\n\t@sleep 1000\nfine:\n\t@echo fine\n")
    job = job_of(way, make, name="stopped")
    following = job_of("callback", make, "fine")
    run = bench("descriptors")
    run.begin(job, following)
    run.start(job)
    run.lending.offer(2)
    wait_until(lambda: run.lending.used() == 2)
    run.slave.stop(["stopped"], is_urgent=True)
    assert isinstance(run.end_of(job), JobStopped)
    run.lending.end("stopped")

    run.start(following)
    run.lending.offer(2)

    assert said(run.end_of(following)) == NOTHING_SAID
    assert Path("built").read_text() == "fine\n"
    assert run.lending.lent == 2


# --- a run that make started


OUTER = "k -j4 --jobserver-fds=97,98 --jobserver-auth=97,98 -- X=1"


@pytest.mark.parametrize("way", WAYS)
def test_make_in_a_job_does_not_warn_of_the_make_that_started_the_run(bench, tmp_path, monkeypatch, way):
    make = make_for("descriptors")
    monkeypatch.setenv("MAKEFLAGS", OUTER)
    monkeypatch.setenv("MFLAGS", "-k -j4 --jobserver-auth=97,98")
    (tmp_path / "Makefile").write_text("all: a\na: ; +@echo '$(X)'; env | grep ^M.*FLAGS= | sort\n")
    job = job_of(way, make)
    run = bench("descriptors")
    run.begin(job)

    assert said(run.run(job, shares=False)) == NOTHING_SAID

    assert Path("built").read_text() == "1\nMAKEFLAGS=k -- X=1\nMFLAGS=-k\n"
    assert os.environ["MAKEFLAGS"] == OUTER


def test_no_variable_names_the_outer_jobserver_to_a_job(bench, monkeypatch):
    for name in OTHER_JOBSERVERS:
        monkeypatch.setenv(name, f"-k -j4 --jobserver-auth=fifo:/of/{name}")
    command = ppg.CommandJob("command", "env | grep FLAGS= | sort > {output}")
    callback = ppg.FileGeneratingJob("callback", what_jobs_find)
    run = bench("descriptors")
    run.begin(command, callback)

    for job in (command, callback):
        assert said(run.run(job, shares=False)) == NOTHING_SAID

    assert Path("command").read_text() == "CARGO_MAKEFLAGS= -k\nMAKEFLAGS= -k\nMFLAGS= -k\n"
    assert json.loads(Path("callback").read_text())["variables"] == dict.fromkeys(OTHER_JOBSERVERS, " -k")


@pytest.mark.parametrize("flags", ["", "k", "-j3", "-j", " -j5 -- X=a\\ b"])
def test_flags_of_the_user_stay_as_they_are(bench, monkeypatch, flags):
    monkeypatch.setenv("MAKEFLAGS", flags)
    job = ppg.CommandJob("built", 'echo "[$MAKEFLAGS]" > {output}')
    run = bench("descriptors")
    run.begin(job)

    assert said(run.run(job, shares=False)) == NOTHING_SAID

    assert Path("built").read_text() == f"[{flags}]\n"


def test_a_job_that_does_not_share_hears_nothing_of_it(bench):
    loaded = "pipegraph.slaves.jobserver", "pipegraph.machine.jobserver", "pipegraph.machine.makeflags"
    before = {name: sys.modules.pop(name) for name in loaded if name in sys.modules}
    try:
        job = ppg.FileGeneratingJob("seen", lambda output: output.write_text(str([n in sys.modules for n in loaded])))
        run = bench("fifo")
        run.begin(job)
        run.run(job, shares=False)
    finally:
        sys.modules.update(before)

    assert Path("seen").read_text() == "[False, False, False]"
