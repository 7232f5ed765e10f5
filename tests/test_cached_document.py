"""What docs/cached.rst shows is what its example prints, and what it says of memory is so."""

import re
import subprocess
import sys

from scripts import ROOT

DOCUMENT = (ROOT / "docs" / "cached.rst").read_text()
EXAMPLE = ROOT / "examples" / "cached" / "analysis.py"


def without_times(line):
    return re.sub(r"\d+\.\d s", "SECONDS", line)


def test_the_document_shows_what_the_example_prints(script):
    (script.folder / "analysis.py").write_text(EXAMPLE.read_text())
    shown = re.search(r"\.\. code-block:: text\n\n((?:   .*\n)+)", DOCUMENT)[1].replace("   ", "", 1).splitlines()
    shown = [without_times(line.strip()) for line in shown]
    printed = []
    for typed in (line for line in shown if line.startswith("$ ")):
        command = typed[2:].replace("python", sys.executable)
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=script.folder,
            env=script.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed += [typed, *map(without_times, ended.stdout.splitlines())]

    assert len(shown) == 7
    assert printed == shown
    assert (script.folder / "top" / "lung.tsv").read_text().count("\n") == 5


def test_data_that_stays_shared_is_in_memory_once(script):
    arguments = ["array", "objects", "--jobs", "20", "--gigabytes", "0.1"]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "util" / "bench" / "shared_memory.py"), *arguments],
        cwd=script.folder,
        env=script.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    rows = {cells[0]: [float(each) for each in cells[1:]] for cells in map(str.split, ended.stdout.splitlines()[1:])}
    size, jobs, own, together = rows["array"]
    assert (size, jobs) == (100, 20)
    assert own < size / 10
    assert together < 2.5 * size
    size, jobs, own, together = rows["objects"]
    assert own > size / 2  # copied, as the document says
