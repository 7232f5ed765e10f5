"""What all tests share: scripts in a folder, and graphs that leave nothing behind."""

import os
import signal

import pytest
from projects import INDEX, Project, Store
from scripts import Script, wait_until
from together import Runs

import pipegraph as ppg

# Tests run beside each other, and beside whatever else there is: those of the ledger have one of their own.
os.environ["PIPEGRAPH_LEDGER"] = "off"

# Scripts inherit what is ignored: under nohup, or in the background of a shell, they could not be stopped.
for number, answer in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, answer)


@pytest.fixture
def script(tmp_path):
    one = Script(tmp_path)
    try:
        yield one
        one.assert_no_process_left()
    finally:
        one.end()


@pytest.fixture
def graph(tmp_path, monkeypatch):
    """A graph in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    threads = len(os.listdir("/proc/self/task"))
    files = len(os.listdir("/proc/self/fd"))
    yield ppg.new_pipegraph(quiet=True)
    ppg.util.global_pipegraph = None
    wait_until(lambda: len(os.listdir("/proc/self/task")) <= threads)
    assert len(os.listdir("/proc/self/fd")) <= files
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def runs(tmp_path):
    """Scripts that share a machine by a ledger of their own; each ends without a process left, and holds nothing."""
    made = Runs(tmp_path)
    try:
        yield made
        for script in made.scripts:
            script.assert_no_process_left()
        assert made.shares() == {}
    finally:
        made.end()


@pytest.fixture
def projects(tmp_path):
    """Makes projects that share a folder; each ends without a process left."""
    made = []

    def make(name):
        made.append(Project(tmp_path / name, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.assert_no_process_left()
        each.end()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def first(projects):
    """A project that has made the index."""
    one = projects("first")
    one.put(genome="ACGT")
    one.run(INDEX)
    return one


@pytest.fixture
def second(projects, first):
    """Another one with the same genome, that has not run."""
    one = projects("second/deeper")
    one.put(genome="ACGT")
    one.write(INDEX)
    return one
