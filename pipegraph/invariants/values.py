"""Values as text: equal values give the same text, in every run; different ones, different texts.

Owns the encoding of plain values, the standard library's included, and walks containers. What is not plain goes to
`ValueEncoder.other`, which parameters answer with an error and functions with a note. Never falls back on `repr`,
never puts an address or anything that depends on the hash seed into a text.

Every text says its own type and where it ends, so that texts may stand side by side. Type counts: 1, 1.0 and True
differ, so do tuple and list, and a subclass differs from its base. The order of a dict's keys is not significant
(as for ``==``), that of an OrderedDict's is. nan is nan, whatever its bits; -0.0 is not 0.0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

from xxhash import xxh3_128_hexdigest

LONG_TEXT = 1000
"""Characters. A container's longer text is replaced by its digest, and remembered for when it appears again."""

DEEPEST = 500
"""Levels of containers."""

_MOST_FLAT = 20

METHOD = "__pipegraph_fingerprint__"

_T = TypeVar("_T")


class UnstableValueError(Exception):
    """A value has no text that would be the same in the next run.

    Attributes
    ----------
    steps
        How it is reached, innermost first: ``.weights``, ``['model']``.
    """

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(kind, why)
        self.kind = kind
        self.why = why
        self.steps: list[str] = []

    @property
    def path(self) -> str:
        """The steps, as they would be written behind the whole's name."""
        return "".join(reversed(self.steps))


class ValueEncoder:
    """Encodes values; one for each whole, since it remembers what it met.

    What it meets must not change meanwhile.
    """

    __slots__ = ("_open", "_texts")

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        # With the value: an id is good only as long as its owner lives.
        self._texts: dict[int, tuple[object, str]] = {}

    def encode(self, value: object) -> str:
        """Text of a value.

        Raises
        ------
        UnstableValueError
            If `other` does.
        """
        kind = type(value)
        if kind is str:
            return f"s{len(value)}:{value}"  # type: ignore[arg-type]
        if kind is int:
            # Not decimal: Python refuses to print large ones so (sys.set_int_max_str_digits).
            return f"i{value:x};"
        if kind is float:
            return f"f{value!r};"
        encoded = _ENCODED.get(kind) or _find(kind)
        return encoded(self, value)

    def encode_named(self, name: str, *parts: object) -> str:
        """Text of something with a name, made of parts."""
        return f"n{len(name)}:{name}{self.encode(parts)}"

    def encode_step(self, step: str, value: object) -> str:
        """Like `encode`, for a value that is reached by a step that errors should name."""
        try:
            return self.encode(value)
        except UnstableValueError as error:
            error.steps.append(step)
            raise

    def encode_attributes(self, name: str, attributes: Iterable[tuple[str, object]]) -> str:
        """Text of something with a name, made of named attributes; their order counts."""
        texts = [self.encode(key) + self.encode_step(f".{key}", value) for key, value in attributes]
        return f"a{len(name)}:{name}{len(texts)}:" + "".join(texts)

    def within(self, value: object, encoded: Callable[[Any, Any], str]) -> str:
        """Text of a container: circles and shared parts are taken care of here, and its content by `encoded`."""
        key = id(value)
        if self._texts and (found := self._texts.get(key)) is not None:
            return found[1]
        if key in self._open:
            return self.again(value, self._open[key])
        depth = len(self._open)
        if depth >= DEEPEST:
            raise UnstableValueError(type_name(type(value)), f"nested more than {DEEPEST} levels deep")
        self._open[key] = depth
        try:
            text = encoded(self, value)
        finally:
            del self._open[key]
        if len(text) > LONG_TEXT:
            text = f"#{digest(text)}"
            self._texts[key] = (value, text)
        return text

    def again(self, value: object, depth: int) -> str:
        """Text of a container inside of itself, `depth` levels below the whole."""
        raise UnstableValueError(type_name(type(value)), "contains itself")

    def apart(self, value: object) -> str:
        """Text of an element of a set or a key: must not depend on what was met there before."""
        return self.encode(value)

    def encode_class(self, value: type) -> str:
        """Text of a class as a value."""
        return _named("class", type_name(value))

    def encode_module(self, value: ModuleType) -> str:
        """Text of a module as a value."""
        return _named("module", value.__name__)

    def other(self, value: object) -> str:
        """Text of what is not plain."""
        raise NotImplementedError


_Encoded: TypeAlias = Callable[[ValueEncoder, Any], str]


def scalar_text(value: object) -> str | None:
    """Text of a short plain value, as an encoder gives it, and faster; None for all others."""
    kind = type(value)
    if kind is str:
        return f"s{len(value)}:{value}" if len(value) <= LONG_TEXT else None  # type: ignore[arg-type]
    if kind is int:
        return f"i{value:x};"
    if kind is float:
        return f"f{value!r};"
    if kind is bool:
        return "T" if value else "F"
    return "N" if value is None else None


def flat_text(value: object) -> str | None:
    """Text of a small dict of short plain values by names, as an encoder gives it, and faster; None for all others."""
    if type(value) is not dict or len(value) > _MOST_FLAT:
        return None
    texts = []
    for key, item in value.items():
        if type(key) is not str:
            return None
        kind = type(item)
        # As `scalar_text` has it; a call for each is a fifth of the time.
        if kind is str and len(item) <= LONG_TEXT:
            texts.append(f"s{len(key)}:{key}s{len(item)}:{item}")
        elif kind is int:
            texts.append(f"s{len(key)}:{key}i{item:x};")
        elif kind is float:
            texts.append(f"s{len(key)}:{key}f{item!r};")
        else:
            text = scalar_text(item)
            if text is None:
                return None
            texts.append(f"s{len(key)}:{key}{text}")
    # In the order of the keys' own texts: none of these is the beginning of another.
    texts.sort()
    whole = f"d{len(texts)}:" + "".join(texts)
    return whole if len(whole) <= LONG_TEXT else None


def digest(text: str) -> str:
    """xxh3-128 of a text, lone surrogates included."""
    return xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


def type_name(kind: type) -> str:
    """Module and qualified name, as far as it has them."""
    return f"{kind.__module__}.{kind.__qualname__}"


def is_made_in_python(kind: type) -> bool:
    """Whether a class was made by a ``class`` statement: builtins and most classes of compiled modules were not.

    Py_TPFLAGS_HEAPTYPE and Py_TPFLAGS_IMMUTABLETYPE in CPython's object.h.
    """
    return kind.__flags__ & (3 << 8) == 1 << 9


def own_fingerprint(value: object) -> str | None:
    """What the value's ``__pipegraph_fingerprint__()`` answers; None if it has none.

    Raises
    ------
    UnstableValueError
        It raised, or did not return a str.
    """
    method = getattr(type(value), METHOD, None)
    if method is None:
        return None
    kind = type(value)
    try:
        answer = method(value)
    except RecursionError:
        raise
    except Exception as error:
        why = f"{METHOD}() raised {type_name(type(error))}: {message_of(error)}"
        raise UnstableValueError(type_name(kind), why) from error
    if not isinstance(answer, str):
        raise UnstableValueError(type_name(kind), f"{METHOD}() returned a {type_name(type(answer))}, not a str")
    return _named("own", type_name(kind)) + f"s{len(answer)}:{answer}"


def message_of(error: Exception) -> str:
    """Text of an exception, also of one that fails to give it."""
    try:
        return str(error)
    except Exception:
        return "(its message can't be shown)"


def _named(what: str, name: str) -> str:
    return f"{what}{len(name)}:{name}"


def _step(key: object) -> str:
    if type(key) in (str, int, float, bool, bytes, type(None)):
        shown = ascii(key) if type(key) is not int or abs(key) < 10**30 else "..."
    else:
        shown = f"<{type_name(type(key))}>"
    return f"[{shown if len(shown) <= 60 else shown[:57] + '...'}]"


def with_room(encode: Callable[[], _T]) -> _T:
    """Call it; once more with a higher limit of recursion if that was in the way.

    How deep a value may be must not depend on how deep the caller stands: `DEEPEST` is what decides.

    Raises
    ------
    RecursionError
        Code that is not ours (a ``__pipegraph_fingerprint__``) never ends.
    """
    limit = sys.getrecursionlimit()
    try:
        return encode()
    except RecursionError:
        sys.setrecursionlimit(limit + _FRAMES_A_LEVEL * DEEPEST)
    try:
        return encode()
    finally:
        sys.setrecursionlimit(limit)


_FRAMES_A_LEVEL = 12
"""At most; mostly four."""


# ---- plain values


def _complex(encoder: ValueEncoder, value: complex) -> str:
    return f"c{value.real!r},{value.imag!r};"


def _bytes(encoder: ValueEncoder, value: bytes) -> str:
    return f"b{len(value)}:{xxh3_128_hexdigest(value)}"


def _bytearray(encoder: ValueEncoder, value: bytearray) -> str:
    return f"B{len(value)}:{xxh3_128_hexdigest(value)}"


def _items(encoder: ValueEncoder, values: Iterable[object]) -> str:
    encode = encoder.encode
    texts: list[str] = []
    try:
        # Not a comprehension: where it stops is the step of the error.
        for value in values:
            texts.append(encode(value))  # noqa: PERF401
    except UnstableValueError as error:
        error.steps.append(f"[{len(texts)}]")
        raise
    return f"{len(texts)}:" + "".join(texts)


def _list_items(encoder: ValueEncoder, value: list[object]) -> str:
    return "l" + _items(encoder, value)


def _tuple_items(encoder: ValueEncoder, value: tuple[object, ...]) -> str:
    return "t" + _items(encoder, value)


def _list(encoder: ValueEncoder, value: list[object]) -> str:
    return encoder.within(value, _list_items)


def _tuple(encoder: ValueEncoder, value: tuple[object, ...]) -> str:
    return encoder.within(value, _tuple_items) if value else "t0:"


def _dict_items(encoder: ValueEncoder, value: dict[object, object]) -> str:
    encode, apart = encoder.encode, encoder.apart
    keyed = []
    for key in value:
        try:
            keyed.append((apart(key), key))
        except UnstableValueError as error:
            error.steps.append(" (a key)")
            raise
    keyed.sort(key=_first)
    texts = []
    for text, key in keyed:
        try:
            texts.append(text + encode(value[key]))
        except UnstableValueError as error:
            error.steps.append(_step(key))
            raise
    return f"d{len(texts)}:" + "".join(texts)


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


def _dict(encoder: ValueEncoder, value: dict[object, object]) -> str:
    return encoder.within(value, _dict_items)


def _elements(encoder: ValueEncoder, value: Iterable[object]) -> str:
    try:
        texts = sorted(map(encoder.apart, value))
    except UnstableValueError as error:
        error.steps.append(" (an element)")
        raise
    return f"{len(texts)}:" + "".join(texts)


def _set_elements(encoder: ValueEncoder, value: set[object]) -> str:
    return "S" + _elements(encoder, value)


def _frozenset_elements(encoder: ValueEncoder, value: frozenset[object]) -> str:
    return "Z" + _elements(encoder, value)


def _set(encoder: ValueEncoder, value: set[object]) -> str:
    return encoder.within(value, _set_elements)


def _frozenset(encoder: ValueEncoder, value: frozenset[object]) -> str:
    return encoder.within(value, _frozenset_elements)


def _range(encoder: ValueEncoder, value: range) -> str:
    return encoder.encode_named("range", value.start, value.stop, value.step)


def _slice(encoder: ValueEncoder, value: slice) -> str:
    return encoder.encode_named("slice", value.start, value.stop, value.step)


def _module(encoder: ValueEncoder, value: ModuleType) -> str:
    return encoder.encode_module(value)


def _class(encoder: ValueEncoder, value: type) -> str:
    return encoder.encode_class(value)


def _other(encoder: ValueEncoder, value: object) -> str:
    return encoder.other(value)


PLAIN: dict[type, _Encoded] = {
    str: lambda encoder, value: f"s{len(value)}:{value}",
    int: lambda encoder, value: f"i{value:x};",
    float: lambda encoder, value: f"f{value!r};",
    bool: lambda encoder, value: "T" if value else "F",
    type(None): lambda encoder, value: "N",
    type(...): lambda encoder, value: "E",
    type(NotImplemented): lambda encoder, value: "I",
    complex: _complex,
    bytes: _bytes,
    bytearray: _bytearray,
    list: _list,
    tuple: _tuple,
    dict: _dict,
    set: _set,
    frozenset: _frozenset,
    range: _range,
    slice: _slice,
    ModuleType: _module,
    type: _class,
}

_ENCODED: dict[type, _Encoded] = dict(PLAIN)
_MOST_KINDS = 2000

# ---- other kinds


def _find(kind: type) -> _Encoded:
    """How values of a class are encoded; remembered."""
    # Imported here: it encodes with what stands above.
    from . import kinds

    encoded = kinds.chosen(kind)
    if len(_ENCODED) >= _MOST_KINDS:  # Classes made again and again, in notebooks: must not all be kept.
        _ENCODED.clear()
        _ENCODED.update(PLAIN)
    _ENCODED[kind] = encoded
    return encoded
