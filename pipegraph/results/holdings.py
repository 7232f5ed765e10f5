"""What a store holds, when each result was used last, and the removal of what nobody needs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from typing import NamedTuple

from .store import BUILDING, DAMAGED, USED, Damaged, Manifest, Store, read_manifest

_KEY = re.compile("[0-9a-f]{32}")


class Held(NamedTuple):
    """One result in a store.

    Attributes
    ----------
    used_at
        Seconds since 1970, when a job took it last, or it was put.
    is_linked
        Files of a project are hard links to it: removing it would free nothing.
    """

    group: str
    key: str
    manifest: Manifest
    used_at: float
    is_linked: bool


def holdings(store: Store) -> Iterator[Held]:
    """All results, in no order."""
    with contextlib.suppress(OSError):
        for group in os.listdir(store.folder):
            if group not in (BUILDING, DAMAGED):
                yield from of_group(store, group)


def of_group(store: Store, group: str) -> Iterator[Held]:
    """Those that are kept together."""
    folder = os.path.join(store.folder, group)
    with contextlib.suppress(OSError):
        for key in os.listdir(folder):
            # Others may remove them meanwhile; what is damaged is for the job that finds it.
            with contextlib.suppress(OSError, Damaged):
                if _KEY.fullmatch(key):
                    entry = os.path.join(folder, key)
                    manifest = read_manifest(entry)
                    used = [each.stat().st_mtime for each in os.scandir(entry) if each.name.startswith(USED)]
                    is_linked = any(os.stat(f"{entry}/{number}").st_nlink > 1 for number in range(len(manifest.files)))
                    yield Held(group, key, manifest, max(used, default=manifest.made_at), is_linked)


def keep_newest(store: Store, group: str, count: int, present: str) -> None:
    """Remove all of a group but those used last; `present` is used now, and its lock is held by the caller."""
    others = sorted((held for held in of_group(store, group) if held.key != present), key=lambda held: -held.used_at)
    for held in others[max(0, count - 1) :]:
        remove(store, held)


def remove(store: Store, held: Held) -> bool:
    """Unless it was used since, or somebody is at it."""
    lock = store.lock(held.group, held.key, {})
    if not lock.take():
        return False
    try:
        if any(each.used_at > held.used_at for each in of_group(store, held.group) if each.key == held.key):
            return False
        store.remove(held.group, held.key)
        return True
    finally:
        lock.release()


class Leftover(NamedTuple):
    """What a process that was killed was putting or removing, or what was set aside as damaged; `at` since 1970."""

    path: str
    group: str
    key: str
    size: int
    at: float


def leftovers(store: Store) -> Iterator[Leftover]:
    """Those that lie in the store; some may be in the making just now."""
    for where in (BUILDING, DAMAGED):
        with contextlib.suppress(OSError):
            for name in os.listdir(os.path.join(store.folder, where)):
                path = os.path.join(store.folder, where, name)
                group, key, _ = name.split(".", 2)
                size = sum(each.stat().st_size for each in os.scandir(path))
                yield Leftover(path, group, key, size, os.stat(path).st_mtime)


def remove_leftover(store: Store, leftover: Leftover) -> bool:
    """Unless somebody is at it."""
    lock = store.lock(leftover.group, leftover.key, {})
    if not lock.take():
        return False
    try:
        shutil.rmtree(leftover.path, ignore_errors=True)
        return True
    finally:
        lock.release()
