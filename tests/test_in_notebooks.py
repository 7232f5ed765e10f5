"""Jobs that are declared and run in a notebook, cell by cell, in a real kernel."""

from __future__ import annotations

from notebooks import executed, kinds

BEGIN = """
import pipegraph as ppg
graph = ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))
size = 3
def table(output):
    output.write_text(f"size {size}")
job = ppg.FileGeneratingJob("table.txt", table)
ppg.run()
graph
"""


def shown(outputs):
    """The summary of the run, and what else a cell left."""
    return [
        (each["data"]["text/plain"].strip() if "data" in each else each.get("text") or each["ename"])
        for each in outputs
    ]


def test_a_job_is_declared_anew_in_a_later_cell_and_runs_for_what_changed(script):
    cells = executed(
        script,
        BEGIN,
        "ppg.run()",
        "size = 4\nppg.run()\nprint(open('table.txt').read())",
        "def table(output):\n    output.write_text('other')\n",
        "ppg.run()\nprint(open('table.txt').read())",
        "job = ppg.FileGeneratingJob('table.txt', table)\nppg.run()\nprint(open('table.txt').read())",
        "def empty(files):\n    files[0].write_text('')",
        "job = ppg.MultiFileGeneratingJob(['table.txt'], empty, empty_ok=True)\nppg.run()",
        "job = ppg.MultiFileGeneratingJob(['table.txt'], empty)\nppg.forget_job_status()\njob()",
    )
    told = [shown(outputs) for outputs, _ in cells]

    assert told[0][0].startswith("pipegraph: 1 made")
    assert told[0][1] == f"<Graph of 1 job in {script.folder}>"
    assert told[1][0].startswith("pipegraph: 1 up to date")
    assert told[2][1] == "size 4\n"
    # The job still has the function that it was given.
    assert told[4][0].startswith("pipegraph: 1 up to date")
    assert told[5][1] == "other\n"
    assert told[7][0].startswith("pipegraph: 1 made")
    assert "JobContractError: a job left an empty file" in told[8][0]
    assert told[8][1] == "RuntimeError"


def test_places_are_cells_by_their_numbers_also_of_one_that_is_executed_again(script):
    cells = executed(
        script,
        BEGIN,
        "x = 1\nbad = ppg.FileGeneratingJob('bad.txt', lambda: 1 / 0)\nbad",
        "ppg.run()",
        "x = 1\nbad = ppg.FileGeneratingJob('bad.txt', lambda: 1 / 0)\nbad",
        "bad = ppg.FileGeneratingJob('bad.txt', lambda: 2 / 0)\nbad",
        "x = 1\nbad = ppg.FileGeneratingJob('bad.txt', lambda: 1 / 0)\nbad",
    )
    told = [shown(outputs) for outputs, _ in cells]

    assert told[1] == ["<FileGeneratingJob bad.txt (In[2]:2)>"]
    assert "failed bad.txt (In[2]:2)" in told[2][0]
    assert "    at In[2]:2  bad = ppg.FileGeneratingJob('bad.txt', lambda: 1 / 0)" in told[2][0]
    assert told[3:] == [[f"<FileGeneratingJob bad.txt (In[{place})>"] for place in ("4]:2", "5]:1", "6]:2")]
    assert "ipykernel" not in (script.folder / "logs" / "ppg_run.txt").read_text()


def test_generators_begin_anew_in_each_run_and_job_gives_itself_back(script):
    cells = executed(
        script,
        BEGIN,
        """
names = ["a", "b"]
def declare():
    for name in names:
        ppg.FileGeneratingJob(name, lambda output, name=name: output.write_text(name)).depends_on(job)
generator = ppg.JobGeneratingJob("generator", declare)
ppg.run()
""",
        "names.append('c')\nppg.run()",
        "size = 5\njob()",
    )
    told = [shown(outputs) for outputs, _ in cells]

    assert told[1][0].startswith("pipegraph: 2 made, 1 up to date, 1 generator")
    assert told[2][0].startswith("pipegraph: 1 made, 3 up to date, 1 generator")
    assert told[3][0].startswith("pipegraph: 1 made in")
    assert told[3][1].startswith("<FileGeneratingJob table.txt (In[")
    assert kinds(cells[3][0]) == [("display_data", ""), ("execute_result", "")]
