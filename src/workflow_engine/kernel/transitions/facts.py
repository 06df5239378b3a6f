"""What a decision is made of: when and by whom, what is told, which lease, and the facts of a run that begins or goes again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from workflow_engine.model.ids import RunId, StageId, WorkflowId
from workflow_engine.model.limits import MAX_CLOSING
from workflow_engine.model.runs import (
    Entry,
    PendingEvent,
    RunFailure,
)
from workflow_engine.model.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When and by whom: *by* names the write, *horizon* is the function's timeout + 60 s, and
    *published* are the event types that are told; others are never stored. With *archives* a run
    that is over is due until ``settle`` says that it was archived. For *undo_within* a run is undone that ends then."""

    at: datetime
    by: str
    horizon: timedelta
    published: frozenset[str]
    archives: bool = False
    undo_within: timedelta = MAX_CLOSING

    def events(self, *events: PendingEvent) -> tuple[PendingEvent, ...]:
        """Those of *events* that are published."""
        return tuple(event for event in events if event.type in self.published)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the telling: all events up to *through* were accepted, the one after it was
    *refused* in a way that counts, and *spilled* of the rest now lie in items of their own."""

    through: int = 0
    refused: bool = False
    spilled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease that this invocation holds: the entry as claimed, and where it stands."""

    group: int
    ordinal: int
    stage_id: StageId
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What came of several stages of a group: their *entries* by ordinal, and the *failure* of the run, if
    one of them ends it."""

    entries: Mapping[int, Entry]
    failure: RunFailure | None
    notes: tuple[PendingEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided of the groups that a run comes to: the ordinals that are *skipped*, by group. It reaches up to
    the first group of which something runs, or to one of which that could not be decided, whose *failure* that is."""

    skipped: Mapping[int, frozenset[int]] = field(default_factory=dict)
    failure: RunFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """The facts of a run that is to be created."""

    run_id: RunId
    workflow_id: WorkflowId
    fingerprint: str
    content_hash: str
    deadline: datetime
    expires_at: datetime
    due_shard: int
    priority: int
    input_inline: bytes | None
    input_hash: str | None
    start_at: datetime | None = None
    closes_on: frozenset[Status] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """The facts of a rerun: from which group, under which definition, until when; and its base, where that was
    drawn before."""

    group: int
    fingerprint: str
    deadline: datetime
    expires_at: datetime
    input_inline: bytes | None
    input_hash: str | None
    base: int | None = None
    closes_on: frozenset[Status] = frozenset()
    notes: tuple[PendingEvent, ...] = field(default=())
