"""The resource coordinator that scripts give to `new_pipegraph`: what one run may use of this machine."""

from __future__ import annotations

from .capacity import cores_of_this_process


class LocalSystem:
    """What one run may use of this machine.

    Parameters
    ----------
    max_cores_to_use
        Cores; None: all that this process may use.
    profile, interactive
        Taken for the sake of old scripts.

    Attributes
    ----------
    cores_available
        Cores of the next run; may be set before it.
    timeout
        Seconds; for old scripts, without effect.
    """

    def __init__(self, max_cores_to_use: int | None = None, profile: bool = False, interactive: bool = True) -> None:
        if max_cores_to_use is None:
            max_cores_to_use = cores_of_this_process()
        if not isinstance(max_cores_to_use, int) or max_cores_to_use < 1:
            raise ValueError(f"max_cores_to_use must be a whole number of at least 1, not {max_cores_to_use!r}")
        self.max_cores_to_use = max_cores_to_use
        self.cores_available = max_cores_to_use
        self.profile = profile
        self.interactive = interactive
        self.timeout = 5

    @property
    def cores(self) -> int:
        """That the next run will use."""
        return max(1, min(self.cores_available, self.max_cores_to_use))
