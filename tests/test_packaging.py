"""What is installed, and that what the documents tell a newcomer to type works."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

import pipegraph

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    [
        *REPOSITORY.glob("*.rst"),
        *(REPOSITORY / "docs").rglob("*.rst"),
        *(REPOSITORY / "examples" / "quality_control").glob("*.rst"),
        *(REPOSITORY / "examples" / "quality_control" / "data").glob("*.rst"),
    ]
)
BASH_BLOCKS_RUN_ELSEWHERE = {
    "examples/quality_control/README.rst": "test_example.py",
    "README.rst": ".ci/run, which the tests below hold to it",
    "docs/commands.rst": "test_commands_document.py",
    "docs/shared.rst": "test_shared_document.py",
}


class Block(NamedTuple):
    document: Path
    line: int
    language: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.document.relative_to(REPOSITORY)}:{self.line}"


def blocks_of(document: Path) -> list[Block]:
    """Each code block with its language, its indentation taken away."""
    lines = document.read_text(encoding="utf-8").splitlines()
    blocks = []
    for number, line in enumerate(lines):
        directive = re.match(r"( *)\.\. code-block:: *(\S+)$", line)
        if not directive:
            continue
        body = []
        for follower in lines[number + 1 :]:
            if follower.strip() and not follower.startswith(directive[1] + " "):
                break
            body.append(follower)
        blocks.append(Block(document, number + 1, directive[2], textwrap.dedent("\n".join(body)).strip("\n") + "\n"))
    return blocks


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def run_script(script: Path) -> str:
    ended = run(sys.executable, script, cwd=script.parent)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def only_block(document: str, language: str) -> str:
    (text,) = (b.text for b in BLOCKS if b.document == REPOSITORY / document and b.language == language)
    return text


def files_in(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture
def source_copy(tmp_path: Path) -> Path:
    """What setup.py needs, in a folder where a build may leave what it likes."""
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.rst"):
        shutil.copy(REPOSITORY / name, copy)
    shutil.copytree(REPOSITORY / "pipegraph", copy / "pipegraph", ignore=shutil.ignore_patterns("__pycache__"))
    return copy


# What is installed


def test_every_module_and_the_mark_of_types_are_installed_and_nothing_else(source_copy: Path) -> None:
    (source_copy / "tests").mkdir()
    (source_copy / "tests" / "__init__.py").touch()

    built = run(sys.executable, "setup.py", "-q", "build_py", "--build-lib", "installed", cwd=source_copy)

    assert built.returncode == 0, built.stderr
    assert files_in(source_copy / "installed") == {
        f"pipegraph/{name}" for name in files_in(REPOSITORY / "pipegraph") if name.endswith((".py", "py.typed"))
    }
    assert (source_copy / "installed" / "pipegraph" / "py.typed").exists()


def test_the_installed_package_works_away_from_its_source(source_copy: Path, tmp_path: Path) -> None:
    run(sys.executable, "setup.py", "-q", "build_py", "--build-lib", tmp_path / "installed", cwd=source_copy)
    shutil.rmtree(source_copy)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = "import pipegraph as p; p.new(); p.FileGeneratingJob('a', lambda a: a.write_text('made')); p.run()"

    ended = run(sys.executable, "-c", script, cwd=elsewhere, PYTHONPATH=str(tmp_path / "installed"))

    assert ended.returncode == 0, ended.stderr
    assert (elsewhere / "a").read_text() == "made"


def test_the_version_is_one_number_everywhere(source_copy: Path) -> None:
    said = run(sys.executable, "setup.py", "--version", cwd=source_copy).stdout.split()[-1]
    newest = re.search(r"^(\d+\.\d+\.\d+)", (REPOSITORY / "CHANGELOG.rst").read_text(), re.MULTILINE)

    assert newest is not None
    assert (said, newest[1]) == (pipegraph.__version__, pipegraph.__version__)


def test_the_version_is_read_without_importing_what_is_not_installed_yet(source_copy: Path) -> None:
    (source_copy / "pipegraph" / "__init__.py").write_text("__version__ = '7.8.9'\nimport not_there\n")

    assert run(sys.executable, "setup.py", "--version", cwd=source_copy).stdout.split()[-1] == "7.8.9"


def test_a_package_without_a_version_is_not_built(source_copy: Path) -> None:
    (source_copy / "pipegraph" / "__init__.py").write_text("")

    ended = run(sys.executable, "setup.py", "--version", cwd=source_copy)

    assert ended.returncode != 0
    assert "__version__" in ended.stderr


def test_three_packages_are_required_and_the_extras_add_the_tools(source_copy: Path) -> None:
    run(sys.executable, "setup.py", "-q", "egg_info", "--egg-base", ".", cwd=source_copy)
    lines = (source_copy / "pipegraph.egg-info" / "requires.txt").read_text().splitlines()
    headings = ["", *(line for line in lines if line.startswith("["))]
    starts = [0, *(lines.index(heading) for heading in headings[1:])]
    names = {
        heading: {re.split("[><=]", line)[0] for line in lines[start : (starts + [len(lines)])[at + 1]]} - {"", heading}
        for at, (heading, start) in enumerate(zip(headings, starts))
    }
    metadata = (source_copy / "pipegraph.egg-info" / "PKG-INFO").read_text()

    assert names[""] == {"psutil", "rich", "xxhash"}
    assert {"pytest", "pytest-randomly", "pytest-timeout", "pytest-xdist", "hypothesis", "numpy", "pandas"} <= names[
        "[test]"
    ]
    assert names["[notebooks]"] == {"nbclient", "nbconvert", "ipykernel"} <= names["[test]"]
    tools, plots = {"ruff", "mypy", "types-psutil", "cosmic-ray"}, {"plotnine", "altair", "vl-convert-python", "plotly"}
    assert names["[dev]"] - names["[test]"] == tools | plots
    assert "Requires-Python: >=3.10" in metadata


def test_the_tests_import_nothing_that_the_test_extra_does_not_bring(source_copy: Path) -> None:
    run(sys.executable, "setup.py", "-q", "egg_info", "--egg-base", ".", cwd=source_copy)
    requires = (source_copy / "pipegraph.egg-info" / "requires.txt").read_text().replace("-", "_")
    brought = {re.split("[><=]", line)[0] for line in requires.partition("[test]")[2].splitlines()} - {""}
    brought |= {"pipegraph", "psutil", "rich", "xxhash", *sys.stdlib_module_names}
    brought |= {path.stem for path in (REPOSITORY / "tests").rglob("*.py")} | {"tests", "proof"}
    imported = {}
    for path in (REPOSITORY / "tests").rglob("*.py"):
        if path.name == "mutants.py":
            continue  # no test, but a command that takes the dev extra
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                imported.update({alias.name.partition(".")[0]: path.name for alias in node.names})
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported[node.module.partition(".")[0]] = path.name

    assert {name: by for name, by in imported.items() if name not in brought} == {}


# What the documents say


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda block: block.id)
def test_a_python_block_of_the_documents_runs(block: Block, tmp_path: Path) -> None:
    if '["make"]' in block.text and shutil.which("make") is None:
        pytest.skip("no make here")
    data = REPOSITORY / "examples" / block.document.stem
    for each in data.glob("*.*") if data.is_dir() else ():
        shutil.copy(each, tmp_path)
    script = tmp_path / "script.py"
    script.write_text(block.text)

    run_script(script)


@pytest.mark.parametrize("example", ["notebooks/analysis.py", "rows/rows.py", "rows/raw.py"])
def test_an_example_is_what_its_page_shows(example: str) -> None:
    text = (REPOSITORY / "examples" / example).read_text()

    assert text in {block.text for block in BLOCKS if block.document.stem == example.partition("/")[0]}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_block_of_the_documents_is_text_or_run_by_a_test(document: Path) -> None:
    untagged = [line for line in document.read_text().splitlines() if re.search(r"(?<!\.\.)(?<!code-block)::$", line)]
    relative = str(document.relative_to(REPOSITORY))
    unheard = [
        block.id
        for block in blocks_of(document)
        if block.language not in {"python", "text"}
        and not (block.language == "bash" and relative in BASH_BLOCKS_RUN_ELSEWHERE)
    ]

    assert untagged == [], "say the language: '.. code-block:: text' (or python, which is run)"
    assert unheard == [], "no test runs these blocks"


def test_the_readme_begins_with_three_sentences_and_two_commands() -> None:
    introduction = (REPOSITORY / "README.rst").read_text().split("=========\n", 2)[2].strip().split("\n\n")[0]
    commands = [block for block in BLOCKS if block.document == REPOSITORY / "README.rst" and block.language == "bash"]

    assert len(re.findall(r"\.(?:\s|$)", introduction)) == 3
    assert [len(block.text.splitlines()) for block in commands] == [1, 1]
    assert commands[0].text.startswith("python3 -m venv .venv && .venv/bin/pip install . && ")
    assert commands[1].text.startswith("python3 -m venv .venv && .venv/bin/pip install '.[test]' && ")


def test_the_check_does_each_step_that_the_readme_tells_a_newcomer_to_do() -> None:
    steps_of_the_check = (REPOSITORY / ".ci" / "run").read_text().replace('"$python"', "python3").splitlines()
    commands = [
        block.text for block in BLOCKS if block.document == REPOSITORY / "README.rst" and block.language == "bash"
    ]
    steps = [step.strip() for command in commands for step in command.split("&&")]

    assert [step for step in steps if step not in steps_of_the_check] == []
    assert steps_of_the_check.count(".venv/bin/python examples/quality_control/qc.py") == 2
    assert steps_of_the_check[-1] == ".venv/bin/python -m pytest -n 2"


def test_the_check_is_a_strict_script_that_bash_can_read() -> None:
    check = REPOSITORY / ".ci" / "run"

    assert os.access(check, os.X_OK)
    assert "set -euo pipefail" in check.read_text().splitlines()
    assert run("bash", "-n", check, cwd=REPOSITORY).stderr == ""


def test_the_files_that_the_documents_name_are_there() -> None:
    named = {
        (document, name)
        for document in DOCUMENTS
        for name in re.findall(r"``((?:docs|examples|tests|util|\.ci)/[\w./-]+)``", document.read_text())
    }
    linked = {
        (document, str((document.parent / name).relative_to(REPOSITORY)))
        for document in DOCUMENTS
        for name in re.findall(r"<([\w./-]+\.rst)>`_", document.read_text())
    }
    made = {"examples/quality_control/results"}

    assert [(d.name, name) for d, name in named | linked if name not in made and not (REPOSITORY / name).exists()] == []


def test_the_documents_name_only_classes_that_there_are() -> None:
    named = set(re.findall(r"``(\w+(?:Job|Invariant))``", (REPOSITORY / "README.rst").read_text()))

    assert len(named) >= 14
    assert {name for name in named if not hasattr(pipegraph, name)} == set()


def test_the_architecture_stays_under_two_pages() -> None:
    text = (REPOSITORY / "ARCHITECTURE.rst").read_text()

    assert len(text.splitlines()) <= 110
    assert "Non-goals" in text


# The README's first script, and what it says of it


@pytest.fixture
def first_script(tmp_path: Path) -> Path:
    script = tmp_path / "first.py"
    script.write_text(only_block("README.rst", "python"))
    assert run_script(script) == only_block("README.rst", "text")
    return script


def made_by(script: Path) -> set[str]:
    """Which of the two files a further run makes."""
    made = [script.parent / "sorted" / "names.txt", script.parent / "count.txt"]
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None for path in made}
    run_script(script)
    return {path.name for path in made if (path.stat().st_ino, path.stat().st_mtime_ns) != before[path]}


def test_the_first_script_leaves_what_the_readme_says(first_script: Path) -> None:
    folder = first_script.parent

    assert (folder / "sorted" / "names.txt").read_text() == "ACTB\nGAPDH\nTP53"
    assert (folder / "count.txt").read_text() == "3 names\n"
    assert (folder / ".pipegraph_status").is_file()
    assert (folder / "logs" / "ppg_run.txt").is_file()


def test_the_first_script_run_again_makes_nothing(first_script: Path) -> None:
    assert made_by(first_script) == set()


def test_a_change_of_a_function_of_the_first_script_makes_its_file_again(first_script: Path) -> None:
    first_script.write_text(first_script.read_text().replace(" names\\n", " genes\\n"))

    assert made_by(first_script) == {"count.txt"}
    assert (first_script.parent / "count.txt").read_text() == "3 genes\n"


def test_the_first_scripts_input_in_another_order_is_no_reason_to_count_again(first_script: Path) -> None:
    (first_script.parent / "names.txt").write_text("GAPDH\nACTB\nTP53\n")

    assert made_by(first_script) == {"names.txt"}


def test_a_deleted_file_of_the_first_script_comes_back(first_script: Path) -> None:
    (first_script.parent / "count.txt").unlink()

    assert made_by(first_script) == {"count.txt"}


def test_the_first_scripts_folder_can_be_moved_and_nothing_is_made_again(first_script: Path) -> None:
    moved = first_script.parent.rename(first_script.parent.with_name("moved to here"))

    assert made_by(moved / first_script.name) == set()
