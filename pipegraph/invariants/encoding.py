"""How functions are put into words: what is written, what it uses, defaults, and what they close over.

Owns the order: each function and class is described once, as they are met, and goes by its number where it is met, so
that functions may refer to each other. Imported late: it brings the parser, and slaves seldom need it.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

from ..explanations import Part
from ..masking import is_secret
from ..model import Origin
from . import library
from .beginning import Globals
from .bounds import too_large
from .callables import (
    BUILTIN,
    DESCRIPTORS,
    FUNCTIONS,
    by_name,
    inside,
    is_known,
    is_of_library,
    known_name,
    library_name,
    public_name,
)
from .classes import beside_source, class_content, is_bare_tuple, is_written_in
from .code import code_text
from .findings import Findings, Follow, Followed, Seen
from .following import (
    Imported,
    Used,
    assignments_of,
    chains_in_code,
    changed_by,
    filled_by,
    imported_by,
    look_up,
    statements_of,
)
from .names import Chain
from .origins import compiled_content, is_own, is_own_module, origin_of
from .shown import value_parts
from .sources import Written, written_class, written_function
from .values import METHOD, UnstableValueError, ValueEncoder, digest, type_name

_SAY_NOTHING = frozenset(
    (
        "dataclasses._HAS_DEFAULT_FACTORY_CLASS",
        "dataclasses._MISSING_TYPE",
        "_collections._tuplegetter",
        "collections._tuplegetter",
        # They do what they do whatever they hold.
        *("weakref.WeakKeyDictionary", "weakref.WeakValueDictionary", "os._Environ"),
        *("logging.Logger", "logging.RootLogger", "_thread.lock", "_thread.RLock", "typing.TypeVar"),
    )
)
"""Of these nobody wants to be told that they are not watched."""

_UNSEEN = frozenset((("eval",), ("exec",), ("globals",), ("__import__",), ("importlib", "import_module")))
"""What is reached through these can't be told from the source."""

_SCALARS = frozenset((str, int, float, bool, bytes, type(None)))
_CONTAINERS = frozenset((list, tuple, dict, set, frozenset))

_Encoded: TypeAlias = "Callable[[FunctionEncoder, Any], str]"


class FunctionEncoder(ValueEncoder):
    """Encodes functions, and values that they use.

    With `followed`, what functions and classes use is taken from there as a digest; without, it is described here.
    """

    __slots__ = (
        "_assigned",
        "_changed",
        "_depth",
        "_findings",
        "_follow",
        "_followed",
        "_globals",
        "_imports",
        "_label",
        "_later",
        "_numbers",
        "_queue",
        "_values",
    )

    def __init__(
        self,
        findings: Findings,
        follow: bool,
        known: Globals,
        followed: Followed | None = None,
        depth: int = 0,
    ) -> None:
        super().__init__()
        self._findings = findings
        self._follow = follow
        self._followed = followed
        self._globals = known
        self._depth = depth
        # Functions and classes already met; with the object, as an id is good only while its owner lives.
        self._numbers: dict[int, tuple[object, int]] = {}
        self._imports: dict[Imported, int] = {}
        self._queue: deque[tuple[str, Any, _Encoded]] = deque()
        self._values: dict[tuple[int, str], int] = {}
        self._later: deque[Used] = deque()
        self._assigned: set[tuple[int, str]] = set()
        self._changed: set[tuple[int, str]] = set()
        self._label = "callback"

    # ---- the whole

    def encode_callback(self, function: object, follow: Follow) -> str:
        """Text of a callback, and of all that is met on the way."""
        more = () if isinstance(follow, bool) else follow
        return self._whole(lambda: self._callback(function) + "".join([self._used("callback", each) for each in more]))

    def _callback(self, function: object) -> str:
        if type(function) is FunctionType:
            return self._function(function)
        if isinstance(function, type):
            return self._class(function)
        kind = type(function)
        if function is None or hasattr(kind, METHOD) or library.chosen(kind) is not None:
            return self._used("callback", function)
        self._label = "the object that is called"
        return self.other(function)

    def _whole(self, first: Callable[[], str]) -> str:
        """Text of something, and of all that is met on the way."""
        texts = [first()]
        queue, later = self._queue, self._later
        while queue or later:
            if queue:
                self._label, value, encoded = queue.popleft()
                label = self._label
                texts.append(self._named(label, self._told(label, value, encoded, is_value=False)))
            else:
                # All that functions change themselves is known as far as it can be.
                used = later.popleft()
                if (used.owner, used.key) in self._changed:
                    texts.append(self._assigned_text(used))
                else:
                    texts.append(self._used(f"global variable '{used.name}'", used.value))
        return "".join(texts)

    def _met(self, value: object, encoded: _Encoded) -> str:
        """Its number; described later, if it is new."""
        known = self._numbers.get(id(value))
        if known is None:
            known = self._numbers[id(value)] = (value, len(self._numbers))
            self._queue.append((self._label, value, encoded))
        return f"={known[1]};"

    def _used(self, label: str, value: object) -> str:
        """Text of a value that a function uses; a label that says how, for what can't be watched."""
        before, self._label = self._label, label
        try:
            text = self._told(label, value, FunctionEncoder._bounded)
        finally:
            self._label = before
        if self._findings.parts is not None and not isinstance(value, (*FUNCTIONS, type, ModuleType)):
            is_hidden = is_secret(label.rpartition(" '")[2].rstrip("'"))
            digest_of = functools.partial(self._digest_of, value, text)
            self._findings.parts += value_parts(label, value, digest_of, is_hidden)
        return text

    def _digest_of(self, whole: object, text: str, entry: object) -> str:
        return digest(text if entry is whole else self._told("", entry, FunctionEncoder._bounded))

    def _bounded(self, value: object) -> str:
        kind = type(value)
        if (kind not in _SCALARS or kind is str or kind is bytes) and (size := too_large(value)):
            self._findings.unwatched.add(f"{self._label} ({type_name(kind)}: {size} are too much to read in each run)")
            return f"?{type_name(kind)}:{size};"
        return self.encode(value)

    def _told(self, label: str, value: object, encoded: _Encoded, is_value: bool = True) -> str:
        """Text of something; what fails when it is looked at is told, and goes by its type."""
        try:
            return encoded(self, value)
        except UnstableValueError as error:
            self._findings.unwatched.add(f"{label} ({error.kind}: {error.why})")
        except RecursionError:
            raise
        except Exception as error:
            if not is_value and _is_raised_here(error):
                raise  # Two functions that both fail so would pass for the same.
            self._findings.unwatched.add(f"{label} ({type_name(type(value))}: {type_name(type(error))} when looked at)")
        return f"?{type_name(type(value))};"

    # ---- values

    def other(self, value: object) -> str:
        """Functions, and objects that go by their class."""
        if type(value) is FunctionType:
            return self._function(value)
        if isinstance(value, FUNCTIONS):
            return self._met(value, FunctionEncoder._other_function)
        if name := known_name(value):
            return by_name(name) + compiled_content(getattr(value, "__module__", None))
        kind = type(value)
        name = type_name(kind)
        if name not in _SAY_NOTHING and not name.startswith("pipegraph."):
            self._findings.unwatched.add(f"{self._label} ({name})")
        text = f"?{name};" + self._class_of(kind)
        return text + self._met(value, FunctionEncoder._callable) if callable(value) else text

    def within(self, value: object, encoded: Callable[[Any, Any], str]) -> str:
        """With what its methods do, if it is of a class of the user's own."""
        text = super().within(value, encoded)
        kind = type(value)
        return text if kind in _CONTAINERS else text + self._class_of(kind)

    def _class_of(self, kind: type) -> str:
        """What the methods of a value do, if its class is the user's own."""
        return self.encode_class(kind) if self._follow and is_own(kind.__module__) else ""

    def encode_class(self, value: type) -> str:
        """By what is written in it, if it is the user's own; else by name."""
        # One that was made inside of a function belongs to that function's code.
        if "<locals>" in value.__qualname__ or (self._follow and is_own(value.__module__)):
            return self._class(value)
        return by_name(public_name(value.__module__, value.__qualname__))

    def again(self, value: object, depth: int) -> str:
        """By its place."""
        return f"@{depth};"

    def apart(self, value: object) -> str:
        """By an encoder of its own."""
        if type(value) in _SCALARS:
            return self.encode(value)
        # Sets have no order: each element is described as if it was the first. Sets in what elements use are described
        # without what their elements use, so that this ends.
        alone = FunctionEncoder(self._findings, self._follow and not self._depth, self._globals, None, self._depth + 1)
        alone._open, alone._label = self._open, self._label
        return digest(alone._whole(lambda: alone.encode(value)))

    # ---- what a function uses by name

    def _uses(self, written: Written | None, key: object, names: dict[str, Any], function: Any) -> str:
        if not self._follow:
            return ""
        if self._followed is None:
            return self._used_names(written, names, function)

        def look() -> Seen:
            findings = Findings(self._findings.parts is not None)
            inner = FunctionEncoder(findings, True, self._globals)
            return findings.seen(digest(inner._whole(lambda: inner._used_names(written, names, function))))

        return self._taken((id(key), id(names)), (key, names, function), look)

    def _taken(self, key: tuple[object, ...], kept: object, look: Callable[[], Seen]) -> str:
        assert self._followed is not None
        seen = self._followed.get(key, kept, look)
        self._findings.add(seen)
        return f"U{seen.fingerprint}"

    def _used_names(self, written: Written | None, names: dict[str, Any], function: Any) -> str:
        if written is None:
            return self._used_chains(
                chains_in_code(function.__code__, names, self._globals), names, function.__qualname__
            )
        for chains, place_of in ((written.names.changed, changed_by), (written.names.filled, filled_by)):
            self._changed.update(
                place for chain in chains if (place := place_of(chain, names, self._globals)) is not None
            )
        return self._used_chains(written.names.read, names, function.__qualname__)

    def _used_chains(self, chains: Iterable[Chain], names: dict[str, Any], user: str) -> str:
        texts = []
        package = names.get("__package__") or ""
        for chain in chains:
            if chain[0].startswith(":"):
                imported = imported_by(chain, package)
                text = "" if imported is None else self._imported(imported)
            else:
                used = look_up(chain, names, self._globals, self._changed)
                text = "" if used is None else self._global(used)
                if chain in _UNSEEN and (used is None or not is_own(getattr(used.value, "__name__", None))):
                    self._findings.unwatched.add(f"what {'.'.join(chain)}() leads to in '{user}'")
            if text:
                texts.append(f"{len(chain)}:{'.'.join(chain)}={text}")
        return f"U{len(texts)}:" + "".join(texts)

    def _global(self, used: Used) -> str:
        value = used.value
        if (used.owner, used.key) in self._changed:
            return self._assigned_text(used)
        if isinstance(value, ModuleType):
            if used.is_end and is_own_module(value):
                self._findings.unwatched.add(f"module '{used.name}', which is not used by the names in it")
            if self._findings.parts is not None:
                self._findings.parts.append(Part(used.name, value.__name__))
            return f"m{value.__name__};"
        if isinstance(value, (*FUNCTIONS, type)):
            return self._named(f"'{used.name}'", self._used(f"'{used.name}'", value))
        # What the user's functions change themselves is known when all of them have been met.
        place = (used.owner, used.key)
        if place not in self._values:
            self._values[place] = len(self._values)
            self._later.append(used)
        return f"v{self._values[place]};"

    def _named(self, label: str, text: str) -> str:
        """What goes by its name is told."""
        if self._findings.parts is not None and text.startswith("G"):
            length, _, name = text[1:].partition(":")
            self._findings.parts.append(Part(label.strip("'"), name[: int(length)], digest(text)))
        return text

    def _assigned_text(self, used: Used) -> str:
        """Of what functions change: by what is written where it is assigned at first, not by what it has become."""
        variable = id(used.names), used.variable
        if variable in self._assigned:
            return "~"
        self._assigned.add(variable)
        texts = []
        for each in assignments_of(used.variable, used.names):
            if isinstance(each, Imported):
                texts.append(self._imported(each))
            else:
                self._describe(f"global variable '{used.variable}'", each, each.text)
                # What it assigns beside is none of the functions' notebooks.
                chains = [chain for chain in each.names.read if chain not in each.names.changed]
                texts.append(each.text + self._used_chains(chains, used.names, used.name))
        return f"~{len(texts)}:" + "".join(texts)

    def _imported(self, imported: Imported) -> str:
        number = self._imports.get(imported)
        if number is None:
            number = self._imports[imported] = len(self._imports)
            self._queue.append((f"import of '{imported.module}'", imported, FunctionEncoder._imported_parts))
        return f"i{number};"

    def _imported_parts(self, imported: Imported) -> str:
        texts = []
        for written, further in statements_of(imported):
            self._describe(".".join(part for part in imported if part), written, written.text)
            texts.append(written.text + "".join([f"{each.name}={self._imported(each)}" for each in further]))
        return f"I{len(texts)}:" + "".join(texts)

    def _describe(self, name: str, written: Written | None, text: str) -> None:
        if self._findings.parts is not None:
            self._findings.parts.append(Part(name, "" if written is None else written.shown(), digest(text)))

    # ---- what can be called

    def _function(self, function: FunctionType) -> str:
        if self._depth > 1:
            return f"L{code_text(function.__code__)}"
        if origin_of(function.__code__.co_filename) is Origin.SCRIPT and not is_of_library(function):
            return self._met(function, FunctionEncoder._function_parts)
        if is_known(function) or not (function.__closure__ or "__wrapped__" in function.__dict__):
            return by_name(library_name(function))
        return self._met(function, FunctionEncoder._library_parts)

    def _function_parts(self, function: FunctionType) -> str:
        code = function.__code__
        written = written_function(function)
        text = f"L{code_text(code)}" if written is None else f"S{written.text}"
        if written is None and not code.co_filename.startswith("<"):
            self._findings.remarks.add(
                f"the source of '{function.__qualname__}' ({code.co_filename}:{code.co_firstlineno}) is gone, or was "
                f"changed after it was read: the function goes by what it was compiled to"
            )
        self._describe(f"{function.__module__}.{function.__qualname__}", written, text)
        return text + self._uses(written, code, function.__globals__, function) + self._carried(function)

    def _library_parts(self, function: FunctionType) -> str:
        """A function that a library made around one of the user's."""
        return by_name(library_name(function)) + self._carried(function)

    def _carried(self, function: FunctionType) -> str:
        """What a function object has beside its code."""
        text = ""
        if function.__defaults__:
            code = function.__code__
            names = code.co_varnames[: code.co_argcount][-len(function.__defaults__) :]
            text += "D" + self._pairs("default of", zip(names, function.__defaults__))
        if function.__kwdefaults__:
            text += "K" + self._pairs("default of", sorted(function.__kwdefaults__.items()))
        if function.__closure__:
            text += "C" + self._cells(function.__code__.co_freevars, function.__closure__)
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
        if isinstance(value, BUILTIN):
            return self._builtin(value)
        if isinstance(value, DESCRIPTORS):
            return by_name(f"{type_name(value.__objclass__)}.{value.__name__}")
        if isinstance(value, (functools.partial, functools.partialmethod)):
            kind = type(value)
            return by_name(type_name(kind)) + "".join(
                (
                    self._used(self._label, value.func),
                    self._used("argument of partial", value.args),
                    self._used("argument of partial", value.keywords),
                )
            )
        return by_name(type_name(type(value))) + "".join([self._used(self._label, part) for part in inside(value)])

    def _bound(self, method: MethodType) -> str:
        owner = method.__self__
        text = "M" + self._used(self._label, method.__func__)
        if isinstance(owner, (type, ModuleType)) or hasattr(type(owner), METHOD):
            return text + self._used(self._label, owner)
        name = getattr(method.__func__, "__name__", "?")
        self._findings.unwatched.add(f"the object that method '{name}' is bound to ({type_name(type(owner))})")
        return text + f"?{type_name(type(owner))};" + self._class_of(type(owner))

    def _builtin(self, function: Any) -> str:
        owner = function.__self__
        if owner is None or isinstance(owner, ModuleType):
            name = public_name(str(function.__module__), function.__qualname__)
            return by_name(name) + compiled_content(function.__module__)
        label = f"the object that method '{function.__name__}' is bound to"
        return by_name(function.__qualname__) + self._used(label, owner)

    def _callable(self, value: object) -> str:
        """An object that can be called: by its class's ``__call__`` and what it wraps."""
        kind = type(value)
        call = next((vars(part)["__call__"] for part in kind.__mro__ if "__call__" in vars(part)), None)
        text = f"?{type_name(kind)};" + self._used(f"{type_name(kind)}.__call__", call)
        # What decorates as a class keeps what it decorates, under whatever name.
        held = (
            sorted((name, each) for name, each in vars(value).items() if isinstance(each, FUNCTIONS))
            if (type(getattr(value, "__dict__", None)) is dict)
            else []
        )
        text += "".join([self._used(f"'{name}' of {type_name(kind)}", each) for name, each in held])
        wrapped = getattr(value, "__wrapped__", None)
        return text if wrapped is None else text + "W" + self._used("wrapped function", wrapped)

    # ---- classes

    def _class(self, value: type) -> str:
        if value.__module__ == "builtins":
            return by_name(value.__qualname__)
        if self._followed is None:
            return self._met(value, FunctionEncoder._class_parts)

        def look() -> Seen:
            findings = Findings(self._findings.parts is not None)
            inner = FunctionEncoder(findings, self._follow, self._globals)
            return findings.seen(digest(inner._whole(lambda: inner._class(value))))

        return self._taken((id(value), self._follow), value, look)

    def _class_parts(self, value: type) -> str:
        name = value.__name__
        text = by_name(name) + self._used(f"bases of class '{name}'", value.__bases__)
        content: Mapping[str, Any] = self._globals.names_in(value)
        own = [each for item in content.values() for each in inside(item) if is_written_in(each, value)]
        written = written_class(value, own)
        if written is None:
            text += compiled_content(value.__module__)
            pairs = [
                (key, item)
                for key, item in class_content(content)
                if not is_bare_tuple(value) and (id(value), key) not in self._changed
            ]
            text += "".join([self._quiet(getattr(value, each, None)) for each in ("_fields", "_field_defaults")])
            self._describe(f"{value.__module__}.{value.__qualname__}", None, text)
            return text + self._pairs(f"in class '{name}':", sorted(pairs, key=_first))
        self._describe(f"{value.__module__}.{value.__qualname__}", written, written.text)
        names = own[0].__globals__ if own else vars(sys.modules[value.__module__])
        if self._follow:
            text += self._used_names(written, names, value)
        beside = beside_source(value, content, written, own)
        pairs = sorted(((key, item) for key, item in beside if (id(value), key) not in self._changed), key=_first)
        return f"{text}S{written.text}" + "".join(
            [
                f"{len(each)}:{each}"
                + (self._used(f"in class '{name}': '{each}'", item) if inside(item) else self._quiet(item))
                for each, item in pairs
            ]
        )

    def _quiet(self, value: object) -> str:
        """Text of a value that is written in the source as well: nothing is told."""
        before, self._findings = self._findings, Findings()
        try:
            return self._used("", value)
        finally:
            self._findings = before


def _is_raised_here(error: Exception) -> bool:
    """Not by a value's own code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and origin_of(trace.tb_frame.f_code.co_filename) is Origin.PIPEGRAPH


def _first(pair: tuple[str, object]) -> str:
    return pair[0]
