"""What a slave goes through before it forks the first job leaves no trace."""

import _signal
import ctypes
import marshal
import os
import signal
import sys
from pathlib import Path

from pipegraph.slaves import forks, messages, rehearsal
from pipegraph.slaves.opened import Openings
from pipegraph.slaves.protocol import Surroundings
from pipegraph.slaves.threads import ThreadLimits

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def death_signal() -> int:
    """Which this process gets when its parent dies (PR_GET_PDEATHSIG)."""
    found = ctypes.c_int(-1)
    ctypes.CDLL(None).prctl(2, ctypes.byref(found), 0, 0, 0)
    return found.value


def rehearsed(directory: Path, folder: Path, monkeypatch) -> tuple[list, dict]:
    """What was told each time, and how the slave is after it; in a process of its own, whose signals it changes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(directory)
            reports = []
            real = forks.run_job
            monkeypatch.setattr(forks, "run_job", lambda *given: reports.append(real(*given)) or reports[-1])
            ours, theirs = messages.pair()
            openings = Openings(str(directory))
            forks.ignore_ending_signals()
            before = sorted(os.listdir("/proc/self/fd"))
            rehearsal.rehearse(
                Surroundings(None, str(directory), None, str(folder), theirs, 1.0, False, None, ThreadLimits({})),
                openings,
            )
            after = {
                "descriptors": sorted(os.listdir("/proc/self/fd")) == before,
                "silent": not openings.is_on and not openings.is_any,
                "there": os.getcwd(),
                "ignored": all(_signal.getsignal(each) == _signal.SIG_IGN for each in ENDING),
                "group": os.getpgid(0) == os.getpgid(os.getppid()),
                "outlives": death_signal() == 0,
            }
            ours.close()
            done = [
                (str(failure) if failure else "", [record.size for record in made]) for failure, made, *_ in reports
            ]
            os.write(writer, marshal.dumps((done, after)))
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, "rb") as source:
        return marshal.load(source)


def test_a_rehearsal_does_all_that_a_job_does_and_leaves_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()

    done, after = rehearsed(tmp_path, folder, monkeypatch)

    assert done == [("", [len("rehearsal\n")])] * rehearsal.TIMES
    assert list(tmp_path.iterdir()) == [folder] and not list(folder.iterdir())
    assert after == {
        "descriptors": True,
        "silent": True,
        "there": str(tmp_path),
        "ignored": True,
        "group": True,
        "outlives": True,
    }


def test_a_rehearsal_that_fails_is_given_up_without_a_word(tmp_path, monkeypatch, capfd):
    (tmp_path / "a file").touch()

    done, after = rehearsed(tmp_path, tmp_path / "a file", monkeypatch)

    assert len(done) == 1 and done[0][0]
    assert after["descriptors"] and after["ignored"]
    assert capfd.readouterr() == ("", "")


def test_a_job_inherits_no_libraries_that_only_others_need(script):
    """Each is five areas of memory, which every fork copies."""
    script.write(
        "import sys\nimport pipegraph as ppg\nppg.new_pipegraph(quiet=True)\n"
        "def show(output):\n"
        "    output.write_text(' '.join(sorted(sys.modules)))\n"
        "ppg.FileGeneratingJob('first', lambda output: output.write_text('x'))\n"
        "ppg.FileGeneratingJob('shown', show).depends_on('first')\n"
        "ppg.run_pipegraph()\n"
    )
    script.run()

    loaded = set(script.lines("shown")[0].split())
    if sys.version_info[:2] == (3, 12):
        loaded.discard("math")  # pathlib's
    assert "_socket" in loaded
    assert not loaded & {
        "socket",
        "selectors",
        "array",
        "math",
        "ctypes",
        "struct",
        "_struct",
        "resource",
        "pickle",
        "inspect",
    }
