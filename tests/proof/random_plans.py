"""Scripts as they are planned: which jobs there are, who can name whom, the text, and what the oracle makes of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import NamedTuple

from xxhash import xxh3_64_hexdigest

from .graphs import CACHE, FILES, GENERATOR, INVARIANT, LOAD, LOADS, OPAQUE, OUTPUT, TEMP
from .oracle import Content, Job, dependents_of


class Kind(NamedTuple):
    """What a job of this kind is to the oracle and in a script; `files`: how many."""

    role: str
    class_name: str
    files: int = 0


KINDS = {
    "in": Kind(INVARIANT, "FileInvariant"),
    "parameter": Kind(INVARIANT, "ParameterInvariant"),
    "file": Kind(OUTPUT, "FileGeneratingJob", 1),
    "files": Kind(OUTPUT, "MultiFileGeneratingJob", 2),
    "temp": Kind(TEMP, "TempFileGeneratingJob", 1),
    "temps": Kind(TEMP, "MultiTempFileGeneratingJob", 2),
    "load": Kind(LOAD, "DataLoadingJob"),
    "attribute": Kind(LOAD, "AttributeLoadingJob"),
    "cache": Kind(CACHE, "CachedFileJob", 1),
    "opaque": Kind(OPAQUE, "AttributeLoadingJob"),
    "generator": Kind(GENERATOR, "JobGeneratingJob"),
    "injection": Kind(GENERATOR, "DependencyInjectionJob"),
    "final": Kind(OUTPUT, "FinalJob"),
}
DRAWN = (*("file", "in", "temp", "load", "generator") * 2, *KINDS, "file", "file", "temp")
VALUES = ("A'0", "B'0", "A'1", "A'2")
"""Of input files; see `world.content_of`."""
VERSIONS = ("A", "B", "C")
"""Of code and parameters."""
GIB = 1 << 30
MEMORY = 4 * GIB
CORES = 4


class Planned(NamedTuple):
    """One job of a plan, which calls it by its kind and a number.

    Attributes
    ----------
    inputs
        Names of earlier jobs, or of one file of them.
    maker
        The generator that declares it; empty: the script does.
    value
        Of a parameter; of other jobs what stands in their code.
    """

    inputs: tuple[str, ...] = ()
    maker: str = ""
    value: str = "A"
    cores: int = 1
    memory: int = -1
    is_pruned: bool = False

    def __repr__(self) -> str:
        """What is not as usual."""
        usual = Planned._field_defaults
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if value != usual[name])
        return f"Planned({', '.join(shown)})"


Plan = Mapping[str, Planned]


def kind_of(name: str) -> Kind:
    """By its name, or that of one of its files."""
    return KINDS[name.partition("_")[0]]


def job_of(name: str) -> str:
    """The job of a plan that this is, or is a file of."""
    return name.rstrip("ab") if kind_of(name).files > 1 else name


def paths_of(name: str) -> tuple[str, ...]:
    """Its files."""
    count = kind_of(name).files
    return (name + "a", name + "b") if count > 1 else (name,) * count


def id_of(name: str) -> str:
    """What pipegraph calls it."""
    if kind_of(name).files > 1:
        return name if name != job_of(name) else ":::".join(paths_of(name))
    return "PI" + name if name.startswith("parameter") else name


class Bonds:
    """Who can name whom when a plan is declared, worked out job by job, in the order of the plan."""

    def __init__(self) -> None:
        self.plan: dict[str, Planned] = {}
        self.late: dict[str, tuple[str, ...]] = {}
        self._ended: dict[str, frozenset[str]] = {"": frozenset()}
        self._waits: dict[str, frozenset[str]] = {}

    def add(self, name: str, job: Planned) -> None:
        """Without the inputs that it can't be given."""
        kept: list[str] = []
        late: list[str] = []
        may_have = kind_of(name).role != INVARIANT
        for source in dict.fromkeys(job.inputs) if may_have else ():
            known = self.plan.get(job_of(source))
            if known is None or job_of(source) == job.maker or job_of(source).startswith("final"):
                continue
            if not known.maker or known.maker in self._ended[job.maker] | {job.maker}:
                kept.append(source)
            else:
                late.append(source)
        waits: frozenset[str] = frozenset(job_of(source) for source in kept if kind_of(source).role == GENERATOR)
        waits = waits.union(*(self._waits[job_of(source)] for source in kept))
        for source in late:
            maker = self.plan[job_of(source)].maker
            # What a FinalJob waits for may come before it is there.
            if maker in waits and (not job.maker or job.maker in self._ended[maker]):
                kept.append(source)
        late = [source for source in late if source in kept]
        sources = {job_of(source) for source in kept}
        ended = self._ended[job.maker].union([job.maker] if job.maker else [], *(self._ended[each] for each in sources))
        self._ended[name] = ended.union(each for each in sources if kind_of(each).role == GENERATOR)
        self._waits[name] = waits
        self.late[name] = tuple(late)
        self.plan[name] = job._replace(inputs=tuple(kept))


def bonds_of(plan: Plan) -> Bonds:
    """Of a plan that may have lost jobs: what is left of it, and how it is declared."""
    bonds = Bonds()
    for name, job in plan.items():
        if not job.maker or job.maker in bonds.plan:
            bonds.add(name, job)
    return bonds


def left_out(bonds: Bonds) -> set[str] | None:
    """The pruned jobs, all that depends on them, and what they declare; None if a job that stays were given one."""
    out: set[str] = set()
    for name, job in bonds.plan.items():
        known = [job_of(source) for source in job.inputs if source not in bonds.late[name]]
        if job.is_pruned or job.maker in out or not out.isdisjoint(known):
            out.add(name)
        elif any(job_of(source) in out for source in bonds.late[name]):
            return None
    return out


# --- as text


SCRIPT = "script.py"
"""What errors call it; there is no such file."""

PRELUDE = """
from types import SimpleNamespace

import pipegraph as ppg

ppg.new_pipegraph(quiet=True)
J = SimpleNamespace()
data = SimpleNamespace()


def read(*paths):
    return [open(path).read() for path in paths]


def write(outputs, *texts):
    for path in outputs if isinstance(outputs, list) else [outputs]:
        path.write_text(repr(texts))


"""


def text_of(bonds: Bonds) -> str:
    """The script."""
    plan = bonds.plan
    declared: dict[str, list[str]] = {"": []}
    for name, job in plan.items():
        declared.setdefault(job.maker, []).extend(_declaration(name, job, bonds))
        for source in bonds.late[name]:
            declared.setdefault(plan[job_of(source)].maker, []).append(f"J.{name}.depends_on({_as_input(source)})")
    functions = [
        _callback(name, job, bonds, declared.get(name, []))
        for name, job in plan.items()
        if kind_of(name).role != INVARIANT
    ]
    return PRELUDE.lstrip() + "\n\n".join([*functions, "\n".join(declared[""]), "# ppg.run_pipegraph()\n"])


def _callback(name: str, job: Planned, bonds: Bonds, declared: Iterable[str]) -> str:
    values = [repr(f"{name} {job.value}")]
    values += [f"*read({path!r})" for source in job.inputs for path in _read_paths(source)]
    values += [f"data.{source}" for source in job.inputs if kind_of(source).role in LOADS]
    text = ", ".join(values)
    role, kind, files = kind_of(name)
    if role == GENERATOR:
        body = [f"version = {values[0]}", *declared]
    elif files and role != CACHE:
        body = [f"write(output, {text})"]
    elif kind == "DataLoadingJob":
        body = [f"data.{name} = ({text},)"]
    else:
        body = [f"return ({text},)"]
    return "\n    ".join([f"def make_{name}({'output' * body[0].startswith('write(output')}):", *body]) + "\n"


def _read_paths(source: str) -> tuple[str, ...]:
    if source.startswith("in_"):
        return (source,)
    return paths_of(source) if source == job_of(source) else (source,)


def _as_input(source: str) -> str:
    return f"J.{source}" if source == job_of(source) else repr(source)


def _declaration(name: str, job: Planned, bonds: Bonds) -> Iterator[str]:
    kind = kind_of(name)
    given: list[str] = [repr(name), f"make_{name}"]
    if kind.files > 1:
        given[0] = repr(list(paths_of(name)))
    elif name.startswith("in_"):
        given = [repr(name)]
    elif name.startswith("parameter"):
        given[1] = repr(job.value)
    elif kind.class_name == "AttributeLoadingJob":
        given[1:1] = ["data", repr(name)]
        if kind.role == OPAQUE:
            given.append("cut_off=True")
    elif name.startswith("injection"):
        given.append("check_for_dependency_injections=False")
    yield f"J.{name} = ppg.{kind.class_name}({', '.join(given)})"
    early = [_as_input(source) for source in job.inputs if source not in bonds.late[name]]
    if early:
        yield f"J.{name}.depends_on({', '.join(early)})"
    if job.cores != 1:
        yield f"J.{name}.cores_needed = {job.cores}"
    if job.memory != -1:
        yield f"J.{name}.memory_needed = {job.memory}"
    if kind.role in (OUTPUT, TEMP) and kind.files and len(name) % 2:
        yield f'J.{name}.isolation = "shared"'
    if job.is_pruned:
        yield f"J.{name}.prune()"


# --- as the oracle sees it


class Declared:
    """What a plan comes to when it is run, by the ids of pipegraph; `values` are those that stand in the script."""

    def __init__(self, bonds: Bonds, out: set[str], text: str = "") -> None:
        self.jobs: dict[str, Job] = {}
        self.values: dict[str, Content] = {}
        self.late: dict[str, set[str]] = {}
        self.text = text.lstrip() or text_of(bonds)
        self.compiled: CodeType = compile(self.text, SCRIPT, "exec")
        code = _what_functions_say(self.text, {name: job.maker for name, job in bonds.plan.items()})
        finals = {}
        for name, job in bonds.plan.items():
            if name in out:
                continue
            kind = kind_of(name)
            inputs = [id_of(source) for source in job.inputs]
            files: tuple[str, ...] | None = paths_of(name) if kind.files > 1 else None
            if kind.role == INVARIANT:
                if name.startswith("parameter"):
                    self.values[id_of(name)] = f"parameter {job.value}'0"
            else:
                watched = f"FI{id_of(name)}"
                self.jobs[watched] = Job(INVARIANT, (), job.maker)
                self.values[watched] = f"code {xxh3_64_hexdigest(code[f'make_{name}'].encode())}'0"
                inputs.append(watched)
            if name.startswith("final"):
                finals[name] = Job(OUTPUT, tuple(sorted(inputs)), job.maker, ())
            else:
                self.jobs[id_of(name)] = Job(kind.role, tuple(sorted(inputs)), job.maker, files)
            self.late[id_of(name)] = {id_of(source) for source in bonds.late[name]}
        self.is_final = frozenset(finals)
        before = tuple(name for name, job in self.jobs.items() if job.role == OUTPUT)
        for name, job in finals.items():
            self.jobs[name] = job._replace(inputs=tuple(sorted({*job.inputs, *before})))
        self.dependents = dependents_of(self.jobs)
        self.job_of = {path: name for name, job in self.jobs.items() for path in job.files or ()}

    def paths(self, name: str) -> tuple[str, ...]:
        """The files that a job makes."""
        job = self.jobs[name]
        if job.role not in FILES:
            return ()
        return (name,) if job.files is None else job.files

    def made_by(self, maker: str) -> Iterator[tuple[str, Job]]:
        return ((name, job) for name, job in self.jobs.items() if job.maker == maker)


def _what_functions_say(text: str, maker_of: Mapping[str, str]) -> dict[str, str]:
    """What is written in each function, without its name, and in all that it names; and which jobs these find: those of
    the script, and of the generators that had to run for it to be declared."""
    lines = text.splitlines()
    tree = ast.parse(text)
    functions = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}
    written = {name: "\n".join(lines[each.lineno : each.end_lineno]) for name, each in functions.items()}
    declared = set(re.findall(r"^J\.(\w+) =", text, re.MULTILINE))
    names = {name: re.findall(r"\bmake_\w+", each) for name, each in written.items()}
    assigned = {name: set(re.findall(r"\bJ\.(\w+) =", each)) for name, each in written.items()}
    read = {name: set(re.findall(r"\bJ\.(\w+)", each)) for name, each in written.items()}
    said = {}
    for name in functions:
        used = {name: None}
        stack = [name]
        while stack:
            new = [each for each in names[stack.pop()] if each not in used]
            used |= dict.fromkeys(new)
            stack += new
        there = set(declared)
        maker = maker_of.get(name.removeprefix("make_"), "")
        while maker:
            there |= assigned[f"make_{maker}"]
            maker = maker_of[maker]
        found = set().union(*(read[each] for each in used)) - set().union(*(assigned[each] for each in used))
        found &= there
        said[name] = "\n".join([*(written[each] for each in used), str(sorted(found))])
    return said


def content_of(name: str, job: Job, parts: list[Content]) -> Content:
    """What a job makes: as `world.content_of`, but short, and of several files each from some of the inputs only."""
    if job.files == ():
        return ()
    if job.files:
        count = len(job.files)
        return tuple((path, _text(path, parts[nth::count])) for nth, path in enumerate(job.files))
    return _text(name, parts)


def _text(path: str, parts: list[Content]) -> str:
    texts, depth = [], 0
    for part in parts:
        for each in [text for _, text in part] if isinstance(part, tuple) else [part]:
            text, _, digits = str(each).rpartition("'")
            texts.append(text)
            depth = max(depth, int(digits or 0))
    return f"{path}({xxh3_64_hexdigest(' '.join(texts).encode())})'{max(0, depth - 1)}"


def digest(inputs: object) -> str:
    """One for one, as far as anyone knows."""
    return f"of {xxh3_64_hexdigest(repr(inputs).encode())}"
