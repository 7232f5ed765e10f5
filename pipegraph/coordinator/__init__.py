"""Who starts next: hands out cores, memory and named resources. Decides; starts nothing, and looks at no clock."""

from .coordinator import SHARED_AHEAD_PER_CORE, SHORT_SECONDS, Coordinator, Expected, Offer, Room
from .gaps import OVERTAKES_PER_CORE
from .needs import Held

__all__ = [
    "OVERTAKES_PER_CORE",
    "SHARED_AHEAD_PER_CORE",
    "SHORT_SECONDS",
    "Coordinator",
    "Expected",
    "Held",
    "Offer",
    "Room",
]
