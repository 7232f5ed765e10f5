"""Jobs that are an external program, started without forking Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from .. import programs
from ..errors import JobContractError
from ..explanations import Explanation, Part
from ..graph import Graph
from ..invariants.parameters import fingerprint_parameters
from ..model import ALONE, Grant, JobId, JobSpec, Role
from ..shell import quoted
from .base import Job, OutputFile
from .files import MultiFileGeneratingJob, PathName
from .invariants import FileInvariant, Invariant, MultiFileInvariant
from .names import output_path, path_of_input
from .recipes import Keyed, Recipe, read_recipe

_VERSION_SECONDS = 60.0


class CommandJob(MultiFileGeneratingJob):
    """Make files by an external program.

    Parameters
    ----------
    outputs
        A path, a list or a dict of paths.
    command
        A list: a program and its arguments, without a shell. A text: for bash, which ends at the first failure
        (``set -euo pipefail``). Both may hold ``{output} {outputs} {output[key]} {input} {inputs} {input[key]} {cores}
        {memory} {memory_mb} {memory_gb} {temp}``, in a text quoted as the shell needs it; ``{{word}}`` for a word in
        braces. For lists the same are objects in ``pipegraph.placeholders``.
    inputs
        Paths, jobs, files of jobs, a list or a dict of them. They become inputs of the job.
    stdout, stderr
        The output to which it goes: one of the paths, or a placeholder.
    cwd
        The folder in which it works; placeholders are absolute paths then.
    env
        Variables, beside those of the script; None: not set.
    exit_codes
        What is no failure.
    timeout
        Seconds after which it is ended, and has failed; as `timeout()` says it later.
    version
        True: what ``program --version`` says is an input; or another command that tells it.
    rename_broken, empty_ok
        As for other jobs.

    Raises
    ------
    TypeError, JobContractError
        Arguments of the wrong type; an unknown placeholder; all else that can be told of the command beforehand.
    """

    def __init__(
        self,
        outputs: PathName | Iterable[PathName] | Mapping[str, PathName],
        command: str | Sequence[Any],
        inputs: Any = None,
        *,
        stdout: PathName | None = None,
        stderr: PathName | None = None,
        cwd: PathName | None = None,
        env: Mapping[str, Any] | None = None,
        exit_codes: Iterable[int] = (0,),
        timeout: float | None = None,
        version: bool | Sequence[PathName] | None = None,
        rename_broken: bool = False,
        empty_ok: bool | Mapping[PathName, bool] = False,
    ) -> None:
        self._require_type("command", command, (str, list, tuple), "a list of arguments, or a text for the shell")
        self._require_type("env", env, (Mapping, type(None)), "a dict")
        self._require_type("timeout", timeout, (int, float, type(None)), "seconds")
        timeout_seconds = self._checked_timeout(timeout)
        codes = (exit_codes,) if isinstance(exit_codes, int) else tuple(exit_codes)
        for code in codes:
            self._require_type("exit_codes", code, int, "whole numbers")
        paths = [outputs] if isinstance(outputs, (str, os.PathLike)) else outputs
        keyed = self._keyed_outputs(paths)
        needed: list[Any] = []
        recipe = read_recipe(
            command,
            keyed,
            self._keyed_inputs(inputs, needed),
            "" if cwd is None else path_of_input(cwd, self.graph),
            env or {},
            {"stdout": stdout, "stderr": stderr},
            codes,
            self._refuse,
        )
        if self._is_whole and recipe != self.recipe:
            self._redefine(self.graph.place_of_caller(), "another command")
        self.recipe = recipe
        if timeout_seconds:
            self.timeout_seconds = timeout_seconds
        if recipe.stderr and not isinstance(empty_ok, Mapping):
            # Programs that have nothing to complain of are the rule.
            empty_ok = {path: empty_ok or path == recipe.stderr for (path,) in keyed.values()}
        self._promise(paths, None, rename_broken, empty_ok)
        for each in needed:
            if isinstance(each, str):
                self.depends_on_file(each)
            else:
                self.depends_on(each)
        if version:
            self.depends_on(ProgramInvariant([*self._program(), "--version"] if version is True else version))

    recipe: Recipe
    is_program = True
    may_share_process = False

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        return super()._id_from([given] if isinstance(given, (str, os.PathLike)) else given, graph)

    def _refuse(self, headline: str, facts: Iterable[tuple[str, object]], mend: str) -> NoReturn:
        where = f"{type(self).__name__} {self.job_id}, {self.graph.place_of_caller()}"
        raise JobContractError(headline, [*facts, ("job", where)], mend)

    def _keyed_outputs(self, outputs: Any) -> Keyed:
        items = outputs.items() if isinstance(outputs, Mapping) else enumerate(outputs)
        return {str(key): (output_path(path, type(self).__name__, self.graph),) for key, path in items}

    def _keyed_inputs(self, inputs: Any, needed: list[Any]) -> Keyed:
        """Paths by key or number; what to depend on is added to the list."""
        if inputs is None:
            return {}
        if isinstance(inputs, Mapping):
            return {str(key): self._paths_of(each, needed) for key, each in inputs.items()}
        if isinstance(inputs, (str, os.PathLike, Job, OutputFile)) or not isinstance(inputs, Iterable):
            inputs = [inputs]
        keyed = {str(number): self._paths_of(each, needed) for number, each in enumerate(inputs)}
        # Data that a job loads, or a parameter, is no file.
        return {key: paths for key, paths in keyed.items() if paths}

    def _paths_of(self, thing: Any, needed: list[Any]) -> list[str]:
        if isinstance(thing, (OutputFile, Job)):
            if isinstance(thing, Job) and thing.role is Role.GENERATOR:
                self._refuse(
                    "a generator among the inputs of a command, whose files only a run can know",
                    [("input", f"{thing.job_id} ({type(thing).__name__}, {thing.place})")],
                    "Make one file of them by a MergeJob, or declare the command in the generator. "
                    "To wait for it only: depends_on.",
                )
            needed.append(thing)
            if isinstance(thing, OutputFile):
                return [thing.path]
            if isinstance(thing, FileInvariant):
                return [thing.job_id]
            if isinstance(thing, MultiFileInvariant):
                return list(thing.paths)
            return list(getattr(thing, "filenames", thing.outputs)) if thing.makes_files else []
        if isinstance(thing, (str, os.PathLike)):
            path = path_of_input(thing, self.graph)
            needed.append(os.path.join(".", path))  # a short name is no mistake here
            return [path]
        if isinstance(thing, Iterable) and not isinstance(thing, (bytes, Mapping)):
            return [path for each in thing for path in self._paths_of(each, needed)]
        raise TypeError(
            f"{type(self).__name__}: inputs must be paths, jobs, or a list or dict of them, not {type(thing).__name__} "
            f"({thing!r:.80})\n    where: {self.graph.place_of_caller()}"
        )

    def _program(self) -> list[str]:
        if isinstance(self.recipe.command, str):
            self._refuse(
                "version=True of a shell command, which may be several programs",
                [("command", self.recipe.command)],
                'Name the command that tells the version: version=["samtools", "--version"].',
            )
        return [self.recipe.program]

    # --- for the run

    @property
    def _has_code(self) -> bool:
        return True

    @property
    def command_line(self) -> str:  # type: ignore[override]
        """The line to paste, with marks for what is known when it starts."""
        return self.recipe.line(self.graph.directory)

    def paths_in_command(self) -> Iterable[str]:
        """What stands in the command and would be a path below the project's directory, if it is one."""
        return self.recipe.paths(self.graph.directory)

    def _function_spec(self, name: JobId, class_name: str) -> JobSpec:
        """Of the command."""
        self._fingerprint = self.recipe.fingerprint()
        return JobSpec(name, Role.INVARIANT, class_name, self.place, fingerprint=self._fingerprint)

    def explain(self) -> Explanation:
        """The command."""
        return self.recipe.explanation()

    def launch(self, environment: Mapping[bytes, bytes]) -> programs.Launch | None:
        """What a slave is to start; None: `run` is to be called in a process of its own."""
        if type(self).run is not CommandJob.run:
            return None
        return self.recipe.launch(self.granted, self.graph.directory, environment)

    def run(self) -> None:
        """Start the program from this process, and wait for it."""
        if not self.granted.folder:
            self._run_alone()
            return
        launch = self.recipe.launch(self.granted, self.graph.directory, dict(os.environb))
        programs.keep_from_programs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        try:
            pids = programs.start(launch, 1, 2, has_own_group=False)
        except OSError as error:
            raise programs.not_started(self, launch, error) from None
        codes = tuple([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
        if programs.exit_code_of(codes) not in launch.exit_codes:
            raise programs.failure_of(self, launch, codes, 2)

    def _run_alone(self) -> None:
        """Called by hand, outside of a run: with all that there is."""
        import tempfile

        cores = self._cores if self._cores > 0 else len(os.sched_getaffinity(0))
        memory_bytes = self._memory if self._memory >= 0 else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        with tempfile.TemporaryDirectory(prefix="pipegraph-") as folder:
            self.granted = Grant(cores, memory_bytes, folder)
            self.run()
            self.granted = ALONE


class TempCommandJob(CommandJob):
    """Make files by an external program, removed when all jobs that depend on them have settled; see `CommandJob`."""

    role = Role.EPHEMERAL


class ProgramInvariant(Invariant):
    """What a command says, such as the version of a program; asked when a run begins, once for all jobs.

    Parameters
    ----------
    command
        A list: the program and its arguments.

    Raises
    ------
    JobContractError
        When the run begins: it can't be asked, or fails.
    """

    def __init__(self, command: Sequence[PathName]) -> None:
        if not self._is_whole:
            self.place = self.graph.place_of_caller()
            self.words = [os.fspath(word) for word in command]
            self._enlist()

    _said: str | None = None

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        if (
            not isinstance(given, (list, tuple))
            or not given
            or not all(isinstance(each, (str, os.PathLike)) for each in given)
        ):
            raise TypeError(
                f"{cls.__name__}: the command must be a list of words, not {given!r:.80}"
                f"\n    where: {graph.place_of_caller()}"
            )
        return "PROGRAM" + " ".join(map(quoted, map(os.fspath, given)))

    def resolve(self) -> None:
        """The run begins: what was said before may be outdated."""
        self._said = None

    def explain(self) -> Explanation:
        """What it says."""
        return Explanation((Part(f"what `{self.job_id.removeprefix('PROGRAM')}` says", self._ask()),))

    def specs(self) -> Iterable[JobSpec]:
        """Of what it says."""
        fingerprint = fingerprint_parameters(self._ask())
        yield JobSpec(self.job_id, self.role, type(self).__name__, self.place, fingerprint=fingerprint)

    def _ask(self) -> str:
        if self._said is None:
            import subprocess

            try:
                # Some tell their version on stderr.
                done = subprocess.run(
                    self.words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=_VERSION_SECONDS,
                    text=True,
                    errors="backslashreplace",
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                why = getattr(error, "strerror", "") or f"no answer for {_VERSION_SECONDS:g} s"
                raise self._refusal(why, "") from None
            if done.returncode:
                raise self._refusal(f"exit status {done.returncode}", done.stdout)
            self._said = done.stdout.strip()
        return self._said

    def _refusal(self, why: str, said: str) -> JobContractError:
        command = self.job_id.removeprefix("PROGRAM")
        return JobContractError(
            f"a program does not tell its version: {why}",
            [
                ("command", command),
                *([("it said", said.strip()[:1000])] if said.strip() else []),
                ("where", self.place),
            ],
            f"{programs.mend_for_missing(self.words[0])} Another command can tell it: version=[…].",
        )
