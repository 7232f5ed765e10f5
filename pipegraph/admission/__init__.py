"""Whether what would start next may start now, on this machine as it is."""

from .admission import Admission

__all__ = ["Admission"]
