"""The table of edits in docs/functions.rst: each is made to a small project, and what it says is made again is.

The project is imported anew for each. Nothing is run: a job with another fingerprint of its callback is made again by
the rules that other tests hold.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from pipegraph.explanations import changes_between
from pipegraph.invariants.functions import Seen, look_at_function

DOCUMENT = Path(__file__).parent.parent / "docs" / "functions.rst"

PROJECT = {
    "analysis.py": '''
        """Plots and a table."""
        import functools
        import json
        from os.path import join

        import helpers
        from helpers import COLOURS, Sample, load
        from steps import tidy

        LIMIT = 10
        UNUSED = 1
        CACHE = {}
        OPTIONS = {"size": 3, "title": "a"}


        def shape(value: float) -> float:
            # Half of it.
            return value / 2 if value else other_shape(value)


        def other_shape(value):
            return shape(value - 1)


        def unused(value):
            return value


        def logged(function):
            @functools.wraps(function)
            def wrapper(*arguments):
                print("begins")
                return function(*arguments)

            return wrapper


        @logged
        def plot(output, size=3, *, colour="red"):
            """Draw it."""
            assert size
            values = [shape(value) for value in load("a.txt") if value < LIMIT]
            output.write_text(f"{helpers.title(values)} {size} {colour} {OPTIONS['size']}")


        def table(output):
            from late import words

            sample = Sample("a")
            CACHE["sample"] = sample
            output.write_text(json.dumps([sample.total(), words(), tidy(1), COLOURS["x"], join("a", "b")]))


        def closing(width):
            def draw(output):
                output.write_text("x" * width)

            return draw


        wide = closing(80)
        short, long = (lambda output: output.write_text("s")), (lambda output: output.write_text("l"))
        part = functools.partial(helpers.write, "text")
        method = Sample("b").save
        JOBS = dict(plot=plot, table=table, wide=wide, short=short, long=long, part=part, method=method)
    ''',
    "helpers.py": '''
        import dataclasses

        COLOURS = {"x": "blue"}
        SEPARATOR = ", "
        PREFIX = "Of "


        def load(name):
            """Numbers of a file."""
            with open(name) as file:
                return [float(line) for line in file]


        def title(values):
            return PREFIX + SEPARATOR.join(map(str, values))


        def write(text, output):
            output.write_text(text)


        def lonely():
            return 1


        class Named:
            def label(self):
                return "sample"


        @dataclasses.dataclass
        class Sample(Named):
            name: str
            size: int = 5

            def total(self):
                return self.size * 2

            def save(self, output):
                output.write_text(self.label())
    ''',
    "steps/__init__.py": "from .tidying import tidy\n",
    "steps/tidying.py": "from . import numbers\n\n\ndef tidy(value):\n    return numbers.rounded(value)\n",
    "steps/numbers.py": "def rounded(value):\n    return round(value, 2)\n\n\ndef halved(one):\n    return one / 2\n",
    "late.py": "COUNT = 3\n\n\ndef words():\n    return 'word ' * COUNT\n\n\ndef others():\n    return 0\n",
}

A = "analysis.py"
H = "helpers.py"
EDITS: dict[str, tuple[str, str, str]] = {
    "a comment is changed": (A, "# Half of it.", "# Half.\n    # Of it."),
    "a docstring is changed": (A, '"""Draw it."""', '"""Draw something else."""'),
    "a docstring is removed": (A, '    """Draw it."""\n', ""),
    "lines are broken elsewhere": (A, "if value < LIMIT]", "if\n        value < LIMIT\n    ]"),
    "quotes and parentheses are changed": (A, 'load("a.txt")', "(load('a.txt'))"),
    "an annotation is added": (A, "def other_shape(value):", "def other_shape(value: float) -> float:"),
    "a function is moved down in the file": (A, "LIMIT = 10\n", "LIMIT = 10\n\n\nif LIMIT:\n    pass\n\n"),
    "a function that nobody uses is changed": (A, "return value\n", "return value + 1\n"),
    "a constant that nobody uses is changed": (A, "UNUSED = 1", "UNUSED = 2"),
    "an import that nobody uses is added": (A, "import json", "import json\nimport random"),
    "a function that nobody uses is changed, in a helping module": (H, "return 1", "return 2"),
    "the body is changed": (A, 'output.write_text(f"{helpers', 'output.write_text(f"!{helpers'),
    "a number in the body is changed": (A, "tidy(1)", "tidy(2)"),
    "an assertion is changed": (A, "assert size", "assert size > 1"),
    "a default is changed": (A, "size=3,", "size=4,"),
    "a keyword's default is changed": (A, 'colour="red"', 'colour="green"'),
    "a default becomes a float": (A, "size=3,", "size=3.0,"),
    "a global constant is changed": (A, "LIMIT = 10", "LIMIT = 11"),
    "a global constant is computed in another way, to the same": (A, "LIMIT = 10", "LIMIT = 5 + 5"),
    "an entry of a global dict is changed": (A, '"size": 3', '"size": 4'),
    "the entries of a global dict are reordered": (A, '{"size": 3, "title": "a"}', '{"title": "a", "size": 3}'),
    "a global dict that the callback fills begins with an entry": (A, "CACHE = {}", "CACHE = {'sample': 1}"),
    "a value that is closed over is changed": (A, "closing(80)", "closing(81)"),
    "a helping function is changed": (A, "return value / 2", "return value / 3"),
    "a function is changed that the helping function and itself call": (A, "value - 1", "value - 2"),
    "a comment in a helping function is removed": (A, "    # Half of it.\n", ""),
    "a decorator is changed": (A, '"begins"', '"starts"'),
    "a decorator is removed": (A, "@logged\n", ""),
    "the first of two lambdas on a line is changed": (A, 'write_text("s")', 'write_text("S")'),
    "the second of two lambdas on a line is changed": (A, 'write_text("l")', 'write_text("L")'),
    "the function of a partial is changed": (H, "output.write_text(text)", "output.write_text(text * 2)"),
    "an argument of a partial is changed": (A, 'helpers.write, "text"', 'helpers.write, "words"'),
    "an imported function is changed": (H, "float(line)", "int(line)"),
    "a function that is used as module.name is changed": (H, "map(str, values)", "map(repr, values)"),
    "a constant of a helping module is changed": (H, 'SEPARATOR = ", "', 'SEPARATOR = "; "'),
    "an imported constant is changed": (H, '"x": "blue"', '"x": "black"'),
    "a function of a module's module is changed": ("steps/numbers.py", "round(value, 2)", "round(value, 3)"),
    "another function of a module's module is changed": ("steps/numbers.py", "one / 2", "one / 3"),
    "a method that is used is changed": (H, "self.size * 2", "self.size * 3"),
    "a default of a dataclass is changed": (H, "size: int = 5", "size: int = 6"),
    "a method of the base class is changed": (H, 'return "sample"', 'return "Sample"'),
    "a function that is imported when it is called is changed": ("late.py", "'word ' *", "'words ' *"),
    "a constant of a module that is imported when it is called is changed": ("late.py", "COUNT = 3", "COUNT = 4"),
    "another function of such a module is changed": ("late.py", "return 0", "return 1"),
    "a function of the standard library is imported by way of a helping module": (
        A,
        "from os.path i",
        "from helpers i",
    ),
    "another function of the standard library gets the name": (A, "import join", "import commonprefix as join"),
}


def rows() -> dict[str, set[str]]:
    """The table in the document: the edits, and the jobs that are made again."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("The table\n=========\n")[2]
    lines = text.partition("\n======")[2].splitlines()[3:]
    found = {}
    for line in lines:
        if line.startswith("==="):
            break
        edit, _, made = re.match(r"(.*?)(  +)(.*)", line).groups()  # type: ignore[union-attr]
        found[edit] = set() if made == "nothing" else set(made.split(", "))
    return found


def write(folder: Path, project: dict[str, str]) -> None:
    for name, text in project.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"))


def looked_at(folder: Path, project: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Seen]:
    write(folder, project)
    tops = ("analysis", "helpers", "steps", "late")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder))
        try:
            jobs = importlib.import_module("analysis").JOBS
            seen = {name: look_at_function(function, is_explained=True) for name, function in jobs.items()}
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
                del sys.modules[name]
    assert [name for name, one in seen.items() if one.remarks] == []
    assert [name for name, one in seen.items() if one.unwatched] == ["method"]
    return seen


def test_the_document_and_the_edits_are_the_same_forty_and_more() -> None:
    assert list(rows()) == list(EDITS)
    assert len(EDITS) >= 40


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_makes_again_what_the_table_says(edit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, old, new = EDITS[edit]
    project = {each: dedent(text).lstrip("\n") for each, text in PROJECT.items()}
    assert project[name].count(old) == 1
    project["helpers.py"] += "\n\nfrom os.path import join\n"
    edited = {**project, name: project[name].replace(old, new)}

    before = looked_at(tmp_path / "before", project, monkeypatch)
    after = looked_at(tmp_path / "after", edited, monkeypatch)
    changed = {job for job in before if before[job].fingerprint != after[job].fingerprint}
    explained = {job for job in before if changes_between(before[job].explanation, after[job].explanation)}

    assert changed == rows()[edit]
    assert explained == changed


KINDS = """
import abc
import contextlib
import dataclasses
import enum
import functools
import logging
import re
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from io import BytesIO, StringIO
from itertools import chain
from operator import itemgetter
from os.path import join
from pathlib import Path, PurePath
from subprocess import run
from typing import Any, Generic, NamedTuple, Protocol, TypedDict, TypeVar
from xml.etree import ElementTree

LOG = logging.getLogger("x")
T = TypeVar("T")
PATTERN = re.compile("a+", re.I)
Pair = namedtuple("Pair", "a b", defaults=[1])


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"

    def shown(self) -> str:
        return self.name


class Bits(enum.Flag):
    A = enum.auto()
    B = enum.auto()
    BOTH = A | B


class Number(enum.IntEnum):
    ONE = 1


class Point(NamedTuple):
    x: int = 0

    def length(self) -> int:
        return self.x


class Row(TypedDict):
    name: str


class Reads(Protocol):
    def read(self) -> str: ...


class Base(abc.ABC):
    @abc.abstractmethod
    def run(self) -> Any: ...

    @property
    def size(self) -> int:
        return 1

    @functools.cached_property
    def big(self) -> int:
        return 10

    @classmethod
    def make(cls) -> Any:
        return cls()

    @staticmethod
    def help() -> int:
        return 2

    @functools.lru_cache(maxsize=3)
    def cached(self) -> int:
        return 3

    @contextlib.contextmanager
    def opened(self) -> Any:
        yield self


class Worker(Base, Generic[T]):
    __slots__ = ("a",)
    count = 0

    def run(self) -> Any:
        super().run()
        Worker.count += 1
        return [y for y in range(3) if (z := y)], {k: v for k, v in {1: 2}.items()}, z


@dataclasses.dataclass(frozen=True, order=True)
class Data:
    a: int = 1
    b: list[int] = dataclasses.field(default_factory=list, compare=False)

    def __post_init__(self) -> None: ...


@dataclasses.dataclass(slots=True)
class Slotted:
    a: int = 1


@functools.cache
def cached(x: int) -> int:
    return x + 1


@contextlib.contextmanager
def opening(x: Any) -> Any:
    try:
        yield x
    finally:
        print(x)


async def waits(a: Any) -> Any:
    async with a() as b:
        return [c async for c in b]


def generates(k: Any) -> Any:
    yield from range(3)
    match k:
        case {"a": [x, *_], **rest}:
            return x, rest
        case Data(a=1) | None:
            return None
    return lambda *a, k=1, **b: f"{a!r:>{k}}{b=}" "x" f"{{}}" rf"\\d{1:}"


TABLE = {"a": cached, "b": [opening, waits]}
FUNCTIONS = {cached, waits, len}
INSTANCE = Data(3)


def use() -> Any:
    return [
        (Path, PurePath, PATTERN, date, timedelta, Counter, OrderedDict, defaultdict, deque, Iterable),
        (join, run, itemgetter, chain, BytesIO, StringIO, ElementTree.parse, ThreadPoolExecutor, LOG, T),
        (Colour, Bits.A, Number.ONE, Point, Pair, Row, Reads, Worker, Data, Slotted, INSTANCE),
        (cached, opening, waits, generates, TABLE, FUNCTIONS),
    ]
"""
"""One of each kind of thing that versions of Python build in their own ways."""

EXPECTED = """
58cf5de332cd8ec50e1c78ce878eb7c6
7cfcf8d073d7f9d7b73603b007893f05
945f441c118608a2c9a06e707dd328ad
dd8d805dd0e86fdd4ee2573aa7400813
1dfbdda2c1b8310e60cc1ca159d2c078
148b9412a21882f4a42a9afb3b560e35
1531d2738ad37ef5a28e141a795ecc55
1ebe902fc5903441e353c9f9d28d5a66
"""

SHOW = """
import sys
sys.path.insert(0, sys.argv[1])
from pipegraph.invariants.functions import look_at_function
ballast = [object() for _ in range(int(sys.argv[2]))]
import analysis
print(*(look_at_function(function).fingerprint for function in analysis.JOBS.values()))
import kinds
print(look_at_function(kinds.use).fingerprint)
"""


# Where this fails on one Python only, versions write or build something in their own ways that `syntax` or `functions`
# have to see past. Where it fails on all, a rule was changed: then these digests are changed on purpose.
@pytest.mark.parametrize("flags", [(), ("-O",), ("-OO",), ("-X", "dev")])
@pytest.mark.parametrize("seed", ["0", "7"])
def test_every_python_on_every_machine_finds_the_same(flags: tuple[str, ...], seed: str, tmp_path: Path) -> None:
    """The digest stands here so that a Python that finds another one is caught wherever this is run."""
    write(tmp_path, {**PROJECT, "kinds.py": KINDS})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
    shown = subprocess.run(
        [sys.executable, *flags, "-c", SHOW, str(tmp_path), str(1000 * len(flags))],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stdout.split() == EXPECTED.split()
