"""The same two projects for each of several tools: many one-line jobs, and two jobs of which everything may change.

The small project: ``mid.txt`` is a word (the parameter) and the sorted lines of its inputs, each once; ``end.txt`` is
that and a last line. Each job adds its name to ``ran``, which no tool knows of. Each tool has what its manual
recommends for such jobs: Python functions where it calls such, else a line for the shell.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import measuring


class Small(NamedTuple):
    """What the small project is at the moment, in its build file; its input files are beside it."""

    word: str = "first"
    is_reversed: bool = False
    inputs: tuple[str, ...] = ("in.txt", "other.txt")

    def expected(self, folder: Path) -> dict[str, str]:
        """What its files must be."""
        lines = {line for name in self.inputs for line in (folder / name).read_text().splitlines()}
        mid = "".join(line + "\n" for line in [self.word, *sorted(lines, reverse=self.is_reversed)])
        return {"mid.txt": mid, "end.txt": mid + "end\n"}


class Tool(Protocol):
    """How one tool is given both projects, and called."""

    name: str
    program: str

    def many(self, folder: Path, jobs: int) -> None:
        """Write the build file of many jobs, each of which writes its number to ``o/NUMBER``."""

    def small(self, folder: Path, state: Small) -> None:
        """Write the build file of the small project as it is now."""

    def command(self, folder: Path, is_small: bool) -> list[str]:
        """What to call in the folder."""

    def version(self) -> str:
        """As it tells it."""


def version_of(program: str) -> str:
    """Of a program that says it as the last word of a line; of one of Python's, by its package."""
    path = shutil.which(program) or program
    with open(path, "rb") as script:
        first = script.readline()
    if first.startswith(b"#!") and b"python" in first:
        code = f"import importlib.metadata as found; print(found.version({program!r}))"
        command = [first[2:].decode().split()[0], "-c", code]
    else:
        command = [path, "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0].split()[-1]


def foreign_environment(folder: Path) -> Mapping[str, str]:
    """Nothing of this checkout; caches of their own; modules from the folder, as luigi wants them."""
    return measuring.environment(PYTHONPATH=str(folder), HOME=str(folder), XDG_CACHE_HOME=str(folder / ".cache"))


class Make:
    """One rule with a pattern: what make does least for."""

    name = program = "make"

    def many(self, folder: Path, jobs: int) -> None:
        names = " ".join(f"o/{number}" for number in range(jobs))
        (folder / "o").mkdir(exist_ok=True)
        (folder / "Makefile").write_text(f"all: {names}\no/%:\n\t@echo $* > $@\n")

    def small(self, folder: Path, state: Small) -> None:
        order = " -r" * state.is_reversed
        (folder / "Makefile").write_text(
            f".DELETE_ON_ERROR:\nWORD = {state.word}\n"
            "end.txt: mid.txt\n\t@echo end >> ran; { cat $^; echo end; } > $@\n"
            f"mid.txt: {' '.join(state.inputs)}\n"
            f"\t@echo mid >> ran; {{ echo $(WORD); cat $^ | LC_ALL=C sort -u{order}; }} > $@\n"
        )

    def command(self, folder: Path, is_small: bool) -> list[str]:
        return ["make", "-j2", "--silent"]

    def version(self) -> str:
        return version_of("make")


class Ninja:
    """A build line for each job."""

    name = program = "ninja"

    def many(self, folder: Path, jobs: int) -> None:
        lines = ["rule echo", " command = echo $number > $out"]
        for number in range(jobs):
            lines += [f"build o/{number}: echo", f" number = {number}"]
        (folder / "build.ninja").write_text("\n".join(lines) + "\n")

    def small(self, folder: Path, state: Small) -> None:
        order = " -r" * state.is_reversed
        (folder / "build.ninja").write_text(
            f"word = {state.word}\n"
            f"rule mid\n command = echo mid >> ran; {{ echo $word; cat $in | LC_ALL=C sort -u{order}; }} > $out\n"
            "rule end\n command = echo end >> ran; { cat $in; echo end; } > $out\n"
            f"build mid.txt: mid {' '.join(state.inputs)}\nbuild end.txt: end mid.txt\n"
        )

    def command(self, folder: Path, is_small: bool) -> list[str]:
        return ["ninja", "-j2", "--quiet"]

    def version(self) -> str:
        return version_of("ninja")


PYTHON = """
def ran(name):
    with open("ran", "a") as out:
        out.write(name + "\\n")

def write_mid(word, inputs):
    ran("mid")
    lines = set()
    for name in inputs:
        with open(name) as text:
            lines |= set(text)
    with open("mid.txt", "w") as out:
        out.write(word + "\\n" + "".join(sorted(lines{reverse})))

def write_end():
    ran("end")
    with open("mid.txt") as mid, open("end.txt", "w") as out:
        out.write(mid.read() + "end\\n")
"""


def python_of(state: Small) -> str:
    """The functions of the small project, for tools that call such."""
    return PYTHON.replace("{reverse}", ", reverse=True" * state.is_reversed)


class Doit:
    """Functions in two processes; a parameter by ``config_changed``, as the manual says."""

    name = program = "doit"

    def many(self, folder: Path, jobs: int) -> None:
        (folder / "o").mkdir(exist_ok=True)
        (folder / "dodo.py").write_text(
            'DOIT_CONFIG = {"verbosity": 0}\n'
            'def write(number):\n    with open(f"o/{number}", "w") as out:\n        out.write(str(number))\n'
            f"def task_job():\n    for number in range({jobs}):\n"
            '        yield {"name": str(number), "actions": [(write, [number])], "targets": [f"o/{number}"],\n'
            '               "uptodate": [True]}\n'
        )

    def small(self, folder: Path, state: Small) -> None:
        (folder / "dodo.py").write_text(
            "from doit.tools import config_changed\n"
            'DOIT_CONFIG = {"verbosity": 0}\n' + python_of(state) + f"WORD, INPUTS = {state.word!r}, {state.inputs!r}\n"
            'def task_mid():\n    return {"actions": [(write_mid, [WORD, INPUTS])], "file_dep": list(INPUTS),\n'
            '            "targets": ["mid.txt"], "uptodate": [config_changed({"word": WORD})]}\n'
            'def task_end():\n    return {"actions": [write_end], "file_dep": ["mid.txt"], "targets": ["end.txt"]}\n'
        )

    def command(self, folder: Path, is_small: bool) -> list[str]:
        return ["doit", "-n", "2", "--reporter", "zero"]

    def version(self) -> str:
        return version_of("doit")


class Luigi:
    """Tasks with files as targets, two workers, its scheduler in the same process."""

    name = program = "luigi"

    def many(self, folder: Path, jobs: int) -> None:
        (folder / "o").mkdir(exist_ok=True)
        (folder / "project.py").write_text(
            "import luigi\n"
            "class Job(luigi.Task):\n    number = luigi.IntParameter()\n"
            '    def output(self):\n        return luigi.LocalTarget(f"o/{self.number}")\n'
            "    def run(self):\n"
            '        with self.output().open("w") as out:\n            out.write(str(self.number))\n'
            f"class All(luigi.WrapperTask):\n"
            f"    def requires(self):\n        return [Job(number=number) for number in range({jobs})]\n"
        )

    def small(self, folder: Path, state: Small) -> None:
        (folder / "project.py").write_text(
            "import luigi\n" + python_of(state) + f"WORD, INPUTS = {state.word!r}, {state.inputs!r}\n"
            "class Input(luigi.ExternalTask):\n    path = luigi.Parameter()\n"
            "    def output(self):\n        return luigi.LocalTarget(self.path)\n"
            "class Mid(luigi.Task):\n    word = luigi.Parameter(default=WORD)\n"
            "    def requires(self):\n        return [Input(path=path) for path in INPUTS]\n"
            '    def output(self):\n        return luigi.LocalTarget("mid.txt")\n'
            "    def run(self):\n        write_mid(self.word, INPUTS)\n"
            "class All(luigi.Task):\n"
            "    def requires(self):\n        return Mid()\n"
            '    def output(self):\n        return luigi.LocalTarget("end.txt")\n'
            "    def run(self):\n        write_end()\n"
        )

    def command(self, folder: Path, is_small: bool) -> list[str]:
        return ["luigi", "--module", "project", "--local-scheduler", "--workers", "2", "--log-level", "ERROR", "All"]

    def version(self) -> str:
        return version_of("luigi")


class Snakemake:
    """One rule with a wildcard, and lines for the shell, which cost it less than Python code in a rule."""

    name = program = "snakemake"

    def many(self, folder: Path, jobs: int) -> None:
        (folder / "Snakefile").write_text(
            f'rule all:\n    input: expand("o/{{number}}", number=range({jobs}))\n'
            'rule job:\n    output: "o/{number}"\n    shell: "echo {wildcards.number} > {output}"\n'
        )

    def small(self, folder: Path, state: Small) -> None:
        order = " -r" * state.is_reversed
        (folder / "Snakefile").write_text(
            f'WORD = {state.word!r}\nrule all:\n    input: "end.txt"\n'
            f'rule mid:\n    input: {list(state.inputs)}\n    output: "mid.txt"\n    params: word=WORD\n'
            f'    shell: "echo mid >> ran; {{{{ echo {{params.word}}; cat {{input}} | LC_ALL=C sort -u{order}; }}}}'
            ' > {output}"\n'
            'rule end:\n    input: "mid.txt"\n    output: "end.txt"\n'
            '    shell: "echo end >> ran; {{ cat {input}; echo end; }} > {output}"\n'
        )

    def command(self, folder: Path, is_small: bool) -> list[str]:
        return ["snakemake", "--cores", "2", "--quiet", "all"]

    def version(self) -> str:
        return version_of("snakemake")


class Ours:
    """This checkout: a fork for each job, shared processes, or commands."""

    program = sys.executable

    def __init__(self, name: str) -> None:
        self.name = f"pipegraph, {name}"
        self.is_command = name == "commands"
        self.more = ', isolation="shared"' if name == "shared" else ""

    @property
    def _head(self) -> str:
        return (
            "import pipegraph as ppg\n"
            f"ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2), quiet=True{self.more})\n"
        )

    def many(self, folder: Path, jobs: int) -> None:
        if self.is_command:
            job = f"for number in range({jobs}):\n"
            job += '    ppg.CommandJob(f"o/{number}", f"echo {number} > {{output}}")\n'
        else:
            job = (
                'def job(number):\n    def write():\n        with open(f"o/{number}", "w") as out:\n'
                '            out.write(str(number))\n    ppg.FileGeneratingJob(f"o/{number}", write)\n'
                f"for number in range({jobs}):\n    job(number)\n"
            )
        (folder / "script.py").write_text(self._head + job + "ppg.run_pipegraph()\n")

    def small(self, folder: Path, state: Small) -> None:
        if self.is_command:
            order = " -r" * state.is_reversed
            text = f"WORD, INPUTS = {state.word!r}, {list(state.inputs)!r}\n"
            text += (
                'mid = ppg.CommandJob("mid.txt", f"echo mid >> ran; {{ echo {WORD}; cat {{inputs}} | '
                f'LC_ALL=C sort -u{order}; }}}} > {{{{output}}}}", INPUTS)\n'
                'ppg.CommandJob("end.txt", "echo end >> ran; { cat {input}; echo end; } > {output}", mid)\n'
            )
        else:
            text = python_of(state) + f"WORD, INPUTS = {state.word!r}, {state.inputs!r}\n"
            text += (
                'mid = ppg.FileGeneratingJob("mid.txt", lambda: write_mid(WORD, INPUTS))\n'
                "mid.depends_on([ppg.FileInvariant(name) for name in INPUTS])\n"
                'ppg.FileGeneratingJob("end.txt", write_end).depends_on(mid)\n'
            )
        (folder / "script.py").write_text(self._head + text + "ppg.run_pipegraph()\n")

    def command(self, folder: Path, is_small: bool) -> list[str]:
        return [sys.executable, "script.py"]

    def version(self) -> str:
        return _said_by_ours("import pipegraph; print(pipegraph.__version__)")


TOOLS: tuple[Tool, ...] = (
    Ours("a fork each"),
    Ours("shared"),
    Ours("commands"),
    Make(),
    Ninja(),
    Doit(),
    Luigi(),
    Snakemake(),
)


def environment_of(tool: Tool, folder: Path) -> Mapping[str, str]:
    """In which it is called."""
    return measuring.environment() if isinstance(tool, Ours) else foreign_environment(folder)


def has_shared() -> bool:
    """Whether this checkout has shared processes."""
    code = "import inspect, pipegraph; print('isolation' in inspect.signature(pipegraph.new_pipegraph).parameters)"
    return _said_by_ours(code) == "True"


def not_there(tool: Tool) -> str:
    """Why a tool can't be measured, and how to get it; empty if it can."""
    if isinstance(tool, Ours):
        return "" if not tool.more or has_shared() else f"{tool.name}: this checkout has no isolation='shared'"
    return measuring.missing(tool.program)


def _said_by_ours(code: str) -> str:
    # From a folder that holds no package: the working directory comes before all else.
    command = [sys.executable, "-c", code]
    answer = subprocess.run(
        command, cwd=measuring.FOLDER, env=measuring.environment(), capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()
