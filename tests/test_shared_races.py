"""Several runs that want one result at once, and runs that are killed while they make it, keep it or take it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from projects import BUILD, calls, waiting_for
from scripts import wait_until

# Waits for a file that the test puts, so that the test says when it is over.
GATED = BUILD + (
    """
    shared = os.path.dirname(os.environ["STORE"])

    def slow(out):
        called("slow")
        while not os.path.exists(os.path.join(shared, "gate")):
            time.sleep(0.005)
        out.write_text("made")

    job = ppg.FileGeneratingJob("slow.txt", slow).share(os.environ["STORE"])
    ppg.run_pipegraph()
    print(job.stdout)
"""
)


def kill_all(project):
    for pid in project.processes():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def printed_by(pid):
    try:
        return Path(f"/proc/{pid}/fd/1").read_text()
    except OSError:
        return ""


def lock_of(store):
    found = list(store.folder.glob("*/*.lock"))
    return found[0] if found else store.folder / "none"


def start_all(projects, tmp_path, count):
    """Runs of which one makes the result, and the others wait for it."""
    every = [projects(f"p{number}") for number in range(count)]
    for project in every:
        project.write(GATED)
    runs = [every[0].start()]
    wait_until(lambda: calls(tmp_path) == ["slow"])
    return every, runs + [project.start() for project in every[1:]]


def test_of_eight_at_once_one_makes_it_and_seven_are_given_it(projects, tmp_path, store):
    every, runs = start_all(projects, tmp_path, 8)
    wait_until(lambda: waiting_for(lock_of(store)) == 7, seconds=60)
    (tmp_path / "gate").touch()

    assert [run.wait(60) for run in runs] == [0] * 8
    assert calls(tmp_path) == ["slow"]
    assert [project.ended("brought back") for project in every[1:]] == [["slow.txt"]] * 7
    assert {(project.folder / "slow.txt").read_text() for project in every} == {"made"}
    assert store.is_right()
    assert len(store.entries) == 1
    assert not list(store.folder.glob("*/*.lock"))
    # All are given it together: nobody waited a second time, for one who only takes it.
    said = [(project.folder / "stdout.txt").read_text().count("pipegraph: waits for") for project in every]
    assert said == [0] + [1] * 7


def test_who_waits_for_one_that_is_killed_makes_it(projects, tmp_path, store):
    (killed, waits, also), (first, *others) = start_all(projects, tmp_path, 3)
    wait_until(lambda: waiting_for(lock_of(store)) == 2, seconds=60)
    kill_all(killed)
    first.wait(60)
    wait_until(lambda: len(calls(tmp_path)) == 2)
    (tmp_path / "gate").touch()

    assert [run.wait(60) for run in others] == [0, 0]
    assert calls(tmp_path) == ["slow"] * 2
    assert sorted([*waits.ended("brought back"), *also.ended("brought back")]) == ["slow.txt"]
    killed.run()
    assert killed.ended("brought back") == ["slow.txt"]
    assert len(calls(tmp_path)) == 2


def test_who_waits_says_for_whom(projects, tmp_path, store):
    (first, second), runs = start_all(projects, tmp_path, 2)
    wait_until(lambda: waiting_for(lock_of(store)) == 1)
    printed = [printed_by(pid) for pid in second.processes()]
    (tmp_path / "gate").touch()

    assert [run.wait(60) for run in runs] == [0, 0]
    said = "pipegraph: waits for the result that another run makes"
    assert re.search(
        rf"^{said} \(project {first.folder}, user \w+, host \S+, pid \d+, since 2\d{{3}}-.*\)$",
        "".join(printed),
        re.MULTILINE,
    )


def test_who_waits_can_be_stopped(projects, tmp_path, store):
    _, (first, second) = start_all(projects, tmp_path, 2)
    wait_until(lambda: waiting_for(lock_of(store)) == 1)
    second.send_signal(signal.SIGINT)

    assert second.wait(60) != 0
    (tmp_path / "gate").touch()
    assert first.wait(60) == 0
    assert len(store.entries) == 1


# Ends itself before the call of that number of what changes the store, while the result is put or taken.
DYING = BUILD + (
    """
    def dies_at(number):
        calls_so_far = []
        def wrapped(function):
            def call(*arguments, **keywords):
                calls_so_far.append(function)
                if len(calls_so_far) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **keywords)
            return call
        for name in ("mkdir", "open", "link", "chmod", "utime", "fsync", "rename", "unlink", "rmdir"):
            setattr(os, name, wrapped(getattr(os, name)))

    def dying(files):
        called("dying")
        files[0].write_text("made")
        files[1].write_text("too")
        if "DIES_AT" in os.environ:
            dies_at(int(os.environ["DIES_AT"]))

    ppg.MultiFileGeneratingJob(["one.txt", "two.txt"], dying).share(os.environ["STORE"])
    ppg.run_pipegraph()
"""
)


def test_killed_at_any_moment_of_putting_it_leaves_all_or_nothing(projects, tmp_path, store):
    died, number = 0, 0
    while True:
        number += 1
        one, other = projects(f"one{number}"), projects(f"other{number}")
        one.environment["DIES_AT"] = str(number)
        one.environment["STORE"] = other.environment["STORE"] = str(tmp_path / f"store{number}")
        one.run(DYING, code=None)
        its = type(store)(tmp_path / f"store{number}")
        assert its.is_right()
        if not one.errors:
            break
        died += 1
        was_there = len(its.entries)
        made_before = len(calls(tmp_path))
        other.run(DYING)
        assert (other.folder / "one.txt").read_text() + (other.folder / "two.txt").read_text() == "madetoo"
        assert len(calls(tmp_path)) - made_before == 1 - was_there
        assert its.is_right()
        assert len(its.entries) == 1
        if not was_there:
            assert its.leftovers == []

    assert died > 10
