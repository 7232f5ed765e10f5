"""``pipegraph inputs``, ``dependents``, ``graph``: what was made from what, of whichever script."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
from commands import pipegraph, write_scripts
from scripts import Script, wait_until

from pipegraph.cli import main
from pipegraph.model import FileRecord, InvariantRecord, Trace
from pipegraph.status import StatusFile


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both scripts have run here; nobody changes anything."""
    folder = tmp_path_factory.mktemp("both")
    write_scripts(folder)
    script = Script(folder)
    for name in ("align.py", "report.py"):
        assert script.start(name).wait(60) == 0, script.stderr
    return folder


@pytest.fixture
def ask(folder, monkeypatch, capsys):
    """Asks, in this process; the lines of the answer."""
    monkeypatch.chdir(folder)

    def asked(*arguments, code=0):
        assert main(list(arguments)) == code
        told = capsys.readouterr()
        return (told.err if code else told.out).splitlines()

    return asked


def drawn(text):
    return textwrap.dedent(text).strip("\n").splitlines()


# --- inputs and dependents


def test_inputs_reach_across_scripts_and_each_stands_once(ask):
    assert ask("inputs", "report.html") == drawn(
        """
        report.html
        ├─ counts/k562.tsv
        │  ├─ aligned/k562.bam
        │  │  ├─ trimmed/k562.fq  [also data/reads_1.fq (file)]
        │  │  │  ├─ data/reads_2.fq (file)
        │  │  │  └─ trimmed/k562.fq (function)
        │  │  ├─ aligned/k562.bam (function)
        │  │  └─ aligned/k562.bam (parameters)
        │  └─ counts/k562.tsv (function)
        ├─ stats/k562.json:::stats/k562.txt  [also aligned/k562.bam]
        │  └─ stats/k562.json:::stats/k562.txt (function)
        ├─ data/reads_1.fq (file)
        └─ report.html (function)
        """
    )


def test_dependents_reach_across_scripts(ask):
    assert ask("dependents", "data/reads_2.fq") == drawn(
        """
        data/reads_2.fq (file)
        └─ trimmed/k562.fq
           └─ aligned/k562.bam
              ├─ counts/k562.tsv
              │  └─ report.html
              └─ stats/k562.json:::stats/k562.txt  [also report.html]
        """
    )


@pytest.mark.parametrize(
    ("name", "dependents"),
    [("stats/k562.json", ["report.html"]), ("stats/k562.json:::stats/k562.txt", ["report.html"])],
)
def test_of_several_files_the_one_that_was_taken_counts(ask, name, dependents):
    assert ask("dependents", name, "--flat") == dependents


def test_what_nobody_took_is_told_to_have_no_dependents(ask):
    assert ask("dependents", "stats/k562.txt") == ["Nothing that was made from it is known."]
    assert ask("inputs", "data/reads_1.fq") == ["Nothing that it was made from is known."]


@pytest.mark.parametrize(
    "name",
    ["counts/k562.tsv", "./counts/k562.tsv", "counts/../counts/k562.tsv", "ABSOLUTE", "counts/*", "**.tsv", "count"],
)
def test_a_name_is_an_id_a_path_a_pattern_or_a_beginning(ask, folder, name):
    name = str(folder / "counts/k562.tsv") if name == "ABSOLUTE" else name

    assert ask("dependents", name) == ["counts/k562.tsv", "└─ report.html"]


def test_functions_and_parameters_are_asked_for_by_their_ids(ask):
    assert ask("dependents", "PIaligned/k562.bam", "--flat")[:2] == ["aligned/k562.bam", "counts/k562.tsv"]


def test_one_name_a_line(ask):
    assert ask("inputs", "aligned/k562.bam", "--flat") == [
        "trimmed/k562.fq",
        "data/reads_1.fq",
        "data/reads_2.fq",
        "FItrimmed/k562.fq",
        "FIaligned/k562.bam",
        "PIaligned/k562.bam",
    ]


def test_json_has_each_with_its_direct_neighbours(ask):
    found = json.loads("\n".join(ask("inputs", "aligned/k562.bam", "--json")))

    assert [(each["name"], each["kind"]) for each in found] == [
        ("aligned/k562.bam", "job"),
        ("trimmed/k562.fq", "job"),
        ("data/reads_1.fq", "file"),
        ("data/reads_2.fq", "file"),
        ("FItrimmed/k562.fq", "function"),
        ("FIaligned/k562.bam", "function"),
        ("PIaligned/k562.bam", "parameters"),
    ]
    assert found[1]["inputs"] == ["data/reads_1.fq", "data/reads_2.fq", "FItrimmed/k562.fq"]
    found = json.loads("\n".join(ask("dependents", "counts", "--json")))
    assert found[0] == {"name": "counts/k562.tsv", "kind": "job", "dependents": ["report.html"]}


@pytest.mark.parametrize("command", ["inputs", "dependents", "graph"])
def test_a_name_that_nothing_has_ends_with_1_and_the_nearest(ask, command):
    told = ask(command, "counts/k526.tsv", code=1)

    assert told[0] == "pipegraph: nothing of that name is known here"
    assert "    nearest: counts/k562.tsv" in told


@pytest.mark.parametrize("name", ["", "no/such/[", "a\nb", "\x1b[31m", "\udc80", "x" * 5000])
def test_strange_names_are_not_known_and_obey_no_terminal(ask, name):
    told = ask("inputs", name, code=1)

    assert all(line.isprintable() for line in told)


def test_a_file_that_moved_to_another_job_was_made_by_that_one(script, monkeypatch, capsys):
    monkeypatch.chdir(script.folder)
    head = "ppg.new_pipegraph(quiet=True)\nbefore = ppg.FileGeneratingJob('before', lambda o: o.write_text('x'))\n"
    script.run(head + "ppg.FileGeneratingJob('one', lambda o: o.write_text('x'))\nppg.run_pipegraph()\n")
    head += "both = ppg.MultiFileGeneratingJob(['one', 'two'], lambda files: [f.write_text('x') for f in files])\n"
    script.run(head + "both.depends_on(before)\nppg.run_pipegraph()\n")

    assert main(["inputs", "one", "--flat"]) == 0
    assert capsys.readouterr().out.splitlines() == ["before", "FIbefore", "FIone:::two"]


def test_who_takes_a_whole_job_depends_on_each_of_its_files(script, monkeypatch, capsys):
    script.run(
        """
        ppg.new_pipegraph(quiet=True)
        def write(output):
            output.write_text("x")
        both = ppg.MultiFileGeneratingJob(["one", "two"], lambda files: [write(file) for file in files])
        ppg.FileGeneratingJob("part", write).depends_on(both["one"])
        ppg.FileGeneratingJob("whole", write).depends_on(both)
        ppg.run_pipegraph()
        """
    )
    monkeypatch.chdir(script.folder)
    found = {}
    for name in ("one", "two", "one:::two"):
        assert main(["dependents", name, "--flat"]) == 0
        found[name] = capsys.readouterr().out.split()

    assert found == {"one": ["part", "whole"], "two": ["whole"], "one:::two": ["part", "whole"]}


# --- the graph


def test_the_graph_begins_with_what_nothing_was_made_from(ask):
    assert ask("graph") == drawn(
        """
        report.html
        ├─ counts/k562.tsv
        │  └─ aligned/k562.bam
        │     └─ trimmed/k562.fq  [also data/reads_1.fq (file)]
        │        └─ data/reads_2.fq (file)
        ├─ stats/k562.json:::stats/k562.txt  [also aligned/k562.bam]
        └─ data/reads_1.fq (file)
        """
    )


def test_the_graph_of_a_job_is_what_it_needs_and_what_needs_it(ask):
    assert ask("graph", "counts/k562.tsv") == drawn(
        """
        report.html
        ├─ counts/k562.tsv
        │  └─ aligned/k562.bam
        │     └─ trimmed/k562.fq  [also data/reads_1.fq (file)]
        │        └─ data/reads_2.fq (file)
        └─ data/reads_1.fq (file)
        """
    )


def test_mermaid_and_dot_have_the_same_edges(ask):
    mermaid = ask("graph", "--mermaid")
    dot = ask("graph", "--dot")

    assert mermaid[0] == "graph LR"
    assert any(line.endswith('["aligned/k562.bam"]') for line in mermaid)
    assert any(line.endswith('(["data/reads_1.fq"])') for line in mermaid)
    assert dot[0] == "digraph {"
    edges = {line.strip().rstrip(";") for line in dot if "->" in line}
    assert len(edges) == 8
    assert edges == {line.strip().replace("-->", "->") for line in mermaid if "-->" in line}


def test_a_picture_is_what_dot_draws(folder, tmp_path):
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\necho "<svg $*>"; cat\n')
    program.chmod(0o755)
    script = Script(folder)
    script.environment["PATH"] = f"{tmp_path}:/usr/bin:/bin"
    ended = pipegraph(script, "graph", "--svg")

    assert ended.code == 0
    assert ended.stdout.startswith("<svg -Tsvg>\ndigraph {\n")


@pytest.mark.parametrize(
    ("program", "words"), [("", "the program dot can't be started"), ("exit 1", "dot could not draw the graph")]
)
def test_no_picture_without_dot(folder, tmp_path, program, words):
    if program:
        (tmp_path / "dot").write_text(f"#!/bin/sh\necho too big >&2\n{program}\n")
        (tmp_path / "dot").chmod(0o755)
    script = Script(folder)
    script.environment["PATH"] = str(tmp_path)
    ended = pipegraph(script, "graph", "--svg")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"pipegraph: {words}\n")


# --- names, shapes, files

FINGERPRINT = "0" * 32


def record(folder, traces, invariants=()):
    """A status file in which these jobs were made from these inputs."""
    with StatusFile.open(folder / ".pipegraph_status", print) as status:
        for job, inputs in traces.items():
            made = FileRecord(job, FINGERPRINT, FINGERPRINT, 1, 1, 1, False)
            status.note_made(job, Trace(dict.fromkeys(inputs, FINGERPRINT), FINGERPRINT, (made,)))
        for name in invariants:
            file = FileRecord(name, FINGERPRINT, FINGERPRINT, 1, 1, 1, False)
            status.note_measured(name, InvariantRecord(FINGERPRINT, (file,)))


STRANGE = ["new\nline", "\x1b[31mred", "half\ud800", "right\u202eleft", 'quote"back\\slash<#>']


@pytest.mark.parametrize("options", [[], ["--dot"], ["--mermaid"]])
def test_strange_ids_obey_no_terminal_and_break_no_line(tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    record(tmp_path, {**{name: [] for name in STRANGE}, "last": STRANGE})
    assert main(["graph", *options]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert all(line.isprintable() for line in lines)
    assert any("new\\" in line for line in lines)
    if options:
        assert len(lines) == 6 + 5 + (1 if options == ["--mermaid"] else 3)
        (quoting,) = [line for line in lines if "quote" in line]
        assert ('\\"' if options == ["--dot"] else "#quot;") in quoting


@pytest.mark.parametrize("name", STRANGE)
def test_strange_ids_are_found_by_themselves(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    record(tmp_path, {name: [], "last": [name]})

    assert main(["dependents", name, "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == [name, "last"]


def test_a_long_chain_and_a_broad_graph_are_drawn_in_lines_that_stay_short(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = [f"job_{number:05}" for number in range(3000)]
    record(tmp_path, {name: names[number - 1 : number] for number, name in enumerate(names)} | {"all": names})
    assert main(["inputs", names[-1]]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) == 3000
    assert max(map(len, lines)) < 100
    assert main(["inputs", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3001
    assert lines[2] == "├─ job_00001  [also job_00000]"


def test_names_that_look_like_functions_are_files_if_they_are(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    record(tmp_path, {"out": ["FIle.txt", "FIout", "PIout"]}, ["FIle.txt"])
    assert main(["inputs", "out"]) == 0

    assert capsys.readouterr().out.splitlines()[1:] == [
        "├─ FIle.txt (file)",
        "├─ out (function)",
        "└─ out (parameters)",
    ]


READERS = [["graph"], ["inputs", "a"], ["dependents", "a"], ["check"], ["forget", "a"], ["clean", "--temp"]]


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
def test_no_status_file_ends_with_1_and_makes_none(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)

    assert main(command) == 1
    told = capsys.readouterr()
    assert told.err.startswith("pipegraph: there is no status file here\n")
    assert str(tmp_path) in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [*READERS, ["adopt", "a"]], ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("text", "words"),
    [(b"pipegraph-status 99\n", "a newer version"), (b"#!/bin/sh\nrm -rf x\n", "is not a status file")],
    ids=["newer", "foreign"],
)
def test_what_is_no_status_file_of_ours_ends_with_2_and_stays(tmp_path, monkeypatch, capsys, command, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_bytes(text)
    (tmp_path / "a").touch()

    assert main([*command, "--status-file", "mine"]) == 2
    assert words in capsys.readouterr().err
    assert (tmp_path / "mine").read_bytes() == text
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "a"}


def test_a_damaged_status_file_is_looked_at_as_far_as_it_is_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    record(tmp_path, {"a": [], "b": ["a"], "c": ["b"]})
    path = tmp_path / ".pipegraph_status"
    damaged = path.read_bytes().replace(b"\tb\t", b"\tX\t")[:-3]
    path.write_bytes(damaged)

    assert main(["graph"]) == 0
    assert capsys.readouterr().out == "a\n"
    assert path.read_bytes() == damaged


def test_all_that_only_looks_works_while_a_run_goes_on(script):
    script.write(
        """
        ppg.new_pipegraph(quiet=True)
        def wait(output):
            print("begun", flush=True)
            signal.pause()
        first = ppg.FileGeneratingJob("first", lambda output: output.write_text("x"))
        ppg.FileGeneratingJob("second", wait).depends_on(first)
        ppg.FileGeneratingJob("third", lambda output: output.write_text("x")).depends_on(first)
        ppg.run_pipegraph()
        """
    )
    run = script.start()
    status = script.folder / ".pipegraph_status"
    wait_until(lambda: status.exists() and b"M\tthird\t" in status.read_bytes(), script.stderr)
    answers = [
        pipegraph(script, *command)
        for command in (["graph"], ["inputs", "third"], ["dependents", "first"], ["check"], ["__names", "th"])
    ]
    held = [
        pipegraph(script, *command)
        for command in (["forget", "first"], ["adopt", "first"], ["clean", "--orphans", "--yes"])
    ]
    run.terminate()
    run.wait()

    assert [(ended.code, ended.stderr) for ended in answers] == [(0, "")] * 5
    assert answers[2].stdout == "first\n└─ third\n"
    for ended in held:
        assert ended.code == 3
        assert ended.stderr.startswith("pipegraph: another run holds the status file\n")
        assert f"pid:       {run.pid}\n" in ended.stderr


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    record(tmp_path, {f"job_{number}": [] for number in range(20_000)})
    command = f"{sys.executable} -m pipegraph graph | head -n 1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=tmp_path,
        env=Script(tmp_path).environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "job_0\n", "")


def test_an_output_that_has_not_each_letter_gets_escapes(folder):
    script = Script(folder)
    script.environment["PYTHONIOENCODING"] = "ascii"
    ended = pipegraph(script, "dependents", "counts/k562.tsv")

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == "counts/k562.tsv\n\\u2514\\u2500 report.html\n"


@pytest.mark.parametrize("arguments", [["status", "below"], ["-C", "below", "status"], ["-C", ".", "status", "below"]])
def test_the_directory_of_status_and_the_one_to_go_to_are_two(folder, tmp_path, arguments):
    (tmp_path / "below").symlink_to(folder)
    ended = pipegraph(Script(tmp_path), *arguments, "--once")

    assert (ended.code, ended.stderr) == (0, "")
    assert "report.py" in ended.stdout


def test_commands_go_to_a_directory_first(folder, capsys, monkeypatch):
    monkeypatch.chdir("/")  # and back at the end
    assert main(["-C", str(folder), "dependents", "counts/k562.tsv"]) == 0

    assert capsys.readouterr().out == "counts/k562.tsv\n└─ report.html\n"
