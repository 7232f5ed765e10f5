"""What a run would do, told without running anything and without changing any file.

Owns what is given back by ``run_pipegraph(dry_run=True)``. Decides nothing by itself: it asks the engine, also for what
would follow if something had changed.
"""

from .ahead import Foreseen, Outlook, outlook_of
from .changes import Changes
from .looking import look_ahead

__all__ = ["Changes", "Foreseen", "Outlook", "look_ahead", "outlook_of"]
