"""What is behind the names that a function uses: looked up where Python would, and never imported.

Goes on through modules that are the user's own. What a function imports when it is called may not have been imported
yet: that is read from its file, loaded or not, so that it counts alike in the script and in its forks.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Container, Iterator
from enum import EnumMeta
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from ..model import Origin
from .beginning import Globals, is_record
from .names import Chain, imported_names
from .origins import is_own, is_own_module, origin_of
from .sources import Source, Written, source_at, source_of

_SIMPLE = (
    *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.ImportFrom),
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
)


class Used(NamedTuple):
    """What a chain of names leads to.

    Attributes
    ----------
    name
        As far as it could be followed, dotted.
    owner, key
        Where it was found last: the id of a module's names, a class or an object, and its name there.
    names, variable
        The last module on the way, as its names, and the one that leads further.
    is_end
        The chain could be followed to its end.
    """

    name: str
    value: object
    owner: int
    key: str
    names: dict[str, Any]
    variable: str
    is_end: bool = True


def look_up(
    chain: Chain, names: dict[str, Any], known: Globals, changed: Container[tuple[int, str]] = ()
) -> Used | None:
    """What the chain leads to from these global names; None for builtins, and for what is not there.

    Goes no further than a place that is changed, whether anything is there or not.
    """
    root, *attributes = chain
    there = known.names_in(names)
    if root not in there:
        return Used(root, None, id(names), root, names, root) if (id(names), root) in changed else None
    found = Used(root, there[root], id(names), root, names, root)
    for attribute in attributes:
        whole = found.value
        if attribute.startswith("["):
            key = ast.literal_eval(attribute[1:-1])
            if type(whole) is not dict or (found.owner, found.key) in changed:
                return found._replace(is_end=False)
            if key not in whole:
                return None
            name = f"{found.name}{attribute}"
            found = found._replace(name=name, value=whole[key], owner=id(whole), key=attribute)
            continue
        owner = None if (found.owner, found.key) in changed else _names_of(whole, known)
        if owner is None:
            return found._replace(is_end=False)
        place = place_of(whole, attribute)
        value = None
        if place not in changed:
            if attribute in owner:
                value = owner[attribute]
            elif isinstance(whole, ModuleType) and f"{whole.__name__}.{attribute}" in sys.modules:
                value = sys.modules[f"{whole.__name__}.{attribute}"]
            elif isinstance(whole, ModuleType) and "__getattr__" in owner:
                return found._replace(name=f"{found.name}.__getattr__", value=owner["__getattr__"])
            elif isinstance(whole, ModuleType) and attribute == "__dict__":
                return found
            elif is_record(whole) and not hasattr(type(whole), attribute):
                return None  # Somebody is to put it there.
            else:
                return found._replace(is_end=False)
            if isinstance(whole, type) and not _is_plain(value):
                return found._replace(is_end=False)
        found = found._replace(name=f"{found.name}.{attribute}", value=value, owner=place[0], key=place[1])
        if isinstance(whole, ModuleType):
            found = found._replace(names=vars(whole), variable=attribute)
    return found


def changed_by(chain: Chain, names: dict[str, Any], known: Globals) -> tuple[int, str] | None:
    """The place that changes where this chain is assigned, whether anything is there or not."""
    *before, last = chain
    if not before:
        return id(names), last
    found = look_up(tuple(before), names, known)
    if found is None or isinstance(found.value, FunctionType):
        return None
    if not found.is_end or _names_of(found.value, known) is None:
        # An attribute of an object: what is known of the object.
        return None if isinstance(found.value, (ModuleType, type)) else (found.owner, found.key)
    return place_of(found.value, last)


def filled_by(chain: Chain, names: dict[str, Any], known: Globals) -> tuple[int, str] | None:
    """The place that changes where this chain is changed in place: not what only has a function ``add`` or ``sort``."""
    found = look_up(chain, names, known)
    if found is not None and found.is_end and isinstance(found.value, (ModuleType, type)):
        return None
    return changed_by(chain, names, known)


def place_of(owner: Any, name: str) -> tuple[int, str]:
    """Where a name of a module, class or object is found."""
    return id(owner if isinstance(owner, type) else getattr(owner, "__dict__", owner)), name


def _names_of(value: Any, known: Globals) -> dict[str, Any] | None:
    """The names in what can be looked into: the user's own modules, constants of classes, bundles of values."""
    if isinstance(value, ModuleType):
        names: dict[str, Any] | None = known.names_in(vars(value)) if is_own_module(value) else None
        return names
    if isinstance(value, type):
        if not is_own(value.__module__) or isinstance(value, EnumMeta):
            return None
        return {name: item for part in reversed(value.__mro__) for name, item in known.names_in(part).items()}
    return vars(value) if is_record(value) else None


def _is_plain(value: object) -> bool:
    # Methods may use all that the class has; what is a descriptor is not what one gets.
    return not callable(value) and not hasattr(type(value), "__get__")


def chains_in_code(code: CodeType, names: dict[str, Any], known: Globals) -> tuple[Chain, ...]:
    """What may be used by code whose source is not there: each name, and each with each where that leads further."""
    words: set[str] = set()
    stack = [code]
    while stack:
        one = stack.pop()
        words.update(one.co_names)
        stack.extend(each for each in one.co_consts if isinstance(each, CodeType))
    chains: set[Chain] = set()
    names = known.names_in(names)
    for word in words:
        value = names.get(word)
        further: set[Chain] = set()
        if isinstance(value, ModuleType) and is_own_module(value):
            further = {(word, other) for other in words if other in known.names_in(vars(value))}
        elif word not in names and not hasattr(builtins, word):
            further = {(f":0:{word}", other) for other in words}  # Perhaps a module that it imports.
        chains |= further or {(word,)}
    return tuple(sorted(chains))


# ---- what is imported when it is called


class Imported(NamedTuple):
    """A module by its name, or one name in it."""

    module: str
    name: str = ""


def imported_by(chain: Chain, package: str) -> Imported | None:
    """What a chain that begins with an import leads to; None if that is not the user's own."""
    _, level, module = chain[0].split(":")
    if int(level):
        above = package.rsplit(".", int(level) - 1)[0] if package else ""
        module = ".".join(part for part in (above, module) if part)
    for at, attribute in enumerate(chain[1:], 1):
        if find_source(f"{module}.{attribute}") is None:
            return Imported(module, chain[at]) if find_source(module) is not None else None
        module += f".{attribute}"
    return Imported(module) if find_source(module) is not None else None


def find_source(module: str) -> Source | None:
    """The source of a module of the user's own, loaded or not; None of all others."""
    filename = _file_of(module) if module else None
    if filename is None or origin_of(filename) is not Origin.SCRIPT:
        return None
    loaded = getattr(sys.modules.get(module), "__dict__", {})
    return source_of(loaded) if loaded.get("__file__") == filename else source_at(filename)


def assignments_of(name: str, names: dict[str, Any]) -> Iterator[Written | Imported]:
    """What is written where a module, which has these names, binds or fills one of them, outside of its functions."""
    source = source_of(names)
    if source is None:
        return
    package = names.get("__package__") or ""
    for statement in _simple_statements(source.tree):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if statement.name == name:
                yield source.written(statement)
        elif isinstance(statement, ast.ImportFrom):
            chain = imported_names(statement).get(name)
            if chain is not None and (imported := imported_by(chain, package)) is not None:
                yield imported
        elif any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(statement)):
            written = source.written(statement)
            if (name,) in written.names.changed or (name,) in written.names.filled:
                yield written


def _simple_statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All that bind or fill something once, also those within others; functions and classes as a whole."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _SIMPLE):
            yield child
        elif isinstance(child, (ast.If, ast.With, ast.Try, ast.ExceptHandler, ast.Match, ast.match_case)):
            yield from _simple_statements(child)


def _file_of(module: str) -> str | None:
    # Not importlib.util.find_spec: it imports the packages on the way.
    from importlib.machinery import PathFinder

    path = None
    name = ""
    spec = None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        try:
            spec = PathFinder.find_spec(name, path)
        except Exception:
            return None
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec.origin if spec is not None and spec.has_location else None


def statements_of(imported: Imported) -> Iterator[tuple[Written, tuple[Imported, ...]]]:
    """What is written where a name of a module is bound (or in all of the module), and what that uses in turn."""
    source = find_source(imported.module)
    if source is None:
        return
    package = imported.module if source.filename.endswith("__init__.py") else imported.module.rpartition(".")[0]
    bound = _bound_in(source.tree)
    wanted = bound.get(imported.name, ()) if imported.name else source.tree.body
    if imported.name and not wanted:
        wanted = bound.get("*", ())
    for statement in wanted:
        written = source.written(statement)
        further: dict[Imported, None] = {}
        for chain in written.names.read:
            if chain[0].startswith(":"):
                if chain[-1] == "*":
                    chain = (chain[0], imported.name)
                if (found := imported_by(chain, package)) is not None:
                    further[found] = None
            elif chain[0] in bound:
                further |= dict.fromkeys(_through(chain, bound[chain[0]], imported.module, package))
        yield written, tuple(further)


def _through(chain: Chain, statements: list[ast.stmt], module: str, package: str) -> Iterator[Imported]:
    for statement in statements:
        if isinstance(statement, (ast.Import, ast.ImportFrom)) and chain[0] in (names := imported_names(statement)):
            found = imported_by((*(names[chain[0]] or ()), *chain[1:]), package)
            if found is not None:
                yield found
        else:
            yield Imported(module, chain[0])


def _bound_in(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """The statements of a module by the names that they bind; of compound ones the whole."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        names: set[str] = set()
        stack: list[ast.AST] = [statement]
        while stack:
            node = stack.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
                continue
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names.update(imported_names(node))
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                names.add(node.id)
            elif isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
                inner: ast.AST = node
                while isinstance(inner, (ast.Attribute, ast.Subscript)):
                    inner = inner.value
                if isinstance(inner, ast.Name):
                    names.add(inner.id)
            stack.extend(ast.iter_child_nodes(node))
        for name in names:
            found.setdefault(name, []).append(statement)
    return found
