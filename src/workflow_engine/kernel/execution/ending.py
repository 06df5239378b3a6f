"""What came of a lease, as values: from them follow the record, the commit and the answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from pydantic_core import from_json

from workflow_engine.errors import InvocationOverError, StaleRunError, TransientError
from workflow_engine.model.limits import MAX_RUN_DURATION
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import WaitKind


@dataclass(frozen=True, slots=True)
class Completed:
    """The stage has an output: its JSON, and what goes into the record beside it."""

    output: bytes
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suspends:
    """The stage has started something outside, whose *state* (JSON) a check will look at."""

    state: bytes
    poll_every: timedelta
    give_up_after: timedelta | None


@dataclass(frozen=True, slots=True)
class StillWaits:
    """A check found nothing yet."""

    next_check_in: timedelta | None


@dataclass(frozen=True, slots=True)
class Awaits:
    """The stage waits for a signal."""

    name: str
    timeout: timedelta | None


@dataclass(frozen=True, slots=True)
class Unfit:
    """The signal that came does not validate: it is dropped, and the stage waits on."""

    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed; *retryable* is the policy's answer to its error, attempts apart. Where its code could not be
    stopped, it may be *at_work* until its lease ends."""

    error: ErrorInfo
    retryable: bool
    at_work: bool = False


@dataclass(frozen=True, slots=True)
class Postponed:
    """The stage could not be begun, or what it needs could not be read or stored just now: no attempt."""

    error: TransientError | StaleRunError | InvocationOverError


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitsInBody:
    """The stage's body waits under the name *step*, until *until* (``None``: as long as the run lives) or for
    *signal*, and no longer than until *give_up_at*. *begins* says that it did not wait for that before."""

    step: str
    kind: WaitKind
    until: datetime | None
    give_up_at: datetime | None = None
    signal: str | None = None
    begins: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GoesOnLater:
    """The stage's body goes on in another invocation, from *until* on: no attempt. *is_ahead* says that a step was
    added under this lease, *has_answer* that the wait that the lease was taken for is over."""

    until: datetime
    is_ahead: bool
    has_answer: bool


Ending: TypeAlias = Completed | Suspends | StillWaits | Awaits | Unfit | Failed | Postponed | WaitsInBody | GoesOnLater


_STATE = b',"state":'
_AGAIN = b',"again":true'


@dataclass(frozen=True, slots=True)
class KeptState:
    """What the record of a suspended stage holds: the stage's *state* as JSON, and how often it is
    to be checked. *again* says that a check answered it, in the place of an earlier state."""

    state: bytes
    poll_every: timedelta
    again: bool = False

    def dump(self) -> bytes:
        """Its JSON."""
        seconds = str(self.poll_every.total_seconds()).encode()
        return b'{"poll_every_seconds":' + seconds + (_AGAIN if self.again else b"") + _STATE + self.state + b"}"


def kept_state(data: bytes) -> KeptState:
    """The state that ``KeptState.dump`` wrote, byte by byte: read and written again, what is stored
    would follow another rule than an output."""
    head, _, rest = data.partition(_STATE)
    facts = from_json(head + b"}")
    # The version before kept whatever it was given.
    seconds = min(facts["poll_every_seconds"], MAX_RUN_DURATION.total_seconds())
    return KeptState(rest[:-1], timedelta(seconds=seconds), facts.get("again", False))
