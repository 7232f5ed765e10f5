"""Fingerprints of functions: what is written, what it uses, defaults, and what they close over.

Owns the rules for everything that can be called. Never calls it, never imports anything, never fails: what can't
be watched is told instead.

A function counts by what is written in it (`sources`), or where that is not there by its code object: not by its name,
its file or its lines. What it uses by name counts as it is now (`following`). Each function, and each class, is
described once, in the order in which they are met, and goes by its number where it is met, so that functions may refer
to each other.
"""

from __future__ import annotations

from collections.abc import Callable

from ..explanations import Explanation
from ..model import Fingerprint
from .alike import explained_before, remember, remember_explained, seen_before
from .callables import is_function
from .findings import Findings, Follow, Followed, Seen
from .values import digest, with_room

__all__ = [
    "Follow",
    "Followed",
    "Seen",
    "explain_function",
    "fingerprint_function",
    "is_function",
    "look_at_function",
]


def fingerprint_function(
    function: Callable[..., object] | None, follow: Follow = False
) -> tuple[Fingerprint, tuple[str, ...]]:
    """Fingerprint of anything that can be called, and what it uses that can't be watched.

    Parameters
    ----------
    follow
        What it uses by name is looked up now; so not before a script has defined all of it.
    """
    return look_at_function(function, follow)[:2]


def look_at_function(
    function: Callable[..., object] | None,
    follow: Follow = True,
    followed: Followed | None = None,
    is_explained: bool = False,
) -> Seen:
    """Fingerprint of anything that can be called, and what has to be told of it.

    Parameters
    ----------
    followed
        What was found for other functions since the run began, and what was there when it did.
    is_explained
        All that counts is told, each part with its text; that takes longer.
    """
    followed = Followed() if followed is None else followed
    has_alike = isinstance(follow, bool)
    if has_alike and (known := seen_before(function, follow is True, followed)) is not None:
        told = explained_before(function, follow is True, followed, known) if is_explained else known
        if told is not None:
            return told
    known_of = followed
    if is_explained:
        followed = followed.explained
    from .encoding import FunctionEncoder

    def look() -> Seen:
        findings = Findings(is_explained)
        encoder = FunctionEncoder(findings, follow is True, followed.globals, followed)
        text = encoder.encode_callback(function, follow)
        seen = findings.seen(digest(text))
        if has_alike and is_explained:
            remember_explained(function, follow is True, known_of, seen.explanation)
        elif has_alike:
            remember(function, follow is True, known_of, text, seen)
        return seen

    return with_room(look)


def explain_function(
    function: Callable[..., object] | None, follow: Follow = True, followed: Followed | None = None
) -> Explanation:
    """All that counts of a function."""
    return look_at_function(function, follow, followed, is_explained=True).explanation or Explanation()
