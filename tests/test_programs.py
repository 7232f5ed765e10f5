"""Jobs that are an external program: what is declared, what is started, and what counts as changed."""

import gzip
import inspect
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from scripts import ROOT

import pipegraph as ppg
from pipegraph.placeholders import NAMES, cores, input, inputs, output, outputs, temp
from pipegraph.shell import programs_in, quoted, without_shell, words_in


@pytest.fixture
def folder(graph):
    Path("in.txt").write_text("3\n1\n2\n")
    return Path()


def line_of(job):
    """As it is logged, once it ran."""
    log = Path("logs/ppg_run.txt").read_text().splitlines()
    (at,) = [number for number, line in enumerate(log) if f" started     {job.job_id} (" in line]
    return log[at + 1].strip()


def made(job):
    ppg.run_pipegraph()
    return Path(job.job_id).read_text()


def test_a_list_is_started_without_a_shell(folder):
    job = ppg.CommandJob(
        "out/a b.txt", ["printf", "%s|", "$HOME; * {print $1} {a,b} ${x}", 1, 2.5, Path("p q")], stdout=output
    )

    assert made(job) == "$HOME; * {print $1} {a,b} ${x}|1|2.5|p q|"


def test_placeholders_stand_for_files_and_resources(folder):
    first = ppg.CommandJob({"x": "x 1.txt", "y": "y.txt"}, "cp {input} {output[x]}; cp {input} {output[y]}", "in.txt")
    job = ppg.CommandJob(
        "out.txt",
        ["printf", "%s|", inputs, input["other"], "-@{cores}", f"--threads={cores}", "{memory_mb}", "{input[both]}"],
        {"both": [first], "other": first["y"]},
        stdout="{output}",
    )
    job.use_cores(2)
    job.memory_needed = 300 << 20

    assert made(job) == "x 1.txt|y.txt|y.txt|y.txt|-@2|--threads=2|300|x 1.txt|y.txt|"
    assert set(job.prerequisites) >= {first}


def test_in_a_text_they_are_quoted_as_the_shell_needs_it(folder):
    Path('it\'s a $HOME `x` "file".txt').write_text("content\n")
    job = ppg.CommandJob("out put;.txt", "cat {input} | cat > {output}", 'it\'s a $HOME `x` "file".txt')

    assert made(job) == "content\n"


def test_no_program_takes_a_path_for_an_option_or_a_variable(folder):
    Path("-n").write_text("dash\n")
    Path("k=1.txt").write_text("equals\n")
    job = ppg.CommandJob("-o.txt", ["cat", input["a"], inputs], {"a": "./-n", "b": "k=1.txt"}, stdout=output)
    text = ppg.CommandJob("x=1/out.txt", "awk '{{print}}' {inputs} > {output}", ["k=1.txt", job], cwd=".")

    assert made(text) == "equals\ndash\ndash\nequals\n"
    assert line_of(job) == "cat ./-n ./-n ./k=1.txt > -o.txt"


def test_what_the_shell_and_awk_have_in_braces_stays(folder):
    text = "awk '{print $1} {{print}} {if (1) {print 9}}' {input} > {output}; "
    text += "x=5; echo ${x} a{b,c} ${x:-y} {{word}} >> {output}"
    job = ppg.CommandJob("out.txt", text, "in.txt")

    assert made(job) == "3\n3\n9\n1\n1\n9\n2\n2\n9\n5 ab ac 5 {word}\n"


def test_a_text_is_for_bash_which_ends_at_the_first_failure(folder):
    unset = ppg.CommandJob("a.txt", "echo $not_set_anywhere > {output}")
    middle = ppg.CommandJob("b.txt", "false; echo made > {output}")
    pipe = ppg.CommandJob("c.txt", "false | cat > {output}", empty_ok=True)
    bash = ppg.CommandJob("d.txt", "cat <(echo bash) > {output}")

    with pytest.raises(ppg.RuntimeError):
        ppg.run_pipegraph()

    assert [job.failed for job in (unset, middle, pipe, bash)] == [True, True, True, False]
    assert not Path("b.txt").exists() and not Path("c.txt").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat a.txt", (("cat", "a.txt"), "", "", "")),
        ("  cat -n a.txt b.txt > out/x\n", (("cat", "-n", "a.txt", "b.txt"), "", "out/x", "")),
        ("tr a b <in >out", (("tr", "a", "b"), "in", "out", "")),
        ("cut -d, -f1 x", (("cut", "-d,", "-f1", "x"), "", "", "")),
        ("echo 'a b'\"c\" > 'd e'", (("echo", "a bc"), "", "d e", "")),
        *(
            (text, None)
            for text in (
                "echo -n x",
                "cat a; cat b",
                "cat *.txt",
                "cat $x",
                "x=1 cat a",
                "cat a >> b",
                "cat a > b > c",
                "cat a &",
                "cat ~/x",
                "cat a\ncat b",
                "cat a #b",
                "cat a\\ b",
                "[ -e x ]",
                "! cat x",
                "cd x",
            )
        ),
    ],
)
def test_only_a_command_that_means_the_same_without_a_shell_is_started_without_one(text, expected):
    assert without_shell(text) == (expected and (expected,))


@pytest.mark.parametrize(
    "text",
    ["plain", "two words", "it's", "a\nb", "tab\tand 'quote' \\ $x", "\x01\x7f", "é", "", "\udc80", "a\u202eb\n'\\"],
)
def test_quoted_text_is_one_line_that_bash_reads_back(text):
    line = quoted(text)
    said = subprocess.run(["bash", "-c", f"printf %s {line}"], stdout=subprocess.PIPE, check=True).stdout

    assert said == os.fsencode(text)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "programs"),
    [
        ("sort x | uniq -c > out && gzip out", ["sort", "uniq", "gzip"]),
        ("LC_ALL=C sort x 2>&1 | tee log >&2", ["sort", "tee"]),
        ("for i in a b; do bwa mem $i; done\nif grep -q x f; then echo; fi", ["bwa", "grep"]),
        ("paste <(cut -f1 a) b > $(tmp) # then | nothing", ["paste", "cut", "tmp"]),
        ("awk '{print $1; x && y}' f || true; $TOOL x; ./made y; \"a b\" c", ["awk"]),
        ("cut -d '|' -f1 x; cut -d '' \\; y; grep '#' \"a\\\" | b\" #c", ["cut", "grep"]),
        ("trap '' TERM; x=$(date) tee a >& b; sort <a >b 2>>c \\\n | \\\nuniq", ["date", "sort"]),
        ("source env.sh; tool x", []),
        ("case x in a) b;; esac", []),
        ("f() { x; }; f", []),
        ("cat << END\ntool x\nEND", []),
        ("PATH=x:$PATH; tool x", []),
        ("echo 'unbalanced; tool", []),
    ],
)
def test_programs_of_a_text_are_seen_and_nothing_else_is_taken_for_one(text, programs):
    assert programs_in(text) == programs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tool a.txt 'b c' --x=d.txt < e > f 2>> g 2>&1 | tee h; i>j", "tool|a.txt|b c|--x=d.txt|e|2|2|tee|h|i"),
        ("(cat a;cat 'b'\"c\"$d)&>e # f", "cat|a|cat|bc$d"),
        ("cd x && cat a.txt", ""),
        ("cat 'a", ""),
    ],
)
def test_words_of_a_text_are_seen_but_for_those_that_it_writes_to(text, words):
    assert "|".join(words_in(text)) == words


def test_the_line_in_the_log_can_be_pasted_and_does_the_same(folder):
    Path("sub dir").mkdir()
    jobs = [
        ppg.CommandJob("a.txt", ["sort", "-n", "-T", temp, f"--parallel={cores}", "-o", output, input], "in.txt"),
        ppg.CommandJob("b.txt", "cat {input} > {output}", "in.txt"),
        ppg.CommandJob(
            "c.txt", "cat {input} | awk '{print \"it'\\''s\", $1}'\\\n > {output}; echo {cores} >> {output}", "in.txt"
        ),
        ppg.CommandJob("d.txt", ["cat", input], "in.txt", stdout=output, cwd="sub dir"),
        ppg.CommandJob(
            "e.txt", ["printenv", "MY-VAR", "OTHER"], env={"MY-VAR": "x y", "OTHER": "{cores}"}, stdout=output
        ),
        ppg.CommandJob(
            ["f.txt", "f.log"],
            "echo {cores}; echo err >&2; cp {input} {temp}/x; cat {temp}/x",
            "in.txt",
            stdout="f.txt",
            stderr="f.log",
        ),
    ]
    ppg.run_pipegraph()

    for job in jobs:
        line = line_of(job)
        expected = {path: Path(path).read_bytes() for path in job.filenames}
        for path in job.filenames:
            Path(path).unlink()
        subprocess.run(["bash", "-c", line], check=True)
        assert {path: Path(path).read_bytes() for path in job.filenames} == expected, line


def test_secrets_are_not_in_the_line_nor_in_the_status_file(folder):
    job = ppg.CommandJob("a.txt", "echo $MY_TOKEN --password=hunter222 > {output}", env={"MY_TOKEN": "geheim99"})

    assert made(job) == "geheim99 --password=hunter222\n"
    for path in ("logs/ppg_run.txt", ".pipegraph_status"):
        assert "geheim99" not in Path(path).read_text() and "hunter222" not in Path(path).read_text()


def test_a_folder_for_temporary_files_is_there_while_the_job_runs_and_then_gone(folder):
    job = ppg.CommandJob("a.txt", "touch {temp}/file; stat -c %a {temp}; echo {temp} > {output}")
    gone = ppg.CommandJob(
        "b.txt", "while [ -e $(cat {input}) ]; do sleep 0.01; done; touch {output}", job, timeout=30, empty_ok=True
    )
    ppg.run_pipegraph()

    assert job.stdout == "700\n"
    assert gone.was_run


def test_cores_are_those_that_the_run_gave(graph):
    graph.rc.cores_available = graph.rc.max_cores_to_use = 3
    jobs = [
        ppg.CommandJob(f"{needed}.txt", "echo {cores} {memory} > {output}").use_cores(needed) for needed in (1, -1, -2)
    ]
    ppg.run_pipegraph()

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = [Path(job.job_id).read_text().split() for job in jobs]
    assert found == [["1", str(memory // 3)], ["3", str(memory)], ["2", str(memory * 2 // 3)]]


@pytest.mark.parametrize("strict", [False, True])
def test_stdout_and_stderr_go_to_outputs_or_are_kept(folder, strict):
    ppg.util.global_pipegraph.strict = strict
    text = "echo out; echo err >&2"
    kept = ppg.CommandJob("a.txt", text + "; touch {output}", empty_ok=True)
    to_files = ppg.CommandJob(["b.out", "b.err"], text, stdout="b.out", stderr="{output[1]}")
    same = ppg.CommandJob("c.txt", text, stdout=output, stderr=output)
    quiet = ppg.CommandJob({"x": "d.txt", "log": "d.log"}, "echo x > {output[x]}", stderr="{output[log]}")
    ppg.run_pipegraph()

    assert (kept.stdout, kept.stderr) == ("out\n", "err\n")
    assert (Path("b.out").read_text(), Path("b.err").read_text()) == ("out\n", "err\n")
    assert Path("c.txt").read_text() == "out\nerr\n"
    assert (to_files.stdout, same.stderr, quiet.was_run) == ("", "", True)


def test_the_environment_is_that_of_the_script_with_some_changed(folder, monkeypatch):
    monkeypatch.setenv("OF_SCRIPT", "1")
    monkeypatch.setenv("NOT_WANTED", "1")
    job = ppg.CommandJob("a.txt", "env > {output}", env={"NEW": 5, "NOT_WANTED": None, "THREADS": cores})

    there = made(job).splitlines()
    assert {"OF_SCRIPT=1", "NEW=5", "THREADS=1"} <= set(there)
    assert not any(line.startswith("NOT_WANTED") for line in there)


def test_a_program_is_found_on_the_path_that_the_job_sets(folder):
    Path("bin").mkdir()
    Path("bin/only_here").write_text("#!/bin/sh\necho found\n")
    Path("bin/only_here").chmod(0o755)
    job = ppg.CommandJob("a.txt", ["only_here"], stdout=output, env={"PATH": f"{os.getcwd()}/bin:{os.environ['PATH']}"})

    assert made(job) == "found\n"


def test_in_another_folder_placeholders_are_absolute_and_the_run_stays_where_it_is(folder):
    Path("sub").mkdir()
    job = ppg.CommandJob("out/a.txt", "pwd > {output}; cat {input} >> {output}", "in.txt", cwd="sub")
    next_one = ppg.CommandJob("b.txt", ["pwd"], job, stdout=output)
    ppg.run_pipegraph()

    assert Path("out/a.txt").read_text() == f"{os.getcwd()}/sub\n3\n1\n2\n"
    assert Path("b.txt").read_text() == f"{os.getcwd()}\n"
    assert next_one.was_run


def test_programs_get_default_signals_no_input_and_no_files_of_ours(folder):
    leaked = os.open("in.txt", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    signals = ppg.CommandJob("a.txt", ["cat", "/proc/self/status"], stdout=output)
    files = ppg.CommandJob("b.txt", ["ls", "-l", "/proc/self/fd"], stdout=output)
    ppg.run_pipegraph()
    os.close(leaked)

    status = dict(line.split(":\t") for line in Path("a.txt").read_text().splitlines())
    # glibc has its own ends for 32 and 33, which nobody can send.
    assert int(status["SigIgn"], 16) & ~(3 << 31) == int(status["SigBlk"], 16) == 0
    opened = [line.split(maxsplit=8)[-1].split(" -> ") for line in Path("b.txt").read_text().splitlines()[1:]]
    assert [number for number, _ in opened[:4]] == ["0", "1", "2", "3"] and len(opened) == 4  # 3: the listing itself
    assert opened[0][1] == "/dev/null"
    assert signals.was_run and files.was_run


def test_expected_exit_codes_are_no_failure(folder):
    nothing = ppg.CommandJob(
        "a.txt", ["grep", "9", "{input}"], "in.txt", stdout=output, exit_codes=(0, 1), empty_ok=True
    )
    wrong = ppg.CommandJob("b.txt", ["grep", "9", "{input}"], "in.txt", stdout=output, empty_ok=True)
    not_zero = ppg.CommandJob("c.txt", "echo x > {output}", exit_codes=[3])

    with pytest.raises(ppg.RuntimeError):
        ppg.run_pipegraph()
    assert [job.failed for job in (nothing, wrong, not_zero)] == [False, True, True]
    assert wrong.exception.exit_code == 1
    assert "expected: exit status 3" in str(not_zero.exception)


def test_a_large_output_is_read_by_another_process_and_recorded_all_the_same(folder):
    job = ppg.CommandJob("large", "head -c 3000000 /dev/zero > {output}; echo printed")
    after = ppg.CommandJob("size", "wc -c < {input} > {output}", job)
    ppg.run_pipegraph()
    assert job.stdout == "printed\n" and after.was_run
    assert job.runtime > 0

    graph = ppg.new_pipegraph(quiet=True)
    again = ppg.CommandJob("large", "head -c 3000000 /dev/zero > {output}; echo printed")
    ppg.run_pipegraph()
    assert not again.was_run and graph.get_error_count() == 0


def test_temporary_files_are_removed_when_they_were_used(folder):
    kept = ppg.TempCommandJob("a.txt", "cat {input} > {output}", "in.txt")
    job = ppg.CommandJob("b.txt", "cat {input} > {output}", kept)

    assert made(job) == "3\n1\n2\n"
    assert kept.was_run and not Path("a.txt").exists()


def test_commands_are_generated_and_run_where_data_was_loaded(folder):
    def generate():
        for number in range(3):
            ppg.CommandJob(f"g{number}", f"echo {number} > {{output}}; echo {{cores}} >> {{output}}", "in.txt")

    data = {}
    load = ppg.DataLoadingJob("load", lambda: data.update(x=1))
    loaded = ppg.CommandJob("after", "cat {input} > {output}", ["in.txt", load])
    ppg.JobGeneratingJob("generate", generate).depends_on(load)
    ppg.run_pipegraph()

    assert [Path(f"g{number}").read_text() for number in range(3)] == ["0\n1\n", "1\n1\n", "2\n1\n"]
    assert loaded.was_run


def test_a_class_that_changes_what_is_done_is_called_in_a_process_of_its_own(folder):
    class Stamped(ppg.CommandJob):
        def run(self):
            super().run()
            Path(self.filenames[0]).write_text(Path(self.filenames[0]).read_text() + "stamped\n")

    job = Stamped("a.txt", "echo {cores} > {output}; echo said")

    assert made(job) == "1\nstamped\n"
    assert job.stdout == "said\n"


def test_a_job_can_be_run_by_hand(folder):
    job = ppg.CommandJob(
        "a.txt", "cat {input} > {output}; echo {cores} {memory} {temp}/ | grep -c pipegraph- >> {output}", "in.txt"
    )
    job.run()

    assert Path("a.txt").read_text() == "3\n1\n2\n1\n"
    Path("a.txt").unlink()
    with pytest.raises(ppg.JobDiedException, match="exit status 3"):
        ppg.CommandJob("b.txt", "exit 3").run()


# --- what counts


HOW = """
import pipegraph as ppg
ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(int(os.environ.get("CORES", 2))), quiet=True)
{more}
job = ppg.CommandJob("out.txt", {command}, "in.txt"{arguments})
job.cores_needed = {cores}
ppg.run_pipegraph()
"""
TEXT = '"cat {input} > {output}; echo {cores} {memory} {temp} > /dev/null"'


def run_as(script, command=TEXT, arguments="", cores=1, more=""):
    script.run(HOW.format(command=command, arguments=arguments, cores=cores, more=more))
    return script.started


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        (
            {"command": TEXT.replace("cat", "cat -n")},
            "shell command: cat in.txt > out.txt; echo {cores} {memory}",
        ),
        ({"arguments": ", env={'LC_ALL': 'C'}"}, "environment variable LC_ALL: C is new"),
        ({"arguments": ", exit_codes=(0, 1)"}, "expected exit status: 0 -> 0, 1"),
        ({"arguments": ", cwd='.'"}, "working directory of the command: . is new"),
        ({"command": '["cat", "{input}"]', "arguments": ", stdout='out.txt'"}, "stdout of the command: out.txt is new"),
    ],
)
def test_a_changed_command_is_made_again_and_the_change_is_shown(script, now, shown):
    (script.folder / "in.txt").write_text("x\n")
    assert run_as(script) == ["out.txt"]
    assert run_as(script) == []

    assert run_as(script, **now) == ["out.txt"]

    assert "input changed: FIout.txt" in (script.folder / "logs/ppg_run.txt").read_text()
    assert shown in (script.folder / "logs/ppg_changes.txt").read_text()
    assert run_as(script, **now) == []


def test_another_number_of_cores_another_folder_and_a_timeout_are_no_reason(script):
    (script.folder / "in.txt").write_text("x\n")
    run_as(script)

    script.environment["CORES"] = "1"
    assert run_as(script, cores=-1, arguments=", timeout=100") == []
    assert run_as(script, arguments=", rename_broken=True") == []


def test_a_changed_input_file_is_a_reason(script):
    (script.folder / "in.txt").write_text("x\n")
    run_as(script)
    (script.folder / "in.txt").write_text("y\n")

    assert run_as(script) == ["out.txt"]


def test_a_project_that_moved_is_not_made_again(script, tmp_path):
    (script.folder / "in.txt").write_text("x\n")
    (script.folder / "sub").mkdir()
    run_as(script, arguments=", cwd='sub'")
    before = script.folder
    script.folder = tmp_path.parent / (tmp_path.name + "_moved")
    before.rename(script.folder)
    try:
        assert run_as(script, arguments=", cwd='sub'") == []
    finally:
        script.folder.rename(before)
        script.folder = before


TOOL = """
tool = os.path.abspath("tool")
"""


def test_the_version_of_a_program_counts_if_asked(script):
    (script.folder / "in.txt").write_text("x\n")
    tool = script.folder / "tool"
    arguments = {"command": '[tool, "{input}", "{output}"]', "arguments": ", version=True", "more": TOOL}

    def install(version):
        tool.write_text(
            f'#!/bin/sh\nif [ "$1" = --version ]; then echo tool {version}; echo >> asked; else cp $1 $2; fi\n'
        )
        tool.chmod(0o755)

    install(1)
    assert run_as(script, **arguments) == ["out.txt"]
    assert run_as(script, **arguments) == []
    assert script.lines("asked") == ["", ""]
    install(2)
    assert run_as(script, **arguments) == ["out.txt"]
    assert "tool 1 -> tool 2" in (script.folder / "logs/ppg_changes.txt").read_text()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (["tool"], {"env": {"PATH": f"new:{os.environ['PATH']}"}}),
        (["./tool"], {"cwd": "new"}),
        (["{input[tool]}"], {"cwd": "new", "inputs": {"tool": "new/tool"}}),
    ],
)
def test_the_version_is_that_of_the_program_which_the_job_starts(folder, monkeypatch, command, arguments):
    for name in ("old", "new"):
        Path(name).mkdir()
        Path(name, "tool").write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo {name} 1; else echo {name}; fi\n')
        Path(name, "tool").chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path('old').absolute()}:{os.environ['PATH']}")
    job = ppg.CommandJob("out.txt", command, stdout="{output}", version=True, **arguments)

    assert made(job) == "new\n"
    (version,) = [each for each in job.prerequisites if isinstance(each, ppg.ProgramInvariant)]
    assert version.explain().parts[0].text == "new 1"


def test_a_version_that_is_not_told_is_a_clear_error(folder):
    ppg.CommandJob("a.txt", ["cat", "{input}"], "in.txt", stdout=output, version=["cat", "--no-such-option"])

    with pytest.raises(ppg.JobContractError, match="does not tell its version: exit status 1") as error:
        ppg.run_pipegraph()
    assert "unrecognized option" in str(error.value) and "test_programs.py:" in str(error.value)


def test_a_program_that_is_not_there_to_tell_its_version_is_said_without_the_calls_that_asked(folder):
    ppg.CommandJob("a.txt", "cat {input} > {output}", "in.txt", version=["./no_such_tool", "--version"])

    with pytest.raises(ppg.JobContractError, match="a program is not installed: ") as error:
        ppg.run_pipegraph()
    assert error.value.__context__ is None


# --- what is refused when it is declared


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("cat {inptu}", {}, "placeholder that there is not: {inptu}"),
        ("cat {cores[1]}", {}, "placeholder that there is not: {cores[1]}"),
        (["cat", "{x}"], {}, "write {{x}}"),
        ("cat {input}", {}, "{input}, of which the job has none"),
        ("cat {input}", {"inputs": ["in.txt", "b.txt"]}, "{input}, of which the job has 2"),
        ("cat {input[b]}", {"inputs": {"a": "in.txt"}}, "an input that the job does not have: b"),
        (["-I{inputs}"], {"inputs": ["in.txt", "b.txt"]}, "several files inside of one argument"),
        ("cat {input}", {"inputs": [["in.txt", "b.txt"], "c.txt"]}, "Say {inputs} for all"),
        ("", {}, "without a program"),
        ([], {}, "without a program"),
        ([""], {}, "without a program"),
        (["cat", None], {}, "neither text, nor a path, nor a number"),
        (["cat", True], {}, "neither text, nor a path, nor a number"),
        (["cat", "a\0b"], {}, "text that no program can be given"),
        (["cat", Path("a\0b")], {}, "text that no program can be given"),
        ("cat \ud800", {}, "text that no program can be given"),
        ("cat", {"env": {"A": "\ud800"}}, "text that no program can be given"),
        ("cat", {"env": {"A=1": "x"}}, "a variable of a name that there can't be"),
        ("cat", {"env": {1: "x"}}, "a variable of a name that there can't be"),
        ("cat", {"stdout": "other.txt"}, "stdout goes to a file that is no output"),
        ("cat", {"timeout": 0}, "above 0"),
        ("cat | sort", {"version": True}, "may be several programs"),
        (b"cat", {}, "a list of arguments, or a text"),
        ("cat", {"exit_codes": "01"}, "whole numbers"),
        ("cat", {"inputs": 5}, "inputs must be paths, jobs"),
        ("cat", {"env": ["A=1"]}, "env must be a dict"),
    ],
)
def test_what_can_not_work_is_refused_where_it_is_declared(folder, command, arguments, message):
    with pytest.raises((ppg.JobContractError, TypeError)) as error:
        ppg.CommandJob("out.txt", command, **arguments)

    assert message in str(error.value)
    assert "test_programs.py:" in str(error.value)


def test_generators_are_no_files_and_are_refused_among_the_inputs(folder):
    rows = ppg.JobPerRow("rows", "in.txt", lambda row: ppg.FileGeneratingJob("a.txt", Path.touch))

    for inputs_ in (rows, ["in.txt", rows], rows["bam"], {"a": rows["bam"], "b": "in.txt"}):
        with pytest.raises(ppg.JobContractError, match="a generator among the inputs") as error:
            ppg.CommandJob("out.txt", "cat {inputs} > {output}", inputs_)
        assert "input: rows (JobPerRow, " in str(error.value) and "MergeJob" in str(error.value)


def test_a_second_command_for_the_same_file_is_refused_and_the_same_again_is_not(folder):
    first = ppg.CommandJob("out.txt", "cat {input} > {output}", "in.txt")

    assert ppg.CommandJob("out.txt", "cat {input} > {output}", "in.txt") is first
    with pytest.raises(ppg.JobContractError, match="another command"):
        ppg.CommandJob("out.txt", "cat -n {input} > {output}", "in.txt")


def test_placeholders_are_text_that_can_be_put_into_text():
    assert (f"-@{cores}", "x" + output, str(outputs["a"]), f"{input['b']}", input[0]) == (
        "-@{cores}",
        "x{output}",
        "{outputs[a]}",
        "{input[b]}",
        "{input[0]}",
    )
    assert shlex.join([temp]) == "'{temp}'"


# --- what the page and the example show


def test_the_example_makes_what_it_says_and_then_nothing_again(script):
    shutil.copytree(ROOT / "examples" / "programs", script.folder, dirs_exist_ok=True)
    for _ in range(2):
        assert script.start("words.py").wait(60) == 0, script.stderr

    assert script.started == []
    assert (
        script.folder / "counts/wood.tsv"
    ).read_text() == "a\t2\nchuck\t2\ncould\t1\nhow\t1\nif\t1\nmuch\t1\nwood\t2\nwoodchuck\t2\nwould\t1\n"
    assert (
        gzip.decompress((script.folder / "long_words.txt.gz").read_bytes())
        == (script.folder / "long_words.txt").read_bytes()
    )
    assert not list((script.folder / "words").iterdir())


def test_the_page_names_all_arguments_and_placeholders():
    page = (ROOT / "docs" / "programs.rst").read_text()

    shown = " ".join(re.search(r"``CommandJob\((.*?)\)``", page, re.DOTALL)[1].split())
    parameters = list(inspect.signature(ppg.CommandJob.__init__).parameters.values())[1:]
    assert [each.partition("=")[0] for each in re.findall(r"\w+(?:=\([^)]*\)|=\w+)?", shown)] == [
        each.name for each in parameters
    ]
    assert all(f"{{{name}" in page for name in NAMES)
