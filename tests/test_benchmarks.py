"""The benchmarks still work. How fast anything is, is not looked at."""

import importlib.util
import shutil
import subprocess
import sys

import pytest
from scripts import ROOT

FOLDER = ROOT / "util" / "bench"
PAGE = (ROOT / "docs" / "performance.rst").read_text()
NEEDED = {"commands": "ninja"}
MODULES = {"shared_memory": ("numpy", "pandas", "pyarrow"), "loaded": ("numpy",)}


def run(script, *arguments):
    # In another folder than the checkout, as from anywhere.
    script.folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), *arguments],
        cwd=script.folder,
        env=script.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def names():
    answer = subprocess.run(
        [sys.executable, str(FOLDER / "run.py")], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    return [line.split()[0] for line in answer.stdout.splitlines()]


NAMES = names()


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_still_works(script, name):
    if name in NEEDED and not shutil.which(NEEDED[name]):
        pytest.skip(f"{NEEDED[name]} is not there")
    if not all(importlib.util.find_spec(module) for module in MODULES.get(name, ())):
        pytest.skip("its libraries are not there")
    ended = run(script, "--quick", name)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(ended.stdout.splitlines()) > 4
    assert ended.stderr == ""


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_is_in_the_page_on_performance(name):
    assert f"util/bench/{name}.py" in PAGE or f"run.py {name}" in PAGE


def test_a_benchmark_that_there_is_not_is_refused_with_those_that_there_are(script):
    ended = run(script, "--quick", "fast")

    assert ended.returncode == 2
    assert "no such benchmark: fast; there are " in ended.stderr
    assert "fresh" in ended.stderr


def test_what_other_tools_make_is_judged_by_what_it_must_be(script):
    """A change that is missed is wrong, whatever the time was: with make, which knows no parameters, and our own."""
    if not shutil.which("make"):
        pytest.skip("make is not there")
    code = (
        "import others, projects\n"
        "changes = {change.name: change for change in others.CHANGES}\n"
        "for tool in (projects.Make(), projects.Ours('a fork each'), projects.Ours('commands')):\n"
        "    for name in ('parameter', 'output edited', 'output deleted', 'same intermediate'):\n"
        "        print(others.judge(tool, changes[name]), end=' ')\n"
        "    print()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=False)

    assert ended.stderr == ""
    assert ended.stdout.splitlines() == ["wrong wrong right needless ", *["right right right right "] * 2]


def test_a_folder_that_is_brought_up_to_date_at_once_is_up_to_date_for_a_real_run(script):
    script.write(
        """
        ppg.new_pipegraph()
        first = ppg.FileGeneratingJob("one", lambda of: of.write_text(str(os.getpid())))
        ppg.FileGeneratingJob("two", lambda of: of.write_text(str(os.getpid()))).depends_on(first)
        ppg.run_pipegraph()
        """
    )
    subprocess.run(
        [sys.executable, str(FOLDER / "at_once.py"), "script.py"],
        cwd=script.folder,
        env=script.environment,
        capture_output=True,
        check=True,
    )
    made = [(script.folder / name).read_text() for name in ("one", "two")]
    script.run()

    assert made[0] == made[1]  # in the script's own process
    assert script.started == []
    (script.folder / "one").write_text("other")
    script.run()
    assert script.started == ["one", "two"]
