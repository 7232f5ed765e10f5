"""A machine's memory that is made up, in the place of `pipegraph.machine.memory.Memory`."""

from __future__ import annotations

MB = 1 << 20
GB = 1 << 30


class Machine:
    """What there is of memory, as a test wants it.

    Attributes
    ----------
    waits
        Share of the time in which programs wait for memory; None: this kernel does not tell.
    killed
        How many processes the kernel has killed so far.
    """

    def __init__(self, total: int = 10 * GB, waits: float | None = 0.0, killed: int = 0) -> None:
        self.total = self.free = total
        self.waits = waits
        self.killed = killed

    def available(self) -> int:
        return self.free

    def pressure(self) -> float | None:
        return self.waits

    def kills(self) -> int:
        return self.killed
