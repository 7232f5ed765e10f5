"""What a script calls: begin a graph, run it.

Forks the first compute slave, and only then imports the loop and all that it needs: what a slave never uses does not
make every fork of it dearer, nor `import pipegraph`.
"""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from .coordinator import LocalSystem
from .errors import CommunicationFailure, JobContractError, RuntimeError
from .graph import Graph, current, current_or_none, set_current
from .model import Place

_LOG_LEVEL_INFO = 20


def new_pipegraph(
    resource_coordinator: LocalSystem | None = None,
    quiet: bool = False,
    invariant_status_filename: str | os.PathLike[str] = ".pipegraph_status",
    dump_graph: bool = True,
    interactive: bool = True,
    cache_folder: str | os.PathLike[str] = "cache",
    log_file: str | os.PathLike[str] | None = None,
    log_level: int = _LOG_LEVEL_INFO,
) -> Graph:
    """Begin a graph, which all jobs made from now on join.

    Parameters
    ----------
    resource_coordinator
        How many cores there are; all that this process may use, if not given.
    quiet
        Only failures and warnings on stderr.
    invariant_status_filename
        What is remembered between runs.
    dump_graph
        Write ``logs/ppg_graph.txt``.
    cache_folder
        Where cached jobs put their files.
    interactive, log_file, log_level
        Taken for the sake of old scripts.

    Raises
    ------
    TypeError
        A resource coordinator of another kind.
    """
    if resource_coordinator is not None and not isinstance(resource_coordinator, LocalSystem):
        raise TypeError(
            f"resource_coordinator must be a LocalSystem or None, not {type(resource_coordinator).__name__}"
        )
    known = current_or_none()
    if known is not None and known.running:
        raise JobContractError(
            "new_pipegraph() while a graph runs",
            [("where", known.place_of_caller())],
            "Declare jobs in the callback of a JobGeneratingJob instead.",
        )
    graph = Graph(
        _run,
        resource_coordinator or LocalSystem(),
        quiet,
        os.fspath(invariant_status_filename),
        dump_graph,
        interactive,
        os.fspath(cache_folder),
        "logs",
        log_level,
    )
    set_current(graph)
    return graph


new = new_pipeline = new_pipegraph


def run_pipegraph(dry_run: bool = False) -> Any:
    """Do what must be done, and no more.

    Parameters
    ----------
    dry_run
        Run nothing; give back what must run, each with its reasons, and the ids of what may.

    Raises
    ------
    RuntimeError
        Jobs failed (`pipegraph.RuntimeError`); everything that did not depend on them was done.
    CycleError
        Jobs wait for each other in a circle.
    StatusHeldError, StatusTooNewError, StatusWriteError
        The status file can't be used.
    CommunicationFailure
        Compute slaves can't be started, or died again and again; or the system refused what the run itself needs.
    KeyboardInterrupt
        Ctrl-C; finished work is kept, and the next run goes on from there.
    """
    try:
        return current().run(dry_run)
    except (RuntimeError, KeyboardInterrupt) as error:
        # Where in pipegraph they were raised tells nobody anything.
        raise error.with_traceback(None) from None


run = run_pipegraph


def inside_ppg() -> bool:
    """Whether there is a current graph."""
    return current_or_none() is not None


def _run(graph: Graph, dry_run: bool) -> Any:
    where = graph.place_of_caller()
    if os.getpid() != graph.pid or graph.running:
        raise JobContractError(
            "run_pipegraph() inside a job, or in another process than the one that made the graph",
            [("where", where)],
            "Call it once, in the script itself.",
        )
    if os.getcwd() != graph.directory:
        raise JobContractError(
            "the working directory changed after new_pipegraph()",
            [("then", graph.directory), ("now", os.getcwd()), ("where", where)],
            "Change it before new_pipegraph(), or change it back.",
        )
    graph.forget_outcomes()
    graph.resolve()
    # What a run makes is no garbage until it ends; looking for it would cost a third of deciding.
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        return _look_ahead(graph) if dry_run else _go(graph, where)
    finally:
        if was_collecting:
            gc.enable()


def _look_ahead(graph: Graph) -> Any:
    from .run import look_ahead

    return look_ahead(graph)


def _go(graph: Graph, where: Place) -> None:
    from .slaves import LocalSlave

    began_at = time.time()
    run_id = f"{began_at:.6f}-{os.uname().nodename}-{os.getpid()}"
    slave = LocalSlave(graph, run_id, graph.log_directory)
    graph.running = True
    try:
        slave.begin()
        from .run import Run

        Run(graph, slave, run_id, began_at, where).go()
    except OSError as error:
        raise CommunicationFailure(
            "the system refused what the run needs",
            [("because", str(error)), ("where", where)],
            "Mend that (too many open files: ulimit -n) and run again: what was finished is kept.",
        ) from error
    finally:
        slave.end()
        graph.running = False
        graph.was_run = True
