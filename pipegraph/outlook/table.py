"""An outlook as tables on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ..errors import shown
from ..watchers.wording import duration
from . import wording

if TYPE_CHECKING:
    from .ahead import Outlook

_PLACES_FROM_WIDTH = 70
_STYLES = {"must run": "bold yellow", "may run": "bold cyan", "can't run": "bold red"}


def show(outlook: Outlook) -> None:
    """Print it to stdout."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        print(outlook)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    has_places = console.width >= _PLACES_FROM_WIDTH
    with console.capture() as captured:
        for line in wording.headlines_of(outlook):
            console.print(Text(line))
        for section in wording.sections_of(outlook):
            table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
            table.add_column("job", overflow="fold", ratio=3)
            if has_places:
                table.add_column("made at", no_wrap=True, style="dim")
            table.add_column("time", justify="right", no_wrap=True)
            table.add_column("why", overflow="fold", ratio=3)
            for group in section.groups:
                time = "?" if group.seconds is None else duration(group.seconds)
                place = [Text(shown(str(group.first.place)))] if has_places else []
                table.add_row(Text(wording.title_of(group)), *place, time, Text(group.because))
            console.print()
            console.print(Text(section.title, _STYLES.get(section.title, "bold")))
            console.print(table)
            if section.more:
                console.print(Text(f"…and {wording.grouped(section.more)} more", "dim"))
    # Not written by rich, which takes a pipe that nobody reads any more for a failure.
    print(captured.get(), end="")
