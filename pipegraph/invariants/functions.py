"""Fingerprints of functions: code, constants, names, defaults, and what they close over.

Owns the rules for everything that can be called. Never calls it, never imports anything, never fails: what can't
be watched is told instead.

A function counts by what it does: not by its name, its file or its lines. Each function, and each local class, is
described where it is first met, and by its number from then on, so that functions may refer to each other.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from types import (
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from ..model import Fingerprint
from . import library
from .code import code_text
from .values import METHOD, UnstableValueError, ValueEncoder, digest, is_made_in_python, type_name, with_room

_LRU_CACHED = type(functools.lru_cache(maxsize=None)(len))

_SAY_NOTHING = frozenset(
    (
        "dataclasses._HAS_DEFAULT_FACTORY_CLASS",
        "dataclasses._MISSING_TYPE",
        "_collections._tuplegetter",
        "collections._tuplegetter",
    )
)
"""What the standard library puts into classes that it makes; no user knows of them."""

_SCALARS = frozenset((str, int, float, bool, bytes, type(None)))
_BUILTIN = (BuiltinFunctionType, MethodWrapperType)
_DESCRIPTORS = (MethodDescriptorType, WrapperDescriptorType, ClassMethodDescriptorType)
_FUNCTIONS = (
    FunctionType,
    MethodType,
    *_BUILTIN,
    *_DESCRIPTORS,
    functools.partial,
    functools.partialmethod,
    staticmethod,
    classmethod,
    property,
    functools.cached_property,
    _LRU_CACHED,
)


def fingerprint_function(function: Callable[..., object] | None) -> tuple[Fingerprint, tuple[str, ...]]:
    """Fingerprint of anything that can be called, and what it uses that can't be watched.

    Returns
    -------
    The fingerprint, and what is used but goes by its type only: ``closure variable 'model' (module.Type)``.

    Notes
    -----
    Version 1: what is used through global names goes by the names.
    """
    unwatched: set[str] = set()

    def encode() -> str:
        unwatched.clear()
        return _FunctionEncoder(unwatched).encode_callback(function)

    text = with_room(encode)
    return digest(text), tuple(sorted(unwatched)) if unwatched else ()


def is_function(value: object) -> bool:
    """Whether a value goes by its code, or by its name in a module, and not by its content."""
    return isinstance(value, _FUNCTIONS) or bool(_known_name(value))


class _FunctionEncoder(ValueEncoder):
    """Encodes functions, and values that they use."""

    __slots__ = ("_label", "_numbers", "unwatched")

    def __init__(self, unwatched: set[str]) -> None:
        super().__init__()
        self.unwatched = unwatched
        # Functions and classes already described; with the object, as an id is good only while its owner lives.
        self._numbers: dict[int, tuple[object, int]] = {}
        self._label = "callback"

    def encode_callback(self, function: object) -> str:
        if type(function) is FunctionType:
            return self._function(function)
        if isinstance(function, type):
            return self._class(function)
        kind = type(function)
        if function is None or hasattr(kind, METHOD) or library.chosen(kind) is not None:
            return self._used("callback", function)
        self._label = "the object that is called"
        return self.other(function)

    def other(self, value: object) -> str:
        if type(value) is FunctionType:
            return self._function(value)
        if isinstance(value, _FUNCTIONS):
            return self._numbered(value, _FunctionEncoder._other_function)
        if name := _known_name(value):
            return _by_name(name)
        kind = type_name(type(value))
        if kind not in _SAY_NOTHING:
            self.unwatched.add(f"{self._label} ({kind})")
        return self._numbered(value, _FunctionEncoder._callable) if callable(value) else f"?{kind};"

    def encode_class(self, value: type) -> str:
        # A class of a module goes by its name; one made inside of a function belongs to that function's code.
        return self._class(value) if "<locals>" in value.__qualname__ else super().encode_class(value)

    def again(self, value: object, depth: int) -> str:
        return f"@{depth};"

    def apart(self, value: object) -> str:
        if type(value) in _SCALARS:
            return self.encode(value)
        # Sets have no order: each element is described as if it was the first.
        numbers, texts = self._numbers.copy(), self._texts.copy()
        try:
            return self.encode(value)
        finally:
            self._numbers, self._texts = numbers, texts

    def _numbered(self, value: object, encoded: Callable[[Any, Any], str]) -> str:
        key = id(value)
        known = self._numbers.get(key)
        if known is not None:
            return f"={known[1]};"
        self._numbers[key] = (value, len(self._numbers))
        return self.within(value, encoded)

    def _used(self, label: str, value: object) -> str:
        """Text of a value that a function uses; a label that says how, for what can't be watched."""
        before, self._label = self._label, label
        try:
            return self.encode(value)
        except UnstableValueError as error:
            self.unwatched.add(f"{label} ({error.kind}: {error.why})")
        except RecursionError:
            raise
        except Exception as error:
            # Objects that fail when they are looked at: a fingerprint of a function is never an error.
            self.unwatched.add(f"{label} ({type_name(type(value))}: {type_name(type(error))} when looked at)")
        finally:
            self._label = before
        return f"?{type_name(type(value))};"

    # ---- what can be called

    def _function(self, function: FunctionType) -> str:
        return self._numbered(function, _FunctionEncoder._function_parts)

    def _function_parts(self, function: FunctionType) -> str:
        code = function.__code__
        text = f"L{code_text(code)}"
        if function.__defaults__:
            names = code.co_varnames[: code.co_argcount][-len(function.__defaults__) :]
            text += "D" + self._pairs("default of", zip(names, function.__defaults__))
        if function.__kwdefaults__:
            text += "K" + self._pairs("default of", sorted(function.__kwdefaults__.items()))
        if function.__closure__:
            text += "C" + self._cells(code.co_freevars, function.__closure__)
        if function.__dict__ and "__wrapped__" in function.__dict__:
            text += "W" + self._used("wrapped function", function.__dict__["__wrapped__"])
        return text + "."

    def _pairs(self, label: str, pairs: Iterable[tuple[str, object]]) -> str:
        texts = [f"{len(name)}:{name}" + self._used(f"{label} '{name}'", value) for name, value in pairs]
        return f"{len(texts)}:" + "".join(texts)

    def _cells(self, names: Iterable[str], cells: Iterable[CellType]) -> str:
        texts = []
        for name, cell in zip(names, cells):
            try:
                value = cell.cell_contents
            except ValueError:
                texts.append("-")  # Not assigned yet.
            else:
                texts.append(self._used(f"closure variable '{name}'", value))
        return f"{len(texts)}:" + "".join(texts)

    def _other_function(self, value: Any) -> str:
        if isinstance(value, MethodType):
            return self._bound(value)
        if isinstance(value, _BUILTIN):
            return self._builtin(value)
        if isinstance(value, _DESCRIPTORS):
            return _by_name(f"{type_name(value.__objclass__)}.{value.__name__}")
        if isinstance(value, (functools.partial, functools.partialmethod)):
            kind = type(value)
            return _by_name(type_name(kind)) + "".join(
                (
                    self._used(self._label, value.func),
                    self._used("argument of partial", value.args),
                    self._used("argument of partial", value.keywords),
                )
            )
        if isinstance(value, property):
            parts: tuple[object, ...] = (value.fget, value.fset, value.fdel)
        elif isinstance(value, functools.cached_property):
            parts = (value.func,)
        else:
            parts = (value.__wrapped__,)
        return _by_name(type_name(type(value))) + "".join([self._used(self._label, part) for part in parts])

    def _bound(self, method: MethodType) -> str:
        owner = method.__self__
        text = "M" + self._used(self._label, method.__func__)
        if isinstance(owner, (type, ModuleType)) or hasattr(type(owner), METHOD):
            return text + self._used(self._label, owner)
        name = getattr(method.__func__, "__name__", "?")
        self.unwatched.add(f"the object that method '{name}' is bound to ({type_name(type(owner))})")
        return text + f"?{type_name(type(owner))};"

    def _builtin(self, function: Any) -> str:
        owner = function.__self__
        if owner is None or isinstance(owner, ModuleType):
            return _by_name(f"{function.__module__}.{function.__qualname__}")
        label = f"the object that method '{function.__name__}' is bound to"
        return _by_name(function.__qualname__) + self._used(label, owner)

    def _callable(self, value: object) -> str:
        """An object that can be called: by its class's ``__call__`` and what it wraps."""
        kind = type(value)
        call = next((vars(part)["__call__"] for part in kind.__mro__ if "__call__" in vars(part)), None)
        text = f"?{type_name(kind)};" + self._used(f"{type_name(kind)}.__call__", call)
        wrapped = getattr(value, "__wrapped__", None)
        return text if wrapped is None else text + "W" + self._used("wrapped function", wrapped)

    # ---- classes

    def _class(self, value: type) -> str:
        return self._numbered(value, _FunctionEncoder._class_parts)

    def _class_parts(self, value: type) -> str:
        if value.__module__ == "builtins":
            return super().encode_class(value)
        text = _by_name(value.__name__) + self._used(f"bases of class '{value.__name__}'", value.__bases__)
        return text + self._pairs(f"in class '{value.__name__}':", sorted(_class_content(value)))


def _class_content(value: type) -> Iterable[tuple[str, object]]:
    content: Mapping[str, object] = vars(value)
    for name, item in content.items():
        is_function = isinstance(item, (FunctionType, staticmethod, classmethod, property))
        if name.startswith("_") and name.endswith("_") and not is_function:
            continue  # What Python, enum, abc and dataclasses keep there.
        if name == "_abc_impl" or isinstance(item, (MemberDescriptorType, GetSetDescriptorType)):
            continue
        yield name, item


def _by_name(name: str) -> str:
    return f"G{len(name)}:{name}"


def _known_name(value: object) -> str:
    """Module and name of a compiled function of its own type (as numpy's), if its module holds it so; else empty.

    Not of an instance of a class made in Python: a decorator may have given it the name of what it wraps.
    """
    kind = type(value)
    if not callable(value) or isinstance(value, type) or is_made_in_python(kind):
        return ""
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(name, str):
        return ""
    if not isinstance(module, str):
        module = kind.__module__  # numpy.ufunc says so little.
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}.{name}" if found is value else ""
