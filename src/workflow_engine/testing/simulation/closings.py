"""What must be true of a run whose end is decided, and that is undone before it: pure functions of two heads, as
those in ``invariants``.

The end is decided once. Nothing that goes forward begins after it, nothing is undone while a lease holds, groups are
left behind in reverse order, and what is not undone by the end is listed.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from workflow_engine.kernel.transitions import wakes
from workflow_engine.model import plans
from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.runs import Closing, Entry, EntryState, Head
from workflow_engine.model.status import Status

_OVER = (EntryState.DONE, EntryState.FAILED)


def check_closing(before: Head, after: Head, *, at: datetime, skew: timedelta) -> Iterator[str]:
    """What is wrong with how a commit *at* that time brought a run nearer to its end."""
    if after.status is Status.COMPLETED and after.closing is not None:
        yield "closing: a run is COMPLETED, and was undone"
    if is_undo(before, after):
        yield from _check_undo(before, after)
    if before.is_closing and after.bases == before.bases:
        yield from _check_end(before, after)
        yield from _check_begun(before, after)
        yield from _check_left(before, after, at, skew)
    if plans.is_closing(after.group) and after.group != before.group:
        yield from _check_entered(before, after)


def is_undo(before: Head, after: Head) -> bool:
    """Whether somebody has asked to undo what a run left that was over (``run.undo``)."""
    undone = before.status in (Status.FAILED, Status.CANCELLED) and not after.status.is_terminal
    return undone and after.bases == before.bases and after.closing is not None and after.closing.asked is not None


def leaves(before: Head, after: Head) -> bool:
    """Whether a commit enters the closing phase, or leaves a group in it: those are not moved on as others are."""
    if before.is_closing and after.status.is_terminal:
        return True
    closes = plans.is_closing(before.group) or plans.is_closing(after.group)
    return closes and after.group != before.group


def _check_undo(before: Head, after: Head) -> Iterator[str]:
    if after.closing is not None and after.closing.status is not before.status:
        yield f"closing: a run that was {before.status} is undone, and is to be {after.closing.status}"
    kept = ("failure", "reason", "ended_by", "winners", "signals", "deadline")
    changed = [name for name in kept if getattr(before, name) != getattr(after, name)]
    if changed:
        yield f"I8: to undo a run that was {before.status} has changed its {', '.join(changed)}"


def _check_end(before: Head, after: Head) -> Iterator[str]:
    """What was decided stays decided, and comes true."""
    old, new = before.closing, after.closing
    assert old is not None
    if new is None or (new.status, new.at) != (old.status, old.at):
        yield f"closing: its end was {old.status}, decided at {old.at}, and is {new and new.status}"
        return
    for name in ("failure", "reason", "ended_by"):
        if getattr(before, name) != getattr(after, name):
            yield f"closing: the {name} of the end that was decided has changed"
    if after.status.is_terminal and after.status is not old.status:
        yield f"closing: it was to be {old.status}, and is {after.status}"
    if after.status.is_terminal and (after.group != new.group or after.active != new.entries):
        yield "closing: it is over, and does not stand where it had come to"
    if old.base is not None and (new.base, new.group, new.entries) != (old.base, old.group, old.entries):
        yield "closing: where the run stood has changed"
    if set(old.not_undone) - set(new.not_undone):
        yield "closing: what could not be undone is listed no more"


def _check_begun(before: Head, after: Head) -> Iterator[str]:
    """Nothing that goes forward begins once the end is decided."""
    if plans.is_closing(before.group) or after.group != before.group or after.status.is_terminal:
        return
    for ordinal, (old, new) in enumerate(zip(before.active, after.active, strict=True)):
        if new.state is EntryState.LEASED and (old.state, old.epoch) != (new.state, new.epoch):
            yield f"closing: stage {ordinal} of group {before.group} began after the end was decided"


def _check_left(before: Head, after: Head, at: datetime, skew: timedelta) -> Iterator[str]:
    """A group is left when nobody is at work in it, in reverse order, and with all of it undone or listed."""
    closing = after.closing
    if closing is None or not leaves(before, after):
        return
    if not after.status.is_terminal and after.group <= before.group:
        yield f"closing: it went from group {before.group} to {after.group}"
    if wakes.awaits_its_end(before):
        at_work = [ordinal for ordinal, entry in enumerate(before.active) if _holds(entry, at, skew)]
        given_up = closing.not_undone and after.status.is_terminal
        if at_work and not given_up:
            yield f"closing: it is undone, and the leases of stages {at_work} of group {before.group} hold"
        return
    if before.group != plans.ON_FAILURE:
        yield from _check_listed(before, closing)


def _check_listed(before: Head, closing: Closing) -> Iterator[str]:
    place, alone = plans.place_of(before.group), len(before.active) == 1
    for ordinal, entry in enumerate(before.active):
        listed = (place, ordinal) in closing.not_undone
        if entry.state is EntryState.FAILED and not listed:
            yield f"closing: the undo of stage {ordinal} of group {place} failed, and is not listed"
        done = entry.state in _OVER or (alone and entry.state is EntryState.LEASED)
        if not done and not listed:
            yield f"closing: the undo of stage {ordinal} of group {place} is {entry.state.name}, and was left"


def _holds(entry: Entry, at: datetime, skew: timedelta) -> bool:
    """Whether the code of a lease may be at work, by any clock."""
    at_work = entry.state is EntryState.LEASED or (entry.state is EntryState.WAITING and bool(entry.by))
    # Twice the skew, as with claims: the lease was granted by one clock, and is looked at by another.
    return at_work and entry.until is not None and entry.until + CLOCK_SKEW > at + 2 * skew


def _check_entered(before: Head, after: Head) -> Iterator[str]:
    closing = after.closing
    assert closing is not None
    if closing.base is None or after.base != closing.base:
        yield "closing: it has entered the phase without a base"
    newly = before.closing is None or before.closing.base is None
    drawn = int(newly) + int(is_undo(before, after))
    if after.epochs != before.epochs + drawn:
        yield f"I4: to close has drawn {after.epochs - before.epochs} epochs, and needs {drawn}"
    first = closing.base if closing.first is None else closing.first
    for ordinal, entry in enumerate(after.active):
        begins = entry.state in (EntryState.READY, EntryState.LEASED, EntryState.WAITING) and entry.epoch == first
        if not begins and entry.state is not EntryState.DONE:
            yield f"I4: a group of undos begins with stage {ordinal} {entry.state.name}(epoch {entry.epoch})"


def is_done(before: Head, after: Head, ordinal: int) -> bool:
    """Whether a commit that is no rerun's counts the outcome of a stage, or of what undoes it, that held a lease."""
    if after.group == before.group and not (before.is_closing and after.status.is_terminal):
        counted = ordinal < len(after.active) and after.active[ordinal].state is EntryState.DONE
        return counted or after.status is Status.COMPLETED
    if not plans.is_closing(before.group):
        # The phase is entered when no lease holds: what has one then has lost it.
        return not before.is_closing
    closing = after.closing
    assert closing is not None
    # Of the stage that is run on a failure nobody says what came of it.
    is_last = before.group == plans.ON_FAILURE
    return not is_last and (plans.place_of(before.group), ordinal) not in closing.not_undone
