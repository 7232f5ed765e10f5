"""Does: forks a process per job, captures, reaps, reports."""

from .local import LocalSlave
from .protocol import Runnable, Workload

__all__ = ["LocalSlave", "Runnable", "Workload"]
