"""The names that a piece of source takes from outside of itself, and what it does to what is behind them.

By the syntax and not by the bytecode: the versions of Python, and ``-O``, leave out different parts of that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

Chain: TypeAlias = tuple[str, ...]
"""``helpers.tables.load`` in its parts; the first one begins with a colon if it is a module that is imported there:
``:0:helpers.tables``, with the number of dots in front of it. ``SIZES["small"]`` has the parts ``SIZES`` and
``['small']``."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_CHANGING = frozenset(
    (
        *("add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "move_to_end", "pop"),
        *("popitem", "popleft", "remove", "reverse", "setdefault", "sort", "subtract", "update", "__setitem__"),
    )
)
"""Methods that change a container of the standard library."""


class Names(NamedTuple):
    """What a piece of source takes from outside.

    Attributes
    ----------
    read
        Sorted.
    changed
        What it assigns.
    filled
        What it changes in place, unless that is a class or module with a method or function of such a name.
    changed_attributes
        Names of attributes, of whatever object, that it assigns or changes in place.
    """

    read: tuple[Chain, ...]
    changed: frozenset[Chain]
    filled: frozenset[Chain]
    changed_attributes: frozenset[str]


def names_in(node: ast.AST, bound: Iterable[str] = ()) -> Names:
    """Names in a function, a class or a statement.

    Parameters
    ----------
    bound
        Those that belong to a function around it.
    """
    look = _Look()
    scope = _Scope(None, dict.fromkeys(bound))
    if isinstance(node, _FUNCTIONS):
        # Its defaults were taken when it was defined.
        for decorator in getattr(node, "decorator_list", ()):
            look.visit(decorator, scope)
        look.function_body(node, scope)
    else:
        look.visit(node, scope)
    # Of a module that is imported, what is used of it.
    read = look.read | {
        chain
        for chain in look.imported
        if len(chain) > 1 and not any(other[: len(chain)] == chain for other in look.read)
    }
    changed, filled = frozenset(look.changed), frozenset(look.filled)
    return Names(tuple(sorted(read)), changed, filled, frozenset(look.changed_attributes))


class _Scope:
    __slots__ = ("bound", "declared_global", "is_class", "parent")

    def __init__(self, parent: _Scope | None, bound: dict[str, Chain | None], is_class: bool = False) -> None:
        self.parent = parent
        self.bound = bound
        self.is_class = is_class
        self.declared_global: set[str] = set()

    def chain_of(self, name: str) -> Chain | None:
        """How to reach it from outside; None for what is made inside."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.declared_global:
                return scope.bound.get(name) or (name,)
            if name in scope.bound and (scope is self or not scope.is_class):
                return scope.bound[name]
            scope = scope.parent
        return (name,)

    def bind(self, body: Iterable[ast.AST]) -> _Scope:
        """Note all names that are bound in these statements, and not deeper."""
        not_here: set[str] = set()
        stack = list(body)
        while stack:
            node = stack.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.bound[node.name] = None
                continue
            if isinstance(node, ast.Lambda):
                continue
            if isinstance(node, _COMPREHENSIONS):
                # Only what := binds belongs to the function.
                walrus = (each.target for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
                self.bound.update((each.id, None) for each in walrus if isinstance(each, ast.Name))
                continue
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self.bound[node.id] = None
            elif isinstance(node, ast.Global):
                self.declared_global.update(node.names)
            elif isinstance(node, ast.Nonlocal):
                not_here.update(node.names)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self.bound.update(imported_names(node))
            elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
                self.bound[node.name] = None
            elif isinstance(node, ast.MatchMapping) and node.rest:
                self.bound[node.rest] = None
            stack.extend(ast.iter_child_nodes(node))
        for name in not_here:
            self.bound.pop(name, None)
        return self


def imported_names(node: ast.Import | ast.ImportFrom) -> dict[str, Chain | None]:
    """The names that an import binds, and what they lead to."""
    if isinstance(node, ast.ImportFrom):
        module = f":{node.level}:{node.module or ''}"
        return {alias.asname or alias.name: (module, alias.name) for alias in node.names}
    return {
        alias.asname or alias.name.partition(".")[0]: (
            f":0:{alias.name if alias.asname else alias.name.partition('.')[0]}",
        )
        for alias in node.names
    }


class _Look:
    def __init__(self) -> None:
        self.read: set[Chain] = set()
        self.imported: set[Chain] = set()
        self.changed: set[Chain] = set()
        self.filled: set[Chain] = set()
        self.changed_attributes: set[str] = set()

    def visit(self, node: ast.AST, scope: _Scope) -> None:
        if isinstance(node, (ast.Name, ast.Attribute)) or _key(node):
            self._name(node, scope)
        elif isinstance(node, _FUNCTIONS):
            for each in (*getattr(node, "decorator_list", ()), *node.args.defaults, *node.args.kw_defaults):
                if each is not None:
                    self.visit(each, scope)
            self.function_body(node, scope)
        elif isinstance(node, ast.ClassDef):
            for each in (*node.decorator_list, *node.bases, *node.keywords):
                self.visit(each, scope)
            inner = _Scope(scope, {}, is_class=True)
            self._type_parameters(node, inner)
            for each in node.body:
                # What a class has not bound yet is taken from outside: ``limit = limit``.
                self.visit(each, inner)
                inner.bind([each])
        elif isinstance(node, _COMPREHENSIONS):
            self._comprehension(node, scope)
        elif isinstance(node, ast.AnnAssign):
            self.visit(node.target, scope)
            if node.value is not None:
                self.visit(node.value, scope)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self.imported.update(chain for chain in imported_names(node).values() if chain is not None)
        else:
            if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
                self._change(node.value, scope)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
                self._change(node.func.value, scope)
            for each in ast.iter_child_nodes(node):
                self.visit(each, scope)

    def function_body(self, node: ast.AST, scope: _Scope) -> None:
        """Everything but its decorators and defaults."""
        assert isinstance(node, _FUNCTIONS)
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        arguments = (each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg))
        inner = _Scope(scope, dict.fromkeys(arguments)).bind(body)
        self._type_parameters(node, inner)
        for each in body:
            self.visit(each, inner)

    def _type_parameters(self, node: ast.AST, inner: _Scope) -> None:
        inner.bound.update((each.name, None) for each in getattr(node, "type_params", ()))

    def _comprehension(self, node: ast.AST, scope: _Scope) -> None:
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        self.visit(generators[0].iter, scope)
        inner = _Scope(scope, {}).bind([each.target for each in generators])
        for at, each in enumerate(generators):
            self.visit(each.target, inner)
            for part in (*([each.iter] if at else ()), *each.ifs):
                self.visit(part, inner)
        for name in ("key", "value", "elt"):
            if (part := getattr(node, name, None)) is not None:
                self.visit(part, inner)

    def _name(self, node: Any, scope: _Scope) -> None:
        is_read = isinstance(node.ctx, ast.Load)
        if isinstance(node, ast.Attribute) and not is_read:
            self.changed_attributes.add(node.attr)
        is_local = scope.is_class and isinstance(node, ast.Name) and node.id not in scope.declared_global
        chain = None if is_local and not is_read else _chain(node, scope)
        if chain is None:
            if not isinstance(node, ast.Name):
                self.visit(node.value, scope)
        elif is_read:
            self.read.add(chain)
        else:
            self.changed.add(chain)
            self.read.add(chain)

    def _change(self, node: ast.AST, scope: _Scope) -> None:
        """What is behind this expression is changed in place."""
        while isinstance(node, ast.Subscript):
            node = node.value
        if isinstance(node, ast.Attribute):
            self.changed_attributes.add(node.attr)
        if (chain := _chain(node, scope)) is not None:
            self.filled.add(chain)


def _key(node: Any) -> str:
    """How an entry is picked, if that is by a constant, to be read: ``['small']``; else empty."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
        return ""
    key = node.slice
    return f"[{key.value!r}]" if isinstance(key, ast.Constant) and type(key.value) in (str, int) else ""


def _chain(node: Any, scope: _Scope) -> Chain | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute) or _key(node):
        parts.append(node.attr if isinstance(node, ast.Attribute) else _key(node))
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    root = scope.chain_of(node.id)
    return None if root is None else (*root, *reversed(parts))
