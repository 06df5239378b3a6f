"""What a stage may return beside its output. Values only: what follows from them is the kernel's."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeGuard

from pydantic import BaseModel
from typing_extensions import TypeVar

from workflow_engine.errors import PayloadTooLargeError
from workflow_engine.model.ids import SIGNAL_PATTERN
from workflow_engine.model.json_values import to_json
from workflow_engine.model.limits import MAX_METRICS_AND_ARTIFACTS_BYTES
from workflow_engine.model.texts import clean

StateT_co = TypeVar("StateT_co", bound=BaseModel, covariant=True)
PayloadT_co = TypeVar("PayloadT_co", bound=BaseModel | None, covariant=True)
ResultT_co = TypeVar("ResultT_co", bound=BaseModel | None, covariant=True)

_SIGNAL_NAME = re.compile(SIGNAL_PATTERN)


@dataclass(frozen=True, slots=True)
class Suspended(Generic[StateT_co]):
    """Something outside goes on; ask the stage's ``check_completion`` for it every *poll_every*.

    *state* is kept and given to each check. *give_up_after* counts from this return: a stage that
    is not resumed by then fails with ``WaitExpiredError``; ``None``, and what is longer than the run
    may take, waits as long as the run lives.

    Raises:
        TypeError: *state* is no pydantic model, or a duration no timedelta.
        ValueError: a duration is not positive.
    """

    state: StateT_co
    poll_every: timedelta = field(kw_only=True)
    give_up_after: timedelta | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.state, BaseModel):
            raise TypeError(f"the state of Suspended must be a pydantic model, not {_type_name(self.state)}")
        if self.poll_every is None:
            raise TypeError("poll_every must be a timedelta, not None")
        check_positive("poll_every", self.poll_every)
        check_positive("give_up_after", self.give_up_after)


@dataclass(frozen=True, slots=True)
class NotReady:
    """Answered by ``check_completion``: not yet.

    The next check comes after *next_check_in*, or after the ``poll_every`` of the suspension.

    Raises:
        ValueError: *next_check_in* is not positive.
    """

    next_check_in: timedelta | None = None

    def __post_init__(self) -> None:
        check_positive("next_check_in", self.next_check_in)


@dataclass(frozen=True, slots=True)
class WaitForSignal(Generic[PayloadT_co]):
    """Wait until ``run.signal`` brings the signal *name*; its payload goes to ``on_signal``.

    A signal that came before the wait counts. *schema* is the model of the payload, ``None`` for a
    signal without one. After *timeout* the stage fails with ``WaitExpiredError``; ``None`` waits
    as long as the run lives.

    Raises:
        TypeError: *schema* is no pydantic model class.
        ValueError: *name* is no signal name (1 to 64 of ``A-Za-z0-9_.:-``, a letter or digit
            first), or *timeout* is not positive.
    """

    name: str
    schema: type[PayloadT_co] | None
    timeout: timedelta | None = None

    def __post_init__(self) -> None:
        if not is_signal_name(self.name):
            raise ValueError(f"{self.name!r} is no signal name: 1 to 64 of A-Za-z0-9_.:-, a letter or digit first")
        if self.schema is not None and not is_model(self.schema):
            raise TypeError(f"the schema of signal {self.name!r} must be a pydantic model class or None")
        check_positive("timeout", self.timeout)


@dataclass(frozen=True, slots=True)
class StageResult(Generic[ResultT_co]):
    """An output with what was measured and made on the way: both are kept with the attempt.

    *artifacts* maps names to where the thing lies (a storage key, a URL).

    Raises:
        TypeError: a name is no text, a metric no number, an artifact no text.
        ValueError: a metric is not finite, or a text holds a lone surrogate, which is not UTF-8.
        PayloadTooLargeError: they are above 384 KB together, as JSON.
    """

    output: ResultT_co
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Copies: what is checked here must be what is stored.
        object.__setattr__(self, "metrics", dict(self.metrics))
        object.__setattr__(self, "artifacts", dict(self.artifacts))
        for name, value in self.metrics.items():
            _check_metric(name, value)
        for name, place in self.artifacts.items():
            _check_artifact(name, place)
        size = len(to_json(self.metrics)) + len(to_json(self.artifacts))
        if size > MAX_METRICS_AND_ARTIFACTS_BYTES:
            limit = MAX_METRICS_AND_ARTIFACTS_BYTES
            raise PayloadTooLargeError(what="metrics and artifacts", size_bytes=size, limit_bytes=limit)


def is_model(candidate: object) -> TypeGuard[type[BaseModel]]:
    """Whether *candidate* is a pydantic model class (a parametrised generic one included)."""
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def is_signal_name(candidate: object) -> bool:
    """Whether *candidate* may name a signal."""
    return isinstance(candidate, str) and _SIGNAL_NAME.match(candidate) is not None


def check_positive(name: str, duration: timedelta | None) -> None:
    """Raise ``ValueError`` unless *duration* is ``None`` or above zero, ``TypeError`` if it is no timedelta."""
    if duration is None:
        return
    if not isinstance(duration, timedelta):
        raise TypeError(f"{name} must be a timedelta, not {_type_name(duration)}")
    if duration <= timedelta(0):
        raise ValueError(f"{name} must be positive, not {duration.total_seconds():g} s")


def _check_metric(name: object, value: object) -> None:
    if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"metric {name!r} must map a text to a number")
    if not _is_finite(value):
        raise ValueError(f"metric {name!r} is not finite")
    _check_text(f"the name of metric {name!r}", name)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float holds
        return False


def _check_artifact(name: object, place: object) -> None:
    if not isinstance(name, str) or not isinstance(place, str):
        raise TypeError(f"artifact {name!r} must map a text to a text")
    _check_text(f"the name of artifact {name!r}", name)
    # It says where something lies: written in another way, it would say something else.
    _check_text(f"artifact {name!r}", place)


def _check_text(what: str, text: str) -> None:
    if clean(text) != text:
        raise ValueError(f"{what} holds a lone surrogate, which is not UTF-8")


def _type_name(value: object) -> str:
    return type(value).__name__
