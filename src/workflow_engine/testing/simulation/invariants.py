"""The invariants I1 to I8 as pure functions of two heads: no store, no simulator, so that a test of
any adapter can use them. I9 (nothing reads time or chance but the ports) is that a history repeats.

Each function yields one line a violation, which starts with the invariant's name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from workflow_engine.kernel.transitions import wakes
from workflow_engine.model import plans
from workflow_engine.model.commits import Exclusive, Shared
from workflow_engine.model.limits import CLOCK_SKEW, WAKE_MARGIN
from workflow_engine.model.runs import SKIPPED_EPOCH, Entry, EntryState, Head, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.testing.simulation.closings import check_closing, is_undo, leaves

# What a terminal run may still change (I8): the bookkeeping of its last events, where its records lie, and what a
# rerun draws before it begins.
_BOOKKEEPING = ("version", "by", "due_at", "told", "spilled", "events", "refusals", "recent", "bundled", "epochs")


@dataclass(frozen=True, slots=True)
class Bounds:
    """*horizon* is the function's timeout + 60 s, *skew* how far a process's clock may be off."""

    horizon: timedelta
    skew: timedelta = timedelta(0)


def check_commit(
    before: Head | None, commit: Exclusive | Shared, after: Head, *, at: datetime, bounds: Bounds
) -> Iterator[str]:
    """What is wrong with *commit* having turned *before* into *after*."""
    yield from check_writer(before, commit, after)
    if before is not None:
        yield from check_terminal(before, after)
    yield from check_listed(after, at=at, bounds=bounds)
    if before is None:
        return
    yield from check_due_moves(before, commit, after)
    yield from check_epochs(before, after)
    yield from check_closing(before, after, at=at, skew=bounds.skew)
    yield from check_entries(before, after, at=at, bounds=bounds)
    yield from check_signals(after)


def check_writer(before: Head | None, commit: Exclusive | Shared, after: Head) -> Iterator[str]:
    """I1: every state change is a conditional write."""
    version = before.version if before else 0
    if after.version != version + 1:
        yield f"I1: the version went from {version} to {after.version}"
    if not isinstance(commit, Exclusive):
        return
    expected = commit.before.version if commit.before else None
    if (before.version if before else None) != expected:
        yield f"I1: an exclusive commit for version {expected} replaced version {version}"


def check_listed(head: Head, *, at: datetime, bounds: Bounds) -> Iterator[str]:
    """I2: nothing alive is unlisted."""
    if head.status.is_terminal and not head.untold:
        return
    if head.due_at is None:
        yield f"I2: {head.status} with {head.untold} untold events has no due_at"
        return
    latest = latest_due(head, at=at, bounds=bounds)
    if head.due_at > latest:
        yield f"I2: due_at {head.due_at.isoformat()} is later than {latest.isoformat()}"


def latest_due(head: Head, *, at: datetime, bounds: Bounds) -> datetime:
    """The latest ``due_at`` that I2 allows a head written *at* that time."""
    net = at + bounds.horizon + bounds.skew
    times = [net] if head.untold or head.status.is_terminal else []
    if not head.status.is_terminal:
        times.append(head.ends_at if head.ends_at > at + bounds.skew else net)
        # Once the end is decided, no wait holds anybody up any more, and what failed in undoing is over.
        waiting = wakes.awaits_its_end(head)
        over = (EntryState.DONE, EntryState.SKIPPED, *((EntryState.FAILED,) if head.is_closing else ()))
        times += [
            net if waiting else _latest_of(head, ordinal, at, net, bounds=bounds)
            for ordinal, entry in enumerate(head.active)
            if waiting or entry.state not in over
        ]
        if head.is_undecided:
            ahead = head.enters_at is not None and head.enters_at > at + bounds.skew
            times.append(head.enters_at + WAKE_MARGIN if ahead and head.enters_at else net)
        if wakes.all_done(head):
            times.append(net)
    return min(times)


def _latest_of(head: Head, ordinal: int, at: datetime, net: datetime, *, bounds: Bounds) -> datetime:
    entry = head.active[ordinal]
    if entry.until is None:
        return net
    if entry.state is EntryState.LEASED:
        return max(net, entry.until + bounds.horizon + bounds.skew)
    signalled = ordinal in wakes.awaited_signals(head)
    return net if signalled or entry.until <= at + bounds.skew else entry.until


def check_due_moves(before: Head, commit: Exclusive | Shared, after: Head) -> Iterator[str]:
    """I2: who may move ``due_at``, and who may remove it."""
    if isinstance(commit, Shared):
        if before.due_at and (after.due_at is None or after.due_at > before.due_at):
            yield f"I2: a shared commit moved due_at from {before.due_at} to {after.due_at}"
    elif before.due_at and after.due_at is None and not (after.status.is_terminal and not after.untold):
        yield "I2: due_at was removed from a run that is not over, or has events to tell"


def check_terminal(before: Head, after: Head) -> Iterator[str]:
    """I8: terminal is terminal, but for a rerun, and for what is undone afterwards."""
    if not before.status.is_terminal or _is_rerun(before, after) or is_undo(before, after):
        return
    same = replace(after, **{name: getattr(before, name) for name in _BOOKKEEPING})
    if same != before:
        yield f"I8: a run that was {before.status} was changed, and is {after.status}"


def check_epochs(before: Head, after: Head) -> Iterator[str]:
    """I4: the epoch counter only grows, and what has won stays."""
    if after.epochs < before.epochs:
        yield f"I4: the epoch counter went back from {before.epochs} to {after.epochs}"
    if _is_rerun(before, after):
        if not before.status.is_terminal:
            yield f"I8: a run that was {before.status} was started again"
        if not before.bases[-1][1] < after.bases[-1][1] <= before.epochs or after.epochs != before.epochs + 1:
            yield "I4: a rerun drew no epoch of its own"
        if after.signals or after.failure is not None or after.ended_at is not None:
            yield "I8: a rerun begins with what is left of the run before"
        return
    if after.bases != before.bases:
        yield "I4: the base epochs changed without a rerun"
    named = {at: epoch for at, epoch in before.winners.items() if at[0] >= after.winners_from}
    lost = [at for at, epoch in named.items() if after.winners.get(at) != epoch]
    if lost:
        yield f"I4: the winners of {lost} changed"


def check_entries(before: Head, after: Head, *, at: datetime, bounds: Bounds) -> Iterator[str]:
    """I4: a stage's outcome commits only under the lease it was claimed with."""
    if _is_rerun(before, after) or leaves(before, after):
        return
    if after.group != before.group or (after.status is Status.COMPLETED and before.status is not Status.COMPLETED):
        yield from _check_moved_on(before, after)
        return
    if before.is_undecided and after.active:
        yield from _check_entered(before, after, at, bounds)
        return
    if len(after.active) != len(before.active):
        yield "I4: the stages of a group changed in number"
        return
    drawn = 0
    for ordinal, (old, new) in enumerate(zip(before.active, after.active, strict=True)):
        if old != new:
            drawn += new.state is EntryState.LEASED and old.epoch != new.epoch
            where = f"{ordinal} went from {_told(old)} to {_told(new)}"
            yield from (
                f"I4: stage {where}: {problem}" for problem in _check_entry(before, old, new, at, bounds=bounds)
            )
    # Of a run that is over, a rerun that keeps steps draws its base before it begins.
    if after.epochs != before.epochs + drawn and not (before.status.is_terminal and after.epochs == before.epochs + 1):
        yield f"I4: {drawn} leases were drawn, the counter went from {before.epochs} to {after.epochs}"


def check_signals(head: Head) -> Iterator[str]:
    """I4: one signal answers one wait."""
    held = [entry.taken or entry.signal for entry in head.active if entry.taken or entry.state is EntryState.DONE]
    twice = {element for element in held if element is not None and held.count(element) > 1}
    if twice:
        yield f"I4: the signals {sorted(twice)} answer two waits each"


def _invocation(by: str) -> str:
    return by.partition(".")[0]


def _check_moved_on(before: Head, after: Head) -> Iterator[str]:
    first = before.group if before.is_undecided else plans.after(before.group)
    passed = range(first, after.group)
    if after.status is not Status.COMPLETED and not all(_is_skipped(after, group) for group in passed):
        yield f"I4: the run went from group {before.group} to {after.group}"
    by = {entry.by for entry in before.active if entry.state is EntryState.LEASED}
    # One stage alone, or an inline group's: those of one write of the invocation that leaves it.
    together = before.is_alone or (len(by) == 1 and _invocation(*by) == _invocation(after.by))
    for ordinal, entry in enumerate(before.active):
        is_over = entry.state in (EntryState.DONE, EntryState.SKIPPED)
        if not is_over and not (together and entry.state is EntryState.LEASED):
            yield f"I4: the group was left while stage {ordinal} was {_told(entry)}"
        if entry.signal is not None and entry.state is EntryState.DONE and entry.signal in after.signals:
            yield f"I4: a signal that stage {ordinal} has used up is kept"
        if after.winner(before.group, ordinal) != entry.epoch:
            yield f"I4: stage {ordinal} finished under epoch {entry.epoch}, and another one won"
    yield from _check_begun(after, after.base_of(after.group))


def _check_entered(before: Head, after: Head, at: datetime, bounds: Bounds) -> Iterator[str]:
    """I4: a run enters the group that it stood before, and not before its time."""
    if before.enters_at is not None and before.enters_at > at + 2 * bounds.skew:
        yield f"I4: the run began at {at}, and was to begin at {before.enters_at}"
    drawn = after.epochs - before.epochs
    if drawn not in (0, 1):
        yield f"I4: a group that is entered took the counter from {before.epochs} to {after.epochs}"
    yield from _check_begun(after, before.epochs if drawn else after.base)


def _is_skipped(head: Head, group: int) -> bool:
    """Whether the head tells of a skipped stage of *group*, which the run has gone past."""
    return any(at == group and epoch == SKIPPED_EPOCH for (at, _), epoch in head.winners.items())


def _check_begun(after: Head, base: int) -> Iterator[str]:
    for entry in after.active:
        if entry.state is EntryState.SKIPPED and entry.epoch == SKIPPED_EPOCH:
            continue
        if entry.state not in (EntryState.READY, EntryState.LEASED) or entry.epoch != base:
            yield f"I4: a group begins with {_told(entry)}, its base is {base}"


def _check_entry(head: Head, old: Entry, new: Entry, at: datetime, *, bounds: Bounds) -> Iterator[str]:
    if EntryState.SKIPPED in (old.state, new.state):
        yield "what was decided is decided again"
    elif old.state is EntryState.DONE or old.state is EntryState.FAILED or new.state is EntryState.READY:
        yield "what has ended does not begin again"
    elif new.state is EntryState.LEASED:
        yield from _check_claim(head, old, new, at, bounds=bounds)
    elif old.state is not EntryState.LEASED or old.epoch != new.epoch:
        yield "an outcome without the lease"
    elif new.state is EntryState.WAITING:
        steps = (0, 1) if new.wait is WaitKind.RETRY else (new.attempt - old.attempt,)
        if new.attempt - old.attempt not in steps:
            yield "attempts are counted by their failures"
        yield from _check_wait(old, new)


def _check_wait(old: Entry, new: Entry) -> Iterator[str]:
    if new.lost:
        yield "a stage that has come to an outcome has lost no worker since"
    if (
        new.give_up_at is not None
        and new.until is not None
        and new.wait is not WaitKind.RETRY
        and new.until > new.give_up_at
    ):
        yield f"it waits until {new.until}, and gives up at {new.give_up_at}"
    kept = (new.suspended_epoch, new.signal, new.give_up_at)
    if new.wait is WaitKind.RETRY and kept != (old.suspended_epoch, old.signal, old.give_up_at):
        yield "a retry is of what was tried: the check, the handler or the stage itself"


def _check_claim(head: Head, old: Entry, new: Entry, at: datetime, *, bounds: Bounds) -> Iterator[str]:
    if old.state is EntryState.LEASED and old.epoch == new.epoch:
        if old.by != new.by:
            yield "two leases under one epoch"
        return
    if old.state is EntryState.READY:
        if new.epoch != old.epoch:
            yield "a first lease has the base's epoch"
    elif new.epoch != head.epochs:
        yield f"the lease's epoch is not the counter's {head.epochs}"
    if new.attempt != old.attempt:
        yield "a claim is no attempt"
    if new.lost != old.lost + (old.state is EntryState.LEASED):
        yield "lost leases are counted when they are taken over"
    yield from _check_early(head, old, at, bounds)


def _check_early(head: Head, old: Entry, at: datetime, bounds: Bounds) -> Iterator[str]:
    if old.until is None or old.state is EntryState.READY:
        return
    signalled = old.wait is WaitKind.SIGNAL and wakes.free_signal(head, old) is not None
    margin = CLOCK_SKEW if old.state is EntryState.LEASED else timedelta(0)
    # Twice the skew: the lease was granted by one clock and is taken over by another.
    if not signalled and old.until + margin > at + 2 * bounds.skew:
        yield "claimed before its time"


def _is_rerun(before: Head, after: Head) -> bool:
    return after.bases != before.bases and before.status.is_terminal and not after.status.is_terminal


def _told(entry: Entry) -> str:
    return f"{entry.state.name}(epoch {entry.epoch})"
