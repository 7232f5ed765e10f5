"""Random scripts: what they declare, their text, and what each of their files must hold.

A plan is drawn from a seed, then edited as a person edits a script. What its outputs must hold is worked out here in
plain Python, without pipegraph, in the order of declaration: that is the build from nothing.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple
from zlib import crc32

CLASSES = {
    "file": "FileGeneratingJob",
    "list": "MultiFileGeneratingJob",
    "dict": "MultiFileGeneratingJob",
    "temp": "TempFileGeneratingJob",
    "temps": "MultiTempFileGeneratingJob",
    "cache": "CachedFileJob",
    "load": "DataLoadingJob",
    "attribute": "AttributeLoadingJob",
    "generator": "JobGeneratingJob",
    "injection": "DependencyInjectionJob",
    "final": "FinalJob",
}
STAYING = ("file", "list", "dict")
TEMPORARY = ("temp", "temps")
KEPT = ("cache",)
LOADING = ("load", "attribute")
MAKING = STAYING + TEMPORARY + KEPT + LOADING
SEVERAL = ("list", "dict", "temps")
_DRAWN = ("file",) * 8 + ("list", "dict") * 2 + (TEMPORARY + KEPT) * 3 + LOADING * 2
_DRAWN += ("generator",) * 2 + ("injection",)
BAD = "bad\n"
"""An input file that holds this fails the job that reads it."""


def full(name, constant, *values):
    return f"{name} {constant} {crc32(repr(values).encode()):08x}\n"


def coarse(name, constant, *values):
    """Often the same although something changed."""
    return f"{name} {crc32(repr((constant, values)).encode()) % 2}\n"


def sparse(name, constant, *values):
    """Often nothing."""
    return "" if crc32(repr((constant, values)).encode()) % 2 else f"{name} {constant}\n"


STYLES = {each.__name__: each for each in (full, coarse, sparse)}

PRELUDE = f'''
import os
import signal
import sys
import time
from types import SimpleNamespace
from zlib import crc32

import pipegraph as ppg

# Whoever began this script may ignore them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

J = SimpleNamespace()
store = SimpleNamespace()
loaded = {{}}


def note(sign, name):
    """In one write, so that lines of different processes do not mix."""
    ran = os.open("ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ran, f"{{sign}} {{name}} {{os.getpid()}}\\n".encode())
    os.close(ran)


def began(name, ms=0):
    note("+", name)
    time.sleep(ms / 1000)


def ended(name):
    note("-", name)


def leave_a_program():
    """It outlives its job, in a session of its own; and must not outlive the run."""
    os.posix_spawnp("sleep", ["sleep", "1000"], os.environ, setsid=True)


def read(path):
    with open(path) as source:
        text = source.read()
    if text == {BAD!r}:
        raise ValueError(f"{{path}} is bad")
    return text


def write(path, text, ms=0):
    """In two steps, for kills to come between; at the end of what is there, so that leftovers show."""
    with open(path, "a") as out:
        out.write(text[: len(text) // 2])
        out.flush()
        time.sleep(ms / 1000)
        out.write(text[len(text) // 2 :])


def die_around_record(number, when):
    """Kill this process when the status file has got all before that record, or half of it, or all of it.

    Where several are written by one call, a kill can't come between them, but a full disk or a power cut can.
    """
    write, master, left = os.write, os.getpid(), [number]

    def dying_write(file, data):
        if os.getpid() == master and os.readlink(f"/proc/self/fd/{{file}}").endswith("/.pipegraph_status"):
            lines = data.splitlines(keepends=True)
            for at, line in enumerate(lines):
                left[0] -= 1
                if not left[0]:
                    part = dict(before=0, within=len(line) // 2, after=len(line))[when]
                    write(file, b"".join(lines[:at]) + line[:part])
                    os.kill(master, signal.SIGKILL)
        return write(file, data)

    os.write = dying_write


if "DIE_AROUND_RECORD" in os.environ:
    number, when = os.environ["DIE_AROUND_RECORD"].split()
    die_around_record(int(number), when)


{
    """

""".join(inspect.getsource(each) for each in STYLES.values())
}
'''


class Edge(NamedTuple):
    """An input that is a job, or one file of it; `is_read`: the callback uses what it made."""

    source: str
    part: int | None
    is_read: bool


@dataclass
class Planned:
    """A job as it is planned; `maker` is the generator that declares it, `gives` what an injection injects."""

    name: str
    kind: str
    maker: str = ""
    constant: int = 0
    style: str = "full"
    edges: list[Edge] = field(default_factory=list)
    params: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    gives: list[str] = field(default_factory=list)
    parts: int = 0
    cores: int = 1
    ms: int = 0
    leaves_program: bool = False

    @property
    def outputs(self) -> list[str]:
        folder = "tmp" if self.kind in TEMPORARY + KEPT else "out"
        if self.kind in SEVERAL:
            # Not in the order of their names, nor all of them early or late in it.
            return [f"{folder}/{'zay'[part]}_{self.name}" for part in range(self.parts)]
        return [f"{folder}/{self.name}"] * self.parts

    @property
    def id(self) -> str:
        return ":::".join(sorted(self.outputs)) or self.name


class Expected(NamedTuple):
    """What a build from nothing leaves.

    Attributes
    ----------
    texts
        By path or, for what was loaded, by the name of its job.
    inputs
        By job: what it depends on and what that is, so that a job is stale if and only if this differs.
    """

    texts: dict[str, str]
    inputs: dict[str, dict[str, object]]


class Plan:
    """The script of one seed, at one time of its life."""

    def __init__(self, pick: Random) -> None:
        self.pick = pick
        self.cores = pick.randint(2, 4)
        self.params = {f"p{number}": pick.randint(1, 3) for number in range(4)}
        self.files = {f"in/{letter}": f"{pick.randint(1, 3)}\n" for letter in "abcd"}
        self.jobs: dict[str, Planned] = {}
        self.number = self.written = 0
        for _ in range(min(pick.randint(8, 40), pick.randint(8, 40))):
            self.add_job()
        if pick.random() < 0.3:
            sources = [each for each in self.of_kind(*STAYING) if not each.maker][:1]
            self.jobs["final"] = Planned("final", "final", edges=[Edge(each.name, None, True) for each in sources])

    # --- asking

    def of_kind(self, *kinds: str) -> list[Planned]:
        return [job for job in self.jobs.values() if job.kind in kinds]

    def makers(self, job: Planned) -> list[str]:
        """The generators that must have run for it to be declared, the nearest first."""
        found = []
        while job.maker:
            found.append(job.maker)
            job = self.jobs[job.maker]
        return found

    def edges(self, job: Planned) -> list[Edge]:
        """With what is injected."""
        known = {edge.source for edge in job.edges if edge.part is None}
        found = list(job.edges)
        for edge in job.edges:
            for name in self.jobs[edge.source].gives:
                if name not in known:
                    known.add(name)
                    found.append(Edge(name, None, True))
        return found

    def dependents(self) -> dict[str, list[Planned]]:
        """Direct ones, by job."""
        found: dict[str, list[Planned]] = {name: [] for name in self.jobs}
        for job in self.jobs.values():
            for edge in self.edges(job):
                found[edge.source].append(job)
        return found

    def available(self, job: Planned) -> list[Planned]:
        """What it may be given as another input."""
        names = list(self.jobs)
        earlier = names[: names.index(job.name)] if job.name in self.jobs else names
        makers = self.makers(job)
        known = {edge.source for edge in self.edges(job)}
        may_be_injected = not job.maker and job.kind in MAKING
        return [
            each
            for each in map(self.jobs.__getitem__, earlier)
            if each.name not in known
            and (not each.maker or each.maker in makers)
            and (each.kind in MAKING or (each.kind == "injection" and may_be_injected) or each.kind == "generator")
        ]

    def expected(self) -> Expected:
        texts: dict[str, str] = {}
        inputs: dict[str, dict[str, object]] = {}
        staying: dict[str, object] = {}

        def fingerprint(edge: Edge) -> object:
            source = self.jobs[edge.source]
            if not source.parts:
                return json.dumps(inputs[source.name], sort_keys=True)
            return [texts[path] for path in source.outputs if edge.part in (None, source.outputs.index(path))]

        for job in self.jobs.values():
            inputs[job.name] = {
                "code": [
                    (self.callback(each), *(self.params[name] for name in each.params)) for each in self._named(job)
                ],
                **{f"parameter {name}": self.params[name] for name in job.params},
                **{f"file {name}": self.files[name] for name in job.files},
                **{f"job {edge.source} {edge.part}": fingerprint(edge) for edge in self.edges(job)},
                **(staying if job.kind == "final" else {}),
            }
            values = [value for _, value in self._read_by(job, texts)]
            for part, path in enumerate(job.outputs or ([job.name] if job.kind in LOADING else [])):
                style = STYLES[job.style]
                texts[path] = style(f"{job.name}.{part}", job.constant, *values[part :: max(1, job.parts)])
            if job.kind in STAYING:
                staying[f"output {job.name}"] = fingerprint(Edge(job.name, None, False))
        return Expected(texts, inputs)

    def _named(self, job: Planned) -> list[Planned]:
        """It, and those that it declares: their callbacks are named in its own."""
        found = [job]
        for each in found:  # It grows meanwhile.
            found += [other for other in self.jobs.values() if other.maker == each.name]
        return found

    # --- as text

    def script(self, title: str, planted: str = "") -> str:
        jobs = self.jobs.values()
        self.written += 1
        declarations = [line for job in jobs if not job.maker for line in self._declaration(job)]
        return "\n".join(
            [
                f'"""{title}: to be run in its folder, as often as you like, with pipegraph importable."""',
                PRELUDE,
                planted,
                f"P = {self.params}\n",
                *(f"\n{self.callback(job)}\n" for job in jobs),
                f"\nppg.new_pipegraph(ppg.resource_coordinators.LocalSystem({self.cores}), quiet=True)",
                *declarations,
                "ppg.run_pipegraph()\n",
            ]
        )

    def callback(self, job: Planned) -> str:
        """The source of its function: what is watched of its code."""
        body = [f'began("{job.name}", {job.ms})']
        if job.leaves_program:
            body.append("leave_a_program()")
        last = f'ended("{job.name}")'
        values = [text for text, _ in self._read_by(job, None)]
        texts = []
        for part in range(max(1, job.parts)):
            arguments = [repr(f"{job.name}.{part}"), str(job.constant), *values[part :: job.parts or 1]]
            texts.append(f"{job.style}({', '.join(arguments)})")
        argument = ""
        if job.kind in KEPT:
            body.append(f"value = {texts[0]}")
            last += "\n    return value"
        elif job.parts:
            argument = "output"
            for part, text in enumerate(texts):
                path = {"dict": f'output["{part}"]', "list": f"output[{part}]", "temps": f"output[{part}]"}
                body.append(f"write({path.get(job.kind, 'output')}, {text}, {job.ms})")
        elif job.kind == "load":
            body.append(f'loaded["{job.name}"] = {texts[0]}')
        elif job.kind == "attribute":
            body.append(f"value = {texts[0]}")
            last += "\n    return value"
        elif job.kind == "generator":
            made = [each for each in self.jobs.values() if each.maker == job.name]
            body += [line for each in made for line in self._declaration(each)]
        elif job.kind == "injection":
            last += f"\n    return [{', '.join(f'J.{name}' for name in job.gives)}]"
        return f"def {job.name}({argument}):\n" + "".join(f"    {line}\n" for line in (*body, last))

    def _declaration(self, job: Planned) -> Iterator[str]:
        arguments = [repr(job.name), job.name]
        if job.parts:
            paths: object = job.outputs
            if job.kind == "dict":
                paths = {str(part): path for part, path in enumerate(job.outputs)}
            arguments[0] = repr(paths if job.kind in SEVERAL else job.outputs[0])
            if job.kind in KEPT:
                arguments.append("'text'")
            elif job.style == "sparse":
                arguments.append("empty_ok=True")
        elif job.kind == "attribute":
            arguments[1:1] = ["store", repr(job.name)]
        elif job.kind == "injection":
            arguments.append("check_for_dependency_injections=False")
        yield f"J.{job.name} = ppg.{CLASSES[job.kind]}({', '.join(arguments)})"
        if job.cores != 1:
            yield f"J.{job.name}.use_cores({job.cores})"
        # Another one each time that it is written, since it is no reason to run; but in generators it is code.
        chosen = crc32(f"{job.name} {0 if job.maker else self.written}".encode())
        if job.kind in STAYING + TEMPORARY and chosen % 2:
            yield f'J.{job.name}.isolation = "shared"'
        inputs = [f'ppg.ParameterInvariant("{name}", P["{name}"])' for name in job.params]
        inputs += [f'ppg.FileInvariant("{name}")' for name in job.files]
        for edge in job.edges:
            source = self.jobs[edge.source]
            key = "" if edge.part is None else f"[{str(edge.part)!r}]" if source.kind == "dict" else f"[{edge.part}]"
            inputs.append(f"J.{edge.source}{key}")
        if inputs:
            yield f"J.{job.name}.depends_on({', '.join(inputs)})"

    def _read_by(self, job: Planned, texts: dict[str, str] | None) -> Iterator[tuple[str, object]]:
        """What its callback uses: as written in the script, and (if there are texts) its value."""
        for name in job.params:
            yield f'P["{name}"]', self.params[name]
        for name in job.files:
            yield f'read("{name}")', self.files[name]
        for edge in self.edges(job):
            source = self.jobs[edge.source]
            if not edge.is_read:
                continue
            if source.kind in LOADING:
                word = f'loaded["{source.name}"]' if source.kind == "load" else f"store.{source.name}"
                yield word, texts and texts[source.name]
            for part, path in enumerate(source.outputs):
                if edge.part in (None, part):
                    yield f'read("{path}")', texts and texts[path]

    # --- changing

    def add_job(self) -> str:
        pick = self.pick
        kind = pick.choice(_DRAWN)
        self.number += 1
        name = f"{kind}_{self.number}"
        generators = [each for each in self.of_kind("generator") if len(self.makers(each)) < 2]
        maker = ""
        if kind != "injection" and generators and pick.random() < 0.4:
            maker = pick.choice(generators).name
        job = Planned(name, kind, maker, pick.randint(1, 3), ms=pick.choice((0, 0, 0, 1, 1, 2, 5)))
        job.leaves_program = pick.random() < 0.04
        if kind == "injection":
            generated = [each for each in self.of_kind(*MAKING) if each.maker and not self.jobs[each.maker].maker]
            given = pick.sample(generated, min(len(generated), pick.randint(1, 2)))
            plain = [each for each in self.of_kind(*MAKING) if not each.maker]
            given += pick.sample(plain, min(len(plain), 1)) if pick.random() < 0.5 or not given else []
            job.gives = [each.name for each in given]
            job.edges = [Edge(maker, None, False) for maker in dict.fromkeys(each.maker for each in given) if maker]
        elif kind == "generator":
            self.add_edges(job, pick.choice((0, 0, 1)))
        else:
            self.add_edges(job, pick.choice((0, 1, 1, 2, 2, 3)))
            job.params = pick.sample(sorted(self.params), pick.choice((0, 0, 1, 1, 2)))
            job.files = pick.sample(sorted(self.files)[:4], pick.choice((0, 0, 0, 1)))
            job.style = pick.choice(("full", "full", "full", "coarse", "sparse"))
            if kind in LOADING and job.style == "sparse":
                job.style = "coarse"
            if kind not in LOADING:
                job.parts = pick.randint(2, 3) if kind in SEVERAL else 1
                job.cores = pick.choice((1,) * 12 + (2, -1))
            if pick.random() < 0.2:
                job.files.append(f"in/for_{name}")
                self.files[job.files[-1]] = "1\n"
        final = self.jobs.pop("final", None)
        self.jobs[name] = job
        if final:
            self.jobs["final"] = final
        return f"{name} added"

    def add_edges(self, job: Planned, count: int) -> list[Planned]:
        sources = self.available(job)
        # Near ones more often: so there are chains, too.
        chosen = [source for source in sources[-6:] if self.pick.random() < 0.5] or sources
        chosen = self.pick.sample(chosen, min(count, len(chosen)))
        for source in chosen:
            part = self.pick.choice([None, *range(source.parts)]) if source.kind in SEVERAL else None
            job.edges.append(Edge(source.name, part, self.pick.random() < 0.8))
        return chosen

    def change_constant(self) -> str:
        job = self.pick.choice(self.of_kind(*MAKING))
        job.constant = self.pick.choice([each for each in (1, 2, 3) if each != job.constant])
        return f"code of {job.name} changed"

    def change_param(self) -> str:
        name = self.pick.choice(sorted(self.params))
        self.params[name] = self.pick.choice([each for each in (1, 2, 3) if each != self.params[name]])
        return f"parameter {name} changed"

    def change_file(self) -> str:
        name = self.pick.choice(sorted(self.files))
        self.files[name] = self.pick.choice([each for each in ("1\n", "2\n", "3\n") if each != self.files[name]])
        return f"input {name} changed"

    def remove_job(self) -> str:
        """And whatever names it."""
        needed = {job.gives[0] for job in self.of_kind("injection") if len(job.gives) == 1}
        jobs = [job for job in self.of_kind(*MAKING, "injection") if job.name not in needed]
        gone = self.pick.choice(jobs or [None])
        if gone is None:
            return "nothing to remove"
        del self.jobs[gone.name]
        for job in self.jobs.values():
            job.edges = [edge for edge in job.edges if edge.source != gone.name]
            job.gives = [name for name in job.gives if name != gone.name]
        return f"{gone.name} removed"

    def add_edge(self) -> str:
        job = self.pick.choice(self.of_kind(*MAKING))
        return f"{job.name} given inputs: {', '.join(each.name for each in self.add_edges(job, 1))}"

    def remove_edge(self) -> str:
        jobs = [job for job in self.of_kind(*MAKING) if job.edges]
        if not jobs:
            return "no edge to remove"
        job = self.pick.choice(jobs)
        gone = job.edges.pop(self.pick.randrange(len(job.edges)))
        return f"{job.name} no longer depends on {gone.source}"

    def spoil(self) -> str:
        """Have one job fail."""
        job = self.pick.choice(self.of_kind(*MAKING))
        path = f"in/for_{job.name}"
        if path not in job.files:
            job.files.append(path)
        self.files[path] = BAD
        return f"{job.name} made to fail"

    def mend(self) -> None:
        """Whatever was spoiled, often with what was there before."""
        for path, text in self.files.items():
            if text == BAD:
                self.files[path] = self.pick.choice(("1\n", "1\n", "2\n"))

    def edit(self) -> str:
        """One edit of the script or of its input files."""
        edits = (self.change_constant, self.change_param, self.change_file, self.add_job, self.remove_job)
        return self.pick.choice((*edits, self.change_param, self.add_edge, self.remove_edge))()
