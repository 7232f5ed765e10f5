"""What was written of a function or a class: its place in a parsed file, found by its code.

A file is read when a function of it is met first, and parsed once, as long as it stays the same. What stands there is
believed only if compiling it gives the very code of the function: a file that was edited after it was imported says
nothing of what will run. Never runs and never imports anything.
"""

from __future__ import annotations

import ast
import linecache
import sys
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from ..masking import masked_source
from .code import code_digest, code_text
from .names import Names, names_in
from .syntax import canonical_text
from .values import with_room

_MOST_KEPT = 20_000
_LINES_APART = 1000
"""Lines of a file are moved so far apart when it is compiled: room to tell the lambdas of one line by their lines."""


class Written(NamedTuple):
    """A function, class or statement as it was written.

    Attributes
    ----------
    text
        A digest of what counts of it; the same in every version of Python.
    names
        What it takes from outside of itself.
    """

    text: str
    names: Names
    node: ast.AST
    source: Source

    def shown(self) -> str:
        """As it stands in the file, but not indented, and without secrets."""
        shown = self.source.shown
        if self.node not in shown:
            shown[self.node] = masked_source(self._cut_out())
        return shown[self.node]

    def _cut_out(self) -> str:
        line, end = first_line(self.node), getattr(self.node, "end_lineno", None)
        if isinstance(self.node, ast.Lambda):
            return ast.get_source_segment(self.source.content, self.node) or ""
        return textwrap.dedent("".join(self.source.content.splitlines(keepends=True)[line - 1 : end]))


class Source:
    """One file, parsed.

    Attributes
    ----------
    content
        Its text.
    tree
        Of its syntax.
    classes
        By their qualified names.
    shown
        Its parts as they stand there, as far as they were asked for.

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
        It can't be parsed.
    """

    def __init__(self, raw: bytes | str, filename: str) -> None:
        self.raw = raw
        self.filename = filename
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.tree = ast.parse(raw, filename)
            self.classes: dict[str, list[ast.ClassDef]] = {}
            # By name: where it stands, what it compiles to, what is written.
            self._functions: dict[str, list[tuple[int, CodeType, ast.AST]]] = {}
            self._compile()
        self._written: dict[ast.AST, Written] = {}
        self.shown: dict[ast.AST, str] = {}

    @property
    def content(self) -> str:
        """Its text."""
        if isinstance(self.raw, str):
            return self.raw
        import io
        import tokenize

        encoding, _ = tokenize.detect_encoding(io.BytesIO(self.raw).readline)
        return self.raw.decode(encoding, "replace").replace("\r\n", "\n")

    def _compile(self) -> None:
        nodes: dict[tuple[int, str], ast.AST] = {}
        lambdas: dict[int, int] = {}
        for node in ast.walk(self.tree):
            if hasattr(node, "lineno"):
                node.lineno *= _LINES_APART
                node.end_lineno = (node.end_lineno or 0) * _LINES_APART  # type: ignore[attr-defined]
        for node, name in _named(self.tree, ""):
            if isinstance(node, ast.Lambda):
                line = node.lineno // _LINES_APART * _LINES_APART
                number = lambdas[line] = lambdas.get(line, -1) + 1
                # All of it: a change of line within a function leaves traces in its code.
                by = line + min(number, _LINES_APART - 1) - node.lineno
                for part in ast.walk(node):
                    if hasattr(part, "lineno"):
                        part.lineno += by
                        part.end_lineno += by  # type: ignore[attr-defined]
                nodes[node.lineno, "<lambda>"] = node
            elif isinstance(node, ast.ClassDef):
                self.classes.setdefault(name, []).append(node)
            else:
                nodes[first_line(node), node.name] = node  # type: ignore[attr-defined]
        stack = self._compiled()
        while stack:
            code = stack.pop()
            stack.extend(each for each in code.co_consts if isinstance(each, CodeType))
            found = nodes.get((code.co_firstlineno, code.co_name))
            if found is not None:
                line = code.co_firstlineno // _LINES_APART
                self._functions.setdefault(code.co_name, []).append((line, code, found))
        for node in ast.walk(self.tree):
            if hasattr(node, "lineno"):
                node.lineno //= _LINES_APART
                node.end_lineno //= _LINES_APART  # type: ignore[attr-defined]

    def _compiled(self) -> list[CodeType]:
        units = [self.tree]
        if "ipykernel_" in self.filename:
            # Each statement of a cell is compiled by itself, and does not know what the others import.
            units = [ast.Module([statement], []) for statement in self.tree.body]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [compile(unit, self.filename, "exec", dont_inherit=True) for unit in units]

    def node_of(self, code: CodeType) -> ast.AST | None:
        """What compiles to this code; on its own line, if it still stands there."""
        candidates = self._functions.get(code.co_name, ())
        wanted = code_text(code)
        for is_near in (True, False):
            for line, other, node in candidates:
                if (line == code.co_firstlineno) is is_near and code_digest(other) == wanted:
                    return node
        return self._node_at(code, wanted)

    def _node_at(self, code: CodeType, wanted: str) -> ast.AST | None:
        """The only function of this name at the very line of this code, if it compiles to it there.

        Where a class body has its own line as a number, Python 3.13 keeps one constant for both: not if it is moved.
        """
        found = [node for line, _, node in self._functions.get(code.co_name, ()) if line == code.co_firstlineno]
        if len(found) != 1:
            return None
        stack = self._compiled()
        while stack:
            other = stack.pop()
            stack.extend(each for each in other.co_consts if isinstance(each, CodeType))
            if (other.co_name, other.co_firstlineno) == (code.co_name, code.co_firstlineno):
                return found[0] if code_digest(other) == wanted else None
        return None

    def written(self, node: ast.AST, bound: Iterable[str] = ()) -> Written:
        """All that counts of a part of it."""
        found = self._written.get(node)
        if found is None:
            found = Written(with_room(lambda: canonical_text(node)), names_in(node, bound), node, self)
            self._written[node] = found
        return found


def first_line(node: ast.AST) -> int:
    """Of a function or class, its decorators included."""
    lines: list[int] = [node.lineno] if hasattr(node, "lineno") else [1]
    lines += [each.lineno for each in getattr(node, "decorator_list", ())]
    return min(lines)


def _named(node: ast.AST, prefix: str) -> Iterator[tuple[ast.AST, str]]:
    """Functions and classes with their qualified names."""
    stack = [(node, prefix)]
    while stack:
        node, prefix = stack.pop()
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = prefix + child.name
                inner = f"{name}." if isinstance(child, ast.ClassDef) else f"{name}.<locals>."
                yield child, name
            elif isinstance(child, ast.Lambda):
                inner = f"{prefix}<lambda>.<locals>."
                yield child, prefix + "<lambda>"
            stack.append((child, inner))


_sources: dict[str, Source | bytes | str] = {}
_written: dict[int, tuple[CodeType, Written | None]] = {}
# Caches. A code never changes, and what was found for it compiles to it: there is nothing to forget.


def source_at(filename: str, module_globals: dict[str, Any] | None = None) -> Source | None:
    """What a file holds now, parsed; None if it is not there, or is no Python."""
    raw: bytes | str
    try:
        with open(filename, "rb") as file:
            raw = file.read()
    except (OSError, ValueError):
        # What was typed into a notebook, or lies in an archive.
        raw = "".join(linecache.getlines(filename, module_globals))
        if not raw:
            return None
    known = _sources.get(filename)
    if (known.raw if isinstance(known, Source) else known) != raw:
        if len(_sources) >= _MOST_KEPT:
            _sources.clear()
        try:
            known = _sources[filename] = Source(raw, filename)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            known = _sources[filename] = raw
    return known if isinstance(known, Source) else None


_loaded: dict[str, tuple[object, Source | None]] = {}


def source_of(names: dict[str, Any]) -> Source | None:
    """What the file of a loaded module held when it was looked at first: edits since then are not what runs."""
    filename = names.get("__file__")
    if not isinstance(filename, str):
        return None
    loaded = names.get("__spec__") or names  # another one after importlib.reload()
    known = _loaded.get(filename)
    if known is None or known[0] is not loaded:
        known = _loaded[filename] = (loaded, source_at(filename, names))
    return known[1]


def written_function(function: FunctionType) -> Written | None:
    """What was written of a function; None if there is nothing that compiles to its code."""
    code = function.__code__
    found = _written.get(id(code))
    if found is not None:
        return found[1]
    written = None
    source = source_at(code.co_filename, function.__globals__)
    if source is not None and (node := source.node_of(code)) is not None:
        try:
            written = source.written(node, code.co_freevars)
        except RecursionError:
            written = None
    if len(_written) >= _MOST_KEPT:
        _written.clear()
    _written[id(code)] = (code, written)
    return written


def written_class(kind: type, functions: Iterable[FunctionType]) -> Written | None:
    """What was written of a class; None if that can't be said with certainty.

    Parameters
    ----------
    functions
        Those that were defined in it, as far as is known: they must be found there.
    """
    found = [written_function(function) for function in functions]
    if None in found:
        return None
    files = {each.source.filename: each.source for each in found if each is not None}
    if not files:
        module = sys.modules.get(kind.__module__)
        source = None if module is None else source_of(vars(module))
    else:
        source = next(iter(files.values())) if len(files) == 1 else None
    if source is None:
        return None
    nodes = [each.node for each in found if each is not None]
    candidates = [each for each in source.classes.get(kind.__qualname__, ()) if _holds(each, nodes)]
    return source.written(candidates[0]) if len(candidates) == 1 else None


def _holds(around: ast.ClassDef, nodes: list[ast.AST]) -> bool:
    inside = set(ast.walk(around)) if nodes else set()
    return all(node in inside for node in nodes)
