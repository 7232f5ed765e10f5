"""Looks on: logs, progress lines, UDP. No watcher can fail a run."""

from .audience import Audience, Watcher, start_watchers
from .board import Board
from .wording import describe_failure

__all__ = ["Audience", "Board", "Watcher", "describe_failure", "start_watchers"]
