"""How much a run may cost, and what is wrong with one that cost more.

A run to which nothing happened has fixed bounds. Each trouble that may have hit it allows for some
more: a lost message costs a look of the tick, a killed worker its lease and the work again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from workflow_engine.model.ids import RunId
from workflow_engine.testing.simulation.invariants import Bounds
from workflow_engine.testing.simulation.measures import Late, Tally
from workflow_engine.testing.simulation.troubles import Troubles

# Somebody looks at what is due within the horizon, by the tick that comes then, and once more where
# another one was about it.
LOOKS = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The most that a run may cost.

    *late* is how long what is due may wait, *calls* how often one stage is called (``None``: as often
    as its attempts and waits say), where nothing went wrong. *messages* are beyond one for each lease
    and each wait, *writes* are for each lease and one more; *a_trouble* more of both are allowed for
    everything that went wrong and every command, times the siblings of the largest group.
    *head_bytes* bounds the untold events in the head. A tick that meets a worker may have all events published
    once more, and so may each trouble and command.
    """

    late: timedelta = timedelta(seconds=10)
    calls: int | None = None
    messages: int = 2
    writes: int = 8
    a_trouble: int = 4
    head_bytes: int = 64 * 1024


def check_late(
    late: Late, run_id: RunId, *, troubles: Troubles, allowance: Allowance, bounds: Bounds, starved: timedelta
) -> Iterator[str]:
    """What is wrong with how late somebody came, and with the loss of a lease to nobody's harm."""
    if late.lost is not None and late.lost.task is not None and not late.lost.task.troubles:
        yield f"calls: {late.what} was taken from {late.lost.task.name}, to which nothing had happened"
    allowed = allowance.late
    look = bounds.horizon + LOOKS
    if troubles.count(run_id):
        found = troubles.since(run_id, late.due - look)
        allowed = max(allowed, look * (1 + len(found)) + sum((one.costs for one in found), timedelta(0)))
    allowed += 2 * bounds.skew + starved
    if late.span > allowed:
        yield f"late: {late.what} was due {late.span} before somebody came, {allowed} is allowed"


def check_tally(run_id: RunId, tally: Tally, *, hits: int, looks: int, allowance: Allowance) -> Iterator[str]:
    """What a run cost beyond its allowance, at the end of a history: *hits* is how much went wrong,
    *looks* how many commands looked after all runs."""
    more = allowance.a_trouble * (hits + looks + tally.commands) * tally.siblings
    messages = tally.claims + tally.waits + allowance.messages + more
    if tally.messages > messages:
        yield f"cost: {tally.messages} messages were sent for run {run_id}, {messages} are allowed"
    writes = allowance.writes * (1 + tally.claims) + more
    if tally.writes > writes:
        yield f"cost: {tally.writes} writes were made for run {run_id}, {writes} are allowed"
    if tally.largest_head > allowance.head_bytes:
        yield f"cost: run {run_id} had {tally.largest_head} bytes of events in its head"
    repeats = (2 + hits + looks + tally.commands) * (tally.published - tally.repeats)
    if tally.repeats > repeats:
        yield f"cost: {tally.repeats} events of run {run_id} were published again, {repeats} are allowed"
    choices = 1 + hits + looks + tally.commands
    if max(tally.asked.values(), default=0) > choices:
        yield f"choices: a predicate of run {run_id} was asked {max(tally.asked.values())} times, {choices} are allowed"
    most = max(tally.calls.values(), default=0)
    if allowance.calls is not None and not hits and most > allowance.calls:
        yield f"calls: a stage of run {run_id} was called {most} times, and nothing had happened"


def overlap(begin: datetime, end: datetime, spans: list[tuple[datetime, datetime | None]]) -> timedelta:
    """How much of the time between *begin* and *end* lies in *spans*; one without an end goes on."""
    found = timedelta(0)
    for from_, to in spans:
        found += max(min(end, to or end) - max(begin, from_), timedelta(0))
    return found
