"""The head of a run and the records beside it, as values. No I/O and no rules: those are in the kernel.

These are plain frozen dataclasses, not pydantic models: only the engine makes them, thousands a
second, and the codec of an adapter validates what it reads.

Long as it is: all that is stored of a run is here, so that what belongs together is read together.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from workflow_engine.model import plans
from workflow_engine.model.altering import altered
from workflow_engine.model.ids import RunId, StageId, WorkflowId
from workflow_engine.model.instants import cut
from workflow_engine.model.limits import HEAD_OUTLIVES
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.status import Status


class EntryState(StrEnum):
    """What a stage of the current execution group is doing."""

    READY = "R"
    LEASED = "L"
    WAITING = "W"
    DONE = "D"
    FAILED = "F"
    SKIPPED = "S"


# The epoch of a stage that was skipped: no lease ever has it, and no record lies under it.
SKIPPED_EPOCH = -1
# The part of a stage that takes it back: see ``StageKey``.
UNDO = "undo"
# Takes the place of a signal that a sibling has used up, until an exclusive commit closes the gap:
# the others are found by their places meanwhile, so that siblings that use theirs refuse nobody.
USED_UP = ""


class WaitKind(StrEnum):
    """Why a stage waits. *SLEEP* is a wait of its body for a time; one that *CONTINUES* waits for nothing but
    another invocation, in which its body goes on behind its last step."""

    START = "b"
    RETRY = "r"
    POLL = "p"
    SIGNAL = "s"
    SLEEP = "t"
    CONTINUES = "c"


@dataclass(frozen=True)
class Entry:
    """One stage of the current execution group. Without slots, as the head (see ``altering``).

    *epoch* fences: the lease held (LEASED), the last one held (WAITING) or the one that won (DONE).
    *until* is the end of a lease, or when a wait is over. *by* names the write that took the lease.
    *lost* counts leases that ended without an outcome. *suspended_epoch* names the record that keeps
    the state of a suspended stage. *signal* is the name waited for, or, once DONE, the element of
    ``Head.signals`` that was used up. *taken* is the element that a sibling of a larger group has
    reserved for itself, from the claim until it is used up. One that waits has a *by* where the code of its lease could
    not be stopped, and may be at work *until* then. *step* names the wait of the stage's body that
    the entry is in, or was in when it was claimed: its end (*give_up_at*) stays what it is until the wait is answered.
    """

    state: EntryState
    epoch: int = 0
    attempt: int = 1
    until: datetime | None = None
    by: str = ""
    lost: int = 0
    wait: WaitKind | None = None
    suspended_epoch: int | None = None
    give_up_at: datetime | None = None
    signal: str | None = None
    taken: str | None = None
    step: str | None = None

    @property
    def is_in_body(self) -> bool:
        """Whether it waits, or waited, in the middle of its stage's body, which only newer code can go on with."""
        return self.step is not None or self.wait in (WaitKind.SLEEP, WaitKind.CONTINUES)


# What names an event outside of the head: its sequence, or the name it was put under before it had one.
EventKey: TypeAlias = int | str


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that is committed and may not be told yet. Its sequence follows from its place.

    With a *ref* it is whole in an item of its own under that name, and here is only what it is about.
    """

    type: str
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    ref: str = ""


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why a run failed: the stage whose error it was (``None`` where no stage is to blame)."""

    error: ErrorInfo
    stage_id: StageId | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """How a run ends that has something to undo, or a stage to run on a failure: decided once, at *at*, and then done.

    *status* is what the end will be, *until* when undoing is given up. The rest is there once no lease holds any
    more and the run has entered the phase: *base* is the epoch of first leases in it, *group* and *entries* say
    where the run stood. *not_undone* are the stages whose undo has failed for good, by ``(group, ordinal)``,
    *undone_from* is the first group of which anything was undone, or may have been. *asked* are those that somebody
    has asked to be undone, of a run that was over, and *first* is then the epoch of first leases: *base*, of which the
    keys of undos are made, stays. *free_at* is when the last lease is over of a run that was ended while one held.
    """

    status: Status
    at: datetime
    until: datetime
    base: int | None = None
    group: int = 0
    entries: tuple[Entry, ...] = ()
    not_undone: tuple[tuple[int, int], ...] = ()
    undone_from: int | None = None
    asked: tuple[tuple[int, int], ...] | None = None
    first: int | None = None
    free_at: datetime | None = None


@dataclass(frozen=True)
class Head:
    """The one item that says where a run stands. Without slots, so that ``altered`` copies it fast.

    *bases* are the epochs of first leases: ``(from_group, epoch)``, ascending, one more a rerun.
    *winners* are the epochs of finished stages, by ``(group, ordinal)``, where they are not their
    group's base; those of groups before *winners_from* lie in items of their own. *epochs* is the counter that every later lease draws from. The sequence of
    ``events[i]`` is ``told + spilled + i + 1``; the *spilled* ones lie in items of their own.
    *refusals* counts those of the first untold event, or, where nothing is untold, of the archive.
    *input_inline* holds small inputs; larger ones are found by *input_hash*. *signals* are those kept,
    oldest first; one that a sibling has used up leaves ``USED_UP`` in its place. *recent* are records
    of finished attempts that lie in no item yet, in the order of their commits; *bundled* says that some
    may have ridden here once, so that they may lie in bundles by now (see ``kernel.records``). *closes_on* are
    the ends that have something to do before them, *closing* is how far that is, or was; meanwhile *status* is RUNNING.

    Without entries a run that is not over stands before *group*: what of that runs is to be decided first, not before
    *enters_at* where that is set. What was decided not to run is SKIPPED in *active*, and has ``SKIPPED_EPOCH`` in *winners*.
    """

    run_id: RunId
    workflow_id: WorkflowId
    fingerprint: str
    status: Status
    created_at: datetime
    deadline: datetime
    expires_at: datetime
    content_hash: str
    version: int = 1
    by: str = ""
    group: int = 0
    active: tuple[Entry, ...] = ()
    bases: tuple[tuple[int, int], ...] = ((0, 0),)
    winners: Mapping[tuple[int, int], int] = field(default_factory=dict)
    winners_from: int = 0
    epochs: int = 1
    told: int = 0
    spilled: int = 0
    events: tuple[PendingEvent, ...] = ()
    refusals: int = 0
    due_at: datetime | None = None
    due_shard: int = 0
    priority: int = 5
    input_inline: bytes | None = None
    input_hash: str | None = None
    signals: tuple[str, ...] = ()
    failure: RunFailure | None = None
    reason: str | None = None
    ended_by: str = ""
    ended_at: datetime | None = None
    recent: "tuple[StageRecord, ...]" = ()
    bundled: bool = False
    closes_on: frozenset[Status] = frozenset()
    closing: Closing | None = None
    enters_at: datetime | None = None

    @property
    def is_undecided(self) -> bool:
        """Whether it is to be decided what of the group runs, before the run enters it."""
        return not self.active and not self.status.is_terminal and self.closing is None

    @property
    def is_alone(self) -> bool:
        """Whether one stage of the group runs and has no siblings: what is skipped is none."""
        if len(self.active) == 1:
            return True
        return sum(entry.state is not EntryState.SKIPPED for entry in self.active) == 1

    @property
    def knows_choices(self) -> bool:
        """Whether it says something that only code which knows choices understands."""
        if not self.active and self.status is not Status.COMPLETED:
            return True
        skipped = any(entry.state is EntryState.SKIPPED for entry in self.active)
        return skipped or SKIPPED_EPOCH in self.winners.values()

    @property
    def is_closing(self) -> bool:
        """Whether the run's end is decided, and what comes before it is not done yet."""
        return self.closing is not None and not self.status.is_terminal

    @property
    def ends_at(self) -> datetime:
        """When the run, or its closing phase, is given up."""
        return self.deadline if self.closing is None or self.status.is_terminal else self.closing.until

    @property
    def failed_at(self) -> datetime | None:
        """When the run failed, if it did: when that was decided, so that what comes before its end moves nothing."""
        if self.closing is not None:
            return self.closing.at if self.closing.status is Status.FAILED else None
        return self.ended_at if self.status is Status.FAILED else None

    @property
    def untold(self) -> int:
        """How many events are committed and not known to be told."""
        return self.spilled + len(self.events)

    @property
    def base(self) -> int:
        """The epoch of first leases in the current group."""
        return self.base_of(self.group)

    def base_of(self, group: int) -> int:
        """The epoch of first leases in *group*."""
        if plans.is_closing(group):
            return self.closing.base or 0 if self.closing else 0
        if len(self.bases) == 1:
            return self.bases[0][1]
        return next(epoch for start, epoch in reversed(self.bases) if start <= group)

    def winner(self, group: int, ordinal: int) -> int:
        """The epoch whose record holds the output of a stage of an earlier *group*.

        Raises:
            LookupError: that is not in the head (see ``kernel.winners.completed``).
        """
        if group < self.winners_from:
            raise LookupError(f"the winners of group {group} lie outside of the head of {self.run_id}")
        return self.winners.get((group, ordinal), self.base_of(group))


@dataclass(frozen=True, slots=True)
class StageKey:
    """Names one attempt's record within a run. No two leases share a key.

    *part* says what of the stage the lease was on where it was not the stage's function itself: a name of
    ``a-z0-9.-``, such as that of an item of a map. What is stored under such a key has the newer format, so
    that code that knows the function's records only refuses it rather than takes it for one of them.
    """

    group: int
    stage_id: StageId
    epoch: int
    part: str = ""


def key_of(group: int, stage_id: StageId, epoch: int) -> StageKey:
    """The key of the record of a lease on a stage of *group*, or on what undoes it."""
    is_undo = plans.is_closing(group) and group != plans.ON_FAILURE
    return StageKey(plans.place_of(group), stage_id, epoch, UNDO if is_undo else "")


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One finished attempt. Written before the commit that makes it count, and never changed.

    *output* is the stage's output (COMPLETED) or its kept state (SUSPENDED).
    """

    run_id: RunId
    key: StageKey
    status: Status
    attempt: int
    started_at: datetime
    finished_at: datetime
    by: str
    expires_at: datetime
    output: Payload | None = None
    error: ErrorInfo | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)


def forward(head: Head) -> Head:
    """*head* as it was when the run went forward last: where it stood before it entered the closing phase."""
    if head.closing is None or not plans.is_closing(head.group):
        return head
    return altered(head, group=head.closing.group, active=head.closing.entries)


def riding(record: StageRecord, expires_at: datetime) -> StageRecord:
    """*record* as a head or a bundle keeps it: who wrote it is not said, its times are in milliseconds, and
    it goes when that goes."""
    if not record.by and record.expires_at == expires_at:
        return record
    # By its fields: ``replace`` takes several times as long, and each chained stage has one of these.
    return StageRecord(
        run_id=record.run_id,
        key=record.key,
        status=record.status,
        attempt=record.attempt,
        started_at=cut(record.started_at),
        finished_at=cut(record.finished_at),
        by="",
        expires_at=expires_at,
        output=record.output,
        error=record.error,
        metrics=record.metrics,
        artifacts=record.artifacts,
    )


def as_kept(head: Head) -> Head:
    """*head* as it is read back: with its newest record as it rides in it."""
    newer = bool(head.closes_on) or head.closing is not None or any(entry.is_in_body for entry in head.active)
    newer = newer or head.knows_choices
    if not head.bundled and newer:
        head = altered(head, bundled=True)
    if not head.recent or not head.recent[-1].by:
        return head
    expires_at = head.expires_at - HEAD_OUTLIVES
    return altered(head, recent=tuple([riding(record, expires_at) for record in head.recent]))


@dataclass(frozen=True, slots=True)
class Bundle:
    """Records that have left the head together, in the order of their commits, all of groups whose
    epoch of first leases was *base*. Its name is that of the last of them: whatever stands under it holds
    at least what anybody else wanted to put there."""

    run_id: RunId
    base: int
    records: tuple[StageRecord, ...]
    expires_at: datetime

    @property
    def name(self) -> tuple[int, int, int]:
        """Base, group and epoch: bundles of one base sort like what they hold."""
        last = self.records[-1].key
        return self.base, last.group, last.epoch


@dataclass(frozen=True, slots=True)
class Winners:
    """Epochs of finished stages, by ``(group, ordinal)``, that lie outside of the head: all that are not
    *base* from the last such item on, up to group *through*."""

    run_id: RunId
    base: int
    through: int
    epochs: Mapping[tuple[int, int], int]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RunInput:
    """The input, config and attributes of a run, above 256 bytes, under the hash of their content."""

    run_id: RunId
    hash: str
    payload: Payload
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KeptSignal:
    """A signal's payload. ``name`` and ``key`` together name it within a run. *early* has, of one that
    no stage waited for when it came, what they did wait for: its sender is told so each time it asks."""

    run_id: RunId
    name: str
    key: str
    content_hash: str
    payload: bytes
    received_at: datetime
    expires_at: datetime
    early: tuple[str, ...] | None = None

    @property
    def element(self) -> str:
        """What ``Head.signals`` lists for it."""
        return f"{self.name}#{self.key}"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a stage logged. *index* orders the lines of one attempt."""

    run_id: RunId
    key: StageKey
    index: int
    at: datetime
    level: str
    message: str
    fields: Mapping[str, Any]
    attempt: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Annotation:
    """A fact somebody noted about a run or a stage. *key* is free text, *value* JSON-compatible.

    *stage* is ``None`` for annotations of the run. *scope* is ``"run"`` or the stage's id.
    """

    run_id: RunId
    id: str
    at: datetime
    name: str
    value: Any
    actor: str
    attempt: int | None
    stage: StageKey | None
    expires_at: datetime

    @property
    def order(self) -> tuple[datetime, int, str, int, int, str]:
        """Sorts as things were noted: by time, what one attempt noted in one instant by its number, and
        what was noted from outside after that."""
        if self.stage is None:
            return self.at, sys.maxsize, "", 0, 0, self.id
        number = self.id.rpartition(".")[2]
        key = self.stage
        return self.at, key.group, key.stage_id, key.epoch, int(number) if number.isdecimal() else 0, self.id

    @property
    def scope(self) -> str:
        """``"run"``, or the id of the stage that noted it."""
        return "run" if self.stage is None else self.stage.stage_id


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that EventBridge refused too often, with the last reason."""

    run_id: RunId
    workflow_id: WorkflowId
    sequence: int
    event: PendingEvent
    reason: str
    died_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """The first result of a command, kept under its key in the write that had the effect."""

    key: str
    command_type: str
    content_hash: str
    result: str
    expires_at: datetime
