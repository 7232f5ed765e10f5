"""strict=True: jobs may write into the folders of their outputs only, they and all that they start."""

from __future__ import annotations

import re

import pytest
from scripts import Script

import pipegraph as ppg
from pipegraph.slaves.strict import landlock_version

needs_landlock = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock: nothing is confined")

# What a job that makes o/NAME may not do, and the file that the failure names, below the script's folder.
FORBIDDEN = {
    "makes": ("open('stray', 'w')", "stray"),
    "changes": ("open('theirs', 'a')", "theirs"),
    "truncates": ("os.truncate('theirs', 0)", "theirs"),
    "removes": ("os.remove('theirs')", "theirs"),
    "moves away": ("os.rename('theirs', 'o/mine')", "theirs"),
    "moves out": ("(open('o/mine2', 'w'), os.rename('o/mine2', 'out_of_it'))", "out_of_it"),
    "links in": ("os.link('theirs', 'o/linked')", "theirs"),
    "makes a folder": ("os.mkdir('stray_folder')", "stray_folder"),
    "in a folder beside": ("open('p/stray', 'w')", "p/stray"),
}
ALLOWED = {
    "beside its output": "open('o/beside', 'w').write('x')",
    "in a folder beside its output": "(os.mkdir('o/deep'), open('o/deep/er', 'w').write('x'))",
    "a temporary file": "(tempfile.TemporaryFile(), tempfile.NamedTemporaryFile())",
    "from a temporary file": "os.rename(tempfile.mkstemp()[1], 'o/moved')",
    "a program's temporary file": "subprocess.check_call('touch $(mktemp) && mkdir $TMPDIR/deep', shell=True)",
    "nowhere": "open('/dev/null', 'w').write('x')",
    "shared memory": "shared_memory.SharedMemory(create=True, size=100).unlink()",
    "workers": "multiprocessing.Pool(2).map(abs, [1, -1])",
    "a queue": "multiprocessing.Queue().put(1)",
    "its stdout": "subprocess.check_call('echo printed > /dev/stdout', shell=True)",
    "reads": "open('theirs').read()",
    "a link to an input": "os.symlink(os.path.abspath('theirs'), 'o/symbolic')",
}
SCRIPT = """
    import multiprocessing, subprocess, tempfile
    from multiprocessing import shared_memory

    for folder in ("o", "p"):
        os.makedirs(folder, exist_ok=True)
    open("theirs", "w").write("kept")
    tempfile.gettempdir()  # it is remembered, and must be forgotten
    ppg.new_pipegraph(strict=STRICT)
    for name, what in DOES.items():
        def function(output, what=what):
            eval(what)
            output.write_text("x")
        ppg.FileGeneratingJob(f"o/{name}", function)
    ppg.run_pipegraph()
    """


@needs_landlock
def test_each_way_to_write_elsewhere_fails_and_is_named_with_its_path(script: Script) -> None:
    does = {name: what for name, (what, _) in FORBIDDEN.items()}
    script.run(f"    STRICT, DOES = True, {does!r}\n" + SCRIPT, 1)

    blocks = re.findall(r"^\S+ \S+ o/(.*?) raised\n(.*?)\n\n", script.errors, re.MULTILINE | re.DOTALL)
    named = {
        name: re.findall(r"\bfile: +(/.*)", block)
        for name, block in blocks
        if "JobContractError: a strict job" in block
    }
    assert named == {name: [f"{script.folder}/{path}"] for name, (_, path) in FORBIDDEN.items()}
    assert (script.folder / "theirs").read_text() == "kept"
    assert not (script.folder / "stray").exists()
    assert "module tempfile" in script.errors


@needs_landlock
def test_what_jobs_need_is_left_to_them_and_nothing_of_it_stays(script: Script) -> None:
    script.environment["TMPDIR"] = str(script.folder)
    script.run(f"    STRICT, DOES = True, {ALLOWED!r}\n" + SCRIPT)

    assert len(script.started) == len(ALLOWED)
    assert not list(script.folder.glob("pipegraph-*"))


def test_without_strict_nothing_is_confined(script: Script) -> None:
    script.run("    STRICT, DOES = False, {'makes': \"open('stray', 'w')\"}\n" + SCRIPT)

    assert (script.folder / "stray").exists()


@needs_landlock
def test_programs_are_confined_too_and_say_so_themselves(script: Script) -> None:
    script.run(
        """
        import subprocess
        ppg.new_pipegraph(strict=True)
        ppg.FileGeneratingJob("o/a", lambda: subprocess.check_call("(echo x > stray)", shell=True))
        ppg.run_pipegraph()
        """,
        1,
    )

    assert not (script.folder / "stray").exists()
    assert re.search(r"stray: Permission denied", script.errors)


@needs_landlock
def test_a_file_that_may_not_be_written_anyway_is_no_matter_of_strictness(script: Script) -> None:
    script.run(
        """
        ppg.new_pipegraph(strict=True)
        def function():
            raise PermissionError(13, "no", "/sys/absent/file")
        ppg.FileGeneratingJob("o/a", function)
        ppg.run_pipegraph()
        """,
        1,
    )

    assert "PermissionError" in script.errors
    assert "strict job" not in script.errors


def test_loading_jobs_and_the_jobs_after_them_are_not_confined_by_each_other(script: Script) -> None:
    script.run(
        """
        ppg.new_pipegraph(strict=True)
        loader = ppg.DataLoadingJob("load", lambda: open("loaded", "w").write("x"))
        for name in ("p/a", "q/b"):
            ppg.FileGeneratingJob(name, lambda output: output.write_text("x")).depends_on(loader)
        ppg.JobGeneratingJob("gen", lambda: ppg.FileGeneratingJob("r/c", lambda output: output.write_text("x")))
        ppg.run_pipegraph()
        """
    )

    assert sorted(script.started) == ["gen", "load", "p/a", "q/b", "r/c"]


def test_a_job_that_dies_leaves_no_temporary_folder(script: Script) -> None:
    script.environment["TMPDIR"] = str(script.folder)
    script.run(
        """
        import tempfile
        ppg.new_pipegraph(strict=True)
        def function():
            os.makedirs(tempfile.mkdtemp() + "/deep/er")
            os._exit(3)
        ppg.FileGeneratingJob("o/a", function)
        ppg.run_pipegraph()
        """,
        1,
    )

    assert "exit" in script.errors
    assert not list(script.folder.glob("pipegraph-*"))


def test_a_kernel_without_landlock_is_told_once_and_the_run_goes_on(script: Script) -> None:
    stderr = script.run(
        """
        from pipegraph.slaves import strict
        strict._CREATE_RULESET = 1 << 20  # no such system call
        ppg.new_pipegraph(strict=True)
        for name in ("o/a", "o/b"):
            ppg.FileGeneratingJob(name, lambda output: (open("stray", "w"), output.write_text("x")))
        ppg.run_pipegraph()
        """
    )

    assert stderr.count("warning") == 1
    assert "this kernel has no Landlock: jobs may write everywhere" in stderr


@pytest.mark.parametrize(("text", "given", "expected"), [("1", False, True), ("0", True, False), ("", True, True)])
def test_the_environment_goes_before_the_script(
    monkeypatch: pytest.MonkeyPatch, graph: object, text: str, given: bool, expected: bool
) -> None:
    monkeypatch.setenv("PIPEGRAPH_STRICT", text)

    assert ppg.new_pipegraph(strict=given).strict is expected


def test_what_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch, graph: object) -> None:
    with pytest.raises(ppg.JobContractError, match="strict is neither on nor off"):
        ppg.new_pipegraph(strict="yes")  # type: ignore[arg-type]
    monkeypatch.setenv("PIPEGRAPH_STRICT", "maybe")
    with pytest.raises(ppg.JobContractError, match="PIPEGRAPH_STRICT is neither on nor off"):
        ppg.new_pipegraph()
