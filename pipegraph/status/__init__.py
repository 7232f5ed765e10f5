"""What is remembered between runs: traces, failures, fingerprints of invariants, in one text file.

Owns the file, its lock and its format. Decides nothing: whether a job must run is the engine's.
"""

from .recollection import PAST_UNKNOWN
from .store import SYNC_SECONDS, StatusFile

__all__ = ["PAST_UNKNOWN", "SYNC_SECONDS", "StatusFile"]
