"""What a stage's body passes at each of its steps: whether it goes on, under which name, and what it has caught.

A failure that the body catches is an outcome, and is stored before the body goes on after it. Once the attempt has
an end (a wait, too little time, no answer from a store) nothing that the body does changes it: the gate is sealed.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar

from workflow_engine.authoring.durable import BodySuspended
from workflow_engine.authoring.journal import Journal
from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.errors import (
    DefinitionChangedError,
    StageTimeoutError,
    StaleRunError,
    StepFailedError,
    StepNameError,
    TransientError,
)
from workflow_engine.kernel.execution import courses, handled
from workflow_engine.kernel.execution.ending import Ending, GoesOnLater, Postponed
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.execution.step_records import StepRecords
from workflow_engine.kernel.execution.tenure import Tenure
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.transitions import Lease
from workflow_engine.model.instants import whole
from workflow_engine.model.limits import MAX_STEP_NAME_BYTES, MAX_STEPS
from workflow_engine.model.payloads import Payload
from workflow_engine.model.steps import StepKind, StepRecord
from workflow_engine.model.texts import clean
from workflow_engine.model.values import UnfitValueError

AnswerT = TypeVar("AnswerT")
# A step is begun where so much is left of the lease's time, or as much as the longest so far took.
LEAST_LEFT = timedelta(seconds=10)
# Of a lease that had less than some of that from the start, this part is enough.
LEAST_PART = 0.25
_OVER = "the stage waits, or is over: its body goes on elsewhere"


@dataclass(slots=True)
class Caught:
    """A failure that may be caught: *record* is put once the body goes on after it."""

    record: StepRecord
    error: StepFailedError
    ran: handled.Frames


@dataclass(slots=True, kw_only=True)
class StepGate:
    """The gate of the attempt under *lease*, which must end by *deadline*. *home* is where its body runs (``None``:
    it is a check or a handler, which waits for nothing); nor does one that may not (*may_wait*)."""

    records: StepRecords
    lease: Lease
    stage: StageDefinition
    data: RunData
    invocation: Invocation
    deadline: datetime
    home: handled.Place | None
    tenure: Tenure
    journal: Callable[[], Journal | None]
    may_wait: bool = True
    has_answer: bool = False
    _sealed: Ending | BaseException | None = None
    _names: set[str] = field(default_factory=set)
    _waits: Counter[str] = field(default_factory=Counter)
    _caught: list[Caught] = field(default_factory=list)
    _at_work: int = 0
    _longest: timedelta = timedelta(0)
    _added: int = 0
    _whole: timedelta = field(init=False)
    _free: threading.Condition = field(default_factory=lambda: threading.Condition(threading.RLock()))

    def __post_init__(self) -> None:
        self._whole = self.left

    @property
    def left(self) -> timedelta:
        """What is left of the lease's time."""
        return self.deadline - self.invocation.clock.now()

    @property
    def needed(self) -> timedelta:
        """What must be left of it for one more step."""
        return max(self._longest, min(LEAST_LEFT, self._whole * LEAST_PART))

    def conclude(self, ending: Ending | BaseException) -> Ending | BaseException:
        """What came of the attempt whose body ended with *ending*: no step begins any more, and those that are at
        work in other threads have ended, as far as there is time for it."""
        with self._free:
            if not isinstance(ending, StageTimeoutError):
                self._free.wait_for(lambda: self._at_work == 0, timeout=max(self.left.total_seconds(), 0))
            try:
                if self._sealed is None and not isinstance(ending, BaseException):
                    self._put_caught(self._caught)
            except BodySuspended:
                assert self._sealed is not None
            self._caught = []
            self._sealed = ending if self._sealed is None else self._sealed
            return self._sealed

    # At a step

    def enter(self, name: str, kind: StepKind) -> StepRecord | None:
        """What is stored under *name*, once what the body has caught is stored. The name is taken by it.

        Raises:
            StepNameError: it cannot be taken.
            DefinitionChangedError: something else is stored under it.
            BodySuspended: the attempt has its end.
        """
        self.check_name(name)
        with self._free:
            self.go_on()
            if courses.is_called_by(self):
                raise self.refused(name, "a step has no steps of its own")
            if name in self._names:
                raise self.refused(name, "the name is used already")
            self._names.add(name)
            self._put_caught([one for one in self._caught if handled.goes_on_after(one.error, one.ran, self.home)])
            record = self.answer(self.records.find, name)
            if record is None and self.records.count() >= MAX_STEPS:
                raise self.refused(name, f"a stage has up to {MAX_STEPS} steps")
            if record is not None:
                self._found(record, kind)
            return record

    def _found(self, record: StepRecord, kind: StepKind) -> None:
        if record.kind is not kind:
            raise self.changed(record.name, [f"was taken as another kind ({record.kind.name.lower()})"])
        if record.epoch != self.lease.entry.epoch:
            self.forget_noted()

    def forget_noted(self) -> None:
        """What was noted so far was kept with the lease that took the step, or began the wait, that is found here."""
        journal = self.journal()
        if journal is not None:
            journal.forget()

    def begin(self) -> None:
        """A step is at work from here until ``end``, unless there is too little time for it."""
        with self._free:
            self.go_on()
            if self.home is not None and (self._is_short() or self._is_worker_that_ends()):
                self.leave(until=whole(self.invocation.clock.now()))
            self._at_work += 1

    def _is_worker_that_ends(self) -> bool:
        """Whether its process is to end, and takes no message any more: the body goes on in another one."""
        return self.invocation.lease is not None and self.invocation.hurried.is_set()

    def _is_short(self) -> bool:
        return self._added > 0 and self.left < self.needed

    def end(self, started: datetime) -> None:
        """A step is at work no more."""
        with self._free:
            self._at_work -= 1
            self._longest = max(self._longest, self.invocation.clock.now() - started)
            self._free.notify_all()

    def catch(self, record: StepRecord, error: StepFailedError) -> None:
        """The body may catch *error*; then *record* says so."""
        with self._free:
            self._caught.append(Caught(record, error, handled.running()))

    def numbered(self, name: str) -> str:
        """The name of a wait: repeated ones of one name come one after another, so their numbers stay the same.

        Raises:
            StepNameError: it cannot be taken, or nothing waits here.
        """
        self.check_name(name)
        if self.home is None or not self.may_wait or not self.home.is_same_thread():
            raise self.refused(
                name,
                "waits are for the own thread or event loop of a stage's body, and for no check, no handler, no undo "
                "and not for what is run on a failure",
            )
        with self._free:
            self._waits[name] += 1
            number = self._waits[name]
        return name if number == 1 else f"{name}~{number}"

    def check_name(self, name: object) -> None:
        """Refuse what is no name.

        Raises:
            StepNameError: it is none.
        """
        if not isinstance(name, str) or not 0 < len(name.encode(errors="replace")) <= MAX_STEP_NAME_BYTES:
            raise self.refused(clean(str(name))[:64], f"a name is text of 1 to {MAX_STEP_NAME_BYTES} bytes")
        if "#" in name or not name.isprintable() or clean(name) != name:
            raise self.refused(clean(name), "a name has no control characters and no #")

    def refused(self, name: str, problem: str) -> StepNameError:
        """The error that says why *name* is not taken."""
        return StepNameError(stage_id=self.stage.id, name=name, problem=problem)

    # The end of the attempt

    def go_on(self) -> None:
        """Raise ``BodySuspended`` where the attempt has its end: where its run is over, too, as far as that shows."""
        if self._sealed is None and self.tenure.is_over():
            self.suspend(Postponed(StaleRunError(run_id=self.data.head.run_id, tries=1)))
        if self._sealed is not None:
            raise BodySuspended(_OVER)

    def suspend(self, ending: Ending | BaseException) -> NoReturn:
        """The attempt is *ending*, whatever its body makes of it."""
        with self._free:
            self._sealed = ending if self._sealed is None else self._sealed
        raise BodySuspended(_OVER)

    def leave(self, *, until: datetime) -> NoReturn:
        """The body goes on in another invocation."""
        self.suspend(GoesOnLater(until=until, is_ahead=self._added > 0, has_answer=self.has_answer))

    def changed(self, name: str, problems: list[str]) -> DefinitionChangedError:
        """The attempt fails, as what is stored under *name* does not fit its body any more; the error of that."""
        head = self.data.head
        differences = [f"step {name!r} of stage {self.stage.id!r}: {problem}" for problem in problems]
        error = DefinitionChangedError(run_id=head.run_id, workflow_id=head.workflow_id, differences=differences)
        with self._free:
            self._sealed = error if self._sealed is None else self._sealed
        return error

    # Stored

    def answer(self, ask: Callable[..., AnswerT], *arguments: Any) -> AnswerT:
        """What *ask* answers, asked again while there is time. Without an answer the attempt is none; any other
        error ends it, since nothing in the body has raised it that could go on after it."""
        try:
            return self.invocation.patience().answered(lambda: ask(*arguments))
        except TransientError as error:
            self.suspend(Postponed(error))
        except Exception as error:
            self.suspend(error)

    def keep(self, record: StepRecord) -> StepRecord:
        """Store *record*; answers the one that counts."""
        stored = self.answer(self.records.put, record)
        with self._free:
            self._added += 1
        return stored

    def record(
        self, name: str, kind: StepKind, started: datetime, *, output: bytes | None = None, tries: int = 1
    ) -> StepRecord:
        """A record that ends now, with *output* where it can be read."""
        payload = None if output is None else self.answer(self.records.payload, name, output)
        finished = self.invocation.clock.now()
        return self.records.record(name, kind, started=started, finished=finished, output=payload, tries=tries)

    def read(self, name: str, output: Payload, load: Callable[[bytes], AnswerT]) -> AnswerT:
        """What is stored under *name*.

        Raises:
            DefinitionChangedError: *load* does not take it.
        """
        data = self.answer(self.records.fetch, output)
        try:
            return load(data)
        except UnfitValueError as error:
            raise self.changed(name, error.problems) from error

    def _put_caught(self, caught: list[Caught]) -> None:
        for one in caught:
            stored = self.keep(one.record)
            self._caught = [other for other in self._caught if other is not one]
            if stored.error is None:
                # Somebody else's success was first, and the body has gone another way: it starts again with that.
                self.leave(until=whole(self.invocation.clock.now()))
