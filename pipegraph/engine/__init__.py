"""Decides what runs, from what happened. No files, no clock, no logging, no processes."""

from .engine import Engine
from .instructions import DropProduct, EndRun, Instruction, StartJob, WithdrawJob
from .prospects import Fate, Prospect

__all__ = ["DropProduct", "EndRun", "Engine", "Fate", "Instruction", "Prospect", "StartJob", "WithdrawJob"]
