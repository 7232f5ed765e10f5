"""What a script calls: begin a graph, run it.

Forks the first compute slave, and only then imports the loop and all that it needs: what a slave never uses does not
make every fork of it dearer, nor `import pipegraph`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import time
from typing import Any, NoReturn

from . import wishes
from .errors import CommunicationFailure, JobContractError, PyPipeGraphError, RuntimeError
from .graph import Graph, check_isolation, current, current_or_none, set_current
from .jobs.resources import check_resources
from .machine.local_system import LocalSystem, chosen_system
from .model import Place
from .targets import check_all_named, names_of

_LOG_LEVEL_INFO = 20
_LOG_PORT = 5005
_LOG_PORT_VARIABLE = "PIPEGRAPH_LOG_PORT"
_STRICT_VARIABLE = "PIPEGRAPH_STRICT"


def new_pipegraph(
    resource_coordinator: LocalSystem | None = None,
    quiet: bool = False,
    invariant_status_filename: str | os.PathLike[str] = ".pipegraph_status",
    dump_graph: bool = True,
    interactive: bool = True,
    cache_folder: str | os.PathLike[str] = "cache",
    log_file: str | os.PathLike[str] | None = None,
    log_level: int = _LOG_LEVEL_INFO,
    log_port: int | None = _LOG_PORT,
    strict: bool = False,
    isolation: str = "process",
    cores: int | None = None,
    memory: int | str | None = None,
    resources: dict[str, int] | None = None,
    retry_out_of_memory: bool = True,
) -> Graph:
    """Begin a graph, which all jobs made from now on join.

    Parameters
    ----------
    resource_coordinator
        How many cores and how much memory there are; all that this process may use, if not given.
    quiet
        Only failures and warnings on stderr.
    invariant_status_filename
        What is remembered between runs.
    dump_graph
        Write ``logs/ppg_graph.txt``.
    cache_folder
        Where cached jobs put their files.
    interactive
        False: nothing is read from the keyboard.
    log_file, log_level
        Taken for the sake of old scripts.
    log_port
        Of this machine, to which each line of the log goes by UDP, for ``util/log_listener.py``; None: to none. The
        environment variable ``PIPEGRAPH_LOG_PORT``, a number or ``off``, goes before it.
    strict
        A job that opens a file of another one without depending on it fails; and jobs may write into the folders of
        their outputs only, where the kernel can see to that. The environment variable ``PIPEGRAPH_STRICT``, 1 or 0,
        goes before it.
    isolation
        ``"shared"``: callbacks that make files, and of which nothing else is said, run many in one process, one after
        the other; docs/isolation.rst. ``"process"``: each job in its own.
    cores, memory
        What all jobs together may use, instead of a resource coordinator; memory in bytes, or text like ``"64GB"``
        (`machine.amounts.bytes_of`). The environment variables ``PIPEGRAPH_CORES`` and ``PIPEGRAPH_MEMORY`` can make it
        less.
    resources
        What jobs may `use` beside cores and memory, and how many there are: ``{"gpu": 2}``; docs/resources.rst.
    retry_out_of_memory
        A job that the kernel kills for want of memory is tried once more, with nothing else beside it.

    Raises
    ------
    TypeError
        A resource coordinator of another kind.
    JobContractError
        What is no port, no strictness, no isolation, no cores, no memory or no resources; or a graph runs.
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
        resource_coordinator,
        quiet,
        os.fspath(invariant_status_filename),
        dump_graph,
        interactive,
        os.fspath(cache_folder),
        "logs",
        log_level,
        log_port,
    )
    graph.rc = chosen_system(resource_coordinator, cores, memory, graph.place_of_caller())
    graph.log_port = _checked_port(graph)
    graph.strict = _checked_strictness(graph, strict)
    check_isolation(isolation, graph, "new_pipegraph")
    graph.isolation = isolation
    graph.resources = check_resources(resources, graph)
    graph.retries_out_of_memory = bool(retry_out_of_memory)
    if known is not None:
        graph.declared = known.declared
        known.collect_as_before()
    set_current(graph)
    return graph


new = new_pipeline = new_pipegraph


def run_pipegraph(dry_run: bool = False, targets: Any = None, changed: Any = None) -> Any:
    """Do what must be done, and no more.

    Parameters
    ----------
    dry_run
        Run nothing and change no file; give back an `outlook.Outlook`: what must run, each with its reasons, and the
        ids of what may.
    targets
        A job, the id of one, a file that one makes, a pattern (``"out/*.tsv"``), or a list of these: only they and what
        they need take part.
    changed
        For a dry run: what would run if this had changed? Jobs, files, functions, names of invariants, or lists of
        these.

    Raises
    ------
    TypeError
        `changed` without `dry_run`.
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
        return current().run(dry_run, targets, changed)
    except (RuntimeError, KeyboardInterrupt) as error:
        # Where in pipegraph they were raised tells nobody anything.
        raise error.with_traceback(None) from None


run = run_pipegraph


def inside_ppg() -> bool:
    """Whether there is a current graph."""
    return current_or_none() is not None


def _run(graph: Graph, dry_run: bool, targets: Any, changed: Any) -> Any:
    where = graph.place_of_caller()
    wished = wishes.current
    if wished.instead is not None:
        return wished.instead(graph)
    if changed is not None and not dry_run:
        raise TypeError(
            f"run_pipegraph: changed asks what would run, and never runs: give dry_run=True, too\n    where: {where}"
        )
    dry_run = dry_run or wished.dry_run
    changed = wished.changed or changed
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
    if not dry_run:
        graph.forget_outcomes()
    graph.wishes = wished._replace(forced=tuple(names_of(wished.forced, graph.maker)))
    targets = wished.targets or targets
    graph.rc.cores_of_command = wished.cores
    graph.resolve(None if targets is None else names_of(targets, graph.maker))
    if wished.forced and not any(kind.is_generator for kind in graph.kinds()):
        check_all_named(graph.wishes.forced, graph.specs(), where, "forced")
    # What a run makes is no garbage until it ends; looking for it would cost a third of deciding.
    graph.collect_as_before()
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        if dry_run:
            return _look_ahead(graph, changed)
        if any(kind.is_program for kind in graph.kinds()):
            from .installed import check_installed

            check_installed(graph)
        return _go(graph, where)
    finally:
        if was_collecting:
            gc.enable()


def _look_ahead(graph: Graph, changed: Any) -> Any:
    from .outlook import look_ahead

    outlook = look_ahead(graph, changed)
    if graph.wishes.dry_run:
        if graph.wishes.tell is not None:
            graph.wishes.tell(outlook)
            return outlook
        outlook.show()
        if outlook.must or outlook.may:
            # What follows in the script counts on what this run would have made.
            raise SystemExit(0)
    return outlook


def _go(graph: Graph, where: Place) -> None:
    from .slaves import LocalSlave

    began_at = time.time()
    run_id = f"{began_at:.6f}-{os.uname().nodename}-{os.getpid()}"
    # Before the slaves are forked: they put there what failed jobs print.
    log_folder = None if graph.log_directory is None else _new_log_folder(graph.log_directory)
    slave = LocalSlave(graph, run_id, log_folder, is_strict=graph.strict)
    graph.running = True
    loop = None
    try:
        slave.begin()
        from .run import Run

        # The module was just put where the function of that name is.
        vars(sys.modules[__package__])["run"] = run_pipegraph
        loop = Run(graph, slave, run_id, began_at, where, log_folder)
        loop.go()
    except (RuntimeError, KeyboardInterrupt):
        if loop is None or not loop.is_again:
            raise
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
        if graph.declared.gone and not graph.declared.is_told_at_exit:
            graph.declared.is_told_at_exit = True
            atexit.register(_tell_what_is_gone, graph, graph.script_name())
        if log_folder is not None:
            with contextlib.suppress(OSError):
                os.rmdir(log_folder)  # it is empty, if the run could not begin
    if loop.is_again:
        _run_again()


def _tell_what_is_gone(graph: Graph, script: str) -> None:
    """The script came to its end: what it declared in earlier runs and not in this one is gone."""
    has_failed = hasattr(sys, "last_value") or hasattr(sys, "last_exc")
    if has_failed or os.getpid() != graph.pid or not graph.declared.gone:
        return
    from .status import StatusFile
    from .status.declarations import retract

    with contextlib.suppress(PyPipeGraphError), contextlib.ExitStack() as stack:
        status = StatusFile.open(graph.invariant_status_filename, lambda warning: None)
        stack.callback(status.close)
        retract(script, graph.declared.gone, status)


def _run_again() -> NoReturn:
    """This process becomes the script anew."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os.chdir(wishes.current.directory or os.curdir)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _new_log_folder(directory: str) -> str:
    """A folder for this run alone, under the next number; if it can't be made, its watcher will say why."""
    number = 1
    with contextlib.suppress(OSError):
        os.makedirs(directory, exist_ok=True)
        named = [name.removeprefix("run_") for name in os.listdir(directory) if name.startswith("run_")]
        number = max((int(name) for name in named if name.isdecimal()), default=0) + 1
    while True:
        folder = os.path.join(directory, f"run_{number:04}")
        try:
            os.mkdir(folder)
        except FileExistsError:
            number += 1  # another run began just now
        except OSError:
            return folder
        else:
            return folder


def _checked_strictness(graph: Graph, given: object) -> bool:
    """By the environment, or else by the script."""
    text = os.environ.get(_STRICT_VARIABLE, "").strip()
    name, value = (_STRICT_VARIABLE, {"0": False, "1": True}.get(text)) if text else ("strict", given)
    if isinstance(value, bool):
        return value
    raise JobContractError(
        f"{name} is neither on nor off",
        [(name, repr(text or given)), ("where", graph.place_of_caller())],
        "Pass strict=True or strict=False; in the environment, PIPEGRAPH_STRICT=1 or 0.",
    )


def _checked_port(graph: Graph) -> int | None:
    """Where the lines of the log go by UDP, by the environment or else by the script."""
    given: object = graph.log_port
    name = "log_port"
    text = os.environ.get(_LOG_PORT_VARIABLE, "").strip()
    if text:
        name, given = _LOG_PORT_VARIABLE, text
        if text.lower() == "off":
            return None
        if text.isdecimal():
            given = int(text)
    if given is None or (type(given) is int and 0 < given < 1 << 16):
        return given
    raise JobContractError(
        f"{name} is not a port",
        [(name, repr(given)), ("where", graph.place_of_caller())],
        "A port is a number from 1 to 65535; to send nothing by UDP: log_port=None, or PIPEGRAPH_LOG_PORT=off.",
    )
