"""What is found out about a function: its fingerprint, what can't be watched, and its parts for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..model import Fingerprint
from .beginning import Globals

Follow: TypeAlias = "bool | tuple[Callable[..., object], ...]"
"""Whether what a function uses by name counts, or which functions count beside it."""


class Seen(NamedTuple):
    """What is known of a function.

    Attributes
    ----------
    unwatched
        What is used but goes by its type only: ``closure variable 'model' (module.Type)``.
    remarks
        Other things that a person should know.
    """

    fingerprint: Fingerprint
    unwatched: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Part(NamedTuple):
    """One thing that counts: a function, a class or a value.

    Attributes
    ----------
    name
        Dotted: ``helpers.load``; of values, what a function knows them by: ``closure variable 'size'``.
    text
        As it was written, or the value, cut after a thousand characters.
    digest
        Of it alone, without what it uses.
    """

    name: str
    text: str
    digest: str


class FunctionDescription(NamedTuple):
    """All that counts of a function, for people."""

    fingerprint: Fingerprint
    unwatched: tuple[str, ...]
    parts: tuple[Part, ...]


class Findings:
    """What has to be told, and what is described for people."""

    __slots__ = ("parts", "remarks", "unwatched")

    def __init__(self) -> None:
        self.unwatched: set[str] = set()
        self.remarks: set[str] = set()
        self.parts: dict[str, Part] | None = None

    def seen(self, fingerprint: Fingerprint) -> Seen:
        """As plain data."""
        if not self.unwatched and not self.remarks:
            return Seen(fingerprint)
        return Seen(fingerprint, tuple(sorted(self.unwatched)), tuple(sorted(self.remarks)))


class Followed:
    """What functions use, remembered for many jobs of the same functions.

    Good as long as nothing changes: `forget` when a run begins.

    Attributes
    ----------
    globals
        What names lead to.
    """

    def __init__(self) -> None:
        self.globals = Globals()
        # With the objects, as an id is good only while its owner lives.
        self._known: dict[tuple[object, ...], tuple[object, Seen]] = {}

    def forget(self) -> None:
        """Things may have changed."""
        self._known.clear()
        self.globals.forget()

    def get(self, key: tuple[object, ...], kept: object, look: Callable[[], Seen]) -> Seen:
        """What was seen under a key, or is seen now."""
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (kept, look())
        return known[1]
