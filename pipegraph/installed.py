"""Whether the programs that a run may need are there, asked before anything starts."""

from __future__ import annotations

import os
from typing import Any

from .errors import JobContractError
from .graph import Graph
from .jobs.commands import ProgramInvariant
from .jobs.names import path_of_input
from .programs import mend_for_missing


def check_installed(graph: Graph) -> None:
    """Look for the programs of all jobs that must run, or may.

    Raises
    ------
    JobContractError
        One is not installed.
    """
    missing: dict[str, list[Any]] = {}
    is_asked = False
    known: dict[tuple[str, str], bool] = {}
    for job in graph.jobs.values():
        if job.is_program:
            path = _path_of(job)
            for program in job.recipe.programs():
                key = (program, job.recipe.folder if "/" in program else path)
                if key not in known:
                    known[key] = _is_there(program, path, job.recipe.folder, graph)
                if not known[key]:
                    missing.setdefault(program, []).append(job)
        elif not isinstance(job, ProgramInvariant) or (graph.targets and job.job_id not in graph.targets.kept):
            continue
        elif not _is_there(job.words[0], _path_of(job), "", graph):
            missing.setdefault(job.words[0], []).append(job)
            is_asked = True
    if is_asked:
        raise _error(missing)  # what its version is decides what must run
    if not missing:
        return
    from .outlook import look_ahead

    outlook = look_ahead(graph, None)
    running = {start.job for start in outlook.must} | set(outlook.may)
    wanted = {name: [job for job in jobs if job.job_id in running] for name, jobs in missing.items()}
    wanted = {name: jobs for name, jobs in wanted.items() if jobs}
    if wanted:
        raise _error(wanted)


def _is_there(program: str, path: str, folder: str, graph: Graph) -> bool:
    import shutil

    if "/" not in program:
        return shutil.which(program, path=path) is not None or f"BASH_FUNC_{program}%%" in os.environ
    where = os.path.join(folder, program)
    return graph.maker(path_of_input(where, graph)) is not None or shutil.which(os.path.abspath(where)) is not None


def _error(missing: dict[str, list[Any]]) -> JobContractError:
    facts: list[tuple[str, object]] = []
    for program, jobs in missing.items():
        why = "to tell its version" if isinstance(jobs[0], ProgramInvariant) else f"by {jobs[0].job_id}"
        needed = f"needed {why} ({jobs[0].place})"
        if len(jobs) > 1:
            needed += f" and {len(jobs) - 1} more"
        if "/" not in program and (similar := _similar(program, _path_of(jobs[0]))):
            needed += f"; there is {', '.join(similar)}"
        facts.append((program, needed))
    names = list(missing)
    bare = [name for name in names if "/" not in name]
    if bare:
        facts.append(("PATH", _path_of(missing[bare[0]][0])))
    one = len(names) == 1
    return JobContractError(
        f"{'a program is' if one else f'{len(names)} programs are'} not installed: {', '.join(names)}",
        facts,
        mend_for_missing(names[0]),
    )


def _path_of(job: Any) -> str:
    if isinstance(job, ProgramInvariant):
        return os.environ.get("PATH", os.defpath)
    return dict(job.recipe.environment).get("PATH") or os.environ.get("PATH", os.defpath)


def _similar(program: str, path: str) -> list[str]:
    import difflib

    there: set[str] = set()
    for folder in path.split(os.pathsep):
        try:
            there.update(os.listdir(folder or "."))
        except OSError:
            continue
    return difflib.get_close_matches(program, there, 3, 0.75)
