"""The resource coordinator that scripts give to `new_pipegraph`: what one run may use of this machine."""

from __future__ import annotations

import os

from ..errors import JobContractError
from ..model import Place
from .batch import Grant
from .capacity import CORES_VARIABLE, Capacity, capacity, checked_memory, restrictions_of

_SCRIPT = "the script"


class LocalSystem:
    """What one run may use of this machine.

    Parameters
    ----------
    max_cores_to_use
        Cores, also more than there are; None: all that this process may use.
    profile, interactive
        Taken for the sake of old scripts.
    memory
        Bytes, or text like ``"64GB"`` (`amounts.bytes_of`); None: all that this process may use.

    Attributes
    ----------
    timeout
        Seconds; for old scripts, without effect.
    cores_of_command
        What ``pipegraph run --cores`` asked for, which goes before everything; 0: nothing.

    Raises
    ------
    ValueError
        Cores or memory that make no sense.

    Notes
    -----
    ``PIPEGRAPH_CORES`` and ``PIPEGRAPH_MEMORY`` restrict what a script asks for; nothing else does.
    """

    def __init__(
        self,
        max_cores_to_use: int | None = None,
        profile: bool = False,
        interactive: bool = True,
        memory: int | str | None = None,
    ) -> None:
        if max_cores_to_use is not None and not _is_number_of_cores(max_cores_to_use):
            raise ValueError(f"max_cores_to_use must be a whole number of at least 1, not {max_cores_to_use!r}")
        self._max_cores = max_cores_to_use
        self._cores_available: int | None = None
        self._memory_bytes = None if memory is None else checked_memory(memory, "memory")
        self.cores_of_command = 0
        self.profile = profile
        self.interactive = interactive
        self.timeout = 5

    @property
    def max_cores_to_use(self) -> int:
        """As given, or else as many as this process may use now."""
        return capacity().cores if self._max_cores is None else self._max_cores

    @max_cores_to_use.setter
    def max_cores_to_use(self, cores: int) -> None:
        self._max_cores = cores

    @property
    def cores_available(self) -> int:
        """Cores of the next run, if no more than `max_cores_to_use`; may be set before it."""
        return self.max_cores_to_use if self._cores_available is None else self._cores_available

    @cores_available.setter
    def cores_available(self, cores: int) -> None:
        self._cores_available = cores

    @property
    def cores(self) -> int:
        """That the next run will use."""
        return self.capacity().cores

    @property
    def memory_bytes(self) -> int:
        """That the next run will use."""
        return self.capacity().memory_bytes

    def capacity(self) -> Capacity:
        """What a run that begins now will use, and who says so.

        Raises
        ------
        JobContractError
            ``PIPEGRAPH_CORES`` or ``PIPEGRAPH_MEMORY`` make no sense.
        """
        environ = dict(os.environ)
        cores = None
        if self.cores_of_command:
            cores = Grant(self.cores_of_command, "--cores")
            environ.pop(CORES_VARIABLE, None)
        elif self._max_cores is not None or self._cores_available is not None:
            cores = Grant(max(1, min(self.cores_available, self.max_cores_to_use)), _SCRIPT)
        memory = None if self._memory_bytes is None else Grant(self._memory_bytes, _SCRIPT)
        return capacity(environ, cores, memory)


def chosen_system(given: LocalSystem | None, cores: object, memory: object, where: Place) -> LocalSystem:
    """The system of a graph, by the arguments of `new_pipegraph`; checks the environment, too.

    Raises
    ------
    JobContractError
        They contradict each other, or one makes no sense.
    """
    try:
        restrictions_of(os.environ)
        if given is not None:
            names = [name for name, value in (("cores", cores), ("memory", memory)) if value is not None]
            if names:
                raise JobContractError(
                    f"{' and '.join(names)} given beside a resource coordinator",
                    [],
                    "Give them to it: LocalSystem(max_cores_to_use=…, memory=…); or give no resource coordinator.",
                )
            return given
        if cores is not None and not _is_number_of_cores(cores):
            raise JobContractError(
                "cores is not a number of cores",
                [("cores", repr(cores))],
                "Give a whole number of at least 1; leave it out to use all there are.",
            )
        return LocalSystem(cores, memory=memory)  # type: ignore[arg-type]
    except JobContractError as error:
        raise JobContractError(error.headline, [*error.facts, ("where", where)], error.mend) from None


def _is_number_of_cores(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= 1
