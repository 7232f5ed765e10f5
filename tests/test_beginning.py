"""Global variables as they were when the run began: what jobs load does not count, and what generators assign does."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from pipegraph.invariants.beginning import Globals
from pipegraph.invariants.functions import Followed, look_at_function

MODULE = """
import sys
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

Pair = namedtuple("Pair", "a")

@dataclass
class Settings:
    size: int = 1
    names: list = None

class Base:
    inherited = 1

class Class(Base):
    constant = 1
    class Inner:
        constant = 1

me = sys.modules["of_mine"]
X = {}
Y = X
def f(): return {}
"""


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """Empty, and the user's own."""
    sys.modules["of_mine"] = ModuleType("of_mine")
    yield sys.modules["of_mine"]
    del sys.modules["of_mine"]


def fill(module: ModuleType, value: str, used: str) -> None:
    exec(MODULE.replace("{}", value, 1).replace("{}", used), vars(module))


def fingerprint(module: Any, known: Globals | None = None) -> str:
    return look_at_function(module.f, True, Followed(known)).fingerprint


CHANGES = [
    ("[1, [2]]", "X", "X[1].append(3)"),
    ("{1: {2: 3}}", "X", "X[1][2] = 4"),
    ("{1: {2: 3}}", "X[1][2]", "X[1][2] = 4"),
    ("{1: {2: 3}}", "me.X[1][2]", "X[1][2] = 4"),
    ("{1: {2: 3}}", "Y", "X[1][2] = 4"),
    ("{1}", "X", "X.add(2)"),
    ("([1], 2)", "X", "X[0].append(3)"),
    ("Pair([1])", "X", "X.a.append(3)"),
    ("defaultdict(list, a=[1])", "X", "X['a'].append(3)"),
    ("OrderedDict(a=[1])", "X", "X['a'].append(3)"),
    ("Counter('ab')", "X", "X.update('b')"),
    ("deque([[1]])", "X", "X[0].append(3)"),
    ("bytearray(b'a')", "X", "X.extend(b'b')"),
    ("SimpleNamespace(a=[1])", "X.a", "X.a.append(3)"),
    ("SimpleNamespace(a=[1])", "X", "X.b = 3"),
    ("Settings(1, [2])", "X", "X.names.append(3)"),
    ("Settings(1, [2])", "X", "X.size = 3"),
    ("[1, 2]", "X", "X[1] = X"),
    ("1", "X", "X = 2"),
    ("1", "X", "del X"),
    ("1", "NEW", "NEW = 2"),
    ("1", "me.NEW", "NEW = 2"),
    ("1", "Class.constant", "Class.constant = 2"),
    ("1", "Class.inherited", "Base.inherited = 2"),
    ("1", "Class()", "Class.constant = 2"),
    ("[Class]", "X[0]()", "Class.constant = 2"),
    ("1", "Class.Inner()", "Class.Inner.constant = 2"),
]


@pytest.mark.parametrize(("value", "used", "change"), CHANGES)
def test_what_jobs_change_after_the_beginning_does_not_count(
    module: ModuleType, value: str, used: str, change: str
) -> None:
    fill(module, value, used)
    known = Globals()
    known.begin([])
    before = fingerprint(module, known)
    exec(change, vars(module))

    assert fingerprint(module, known) == before
    known.forget()
    assert fingerprint(module, known) != before


def test_names_that_are_no_modules_are_kept_as_well() -> None:
    names: dict[str, Any] = {"X": [1]}
    exec("def f(): return X", names)
    module: Any = ModuleType("nowhere")
    module.f = names["f"]
    known = Globals()
    known.begin([names])
    before = fingerprint(module, known)
    names["X"].append(2)

    assert fingerprint(module, known) == before


@pytest.mark.parametrize(
    ("value", "used", "change"),
    [
        ("1", "X", "X = 2"),
        ("1", "X", "del X"),
        ("1", "NEW", "NEW = 2"),
        ("1", "me.NEW", "me.NEW = 2"),
        ("1", "Class.constant", "Class.constant = 2"),
        ("1", "Class.NEW", "Class.NEW = 2"),
        ("SimpleNamespace(a=1)", "X.a", "X.a = 2"),
        ("SimpleNamespace(a=1)", "X", "del X.a"),
        ("SimpleNamespace(a=1)", "me.Y.a", "X.a = 2"),
        ("[SimpleNamespace(a=1)]", "X", "X[0].a = 2"),
        ("Settings()", "X", "X.size = 2"),
        ("Settings()", "X", "X.NEW = 2; X.size = 2"),
    ],
)
def test_what_a_generator_assigns_counts_as_it_was_then(module: ModuleType, value: str, used: str, change: str) -> None:
    fill(module, value, used)
    known = Globals()
    known.begin([])
    before = fingerprint(module, known)
    known.begin_growth(())
    exec(change, vars(module))
    known.end_growth("generator")
    after = fingerprint(module, known)

    assert after != before
    assert after == fingerprint(module)


def test_what_is_loaded_into_what_a_generator_assigned_does_not_count(module: ModuleType) -> None:
    fill(module, "[1]", "X")
    known = Globals()
    known.begin([])
    known.begin_growth(())
    exec("X = [2]", vars(module))
    known.end_growth("generator")
    before = fingerprint(module, known)
    exec("X.append(3)", vars(module))

    assert fingerprint(module, known) == before


def test_what_a_job_loads_between_two_generators_is_neither_s(module: ModuleType) -> None:
    fill(module, "1", "X")
    known = Globals()
    known.begin([])
    before = fingerprint(module, known)
    known.begin_growth(())
    known.end_growth("generator")
    exec("X = 2", vars(module))
    known.begin_growth(())
    known.end_growth("generator")

    assert fingerprint(module, known) == before


def test_what_is_too_large_to_be_read_is_not_copied(module: ModuleType) -> None:
    fill(module, "[0] * 200_000, [0] * 200_000", "X")
    known = Globals()
    known.begin([])

    assert known.names_in(vars(module))["X"] is vars(module)["X"]


def test_two_names_of_one_thing_are_one_thing_for_a_generator(module: ModuleType) -> None:
    fill(module, "SimpleNamespace(a=1)", "me.X.a, X.a")
    other = {"X": vars(module)["X"]}
    exec(textwrap.dedent("def f(): return X.a"), other)
    known = Globals()
    known.begin([other])
    known.begin_growth(())
    vars(module)["X"].a = 2
    known.end_growth("generator")

    assert look_at_function(other["f"], True, Followed(known)) == look_at_function(other["f"])


def test_what_is_loaded_into_another_module_does_not_count(module: ModuleType) -> None:
    fill(module, "{1: [2]}", "X")
    names: dict[str, Any] = {"me": module}
    exec("def f(): return me.X", names)
    known = Globals()
    known.begin([names])
    before = look_at_function(names["f"], True, Followed(known))
    exec("X[1].append(3)", vars(module))

    assert look_at_function(names["f"], True, Followed(known)) == before


def test_what_a_generator_assigns_counts_for_those_that_it_declared_and_for_no_others() -> None:
    names: dict[str, Any] = {"A": 1, "B": 1}
    known = Globals()
    known.begin([names])
    found = []
    for generator, makers in (("first", ()), ("second", ("first",)), ("other", ())):
        known.begin_growth(makers)
        names[generator] = names["A"] = generator
        names.pop("B", None)
        known.end_growth(generator)
        found.append(dict(known.names_in(names)))

    assert found[0] == {"A": "first", "first": "first"}
    assert found[1] == {"A": "second", "first": "first", "second": "second"}
    assert found[2] == {"A": "other", "B": 1, "other": "other"}
