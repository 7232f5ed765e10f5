"""``pipegraph check``, ``adopt``, ``forget``, ``clean``: what is there against what was recorded, and changing that."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from commands import EXAMPLE, pipegraph, write_scripts
from terminals import AtTerminal

from pipegraph.cli import main
from pipegraph.status import StatusFile
from pipegraph.status.knowledge import Knowledge

COUNTS, BAM, TRIMMED = "counts/k562.tsv", "aligned/k562.bam", "trimmed/k562.fq"
STATS = "stats/k562.json:::stats/k562.txt"


@pytest.fixture
def both(script, monkeypatch):
    """Both scripts have run, in the working directory."""
    write_scripts(script.folder)
    monkeypatch.chdir(script.folder)
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115 - no terminal
    run(script, "align.py")
    run(script, "report.py")
    yield script
    sys.stdin.close()


def run(script, name, code=0):
    """The jobs that it started."""
    process = script.start(name)
    assert process.wait(60) == code, script.stderr
    script.assert_no_process_left()
    return script.started


def edit(script, *pairs, name="align.py"):
    path = script.folder / name
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def said(capsys, *arguments, code=0):
    assert main(list(arguments)) == code
    told = capsys.readouterr()
    return told.out + told.err


# --- check


def test_all_as_recorded(both, capsys):
    # What was made within the clock's tick has to be read.
    assert re.fullmatch(r"5 files \(39 bytes\) as recorded; [0-5] of them had to be read\n", said(capsys, "check"))
    assert said(capsys, "check", "--all") == "5 files (39 bytes) as recorded; 5 of them had to be read\n"


def test_what_is_missing_or_changed_is_listed_and_ends_with_1(both, capsys):
    os.unlink(BAM)
    os.rename("stats", "elsewhere")
    os.mkdir("stats")
    os.mkdir("stats/k562.txt")
    with open("report.html", "a") as file:
        file.write("edited")

    assert said(capsys, "check", code=1).splitlines() == [
        "aligned/k562.bam: missing",
        "stats/k562.json: missing",
        "stats/k562.txt: can't be read: Is a directory, not a file",
        "report.html: changed",
        "4 of 5 files not as recorded",
    ]


def test_a_file_that_was_only_touched_is_read_and_as_recorded(both, capsys):
    os.utime(COUNTS, ns=(1, 1))

    assert re.search("as recorded; [1-5] of them had to be read", said(capsys, "check"))


def test_a_change_that_left_no_trace_is_found_by_reading_all(both, capsys):
    before = os.stat(COUNTS)
    with open(COUNTS, "r+") as file:
        file.write("K")
    os.utime(COUNTS, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert main(["check"]) == 0
    capsys.readouterr()
    assert said(capsys, "check", "--all", code=1).splitlines()[0] == f"{COUNTS}: changed"


def test_a_job_that_failed_is_said_to_have(both, capsys):
    fail_after_trimming(both)

    assert "aligned/k562.bam: missing (the job failed last time)\n" in said(capsys, "check", code=1)


def test_gone_jobs_are_not_checked(both, capsys):
    edit(both, ("counts = ", "# counts = "))
    run(both, "align.py")
    os.unlink(COUNTS)

    assert said(capsys, "check").startswith("4 files ")


# --- adopt, touch


@pytest.mark.parametrize("command", ["adopt", "touch"])
def test_what_is_adopted_is_believed_once_though_its_code_changed(both, capsys, command):
    edit(both, ("    output.write_text(output.name)\n", "    output.write_text(output.name + '!')\n"))
    told = said(capsys, command, BAM, COUNTS)
    run(both, "align.py")

    assert told == "to be adopted by the next run: 2 jobs\n    aligned/k562.bam\n    counts/k562.tsv\n"
    assert (both.folder / BAM).read_text() == "k562.bam"
    edit(both, ("'!'", "'?'"))
    run(both, "align.py")
    assert (both.folder / BAM).read_text() == "k562.bam?"


def test_files_that_no_run_knows_are_adopted_when_a_script_declares_them(script, monkeypatch, capsys):
    write_scripts(script.folder)
    monkeypatch.chdir(script.folder)
    for path in (BAM, COUNTS, "stats/k562.txt", "stats/k562.json"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write("from elsewhere")
    told = said(capsys, "adopt", str(script.folder / BAM), "./" + COUNTS, "stats/k562.txt:::stats/k562.json")
    run(script, "align.py")

    assert told.splitlines() == [
        "no run knows these yet; they will be adopted if a script declares them:",
        f"    {BAM}",
        f"    {COUNTS}",
        f"    {STATS}",
    ]
    assert {Path(path).read_text() for path in (BAM, COUNTS, "stats/k562.txt")} == {"from elsewhere"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (TRIMMED, "there is nothing to adopt"),
        (STATS, "not all files of a job are there"),
        ("nowhere.txt", "nothing of that name is known here"),
        ("data", "nothing of that name is known here"),
        ("/etc/hostname", "nothing of that name is known here"),
    ],
)
def test_what_is_not_there_can_t_be_adopted_nor_anything_with_it(both, capsys, name, words):
    os.unlink("stats/k562.txt")

    assert words in said(capsys, "adopt", COUNTS, name, code=1)
    assert not Knowledge.read(".pipegraph_status").is_to_be_adopted(COUNTS)


# --- forget


def test_what_is_forgotten_is_made_again(both, capsys):
    assert said(capsys, "forget", "./counts/k562.tsv") == "forgotten: 1 job\n    counts/k562.tsv\n"
    assert os.path.exists(COUNTS)
    run(both, "align.py")

    assert COUNTS in both.started
    assert BAM not in both.started


def test_many_are_forgotten_by_a_pattern_or_a_beginning_and_counted(both, capsys):
    with StatusFile.open(".pipegraph_status", print) as status:
        for number in range(12):
            status.note_failed(f"many/{number:02}", 1.0)
    told = said(capsys, "forget", "many/*").splitlines()

    assert told[0] == "forgotten: 12 jobs"
    assert told[-2:] == ["    many/09", "    and 2 more"]
    assert "nothing of that name is known here" in said(capsys, "forget", "many/", code=1)


# --- clean

TWO_GONE = [("counts = ", "# counts = "), ("stats = ", "# stats = ")]


def test_orphans_are_removed_and_forgotten_but_not_what_is_still_used(both, capsys):
    edit(both, *TWO_GONE)
    run(both, "align.py")
    told = said(capsys, "clean", "--orphans", "--yes").splitlines()

    assert told == [
        "to be removed:",
        "    stats/k562.txt  8 bytes",
        "left as it is:",
        "    counts/k562.tsv: an input of report.html",
        "    stats/k562.json: an input of report.html",
        "Removed 1 file (8 bytes).",
    ]
    assert not os.path.exists("stats/k562.txt")
    assert os.path.exists(COUNTS)
    os.unlink("report.py")
    (both.folder / "report.py").write_text("import pipegraph as ppg\nppg.new_pipegraph()\nppg.run_pipegraph()\n")
    run(both, "report.py")
    told = said(capsys, "clean", "--orphans", "--yes").splitlines()
    assert told[-1] == "Removed 3 files (23 bytes). Forgot 3 jobs."
    assert said(capsys, "clean", "--orphans", "--yes") == "Removed nothing.\n"
    assert sorted(Knowledge.read(".pipegraph_status").jobs()) == [BAM, TRIMMED]
    assert run(both, "align.py") == []


def test_orphans_that_changed_or_that_another_job_makes_now_are_left(both, capsys):
    edit(both, ("stats = ", "# stats = "), ("counts = ", "# counts = "))
    edit(both, ('"stats/k562.json"', '"data/reads_2.fq"'), name="report.py")
    edit(both, ("ppg.run_pipegraph()", 'ppg.FileGeneratingJob("stats/k562.txt", write)\nppg.run_pipegraph()'))
    run(both, "align.py")
    run(both, "report.py")
    with open("stats/k562.json", "a") as file:
        file.write("notes of mine")
    told = said(capsys, "clean", "--orphans", "--yes")

    assert "    stats/k562.json: it changed since it was made\n" in told
    assert "    stats/k562.txt: now made by stats/k562.txt\n" in told
    assert told.endswith("Removed nothing.\n")
    assert os.path.exists("stats/k562.json")
    assert STATS in Knowledge.read(".pipegraph_status").jobs()


def test_gone_jobs_whose_files_are_gone_are_forgotten(both, capsys):
    edit(both, ("stats = ", "# stats = "))
    run(both, "align.py")
    os.unlink("stats/k562.json")
    os.unlink("stats/k562.txt")

    assert said(capsys, "clean", "--orphans") == "Removed nothing. Forgot 1 job.\n"


def fail_after_trimming(script):
    edit(
        script,
        (
            "bam = ppg.FileGeneratingJob(BAM, write)".replace("BAM", f'"{BAM}"'),
            f'bam = ppg.FileGeneratingJob("{BAM}", lambda: 1 / 0)',
        ),
    )
    run(script, "align.py", code=1)
    assert os.path.exists(TRIMMED)


def test_temporary_files_that_lie_about_are_removed_and_made_again_when_needed(both, capsys):
    fail_after_trimming(both)
    told = said(capsys, "clean", "--temp", "--yes")

    assert told == f"to be removed:\n    {TRIMMED}  7 bytes\nRemoved 1 file (7 bytes).\n"
    assert not os.path.exists(TRIMMED)
    (both.folder / "align.py").write_text((EXAMPLE / "align.py").read_text())
    assert TRIMMED in run(both, "align.py")
    assert not os.path.exists(TRIMMED)


def test_caches_are_removed_where_that_is_said_and_made_again_when_needed(script, capsys, monkeypatch):
    text = """
    ppg.new_pipegraph()
    cache = ppg.CachedFileJob("cache", lambda: "text")
    ppg.FileGeneratingJob("a", lambda of: of.write_text(cache.load() + "1")).depends_on(cache)
    ppg.run_pipegraph()
    """
    script.run(text)
    monkeypatch.chdir(script.folder)
    size = os.path.getsize("cache")

    assert said(capsys, "clean", "--temp", "--orphans", "--yes") == "Removed nothing.\n"
    assert said(capsys, "clean", "--caches", "--yes") == (
        f"to be removed:\n    cache  {size} bytes\nRemoved 1 file ({size} bytes).\n"
    )
    script.run()
    assert script.started == []
    script.run(text.replace('"1"', '"2"'))
    assert script.started == ["cache", "a"]


def test_a_temporary_file_of_somebody_else_stays(both, capsys):
    os.makedirs("trimmed", exist_ok=True)
    with open(TRIMMED, "w") as file:
        file.write("mine")

    assert said(capsys, "clean", "--temp", "--yes").splitlines() == [
        "left as it is:",
        f"    {TRIMMED}: it changed since it was made",
        "Removed nothing.",
    ]
    assert os.path.exists(TRIMMED)


def test_nothing_outside_is_removed_whatever_the_status_file_says(both, capsys, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "precious"
    outside.write_text("x")
    with StatusFile.open(".pipegraph_status", print) as status:
        from pipegraph.invariants.files import read
        from pipegraph.model import Role, Trace

        for path in (str(outside), os.path.relpath(outside), f"data/../{os.path.relpath(outside)}"):
            status.note_declared(path, "FileGeneratingJob", Role.OUTPUT, ())
            found = read(path)
            status.note_made(path, Trace({}, found.content, (found,)))
    told = said(capsys, "clean", "--orphans", "--yes")

    assert told.count("it lies outside of this directory") == 3
    assert outside.exists()


def test_without_a_terminal_nothing_is_removed_unless_told(both, capsys):
    fail_after_trimming(both)
    told = said(capsys, "clean", "--temp", code=2)

    assert "pipegraph: to remove 1 file (7 bytes), say --yes\n" in told
    assert os.path.exists(TRIMMED)
    assert pipegraph(both, "clean", "--temp").code == 2
    assert os.path.exists(TRIMMED)


def test_what_to_clean_must_be_said(both, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["clean"])

    assert raised.value.code == 2
    assert "say what: --temp, --caches or --orphans" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "is_removed", "last"),
    [
        ("y\r", True, "Removed 1 file (7 bytes)."),
        ("\r", False, "Nothing was removed."),
        ("n\r", False, "Nothing was removed."),
        ("\x04", False, "Nothing was"),
    ],
)
def test_on_a_terminal_it_asks_first(both, answer, is_removed, last):
    fail_after_trimming(both)
    terminal = AtTerminal([sys.executable, "-m", "pipegraph", "clean", "--temp"], both.folder)
    try:
        terminal.wait_for("Remove 1 file (7 bytes)? [y/N]")
        assert os.path.exists(TRIMMED)
        terminal.type(answer)

        assert terminal.wait() == 0
        assert last in terminal.screen.text
        assert os.path.exists(TRIMMED) is not is_removed
    finally:
        terminal.close()


def test_ctrl_c_at_the_question_removes_nothing_and_frees_the_status_file(both):
    fail_after_trimming(both)
    terminal = AtTerminal([sys.executable, "-m", "pipegraph", "clean", "--temp"], both.folder)
    try:
        terminal.wait_for("[y/N]")
        held = pipegraph(both, "forget", BAM)
        terminal.type("\x03")

        assert terminal.wait() == 130
        assert "Traceback" not in terminal.screen.text
    finally:
        terminal.close()
    assert held.code == 3
    assert "command:   pipegraph clean\n" in held.stderr
    assert os.path.exists(TRIMMED)
    assert pipegraph(both, "forget", BAM).code == 0
