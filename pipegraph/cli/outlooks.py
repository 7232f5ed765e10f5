"""What commands ask of a script's dry runs: it is run for that, none of its jobs is, and no file is changed."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator

from .. import wishes
from ..errors import JobContractError, PyPipeGraphError, shown
from ..invariants.origins import origin_of
from ..model import Origin
from ..outlook import Outlook
from .names import found
from .scripts import end_of, print_exception, restored, script_of
from .shared import NotThereError


class ScriptFailed(PyPipeGraphError):
    """It never came to ask for a run; it has been told why."""


@contextlib.contextmanager
def outlooks_of(arguments: argparse.Namespace, changed: Iterable[str] = ()) -> Iterator[list[Outlook]]:
    """One for each run that the script asks for; to be asked before this is left, and the script forgotten.

    Parameters
    ----------
    arguments
        With those of `scripts.add_script`.
    changed
        As if these had.

    Raises
    ------
    PyPipeGraphError
        The script can't be run, or never asks for a run.
    """
    script = script_of(arguments)
    with restored():
        outlooks: list[Outlook] = []
        wished = wishes.Wishes(dry_run=True, changed=tuple(changed), tell=outlooks.append)
        # What the script itself prints is no answer.
        with contextlib.redirect_stdout(sys.stderr):
            failure = end_of(script, arguments.script_arguments, wished)
        if not outlooks:
            if isinstance(failure, PyPipeGraphError):
                raise failure
            if failure is None:
                headline = f"{shown(script)} never called run_pipegraph()"
                raise JobContractError(headline, (), "Name another script: --script SCRIPT.")
            print_exception(failure)
            raise ScriptFailed(f"{shown(script)} failed before it asked for a run")
        if failure is not None:
            print(
                f"The script failed after it had asked for a run ({type(failure).__name__} in {_place_of(failure)}), "
                "since nothing was made. Jobs that it declares later are not told of.",
                file=sys.stderr,
            )
        yield outlooks


def _place_of(failure: Exception) -> str:
    """The innermost line of the user's own."""
    calls = traceback.extract_tb(failure.__traceback__)
    own = [call for call in calls if origin_of(call.filename) is Origin.SCRIPT] or calls
    return shown(f"{os.path.relpath(own[-1].filename)}:{own[-1].lineno}")


def named(outlooks: list[Outlook], name: str) -> Iterator[tuple[Outlook, str]]:
    """The jobs and inputs that a name stands for: an id, a path, a pattern, or how several jobs begin.

    Of several runs of one script, the last that has it knows most.

    Raises
    ------
    NotThereError
        Nothing is called so, nor begins so.
    """
    for outlook in reversed(outlooks):
        if outlook.names.named(name)[1]:
            yield outlook, name
            return
    makers: dict[str, str] = {}
    for each in outlooks:
        makers |= {
            path: spec.id for spec in each.names.spec_of.values() if spec.id in each.jobs for path in spec.outputs
        }
        makers |= {job: job for job in each.jobs}
    try:
        jobs = found([name], makers)
    except NotThereError as error:
        mend = "Give an id, a file, a pattern in quotes ('out/*.tsv'), or a beginning."
        if any(each.is_generator for outlook in outlooks for each in outlook.jobs.values()):
            mend += (
                " What generators will declare is not known; of what they declared last, pipegraph inputs and "
                "pipegraph diff --last tell."
            )
        raise NotThereError("there is no such job or file", error.facts, mend) from error
    for job in jobs:
        yield next(outlook for outlook in reversed(outlooks) if job in outlook.jobs), job
