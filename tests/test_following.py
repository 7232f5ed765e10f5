"""What functions use by name: how far it is followed, what is said of the rest, and what must not count."""

from __future__ import annotations

import ast
import functools
import importlib
import linecache
import math
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import pipegraph as ppg
from pipegraph.explanations import Change, changes_between, packed, unpacked
from pipegraph.invariants import sources
from pipegraph.invariants.encoding import FunctionEncoder
from pipegraph.invariants.functions import Followed, Seen, explain_function, fingerprint_function, look_at_function
from pipegraph.invariants.origins import _digest_of_file, origin_of
from pipegraph.model import Origin


class Folder:
    """Modules in a folder of their own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str, name: str = "mine.py") -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))

    def forget(self) -> None:
        # All are looked at before any goes: the path of a folder without __init__.py is looked up by its parent.
        places = {
            name: [getattr(module, "__file__", None) or "", *getattr(module, "__path__", ())]
            for name, module in list(sys.modules.items())
        }
        for name, found in places.items():
            if any(place.startswith(str(self.path)) for place in found):
                del sys.modules[name]
        importlib.invalidate_caches()

    def load(self, text: str | None = None, name: str = "mine") -> Any:
        """Import it anew, and all else in the folder."""
        if text is not None:
            self.write(text, f"{name}.py")
        self.forget()
        return importlib.import_module(name)

    def seen(self, text: str, **options: Any) -> Seen:
        """Of the function f in it."""
        return look_at_function(self.load(text).f, **options)

    def fingerprint(self, text: str, **options: Any) -> str:
        seen = self.seen(text, **options)
        assert seen.unwatched == seen.remarks == ()
        return seen.fingerprint


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    one = Folder(tmp_path)
    yield one
    one.forget()


def differ(folder: Folder, text: str, old: str, new: str, **options: Any) -> bool:
    assert old in text
    return folder.fingerprint(text, **options) != folder.fingerprint(text.replace(old, new), **options)


# ---- what is written


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("return a + 1", "return (a  +  1)"),
        ("return a", "'''Doc.'''\n    return a"),
        ("return a", "pass\n    ...\n    'text'\n    return a"),
        ("b: int = a", "b = a"),
        ("return f'{a}'", 'return f"{a:}"'),
        ("return 'a' 'b'", "return 'ab'"),
        ("return 1_000", "return 1000"),
        ("if a: return 1", "if a: return 1\n    else: pass"),
        ("def g(x): return x", "def g(x: int) -> int: return x"),
    ],
)
def test_these_are_written_differently_and_do_the_same(folder: Folder, one: str, two: str) -> None:
    first, second = (folder.fingerprint(f"def f(a):\n    {each}\n") for each in (one, two))

    assert first == second


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("return a + 1", "return 1 + a"),
        ("return f'{a}'", "return f'{a!r}'"),
        ("return f'{a}'", "return f'{a:>3}'"),
        ("return f'{a}b'", "return f'b{a}'"),
        ("return f'{a} {a}'", "return f'{a}{a} '"),
        ("return -0.0", "return 0.0"),
        ("return 1", "return True"),
        ("return {**a}", "return {None: a}"),
        ("return [x for x in a]", "return (x for x in a)"),
        ("assert a", "assert a, 'no'"),
        ("def g(x): return x", "async def g(x): return x"),
        ("def g(x, /): return x", "def g(x): return x"),
        ("class C: x: int", "class C: x: str"),
        ("@a\n    def g(x: int): return x", "@a\n    def g(x: str): return x"),
        ("@a\n    def g(x) -> int: return x", "@a\n    def g(x) -> str: return x"),
        ("yield a", "return (yield a)"),
        ("return a if a else 0", "return 0 if a else a"),
        ("global b; b = 1", "b = 1"),
    ],
)
def test_these_do_something_else(folder: Folder, one: str, two: str) -> None:
    first, second = (folder.seen(f"def f(a):\n    {each}\n").fingerprint for each in (one, two))

    assert first != second


def test_the_name_of_the_callback_does_not_count(folder: Folder) -> None:
    assert folder.fingerprint("def f(a): return a\n") == folder.fingerprint("def g(a): return a\nf = g\n")


def test_lambdas_of_one_line_are_told_apart_by_their_source(folder: Folder) -> None:
    text = "fs = [lambda a: a, lambda a: -a, (lambda: (lambda a: +a))(), lambda a: (a, lambda: a)]; f = fs[{}]"
    found = [folder.fingerprint(text.replace("{}", str(number))) for number in range(4)]
    moved = [folder.fingerprint("\n\n" + text.replace("{}", str(number))) for number in range(4)]

    assert len(set(found)) == 4
    assert found == moved
    assert explain_function(folder.load(text.replace("{}", "2")).f).parts[0].text == "lambda a: +a"


def test_sources_in_other_encodings_are_read(folder: Folder) -> None:
    found = []
    for letter in ("ä", "ö"):
        (folder.path / "mine.py").write_bytes(f"# coding: latin-1\ndef f(): return '{letter}'\n".encode("latin-1"))
        seen = look_at_function(folder.load().f)
        assert seen.remarks == ()
        found.append(seen.fingerprint)

    assert found[0] != found[1]


def test_a_file_that_was_changed_after_it_was_imported_says_nothing_of_what_runs(folder: Folder) -> None:
    module = folder.load("def f(): return 1\n\ndef g(): return 1\n")
    folder.write("# Moved down.\ndef f(): return 2\n\ndef g(): return 1\n")
    changed, same = look_at_function(module.f), look_at_function(module.g)
    folder.forget()
    after = look_at_function(folder.load().f)

    assert "was changed after it was read" in changed.remarks[0]
    assert "mine.py:1" in changed.remarks[0]
    assert same.remarks == ()
    assert changed.fingerprint != after.fingerprint


def test_a_source_that_vanished_leaves_the_code(folder: Folder) -> None:
    module = folder.load("def f(): return 1\n\ndef g(): return 2\n")
    (folder.path / "mine.py").unlink()
    linecache.clearcache()
    one, two = look_at_function(module.f), look_at_function(module.g)

    assert one.fingerprint != two.fingerprint
    assert "is gone" in one.remarks[0]


def test_a_class_whose_file_was_changed_counts_as_it_was_imported(folder: Folder) -> None:
    text = "class C:\n    limit = 1\n    def m(self): return 3\n\ndef f(): return C()\n"
    for old, new in (("limit = 1", "limit = 2"), ("return 3", "return 4")):
        module = folder.load(text)
        folder.write(text.replace(old, new))
        before = look_at_function(module.f).fingerprint
        folder.forget()

        assert before != look_at_function(folder.load().f).fingerprint


def test_two_functions_of_one_name_are_not_mistaken_for_each_other(folder: Folder) -> None:
    text = "def f(): return 1\ng = f\ndef f(): return 2\n"
    module = folder.load(text)

    assert explain_function(module.g).parts[0].text == "def f(): return 1\n"
    assert explain_function(module.f).parts[0].text == "def f(): return 2\n"


def test_cells_of_a_notebook_have_a_source() -> None:
    source = "def f():\n    '''Doc.'''\n    return 1\n"
    name = "<ipython-input-1-abc>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(source, name, "exec"), names)
        found = explain_function(names["f"])
    finally:
        del linecache.cache[name]

    assert found.parts[0].text == source


def test_code_without_a_source_is_followed_by_all_its_names(folder: Folder) -> None:
    text = """
    import helping
    LIMIT = 1
    def g(): return LIMIT
    exec("def f():\\n    from late import h\\n    return g() + helping.k() + h()")
    """
    folder.write("def h(): return 5\n", "late.py")
    found = []
    for limit, number, late in ((1, 1, 5), (2, 1, 5), (1, 2, 5), (1, 1, 6)):
        folder.write(f"def k(): return {number}\n", "helping.py")
        folder.write(f"def h(): return {late}\n", "late.py")
        found.append(folder.fingerprint(text.replace("LIMIT = 1", f"LIMIT = {limit}")))

    assert len(set(found)) == 4


# ---- how far


CIRCLE = """
def f(n): return g(n) if n else STEP
def g(n): return h(n - 1)
def h(n): return f(n) + LAST
TABLE = {"f": f, "g": [g]}
STEP = 1
LAST = 2
"""


@pytest.mark.parametrize(("old", "new"), [("STEP = 1", "STEP = 2"), ("LAST = 2", "LAST = 3"), ("n - 1", "n - 2")])
def test_circles_of_functions_are_followed_all_around(folder: Folder, old: str, new: str) -> None:
    assert differ(folder, CIRCLE, old, new)


def test_a_long_chain_and_a_dense_net_of_functions_end(folder: Folder) -> None:
    chain = "\n".join(f"def f{n}(): return f{n + 1}()" for n in range(3000)) + "\ndef f3000(): return 1\nf = f0\n"
    names = [f"f{number}" for number in range(60)]
    net = "\n".join(f"def {name}(): return {', '.join(names)}" for name in names) + "\nLAST = 1\nf = f0\n"

    assert differ(folder, chain, "return 1\n", "return 2\n")
    assert not differ(folder, net, "LAST = 1", "LAST = 2")


@pytest.mark.parametrize(
    "text",
    [
        "def f(): return [ONE for x in range(3)]",
        "def f(): return lambda: (lambda: ONE)",
        "x = ONE\nfor _ in range(400): x = [x]\ndef f(): return x",
        "def f(): return ONE, lambda: (ONE := 2)",
        "def f(): return [ONE for ONE in ONE]",
        "def f(): return [1 for x in range(3) if ONE]",
        "def f(): return [y for x in range(3) for y in ONE]",
        "def f(): return {ONE['a']: x for x in range(3)}",
        "def f():\n    def g(x=ONE): return x\n    return g",
        "def f():\n    def g(*, x=ONE): return x\n    return g",
        "def f():\n    @ONE.get\n    class C: pass",
        "def f():\n    class C(ONE): pass",
        "def f():\n    class C(metaclass=ONE): pass",
        "def f():\n    class C:\n        ONE = 2\n        def m(self): return ONE\n    return C",
        "async def f(): return [x async for x in ONE]",
        "def f():\n    def g():\n        yield ONE\n    return g",
        "def f():\n    class C:\n        x = ONE\n    return C",
        "def f(): return f'{ONE}'",
        "def f(ONE2=1): return [ONE for ONE2 in range(3)]",
        "def f(): return [x for x in range(3)], {x: x for x in ONE}",
        "def f():\n    [ONE := 2 for x in ()]\n\ndef g(): return ONE\nf = g",
        "def g(): return ONE\ndef f(): return [g]",
        "def g(): return ONE\nHANDLERS = {'a': [g]}\ndef f(name): return HANDLERS[name]",
        "def g(): return ONE\nHANDLERS = {g}\ndef f(name): return HANDLERS",
        "import functools\n@functools.cache\ndef g(): return ONE\ndef f(): return g()",
        "import contextlib\n@contextlib.contextmanager\ndef g(): yield ONE\ndef f(): return g()",
        "class C:\n    def m(self): return ONE\ndef f(): return C().m()",
        "class C:\n    @property\n    def m(self): return ONE\ndef f(): return C().m",
        "class C:\n    @staticmethod\n    def m(): return ONE\ndef f(): return C.m()",
        "class C:\n    def __call__(self): return ONE\nf = C.__call__",
        "class C:\n    x = ONE\ndef f(): return C.x",
        "class B:\n    x = 2\nclass C(B):\n    x = ONE\ndef f(): return C.x",
        "class C:\n    x = ONE\n    @classmethod\n    def m(cls): return cls.x\ndef f(): return C.m()",
        "class D:\n    def __get__(self, one, kind): return kind.y\nclass C:\n    x, y = D(), ONE\ndef f(): return C.x",
        "class C: m = sys.modules[__name__]\ndef f(): return C.m.ONE",
        "class D(dict):\n    def __getitem__(self, key): raise ValueError(ONE)\nd = D(a=1)\ndef f(): return d['a']",
        "import argparse\nargs = argparse.Namespace(one=ONE)\ndef f(): return args.__dict__",
        "class C:\n    ONE = ONE\ndef f(): return C",
        "def f():\n    class C:\n        x = ONE\n        ONE = 2\n    return C",
        "def f():\n    class C:\n        ONE = ONE\n    return C",
        "class B:\n    def m(self): return ONE\nclass C(B): pass\ndef f(): return C",
        "class M(type):\n    def m(self): return ONE\nclass C(metaclass=M): pass\ndef f(): return C",
        "import dataclasses\n@dataclasses.dataclass\nclass C:\n    x: int = 1\n    def m(self): return ONE\n"
        "c = C()\ndef f(): return c.m()",
        "import enum\nclass C(enum.Enum):\n    A = 1\n    def m(self): return ONE\ndef f(): return C.A.m()",
        "def outer():\n    def g(): return ONE\n    return lambda: g()\nf = outer()",
        "def deco(g):\n    print(ONE)\n    return g\n@deco\ndef f(): return 1",
        "def f(x):\n    match x:\n        case {'a': b, **rest}: return b, rest, ONE",
        "def f(x):\n    try: pass\n    except ValueError as e: return ONE",
        "import argparse\nargs = argparse.Namespace(one=ONE)\ndef f(): return args.one",
    ],
)
def test_a_global_is_seen_wherever_it_is_used(folder: Folder, text: str) -> None:
    text = "import sys\nONE = {'a': 1}\n" + text

    assert differ(folder, text, "{'a': 1}", "{'a': 2}")


@pytest.mark.parametrize(
    "text",
    [
        "def f(ONE): return ONE",
        "def f():\n    ONE = 2\n    return ONE",
        "def f():\n    for ONE in range(3): pass",
        "def f():\n    try: pass\n    except ValueError as ONE: return ONE",
        "def f(x):\n    match x:\n        case [1, *ONE]: return ONE",
        "def f(x):\n    match x:\n        case {'a': 1, **ONE}: return ONE",
        "def f(x):\n    match x:\n        case int() as ONE: return ONE",
        "def f(x):\n    match x:\n        case ONE: return ONE",
        "def f(): return [ONE for ONE in range(3)]",
        "def f():\n    with open('a') as ONE: return ONE",
        "def f():\n    import json as ONE\n    return ONE",
        "def f(x: ONE) -> ONE: return x",
        "class C:\n    size = 1\n    other = ONE\ndef f(): return C.size",
        "import argparse\nargs = argparse.Namespace(one=ONE, two=2)\ndef f(): return args.two",
        "import argparse\nargs = argparse.Namespace(one=ONE, two=2)\ndef f(): return args.three",
        "ONE['b'] = {2: 3}\ndef f(): return ONE['b'][2], ONE['c']",
    ],
)
def test_what_only_has_the_name_does_not_count(folder: Folder, text: str) -> None:
    text = "ONE = {'a': 1}\n" + text

    assert not differ(folder, text, "{'a': 1}", "{'a': 2}")


@pytest.mark.parametrize(
    "text",
    [
        "def f(): return ONE['b']['c']",
        "def f(): return ONE['b'].get('c')",
        "def f(): return ONE['b']",
        "def f(): return ONE.get('b')",
        "def f(x): return ONE[x]['c']",
        "def f(x): return ONE['b'][x]",
        "from types import SimpleNamespace\nN = SimpleNamespace(one=ONE)\ndef f(): return N.one['b']",
        "class C:\n    one = ONE\ndef f(): return C.one['b']['c']",
    ],
)
def test_of_a_dict_the_entries_that_are_named_count(folder: Folder, text: str) -> None:
    text = "ONE = {'b': {'c': 1}}\n" + text

    assert differ(folder, text, "{'c': 1}", "{'c': 2}")


def test_an_entry_that_comes_or_goes_counts(folder: Folder) -> None:
    text = "ONE = {'b': 1}\ndef f(): return ONE['b'] if 'b' else 2"

    assert differ(folder, text, "ONE = {'b': 1}", "ONE = {}")
    assert differ(folder, text, "ONE = {'b': 1}", "import collections\nONE = collections.defaultdict(int)")


CHANGING = [
    "def f():\n    global ONE\n    ONE = 3",
    "def f(): ONE['a'] = 3",
    "def f(): ONE['a']: int = 3",
    "def f():\n    class C:\n        global ONE\n        ONE = 3",
    "def f(): ONE[1][2].append(3)",
    "def f(): ONE['b', 1]['c'] += 3",
    "def f(): return ONE.setdefault('a', 3)",
    "def f(): del ONE['a']",
    "def f(): ONE['a'] += 1\ndef g(): return f(), ONE['a']",
    "def f():\n    ONE['b'] = 3\n    return ONE['a']",
    "def f():\n    global ONE, LATE\n    ONE = LATE = 3\n    return LATE",
    "def g(): ONE.clear()\ndef f(): return g(), ONE",
    "def g(): ONE.clear()\ndef f(): return ONE, g()",
]


@pytest.mark.parametrize("text", CHANGING)
def test_what_functions_change_themselves_counts_as_it_is_at_first(folder: Folder, text: str) -> None:
    module = folder.load("ONE, TWO = {'a': int(1)}, 2\n" + text)
    before = look_at_function(module.f)
    module.ONE["a"] = 5
    module.ONE = {"a": 7}
    module.LATE = 7

    assert look_at_function(module.f) == before
    assert differ(folder, "ONE, TWO = {'a': int(1)}, 2\n" + text, "int(1)", "int(2)")
    assert differ(folder, "START = 1\nONE = {'a': START}\n" + text, "START = 1", "START = 2")
    assert not differ(folder, "START = 1\nONE = {'a': 1}\n" + text, "START = 1", "START = 2")


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("def f():\n    N.a = 2\n    return N.a, N.b", "N.a = 5"),
        ("def f():\n    N.a = 2\n    return N.a, N.b", "del N.a"),
        ("class C: n = 1\ndef f():\n    C.n = N.a\n    return C()", "C.n = 5"),
        ("exec('class C: n = 1')\ndef f():\n    C.n = N.a\n    return C()", "C.n = 5"),
        ("def f():\n    global N\n    N = 1\n    return N.b", "N.b = 5"),
    ],
)
def test_attributes_that_functions_change_count_as_they_are_at_first(folder: Folder, text: str, change: str) -> None:
    text = "from types import SimpleNamespace\nN = SimpleNamespace(a=1, b=2)\n" + text
    module = folder.load(text)
    before = look_at_function(module.f)
    exec(change, vars(module))

    assert look_at_function(module.f) == before
    assert differ(folder, text, "a=1", "a=3")


@pytest.mark.parametrize(
    "text",
    [
        "import helping\ndef f(): return helping.add(1)",
        "import helping\ndef f(): return helping.Box.add(1)",
        "import helping\ndef f(): return helping.box.add(1)",
        "import helping\ndef f(): helping.box.size = 1",
        "from helping import add, sort\ndef f(): return sort.add(add(1))",
        "from helping import Box\ndef f(): return Box.add(1)",
        "from helping import box\ndef f(): return box.add(1)",
        "from helping import box\ndef f():\n    box.size = 1\n    return box",
        "def f():\n    global helping\n    import helping\n    return helping.add(1)",
        "def f():\n    import helping as h\n    def g():\n        nonlocal h\n        h = h.add(1)\n    return g",
        "import helping\ndef f():\n    helping.box = None\n    return helping.box",
    ],
)
def test_what_only_has_a_method_of_a_list_is_none(folder: Folder, text: str) -> None:
    helping = "class Box:\n    @classmethod\n    def add(cls, x): return x + 1\nbox = Box()\nadd = sort = Box.add\n"
    folder.write(helping, "helping.py")
    before = folder.seen(text).fingerprint
    folder.write(helping.replace("x + 1", "x + 2"), "helping.py")

    assert folder.seen(text).fingerprint != before


@pytest.mark.parametrize(
    "text",
    [
        "ONE = {}\ndef f(): ONE['a'] = 1",
        "from helping import ONE\ndef f(): ONE['a'] = 1",
        "import helping\ndef f(): helping.ONE['a'] = 1",
        "import helping as h\nclass C:\n    one = h.ONE\ndef f(): C.one.update(a=1)",
        "class C:\n    one = {}\ndef f(): C.one.update(a=1)",
        "from types import SimpleNamespace\nN = SimpleNamespace(one={})\ndef f():\n    N.one = [N.one]",
        "if True:\n    ONE = {}\ndef f(): ONE['a'] = 1",
        "try:\n    ONE\nexcept NameError:\n    with open(__file__):\n        ONE = {}\ndef f(): ONE['a'] = 1",
        "ONE: dict = {}\ndef f(): ONE['a'] = 1",
        "ONE = []\nONE += {}\ndef f(): ONE.append(1)",
        "ONE = {1: 1}\nONE['b'] = {}\ndef f(): ONE['a'] = 1",
        "ONE = {1: 1}\nONE.update({})\ndef f(): ONE['a'] = 1",
        "def one(): return {}\ndef f():\n    global one\n    one = lambda: 1",
    ],
)
def test_how_it_begins_is_found_wherever_it_is_written(folder: Folder, text: str) -> None:
    folder.write("ONE = {}\n", "helping.py")
    before = folder.fingerprint(text)
    folder.write("ONE = {5: 6}\n", "helping.py")

    assert folder.fingerprint(text.replace("{}", "{5: 6}")) != before


@pytest.mark.parametrize(
    "text",
    [
        "ONE, TWO = {}, sys.now\ndef f(): ONE['a'] = 1",
        "ONE = {}\nfor name in [sys.now]: ONE[name] = name\ndef f(): ONE['a'] = 1",
        "ONE = {}\ndef fill(): ONE['b'] = sys.now\nfill()\ndef f(): ONE['a'] = 1",
    ],
)
def test_what_else_is_assigned_beside_it_or_filled_in_does_not_count(folder: Folder, text: str) -> None:
    text = "import sys\nsys.now = getattr(sys, 'now', 0) + 1\n" + text

    assert folder.fingerprint(text) == folder.fingerprint(text)


def test_what_is_assigned_beside_a_notebook_counts_where_it_is_used(folder: Folder) -> None:
    text = "import sys\nONE, TWO = {}, sys.two\ndef f():\n    ONE['a'] = TWO"
    found = []
    for sys.two in (1, 2):  # type: ignore[attr-defined]
        found.append(folder.fingerprint(text))

    assert found[0] != found[1]


def test_what_is_evaluated_where_a_notebook_begins_is_told(folder: Folder) -> None:
    seen = folder.seen("ONE = eval('{}')\ndef f(): ONE['a'] = 1")

    assert seen.unwatched == ("what eval() leads to in 'ONE'",)


@pytest.mark.parametrize("name", ["limit", "_limit", "__limit", "_limit: int", "(_limit, other)"])
def test_computed_constants_of_classes_count_also_where_they_are_hidden(folder: Folder, name: str) -> None:
    text = f"class C:\n    {name} = divmod(len(sys.found), 5)\n    def add(self): return 1\ndef f(): return C.add(1)"
    found = []
    for sys.found in ([], [1]):  # type: ignore[attr-defined]
        found.append(folder.fingerprint("import sys\n" + text))

    assert found[0] != found[1]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    class C:\n        ONE = 3\n    return ONE",
        "def f():\n    class C:\n        for ONE in (): pass\n    return ONE",
        "def f():\n    ONE = []\n    ONE.append(1)\n    ONE[0] = 2\n    return g()\ndef g(): return ONE",
        "def f(ONE):\n    del ONE[0]\n    return g()\ndef g(): return ONE",
        "import math as m\ndef f():\n    for m.x in (): pass\n    return ONE",
    ],
)
def test_what_is_changed_under_the_same_name_is_not_the_global_variable(folder: Folder, text: str) -> None:
    found = []
    for sys.found in ([], [1]):  # type: ignore[attr-defined]
        found.append(folder.fingerprint("import sys\nONE = len(sys.found)\n" + text))

    assert found[0] != found[1]


def test_names_that_a_module_or_a_metaclass_makes_up_are_followed(folder: Folder) -> None:
    made_up = "def __getattr__(name):\n    if name.startswith('_'): raise AttributeError(name)\n    return 1\n"
    folder.write(made_up, "helping.py")
    text = "import helping\nclass M(type):\n    def __getattr__(cls, name): return 3\nclass C(metaclass=M): pass\n"
    text += "def f(): return helping.X, C.x"
    before = folder.fingerprint(text)
    folder.write(made_up.replace("return 1", "return 2"), "helping.py")

    assert folder.fingerprint(text) != before
    assert differ(folder, text, "return 3", "return 4")


def test_a_counter_in_a_class_and_in_a_module_of_ones_own_does_not_count(folder: Folder) -> None:
    class_text = "class C:\n    made, seen = 0, []\n    def __init__(self): C.made += 1\n{}\ndef f(): return C()\n"
    folder.write("COUNT = 0\nSEEN = []\n", "helping.py")
    module_text = """
    import helping
    def f():
        helping.SEEN.append(1)
        helping.COUNT += 1
    {}
    """

    assert not differ(folder, class_text, "{}", "C(), C()")
    assert not differ(folder, class_text.replace("C.made += 1", "self.seen.append(1)"), "{}", "C.seen.append(2)")
    assert not differ(folder, textwrap.dedent(module_text), "{}", "f()")


def test_packages_are_not_followed_and_go_by_their_names(folder: Folder) -> None:
    numpy = pytest.importorskip("numpy")
    text = "import numpy\nimport json\nfrom json import dumps as one\ndef f(): return numpy.sum(1), json.dumps, one"

    assert folder.seen(text).unwatched == ()
    assert differ(folder, text, "import dumps", "import loads")
    assert origin_of(numpy.__file__) is Origin.LIBRARY
    assert origin_of(ppg.__file__) is Origin.PIPEGRAPH
    assert origin_of(str(folder.path / "mine.py")) is origin_of("<stdin>") is Origin.SCRIPT


def test_modules_in_packages_of_ones_own_are_followed(folder: Folder) -> None:
    text = "import tools.deep.inner as i\nimport tools\ndef f(): return i.a(), tools.deep.inner.b()\n"
    folder.write("", "tools/__init__.py")
    found = []
    for numbers in ((1, 2), (3, 2), (1, 3)):
        folder.write("def a(): return {}\ndef b(): return {}".format(*numbers), "tools/deep/inner.py")
        found.append(folder.fingerprint(text))

    assert len(set(found)) == 3


IMPORTING = """
def f():
    {}
"""
INNER = "import json\nfrom .other import deep\nX = 1\n\ndef used(): return deep(X)\n\ndef unused(): return 0\n"
OTHER = "Y = 2\n\ndef deep(x): return x + Y\n\ndef shallow(): return 5\n"


@pytest.mark.parametrize(
    "statement",
    [
        "from tools.inner import used; used()",
        "import tools.inner; tools.inner.used()",
        "import tools.inner as t; t.used()",
        "from tools import inner; inner.used()",
        "from tools.inner import used as u; return lambda: u()",
        "from tools import used; used()",
        "from tools.all import used; used()",
    ],
)
def test_imports_inside_of_a_function_are_followed_without_importing(folder: Folder, statement: str) -> None:
    text = IMPORTING.replace("{}", statement)
    folder.write("from .inner import used\n", "tools/__init__.py")
    folder.write("from tools.inner import *\n", "tools/all.py")
    folder.write(INNER, "tools/inner.py")
    folder.write(OTHER, "tools/other.py")
    base = folder.fingerprint(text)
    is_loaded = "tools" in sys.modules
    importlib.import_module("tools.inner")
    loaded = look_at_function(sys.modules["mine"].f).fingerprint
    changed = {}
    for name, source, old, new in (
        ("inner", INNER, "X = 1", "X = 2"),
        ("inner", INNER, "return 0", "return 1"),
        ("other", OTHER, "Y = 2", "Y = 3"),
        ("other", OTHER, "return 5", "return 6"),
    ):
        folder.write(source.replace(old, new), f"tools/{name}.py")
        changed[old] = folder.fingerprint(text) != base
        folder.write(source, f"tools/{name}.py")

    assert not is_loaded
    assert loaded == base
    assert changed == {"X = 1": True, "return 0": False, "Y = 2": True, "return 5": False}


# ---- what can't be followed


def test_what_is_imported_and_not_used_does_not_count(folder: Folder) -> None:
    text = "def f():\n    import helping\n    return 1\n"
    folder.write("X = 1\n", "helping.py")
    before = folder.fingerprint(text)
    folder.write("X = 2\n", "helping.py")

    assert folder.fingerprint(text) == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = object()\ndef f(): return x", "global variable 'x' (builtins.object)"),
        ("x = open(__file__)\ndef f(): return x", "global variable 'x' (_io.TextIOWrapper)"),
        ("import helping\ndef f(): return getattr(helping, 'x')", "module 'helping', which is not used by the names"),
        ("import helping\ndef f(): return helping.__dict__", "module 'helping', which is not used by the names in it"),
        ("def f(): return eval('x')", "what eval() leads to in 'f'"),
        ("import importlib\ndef f(n): importlib.import_module(n)", "what importlib.import_module() leads to in 'f'"),
        ("x = list(range(200_000))\ndef f(): return x", "global variable 'x' (builtins.list: 200000 elements"),
        (
            "def g():\n    x = 'x' * (65 << 20)\n    return lambda: x\nf = g()",
            "closure variable 'x' (builtins.str: more",
        ),
        ("def f(x=[[0] * 60_000] + [[1] * 60_000]): return x", "default of 'x' (builtins.list: more than 100000"),
        ("class C: pass\nx = C()\ndef f(): return x.y", "global variable 'x' (mine.C)"),
    ],
)
def test_what_cannot_be_followed_is_told(folder: Folder, text: str, told: str) -> None:
    folder.write("x = 1\n", "helping.py")
    seen = folder.seen(text)
    stream = getattr(sys.modules["mine"], "x", None)
    if hasattr(stream, "close"):
        stream.close()

    assert len(seen.unwatched) == 1
    assert seen.unwatched[0].startswith(told)
    assert not re.search("0x[0-9a-f]{6}", seen.unwatched[0])


def test_large_arrays_are_bounded_and_smaller_ones_are_read(folder: Folder) -> None:
    pytest.importorskip("numpy")
    text = "import numpy\nx = numpy.zeros({}, dtype='u1')\ndef f(): return x"

    assert "more than 64 MiB" in folder.seen(text.replace("{}", str((64 << 20) + 1))).unwatched[0]
    assert differ(folder, text.replace("{}", "1000"), "zeros", "ones")


def test_a_list_that_contains_itself_and_objects_in_sets_end(folder: Folder) -> None:
    text = "x = [1]\nx.append(x)\nclass C:\n    def m(self): return s\ns = {C(), C.m}\ndef f(): return x, s\n"

    assert folder.seen(text) == folder.seen(text)
    assert differ(folder, "x = [1]\nx.append(x)\ndef f(): return x\n", "[1]", "[2]")


# ---- knobs


def test_follow_says_how_far(folder: Folder) -> None:
    text = "def g(): return 1\n\ndef h(): return 2\n\ndef f(x=3): return g() + h() + 4\n"

    def changes(follow: Callable[[ModuleType], Any]) -> list[bool]:
        found = []
        for old in "1234":
            pair = []
            for new in (old, "99"):
                module = folder.load(text.replace(old, new))
                pair.append(look_at_function(module.f, follow(module)).fingerprint)
            found.append(pair[0] != pair[1])
        return found

    assert changes(lambda module: True) == [True, True, True, True]
    assert changes(lambda module: False) == [False, False, True, True]
    assert changes(lambda module: (module.g,)) == [True, False, True, True]


def test_a_fingerprint_for_a_parameter_is_of_the_code_alone(folder: Folder) -> None:
    module = folder.load("x = object()\ndef f(): return x\n")

    assert fingerprint_function(module.f)[1] == ()


# ---- for people


def test_a_description_has_the_text_of_all_that_counts(folder: Folder) -> None:
    folder.write("def k(): return 1\n", "late.py")
    text = """
    LIMIT = 10

    class C:
        # Kept.
        def m(self): return 1

    def g():
        return LIMIT

    def make(size):
        def f(x=2):
            from late import k
            return g(), C(), k()
        return f

    f = make(5)
    """
    module = folder.load(text)
    found = list(explain_function(module.f).all_parts())
    texts = {part.name: part.text for part in found}

    assert texts["mine.g"] == "def g():\n    return LIMIT\n"
    assert texts["mine.C"] == "class C:\n    # Kept.\n    def m(self): return 1\n"
    assert texts["global variable 'LIMIT'"] == "10"
    assert texts["default of 'x'"] == "2"
    assert texts["late.k"] == "def k(): return 1\n"
    assert texts["mine.make.<locals>.f"].startswith("def f(x=2):\n    from late")
    assert len(texts) == len(found)


def test_only_what_was_edited_is_a_change_and_a_diff_shows_it(folder: Folder) -> None:
    text = """
    SIZES = {"small": [1, 2], "large": (5,)}
    LIMIT = 1

    def third():
        # Of no interest.
        first = 1
        return first + LIMIT

    def second():
        return third()

    def f():
        return second(), SIZES
    """
    edited = text.replace("return first", "return 2 * first").replace("Of no interest", "Of some")
    edited = edited.replace("[1, 2]", "[1, 3]").replace("def second():", "def second():  # Same.")
    before, now = (explain_function(folder.load(each).f) for each in (text, edited))
    changes = changes_between(before, now)

    assert {change.name for change in changes} == {"mine.third", "global variable 'SIZES'['small'][1]"}
    shown = {change.name: change.lines(0) for change in changes}
    assert shown["global variable 'SIZES'['small'][1]"] == ["global variable 'SIZES'['small'][1]: 2 -> 3"]
    assert shown["mine.third"][-2:] == ["-    return first + LIMIT", "+    return 2 * first + LIMIT"]


def test_explanations_are_shared_and_the_same_when_they_come_back(folder: Folder) -> None:
    text = """
    class Thing:
        def total(self): return 1
    def helper(): return Thing().total() + 1000
    def make(number):
        def callback(): return helper(), number
        return callback
    """
    module = folder.load(text)
    followed = Followed()
    explained = [explain_function(module.make(number), True, followed) for number in range(3)]
    kept = [packed(each) for each in explained]
    texts = {key: text for _, texts in kept for key, text in texts.items()}
    back = [unpacked(payload, texts.get) for payload, _ in kept]

    assert back == explained
    assert len({payload for payload, _ in kept}) == 3
    assert max(len(payload) for payload, _ in kept) < 250
    assert changes_between(back[0], back[2]) == (Change("closure variable 'number'", "0", "2"),)
    assert unpacked("nonsense", texts.get) is None
    assert unpacked(None, texts.get) is None
    assert changes_between(None, back[0]) == ()


@pytest.mark.parametrize(
    ("before", "now", "name"),
    [
        ("{'a': {'b': [1, 2]}}", "{'a': {'b': [1, 3]}}", "['a']['b'][1]: 2 -> 3"),
        ("{'a': 1}", "{'a': 1.0}", "['a']: 1 -> 1.0"),
        ("{'a': 1}", "{'a': 1, 'c': None}", "['c']: None is new"),
        ("{'a': 'x' * 5000 + 'y'}", "{'a': 'x' * 5000 + 'z'}", "['a']: 'xxx"),
        ("list(range(1000))", "[*range(999), 7]", ": [0, 1"),
        ("{1, 2}", "{1, 3}", ": {1, 2} -> {1, 3}"),
        ("{'a': []}", "{'a': [1]}", "['a']: [] is gone"),
    ],
)
def test_a_value_that_changed_is_shown_by_the_path_to_it(folder: Folder, before: str, now: str, name: str) -> None:
    found = [explain_function(folder.load(f"ONE = {each}\ndef f(): return ONE").f) for each in (before, now)]
    lines = [line for change in changes_between(*found) for line in change.lines()]

    assert any(line.startswith("global variable 'ONE'" + name) for line in lines), lines


# ---- in runs


def test_editing_a_helping_function_remakes_what_used_it_and_only_that(script) -> None:  # type: ignore[no-untyped-def]
    text = """
    from helping import shape
    ppg.new_pipegraph(quiet=True)
    def other(): return "o"
    ppg.FileGeneratingJob("one.txt", lambda output: output.write_text(shape()))
    ppg.FileGeneratingJob("two.txt", lambda output: output.write_text(other()))
    three = ppg.FileGeneratingJob("three.txt", lambda output: output.write_text(shape())).watch_code(follow=False)
    ppg.run_pipegraph()
    """
    helping = script.folder / "helping.py"
    helping.write_text("def shape(): return 'round'\n")
    script.run(text)
    helping.write_text("# A comment.\ndef shape(): return 'round'\n")
    script.run()
    nothing = script.started
    helping.write_text("def shape(): return 'square, with corners'\n")
    script.run()

    assert nothing == []
    assert script.started == ["one.txt"]
    assert script.lines("one.txt") == ["square, with corners"]


def test_lists_and_counters_that_the_script_fills_are_no_reason(script) -> None:  # type: ignore[no-untyped-def]
    text = """
    ppg.new_pipegraph(quiet=True)
    CACHE, MADE, count = {}, [], 0
    def numbered(name):
        global count
        count += 1
        CACHE[name] = os.getpid()
        return f"{name}"
    def write(output):
        output.write_text(numbered(output.name))
    for name in NAMES:
        MADE.append(ppg.FileGeneratingJob(numbered(name), write))
    ppg.run_pipegraph()
    """
    script.run(text.replace("NAMES", "['aaa', 'bbb']"))
    script.run(text.replace("NAMES", "['aaa', 'bbb', 'ccc']"))

    assert script.started == ["ccc"]


def test_what_was_loaded_or_not_is_no_reason_for_jobs_that_a_generator_declares(script) -> None:  # type: ignore[no-untyped-def]
    """The generator runs in a fork of what was loaded in the first run, and of nothing in the second."""
    text = """
    ppg.new_pipegraph(quiet=True)
    DATA, LOADED = {}, type("Loaded", (), {})
    def fill(): DATA["a"] = [1, 2, 3]
    def load():
        global WHOLE
        WHOLE = [4, 5]
        fill()
    loads = ppg.DataLoadingJob("loads", load)
    attribute = ppg.AttributeLoadingJob("attribute", LOADED, "value", lambda: [6])
    first = ppg.FileGeneratingJob("first.txt", lambda output: output.write_text(str(DATA)))
    first.depends_on(loads, attribute)
    def declare():
        def write(output): output.write_text(f"{DATA} {WHOLE} {LOADED.value}")
        ppg.FileGeneratingJob("late.txt", write).depends_on(loads, attribute)
    ppg.JobGeneratingJob("declares", declare).depends_on(first)
    ppg.run_pipegraph()
    """
    script.run(text)
    first = script.started
    script.run()

    assert script.lines("late.txt") == ["{'a': [1, 2, 3]} [4, 5] [6]"]
    assert "late.txt" in first
    assert script.started == ["declares"]


def test_a_second_run_in_one_process_sees_what_was_redefined(graph) -> None:  # type: ignore[no-untyped-def]
    names: dict[str, Any] = {"__name__": "__main__", "ppg": ppg, "LIMIT": 1, "RUNS": "runs.txt"}
    exec(
        "def helper(): return LIMIT\n"
        "def write(output):\n"
        "    open(RUNS, 'a').write('x')\n"
        "    output.write_text(str(helper()))\n"
        "job = ppg.FileGeneratingJob('out.txt', write)",
        names,
    )
    for change, text in (
        ("pass", "1"),
        ("pass", "1"),
        ("LIMIT = 2", "2"),
        ("def helper(): return 'three'", "three"),
        ("pass", "three"),
    ):
        exec(change, names)
        ppg.run_pipegraph()
        assert Path("out.txt").read_text() == text

    assert Path("runs.txt").read_text() == "xxx"


def test_two_modules_that_both_define_plot_are_two_functions(graph, folder: Folder) -> None:  # type: ignore[no-untyped-def]
    for name, number in (("one", 1), ("two", 2), ("three", 2)):
        folder.write(f"def shape(): return {number}\ndef plot(output): output.write_text(str(shape()))\n", f"{name}.py")
    one, two, three = (importlib.import_module(name).plot for name in ("one", "two", "three"))
    ppg.FileGeneratingJob("two.txt", two)

    assert ppg.FileGeneratingJob("two.txt", three)
    with pytest.raises(ppg.JobContractError, match="another callback"):
        ppg.FileGeneratingJob("two.txt", one)


def test_jobs_count_by_their_ids(graph) -> None:  # type: ignore[no-untyped-def]
    jobs = [ppg.FileGeneratingJob(f"{name}.txt", lambda output: None) for name in ("aaa", "bbb")]

    def using(*given: object) -> str:
        names: dict[str, Any] = {"given": list(given)}
        exec("def f(): return given", names)
        seen = look_at_function(names["f"])
        assert seen.unwatched == ()
        return seen.fingerprint

    assert using(jobs[0]) == using(jobs[0]) != using(jobs[1])


def test_what_the_document_shows_runs(script) -> None:  # type: ignore[no-untyped-def]
    document = (Path(__file__).parent.parent / "docs" / "functions.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", document)
    for block in blocks:
        script.run(textwrap.dedent(block))

    assert len(blocks) == 2
    assert script.lines("title_3.txt") == ["Of mice"]


# ---- the API


def test_what_follow_may_be_is_checked(graph) -> None:  # type: ignore[no-untyped-def]
    job = ppg.FileGeneratingJob("out.txt", lambda output: None)

    assert job.watch_code(follow=len) is job
    with pytest.raises(TypeError, match=r"test_following\.py"):
        job.watch_code(follow=[3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="follow must be"):
        ppg.FunctionInvariant("name", len, follow=["a"])  # type: ignore[list-item]


def test_a_package_counts_by_its_version(graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(tmp_path))
    information = tmp_path / "Some_Tools-1.0.dist-info"
    information.mkdir()
    (information / "top_level.txt").write_text("sometools\n")
    (information / "RECORD").write_text("sometools.py,,\n")

    def version(number: str, name: str) -> str | None:
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Some-Tools\nVersion: {number}\n")
        importlib.invalidate_caches()
        ppg.new_pipegraph(quiet=True)
        job = ppg.FileGeneratingJob("out.txt", lambda output: None)
        (invariant,) = job.depends_on_package(name)
        assert invariant.job_id in job.input_ids
        return next(iter(invariant.specs())).fingerprint

    assert version("1.0", "some.tools") == version("1.0", "sometools") != version("1.1", "Some-Tools")


def test_a_package_that_is_not_installed_is_an_error_with_its_place(graph) -> None:  # type: ignore[no-untyped-def]
    job = ppg.FileGeneratingJob("out.txt", lambda output: None)

    with pytest.raises(ppg.JobContractError, match=r"not installed[\s\S]*test_following.py:\d+"):
        job.depends_on_package("no-such-package-at-all")


def test_a_source_is_parsed_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    made = sources.Source

    @functools.wraps(made)
    def counted(raw: bytes, filename: str) -> sources.Source:
        parsed.append(filename)
        return made(raw, filename)

    module = folder.load("\n".join(f"def f{number}(): return {number}" for number in range(20)))
    monkeypatch.setattr(sources, "source_at", sources.source_at)
    before = len(sources._sources)
    for number in range(20):
        look_at_function(getattr(module, f"f{number}"))

    assert len(sources._sources) == before + 1


def test_what_is_not_watched_is_said_once_with_the_variable_and_the_mend(script) -> None:  # type: ignore[no-untyped-def]
    text = """
    ppg.new_pipegraph()
    class Model: pass
    model = Model()
    for name in ("one.txt", "two.txt"):
        ppg.FileGeneratingJob(name, lambda output: output.write_text(str(type(model))))
    def declare():
        ppg.FileGeneratingJob("late.txt", lambda output: output.write_text(str(sys.stderr) + str(type(model))))
    ppg.JobGeneratingJob("declares", declare)
    ppg.run_pipegraph()
    """
    told = script.run(text)

    assert told.count("not watched: global variable 'model' (__main__.Model)") == 1
    assert told.count("depends_on_params") == 1
    assert "one.txt (script.py:8)" in told


def test_a_function_that_uses_another_one_of_its_own_making_sees_what_that_closes_over(folder: Folder) -> None:
    """What functions of one code use is found once for all of them, whichever comes first."""
    text = "def make(n):\n    def f(): return g, n\n    return f\ng = make(1)\nf = make(3)\n"
    found = []
    for number in "12":
        module = folder.load(text.replace("make(1)", f"make({number})"))
        followed = Followed()
        look_at_function(module.g, True, followed)
        found.append(look_at_function(module.f, True, followed).fingerprint)

    assert found[0] != found[1]


def test_a_module_of_ones_own_may_have_the_name_of_one_of_the_standard_librarys(folder: Folder) -> None:
    name = next(name for name in ("this", "antigravity", "turtledemo") if name not in sys.modules)
    folder.write("X = 1\n", f"{name}.py")
    texts = (f"import {name}\ndef f(): return {name}.X\n", f"def f():\n    import {name}\n    return {name}.X\n")
    before = [folder.fingerprint(text) for text in texts]
    folder.write("X = 2\n", f"{name}.py")

    assert all(one != folder.fingerprint(text) for one, text in zip(before, texts))


def test_a_cell_of_a_notebook_has_a_source_although_its_statements_are_compiled_one_by_one():
    cell = "import time\n\ndef callback(output):\n    time.sleep(0)\n"
    filename = "/tmp/ipykernel_1/2.py"
    linecache.cache[filename] = (len(cell), None, cell.splitlines(keepends=True), filename)
    names: dict[str, Any] = {}
    for statement in ast.parse(cell).body:
        exec(compile(ast.Module([statement], []), filename, "exec"), names)

    written = sources.written_function(names["callback"])
    assert written is not None
    assert written.shown() == "def callback(output):\n    time.sleep(0)\n"


def test_a_mistake_of_ours_is_loud_and_never_a_fingerprint(graph, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def confused(*given: object) -> None:
        raise TypeError("unhashable")

    job = ppg.FileGeneratingJob("a", lambda output: output.write_text("a"))
    monkeypatch.setattr(FunctionEncoder, "_used_names", confused)
    monkeypatch.setattr("pipegraph.invariants.encoding._is_raised_here", lambda error: True)

    with pytest.raises(ppg.FingerprintError, match=r"can't be looked at[^$]*job: +a \([^$]*TypeError: unhashable"):
        list(job.specs())


def test_objects_that_fail_when_they_are_looked_at_are_told(folder: Folder) -> None:
    text = """
    import datetime
    class Strange(type):
        def __getattr__(cls, name): raise OSError(name)
    class Thing(metaclass=Strange): pass
    class Callable:
        def __call__(self): return 1
        def __getattr__(self, name): raise OSError(name)
    call = Callable()
    class Zone(datetime.tzinfo): pass
    day = datetime.datetime(2020, 1, 1, tzinfo=Zone())
    def f(): return Thing, call(), day
    """

    seen = folder.seen(textwrap.dedent(text))

    for kind in ("OSError", "NotImplementedError"):
        assert [each for each in seen.unwatched if f"{kind} when looked at" in each]


GROWING = """
ppg.new_pipegraph(quiet=True)
from types import SimpleNamespace
DATA, ROWS, N, STATE, NESTED = [], 0, 0, SimpleNamespace(a=1), {"a": {"b": [1]}}
class Settings:
    limit = 1
def load():
    global N, LATE
    N, LATE = os.getpid(), os.getpid()
    DATA.append(os.getpid())
    STATE.a = STATE.new = os.getpid()
    NESTED["a"]["b"].append(os.getpid())
    Settings.limit = os.getpid()
loads = ppg.DataLoadingJob("loads", load)
slow = ppg.FileGeneratingJob("wants.txt", lambda output: output.write_text("w")).depends_on(loads)
def declare():
    global ROWS
    ROWS = FOUND
    def write(output):
        output.write_text(f"{ROWS}")
        if not ROWS: DATA, N, LATE, STATE, STATE.new, NESTED, Settings.limit
    ppg.FileGeneratingJob("late.txt", write)
ppg.JobGeneratingJob("declares", declare).depends_on(slow)
ppg.run_pipegraph()
"""


def test_what_a_generator_assigns_counts_for_its_jobs_and_what_others_loaded_does_not(script) -> None:  # type: ignore[no-untyped-def]
    script.run(GROWING.replace("FOUND", "3"))
    script.run(GROWING.replace("FOUND", "3"))
    again = script.started
    script.run(GROWING.replace("ROWS = FOUND", "ROWS = 2 + 2"))

    assert again == ["declares"]
    assert script.lines("late.txt") == ["4"]


def test_a_compiled_module_of_ones_own_counts_by_its_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    module = folder.load("import math\ndef f(): return math.floor(1)\ndef g(): return 1\ndef h(): return math.Thing")
    explained = []
    compiled = ModuleType("compiled")
    compiled.__file__ = str(folder.path / "compiled.so")
    monkeypatch.setitem(sys.modules, "math", compiled)
    compiled.floor = math.floor  # type: ignore[attr-defined]
    compiled.Thing = type("Thing", (), {"__module__": "math"})  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "math", compiled)
    found = []
    for content in (b"one", b"two", b"two"):
        Path(compiled.__file__).write_bytes(content)
        _digest_of_file.cache_clear()
        found.append([look_at_function(each) for each in (module.f, module.g, module.h)])
        explained.append(explain_function(module.f))

    for at, is_changed in ((0, True), (1, False), (2, True)):
        assert (found[0][at] != found[1][at]) is is_changed
        assert found[1][at] == found[2][at]
    assert [line for change in changes_between(*explained[:2]) for line in change.lines()] == [
        "math.floor: math.floor, changed where it is not shown"
    ]


def test_what_was_loaded_counts_as_it_was_loaded_whatever_its_file_holds_by_now(folder: Folder) -> None:
    text = """
    import helping
    SEEN = {}
    def f():
        from helping import used
        SEEN["a"] = 1
        return used(), helping.Box
    """
    texts = [f"SIZE = {n}\ndef used(): return SIZE\nclass Box:\n    _size = {n}\n" for n in (1, 22)]
    folder.write(texts[0], "helping.py")
    module = folder.load(textwrap.dedent(text))
    before = look_at_function(module.f)
    folder.write(texts[1], "helping.py")
    folder.write(textwrap.dedent(text).replace("{}", "{5: 6}"))
    same = look_at_function(module.f)
    importlib.reload(module.helping)
    reloaded = look_at_function(module.f)
    importlib.reload(module)

    assert same == before != reloaded
    assert reloaded != look_at_function(module.f)


@pytest.mark.parametrize("text", [CIRCLE, "class C:\n    x = [{1}, len]\ndef f(a=[len, C]): return C.x, a, C()"])
def test_an_explanation_is_of_what_the_fingerprint_is_of(folder: Folder, text: str) -> None:
    module = folder.load(text)

    assert look_at_function(module.f, is_explained=True).fingerprint == look_at_function(module.f).fingerprint


def test_one_code_in_two_modules_uses_the_names_of_each(folder: Folder) -> None:
    module = folder.load("ONE = 1\ndef f(): return ONE\n")
    other = FunctionType(module.f.__code__, {**vars(module), "ONE": 2})
    followed = Followed()

    assert look_at_function(module.f, True, followed) != look_at_function(other, True, followed)


def test_a_class_that_was_looked_at_by_itself_is_followed_where_that_is_wanted(folder: Folder) -> None:
    text = """
    ONE = 1
    def make():
        class C:
            def m(self): return ONE
        return C
    def f(x=make()): return x
    """
    module = folder.load(text)
    followed = Followed()
    look_at_function(module.f, False, followed)

    assert look_at_function(module.f, True, followed) == look_at_function(module.f)


def test_of_several_values_only_the_one_that_changed_is_told(folder: Folder) -> None:
    texts = [f"ONE = {{'a': {{1}}, 'b': {{{n}}}}}\ndef f(): return ONE" for n in (2, 3)]
    before, now = (explain_function(folder.load(each).f) for each in texts)

    assert [change.name for change in changes_between(before, now)] == ["global variable 'ONE'['b']"]


def test_code_that_is_changed_where_it_is_not_shown_and_values_without_words_are_told(folder: Folder) -> None:
    text = """
    class C:
        def __repr__(self): raise OSError
    class D: pass
    x = [C(), D(), 'a' * 2000 + 'b' + 'a' * 2000, 'one\\ntwo']
    def f(): return x
    """
    before, now = (explain_function(folder.load(each).f) for each in (text, text.replace("'b'", "'c'")))
    (change,) = changes_between(before, now)

    assert change.name == "global variable 'x'[2]"
    assert change.lines()[0].endswith("changed where it is not shown")
    assert {"<C instance>", "<mine.D object>", "'one\\ntwo'"} <= {part.text for part in before.all_parts()}


def test_what_is_told_of_a_class_is_told_of_each_function_that_uses_it(folder: Folder) -> None:
    text = (
        "x = object()\nclass C:\n    def m(self): return x\ndef make(c):\n    return lambda: c\nf, g = make(C), make(C)"
    )
    module = folder.load(text)
    followed = Followed()

    for function in (module.f, module.g):
        assert look_at_function(function, True, followed).unwatched == ("global variable 'x' (builtins.object)",)


def test_values_are_shown_entry_by_entry_and_not_without_end(folder: Folder) -> None:
    text = """
    from dataclasses import dataclass
    from types import SimpleNamespace
    @dataclass
    class D:
        size: int = 1
    around = [1]
    around.append(around)
    deep = 1
    for _ in range(20): deep = [deep]
    many = list(range(300))
    x = [around, D(), SimpleNamespace(a=2), (3, b'4')]
    def f(): return x, deep, many
    """
    found = {part.name for part in explain_function(folder.load(text).f).all_parts()}

    assert {name for name in found if "'x'" in name} == {
        *("global variable 'x'[0][0]", "global variable 'x'[0][1]", "global variable 'x'[1].size"),
        *("global variable 'x'[2].a", "global variable 'x'[3][0]", "global variable 'x'[3][1]"),
    }
    assert "global variable 'deep'" + 8 * "[0]" in found
    assert "global variable 'many'" in found


def test_lambdas_of_one_line_that_return_constants_are_found(folder: Folder) -> None:
    text = "D = {'a': {'f': lambda: 'one'}, 'b': [lambda: 'two', lambda x=(lambda: 3): lambda: x]}\ndef f(): return D"
    module = folder.load(text)

    for function in (module.D["a"]["f"], *module.D["b"], module.D["b"][1](), module.D["b"][1].__defaults__[0]):
        assert look_at_function(function).remarks == ()
    assert differ(folder, text, "'two'", "'three'")
    assert explain_function(module.D["b"][0]).parts[0].text == "lambda: 'two'"


def test_what_decorates_as_a_class_is_seen_with_what_it_holds(folder: Folder) -> None:
    text = """
    class Timed:
        def __init__(self, function):
            self.held = function
        def __call__(self): return self.held()
    @Timed
    def step(): return 1
    def f(): return step()
    """
    before, now = (folder.seen(textwrap.dedent(each)) for each in (text, text.replace("return 1", "return 2")))

    assert before.fingerprint != now.fingerprint


def test_what_is_not_watched_is_told_of_all_its_jobs_and_not_again_while_nothing_changes(script) -> None:  # type: ignore[no-untyped-def]
    text = """
    ppg.new_pipegraph(quiet=True)
    class Model:
        def __init__(self): self.weights = [1]
    model = Model()
    for name in "abc":
        ppg.FileGeneratingJob(name * 3, lambda output: output.write_text(str(model.weights)))
    ppg.run_pipegraph()
    """
    first = script.run(text)
    second = script.run()
    third = script.run(text.replace("str(model", "repr(model").replace("abc", "ab"))

    for told, more in ((first, "2 more jobs"), (third, "1 more job")):
        assert told.count(f"not watched: global variable 'model' (__main__.Model) (and {more})") == 1
    assert "not watched" not in second
