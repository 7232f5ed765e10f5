"""Hears: what is typed while a run goes on. Owns the terminal's input mode for as long; shows nothing."""

from .editor import LineEditor
from .terminal import Keyboard

__all__ = ["Keyboard", "LineEditor"]
