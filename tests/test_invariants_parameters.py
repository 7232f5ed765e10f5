"""Parameters: equal values have equal fingerprints, others do not, and what has none is an error that names it."""

from __future__ import annotations

import argparse
import ast
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import math
import os
import re
import subprocess
import sys
import types
import uuid
import zoneinfo
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraph.errors import FingerprintError
from pipegraph.invariants.parameters import fingerprint_parameters, value_text

# ---- plain values, generated


def are_the_same(one: Any, two: Any) -> bool:
    """Equality that tells types apart, also inside; all nans are one, and 0.0 is not -0.0."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return repr(one) == repr(two)
    if isinstance(one, complex):
        return are_the_same(one.real, two.real) and are_the_same(one.imag, two.imag)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(are_the_same, one, two))
    if isinstance(one, (set, frozenset)):
        return matches(list(one), list(two))
    if isinstance(one, dict):
        return matches([tuple(item) for item in one.items()], [tuple(item) for item in two.items()])
    return bool(one == two)


def matches(one: list[Any], two: list[Any]) -> bool:
    rest = list(two)
    for item in one:
        found = next((index for index, other in enumerate(rest) if are_the_same(item, other)), None)
        if found is None:
            return False
        del rest[found]
    return not rest


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 2)
    | st.floats()
    | st.sampled_from([0.0, -0.0, 1.0, 2.0, math.nan])
    | st.complex_numbers()
    | st.text(st.characters(exclude_categories=()))  # Lone surrogates, too.
    | st.text("ab:;0123456789", max_size=5)
    | st.binary(max_size=5)
    | st.just(...)
)
keys = st.recursive(scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
    ),
    max_leaves=12,
)


@given(values, values)
def test_fingerprints_are_equal_if_and_only_if_values_are(one: object, two: object) -> None:
    assert (fingerprint_parameters(one) == fingerprint_parameters(two)) is are_the_same(one, two)


def copied(value: Any) -> Any:
    """An equal value of other objects, its dicts and sets filled in the opposite order."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(copied, value))
    if isinstance(value, (set, frozenset)):
        return type(value)(map(copied, reversed(list(value))))
    if isinstance(value, dict):
        return {copied(key): copied(item) for key, item in reversed(value.items())}
    if isinstance(value, str):
        return "".join(list(value))
    return value


@given(values)
def test_an_equal_value_has_the_same_fingerprint(value: object) -> None:
    assert fingerprint_parameters(copied(value)) == fingerprint_parameters(value)


def edits(value: Any) -> Iterator[Any]:
    """Values that differ in one place."""
    yield [value]
    if isinstance(value, (list, tuple)):
        yield (list if isinstance(value, tuple) else tuple)(value)
        for index, item in enumerate(value):
            yield value[:index] + value[index + 1 :]
            yield from (type(value)([*value[:index], edit, *value[index + 1 :]]) for edit in edits(item))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield {other: value[other] for other in value if other is not key}
            yield from ({**value, key: edit} for edit in edits(item))
    elif isinstance(value, (set, frozenset)):
        yield (set if isinstance(value, frozenset) else frozenset)(value)
        yield value | {"one more than the strategy makes"}
    elif isinstance(value, str):
        yield value + "0"
        yield value.encode("utf-8", "surrogatepass")


@given(values)
def test_an_edit_anywhere_changes_the_fingerprint(value: object) -> None:
    before = fingerprint_parameters(value)

    for edit in edits(value):
        assert fingerprint_parameters(edit) != before


# ---- kinds of values


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Shade(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Bits(enum.Flag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: object
    y: object = 0


class Place(NamedTuple):
    x: object
    y: object = 0


@dataclasses.dataclass
class Settings:
    size: object = 1
    name: object = "a"
    shared: ClassVar[int] = 5

    @functools.cached_property
    def twice(self) -> int:
        return 2


@dataclasses.dataclass(frozen=True)
class Slotted:
    __slots__ = ("size",)
    size: object


class SettingsAndMore(Settings):
    def __init__(self, size: object, more: object) -> None:
        super().__init__(size)
        self.more = more


@dataclasses.dataclass
class Incomplete:
    known: int = 1
    unknown: int = dataclasses.field(init=False)


class Text(str):
    def __str__(self) -> str:
        return "something else"

    def __len__(self) -> int:
        return 0


class Int(int):
    def __format__(self, how: str) -> str:
        return "0"

    __slots__ = ()


class Float(float):
    def __repr__(self) -> str:
        return "0.0"


class List(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Dict(dict[Any, Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Noted(dict[Any, Any]):
    def __init__(self, content: object, note: object) -> None:
        super().__init__(content)  # type: ignore[call-overload]
        self.note = note


class Slots(list[Any]):
    __slots__ = ("__hidden", "note")

    def __init__(self, note: object, hidden: object) -> None:
        self.note = note
        self.__hidden = hidden


class Ordered(collections.OrderedDict[Any, Any]):
    pass


class MyPath(PurePosixPath):
    pass


class MyDate(datetime.date):
    pass


class Zone(datetime.tzinfo):
    def __init__(self, hours: int) -> None:
        self.hours = hours

    def utcoffset(self, moment: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(hours=self.hours)

    def tzname(self, moment: datetime.datetime | None) -> str:
        return "zone"

    def dst(self, moment: datetime.datetime | None) -> None:
        return None


def filled(kind: Callable[[], Any], *items: object) -> Any:
    made = kind()
    for item in items:
        made.append(item)
    return made


UTC = datetime.timezone.utc
NOON = datetime.datetime(2024, 10, 27, 2, 30)
BERLIN, PARIS = zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("Europe/Paris")
ONE_HOUR = datetime.timedelta(hours=1)

# Each makes a value anew; all of them differ.
DIFFERENT: list[Callable[[], object]] = [
    lambda: "",
    lambda: "1",
    lambda: b"1",
    lambda: bytearray(b"1"),
    lambda: 1,
    lambda: 1.0,
    lambda: True,
    lambda: complex(1),
    lambda: complex(0.0, -0.0),
    lambda: complex(0.0, 0.0),
    lambda: math.nan,
    lambda: math.inf,
    lambda: -math.inf,
    lambda: 10**5000,
    lambda: -(10**5000),
    lambda: 0.0,
    lambda: -0.0,
    lambda: 0.3,
    lambda: 0.1 + 0.2,
    lambda: ("asb", "c"),
    lambda: ("a", "bsc"),
    lambda: ("as1:b", "c"),
    lambda: ("a", "bs1:c"),
    lambda: "\ud800",
    lambda: "\udfff",
    lambda: "?",
    lambda: "\ud83d\ude00",
    lambda: "\U0001f600",
    lambda: NotImplemented,
    lambda: ["a", "b"],
    lambda: ["ab"],
    lambda: [["a"], "b"],
    lambda: ["a", ["b"]],
    lambda: [["a", "b"]],
    lambda: [None, "3:abc"],
    lambda: [[], []],
    lambda: [[[]]],
    dict,
    lambda: set(),
    lambda: frozenset(),
    lambda: (),
    list,
    lambda: {"a": {"b": 1}},
    lambda: {"a": ("b", 1)},
    lambda: {1: "a"},
    lambda: {True: "a"},
    lambda: {1.0: "a"},
    lambda: range(3),
    lambda: range(0, 3, 2),
    lambda: slice(3),
    lambda: slice(0, 3),
    lambda: Path("a"),
    lambda: Path("a/b"),
    lambda: Path(os.fsdecode(b"\xff")),
    lambda: PurePosixPath("a"),
    lambda: PureWindowsPath("a"),
    lambda: MyPath("a"),
    lambda: datetime.date(2024, 10, 27),
    lambda: MyDate(2024, 10, 27),
    lambda: NOON,
    lambda: NOON.replace(microsecond=1),
    lambda: NOON.replace(tzinfo=UTC),
    lambda: NOON.replace(tzinfo=datetime.timezone(ONE_HOUR)),
    lambda: NOON.replace(tzinfo=datetime.timezone(ONE_HOUR, "here")),
    lambda: NOON.replace(tzinfo=BERLIN),
    lambda: NOON.replace(tzinfo=PARIS),
    lambda: NOON.replace(tzinfo=BERLIN, fold=1),
    lambda: NOON.replace(tzinfo=Zone(1)),
    lambda: NOON.replace(tzinfo=Zone(2)),
    lambda: UTC,
    lambda: BERLIN,
    lambda: PARIS,
    lambda: NOON.time(),
    lambda: NOON.time().replace(tzinfo=UTC),
    lambda: NOON.time().replace(tzinfo=BERLIN),
    lambda: ONE_HOUR,
    lambda: -ONE_HOUR,
    lambda: decimal.Decimal("1"),
    lambda: decimal.Decimal("1.0"),
    lambda: decimal.Decimal("-0"),
    lambda: decimal.Decimal("0"),
    lambda: decimal.Decimal("nan"),
    lambda: decimal.Decimal("snan"),
    lambda: decimal.Decimal("nan123"),
    lambda: decimal.Decimal("inf"),
    lambda: decimal.Decimal("1e30"),
    lambda: fractions.Fraction(1, 3),
    lambda: fractions.Fraction(1),
    lambda: uuid.UUID(int=1),
    lambda: Colour.RED,
    lambda: Colour.GREEN,
    lambda: Shade.RED,
    lambda: Number.ONE,
    lambda: Bits.A,
    lambda: Bits.A | Bits.B,
    lambda: Point(1, 2),
    lambda: Point(1, 3),
    lambda: Place(1, 2),
    lambda: (1, 2),
    lambda: Settings(),
    lambda: Settings(2),
    lambda: Settings(name=1, size="a"),
    lambda: SettingsAndMore(1, 2),
    lambda: SettingsAndMore(1, 3),
    lambda: SettingsAndMore(2, 2),
    lambda: Slotted(1),
    lambda: Slotted(2),
    lambda: Incomplete(),
    lambda: types.SimpleNamespace(),
    lambda: types.SimpleNamespace(a=1),
    lambda: types.SimpleNamespace(a=2),
    lambda: types.SimpleNamespace(b=1),
    lambda: argparse.Namespace(),
    lambda: argparse.Namespace(a=1),
    lambda: argparse.Namespace(a=2),
    lambda: {"a": 1},
    lambda: types.MappingProxyType({"a": 1}),
    lambda: collections.OrderedDict(a=1, b=2),
    lambda: collections.OrderedDict(b=2, a=1),
    lambda: Ordered(a=1, b=2),
    lambda: Ordered(b=2, a=1),
    lambda: collections.defaultdict(None, a=1),
    lambda: collections.defaultdict(int, a=1),
    lambda: collections.defaultdict(list, a=1),
    lambda: collections.defaultdict(lambda: 1, a=1),
    lambda: collections.defaultdict(lambda: 2, a=1),
    lambda: collections.Counter(a=1),
    lambda: collections.Counter(a=1, b=0),
    lambda: collections.deque([1]),
    lambda: collections.deque([1], 5),
    lambda: re.compile("a"),
    lambda: re.compile("b"),
    lambda: re.compile("a", re.I),
    lambda: re.compile(b"a"),
    lambda: array("i", [1]),
    lambda: array("l", [1]),
    lambda: array("i", [2]),
    lambda: Text("a"),
    lambda: Text("b"),
    lambda: Int(1),
    lambda: Int(2),
    lambda: Float(1.0),
    lambda: Float(2.0),
    lambda: filled(List, 1),
    lambda: filled(List, 2),
    lambda: filled(List),
    lambda: Dict(a=1),
    lambda: Dict(a=2),
    lambda: Noted({"a": 1}, 1),
    lambda: Noted({"a": 1}, 2),
    lambda: Noted({"a": 2}, 1),
    lambda: Slots(1, 2),
    lambda: Slots(1, 3),
    lambda: Slots(2, 2),
    lambda: int,
    lambda: Point,
    lambda: Settings,
    lambda: Colour,
    lambda: math,
    lambda: os,
    lambda: len,
    lambda: math.sin,
    lambda: lambda: 1,
    lambda: lambda: 2,
    lambda: functools.partial(len, [1]),
]


def test_values_of_every_kind_differ_from_all_others() -> None:
    seen: dict[str, object] = {}
    for make in DIFFERENT:
        value = make()
        found = fingerprint_parameters(value)
        assert found not in seen, (value, seen[found])
        seen[found] = value


@pytest.mark.parametrize("make", DIFFERENT, ids=range(len(DIFFERENT)))
def test_a_value_made_again_has_the_same_fingerprint(make: Callable[[], object]) -> None:
    assert fingerprint_parameters(make()) == fingerprint_parameters(make())


def test_what_is_equal_though_it_was_made_otherwise_has_the_same_fingerprint() -> None:
    assert fingerprint_parameters({"a": 1, "b": 2}) == fingerprint_parameters({"b": 2, "a": 1})
    assert fingerprint_parameters(types.SimpleNamespace(a=1, b=2)) == fingerprint_parameters(
        types.SimpleNamespace(b=2, a=1)
    )
    with_cache = Settings()
    assert with_cache.twice == 2
    assert fingerprint_parameters(with_cache) == fingerprint_parameters(Settings())
    shared = [1, 2]
    assert fingerprint_parameters([shared, shared]) == fingerprint_parameters([[1, 2], [1, 2]])


def test_the_context_of_decimals_does_not_count() -> None:
    before = fingerprint_parameters(decimal.Decimal("1e30"))
    with decimal.localcontext() as context:
        context.prec, context.capitals = 3, 0

        assert fingerprint_parameters(decimal.Decimal("1e30")) == before


def test_a_long_container_still_shows_each_change() -> None:
    value = [[str(number)] * 50 for number in range(200)]
    before = fingerprint_parameters(value)
    again = [list(item) for item in value]
    assert fingerprint_parameters(again) == before
    again[150][20] = "x"

    assert fingerprint_parameters(again) != before


def test_shared_parts_are_visited_once() -> None:
    value: object = [0]
    for _ in range(200):
        value = [value, value]

    assert fingerprint_parameters(value) == fingerprint_parameters(value)


@pytest.mark.parametrize("kind", [List, collections.deque])
def test_containers_made_while_encoding_are_not_confused(kind: Callable[[list[str]], object]) -> None:
    """Their addresses are used again and again."""
    value = [kind([str(number)] * 400) for number in range(300)]

    assert len({fingerprint_parameters(item) for item in value}) == 300
    assert fingerprint_parameters(value) != fingerprint_parameters([*value[:-3], *value[:3]])


def test_fingerprints_are_the_same_in_every_run() -> None:
    show = (
        "from test_invariants_parameters import *\n"
        "print([fingerprint_parameters(make()) for make in DIFFERENT])\n"
        "words = [str(i) for i in range(50)]\n"
        "print(fingerprint_parameters([set(words), frozenset(words), {frozenset(words[:9]): set(words)},"
        " {(lambda: words), (lambda: len), 3}]))"
    )
    here = os.path.dirname(__file__)
    answers = set()
    for seed in ("0", "1", "2"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join([here, *sys.path]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        shown = subprocess.run(
            [sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True
        )
        answers.add(shown.stdout)

    assert len(answers) == 1


# ---- what has no fingerprint


def repr_of_kind(value: object) -> str:
    """For the names of tests: `repr` fails for some of these values, and shows addresses of others."""
    return type(value).__name__


class Model:
    pass


class Brings:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __pipegraph_fingerprint__(self) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class BringsDict(dict[Any, Any]):
    def __pipegraph_fingerprint__(self) -> str:
        return "always this"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


def circle() -> object:
    value: list[object] = [1]
    value.append({"again": value})
    return value


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "where", "kind"),
    [
        (Model(), "params", "Model"),
        ({"model": types.SimpleNamespace(weights=Model())}, "params['model'].weights", "Model"),
        ([1, (2, {"a": [Model()]})], "params[1][1]['a'][0]", "Model"),
        ({3: Model()}, "params[3]", "Model"),
        ({None: Model()}, "params[None]", "Model"),
        ({(1, 2): Model()}, "params[<builtins.tuple>]", "Model"),
        ({"a\x1b[2J\ud800": Model()}, "params['a\\x1b[2J\\ud800']", "Model"),
        ({"a" * 100: Model()}, "params['" + "a" * 56 + "...]", "Model"),
        ({10**5000: Model()}, "params[...]", "Model"),
        ({Model(): 1}, "params (a key)", "Model"),
        ([{Model()}], "params[0] (an element)", "Model"),
        (Settings(size=Model()), "params.size", "Model"),
        (SettingsAndMore(1, Model()), "params.more", "Model"),
        (Point(1, [Model()]), "params.y[0]", "Model"),
        (Noted({}, Model()), "params.note", "Model"),
        (Noted({"a": Model()}, 1), "params['a']", "Model"),
        (collections.deque([1, Model()]), "params[1]", "Model"),
        (collections.OrderedDict(a=Model()), "params['a']", "Model"),
        (collections.defaultdict(Model), None, ""),
        (collections.defaultdict(Model().__str__), "params.default_factory", "method-wrapper"),
        (object(), "params", "builtins.object"),
        (iter([]), "params", "builtins.list_iterator"),
        ((number for number in "1"), "params", "builtins.generator"),
        (sys.stdout, "params", ""),
        (Model().__init__, "params", ""),
        (circle(), "params[1]['again']", "builtins.list"),
        (deep(10_000), "params[0][0]", "builtins.list"),
        (deep(100_000), "params[0][0]", "builtins.list"),
        ([Brings(3)], "params[0]", "Brings"),
        ([Brings(ValueError("no"))], "params[0]", "Brings"),
        ([Brings(Unprintable())], "params[0]", "Brings"),
    ],
    ids=repr_of_kind,
)
def test_what_has_no_fingerprint_is_an_error_that_names_the_path_and_type(
    value: object, where: str | None, kind: str
) -> None:
    if where is None:
        fingerprint_parameters(value)
        return
    with pytest.raises(FingerprintError) as raised:
        fingerprint_parameters(value)

    facts = dict(raised.value.facts)
    assert facts["where"].startswith(where)
    if not where.endswith("[0][0]"):
        assert facts["where"] == where
    assert kind in facts["type"]
    assert "__pipegraph_fingerprint__" in raised.value.mend
    assert "0x" not in str(raised.value)


def test_errors_name_the_value_as_the_caller_calls_it() -> None:
    with pytest.raises(FingerprintError, match=re.escape("render_args['a']")):
        fingerprint_parameters({"a": Model()}, name="render_args")


def test_an_error_in_an_own_fingerprint_is_its_cause() -> None:
    error = ValueError("no")

    with pytest.raises(FingerprintError, match=r"raised builtins\.ValueError: no") as raised:
        fingerprint_parameters([Brings(error)])

    assert raised.value.__cause__ is error


def test_an_own_fingerprint_that_never_ends_is_an_error() -> None:
    class Endless:
        def __pipegraph_fingerprint__(self) -> str:
            return self.__pipegraph_fingerprint__()

    limit = sys.getrecursionlimit()

    with pytest.raises(FingerprintError, match="RecursionError"):
        fingerprint_parameters([Endless()])
    assert sys.getrecursionlimit() == limit


def test_an_own_fingerprint_is_used_instead_of_anything_else() -> None:
    assert fingerprint_parameters([Brings("a")]) == fingerprint_parameters([Brings("a")])
    assert fingerprint_parameters([Brings("a")]) != fingerprint_parameters([Brings("b")])
    assert fingerprint_parameters([Brings("a")]) != fingerprint_parameters(["a"])
    assert fingerprint_parameters(BringsDict(a=1)) == fingerprint_parameters(BringsDict(a=2))
    assert fingerprint_parameters(Brings) != fingerprint_parameters(BringsDict)


def test_a_function_that_uses_what_cannot_be_watched_is_an_error() -> None:
    model = Model()

    with pytest.raises(FingerprintError, match=r"closure variable 'model' \(.*Model\)") as raised:
        fingerprint_parameters({"f": lambda: model})

    assert dict(raised.value.facts)["where"] == "params['f']"


def test_a_value_that_fails_when_it_is_read_is_an_error() -> None:
    class Failing(datetime.tzinfo):
        pass

    with pytest.raises(FingerprintError, match="NotImplementedError"):
        fingerprint_parameters([datetime.datetime(2024, 1, 1, tzinfo=Failing())])


def test_deep_values_have_fingerprints_however_deep_the_caller_stands() -> None:
    value = deep(400)
    expected = fingerprint_parameters(value)

    def deeper(levels: int) -> str:
        return deeper(levels - 1) if levels else fingerprint_parameters(value)

    limit = sys.getrecursionlimit()

    assert deeper(limit // 2) == expected
    assert sys.getrecursionlimit() == limit


# ---- numpy


def numpy_values() -> list[Callable[[], object]]:
    np = pytest.importorskip("numpy")
    ramp = np.arange(24, dtype="i8")

    def with_padding(rest: int) -> object:
        made = np.empty(2, np.dtype({"names": ["a", "b"], "formats": ["i1", "i4"]}, align=True))
        made.view("u1")[:] = rest
        made["a"], made["b"] = 1, 2
        return made

    def masked(below: int) -> object:
        return np.ma.masked_array([1, below, 3], mask=[0, 1, 0])

    return [
        lambda: np.int64(1),
        lambda: np.int32(1),
        lambda: np.float64(1),
        lambda: np.float32(1),
        lambda: np.bool_(True),
        lambda: np.str_("a"),
        lambda: np.str_("b"),
        lambda: np.bytes_(b"a"),
        lambda: np.complex128(1),
        lambda: np.longdouble(1),
        lambda: np.longdouble(2),
        lambda: np.datetime64("2024-01-01"),
        lambda: np.datetime64("2024-01-01", "ns"),
        lambda: np.datetime64("NaT", "D"),
        lambda: np.timedelta64(1, "s"),
        lambda: np.array(1),
        lambda: np.array([1]),
        lambda: np.array([[1]]),
        lambda: np.array([1.0]),
        lambda: np.array([-0.0]),
        lambda: np.array([0.0]),
        lambda: np.array([]),
        lambda: np.zeros((0, 3)),
        lambda: np.zeros((3, 0)),
        lambda: ramp.reshape(4, 6),
        lambda: ramp.reshape(6, 4),
        lambda: ramp.reshape(4, 6).T,
        lambda: ramp[::2],
        lambda: ramp[::-1],
        lambda: ramp.astype(">i8"),
        lambda: np.array(["a", "bc"]),
        lambda: np.array(["a", "bd"]),
        lambda: np.array([b"a"]),
        lambda: np.array(["2024-01-01"], dtype="M8[D]"),
        lambda: np.array([1, 2], dtype="m8[s]"),
        lambda: np.array([1, "a", None], dtype=object),
        lambda: np.array([1, "b", None], dtype=object),
        lambda: np.array([[1, 2], [3, None]], dtype=object),
        lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        lambda: np.array([(1, 3.0)], dtype=[("a", "i4"), ("b", "f8")]),
        lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("c", "f8")]),
        lambda: np.array([(1, "x")], dtype=[("a", "i4"), ("b", "O")]),
        lambda: np.array([([1, 2],)], dtype=[("a", "i4", (2,))]),
        lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])[0],
        lambda: np.array([b"ab"], dtype="V2"),
        lambda: np.longdouble([1, 2]),
        lambda: np.array([1, 2], dtype=np.clongdouble),
        lambda: np.array([1, 3], dtype=np.clongdouble),
        lambda: with_padding(0),
        lambda: masked(2),
        lambda: np.ma.masked_array([1, 2, 4], mask=[0, 1, 0]),
        lambda: np.ma.masked_array([1, 2, 3], mask=[0, 0, 0]),
        lambda: np.ma.masked_array([1, 2, 3], mask=[0, 1, 0], fill_value=5),
        lambda: np.ma.masked,
        lambda: np.matrix([[1]]),
        lambda: np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        lambda: np.dtype("i4"),
        lambda: np.dtype("i8"),
        lambda: np.dtype([("a", "i4")]),
        lambda: np.int32,
        lambda: [1],
        lambda: 1,
        lambda: b"",
    ]


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_numpys_values_differ_from_all_others_and_are_the_same_when_made_again() -> None:
    seen: dict[str, object] = {}
    for make in numpy_values():
        value = make()
        found = fingerprint_parameters(value)
        assert found == fingerprint_parameters(make())
        assert found not in seen, (value, seen[found])
        seen[found] = value


def test_layout_in_memory_does_not_count() -> None:
    np = pytest.importorskip("numpy")
    plain = np.arange(24.0).reshape(4, 6)
    for other in (np.asfortranarray(plain), np.repeat(plain, 2, axis=0)[::2], plain[::-1][::-1]):
        assert fingerprint_parameters(other) == fingerprint_parameters(plain)


def test_what_is_nobodys_value_does_not_count() -> None:
    np = pytest.importorskip("numpy")

    def padded(rest: int) -> object:
        made = np.empty(2, np.dtype({"names": ["a", "b"], "formats": ["i1", "i4"]}, align=True))
        made.view("u1")[:] = rest
        made["a"], made["b"] = 1, 2
        return made

    def long(rest: int, kind: str) -> object:
        made = np.ones(3, kind)
        if np.finfo(kind).nmant == 63:  # Elsewhere there is no padding.
            made.view("longdouble").view("u1").reshape(-1, np.dtype("longdouble").itemsize)[:, 10:] = rest
        return made

    def masked(below: object, kind: object) -> object:
        return np.ma.masked_array(np.array([1, below, 3], dtype=kind), mask=[0, 1, 0])

    assert fingerprint_parameters(padded(0)) == fingerprint_parameters(padded(255))
    assert fingerprint_parameters(masked(2, int)) == fingerprint_parameters(masked(9, int))
    for kind in ("longdouble", "clongdouble"):
        assert fingerprint_parameters(long(0, kind)) == fingerprint_parameters(long(255, kind))


def test_a_mapped_array_is_its_content(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    np.save(tmp_path / "a.npy", np.arange(5))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")

    found = fingerprint_parameters(mapped)
    del mapped

    assert found == fingerprint_parameters(np.arange(5))


def test_arrays_of_unknown_objects_are_an_error_that_names_the_element() -> None:
    np = pytest.importorskip("numpy")
    holder = np.empty(2, dtype=object)
    holder[1] = holder

    with pytest.raises(FingerprintError, match=re.escape("params['x'].flat[1]")):
        fingerprint_parameters({"x": np.array([1, Model()], dtype=object)})
    with pytest.raises(FingerprintError, match=re.escape("params['b'].flat[0]")):
        fingerprint_parameters(np.array([(1, Model())], dtype=[("a", "i4"), ("b", "O")]))
    with pytest.raises(FingerprintError, match="contains itself"):
        fingerprint_parameters(holder)


def test_own_attributes_of_a_subclass_of_arrays_count() -> None:
    np = pytest.importorskip("numpy")

    class Quantity(np.ndarray):  # type: ignore[misc]
        unit: object = None

    def quantity(unit: object) -> object:
        made = np.arange(3).view(Quantity)
        made.unit = unit
        return made

    assert fingerprint_parameters(quantity("m")) == fingerprint_parameters(quantity("m"))
    assert fingerprint_parameters(quantity("m")) != fingerprint_parameters(quantity("s"))
    with pytest.raises(FingerprintError, match=r"params\.unit"):
        fingerprint_parameters(quantity(Model()))


def test_strings_of_variable_width_count() -> None:
    np = pytest.importorskip("numpy", minversion="2.0")
    kind = np.dtypes.StringDType

    def made(text: str, **how: object) -> str:
        return fingerprint_parameters(np.array(["a", text * 100], dtype=kind(**how)))

    assert made("b") == made("b")
    assert len({made("b"), made("c"), made("b", na_object=np.nan)}) == 3


# ---- pandas


def pandas_values() -> list[Callable[[], object]]:
    pd = pytest.importorskip("pandas")
    np = pytest.importorskip("numpy")

    def frame(**columns: object) -> object:
        return pd.DataFrame(columns)

    def with_attrs(value: Any, attrs: dict[str, object]) -> object:
        value.attrs = attrs
        return value

    days = ["2024-01-01", "2024-01-02"]
    return [
        lambda: frame(a=[1, 2]),
        lambda: frame(a=[1, 3]),
        lambda: frame(b=[1, 2]),
        lambda: frame(a=[1.0, 2.0]),
        lambda: frame(a=[1, 2], b=[3, 4]),
        lambda: frame(b=[3, 4], a=[1, 2]),
        lambda: frame(a=["x", "y"]),
        lambda: frame(a=["x", "z"]),
        lambda: frame(a=["x", None]),
        # Until pandas 3, object was what strings got anyway.
        lambda: frame(a=pd.Series(["x", "y"], dtype=object if pd.Series(["x"]).dtype != object else "category")),
        lambda: frame(a=pd.Series(["x", "y"], dtype="string")),
        lambda: frame(a=pd.array([1, None], dtype="Int64")),
        lambda: frame(a=pd.array([1, 2], dtype="Int64")),
        lambda: frame(a=pd.array([True, None], dtype="boolean")),
        lambda: frame(a=pd.Categorical(["x", "y", "y"])),
        lambda: frame(a=pd.Categorical(["x", "z", "z"])),
        lambda: frame(a=pd.Categorical(["x", "x"], categories=["x", "y"])),
        lambda: frame(a=pd.Categorical(["x", "y"], ordered=True)),
        lambda: frame(a=pd.Categorical(["x", "y"], categories=["y", "x"])),
        lambda: frame(a=pd.to_datetime(days)),
        lambda: frame(a=pd.to_datetime(days).tz_localize("UTC")),
        lambda: frame(a=pd.to_datetime(days).tz_localize("Europe/Berlin")),
        lambda: frame(a=pd.to_timedelta([1, 2], unit="s")),
        lambda: frame(a=pd.period_range("2024-01", periods=2, freq="M")),
        lambda: frame(a=pd.interval_range(0, 2)),
        lambda: frame(a=pd.arrays.SparseArray([0, 1])),
        lambda: frame(a=[[1], {"x": 2}]),
        lambda: frame(a=[[1], {"x": 3}]),
        lambda: pd.DataFrame(),
        lambda: pd.DataFrame(index=[1, 2]),
        lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
        lambda: pd.DataFrame([[1, 3]], columns=["a", "a"]),
        lambda: pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
        lambda: pd.DataFrame({"a": [1, 2]}, index=["x", "z"]),
        lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="i")),
        lambda: pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "x"), (1, "y")])),
        lambda: pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "x"), (2, "y")])),
        lambda: with_attrs(frame(a=[1, 2]), {"source": "x"}),
        lambda: pd.Series([1, 2]),
        lambda: pd.Series([1, 2], name="a"),
        lambda: pd.Series([1, 2], index=[1, 0]),
        lambda: pd.Index([1, 2]),
        lambda: pd.Index([0, 1]),
        lambda: pd.RangeIndex(2),
        lambda: pd.RangeIndex(0, 2, 2),
        lambda: pd.CategoricalIndex(["a"]),
        lambda: pd.DatetimeIndex(days),
        lambda: pd.date_range(days[0], periods=2),
        lambda: pd.Categorical(["x"]),
        lambda: pd.CategoricalDtype(["x"]),
        lambda: pd.CategoricalDtype(["x"], ordered=True),
        lambda: pd.Int64Dtype(),
        lambda: pd.Timestamp(days[0]),
        lambda: pd.Timestamp(days[1]),
        lambda: pd.Timestamp(days[0], tz="UTC"),
        lambda: pd.Timestamp(days[0], tz="Europe/Berlin"),
        lambda: pd.Timestamp("1000-01-01").as_unit("s") if hasattr(pd.Timestamp, "as_unit") else "old pandas",
        lambda: pd.Timedelta(1, "s"),
        lambda: pd.Timedelta(2, "s"),
        lambda: pd.Period("2024-01"),
        lambda: pd.Period("2024-01-01"),
        lambda: pd.Interval(0, 1),
        lambda: pd.Interval(0, 1, closed="both"),
        lambda: pd.NaT,
        lambda: pd.NA,
        lambda: None,
        lambda: datetime.datetime(2024, 1, 1),
        lambda: np.array([1, 2]),
        lambda: {"a": [1, 2]},
    ]


def test_pandas_values_differ_from_all_others_and_are_the_same_when_made_again() -> None:
    seen: dict[str, object] = {}
    for make in pandas_values():
        value = make()
        found = fingerprint_parameters(value)
        assert found == fingerprint_parameters(make())
        assert found not in seen, (value, seen[found])
        seen[found] = value


def test_how_a_frame_came_about_does_not_count() -> None:
    pd = pytest.importorskip("pandas")
    plain = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
    grown = pd.DataFrame({"a": [1, 2, 3]})
    grown["b"] = ["x", "y", None]

    assert fingerprint_parameters(grown) == fingerprint_parameters(plain)
    assert fingerprint_parameters(plain.copy()) == fingerprint_parameters(plain)
    twice = pd.concat([plain, plain])
    assert fingerprint_parameters(twice.iloc[3:]) == fingerprint_parameters(twice.iloc[:3])


def test_unknown_objects_in_frames_are_an_error_that_names_the_column() -> None:
    pd = pytest.importorskip("pandas")

    with pytest.raises(FingerprintError, match=re.escape("params['table']['a'].flat[1]")):
        fingerprint_parameters({"table": pd.DataFrame({"a": [1, Model()]})})
    with pytest.raises(FingerprintError, match=re.escape("params.attrs['m']")):
        frame = pd.DataFrame({"a": [1]})
        frame.attrs["m"] = Model()
        fingerprint_parameters(frame)


def test_metadata_of_subclasses_of_frames_counts() -> None:
    pd = pytest.importorskip("pandas")

    class Frame(pd.DataFrame):  # type: ignore[misc]
        _metadata = ["crs"]

    def made(crs: object) -> object:
        frame = Frame({"a": [1]})
        frame.crs = crs
        return frame

    assert fingerprint_parameters(made("x")) == fingerprint_parameters(made("x"))
    assert fingerprint_parameters(made("x")) != fingerprint_parameters(made("y"))


def test_neither_numpy_nor_pandas_is_imported_for_plain_values() -> None:
    script = (
        "import sys\nfrom pipegraph.invariants import parameters, functions, files\n"
        "parameters.fingerprint_parameters({'a': [1, 2.0, len, Ellipsis]})\n"
        "print({'numpy', 'pandas', 'decimal', 'uuid', 'fractions', 'zoneinfo'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    shown = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert shown.stdout == "set()\n"


# ---- values as text


@given(values)
def test_the_text_of_a_plain_value_is_read_back_as_it_was(value: object) -> None:
    text = value_text(value)

    if text:
        assert "\n" not in text
        assert are_the_same(ast.literal_eval(text), value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1,
        1.5,
        -0.0,
        1e300,
        1 + 2j,
        -1 - 2j,
        "a\n\x1b\ud800\u2028",
        b"\xff\n",
        [],
        {},
        set(),
        {1},
        (),
        (1,),
        {"a": [1, (2, {3})]},
        10**2000,
    ],
    ids=repr_of_kind,
)
def test_plain_values_have_a_text(value: object) -> None:
    text = value_text(value)

    assert text
    assert len(text.splitlines()) == 1
    assert are_the_same(ast.literal_eval(text), value)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        complex(math.nan, 0),
        complex(-0.0, 1),
        complex(1, -0.0),
        complex(0, -1),
        ...,
        frozenset(),
        Colour.RED,
        Number.ONE,
        Path("a"),
        Point(1, 2),
        Text("a"),
        Model(),
        {"a": Model()},
        {Model(): 1},
        {Point(1, 2)},
        bytearray(),
        10**5000,
        circle(),
        deep(10_000),
        len,
    ],
    ids=repr_of_kind,
)
def test_other_values_have_none(value: object) -> None:
    assert value_text(value) == ""


def test_a_value_of_endless_shared_parts_has_no_text() -> None:
    value: object = [0]
    for _ in range(45):
        value = [value, value]

    assert value_text(value) == ""


def test_classes_and_modules_of_ones_own_do_not_go_by_their_names_only():
    def make(value):
        class Settings:
            limit = value

            def method(self):
                return 1

        Settings.__qualname__ = "Settings"
        return Settings

    one, same, other = (fingerprint_parameters([make(value)]) for value in (1, 1, 2))
    assert one == same != other
    assert fingerprint_parameters(int) != fingerprint_parameters(str)
    with pytest.raises(FingerprintError, match="what of the module"):
        fingerprint_parameters({"a": sys.modules[__name__]})
