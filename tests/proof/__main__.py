"""The proof, by command: ``python tests/proof graphs --jobs 5``, ``cuts``, ``random``, ``attack``, ``mutants``.

What each tries, and what came of it, is in docs/reliability.rst.
"""

import importlib
import sys
from pathlib import Path

_MODULE_OF = {
    "graphs": "small",
    "cuts": "cuts",
    "random": "random_graphs",
    "attack": "attack",
    "mutants": "mutants",
}


def main() -> int:
    """Leave the rest to the one that is asked for."""
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here.parent.parent), str(here.parent)]
    if len(sys.argv) < 2 or sys.argv[1] not in _MODULE_OF:
        print(f"usage: python tests/proof {{{','.join(_MODULE_OF)}}} …   (each knows --help)", file=sys.stderr)
        return 2
    command = importlib.import_module(f"proof.{_MODULE_OF[sys.argv[1]]}")
    sys.argv[0] = f"python tests/proof {sys.argv[1]}"
    return int(command.main(sys.argv[2:]) or 0)


if __name__ == "__main__":
    sys.exit(main())
