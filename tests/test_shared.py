"""Results that projects share: who gets what from whom, and what if it is not what it was."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from projects import BUILD, INDEX, Store, calls


def test_what_one_project_made_another_is_given(first, second, tmp_path, store):
    second.run()

    assert calls(tmp_path) == ["build"]
    assert second.ended("brought back") == ["out/index.txt"]
    assert second.ended("made") == ["out/report.txt"]
    assert (second.folder / "out" / "report.txt").read_text() == "ACGT" * 3 + "!"
    assert "1 made, 1 brought back" in second.stderr
    assert f"from {store.folder}, made 2" in second.log
    assert f"in {first.folder}, in " in second.log
    assert store.is_right()
    assert len(store.entries) == 1
    assert store.leftovers == []


def test_it_is_told_afterwards_that_it_was_brought_back(second, store):
    second.run()
    answer = subprocess.run(
        [sys.executable, "-m", "pipegraph", "diff", "--last", "out/index.txt"],
        cwd=second.folder,
        env=second.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    runtimes = (second.folder / "logs" / "ppg_runtimes.tsv").read_text()

    assert answer.stdout.startswith(f"out/index.txt, brought back from {store.folder}, made ")
    assert "\tbrought back\tnever made here" in runtimes


def test_who_asks_before_is_told_that_it_may_be_brought_back(second, store):
    answers = [
        subprocess.run(
            [sys.executable, "-m", "pipegraph", "why", "--script", "script.py", *names],
            cwd=second.folder,
            env=second.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for names in ([], ["out/index.txt"])
    ]

    assert "out/index.txt (script.py:15): never made here; unless it can be brought back\n" in answers[0]
    assert f"if its result is in {store.folder}, it is brought back: then nothing is called" in answers[1]


def test_what_was_brought_back_is_up_to_date(second):
    second.run()
    second.run()

    assert second.ended("up to date") == ["out/index.txt", "out/report.txt"]
    assert second.started == []


def test_an_output_that_was_removed_is_brought_back_and_nothing_follows_from_it(first, tmp_path):
    (first.folder / "out" / "index.txt").unlink()
    first.run()

    assert calls(tmp_path) == ["build"]
    assert first.ended("brought back") == ["out/index.txt"]
    assert first.ended("up to date") == ["out/report.txt"]


def test_a_link_is_read_only_here_and_there_and_never_written_through(first, second, store):
    second.run()
    index = second.folder / "out" / "index.txt"
    kept = store.entries[0] / "0"
    assert os.path.samefile(index, kept)
    assert stat.S_IMODE(index.stat().st_mode) == 0o444
    second.run(INDEX.replace("* 3", "* 4"))

    assert index.read_text() == "ACGT" * 4
    assert kept.read_text() == "ACGT" * 3
    assert (first.folder / "out" / "index.txt").read_text() == "ACGT" * 3
    assert len(store.entries) == 2
    assert store.is_right()


# --- what is there, and is not right


def test_a_damaged_result_is_set_aside_and_made_anew(first, second, tmp_path, store):
    with open(store.entries[0] / "0", "r+") as kept:  # as root may
        kept.write("X")
    second.run()

    assert (second.folder / "out" / "index.txt").read_text() == "ACGT" * 3
    assert calls(tmp_path) == ["build"] * 2
    assert len(store.damaged) == 1
    assert "a kept result was not any more what was kept; it is set aside as" in second.stderr
    assert store.is_right()
    first.run()
    assert (first.folder / "out" / "index.txt").read_text() == "ACGT" * 3
    assert calls(tmp_path) == ["build"] * 2


@pytest.mark.parametrize("harm", ["file missing", "file longer", "manifest cut", "manifest of another number of files"])
def test_whatever_is_wrong_with_a_result_it_is_made_anew(second, tmp_path, store, harm):
    entry = store.entries[0]
    manifest = entry / "manifest.json"
    if harm == "file missing":
        (entry / "0").unlink()
    elif harm == "file longer":
        with (entry / "0").open("a") as out:
            out.write("more")
    elif harm == "manifest cut":
        manifest.write_text(manifest.read_text()[:50])
    else:
        manifest.write_text(manifest.read_text().replace('"files": [', '"files": [["x", 1, "y"],'))
    second.run()

    assert (second.folder / "out" / "index.txt").read_text() == "ACGT" * 3
    assert calls(tmp_path) == ["build"] * 2
    assert store.is_right()


def test_who_forces_a_job_has_it_made_and_put_in_the_place_of_the_old_result(projects, store, tmp_path):
    one = projects("one")
    one.put(genome="A")
    random = INDEX.replace("* 3", "+ str(time.time_ns())")
    one.run(random)
    before = (store.entries[0] / "0").read_text()
    one.run(random.replace("index.depends", "index.is_forced = True\n    index.depends"))

    assert len(calls(tmp_path)) == 2
    assert len(store.entries) == 1
    assert (store.entries[0] / "0").read_text() == (one.folder / "out" / "index.txt").read_text() != before
    assert store.leftovers == []


@pytest.mark.parametrize(
    ("content", "because"),
    [
        ({"thesis.txt": "a"}, "it holds other things than results"),
        ({"pipegraph-results.txt": "pipegraph-results 9\n"}, "made by a newer version of pipegraph"),
    ],
)
def test_a_folder_that_is_no_store_of_ours_is_left_alone(projects, store, content, because):
    store.folder.mkdir()
    for name, text in content.items():
        (store.folder / name).write_text(text)
    one = projects("one")
    one.put(genome="A")
    one.run(INDEX)

    assert (one.folder / "out" / "report.txt").read_text() == "AAA!"
    assert f"its result can't be kept in {store.folder}: {because}" in one.stderr
    assert sorted(os.listdir(store.folder)) == list(content)


def test_a_result_that_can_not_be_put_is_a_warning(projects, store):
    store.folder.mkdir()
    one = projects("one")
    one.put(genome="A")
    one.run(INDEX)
    (store.folder / "building").rmdir()
    (store.folder / "building").write_text("")
    one.put(genome="B")
    one.run()

    assert (one.folder / "out" / "report.txt").read_text() == "BBB!"
    assert "its result can't be kept" in one.stderr
    assert len(store.entries) == 1


# --- kinds of jobs


def test_short_names_are_the_same_results(first, second):
    second.run(
        INDEX.replace(
            'ppg.FileGeneratingJob("out/index.txt", build).share(os.environ["STORE"])',
            'ppg.SharedFileGeneratingJob(os.environ["STORE"], "out/index.txt", build)',
        )
    )

    assert second.ended("brought back") == ["out/index.txt"]


SEVERAL = BUILD + (
    """
    def both(files):
        called("both")
        files["b"].write_text("#!/bin/sh\\n")
        files["b"].chmod(0o755)
        files["a"].write_text("")

    job = ppg.SharedMultiFileGeneratingJob(os.environ["STORE"], {"a": "x/2", "b": "x/1"}, both, empty_ok=True)
    ppg.FileGeneratingJob("used", lambda out: out.write_text(open("x/1").read())).depends_on(job["b"])
    ppg.run_pipegraph()
"""
)


def test_several_files_come_back_each_in_its_place(projects, tmp_path):
    one, other = projects("one"), projects("other")
    one.run(SEVERAL)
    other.run(SEVERAL)
    (other.folder / "x" / "2").unlink()
    other.run()

    assert calls(tmp_path) == ["both"]
    assert (other.folder / "x" / "1").read_text() == "#!/bin/sh\n"
    assert os.access(other.folder / "x" / "1", os.X_OK)
    assert (other.folder / "x" / "2").read_text() == ""
    assert other.ended("up to date") == ["used"]


@pytest.mark.parametrize("how", ["os.link('raw.txt', out)", "os.symlink('raw.txt', out)"])
def test_a_file_that_was_there_before_stays_writable(projects, store, how):
    one = projects("one")
    one.put(raw="data")
    one.run(
        f"""
    ppg.new_pipegraph()
    job = ppg.FileGeneratingJob("linked.txt", lambda out: {how}).share(os.environ["STORE"]).depends_on_file("raw.txt")
    ppg.run_pipegraph()
"""
    )

    assert (one.folder / "raw.txt").stat().st_mode & 0o200
    assert not os.path.samefile(one.folder / "raw.txt", store.entries[0] / "0")


def test_jobs_that_are_generated_share_as_others_do(projects, tmp_path):
    script = BUILD + (
        """
    def generate():
        ppg.FileGeneratingJob("generated", lambda out: (called("g"), out.write_text("1"))).share(os.environ["STORE"])

    ppg.JobGeneratingJob("generate", generate)
    ppg.run_pipegraph()
"""
    )
    for name in ("one", "other"):
        project = projects(name)
        project.run(script)

    assert calls(tmp_path) == ["g"]
    assert project.ended("brought back") == ["generated"]


def test_a_strict_job_may_put_its_result(projects):
    for name in ("one", "other"):
        project = projects(name)
        project.put(genome="A")
        project.run(INDEX.replace("new_pipegraph()", "new_pipegraph(strict=True)").replace('called("build")', "pass"))

    assert project.ended("brought back") == ["out/index.txt"]


def test_another_file_system_gets_a_copy(projects, tmp_path):
    if os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own")
    folder = tempfile.mkdtemp(dir="/dev/shm")
    try:
        for name in ("one", "other"):
            project = projects(name)
            project.environment["STORE"] = folder
            project.put(genome="A")
            project.run(INDEX)
        elsewhere = Store(Path(folder))
        index = project.folder / "out" / "index.txt"

        assert calls(tmp_path) == ["build"]
        assert elsewhere.is_right()
        assert stat.S_IMODE(index.stat().st_mode) & 0o200
        assert index.stat().st_nlink == 1
    finally:
        shutil.rmtree(folder)


# --- said wrongly


WRONG = {
    "no folder above": ("index.share('/nowhere/at/all')", "there is no folder /nowhere/at"),
    "a file": ("open('f', 'w'); job(1).share('f')", "it is no folder"),
    "an empty name": ("job(2).share('')", "no name"),
    "a number": ("job(3).share(5)", "folder must be a path, not int"),
    "a name that is none": ("job(4).share('x', 5)", "name must be a text, not int"),
    "one version": ("job(5).keep_versions(1)", "counts the present result, too, and needs at least 2"),
    "a text": ("job(6).keep_versions('2')", "takes a whole number, not '2'"),
    "two folders": ("job(7).share('x').share('y')", "a job's results can be kept in one way only"),
    "versions, too": ("job(8).share('x').keep_versions(2)", "it needs no keep_versions"),
    "a temporary file": ("ppg.TempFileGeneratingJob('t', lambda: 1).share('x')", "only files that stay can be shared"),
    "loaded data": ("ppg.DataLoadingJob('d', lambda: 1).keep_versions(2)", "only files that stay can be kept"),
}


@pytest.mark.parametrize(("line", "words"), WRONG.values(), ids=WRONG)
def test_what_is_said_wrongly_is_refused_at_its_line(projects, line, words):
    one = projects("one")
    one.run(
        f"""
    ppg.new_pipegraph()
    def job(number):
        return ppg.FileGeneratingJob(f"out{{number}}", lambda: 1)
    index = job(0)
    {line}
    """,
        code=1,
    )

    assert words in one.stderr
    assert "where:" in one.stderr
    assert "script.py:" in one.stderr.partition("where:")[2]


def test_the_same_said_twice_is_no_contradiction(graph, tmp_path):
    import pipegraph as ppg

    job = ppg.FileGeneratingJob("a", lambda: None).share("x").share(tmp_path / "x")

    assert job is ppg.FileGeneratingJob("a", job.function)
