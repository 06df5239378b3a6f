"""Bugs that somebody might write one day, each planted for as long as a block runs.

``make reliability`` and tests/simulation/test_planted_bugs.py show that the simulator turns red for
every one of them, and tell which check did.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from tests.simulation.reference import DOUBLED, OVERSIZED, REFERENCE, SIBLINGS
from workflow_engine.adapters.memory import persistence as memory
from workflow_engine.adapters.memory.persistence import MemoryPersistence
from workflow_engine.hosts.serverless import ServerlessHost
from workflow_engine.kernel import advance, claim, commit, payloads, teller, transitions
from workflow_engine.kernel.execution import endings, keeper, recorder
from workflow_engine.kernel.handlers import create_run
from workflow_engine.kernel.transitions import heads
from workflow_engine.model import commits, runs
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.events import event_of
from workflow_engine.model.results import RunTransitioned
from workflow_engine.model.status import Status
from workflow_engine.ports.identity import RandomIds
from workflow_engine.testing.clock import SequentialIds
from workflow_engine.testing.simulation import Scenario, Violation, simulate


@dataclass(frozen=True, slots=True)
class Patch:
    """*make* gets what *name* of *owner* is, and answers what it shall be."""

    owner: Any
    name: str
    make: Callable[[Any], Any]


@contextmanager
def planted(bug: str) -> Iterator[None]:
    """Have *bug* (a name of ``BUGS``) for as long as the block runs."""
    with ExitStack() as stack:
        for patch in BUGS[bug]:
            original = patch.owner.__dict__[patch.name]
            setattr(patch.owner, patch.name, patch.make(original))
            stack.callback(setattr, patch.owner, patch.name, original)
        yield


@dataclass(frozen=True, slots=True)
class Catch:
    """*seeds* histories were needed until *check* said *problem*."""

    check: str
    seeds: int
    problem: str


# The scenarios in which a bug is likely to show, where it is not the reference.
SCENARIOS: Mapping[str, Scenario] = {
    "drop the epoch from a condition (siblings)": SIBLINGS,
    "skip the size check": OVERSIZED,
    "lose the last sibling's answer and with it the join": SIBLINGS,
    "take a refusal for a defeat after a lost answer": DOUBLED,
}


def catch(bug: str, *, seeds: int) -> Catch | None:
    """The first history that shows *bug*; ``None`` where *seeds* of them do not."""
    scenario = SCENARIOS.get(bug, REFERENCE)
    with planted(bug):
        for seed in range(seeds):
            violation = simulate(scenario, seed).violation or _differs(scenario, seed, bug)
            if violation is not None:
                return Catch(violation.invariant, seed + 1, re.sub(r"\b[a-z2-7]{26}\b", "…", violation.problem))
    return None


def _differs(scenario: Scenario, seed: int, bug: str) -> Violation | None:
    """I9, for the bugs that break it: a history that is not the same the second time."""
    if "deterministic" not in bug:
        return None
    once, again = simulate(scenario, seed), simulate(scenario, seed)
    return None if once.fingerprint == again.fingerprint else Violation("I9: the same seed gave two histories")


def _publish_before_commit(original: Any) -> Any:
    def keep(self: Any, attempt: Any, lease: Any, turn: Any) -> Any:
        data, told = turn.data, turn.told
        if claim.holds(data.head, lease):
            commit = endings.decide_ending(attempt, lease, data, told, invocation=turn.invocation)
            if isinstance(commit, Exclusive):
                self.teller.tell_events(commit.after, told)
        return original(self, attempt, lease, turn)

    return keep


def _any_siblings_lease(original: Any) -> Any:
    anybodys = _any_lease(original)
    return lambda head, lease: anybodys(head, lease) if len(head.active) > 1 else original(head, lease)


def _any_lease(_original: Any) -> Any:
    def holds(head: Any, lease: Any) -> bool:
        if head.status.is_terminal or head.group != lease.group or lease.ordinal >= len(head.active):
            return False
        return bool(head.active[lease.ordinal].state is runs.EntryState.LEASED)

    return holds


def _any_epoch(original: Any) -> Any:
    def changed(head: Any, change: Any) -> Any:
        if isinstance(change, commits.Finish | commits.Hold | commits.Fail) and change.ordinal < len(head.active):
            change = replace(change, epoch=head.active[change.ordinal].epoch)
        return original(head, change)

    return changed


def _unconditional_clear(original: Any) -> Any:
    def decided(self: Any, head: Any, commit: Any) -> Any:
        if isinstance(commit, Exclusive) and commit.after.due_at is None:
            return commit.after
        return original(self, head, commit)

    return decided


def _without_due(original: Any) -> Any:
    def create(*args: Any, **named: Any) -> Any:
        commit = original(*args, **named)
        return replace(commit, after=replace(commit.after, due_at=None))

    return create


def _later_after_wait(original: Any) -> Any:
    def next_due(head: Any, at: Any, horizon: Any) -> Any:
        due = original(head, at, horizon)
        waits = any(entry.state is runs.EntryState.WAITING for entry in head.active)
        return due + timedelta(hours=2) if due and waits else due

    return next_due


def _ignore_refusals(_original: Any) -> Any:
    def emit(self: Any, head: Any, pending: Any, start: int) -> Any:
        events = [event_of(head, event, start + i + 1) for i, event in enumerate(pending)]
        if events:
            self.event_sink.emit(events)
        return transitions.Told(start + len(events))

    return emit


def _drop_untold(original: Any) -> Any:
    def after_telling(head: Any, told: Any) -> Any:
        return original(head, replace(told, through=head.told + head.untold))

    return after_telling


_attempt_in_hand: list[int] = [1]


def _store_by_attempt(original: Any) -> Any:
    def store(self: Any, attempt: Any, lease: Any, data: Any) -> Any:
        _attempt_in_hand[0] = attempt.number
        return original(self, attempt, lease, data)

    return store


def _key_by_attempt(original: Any) -> Any:
    return lambda group, stage_id, _epoch: original(group, stage_id, _attempt_in_hand[0] - 1)


_received: list[int] = [1]


def _count_receives(original: Any) -> Any:
    def handle_job(self: Any, message: Any, **kwargs: Any) -> Any:
        _received[0] = getattr(message, "receive_count", 1)
        return original(self, message, **kwargs)

    return handle_job


def _attempt_by_receives(original: Any) -> Any:
    def lease(*args: Any, **named: Any) -> Any:
        taken = original(*args, **named)
        return taken and replace(taken, entry=replace(taken.entry, attempt=_received[0]))

    return lease


def _revive(original: Any) -> Any:
    def apply_shared(head: Any, commit: Any) -> Any:
        claims = isinstance(commit.change, commits.ClaimFirst | commits.ClaimDue | commits.ClaimExpired)
        if head.status is Status.CANCELLED and claims:
            head = replace(head, status=Status.RUNNING)
        return original(head, commit)

    return apply_shared


def _never_join_later(_original: Any) -> Any:
    return lambda _self, head, _definition, _invocation: RunTransitioned(action="noop", next_group=head.group)


BUGS: Mapping[str, tuple[Patch, ...]] = {
    "publish before commit": (Patch(keeper.Keeper, "keep", _publish_before_commit),),
    "drop the epoch from a condition (alone)": (
        Patch(keeper, "holds", _any_lease),
        Patch(claim, "holds", _any_lease),
    ),
    "drop the epoch from a condition (siblings)": (
        Patch(keeper, "holds", _any_siblings_lease),
        Patch(commits, "_changed", _any_epoch),
    ),
    "clear the head without a condition": (Patch(MemoryPersistence, "_decided", _unconditional_clear),),
    "forget due_at": (Patch(transitions, "create", _without_due),),
    "due_at later than a timer": (Patch(heads, "next_due", _later_after_wait),),
    "let a shared commit move due_at later": (
        Patch(commits, "_earlier", lambda _: lambda current, wanted: wanted or current),
    ),
    "a run id that is not deterministic": (
        Patch(create_run, "run_id_for", lambda _: lambda *_parts: RandomIds().new_id()),
    ),
    "an invocation id that is not deterministic": (
        Patch(SequentialIds, "new_id", lambda _: lambda _self: RandomIds().new_id()),
    ),
    "ignore a refused entry": (Patch(teller.Teller, "_emit", _ignore_refusals),),
    "remove an event before it is told": (Patch(heads, "after_telling", _drop_untold),),
    "key a stage record by attempt": (
        Patch(recorder.Recorder, "store", _store_by_attempt),
        Patch(recorder, "key_of", _key_by_attempt),
    ),
    "count attempts by the receive count": (
        Patch(ServerlessHost, "handle_job", _count_receives),
        Patch(claim, "_lease", _attempt_by_receives),
    ),
    "skip the size check": (Patch(payloads, "MAX_PAYLOAD_BYTES", lambda _: 1 << 40),),
    "resume a cancelled run": (Patch(memory, "apply_shared", _revive),),
    "lose the last sibling's answer and with it the join": (Patch(advance.Advancer, "_joined", _never_join_later),),
    "take a refusal for a defeat after a lost answer": (Patch(commit, "is_ours", lambda _: lambda *_parts: False),),
}
