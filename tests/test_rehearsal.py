"""What a slave goes through before it forks the first job leaves no trace."""

import os
from pathlib import Path

from pipegraph.slaves import rehearsal
from pipegraph.slaves.opened import Openings


def test_a_rehearsal_does_all_that_a_job_does_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    openings = Openings(str(tmp_path))
    reports = []
    real = rehearsal.run_job
    monkeypatch.setattr(rehearsal, "run_job", lambda *given: reports.append(real(*given)) or reports[-1])
    before = sorted(os.listdir("/proc/self/fd"))

    rehearsal.rehearse(str(folder), str(tmp_path), openings)

    assert [failure for failure, *_ in reports] == [None] * rehearsal.TIMES
    assert all(records[0].size == len("rehearsal\n") for _, records, *_ in reports)
    assert sorted(Path().iterdir()) == [Path("folder")] and not list(folder.iterdir())
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not openings.is_on and not openings.is_any and Path.cwd() == tmp_path


def test_a_rehearsal_that_fails_is_given_up_without_a_word(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    reports = []
    real = rehearsal.run_job
    monkeypatch.setattr(rehearsal, "run_job", lambda *given: reports.append(real(*given)) or reports[-1])
    (tmp_path / "a file").touch()

    rehearsal.rehearse(str(tmp_path / "a file"), str(tmp_path), Openings(str(tmp_path)))

    assert len(reports) == 1 and reports[0][0] is not None
    assert capfd.readouterr() == ("", "")
