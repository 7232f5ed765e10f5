"""Does: forks a process per job, captures, reaps, reports."""

from .child import put_away
from .deaths import ended_for_memory, ended_on_request, out_of_memory
from .local import LocalSlave
from .protocol import Runnable, Workload

__all__ = ["LocalSlave", "Runnable", "Workload", "ended_for_memory", "ended_on_request", "out_of_memory", "put_away"]
