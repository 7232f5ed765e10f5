"""What the command line asks of each run of a script. Read when a run begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Wishes(NamedTuple):
    """The defaults ask for nothing.

    Attributes
    ----------
    dry_run
        Look ahead only.
    targets
        Ids, files, or patterns: only these and what they need take part.
    forced
        Ids, files, or patterns of jobs that are made whatever was recorded.
    fail_fast
        After the first failure nothing more is started.
    cores
        0: as the script has it.
    directory
        Where the command was given, for running it again; empty: where the process is.
    changed
        Look ahead as if these had changed.
    tell
        Is given the outlook; None: it is shown, and the script ends there.
    instead
        Is called with the graph, and nothing else is done.
    """

    dry_run: bool = False
    targets: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    fail_fast: bool = False
    cores: int = 0
    directory: str = ""
    changed: tuple[str, ...] = ()
    tell: Callable[[Any], None] | None = None
    instead: Callable[[Any], Any] | None = None


NO_WISHES = Wishes()
current = NO_WISHES
"""Set once, before the script begins."""
