"""Jobs whose programs share cores, in whole runs: what is to spare is used, and jobs go first."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from builds import Witness, make_for, makefile, newer_ninja
from scripts import Script

BEGIN = """
import subprocess

ppg.new_pipegraph(cores=3)

def build(output):
    with output.open("w") as out:
        subprocess.run([MAKE], stdout=out, check=True)

def wait_for(path):
    def job(output):
        while not os.path.exists(path):
            time.sleep(0.02)
        output.write_text("x")
    return job
"""
END = "\nppg.run_pipegraph()\n"
WAYS = {
    "callback": 'ppg.FileGeneratingJob("built", build, empty_ok=True)',
    "program": 'ppg.CommandJob("built", [MAKE], stdout="built", empty_ok=True)',
    "pipe": 'ppg.CommandJob("built", f"{MAKE} | cat > {{output}}", empty_ok=True)',
}
STYLES = ["fifo", "descriptors"]


@pytest.fixture
def shares(script: Script):
    """Nothing of whoever runs the tests is in the way."""
    for name in ("MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS", "MAKELEVEL", "PIPEGRAPH_CORES"):
        script.environment.pop(name, None)
    return script


def with_make(script: Script, style: str) -> str:
    """It is found first."""
    make = make_for(style)
    script.environment["PATH"] = os.path.dirname(make) + os.pathsep + script.environment["PATH"]
    return f"MAKE = {make!r}\n"


def assert_nothing_was_said(script: Script) -> None:
    log = (script.folder / "logs" / "ppg_run.txt").read_text()
    for word in ("make's jobserver", "jobserver unavailable", "forced in submake", "warning"):
        assert word not in log, log


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("style", STYLES)
def test_one_job_alone_has_its_make_use_all_cores_and_no_more(shares, style, way):
    begin = with_make(shares, style)
    witness = Witness(shares.folder, together=3)
    makefile(shares.folder, witness)

    shares.run(begin + BEGIN + WAYS[way] + ".share_cores()" + END)

    assert (witness.begun(), witness.most_at_once()) == (10, 3)
    assert_nothing_was_said(shares)


@pytest.mark.parametrize("own", [1, 2])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("style", STYLES)
def test_where_another_job_has_the_other_cores_its_make_uses_its_own(shares, style, way, own):
    begin = with_make(shares, style)
    witness = Witness(shares.folder, together=own)
    makefile(shares.folder, witness)

    shares.run(
        begin
        + BEGIN
        + f"""
ppg.FileGeneratingJob("busy", wait_for("built_is_done")).use_cores({3 - own})
building = {WAYS[way]}.use_cores({own}).share_cores()
ppg.FileGeneratingJob("built_is_done", lambda output: output.write_text("x")).depends_on(building)
"""
        + END
    )

    assert (witness.begun(), witness.most_at_once()) == (10, own)
    assert_nothing_was_said(shares)


@pytest.mark.parametrize("style", STYLES)
def test_without_a_word_make_uses_one_core(shares, style):
    begin = with_make(shares, style)
    witness = Witness(shares.folder, together=1)
    makefile(shares.folder, witness)

    shares.run(begin + BEGIN + WAYS["callback"] + END)

    assert (witness.begun(), witness.most_at_once()) == (10, 1)


@pytest.mark.parametrize("style", STYLES)
def test_two_makes_and_a_job_have_all_cores_between_them(shares, style):
    begin = with_make(shares, style)
    witness = Witness(shares.folder, together=3)
    for name in ("one", "two"):
        (shares.folder / name).mkdir()
        makefile(shares.folder / name, witness, targets=6)

    shares.run(
        begin
        + BEGIN
        + """
for name in ("one", "two"):
    ppg.CommandJob(f"{name}/built", [MAKE, "-C", name], stdout=f"{name}/built").share_cores()
"""
        + END
    )

    assert (witness.begun(), witness.most_at_once()) == (12, 3)
    assert_nothing_was_said(shares)


def test_ninja_uses_all_cores_and_no_more(shares):
    begin = f"MAKE = {newer_ninja()!r}\n"
    with_make(shares, "fifo")
    witness = Witness(shares.folder, together=3)
    edges = "".join(f"build t{number}: stamp\n" for number in range(10))
    (shares.folder / "build.ninja").write_text(f"rule stamp\n  command = sh {witness.script} && touch $out\n{edges}")

    shares.run(begin + BEGIN + WAYS["callback"] + ".share_cores()" + END)

    assert (witness.begun(), witness.most_at_once()) == (10, 3)


@pytest.mark.parametrize("style", STYLES)
def test_what_a_loading_job_used_is_there_for_the_jobs_after_it(shares, style):
    begin = with_make(shares, style)
    witness = Witness(shares.folder, together=3)
    makefile(shares.folder, witness)

    shares.run(
        begin
        + BEGIN
        + """
load = ppg.DataLoadingJob("load", lambda: subprocess.run([MAKE], check=True)).share_cores()

def told(output):
    import json
    output.write_text(json.dumps([os.environ.get("MAKEFLAGS"), subprocess.Popen.__init__.__qualname__]))

ppg.FileGeneratingJob("told", told).depends_on(load)
"""
        + END
    )

    assert (witness.begun(), witness.most_at_once()) == (10, 3)
    assert json.loads((shares.folder / "told").read_text()) == [None, "Popen.__init__"]


def test_a_job_that_starts_to_share_is_not_made_again(shares):
    begin = with_make(shares, "descriptors")
    (shares.folder / "Makefile").write_text("all: ; @echo made >> made\n")
    shares.run(begin + BEGIN + WAYS["program"] + END)

    shares.run(begin + BEGIN + WAYS["program"] + ".share_cores()" + END)

    assert (shares.folder / "made").read_text() == "made\n"


@pytest.mark.parametrize("style", STYLES)
def test_in_a_run_that_make_started_a_make_in_a_job_knows_nothing_of_it(shares, style):
    begin = with_make(shares, style)
    outer = shares.folder / "outer"
    outer.mkdir()
    witness = Witness(shares.folder, together=1)
    makefile(shares.folder, witness)
    shares.write(begin + BEGIN + WAYS["program"] + END)

    (outer / "Makefile").write_text(f"all: ; +@cd {shares.folder} && {sys.executable} script.py\n")
    ended = subprocess.run(
        [make_for(style), "-j3"], cwd=outer, env=shares.environment, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 0, ended.stderr
    assert (witness.begun(), witness.most_at_once()) == (10, 1)
    assert "warning" not in ended.stdout + ended.stderr
    assert_nothing_was_said(shares)
