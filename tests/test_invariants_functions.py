"""Functions: what makes two of them different, what does not, and what is said of what can't be watched."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import logging
import math
import operator
import os
import subprocess
import sys
import textwrap
import threading
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipegraph.invariants.functions import fingerprint_function


def defined(source: str, name: str = "f", filename: str = "script.py", **names: object) -> Callable[..., Any]:
    namespace: dict[str, Any] = {"__name__": "script", **names}
    exec(compile(textwrap.dedent(source), filename, "exec", dont_inherit=True), namespace)
    found: Callable[..., Any] = namespace[name]
    return found


def fingerprint(function: Callable[..., object] | None) -> str:
    """Of a function that uses nothing that can't be watched."""
    found, unwatched = fingerprint_function(function)
    assert unwatched == ()
    return found


def unwatched(function: Callable[..., object]) -> tuple[str, ...]:
    return fingerprint_function(function)[1]


BASE = """
def f(path, /, size=3, *rest, key="a"):
    total = size + 1
    with open(path) as file:
        lines = [line.strip() for line in file if line not in {"a", "b", "c"}]
    def inner(value):
        return (value, total, 2.5)
    class Local:
        limit = 10
        def method(self):
            self.one = self.two = self.three = 1
            return __class__
    try:
        return [inner(line) for line in lines], Local
    except ValueError:
        return lambda: None
"""


@pytest.mark.parametrize(
    "moved",
    [
        "\n\n\n\n" + BASE,
        BASE.replace("    total = size + 1\n", "\n    # A comment.\n    total = (\n        size\n        + 1\n    )\n"),
        BASE.replace("    ", "\t"),
        BASE.replace("def f(path, /, size=3, *rest, key=", "def f(\n    path, /,\n    size=3,\n    *rest, key="),
        BASE.replace('"a"', "'a'").replace("2.5", "2.50"),
        "def outer():\n" + textwrap.indent(BASE, "    ") + "\n    return f\nf = outer()\n",
        "class Outer:\n" + textwrap.indent(BASE, "    ") + "\nf = Outer.f\n",
        BASE.replace("def f(", "def g(") + "\nf = g\n",
        "from __future__ import annotations\n" + BASE,
    ],
    ids=["lines", "layout", "tabs", "signature", "literals", "nested", "in_class", "renamed", "future"],
)
def test_moving_renaming_and_reformatting_a_function_is_no_change(moved: str) -> None:
    assert fingerprint(defined(moved)) == fingerprint(defined(BASE))


def test_the_file_that_it_stands_in_does_not_count() -> None:
    assert fingerprint(defined(BASE, filename="/elsewhere.py")) == fingerprint(defined(BASE))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("total = size + 1", "total = size - 1"),
        ("total = size + 1", "total = size + 2"),
        ("total = size + 1", "total = size + 1.0"),
        ("total = size + 1", "total = size + True"),
        ("open(path)", "opened(path)"),
        ("line.strip()", "line.lstrip()"),
        ('"c"}', '"d"}'),
        ("2.5", "2.25"),
        ("(value, total, 2.5)", "(value, total, (2.5,))"),
        ("size=3", "size=4"),
        ("size=3", "size=3.0"),
        ("size=3", "size"),
        ('key="a"', 'key="b"'),
        ('key="a"', "key"),
        ('key="a"', 'kez="a"'),
        ("path, /, size", "path, size"),
        ("*rest, key", "*, key"),
        ("limit = 10", "limit = 11"),
        ("limit = 10", "limits = 10"),
        ("self.three = 1", "self.four = 1"),
        ("except ValueError", "except TypeError"),
        ("lambda: None", "lambda: ..."),
        ("    try:\n        return [inner", "    return [inner"),
    ],
)
def test_each_of_these_edits_is_a_change(old: str, new: str) -> None:
    assert old in BASE
    source = BASE.replace(old, new)
    if "    try:\n" not in source:
        source = source[: source.index("    except")]

    assert fingerprint(defined(source)) != fingerprint(defined(BASE))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        # Same instructions each time.
        ("def f(a): return a", "def f(b): return b"),
        (
            "def f():\n    try: a(); b()\n    except E: c()",
            "def f():\n    a()\n    try: b()\n    except E: c()",
        ),
        ("def f(a): return a.b", "def f(a): return a.c"),
        ("def f(*a): return a", "def f(**a): return a"),
        ("def f(*a): return a", "def f(a): return a"),
        ("def f(): return lambda: 1", "def f(): return lambda: 2"),
        ("def f(a, b): return lambda: a", "def f(b, a): return lambda: a"),
    ],
)
def test_what_only_the_names_ranges_and_kinds_of_arguments_tell_is_a_change(one: str, two: str) -> None:
    assert fingerprint(defined(one)) != fingerprint(defined(two))


VALUES = [
    "0",
    "1",
    "1.0",
    "True",
    "False",
    "0.0",
    "-0.0",
    "None",
    "...",
    "'1'",
    "b'1'",
    "''",
    "()",
    "(1,)",
    "(1.0,)",
    "((1,),)",
    "1j",
    "complex(0.0, -1.0)",
    "float('nan')",
    "float('inf')",
    "[1]",
    "{1}",
    "frozenset((1,))",
    "{1: 2}",
    "10**5000",
    "'\\ud800'",
    "range(1)",
    "len",
    "int",
    "math",
    "math.sin",
    "math.cos",
    "Path('a')",
]


@pytest.mark.parametrize(
    "source", ["def f(x={}): return x", "def f(*, x={}): return x", "def g(x):\n    return lambda: x\nf = g({})"]
)
def test_values_of_defaults_and_closures_differ_by_type_and_value(source: str) -> None:
    found = [fingerprint(defined(source.replace("{}", value), math=math, Path=Path)) for value in VALUES]

    assert len(set(found)) == len(VALUES)
    assert found == [fingerprint(defined(source.replace("{}", value), math=math, Path=Path)) for value in VALUES]


def test_constants_differ_by_type_and_value() -> None:
    constants = [value for value in VALUES if "(" not in value or value.startswith("(")]
    constants += ["-1j", "1e400", "{'a'} == {x}", "x in {1, 2}", "x in {1, 3}", "x in (1, 2)", "x in {1, 2.0}"]

    assert len({fingerprint(defined(f"f = lambda x: {value}")) for value in constants}) == len(constants)


def test_the_loop_idiom_makes_different_functions() -> None:
    functions = []
    for value in range(3):

        def function(value: int = value) -> int:
            return value

        functions.append(function)

    assert len(set(map(fingerprint, functions))) == 3


def test_two_lambdas_on_one_line_differ_if_their_code_does() -> None:
    one, two, again = (lambda: 1), (lambda: 2), (lambda: 1)

    assert fingerprint(one) == fingerprint(again) != fingerprint(two)


def test_which_default_belongs_to_which_argument_counts() -> None:
    both = {fingerprint(defined(f"def f(*, {a}=1, {b}=2): return 0")) for a, b in (("x", "y"), ("y", "x"))}
    keys = [defined("def f(*, x=1, y=2): return 0"), defined("def f(*, x=1, y=2): return 0")]
    keys[1].__kwdefaults__ = {"y": 2, "x": 1}

    assert len(both) == 2
    assert len(set(map(fingerprint, keys))) == 1


def test_running_a_function_many_times_is_no_change() -> None:
    function = defined(
        "def f(x):\n    t = 0\n    for i in range(x):\n        t += i * 2\n    return t, len('a'), f.__name__"
    )
    before = function.__code__.replace(co_name="f")
    expected = fingerprint(function)
    for _ in range(5000):
        function(3)

    # The text is cached by code object: a copy, and a new one of the same source, are not.
    assert fingerprint(defined("f = g", g=type(function)(function.__code__.replace(), {}))) == expected
    assert fingerprint(type(function)(before, {})) == expected


def test_code_is_remembered_by_code_object_and_not_by_function() -> None:
    function = defined("def f(): return 1")
    first = fingerprint(function)
    function.__code__ = defined("def f(): return 2").__code__

    assert fingerprint(function) != first


# ---- closures


def closing_over(value: object) -> Callable[[], object]:
    return lambda: value


def test_functions_in_closures_count_by_their_code() -> None:
    assert fingerprint(closing_over(closing_over(1))) == fingerprint(closing_over(closing_over(1)))
    assert fingerprint(closing_over(closing_over(1))) != fingerprint(closing_over(closing_over(2)))
    assert fingerprint(closing_over([{"a": lambda: 1}])) != fingerprint(closing_over([{"a": lambda: 2}]))


def test_an_empty_cell_is_not_none() -> None:
    def outer(is_set: bool) -> Callable[[], object]:
        if is_set:
            value = None
        return lambda: value

    assert fingerprint(outer(False)) != fingerprint(outer(True))


RECURSIVE = """
def outer():
    def f(n):
        return n if n < 2 else f(n - 1) + g(n - STEP)
    def g(n):
        return f(n) if n else h
    h = {"f": f, "list": []}
    h["list"].append(h)
    return f
f = outer()
"""


def test_circles_through_functions_and_containers_end() -> None:
    one, two = (fingerprint(defined(RECURSIVE.replace("STEP", step))) for step in "12")

    assert one != two
    assert one == fingerprint(defined(RECURSIVE.replace("STEP", "1")))


def test_sets_of_functions_that_use_each_other_have_no_order() -> None:
    def trio() -> Callable[[], object]:
        def a() -> object:
            return b, c

        def b() -> object:
            return c, 1

        def c() -> object:
            return a, 2

        return closing_over([{a, b, c}, a])

    kept = [trio() for _ in range(50)]  # At other addresses, and so in other orders.

    assert len(set(map(fingerprint, kept))) == 1


def test_many_functions_that_all_use_each_other_take_no_time() -> None:
    """The number of paths between thirty functions is beyond all bounds."""
    names = [f"f{number}" for number in range(30)]
    lines = [f"    def {name}(): return {', '.join(names)}" for name in names]
    source = "def outer():\n" + "\n".join(lines) + "\n    return f0\nf = outer()"

    assert fingerprint(defined(source)) == fingerprint(defined(source))


def test_shared_parts_are_visited_once() -> None:
    value: object = [0]
    for _ in range(100):
        value = [value, value]

    assert fingerprint(closing_over(value)) == fingerprint(closing_over(value))


def test_long_chains_of_functions_end() -> None:
    def chain(length: int) -> Callable[[], object]:
        function: object = 1
        for _ in range(length):
            function = closing_over(function)
        assert callable(function)
        return function

    assert fingerprint(chain(200)) == fingerprint(chain(200)) != fingerprint(chain(201))
    assert fingerprint(chain(20_000)) != fingerprint(chain(20_001))


def test_how_deep_the_caller_stands_does_not_count() -> None:
    function: object = [1]
    for _ in range(90):
        function = closing_over([[function]])
    assert callable(function)

    def deeper(levels: int) -> str:
        return deeper(levels - 1) if levels else fingerprint(function)  # type: ignore[arg-type]

    limit = sys.getrecursionlimit()

    assert deeper(0) == deeper(limit // 2)
    assert sys.getrecursionlimit() == limit


def test_a_local_class_counts_by_its_code() -> None:
    source = """
    def outer():
        class Base:
            def m(self): return 1
        class Local(Base):
            limit = 5
            _secret = 6
            @property
            def p(self): return super().m()
            @staticmethod
            def s(): return 7
            @classmethod
            def c(cls): return 8
        return lambda: Local()
    f = outer()
    """
    found = {fingerprint(defined(source.replace(old, "99"))) for old in ("1", "5", "6", "7", "8", "nothing")}

    assert len(found) == 6


def test_local_classes_that_the_standard_library_fills_are_watched_in_full() -> None:
    source = """
    def outer():
        @dataclasses.dataclass
        class Settings:
            size: int = 1
            names: list = dataclasses.field(default_factory=list)
        class Colour(enum.Enum):
            RED = 5
        class Point(typing.NamedTuple):
            x: int = 7
        return lambda: (Settings, Colour, Colour.RED, Point, Point())
    f = outer()
    """
    found = {
        fingerprint(defined(source.replace(old, new), dataclasses=dataclasses, enum=enum, typing=typing))
        for old, new in (("= 1", "= 2"), ("=list", "=set"), ("= 5", "= 6"), ("= 7", "= 8"), ("f", "f"))
    }

    assert len(found) == 5


def test_a_class_of_a_module_goes_by_its_name() -> None:
    assert fingerprint(closing_over(Path)) != fingerprint(closing_over(ModuleType))


# ---- other things that can be called


def test_none_has_a_fingerprint_of_its_own() -> None:
    assert fingerprint(None) == fingerprint(None) != fingerprint(lambda: None)


def test_partials_count_by_function_and_arguments() -> None:
    def function(*arguments: object, **keywords: object) -> None: ...

    partials = [
        functools.partial(function),
        functools.partial(function, 1),
        functools.partial(function, 2),
        functools.partial(function, x=1),
        functools.partial(function, y=1),
        functools.partial(lambda: 1),
        functools.partial(functools.partial(print), 1),
    ]

    assert len(set(map(fingerprint, partials))) == len(partials)
    assert fingerprint(functools.partial(function, x=1, y=2)) == fingerprint(functools.partial(function, y=2, x=1))


def wrapping(function: Callable[..., object], constant: int = 0) -> Callable[..., object]:
    @functools.wraps(function)
    def wrapper() -> object:
        return function(), constant

    return wrapper


def test_wrapper_and_wrapped_both_count() -> None:
    def loose(function: Callable[..., object], what: int) -> Callable[..., object]:
        wrapper = defined(f"def f(): return {what}")
        return functools.update_wrapper(wrapper, function)

    assert len({fingerprint(wrapping(one, two)) for one in (lambda: 1, lambda: 2) for two in (1, 2)}) == 4
    assert len({fingerprint(loose(one, two)) for one in (lambda: 1, lambda: 2) for two in (1, 2)}) == 4


def test_decorators_of_the_standard_library_are_seen_through() -> None:
    def one() -> Any:
        yield 1

    def two() -> Any:
        yield 2

    for decorate in (functools.cache, contextlib.contextmanager, staticmethod, classmethod, property):
        assert fingerprint(decorate(one)) != fingerprint(decorate(two)) != fingerprint(two)  # type: ignore[arg-type]


class Analysis:
    def __init__(self, size: int = 0) -> None:
        self.size = size

    def run(self) -> int:
        return self.size

    def other(self) -> int:
        return self.size + 1

    @classmethod
    def build(cls) -> Analysis:
        return cls()

    def __call__(self) -> int:
        return 1


class Other(Analysis):
    def __call__(self) -> int:
        return 2


def test_a_bound_method_counts_by_its_function_and_says_that_its_object_does_not() -> None:
    run = f"the object that method 'run' is bound to ({__name__}.Analysis)"

    assert fingerprint_function(Analysis(1).run) == fingerprint_function(Analysis(2).run)
    assert fingerprint_function(Analysis().run)[0] != fingerprint_function(Analysis().other)[0]
    assert fingerprint_function(Analysis().run)[0] != fingerprint(Analysis.run)
    assert unwatched(Analysis().run) == (run,)
    assert fingerprint(Analysis.build) != fingerprint(Other.build)


def test_an_object_that_can_be_called_counts_by_its_class() -> None:
    assert fingerprint_function(Analysis(1)) == fingerprint_function(Analysis(2))
    assert fingerprint_function(Analysis())[0] != fingerprint_function(Other())[0]
    assert unwatched(Analysis()) == (f"the object that is called ({__name__}.Analysis)",)
    assert fingerprint(defined("class f:\n    def __init__(self, p): print(p)")) != fingerprint(
        defined("class f:\n    def __init__(self, p): print(p, 1)")
    )


def test_a_decorators_object_with_a_functions_name_counts_by_what_it_wraps() -> None:
    class Memo:
        def __init__(self, function: Callable[..., object]) -> None:
            functools.update_wrapper(self, function)

        def __call__(self) -> None: ...

    module = ModuleType("script_of_memo")
    sys.modules["script_of_memo"] = module
    try:
        found = set()
        for constant in "12":
            function = defined(f"def f(): return {constant}", __name__="script_of_memo")
            module.f = Memo(function)  # type: ignore[attr-defined]
            found |= {fingerprint_function(module.f)[0], fingerprint_function(closing_over(module.f))[0]}
    finally:
        del sys.modules["script_of_memo"]

    assert len(found) == 4


def test_builtins_go_by_their_names() -> None:
    builtins = [len, print, math.sin, str.upper, str.lower, dict.fromkeys, "a".upper, "b".upper, [1].append, int]
    builtins += [object.__init__, (1).__add__, (2).__add__, operator.itemgetter(1), operator.itemgetter(2)]

    assert len(set(map(fingerprint, builtins))) == len(builtins)
    assert fingerprint(len) == fingerprint(len)


def test_numpys_functions_go_by_their_names() -> None:
    numpy = pytest.importorskip("numpy")
    functions = [numpy.add, numpy.subtract, numpy.mean, numpy.concatenate, numpy.linalg.norm, numpy.vstack]

    assert len(set(map(fingerprint, functions))) == len(functions)
    assert len({fingerprint(closing_over(function)) for function in functions}) == len(functions)


# ---- what brings its own fingerprint, and what can't be watched


class Brings:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __pipegraph_fingerprint__(self) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def __call__(self) -> None: ...

    def run(self) -> None: ...


def test_an_objects_own_fingerprint_is_used_wherever_it_stands() -> None:
    for made in (lambda answer: Brings(answer), lambda answer: Brings(answer).run, closing_over_own):
        assert fingerprint(made("a")) == fingerprint(made("a")) != fingerprint(made("b"))


def closing_over_own(answer: str) -> Callable[[], object]:
    return closing_over([Brings(answer)])


def test_an_own_fingerprint_that_fails_is_told() -> None:
    kind = f"{__name__}.Brings"

    assert unwatched(closing_over(Brings(ValueError("no")))) == (
        f"closure variable 'value' ({kind}: __pipegraph_fingerprint__() raised builtins.ValueError: no)",
    )
    assert "returned a builtins.int, not a str" in unwatched(Brings(3))[0]


def test_what_cannot_be_watched_is_named_with_its_type() -> None:
    thread, handler = threading.Thread(), logging.NullHandler()

    def function(a: object = thread, *, b: object = (1, handler)) -> object:
        return model, a, b

    model = object()

    assert unwatched(function) == (
        "closure variable 'model' (builtins.object)",
        "default of 'a' (threading.Thread)",
        "default of 'b' (logging.NullHandler)",
    )
    assert unwatched(functools.partial(len, model)) == ("argument of partial (builtins.object)",)
    assert fingerprint_function(closing_over(object())) == fingerprint_function(closing_over(object()))
    assert fingerprint_function(closing_over(object()))[0] != fingerprint_function(closing_over(thread))[0]


def test_of_loggers_and_locks_nothing_is_said() -> None:
    assert unwatched(closing_over([logging.getLogger("a"), threading.Lock(), threading.RLock()])) == ()


def test_an_open_file_in_a_closure_is_named(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert unwatched(closing_over(file)) == ("closure variable 'value' (_io.TextIOWrapper)",)


class Hostile:
    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("do not look at me")

    def __repr__(self) -> str:
        raise RuntimeError("nor print me")

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("nor compare me")


class HostileList(list[int]):
    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        raise RuntimeError("no")


def test_objects_that_fail_when_looked_at_are_told_and_fail_nothing() -> None:
    for value in (Hostile(), [Hostile()], {Hostile(): 1}, HostileList()):
        assert "closure variable 'value' (" in unwatched(closing_over(value))[0]
    assert unwatched(closing_over(Hostile)) == ()


def test_arrays_and_frames_in_closures_count_by_their_content() -> None:
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")

    for made in (lambda x: numpy.arange(10) * x, lambda x: pandas.DataFrame({"a": [1, x]})):
        assert fingerprint(closing_over(made(2))) == fingerprint(closing_over(made(2)))
        assert fingerprint(closing_over(made(2))) != fingerprint(closing_over(made(3)))


# ---- between runs

SHOW = """
import sys, functools, threading
from pipegraph.invariants.functions import fingerprint_function
def outer():
    names = {"alpha", "beta", "gamma", "delta", 1, 2.5, None, ("a", "b")}
    first, second = (lambda: second), (lambda: first)
    handlers = {first, second, (first, 1), functools.partial(second, names)}
    table = {first: 1, second: 2, len: 3, "x": handlers, frozenset(names): object()}
    class Local:
        kinds = frozenset(names)
        def __init__(self):
            self.one = self.two = self.three = self.four = self.five = first
        def again(self):
            return self, Local, __class__
    lock = threading.Lock()
    def f(path, known=frozenset(names), *, local=Local):
        class Inner:
            def m(self):
                self.six = self.seven = self.eight = self.nine = 1
        if path in {"alpha", "beta", "gamma", "delta"}:
            return handlers, table, f, Inner, lock
    return f
print(*fingerprint_function(outer()), *fingerprint_function(functools.partial(outer(), {"a", "b", "c"})))
"""


def test_fingerprints_are_the_same_in_every_run() -> None:
    answers = set()
    for seed in ("0", "1", "2", "3", "random", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        # Memory that is in use already moves all addresses.
        script = f"ballast = [object() for _ in range({len(answers) * 1000 + len(seed)})]\n{SHOW}"
        shown = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        answers.add(shown.stdout)

    assert len(answers) == 1
    assert "0x" not in answers.pop()


def test_without_a_source_another_version_of_python_may_have_other_fingerprints_but_says_so() -> None:
    """Bytecode of one version means something else to another: the version must be part of the text."""
    function = defined("def f(): return 1")
    ours = sys.implementation.cache_tag
    script = (
        "import sys; sys.implementation.cache_tag = {!r}\n"
        "from pipegraph.invariants.functions import fingerprint_function\n"
        "exec(compile('def f(): return 1', 'typed', 'exec'))\nprint(fingerprint_function(f)[0])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for version, is_same in (("cpython-999", False), (ours, True)):
        shown = subprocess.run(
            [sys.executable, "-c", script.format(version)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )

        assert (shown.stdout.strip() == fingerprint(function)) is is_same
