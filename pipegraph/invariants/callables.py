"""Things that can be called: of which kind they are, what stands in them, and the names of those without a source."""

from __future__ import annotations

import functools
import sys
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import Any

from .origins import is_own
from .values import is_made_in_python

LRU_CACHED = type(functools.lru_cache(maxsize=None)(len))
BUILTIN = (BuiltinFunctionType, MethodWrapperType)
DESCRIPTORS = (MethodDescriptorType, WrapperDescriptorType, ClassMethodDescriptorType)
FUNCTIONS = (
    FunctionType,
    MethodType,
    *BUILTIN,
    *DESCRIPTORS,
    functools.partial,
    functools.partialmethod,
    staticmethod,
    classmethod,
    property,
    functools.cached_property,
    LRU_CACHED,
)


def is_function(value: object) -> bool:
    """Whether a value goes by its code, or by its name in a module, and not by its content."""
    return isinstance(value, FUNCTIONS) or bool(known_name(value))


def inside(item: object) -> list[Any]:
    """The functions that stand in a function-like thing, as in a property; empty for all other things."""
    if isinstance(item, FunctionType):
        return [item]
    if isinstance(item, property):
        parts: tuple[object, ...] = (item.fget, item.fset, item.fdel)
    elif isinstance(item, functools.cached_property):
        parts = (item.func,)
    elif isinstance(item, (staticmethod, classmethod, LRU_CACHED)):
        parts = (item.__wrapped__,)
    elif isinstance(item, functools.partialmethod):
        parts = (item.func,)
    else:
        return []
    return [part for part in parts if part is not None]


def by_name(name: str) -> str:
    """Text of what goes by its name."""
    return f"G{len(name)}:{name}"


def public_name(module: str, name: str) -> str:
    """Without the inner modules that versions of a library move things between: ``pathlib._local``."""
    top, *inner = module.split(".")
    return ".".join([top, *(part for part in inner if not part.startswith("_")), name])


def is_of_library(function: FunctionType) -> bool:
    """Of a function without a file (numpy makes such): whether it belongs to a library's module."""
    return function.__code__.co_filename.startswith("<") and not is_own(function.__globals__.get("__name__"))


def library_name(function: FunctionType) -> str:
    """Module and name."""
    # Not __module__ and __qualname__: a decorator copies those of what it wraps.
    return public_name(str(function.__globals__.get("__name__")), function.__code__.co_name)


def is_known(function: FunctionType) -> bool:
    """Whether a library's function is reached by its name there."""
    if function.__module__ != function.__globals__.get("__name__"):
        return False
    found: object = function.__globals__
    found = function.__globals__.get(function.__qualname__.partition(".")[0])
    for part in function.__qualname__.split(".")[1:]:
        found = getattr(found, part, None)
    return found is function


def known_name(value: object) -> str:
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
