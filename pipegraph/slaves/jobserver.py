"""Where jobs' processes meet jobservers of make: they take part in the run's own, and know of no other.

Owns nothing: the pipe is the host's (`machine.jobserver`), and an `Order` tells how to get there. Programs that are
started without Python find their way by what `Recipe.launch` adds to them.
"""

from __future__ import annotations

import os
import subprocess  # noqa: F401  # Imported by the slave, once, and not in the process of each job that hands descriptors on.
from collections.abc import MutableMapping

from ..machine.jobserver import Access, Joined, open_in_job
from ..machine.makeflags import MakeFlags


def take_part(access: tuple[str, bool, int]) -> Joined:
    """In the process of a job, before its callback.

    Raises
    ------
    OSError
        The pipe is gone, or can't be opened: the job does without.
    """
    os.stat(access[0])  # Where its path is enough, it is programs that open it.
    return open_in_job(Access._make(access), os.environ)


def without(error: OSError) -> tuple[str, str]:
    """What a person should know of a job that does without: headline and mend."""
    why = error.strerror or str(error)
    return f"its programs use its own cores only, since make's jobserver can't be reached: {why}", ""


def forget_outer(environment: MutableMapping[str, str]) -> None:
    """In the first slave: a run that make started knows make's jobserver, and its jobs are not to.

    The descriptors are not theirs: each make in a job would warn of that. What they may use is for the run to say.
    """
    for name in ("MAKEFLAGS", "CARGO_MAKEFLAGS", "MFLAGS"):
        flags = MakeFlags.read(environment.get(name, ""))
        if flags.auth:
            environment[name] = str(flags.without_jobserver())
