"""What may go wrong at a port call, and how often. What it does is in ``world``."""

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum


class Fault(IntEnum):
    """What happens to one port call. 0 is nothing."""

    NONE = 0
    CRASH_BEFORE = 1
    CRASH_AFTER = 2
    FAIL_BEFORE = 3
    ANSWER_LOST = 4
    TWICE = 5
    STALL_BEFORE = 6
    STALL_AFTER = 7
    PARTIAL = 8
    REFUSED = 9


CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
# What a stall may take: within a lease, about a lease, past the safety net, past everything.
STALLS = (timedelta(seconds=40), timedelta(minutes=6), timedelta(minutes=17), timedelta(hours=2))
SKEWS = (
    timedelta(0),
    timedelta(seconds=2),
    timedelta(seconds=-45),
    timedelta(minutes=3),
    timedelta(minutes=-3),
)
MAX_SKEW = timedelta(minutes=3)

READS = frozenset({
    "load_head", "load_heads", "load_records", "list_records", "load_bundle", "load_input", "list_steps", "load_spilled", "load_signal",
    "list_dead_letters", "list_logs", "list_annotations", "load_idempotency", "load_definition", "list_due",
    "definition_kept_at",
    "list_runs", "list_failures", "get", "has", "list", "list_dead", "list_recurrences", "waiting",
})  # fmt: skip
PARTIAL_METHODS = frozenset({
    "emit", "enqueue_parallel", "put_spilled", "delete_spilled", "put_logs", "put_annotations",
})  # fmt: skip


class Crash(KeyboardInterrupt):
    """The process dies here. A ``KeyboardInterrupt``, which the engine hands on untouched."""


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How many of a thousand port calls meet each fault, and after how many faults or steps the
    world calms down, so that a history comes to its end. A *refused* call is answered with an error
    that no retry mends. Clocks are off by up to *most_skew*."""

    crash: int = 8
    fail: int = 8
    answer_lost: int = 6
    twice: int = 6
    stall: int = 6
    partial: int = 80
    refused: int = 0
    most_faults: int = 40
    most_steps: int = 1500
    skewed_clocks: bool = True
    most_skew: timedelta = MAX_SKEW
    unruly_messages: bool = True

    def weights(self, method: str) -> tuple[int, ...]:
        """The weights of the faults of *method*, by ``Fault``."""
        writes = method not in READS
        faults = (
            self.crash,
            self.crash if writes else 0,
            self.fail,
            self.answer_lost if writes else 0,
            self.twice if writes else 0,
            self.stall,
            self.stall if writes else 0,
            self.partial if method in PARTIAL_METHODS else 0,
            self.refused,
        )
        return (1000 - sum(faults), *faults)


@dataclass(frozen=True, slots=True)
class Outage:
    """A service that does not answer: *port* is ``persistence``, ``blobs``, ``jobs``, ``events`` or
    ``scheduler``, *begin* counts from the start of the history."""

    port: str
    begin: timedelta
    length: timedelta


QUIET = FaultRates(
    crash=0, fail=0, answer_lost=0, twice=0, stall=0, partial=0, skewed_clocks=False, unruly_messages=False
)
