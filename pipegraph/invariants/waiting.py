"""Calls that wait for a slow file system, side by side.

Only such calls gain by it: what a local disk answers from memory takes longer when threads hand it to each other. All
threads have ended when this returns, since nobody may fork beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

THREADS = 32

QUICK_SECONDS = 0.0001
"""A local file system answers sooner."""

LAG_SECONDS = 0.02
"""So much longer, in sum and not made up for by quick answers, makes a file system a slow one."""

_MOST_SECONDS = 0.002

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Patience:
    """Sees whether calls, one after the other, take long.

    Attributes
    ----------
    is_over
        It pays to call side by side.
    lag
        So many seconds longer than quick ones calls have taken so far.
    """

    __slots__ = ("is_over", "lag", "quick_seconds")

    def __init__(self, quick_seconds: float = QUICK_SECONDS) -> None:
        self.quick_seconds = quick_seconds
        self.lag = 0.0
        self.is_over = False

    def spend(self, seconds: float) -> None:
        """A call took as long; that it was held up once, by whatever else runs, says little."""
        lag = self.lag + seconds - self.quick_seconds
        if lag <= 0.0:  # as nearly always
            self.lag = 0.0
            return
        self.lag = min(lag, self.lag + _MOST_SECONDS)
        self.is_over = self.lag >= LAG_SECONDS


def side_by_side(
    function: Callable[[_Item], _Result], items: Sequence[_Item], threads: int = THREADS
) -> list[_Result | OSError]:
    """The result for each item, in their order; where it raised an `OSError`, that.

    Raises
    ------
    Exception
        Any other that a call raised: one of them.
    """
    import threading  # of runs that need no threads, none pays for it

    found: dict[int, _Result | OSError] = {}
    others: list[BaseException] = []
    # The next number of a range is taken by one thread.
    numbers = iter(range(len(items)))

    def work() -> None:
        for number in numbers:
            if others:
                return
            try:
                found[number] = function(items[number])
            except OSError as error:
                found[number] = error
            except BaseException as error:
                others.append(error)

    begun: list[threading.Thread] = []
    try:
        for _ in range(min(threads, len(items)) - 1):
            thread = threading.Thread(target=work, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                break  # there may be no more of them
            begun.append(thread)
        work()
    except BaseException as error:
        others.append(error)
    for thread in begun:
        try:
            thread.join()
        except BaseException as error:  # Ctrl-C
            others.append(error)
            thread.join()
    if others:
        raise others[0]
    return [found[number] for number in range(len(items))]
