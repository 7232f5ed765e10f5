"""Whoever sits before the run: lines typed, questions answered, wishes passed on to the loop."""

from .dialogue import Controls, Dialogue

__all__ = ["Controls", "Dialogue"]
