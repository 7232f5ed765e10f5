"""What a fingerprint was taken of, in words that can be compared: the parts of a function, of a value, of a file.

Owns how explanations are kept as text, each longer text once by its content, and what has changed between two. Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from xxhash import xxh3_128_hexdigest

_LONG = 60
"""Characters; longer texts are kept by themselves."""


class Part(NamedTuple):
    """One thing that counts: a function, a class, a value, or a property of a file.

    Attributes
    ----------
    name
        Dotted: ``helpers.load``; of values, what a function knows them by: ``closure variable 'size'``.
    text
        As it was written, or the value; cut where it is long.
    digest
        Of what counts of it alone, without what it uses; empty: the text is all.
    """

    name: str
    text: str
    digest: str = ""


class Explanation(NamedTuple):
    """What a fingerprint was taken of.

    Attributes
    ----------
    shared
        Groups of parts that other explanations have as well.
    """

    parts: tuple[Part, ...] = ()
    shared: tuple[tuple[Part, ...], ...] = ()

    def all_parts(self) -> Iterator[Part]:
        """Each once."""
        known = set()
        for part in (*self.parts, *(part for group in self.shared for part in group)):
            if part not in known:
                known.add(part)
                yield part


class Change(NamedTuple):
    """A part that differs; empty: it was not there, or is there no more."""

    name: str
    before: str
    now: str

    def lines(self, context: int = 3) -> list[str]:
        """As people read it: both values on one line, or a unified diff of the texts."""
        before, now = self.before, self.now
        if before == now:
            text = "" if "\n" in before else f"{before or '(there is no source)'}, "
            return [f"{self.name}: {text}changed where it is not shown"]
        if "\n" not in before and "\n" not in now:  # of what stands in a file, a line ends so
            if not before or not now:
                return [f"{self.name}: {f'{before} is gone' if before else f'{now} is new'}"]
            return [f"{self.name}: {before} -> {now}"]
        import difflib

        return [
            line.rstrip("\n")
            for line in difflib.unified_diff(
                before.splitlines(), now.splitlines(), f"{self.name} before", f"{self.name} now", "", "", context, ""
            )
        ]


@functools.lru_cache(maxsize=256)  # of many jobs the same, as their functions are written once
def text_key(text: str) -> str:
    """Under which a longer text is kept."""
    return xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


def packed(explanation: Explanation) -> tuple[str, dict[str, str]]:
    """As a line of JSON, and the texts that it names, by their keys."""
    texts: dict[str, str] = {}
    groups = []
    for group in explanation.shared:
        key, kept = _packed_group(group)
        texts.update(kept)
        groups.append(f'"{key}"')
    return f"[{_packed_parts(explanation.parts, texts)},[{','.join(groups)}]]", texts


@functools.lru_cache(maxsize=64)
def _packed_group(group: tuple[Part, ...]) -> tuple[str, dict[str, str]]:
    """The key of a group, and the texts: those that it names, and its own."""
    texts: dict[str, str] = {}
    text = _packed_parts(group, texts)
    key = text_key(text)
    texts[key] = text
    return key, texts


def _packed_parts(parts: Iterable[Part], texts: dict[str, str]) -> str:
    """As JSON, as `json.dumps` has it without spaces; longer texts are added to `texts`."""
    quoted = _quoted()
    found = []
    for name, text, digest in parts:
        if len(text) > _LONG:
            key = text_key(text)
            texts[key] = text
            shown = f'["{key}"]'
        else:
            shown = quoted(text)
        found.append(f"[{quoted(name)},{shown},{quoted(digest)}]")
    return f"[{','.join(found)}]"


@functools.cache
def _quoted() -> Callable[[str], str]:
    from json.encoder import encode_basestring_ascii  # Late: slaves have no use for it.

    return encode_basestring_ascii


def unpacked(payload: str | None, text_of: Callable[[str], str | None]) -> Explanation | None:
    """What was `packed`; None for what is not there, or can't be read."""

    def parts(plain: Any) -> tuple[Part, ...]:
        return tuple(
            Part(name, text if isinstance(text, str) else text_of(text[0]) or "", digest)
            for name, text, digest in plain
        )

    if payload is None:
        return None
    import json

    try:
        own, groups = json.loads(payload)
        return Explanation(parts(own), tuple(parts(json.loads(text_of(key) or "[]")) for key in groups))
    except (ValueError, TypeError, IndexError):
        return None


def changes_between(before: Explanation | None, now: Explanation | None) -> tuple[Change, ...]:
    """What differs, in the order in which it is met now; what is gone comes last. Empty if either is not known."""
    if before is None or now is None:
        return ()
    old = _by_name(before)
    new = _by_name(now)
    changes = [
        Change(name, old[name].text if name in old else "", part.text)
        for name, part in new.items()
        if name not in old or (old[name].digest or old[name].text) != (part.digest or part.text)
    ]
    return (*changes, *(Change(name, part.text, "") for name, part in old.items() if name not in new))


def _by_name(explanation: Explanation) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for part in explanation.all_parts():
        name, number = part.name, 1
        while name in found:
            number += 1
            name = f"{part.name} ({number})"
        found[name] = part
    return found
