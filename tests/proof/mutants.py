"""Plants faults in the engine and in the status file's code, one at a time, and reports those that no test sees.

A fault (mutant) differs from the code in one operator, one condition, one number or one statement. Most are
cosmic-ray's; two operators are our own. Each is written into a copy of the repository in a temporary folder, where the
package's checks run, those named after the module and the quickest first, each in a fork of a process that has
imported the tools already. One that fails, or hangs, has killed the mutant. A survivor is a missing test, needless
code, or equivalent: then ``equivalent_mutants.txt`` beside this file says why.

Verdicts are appended to a file as they come. A mutant is tried again if its module has changed, a survivor also if the
checks have; for a run from nothing delete the file.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib
import json
import multiprocessing
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import parso
import psutil
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENTS = Path(__file__).with_name("equivalent_mutants.txt")

RANDOM = "tests/test_engine_random.py::test_what_must_always_hold_does_on_random_graphs"
CHECKS = {
    "engine": [
        "tests/test_engine.py",
        "tests/test_engine_growth.py",
        " ".join(f"{RANDOM}[{seed}]" for seed in range(8)),
        "tests/test_proof_graphs.py::test_there_is_no_violation_where_there_is_no_fault",
    ],
    "status": [
        "tests/test_status_records.py",
        "tests/test_status.py",
        "tests/test_status_damage.py",
        "tests/test_status_faults.py",
        "tests/test_status_compaction.py",
        "tests/test_status_lock.py",
        "tests/test_status_survey.py",
    ],
}
"""What must fail when a package is broken: arguments of pytest, one process each."""

WORKERS = 2
MOST_BYTES = 4 << 30
"""Address space of a check: a loop that never ends may fill memory before its time is up."""

OPTIONS = ["-p", "pytest_timeout", "--timeout=0", "-x", "-q", "--tb=no", "-p", "no:cacheprovider"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what was imported before the forks

Result = dict[str, Any]


class DropStatement(Operator):
    """Leaves out a simple statement."""

    KEPT = ("string", "strings", "fstring", "import_name", "import_from", "assert_stmt", "global_stmt", "nonlocal_stmt")

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.parent is None or node.parent.type != "simple_stmt" or node is not node.parent.children[0]:
            return
        is_declaration = node.type == "expr_stmt" and node.children[1].type == "annassign"
        if is_declaration and len(node.children[1].children) == 2:
            return
        if node.type not in self.KEPT and node.get_code(include_prefix=False) not in ("pass", "..."):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return Keyword("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("x = 1\n", "pass\n"), Example("if x:\n    return 1\n", "if x:\n    pass\n"))


class NegateCondition(Operator):
    """Negates a condition, each part of one, and each comparison; cosmic-ray's leaves out elif, in, and operands."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.parent is None or node.type in ("not_test", "keyword"):
            return
        before = node.get_previous_sibling()
        is_condition = before is not None and before.type == "keyword" and before.value in ("if", "elif", "while")
        if is_condition or node.parent.type in ("or_test", "and_test") or node.type == "comparison":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return parso.parse(f"{node.get_first_leaf().prefix}(not ({node.get_code(include_prefix=False)}))")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("if x: y", "if (not (x)): y"), Example("x in y", "(not (x in y))"))


def _operators() -> Iterator[tuple[str, Operator]]:
    replaced = {
        "ReplaceComparisonOperator": "Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt",
        "ReplaceBinaryOperator": "Add_Sub Sub_Add Mul_FloorDiv FloorDiv_Mul Mod_Mul BitOr_BitAnd BitAnd_BitOr "
        "LShift_RShift RShift_LShift",
        "ReplaceUnaryOperator": "Delete_Not Delete_USub Delete_Invert",
    }
    names = [f"{kind}_{change}" for kind, changes in replaced.items() for change in changes.split()]
    names += ["ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"]
    names += ["ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"]
    names += ["RemoveDecorator"]
    yield from ((name, get_operator(f"core/{name}")()) for name in names)
    yield from ((own.__name__, own()) for own in (DropStatement, NegateCondition))


OPERATORS = dict(_operators())


class Mutant(NamedTuple):
    """One fault; `occurrence` is cosmic-ray's count of the places where the operator fits."""

    module: str
    source: str
    operator: str
    occurrence: int
    line: int
    function: str


def mutants_of(module: str, text: str) -> Iterator[Mutant]:
    """All faults of a module that can change what it does."""
    source = hashlib.sha256(text.encode()).hexdigest()[:16]
    nodes = list(ast_nodes(get_ast(text)))
    for name, operator in OPERATORS.items():
        places = [(node, place) for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, (node, ((line, _), _)) in enumerate(places):
            ancestors = [node]
            while ancestors[-1].parent is not None:
                ancestors.append(ancestors[-1].parent)
            if not any(map(_is_idle, [None, *ancestors], ancestors)):
                scopes = [each.name.value for each in reversed(ancestors) if each.type in ("funcdef", "classdef")]
                yield Mutant(module, source, name, occurrence, line, ".".join(scopes))


def _is_idle(part: Any, whole: Any) -> bool:
    """Part of an annotation, an alias of types, an import, the message of an assertion or an f-string."""
    match whole.type:
        case "annassign":
            return part is whole.children[1]
        case "tfpdef":
            return part is whole.children[2]
        case "funcdef":
            return part is whole.annotation
        case "expr_stmt":
            return whole.get_code(include_prefix=False).startswith("__all__") or ": TypeAlias" in whole.get_code()
        case "assert_stmt":
            return whole.children.index(part) > 2
    return whole.type in ("import_from", "import_name", "fstring")


def change(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, each side on one line."""
    old, new = before.splitlines(), after.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return " ".join(" ".join(old).split()), " ".join(" ".join(new).split())


# --- trying one


def fails(copy: Path, check: str, longest_seconds: float) -> str:
    """How a check fails on a copy of the repository: "killed", "timeout", or "" if it passes."""
    child = os.fork()
    if not child:
        _check(copy, check)
    waiting = os.pidfd_open(child)
    try:
        if not select.select([waiting], [], [], longest_seconds)[0]:
            return "timeout"
        # Not reaped before its group is killed: until then the number is nobody else's.
        return "killed" if os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT).si_status else ""
    finally:
        os.close(waiting)
        _end(child)


def _check(copy: Path, check: str) -> None:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nowhere, descriptor)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        os.chdir(copy)
        sys.path[:0] = [str(copy), str(copy / "tests")]
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
        for name in [name for name in sys.modules if name.split(".")[0] == "proof"]:
            del sys.modules[name]
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        # An example that one mutant left behind would be tried on the next.
        hypothesis.settings.register_profile("proof", database=None, derandomize=True)
        hypothesis.settings.load_profile("proof")
        code = int(pytest.main([*OPTIONS, f"--basetemp={copy}-temporary", *check.split()]))
    finally:
        os._exit(code != 0)


def _end(child: int) -> None:
    """Kill a check that hangs, and whatever a check left behind."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(child).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    with suppress(ProcessLookupError):  # it has no group yet
        os.killpg(child, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


class Worker:
    """A process of the pool: has a copy of its own, in which it plants one fault after the other."""

    here: Worker

    def __init__(self, copies: multiprocessing.SimpleQueue[Path], seconds: dict[str, float]) -> None:
        self.copy = copies.get()
        self.seconds = seconds
        # Within a second, a cached file could be taken for that of another mutant.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        Worker.here = self

    def attempt(self, mutant: Mutant) -> Result:
        started = time.monotonic()
        path = self.copy / "pipegraph" / mutant.module
        text = path.read_text(encoding="utf-8")
        mutated = mutate_code(text, OPERATORS[mutant.operator], mutant.occurrence)
        before, after = change(text, mutated)
        verdict, by = "survived", ""
        try:
            compile(mutated, mutant.module, "exec")
            path.write_text(mutated, encoding="utf-8")
            for by in checks_of(mutant.module, self.seconds):
                how = fails(self.copy, by, max(20.0, 10 * self.seconds[by]))
                if how:
                    verdict = how
                    break
        except SyntaxError:
            verdict = "invalid"
        finally:
            path.write_text(text, encoding="utf-8")
        found = {"before": before, "after": after, "verdict": verdict, "by": by}
        return mutant._asdict() | found | {"seconds": round(time.monotonic() - started, 2)}


def _attempt(mutant: Mutant) -> Result:
    return Worker.here.attempt(mutant)


def checks_of(module: str, seconds: dict[str, float]) -> list[str]:
    """The package's checks: those named after the module, then the quickest, first."""
    name = Path(module).stem
    return sorted(CHECKS[Path(module).parts[0]], key=lambda check: (name not in Path(check).stem, seconds[check]))


def digest_of_checks(folder: Path) -> str:
    """Changes with the files of the checks, and with those that they share."""
    paths = sorted(path for path in folder.glob("*.py") if path.name[:5] != "test_" or path.name in str(CHECKS))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


# --- trying all


def attempt_all(todo: list[Mutant], folder: Path) -> Iterator[Result]:
    """Try mutants on copies of what is in `folder`, as they come."""
    for name in ("hypothesis.strategies", "pytest_timeout"):
        importlib.import_module(name)  # before the forks
    gc.freeze()
    sys.dont_write_bytecode = False  # what has no fault is compiled once
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = {}
    for check in sorted({check for mutant in todo for check in CHECKS[Path(mutant.module).parts[0]]}):
        started = time.monotonic()
        if fails(folder, check, 600):
            raise SystemExit(f"{check} fails without any fault")
        seconds[check] = time.monotonic() - started
    forks = multiprocessing.get_context("fork")
    copies = forks.SimpleQueue()
    for number in range(WORKERS):
        copies.put(shutil.copytree(folder, folder.with_name(f"copy{number}")))
    with forks.Pool(WORKERS, Worker, (copies, seconds)) as pool:
        yield from pool.imap_unordered(_attempt, todo)


def equivalents() -> dict[tuple[str, ...], str]:
    """Reasons by module, function, and what is written before and after."""
    listed = {}
    for paragraph in EQUIVALENTS.read_text(encoding="utf-8").split("\n\n"):
        lines = paragraph.strip().splitlines()
        if lines and not lines[0].startswith("#"):
            (module, _, function), before, after, *reason = lines[0].partition(" "), *lines[1:]
            assert before.startswith("- ") and after.startswith("+ ") and reason, paragraph
            listed[module, function, before[2:], after[2:]] = " ".join(reason)
    return listed


def report(results: Iterable[Result], listed: dict[tuple[str, ...], str]) -> int:
    """Print what was found; 1 if a survivor is not on the list, or what is on it has been killed or is gone."""
    of_module: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: (result["module"], result["line"])):
        of_module.setdefault(result["module"], []).append(result)
    print(f"{'module':26} mutants  killed  timeouts  survived  (equivalent)")
    unexplained = []
    unused = {key for key in listed if key[0] in of_module}
    for module, found in of_module.items():
        survivors = [result for result in found if result["verdict"] == "survived"]
        keys = [(module, result["function"], result["before"], result["after"]) for result in survivors]
        unexplained += [result for result, key in zip(survivors, keys) if key not in listed]
        unused -= set(keys)
        count = Counter(result["verdict"] for result in found)
        figures = (count["killed"], count["timeout"], count["survived"], sum(key in listed for key in keys))
        print("{:26} {:7} {:7} {:9} {:9} {:9}".format(module, sum(count.values()) - count["invalid"], *figures))
    for result in unexplained:
        print("\n{module}:{line} {function}\n- {before}\n+ {after}".format(**result))
    for key in sorted(unused):
        print("\non the list of equivalents, but killed or gone:\n{} {}\n- {}\n+ {}".format(*key))
    return int(bool(unexplained or unused))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--module", action="append", help="only this one: engine/engine.py; again for more")
    parser.add_argument("--results", type=Path, default=Path(".mutants.jsonl"), help="where verdicts are kept")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the workers too: so that copies and checks don't stay
    with tempfile.TemporaryDirectory(prefix="pipegraph-mutants-") as temporary:
        clean = Path(temporary, "clean")
        leftovers = shutil.ignore_patterns("__pycache__", ".*", "logs", "results")
        shutil.copytree(ROOT, clean, ignore=leftovers)
        modules = options.module or [
            f"{package}/{path.name}"
            for package in CHECKS
            for path in sorted((clean / "pipegraph" / package).glob("*.py"))
        ]
        tests = digest_of_checks(clean / "tests")
        texts = {module: (clean / "pipegraph" / module).read_text(encoding="utf-8") for module in modules}
        mutants = {mutant for module, text in texts.items() for mutant in mutants_of(module, text)}
        results: dict[Mutant, Result] = {}
        with options.results.open("a+", encoding="utf-8") as kept:
            kept.seek(0)
            for line in kept:
                result = json.loads(line)
                mutant = Mutant(*(result[field] for field in Mutant._fields))
                if mutant in mutants and (result["verdict"] != "survived" or result["tests"] == tests):
                    results[mutant] = result
            todo = sorted(mutants - results.keys(), key=lambda mutant: (modules.index(mutant.module), mutant))
            for result in attempt_all(todo, clean) if todo else ():
                kept.write(json.dumps(result | {"tests": tests}) + "\n")
                kept.flush()
                results[Mutant(*(result[field] for field in Mutant._fields))] = result
                if sys.stderr.isatty():
                    print(f"\r{len(results)} of {len(mutants)}", end="", file=sys.stderr)
    return report(results.values(), equivalents())


if __name__ == "__main__":
    sys.exit(main())
