"""Scripts that commands run as ``python SCRIPT`` would, with wishes for what they ask of pipegraph."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType

from .. import graph, wishes
from ..errors import PyPipeGraphError, shown
from .shared import NotThereError


def add_script(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a command that runs a script for its jobs."""
    parser.add_argument("--script", help="where the jobs are declared (default: the script of the last run here)")
    parser.set_defaults(script_arguments=[])


def script_of(arguments: argparse.Namespace) -> str:
    """The script that was named, or that of the last run in this directory.

    Raises
    ------
    NotThereError
        None was named, and no run has left one.
    """
    if arguments.script:
        return str(arguments.script)
    from ..watchers.overview import Overview
    from ..watchers.snapshot import SNAPSHOT

    with contextlib.suppress(OSError, ValueError), open(f"logs/latest/{SNAPSHOT}", encoding="utf-8") as file:
        script = Overview.from_json(file.read()).script
        if script != graph.INTERACTIVE:
            return script
    raise NotThereError("no run has left anything here that tells which script it was", (), "Name it: --script SCRIPT.")


def become(script: str, arguments: Sequence[str], wished: wishes.Wishes) -> tuple[CodeType, ModuleType]:
    """Put a script in the place of this program: the code to execute in the module.

    Raises
    ------
    PyPipeGraphError
        It can't be read.
    SyntaxError, ValueError
        It is no Python.
    """
    path = os.path.join(os.getcwd(), script)
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise PyPipeGraphError(f"can't read the script {shown(script)}: {error.strerror}") from error
    code = compile(source, path, "exec", dont_inherit=True)
    wishes.current = wished
    sys.argv[:] = [script, *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    main = ModuleType("__main__")
    main.__dict__.update(__file__=path, __cached__=None, __annotations__={}, __builtins__=sys.modules["builtins"])
    main.__loader__ = SourceFileLoader("__main__", path)
    sys.modules["__main__"] = main
    return code, main


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """What a script sets for itself is as before when this is left; and it leaves no bytecode beside its modules."""
    before = sys.argv[:], sys.path[:], sys.dont_write_bytecode, sys.modules["__main__"]
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.argv[:], sys.path[:], sys.dont_write_bytecode, sys.modules["__main__"] = before
        wishes.current = wishes.NO_WISHES
        graph.set_current(None)


def end_of(script: str, arguments: Sequence[str], wished: wishes.Wishes) -> Exception | None:
    """Run a script for what it asks of pipegraph, inside of `restored`; what it raised, if that was not its own end.

    Raises
    ------
    PyPipeGraphError
        It can't be read.
    """
    try:
        code, main = become(script, arguments, wished)
    except PyPipeGraphError:
        raise
    except (SyntaxError, ValueError) as error:
        return error
    try:
        exec(code, main.__dict__)
    except SystemExit:
        return None
    except Exception as error:
        return error
    return None


def print_exception(error: Exception) -> None:
    """As Python prints it: from the script's first call on."""
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == os.path.dirname(__file__):
        trace = trace.tb_next
    error.__traceback__ = trace
    sys.last_value = error  # as Python itself does where a script fails
    sys.excepthook(type(error), error, trace)
