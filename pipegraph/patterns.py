"""Names that a person gives: patterns for several, and what is called nearly so. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_NEAREST = 3
_COMPARED = 20_000


def is_pattern(name: str) -> bool:
    """Whether it may stand for several names, as in a shell."""
    return any(sign in name for sign in "*?[")


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a name fits: ``*`` and ``?`` stay within a folder, ``**`` does not; a pattern fits itself, too."""
    import re

    if not is_pattern(pattern):
        return pattern.__eq__
    texts = []
    for piece in re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^]]*\])", pattern):
        if len(piece) > 1 and piece[0] == "[":
            inside = piece[1:-1].replace("\\", r"\\").replace("[", r"\[")
            texts.append(f"[{'^' + inside[1:] if inside[0] == '!' else inside}]")
        else:
            texts.append({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece) or re.escape(piece))
    fits = re.compile("".join(texts), re.DOTALL).fullmatch
    return lambda name: name == pattern or fits(name) is not None


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Of these names the few that are called nearly so, the nearest first."""
    import difflib
    import heapq

    found = set(known)
    if len(found) > _COMPARED:
        # Comparing a hundred thousand names takes seconds: those that share most of their ends with it are enough.
        found = set(heapq.nlargest(_COMPARED, found, key=lambda other: _shared(name, other)))
    return difflib.get_close_matches(name, sorted(found), _NEAREST)


def _shared(name: str, other: str) -> int:
    """Characters that both have in common, counted once for each kind."""
    return len({*name} & {*other}) - abs(len(name) - len(other))
