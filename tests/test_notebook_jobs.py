"""Notebooks as jobs, in real kernels."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import textwrap
from pathlib import Path

import pytest
from commands import pipegraph
from scripts import ROOT, wait_until

import pipegraph as ppg


def write_notebook(path, *sources, parameters=None, words="# Title", kernel="python3", language="python"):
    """Text cells are strings that begin with #, and a space."""
    cells = [{"cell_type": "markdown", "id": "words", "metadata": {}, "source": words}]
    sources = [*([] if parameters is None else [parameters]), *sources]
    cells += [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {"tags": ["parameters"]} if source == parameters else {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    spec = {"name": kernel, "language": language, "display_name": kernel}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": cells}
    Path(path).write_text(json.dumps(notebook))


def cells(path):
    return [cell for cell in json.loads(Path(path).read_text())["cells"] if cell["cell_type"] == "code"]


def shown(cell):
    return ["".join(output.get("text") or output["data"]["text/plain"]) for output in cell["outputs"]]


@pytest.fixture
def script(script):
    """With a home and a folder for temporary files of its own."""
    for name in ("home", "tmp"):
        (script.folder / name).mkdir()
    script.environment |= {"HOME": str(script.folder / "home"), "TMPDIR": str(script.folder / "tmp")}
    return script


REPORT = """
ppg.new_pipegraph()
job = ppg.NotebookJob("report.ipynb", "out/report.ipynb", parameters={"cutoff": CUTOFF}, outputs={"table": "out/t.tsv"})
ppg.FileGeneratingJob("sum.txt", lambda out: out.write_text(open("out/t.tsv").read())).depends_on(job["table"])
ppg.FileGeneratingJob("page.txt", lambda out: out.write_text("seen")).depends_on(job["html"])
ppg.run_pipegraph()
"""
NAME = "out/report.html:::out/report.ipynb:::out/t.tsv"


def test_a_notebook_runs_again_for_its_code_and_its_parameters_and_for_nothing_else(script):
    report = script.folder / "report.ipynb"

    def report_started(cutoff, *sources, words="# Title"):
        write_notebook(report, *sources, parameters="cutoff = 1\nname = 'x'", words=words)
        script.run(REPORT.replace("CUTOFF", str(cutoff)))
        return sorted(script.started)

    table = "with open('out/t.tsv', 'w') as out:\n    out.write(f'{name}\\t{cutoff}')"
    assert report_started(5, table, "import os\nprint(os.getcwd())\ncutoff") == [NAME, "page.txt", "sum.txt"]
    assert shown(cells(script.folder / "out/report.ipynb")[3]) == [f"{script.folder}\n", "5"]
    assert [cell["source"] for cell in cells(script.folder / "out/report.ipynb")][1] == ["# Parameters\n", "cutoff = 5"]
    assert "<html" in (script.folder / "out/report.html").read_text()
    assert (script.folder / "sum.txt").read_text() == "x\t5"
    assert json.loads(report.read_text())["cells"][1]["outputs"] == []  # the source is left alone
    assert report_started(5, table, "import os\nprint( os.getcwd() )  # where\ncutoff", words="# Words") == []
    assert report_started(6, table, "import os\nprint(os.getcwd())\ncutoff") == [NAME, "page.txt", "sum.txt"]
    # The table comes out the same: who takes it alone does not run.
    assert report_started(6, table, "import os\nprint(os.getcwd())\n-cutoff") == [NAME, "page.txt"]
    write_notebook(report, table, "import os\nprint(os.getcwd())\n+cutoff", parameters="cutoff = 1\nname = 'x'")
    told = pipegraph(script, "diff", "--script", "script.py", NAME).stdout
    assert "--- cell c2 before\n" in told
    assert told.endswith("\n        --cutoff\n        ++cutoff\n")
    assert NAME in pipegraph(script, "dependents", "report.ipynb").stdout
    assert NAME in pipegraph(script, "why", "--script", "script.py", "--changed", "report.ipynb").stdout
    assert list((script.folder / "tmp").iterdir()) == []
    assert (
        sorted(each.name for each in (script.folder / "home").rglob("*") if each.suffix in (".json", ".sqlite")) == []
    )


def test_the_result_of_a_notebook_may_be_shared_since_its_code_is_watched(graph):
    write_notebook("report.ipynb", "1")
    job = ppg.NotebookJob("report.ipynb", "out/report.ipynb").share("results")

    *_, spec = job.specs()

    assert spec.store is not None and not spec.unwatched


def test_two_executions_that_show_the_same_are_the_same_bytes(script):
    write_notebook(
        script.folder / "a.ipynb",
        "import sys\nfor n in range(50):\n    print(n, file=(sys.stderr, sys.stdout)[n % 2], flush=True)",
    )
    text = "ppg.new_pipegraph()\nppg.NotebookJob('a.ipynb', 'out/a.ipynb')\nppg.run_pipegraph()"

    def made():
        return [(script.folder / "out" / name).read_bytes() for name in ("a.ipynb", "a.html")]

    script.run(text)
    first = made()
    # When which of the two comes is a matter of luck.
    assert len(cells(script.folder / "out/a.ipynb")[0]["outputs"]) == 2
    (script.folder / "out/a.html").unlink()
    script.run(text)

    assert script.started == ["out/a.html:::out/a.ipynb"]
    assert made() == first


def test_a_cell_that_raises_is_told_with_its_line_and_what_was_executed_is_kept_where_that_is_wished(script):
    write_notebook(
        script.folder / "a.ipynb", "def f(x):\n    return 1 / x", "y = 1\nf(0)  # here\nprint(3)", "print(4)"
    )
    errors = script.run(
        """
        ppg.new_pipegraph()
        ppg.NotebookJob("a.ipynb", "out/a.ipynb", parameters={"z": 3}, html=False, rename_broken=True)
        ppg.NotebookJob("a.ipynb", "out/b.ipynb", html=False)
        ppg.run_pipegraph()
        """,
        1,
    )

    assert errors.count("NotebookError: a.ipynb, cell 3 of 4, line 2: ZeroDivisionError: division by zero") == 4
    assert "last line printed: cell 3 of 4: y = 1" in errors
    assert "source: f(0)  # here" in script.errors
    assert "Cell In[1], line 2, in f(x)" in script.errors
    assert "\x1b" not in script.errors
    assert "The notebook up to there: out/a.ipynb.broken" in script.errors
    assert "To keep the notebook up to there: rename_broken=True." in script.errors
    assert [len(cell["outputs"]) for cell in cells(script.folder / "out/a.ipynb.broken")] == [0, 0, 1, 0]
    assert os.listdir(script.folder / "out") == ["a.ipynb.broken"]


def test_a_kernel_that_dies_and_one_that_takes_too_long_fail_their_jobs(script):
    write_notebook(script.folder / "dies.ipynb", "1", "import os\nos._exit(3)")
    write_notebook(script.folder / "slow.ipynb", "import threading\nthreading.Event().wait()")
    errors = script.run(
        """
        ppg.new_pipegraph()
        ppg.NotebookJob("dies.ipynb", "out/dies.ipynb")
        ppg.NotebookJob("slow.ipynb", "out/slow.ipynb", timeout=3)
        ppg.run_pipegraph()
        """,
        1,
    )

    assert "dies.ipynb, cell 3 of 3: the kernel died: it crashed, or the system ran out of memory" in errors
    assert "slow.ipynb, cell 2 of 2: the notebook took longer than its timeout, 3 seconds" in errors


WAITS = "import os, threading\nopen('kernel', 'w').write(f'{os.getpid()} {os.getppid()}')\nthreading.Event().wait()"
ENDLESS = """
ppg.new_pipegraph()
ppg.NotebookJob("a.ipynb", "out/a.ipynb")
def wait(out):
    while not os.path.exists("go"):
        time.sleep(0.01)
    out.write_text("done")
ppg.FileGeneratingJob("other", wait)
ppg.run_pipegraph()
"""


def kernel_of(script):
    write_notebook(script.folder / "a.ipynb", WAITS)
    script.write(ENDLESS)
    process = script.start()
    wait_until(lambda: len(script.lines("kernel")) == 1 and " " in script.lines("kernel")[0], "no kernel", 60)
    kernel, job = map(int, script.lines("kernel")[0].split())
    return process, kernel, job


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_kernel_ends_with_the_process_of_its_job_while_the_run_goes_on(script):
    process, kernel, job = kernel_of(script)
    os.kill(kernel, signal.SIGSTOP)  # it can't look whether its parent is there
    os.kill(job, signal.SIGKILL)
    wait_until(lambda: not is_alive(kernel), "the kernel goes on")
    assert process.poll() is None
    (script.folder / "go").touch()

    assert process.wait(60) == 1
    assert (script.folder / "other").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_kernel_outlives_a_run_that_is_ended(script, number):
    process, kernel, _ = kernel_of(script)
    process.send_signal(number)

    assert process.wait(60) != 0
    wait_until(lambda: not is_alive(kernel), "the kernel goes on")
    script.assert_no_process_left()
    assert not (script.folder / "out/a.ipynb").exists()


def test_a_notebook_that_a_job_makes_is_executed_when_it_is_made_and_counts_as_a_whole(script):
    text = """
    import json
    def make(out):
        out.write_text(open("source.ipynb").read())
    ppg.new_pipegraph()
    ppg.FileGeneratingJob("made.ipynb", make).depends_on_file("source.ipynb")
    ppg.NotebookJob("made.ipynb", "out/made.ipynb", html=False)
    ppg.run_pipegraph()
    """
    write_notebook(script.folder / "source.ipynb", "print(1)")
    script.run(text)
    assert script.started == ["made.ipynb", "out/made.ipynb"]
    write_notebook(script.folder / "source.ipynb", "print(1)", words="# Words")
    script.run(text)

    assert script.started == ["made.ipynb", "out/made.ipynb"]
    assert "# Words" in (script.folder / "out/made.ipynb").read_text()


def test_a_notebook_that_is_edited_between_two_runs_of_one_graph_runs_again(script):
    write_notebook(script.folder / "a.ipynb", "print(1)")
    script.run(
        """
        ppg.new_pipegraph()
        job = ppg.NotebookJob("a.ipynb", "out/a.ipynb", html=False)
        ppg.run_pipegraph()
        text = open("a.ipynb").read()
        open("a.ipynb", "w").write(text.replace("print(1)", "print( 1 )"))
        ppg.run_pipegraph()
        assert not job.was_run
        open("a.ipynb", "w").write(text.replace("print(1)", "print(2)"))
        ppg.run_pipegraph()
        assert job.was_run
        # And it may be declared anew.
        assert ppg.NotebookJob("a.ipynb", "out/a.ipynb", html=False, parameters={"x": 1}) is job
        ppg.run_pipegraph()
        assert job.was_run
        """
    )

    assert [shown(cell) for cell in cells(script.folder / "out/a.ipynb")] == [[], ["2\n"]]


def test_a_strict_notebook_may_write_into_the_folders_of_its_outputs(script):
    write_notebook(script.folder / "a.ipynb", "open('out/more.txt', 'w').write('x')")
    script.run(
        """
        ppg.new_pipegraph(strict=True)
        ppg.NotebookJob("a.ipynb", "out/a.ipynb", outputs=["out/more.txt"])
        ppg.run_pipegraph()
        """
    )

    assert (script.folder / "out/more.txt").read_text() == "x"


# --- what is refused, at the line that declares it


def test_the_same_notebook_may_be_declared_twice_but_not_with_other_parameters(graph):
    write_notebook("a.ipynb", "1")
    job = ppg.NotebookJob("a.ipynb", "out/a.ipynb", parameters={"x": 1})

    assert ppg.NotebookJob("a.ipynb", "out/a.ipynb", parameters={"x": 1}) is job
    with pytest.raises(
        ppg.JobContractError, match="a second job of the same id with another notebook, other parameters"
    ):
        ppg.NotebookJob("a.ipynb", "out/a.ipynb", parameters={"x": 2})
    # One notebook, as often as wished.
    ppg.NotebookJob("a.ipynb", "out/b.ipynb", parameters={"x": 2})


def test_all_jobs_of_one_graph_execute_a_notebook_as_it_was_when_the_first_was_declared(graph):
    write_notebook("a.ipynb", "print(1)")
    ppg.NotebookJob("a.ipynb", "out/a.ipynb")
    write_notebook("a.ipynb", "print(2)")
    ppg.NotebookJob("a.ipynb", "out/b.ipynb")

    (watched,) = (job for job in graph.jobs.values() if job.job_id == "NBa.ipynb")
    assert "print(1)" in watched.notebook.text
    assert watched.explain().parts[1].text == "print(1)"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"notebook": "none.ipynb"}, "a notebook can't be read(.|\n)*No such file"),
        ({"notebook": "text.ipynb"}, "a notebook can't be read(.|\n)*not the file of a Jupyter notebook"),
        ({"output_notebook": "./a.ipynb"}, "would be overwritten"),
        ({"output_notebook": "link.ipynb"}, "would be overwritten"),
        ({"kernel": "cobol"}, "no Jupyter kernel of this name(.|\n)*kernel: +cobol\n +there are: .*python3"),
        ({"notebook": "other.ipynb"}, "no Jupyter kernel of this name(.|\n)*kernel: +fortran"),
        ({"parameters": {"cutof": 1}}, "does not have(.|\n)*cutof; there are cutoff"),
        ({"parameters": {"not a name": 1}}, "no name(.|\n)*'not a name'"),
        ({"parameters": {"class": 1}}, "no name(.|\n)*'class'"),
        ({"parameters": {"cutoff": Path("x")}}, "can't be written into a notebook(.|\n)*str\\(path\\)"),
        ({"timeout": 0}, "number of seconds"),
        ({"timeout": True}, "number of seconds"),
        ({"timeout": "3"}, "number of seconds"),
        ({"outputs": {"html": "x.txt"}}, "must not be named 'html'"),
        ({"outputs": ["out/a.html"]}, "one file twice"),
    ],
)
def test_what_can_not_be_executed_is_refused_where_it_is_declared(graph, arguments, told):
    write_notebook("a.ipynb", "1", parameters="cutoff = 3")
    write_notebook("other.ipynb", "1", kernel="fortran")
    os.symlink("a.ipynb", "link.ipynb")
    Path("text.ipynb").write_text("text")

    with pytest.raises(ppg.JobContractError, match=told) as caught:
        ppg.NotebookJob(**{"notebook": "a.ipynb", "output_notebook": "out/a.ipynb", **arguments})
    assert "test_notebook_jobs.py:" in str(caught.value) or "must not be named" in str(caught.value)
    assert not [job for job in graph.jobs.values() if job.outputs]


def test_parameters_for_another_language_are_refused(graph, monkeypatch):
    monkeypatch.setattr("pipegraph.jobs.kernels._kernels", lambda: ["ir"])
    write_notebook("r.ipynb", "1", kernel="ir", language="R")
    ppg.NotebookJob("r.ipynb", "out/r.ipynb")

    with pytest.raises(ppg.JobContractError, match="notebooks in Python only"):
        ppg.NotebookJob("r.ipynb", "out/r2.ipynb", parameters={"x": 1})


@pytest.mark.parametrize(("html", "is_refused"), [(None, True), (False, False)])
def test_what_is_not_installed_is_told_with_how_to_get_it(graph, monkeypatch, html, is_refused):
    write_notebook("a.ipynb", "1")
    monkeypatch.setattr("pipegraph.jobs.kernels.find_spec", lambda name: None if name == "nbconvert" else name)
    if not is_refused:
        ppg.NotebookJob("a.ipynb", "out/a.ipynb", html)
        return

    with pytest.raises(ppg.JobContractError, match=r"nbconvert(.|\n)*pip install 'pipegraph\[notebooks\]'"):
        ppg.NotebookJob("a.ipynb", "out/a.ipynb", html)


def test_a_notebook_that_is_declared_before_the_job_that_makes_it_is_refused(graph):
    write_notebook("a.ipynb", "1")
    ppg.NotebookJob("a.ipynb", "out/a.ipynb")
    ppg.FileGeneratingJob("a.ipynb", lambda out: out.write_text("{}"))

    with pytest.raises(ppg.JobContractError, match="declared before the job that makes it"):
        ppg.run_pipegraph()


# --- docs/notebooks.rst


def test_the_page_shows_what_is_told_of_its_example(script):
    page = (ROOT / "docs" / "notebooks.rst").read_text()
    changed, failed = (textwrap.dedent(block) for block in re.findall(r"code-block:: text\n\n((?:   .*\n|\n)+)", page))
    shutil.copytree(ROOT / "examples" / "notebooks", script.folder, dirs_exist_ok=True)
    source = (script.folder / "report.ipynb").read_text()
    analysis = (script.folder / "analysis.py").read_text()

    def run():
        process = script.start("analysis.py")
        return process.wait(60)

    assert run() == 0
    assert script.lines("results/count.txt") == ["18 values are large"]
    (script.folder / "report.ipynb").write_text(source.replace("cutoff = 5", "cutoff = 6"))
    assert pipegraph(script, "diff", "--script", "analysis.py").stdout.strip() == changed.strip()
    (script.folder / "report.ipynb").write_text(source)
    (script.folder / "analysis.py").write_text(analysis.replace("str(number * number % 17)", "'x'"))
    assert run() == 1
    missing = [line for line in failed.strip().splitlines() if line not in script.stderr.splitlines()]
    assert missing == [], script.stderr
