"""How many threads libraries and programs begin in a job: as many as the job has cores.

Owns the environment's variables for that in the processes of a run; the script's own process is left as it is. Most
jobs have one core: the first slave says so once, before it forks any. A job of more cores says it in its own process.
What the user has set, before the run or in the script, stays.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

NUMBA = "NUMBA_NUM_THREADS"

VARIABLES = (
    "OMP_NUM_THREADS",  # OpenMP 5.2, section 21.1.2; also PyTorch and Arrow
    "OPENBLAS_NUM_THREADS",  # OpenBLAS, README, "Setting the number of threads"
    "MKL_NUM_THREADS",  # oneMKL for Linux Developer Guide, "OpenMP threading control"
    "BLIS_NUM_THREADS",  # BLIS, docs/Multithreading.md
    "NUMEXPR_NUM_THREADS",  # NumExpr user guide, "Threadpool configuration"
    NUMBA,  # Numba reference manual, "Environment variables", threading control
    "POLARS_MAX_THREADS",  # polars.thread_pool_size
    "RAYON_NUM_THREADS",  # rayon, ThreadPoolBuilder::num_threads
)

_OWN = {"PIPEGRAPH_CORES": "", "PIPEGRAPH_LEDGER": "off"}
"""A run inside of a job has the job's cores, which its own run has accounted for already. Whatever the user has set."""


class ThreadLimits:
    """The variables of one process, and of those that are forked from it.

    Parameters
    ----------
    environment
        As the user has it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._names = [name for name in VARIABLES if name not in environment]
        self._cores = 1

    def begin(self) -> None:
        """In the first slave: all jobs have one core, unless `grant` says otherwise."""
        self._set(1)

    def grant(self, cores: int) -> None:
        """In the process of a job."""
        if cores != self._cores:
            self._set(cores)

    def take_back(self) -> None:
        """A job's process becomes a slave: what it was granted is not for the jobs after it; what it set itself is."""
        said = str(self._cores)
        self._names = [name for name in self._names if os.environ.get(name, said) == said]
        self._set(1)

    def of_program(self, environment: dict[bytes, bytes], cores: int) -> dict[bytes, bytes]:
        """This process's environment, as it is to be for a program of so many cores."""
        if cores == self._cores:
            return environment
        return environment | {name.encode(): value.encode() for name, value in self._values(cores).items()}

    def _set(self, cores: int) -> None:
        os.environ.update(self._values(cores))
        self._cores = cores

    def _values(self, cores: int) -> dict[str, str]:
        count = str(cores)
        # Where its threads run already, numba refuses to compile once this has changed.
        is_fixed = "numba" in sys.modules
        values = {name: count for name in self._names if not (is_fixed and name == NUMBA)}
        return {**values, **_OWN, "PIPEGRAPH_CORES": count}
