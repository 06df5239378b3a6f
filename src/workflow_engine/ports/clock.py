"""Where time and ids come from. Nothing else in the engine reads either (I9)."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The time, aware, in UTC. Two calls may answer the same; it may jump either way."""
        ...


class IdSource(Protocol):
    """Makes ids."""

    def new_id(self) -> str:
        """An id that no other call on any machine gets: 26 characters of ``a-z2-7``."""
        ...
