"""Does: forks a process per job, captures, reaps, reports."""

from .child import put_away
from .deaths import ended_on_request
from .local import LocalSlave
from .protocol import Runnable, Workload

__all__ = ["LocalSlave", "Runnable", "Workload", "ended_on_request", "put_away"]
