"""What a class is beside what is written of it: parts that Python made, or that were computed or put there later."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from enum import EnumMeta
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

from .callables import inside
from .origins import is_own
from .sources import Written


def is_written_in(function: Any, kind: type) -> bool:
    """Whether a function should be found where a class is written: not one that a decorator made or a library gave."""
    return (
        type(function) is FunctionType
        and function.__qualname__ == f"{kind.__qualname__}.{function.__name__}"
        and function.__module__ == kind.__module__
        and "__wrapped__" not in function.__dict__
        and not _is_generated(function)
    )


def _is_generated(function: FunctionType) -> bool:
    """Made by the standard library or by attrs from what is written in a class."""
    return function.__code__.co_filename.startswith(("<string>", "<attrs ")) or not is_own(
        function.__globals__.get("__name__")
    )


def beside_source(
    kind: type, names: Mapping[str, Any], written: Written, own: list[Any]
) -> Iterator[tuple[str, object]]:
    """What a class has that its source does not say: computed values, and methods that carry or are something else.

    Parameters
    ----------
    names
        What is in the class.
    """
    bound = _constants_in(written.node)
    members: Mapping[str, Any] | None = kind.__members__ if isinstance(kind, EnumMeta) else None
    if members is not None:
        yield from ((name, member.value) for name, member in members.items())
    for name, item in names.items():
        if functions := inside(item):
            if not all(_says_nothing(each, own, name.startswith("_")) for each in functions):
                yield name, item
        elif members is not None or name in written.names.changed_attributes:
            continue
        elif name.startswith("_") and name not in bound:
            continue  # What Python, abc and dataclasses keep there.
        elif not hasattr(type(item), "__get__"):
            yield name, item


def _constants_in(node: ast.AST) -> set[str]:
    """Names that are assigned in the body of a class, but for those that mean something to Python."""
    assert isinstance(node, ast.ClassDef)
    statements = (each for each in node.body if isinstance(each, (ast.Assign, ast.AnnAssign)))
    names = (each.id for statement in statements for each in ast.walk(statement) if isinstance(each, ast.Name))
    hidden = f"_{node.name.lstrip('_')}"
    return {hidden + name if name.startswith("__") else name for name in names if not name.endswith("__")}


def _says_nothing(function: Any, own: list[Any], is_hidden: bool) -> bool:
    """Whether the source of the class says all of a function in it."""
    if type(function) is not FunctionType:
        return False
    if function in own:
        return not _carries(function)
    # What dataclasses and named tuples close over (``__repr__``, ``_make``) differs between versions.
    return _is_generated(function) and (is_hidden or not function.__closure__)


def _carries(function: FunctionType) -> bool:
    free = set(function.__code__.co_freevars) - {"__class__"}
    return bool(function.__defaults__ or function.__kwdefaults__ or free)


def is_bare_tuple(kind: type) -> bool:
    """Made by ``namedtuple(...)``: its methods are generated, and its fields say all."""
    return hasattr(kind, "_fields") and kind.__bases__ == (tuple,)


def class_content(names: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """All that is in a class of which nothing is written, but what Python keeps there for itself."""
    for name, item in names.items():
        is_function = isinstance(item, (FunctionType, staticmethod, classmethod, property))
        if name.startswith("_") and name.endswith("_") and not is_function:
            continue  # What Python, enum, abc and dataclasses keep there.
        if name == "_abc_impl" or isinstance(item, (MemberDescriptorType, GetSetDescriptorType)):
            continue
        yield name, item
