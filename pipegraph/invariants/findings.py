"""What is found out about a function: its fingerprint, what can't be watched, and its parts for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ..explanations import Explanation, Part
from ..model import Fingerprint
from .beginning import Globals

if TYPE_CHECKING:
    from .alike import Account, Head

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
    explanation
        What it was taken of, where that was asked for.
    """

    fingerprint: Fingerprint
    unwatched: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    explanation: Explanation | None = None


class Findings:
    """What has to be told.

    Attributes
    ----------
    parts, shared
        All that counts, for people; None where nobody asked.
    """

    __slots__ = ("parts", "remarks", "shared", "unwatched")

    def __init__(self, is_explained: bool = False) -> None:
        self.unwatched: set[str] = set()
        self.remarks: set[str] = set()
        self.parts: list[Part] | None = [] if is_explained else None
        self.shared: list[tuple[Part, ...]] = []

    def add(self, seen: Seen) -> None:
        """What was found for something that others share."""
        self.unwatched.update(seen.unwatched)
        self.remarks.update(seen.remarks)
        if self.parts is not None and seen.explanation is not None and seen.explanation.parts:
            self.shared.append(seen.explanation.parts)

    def seen(self, fingerprint: Fingerprint) -> Seen:
        """As plain data."""
        if not self.unwatched and not self.remarks and self.parts is None:
            return Seen(fingerprint)
        explanation = None if self.parts is None else Explanation(tuple(self.parts), tuple(self.shared))
        return Seen(fingerprint, tuple(sorted(self.unwatched)), tuple(sorted(self.remarks)), explanation)


class Followed:
    """What functions use, remembered for many jobs of the same functions.

    Good as long as nothing changes: `forget` when a run begins.

    Attributes
    ----------
    globals
        What names lead to.
    explained
        The same, for explanations.
    heads, accounts
        Of functions that are alike (see `alike`), by the ids of code and globals, whether what they use counts, and
        whether they are called by a partial.
    """

    def __init__(self, known: Globals | None = None) -> None:
        self.globals = Globals() if known is None else known
        self.explained = Followed(self.globals) if known is None else self
        # With the objects, as an id is good only while its owner lives.
        self._known: dict[tuple[object, ...], tuple[object, Seen]] = {}
        self.heads: dict[tuple[int, int, bool, bool], Head] = {}
        self.accounts: dict[tuple[int, int, bool, bool], Account] = {}

    def look_again(self) -> None:
        """Names lead elsewhere."""
        self._known.clear()
        self.heads.clear()
        self.accounts.clear()
        if self.explained is not self:
            self.explained.look_again()

    def forget(self) -> None:
        """Things may have changed."""
        self.look_again()
        self.globals.forget()

    def get(self, key: tuple[object, ...], kept: object, look: Callable[[], Seen]) -> Seen:
        """What was seen under a key, or is seen now."""
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (kept, look())
        return known[1]
