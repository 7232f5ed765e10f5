"""The command ``pipegraph``: one subcommand a file.

Only the one that is asked is imported: `run` forks slaves from this process, which would hold all of them.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from .. import __version__
from ..errors import PyPipeGraphError, RuntimeError, StatusHeldError, shown
from .shared import NotThereError

_COMMANDS = (
    *("run", "why", "diff", "status", "graph", "inputs", "dependents", "check", "debug"),
    *("adopt", "forget", "clean", "results", "completion"),
)
_OF_SCRIPTS = ("run", "why", "diff", "check", "debug")
_FAILED, _REFUSED, _HELD, _INTERRUPTED = 1, 2, 3, 130


def parser(asked: str = "") -> argparse.ArgumentParser:
    """The options of the command that is asked; of all, if that is none."""
    parser = argparse.ArgumentParser(prog="pipegraph", description="Run scripts, and look at what they made and know.")
    parser.add_argument("--version", action="version", version=f"pipegraph {__version__}")
    parser.add_argument("-C", dest="goes_to", metavar="DIR", help="go to this directory first")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in (asked,) if asked in _COMMANDS else _COMMANDS:
        import_module(f".{name}", __name__).add_to(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 1 if a job failed or what was asked for is not there; 2 wrong arguments; 3 held by a run."""
    chosen = _parsed(list(sys.argv[1:] if arguments is None else arguments))
    try:
        chosen.began_in = os.getcwd()
        if chosen.goes_to is not None:
            os.chdir(chosen.goes_to)
    except OSError as error:
        print(f"pipegraph: can't go to {shown(chosen.goes_to or 'here')}: {error.strerror}", file=sys.stderr)
        return _REFUSED
    if chosen.command != "run":
        gc.disable()  # all that is read is kept to the end: looking for garbage in it takes as long as reading it
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # not each terminal has each letter
    try:
        code = int(chosen.run(chosen))
        sys.stdout.flush()
        return code
    except PyPipeGraphError as error:
        print(f"pipegraph: {error}", file=sys.stderr)
        return code_of(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # | head
        # What is left is flushed at the end (signal, "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        gc.enable()


def code_of(error: PyPipeGraphError) -> int:
    """The exit status for an error."""
    if isinstance(error, StatusHeldError):
        return _HELD
    return _FAILED if isinstance(error, (NotThereError, RuntimeError)) else _REFUSED


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """What is behind the first ``--`` of what runs a script is the script's, also what looks like an option."""
    words = iter(arguments)
    command = next((word for word in words if not (word == "-C" and next(words, "")) and word[:1] != "-"), "")
    if command not in _OF_SCRIPTS or "--" not in arguments:
        return parser(command).parse_args(arguments)
    border = arguments.index("--")
    chosen = parser(command).parse_args(arguments[:border])
    chosen.script_arguments = arguments[border + 1 :]
    return chosen
