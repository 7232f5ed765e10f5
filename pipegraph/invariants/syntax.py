"""Python's syntax as text that every version gives alike: what is written, not how it is laid out.

Owns what of a source counts. Left out are layout, comments, docstrings and other statements without effect, the name of
the function itself, and annotations, but for those that somebody may read: in class bodies, and of decorated functions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .values import ValueEncoder, digest

_SILENT = frozenset(("ctx", "kind", "type_comment", "type_ignores"))
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def canonical_text(node: ast.AST) -> str:
    """Text of a function, a class, a statement or a module, as a digest."""
    return digest(_Writer().node(node, is_root=True))


class _Writer:
    def __init__(self) -> None:
        self._constants = ValueEncoder()
        self._is_in_function = False

    def node(self, node: ast.AST, is_root: bool = False) -> str:
        if isinstance(node, ast.Constant):
            return f"C{self._constants.encode(node.value)}"
        if isinstance(node, ast.JoinedStr):
            return self._formatted(node.values)
        if isinstance(node, ast.AnnAssign) and self._is_in_function:
            # An annotation of a local variable is never looked at.
            if node.value is not None:
                return f"(Assign targets=[{self.node(node.target)}] value={self.node(node.value)})"
            return f"(AnnAssign target={self.node(node.target)})"
        is_inside = self._is_in_function
        without: tuple[str, ...] = ()
        if isinstance(node, _FUNCTIONS):
            self._is_in_function = True
            without = (*(("name",) if is_root else ()), *(() if node.decorator_list else ("returns",)))
        elif isinstance(node, (ast.ClassDef, ast.Lambda)):
            self._is_in_function = isinstance(node, ast.Lambda)
        try:
            return self._fields(node, without)
        finally:
            self._is_in_function = is_inside

    def _fields(self, node: ast.AST, without: tuple[str, ...]) -> str:
        parts = [type(node).__name__]
        bare = isinstance(node, _FUNCTIONS) and not node.decorator_list
        for field in node._fields:
            if field in _SILENT or field in without:
                continue
            value = getattr(node, field, None)
            if bare and isinstance(value, ast.arguments):
                text = self._bare_arguments(value)
            elif isinstance(value, list):
                text = self._items(value)
            else:
                text = "" if value is None else self._value(value)
            if text:
                parts.append(f"{field}={text}")
        return f"({' '.join(parts)})"

    def _items(self, values: Iterable[object]) -> str:
        texts = [self._value(value) for value in values if not _is_without_effect(value)]
        return f"[{','.join(texts)}]" if texts else ""

    def _value(self, value: object) -> str:
        return self.node(value) if isinstance(value, ast.AST) else self._constants.encode(value)

    def _bare_arguments(self, arguments: ast.arguments) -> str:
        kept = [each for each in ast.walk(arguments) if isinstance(each, ast.arg) and each.annotation is not None]
        annotations = [each.annotation for each in kept]
        for each in kept:
            each.annotation = None
        try:
            return self.node(arguments)
        finally:
            for each, annotation in zip(kept, annotations):
                each.annotation = annotation

    def _formatted(self, values: list[ast.expr]) -> str:
        """An f-string: the versions cut its fixed parts differently."""
        texts: list[str] = []
        fixed = ""
        for value in values:
            if isinstance(value, ast.Constant):
                fixed += str(value.value)
                continue
            if fixed:
                texts.append(self._constants.encode(fixed))
            fixed = ""
            if isinstance(value, ast.FormattedValue):
                text = f"value={self.node(value.value)} conversion={value.conversion}"
                if value.format_spec is not None and (layout := self.node(value.format_spec)) != "Cs0:":
                    text += f" format={layout}"
                texts.append(f"({text})")
            else:
                texts.append(self.node(value))
        if not texts:
            return f"C{self._constants.encode(fixed)}"
        return f"(JoinedStr {','.join([*texts, self._constants.encode(fixed)])})"


def _is_without_effect(value: object) -> bool:
    """Docstrings, ``pass``, ``...``."""
    return isinstance(value, ast.Pass) or (isinstance(value, ast.Expr) and isinstance(value.value, ast.Constant))
