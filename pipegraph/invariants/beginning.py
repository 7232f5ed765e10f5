"""Global variables as they were when the run began: what jobs load or put there later is not looked at by name.

The jobs of a generator are declared in a fork in which data may have been loaded by then, or not: the same code must
count alike in both. What is assigned by a generator, while it runs, does count for them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from .bounds import too_large
from .origins import is_own, is_own_module

_RECORDS = frozenset((("argparse", "Namespace"), ("types", "SimpleNamespace")))
_COPIED = frozenset(
    (
        *(("builtins", name) for name in ("list", "dict", "set", "bytearray")),
        *(("collections", name) for name in ("OrderedDict", "defaultdict", "Counter", "deque")),
    )
)


_GONE = object()
"""The value of a name that is there no more."""
_Assigned = tuple[dict[str, Any], str, Any]


def is_record(value: object) -> bool:
    """A plain bundle of values, of which only what is used counts."""
    kind = type(value)
    return (kind.__module__, kind.__qualname__) in _RECORDS


class Globals:
    """What global names lead to; until `begin`, to what is there now."""

    def __init__(self) -> None:
        # By the id of what has the names, a class or the dict of a module or an object; with it, as an id is good while
        # its owner lives.
        self._kept: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._before: dict[int, dict[str, Any]] = {}
        # By generator: which names of what is kept, and the values.
        self._assigned: dict[str, list[_Assigned]] = {}
        self._undone_by: list[_Assigned] = []

    def names_in(self, owner: Any) -> Any:
        """The names of a module's dict or a class, with what is behind them."""
        kept = self._kept.get(id(owner))
        if kept is not None:
            return kept[1]
        return vars(owner) if isinstance(owner, type) else owner

    def begin(self, more: Iterable[dict[str, Any]]) -> None:
        """Keep what is there now, of the user's own modules and of these; lists, dicts and the like as copies."""
        own = [
            vars(each) for each in list(sys.modules.values()) if isinstance(each, ModuleType) and is_own_module(each)
        ]
        copies: dict[int, Any] = {}
        for names in (*own, *more):
            self._keep(names, names, copies)

    def forget(self) -> None:
        """From now on what is there counts."""
        self._kept.clear()
        self._before.clear()
        self._assigned.clear()
        self._undone_by.clear()

    def begin_growth(self, makers: Iterable[str]) -> None:
        """A generator is called: what it assigns is to count, and what those did that declared it.

        These are given with the first of all first. What other generators assigned is not: they may have run, or not.
        """
        for kept, name, value in reversed(self._undone_by):
            _set(kept, name, value)
        self._undone_by.clear()
        for maker in makers:
            self._apply(maker)
        self._before = {key: dict(_live(owner)) for key, (owner, _) in self._kept.items()}

    def end_growth(self, generator: str) -> None:
        """It is over."""
        copies: dict[int, Any] = {}
        assigned = self._assigned[generator] = []
        for key, before in self._before.items():
            owner, kept = self._kept[key]
            now = _live(owner)
            for name, value in now.items():
                if name not in before or before[name] is not value:
                    assigned.append((kept, name, self._copy(value, copies)))
            assigned += [(kept, name, _GONE) for name in before.keys() - now.keys()]
        self._before = {}
        self._apply(generator)

    def _apply(self, generator: str) -> None:
        for kept, name, value in self._assigned.get(generator, ()):
            self._undone_by.append((kept, name, kept.get(name, _GONE)))
            _set(kept, name, value)

    def _keep(self, owner: Any, names: Any, copies: dict[int, Any]) -> None:
        kept: dict[str, Any] = {}
        self._kept[id(owner)] = (owner, kept)
        for name, value in list(names.items()):
            kept[name] = self._copy(value, copies)

    def _copy(self, value: Any, copies: dict[int, Any]) -> Any:
        """A value that does not change when this one does; what is no container stands for itself."""
        kind = type(value)
        if isinstance(value, type):
            if is_own(value.__module__) and id(value) not in self._kept:
                self._keep(value, vars(value), copies)
            return value
        if isinstance(value, tuple) and (kind is tuple or hasattr(kind, "_fields")):
            # A tuple in a circle goes through something else, which is copied.
            return value if too_large(value) else tuple.__new__(kind, [self._copy(each, copies) for each in value])
        has_names = is_record(value) or (hasattr(kind, "__dataclass_fields__") and hasattr(value, "__dict__"))
        if not has_names and (kind.__module__, kind.__qualname__) not in _COPIED:
            return value
        known = copies.get(id(value))
        if known is not None:
            return known
        if too_large(vars(value) if has_names else value):
            return value
        import copy

        copied = copies[id(value)] = object.__new__(kind) if has_names and not is_record(value) else copy.copy(value)
        if has_names:
            # What a generator assigns to one of its names is to count.
            self._kept[id(vars(value))] = (vars(value), vars(copied))
            for name, each in list(vars(value).items()):
                vars(copied)[name] = self._copy(each, copies)
        elif isinstance(copied, dict):
            for name, each in list(value.items()):
                copied[name] = self._copy(each, copies)
        elif not isinstance(copied, (set, bytearray)):
            for at, each in enumerate(value):
                copied[at] = self._copy(each, copies)
        return copied


def _live(owner: Any) -> Any:
    return vars(owner) if isinstance(owner, type) else owner


def _set(names: dict[str, Any], name: str, value: Any) -> None:
    if value is _GONE:
        names.pop(name, None)
    else:
        names[name] = value
