"""All benchmarks: what there are, and running some of them.

    python util/bench/run.py                        what there are
    python util/bench/run.py fresh nothing          these, with their own settings
    python util/bench/run.py --quick all            each with the smallest settings: do they still work?
    python util/bench/run.py tiny -- --repeat 3     what comes after -- goes to each of them

Another checkout is measured with its folder in the environment variable PIPEGRAPH_BENCH_CHECKOUT.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys

import measuring

NO_BENCHMARKS = frozenset({"at_once", "bare", "graphs", "measuring", "phases", "projects", "run"})
"""What the others use."""


def benchmarks() -> dict[str, str]:
    """Each with the first line of what it says of itself."""
    found = {}
    for path in sorted(measuring.FOLDER.glob("*.py")):
        if path.stem not in NO_BENCHMARKS:
            document = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem] = document.partition("\n")[0]
    return found


def main() -> int:
    """List them, or run those that are named; how many of them failed."""
    given, _, passed = (list(part) for part in _split(sys.argv[1:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest settings")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a benchmark, or all")
    options = parser.parse_args(given)
    known = benchmarks()
    unknown = [name for name in options.names if name not in {*known, "all"}]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}")
    if not options.names:
        print("\n".join(f"{name:<{max(map(len, known))}}  {said}" for name, said in known.items()))
        return 0
    failed = 0
    for name in known if "all" in options.names else options.names:
        print(f"\n{name}: {known[name]}\n", flush=True)
        command = [sys.executable, str(measuring.FOLDER / f"{name}.py"), *["--quick"] * options.quick, *passed]
        failed += bool(subprocess.run(command, env=measuring.environment(), check=False).returncode)
    return failed


def _split(arguments: list[str]) -> tuple[list[str], list[str], list[str]]:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at : at + 1], arguments[at + 1 :]


if __name__ == "__main__":
    sys.exit(main())
