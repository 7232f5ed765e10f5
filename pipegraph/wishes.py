"""What the command line wishes of the ``run_pipegraph()`` calls of a script that it runs. Owns the current wishes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Wishes(NamedTuple):
    """What is asked instead of, or beside, what the script says.

    Attributes
    ----------
    dry_run
        Look ahead only.
    changed
        As if these had changed.
    tell
        Is given the outlook; None: it is shown.
    """

    dry_run: bool = False
    changed: tuple[str, ...] = ()
    tell: Callable[[Any], None] | None = None


current = Wishes()
