"""How long the processes wait for what may never come."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long things wait for what may come: the engine's own times, or shorter ones for a quick trial.

    All processes are on one machine's clock, so the margin for clocks that differ may be short.
    """

    invocation_seconds: int = 10
    lease_seconds: float = 2.0
    visibility_seconds: int = 4
    clock_skew_seconds: float = 1.0
    wake_margin_seconds: float = 5.0


# The engine's own margins; only the invocation is short, as nobody waits a quarter of an hour here.
ENGINES_OWN = Patience(
    invocation_seconds=30, lease_seconds=6.0, visibility_seconds=12, clock_skew_seconds=5.0, wake_margin_seconds=60.0
)
