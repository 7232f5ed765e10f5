"""Notebooks: what of one counts, cell by cell.

Owns how the file of a notebook is read (nbformat 4, by Python's json alone), and what of its code counts: in Python
what is written, not how it is laid out, with IPython's own lines (``%matplotlib inline``, ``!ls``) as they stand; in
other languages the text. Text cells, outputs, counts of executions and metadata do not count, but for the kernel and
for tags by which cells are executed otherwise. Modules below the working directory that Python cells import count as
cells do, and so do those that they import. Runs nothing.
"""

from __future__ import annotations

import ast
import json
import keyword
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..explanations import Explanation, Part
from ..masking import masked_source
from ..model import Fingerprint, combine
from .syntax import canonical_text

PARAMETERS_TAG = "parameters"
_TAGS = frozenset((PARAMETERS_TAG, "raises-exception", "skip-execution"))
"""By which a cell is executed otherwise."""

# A whole line of IPython's, or what is assigned from one; where `%` and `?` are Python, they were read so before.
_OWN_LINE = re.compile(
    r"^(\s*)([^\s=%!?#'\"()][^=%!?#'\"()]*=\s*)?([%!].*|[\w.]+\?\??\s*|\?\??[\w.]+\s*)$", re.MULTILINE
)


class Cell(NamedTuple):
    """A code cell.

    Attributes
    ----------
    name
        Its id, which outlasts cells that come before it, or else its number.
    tags
        Those that count.
    """

    name: str
    source: str
    tags: tuple[str, ...]


class Notebook(NamedTuple):
    """A notebook as it was when its file was read.

    Attributes
    ----------
    text
        Of the whole file.
    kernel
        The name of the one that it was written for; empty: it does not say.
    language
        In small letters.
    cells
        Those with code.
    modules
        The user's own that are imported, directly or by each other: path and source, by path.
    """

    text: str
    kernel: str
    language: str
    cells: tuple[Cell, ...]
    modules: tuple[tuple[str, str], ...] = ()

    def explanation(self) -> Explanation:
        """What counts, cell by cell."""
        parts = [Part(f"cell {cell.name}", _shown(cell), digest) for cell, digest in self._counting()]
        order = ", ".join(part.name.removeprefix("cell ") for part in parts)
        modules = [Part(path, masked_source(source), python_code(source)) for path, source in self.modules]
        return Explanation(
            (Part("kernel", self.kernel or "(none)"), *parts, Part("order of the cells", order), *modules)
        )

    def fingerprint(self) -> Fingerprint:
        """Of the kernel's name and of the code."""
        modules = [combine((path, python_code(source))) for path, source in self.modules]
        return combine((self.kernel, *(digest for _, digest in self._counting()), *modules))

    def parameter_names(self) -> set[str] | None:
        """The names that the cell with that tag sets; None: there is none, or it can't be read as Python."""
        source = next((cell.source for cell in self.cells if PARAMETERS_TAG in cell.tags), None)
        tree = None if source is None or self.language != "python" else _parsed(source)
        if tree is None:
            return None
        return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}

    def _counting(self) -> Iterator[tuple[Cell, Fingerprint]]:
        for cell in self.cells:
            code = python_code(cell.source) if self.language == "python" else cell.source.strip()
            if code:
                yield cell, combine((code, *cell.tags))


def read_notebook(path: str) -> Notebook:
    """Read the file of a notebook.

    Raises
    ------
    OSError
        It can't be read.
    ValueError
        It is no notebook, or one of another format.
    """
    with open(path, encoding="utf-8") as source:
        notebook = parsed_notebook(source.read())
    if notebook.language != "python":
        return notebook
    return notebook._replace(modules=tuple(sorted(_modules(cell.source for cell in notebook.cells).items())))


def parsed_notebook(text: str) -> Notebook:
    """What stands in the file of a notebook.

    Raises
    ------
    ValueError
        It is no notebook, or one of another format.
    """
    try:
        read = json.loads(text)
        version = read["nbformat"]
        if version != 4:
            raise ValueError(f"it has the notebook format {version}, and not 4: save it with a present Jupyter")
        metadata = read.get("metadata", {})
        spec = metadata.get("kernelspec", {})
        language = spec.get("language") or metadata.get("language_info", {}).get("name") or "python"
        found = []
        for number, each in enumerate(read["cells"], 1):
            if each["cell_type"] == "code":
                found.append(_cell(each, number))
    except (TypeError, KeyError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"it is not the file of a Jupyter notebook ({type(error).__name__}: {error})") from error
    return Notebook(text, str(spec.get("name", "")), str(language).lower(), tuple(found))


def _modules(sources: Iterable[str]) -> dict[str, str]:
    """What these import of the user's own, which lies below the working directory: sources by path."""
    found: dict[str, str] = {}
    stack = [("", _as_python(source)[1]) for source in sources]
    while stack:
        package, tree = stack.pop()
        for dotted in () if tree is None else _imported(tree, package):
            for name in (f"{dotted}.py", f"{dotted}/__init__.py"):
                if name not in found and os.path.isfile(name):
                    with open(name, encoding="utf-8", errors="replace") as source:
                        found[name] = source.read()
                    stack.append((name.rpartition("/")[0], _parsed(found[name])))
    return found


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """The names of what may be modules, as paths without an ending, each after the packages that it is in."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.replace(".", "/") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split("/")[: len(package.split("/")) + 1 - node.level] if node.level else []
            module = "/".join([*parts, *filter(None, (node.module or "").split("."))]).strip("/")
            names = [f"{module}/{alias.name}".strip("/") for alias in node.names]
        for name in names:
            parts = name.split("/")
            yield from ("/".join(parts[: count + 1]) for count in range(len(parts)))


def is_name(name: object) -> bool:
    """Whether Python takes it for the name of a variable."""
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)


def is_plain(value: object) -> bool:
    """Whether what is written down of a value is the value again."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _cell(read: dict[str, Any], number: int) -> Cell:
    source = read["source"]
    tags = _TAGS.intersection(read.get("metadata", {}).get("tags", ()))
    text = source if isinstance(source, str) else "".join(source)
    # Lines as Python counts them.
    return Cell(str(read.get("id", number)), text.replace("\r\n", "\n").replace("\r", "\n"), tuple(sorted(tags)))


def python_code(source: str) -> str:
    """What counts of the source of a cell: equal for cells that do the same; empty for one that does nothing."""
    if source.lstrip().startswith("%%"):
        return source.strip()
    source, tree = _as_python(source)
    if tree is None:
        return source.strip()
    if not tree.body:
        return ""
    last = tree.body[-1]
    lines = source.encode().split(b"\n")
    behind = lines[(last.end_lineno or 0) - 1][last.end_col_offset :]
    # The value of the last line is shown below the cell, also a plain one; a semicolon keeps it from that.
    is_silent = behind.lstrip().startswith(b";")
    shown = repr(last.value.value) if isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant) else ""
    return combine((canonical_text(tree), shown, str(is_silent)))


def _as_python(source: str) -> tuple[str, ast.Module | None]:
    """A cell with IPython's own lines as calls, and its syntax; None: it is not Python even so."""
    tree = _parsed(source)
    if tree is None:
        source = _OWN_LINE.sub(lambda found: f"{found[1]}{found[2] or ''}__line__({found[3]!r})", source)
        tree = _parsed(source)
    return source, tree


def _parsed(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _shown(cell: Cell) -> str:
    tags = f"# tags: {', '.join(cell.tags)}\n" if cell.tags else ""
    return masked_source(tags + cell.source)
