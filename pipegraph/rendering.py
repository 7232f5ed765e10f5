"""Figures of whatever library become files: the same bytes for the same figure, as far as the library allows.

Imports none of them, and knows none by name but matplotlib and plotly, which need more than a call of what they have: a
figure is whatever has ``savefig``, ``save`` or ``render``, or leads to something that has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

_MOST_PARTS = 16
"""Looked at, of a row of axes: any leads to the figure."""

_WAYS = ("savefig", "save", "render", "write_image")


def begin_rendering() -> None:
    """Call it in a process that renders and ends, before the first figure is made.

    No window may be opened, nor one of the script's touched: its connection to the screen is the script's. The date in
    PDF, SVG and EPS is 1970, or what the environment says in ``SOURCE_DATE_EPOCH`` (reproducible-builds.org).
    """
    os.environ["MPLBACKEND"] = "Agg"
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
    if (figures := _open_figures()) is not None:
        figures.clear()  # forgotten, and not closed
    if (matplotlib := sys.modules.get("matplotlib")) is not None:
        matplotlib.use("Agg")
        _name_parts_stably(matplotlib)


def render(plot: object, path: str, arguments: Mapping[str, Any]) -> None:
    """Write it, in the format that the path ends with.

    Parameters
    ----------
    plot
        What a plot function gave back, see `drawn`.
    arguments
        For the library. Of a matplotlib figure ``width`` and ``height`` are inches, as plotnine has them.
    """
    figure = drawn(plot)
    arguments = dict(arguments)
    if (matplotlib := sys.modules.get("matplotlib")) is not None:
        _name_parts_stably(matplotlib)
    if hasattr(figure, "savefig"):
        _set_size(figure, arguments)
        figure.savefig(path, **arguments)
    elif hasattr(figure, "save"):
        figure.save(path, **arguments)
    elif hasattr(figure, "render"):
        figure.render(path, **arguments)
    elif path.lower().endswith(".html"):
        figure.write_html(path, **{"div_id": "plot", **arguments})  # else a random one
    elif path.lower().endswith(".json"):
        figure.write_json(path, **arguments)
    else:
        figure.write_image(path, **arguments)


def drawn(plot: object) -> Any:
    """What can be rendered of this: itself, or the figure that axes are part of, alone or in a row; None if nothing."""
    return next(filter(is_figure, _candidates(plot)), None)


def is_figure(thing: object) -> bool:
    """It can be rendered by itself, and not only the figure that it is part of."""
    return any(callable(getattr(thing, way, None)) for way in _WAYS)


def figure_of(plot: object, arguments: Mapping[str, Any]) -> Any:
    """What a notebook shows: of axes and grids of axes the figure, else the plot itself; as large as it is rendered."""
    figure = drawn(plot)
    _set_size(figure, dict(arguments))
    whole = getattr(figure, "figure", figure)
    return whole if hasattr(whole, "savefig") else figure


@contextmanager
def own_figures() -> Iterator[None]:
    """What is drawn by pyplot meanwhile is drawn in new figures, which are closed at the end.

    They would stay in memory, and a notebook would show them twice. What is closed can still be shown and saved.
    """
    figures = _open_figures()
    before = {} if figures is None else dict(figures)
    if figures is not None:
        figures.clear()
    try:
        yield
    finally:
        if (figures := _open_figures()) is not None:
            for number in list(figures):
                sys.modules["matplotlib.pyplot"].close(number)
            figures.update(before)


def _candidates(plot: Any) -> Iterator[object]:
    yield plot
    figure = getattr(plot, "figure", None)
    if figure is not None and figure is not plot:
        yield from _candidates(figure)
    if isinstance(plot, dict):
        plot = tuple(plot.values())
    parts = plot if isinstance(plot, list | tuple) else getattr(plot, "flat", ())
    for part in islice(parts, _MOST_PARTS):
        yield from _candidates(part)


def _set_size(figure: Any, arguments: dict[str, Any]) -> None:
    whole = getattr(figure, "figure", figure)
    if hasattr(whole, "set_size_inches") and ("width" in arguments or "height" in arguments):
        width, height = whole.get_size_inches()
        whole.set_size_inches(arguments.pop("width", width), arguments.pop("height", height))


def _name_parts_stably(matplotlib: Any) -> None:
    """The parts of an SVG have random names unless this is set."""
    if matplotlib.rcParams["svg.hashsalt"] is None:
        matplotlib.rcParams["svg.hashsalt"] = "pipegraph"


def _open_figures() -> Any:
    """Those of pyplot, by number; None if it was not imported."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    return None if helpers is None else helpers.Gcf.figs
