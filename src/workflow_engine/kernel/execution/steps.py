"""The durable steps and waits of one attempt: found where they were taken before, else taken and stored.

A step's outcome is one record, put if absent; who comes second takes the one that stands there. A wait begins with
nothing but the commit that holds the stage: so no worker that has lost its lease begins one, or moves its end. Its
answer is a record, too, and the next commit removes the signal that it has used up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zlib import crc32

from pydantic import BaseModel
from typing_extensions import override

from workflow_engine.authoring.engine import DurableSteps
from workflow_engine.authoring.result_types import ResultType, result_type
from workflow_engine.authoring.retry import RetryPolicy
from workflow_engine.errors import (
    InvalidOutputError,
    PayloadTooLargeError,
    StageTimeoutError,
    StepFailedError,
    WaitExpiredError,
)
from workflow_engine.kernel.execution import courses
from workflow_engine.kernel.execution.courses import Course
from workflow_engine.kernel.execution.ending import Unfit, WaitsInBody
from workflow_engine.kernel.execution.failures import error_info, is_retried
from workflow_engine.kernel.execution.step_gate import StepGate
from workflow_engine.kernel.execution.undone import step_key_of
from workflow_engine.kernel.patience import pause_for_real
from workflow_engine.model.instants import after, whole
from workflow_engine.model.limits import MAX_PAYLOAD_BYTES
from workflow_engine.model.runs import WaitKind
from workflow_engine.model.steps import StepKind, StepRecord
from workflow_engine.model.values import NOTHING, UnfitValueError, load

# A pause up to this is waited out where the step is; beyond it, nothing runs meanwhile.
LONGEST_PAUSE_IN_PLACE = timedelta(seconds=10)
_WAITS = (WaitKind.SLEEP, WaitKind.SIGNAL, WaitKind.POLL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A step to be taken. *is_look* says that its function may answer "not yet"."""

    name: str
    function: Callable[[], Any]
    values: ResultType
    retry: RetryPolicy | None = None
    is_look: bool = False
    is_async: bool = False

    @property
    def kind(self) -> StepKind:
        return StepKind.UNTIL if self.is_look else StepKind.CALL


@dataclass(slots=True, kw_only=True)
class Steps(StepGate, DurableSteps):
    """The steps of an attempt. *take_signal* answers the signal that its lease is for, *used* the one that has
    answered the wait that the lease was taken for."""

    take_signal: Callable[[], str | None]
    used: str | None = None

    @override
    def call(
        self, name: str, function: Callable[[], Any], *, kind: Any, is_async: bool, retry: RetryPolicy | None
    ) -> Any:
        course = self._taken(
            _Step(name=name, function=function, values=result_type(kind), retry=retry, is_async=is_async)
        )
        return courses.awaited(course, self) if is_async else courses.driven(course, self)

    @override
    def sleep(self, name: str, duration: timedelta) -> None:
        name = self.numbered(name)
        record = self.enter(name, StepKind.SLEEP)
        if record is None:
            now, entry = self.invocation.clock.now(), self.lease.entry
            begins = self._begins(name, WaitKind.SLEEP)
            until = whole(after(now, duration, self.data.head.deadline)) if begins else entry.give_up_at
            if until is not None and until > now:
                self.suspend(WaitsInBody(step=name, kind=WaitKind.SLEEP, until=until, give_up_at=until, begins=begins))
            record = self.keep(self.record(name, StepKind.SLEEP, now, output=NOTHING))
        self._heard(record)

    @override
    def wait_for_signal(
        self, name: str, signal: str, schema: type[BaseModel] | None, timeout: timedelta | None
    ) -> BaseModel | None:
        name = self.numbered(name)
        record = self.enter(name, StepKind.SIGNAL)
        if record is None:
            record = self._signalled(name, signal, schema, timeout)
        self._heard(record)
        if record.error is not None or record.output is None:
            raise self._expired(f"signal {signal!r}", record.finished_at)
        return self.read(name, record.output, lambda data: load(schema, data))

    @override
    def wait_until(
        self,
        name: str,
        look: Callable[[], Any],
        *,
        kind: Any,
        is_async: bool,
        every: timedelta,
        give_up_after: timedelta | None,
    ) -> Any:
        step = _Step(name=self.numbered(name), function=look, values=result_type(kind), is_look=True, is_async=is_async)
        course = self._looked(step, every, give_up_after)
        return courses.awaited(course, self) if is_async else courses.driven(course, self)

    @override
    def key(self, name: str) -> str:
        self.check_name(name)
        scope = self.records.scope
        return step_key_of(self.data.head.run_id, scope.stage_id, scope.base, name)

    @override
    def results(self) -> Mapping[str, Any]:
        return self.answer(self.records.results)

    def epochs(self) -> Sequence[int]:
        """The leases under which the steps that are known were put, the newest first."""
        return self.answer(self.records.epochs)

    # A function

    def _taken(self, step: _Step) -> Course[Any]:
        record = self.enter(step.name, step.kind)
        if record is None:
            record = yield from self._performed(step)
            assert record is not None
        return self._result(step, record)

    def _looked(self, step: _Step, every: timedelta, give_up_after: timedelta | None) -> Course[Any]:
        record = self.enter(step.name, step.kind)
        if record is None:
            record = yield from self._performed(step)
        if record is None:
            record = self._not_yet(step.name, every, give_up_after)
        self._heard(record)
        if record.error is not None and record.error.type == WaitExpiredError.__name__:
            raise self._expired(_looked_for(step.name), record.finished_at)
        return self._result(step, record)

    def _performed(self, step: _Step) -> Course[StepRecord | None]:
        """The record of what the function comes to; ``None`` where a look found nothing yet."""
        self.begin()
        started, tries = self.invocation.clock.now(), self.records.tries(step.name)
        run_step, run_id = self.invocation.settings.run_step, self.data.head.run_id
        try:
            while True:
                tries += 1
                try:
                    value = yield partial(run_step, step.function, run_id, self.stage.id, step.name)
                    if step.is_look and (value is None or value is False):
                        return None
                    output = self._written(step, value)
                    break
                except StageTimeoutError:
                    raise
                except Exception as error:
                    pause = self._pause(step, error, tries)
                    if pause is None:
                        raise self._failed(step, error, started, tries) from error
                yield partial(self._paused, step, pause, tries)
            return self.keep(self.record(step.name, step.kind, started, output=output, tries=tries))
        finally:
            self.end(started)

    def _written(self, step: _Step, value: Any) -> bytes:
        """The JSON of the result, which a body gets as it is read back: the first time, too."""
        try:
            data, _ = step.values.dump(value)
        except UnfitValueError as error:
            raise InvalidOutputError(stage_id=self.stage.id, problems=error.problems) from error
        if len(data) > MAX_PAYLOAD_BYTES:
            what = f"the result of step {step.name!r}"
            raise PayloadTooLargeError(what=what, size_bytes=len(data), limit_bytes=MAX_PAYLOAD_BYTES)
        return data

    def _result(self, step: _Step, record: StepRecord) -> Any:
        if record.error is not None:
            raise StepFailedError(name=step.name, error_type=record.error.type, message=record.error.message)
        assert record.output is not None
        return self.read(step.name, record.output, step.values.load)

    def _failed(self, step: _Step, error: Exception, started: datetime, tries: int) -> StepFailedError:
        info = error_info(error, retryable=is_retried(self.stage.retry, error))
        failure = StepFailedError(name=step.name, error_type=info.type, message=info.message)
        self.catch(replace(self.record(step.name, step.kind, started, tries=tries), error=info), failure)
        return failure

    def _pause(self, step: _Step, error: Exception, tries: int) -> timedelta | None:
        """How long until the function is to be called again; ``None`` where it is not."""
        retry = step.retry
        if retry is None or tries >= retry.max_attempts or not is_retried(retry, error):
            return None
        # By the step's name and not by chance: the same history gives the same pause.
        name = f"{self.data.head.run_id}/{self.stage.id}/{step.name}/{tries}"
        return retry.delay(tries, crc32(name.encode()) / 2**32)

    def _paused(self, step: _Step, pause: timedelta, tries: int) -> Any:
        """Let *pause* pass: here, or with nothing running, once it is stored how often the step has failed."""
        pausing = self.invocation.settings.pause
        if pause < LONGEST_PAUSE_IN_PLACE and pause + self.needed < self.left:
            # What is not awaited blocks its loop, as its function does.
            if pausing is pause_for_real and step.is_async:
                import asyncio

                return asyncio.sleep(pause.total_seconds())
            return pausing(pause)
        now = self.invocation.clock.now()
        self.keep(self.record(f"{step.name}#{tries}", StepKind.TRIES, now, tries=tries))
        return self.leave(until=whole(after(now, pause, self.data.head.ends_at)))

    # Waits

    def _begins(self, name: str, kind: WaitKind) -> bool:
        """Whether the wait is another than the one that the lease was taken for.

        Raises:
            DefinitionChangedError: it has its name, and is of another kind.
        """
        entry = self.lease.entry
        if entry.step != name:
            return True
        # A retry, or a body that goes on later, says in its entry why it waits itself.
        known = entry.wait if entry.wait in _WAITS else None
        if known not in (None, kind) or (entry.signal is not None) != (kind is WaitKind.SIGNAL):
            raise self.changed(name, ["waits in another way than when it began"])
        return False

    def _signalled(
        self, name: str, signal: str, schema: type[BaseModel] | None, timeout: timedelta | None
    ) -> StepRecord:
        """The record that answers the wait *name*, if there is an answer."""
        now, entry = self.invocation.clock.now(), self.lease.entry
        begins, end = self._begins(name, WaitKind.SIGNAL), entry.give_up_at
        if begins:
            end = None if timeout is None else whole(after(now, timeout, self.data.head.deadline))
        element = None if begins else self.answer(self.take_signal)
        if element is not None:
            payload = self.answer(self.data.signal, element).payload
            try:
                load(schema, payload)
            except UnfitValueError as error:
                self.suspend(Unfit(tuple(error.problems)))
            return self.keep(replace(self.record(name, StepKind.SIGNAL, now, output=payload), signal=element))
        if begins or end is None or end > now:
            waits = WaitsInBody(
                step=name, kind=WaitKind.SIGNAL, until=end, give_up_at=end, signal=signal, begins=begins
            )
            self.suspend(waits)
        return self._given_up(name, StepKind.SIGNAL, f"signal {signal!r}", end)

    def _not_yet(self, name: str, every: timedelta, give_up_after: timedelta | None) -> StepRecord:
        """The record that says that nothing came in time, if the time is over."""
        now, entry, limit = self.invocation.clock.now(), self.lease.entry, self.data.head.deadline
        begins, end = self._begins(name, WaitKind.POLL), entry.give_up_at
        if begins:
            end = None if give_up_after is None else whole(after(now, give_up_after, limit))
        if end is None or end > now:
            until = min(whole(after(now, every, limit)), limit if end is None else end)
            self.suspend(WaitsInBody(step=name, kind=WaitKind.POLL, until=until, give_up_at=end, begins=begins))
        return self._given_up(name, StepKind.UNTIL, _looked_for(name), end)

    def _given_up(self, name: str, kind: StepKind, waited_for: str, end: datetime) -> StepRecord:
        error = error_info(self._expired(waited_for, end), retryable=False)
        record = replace(self.record(name, kind, end), finished_at=end, error=replace(error, trace=None))
        return self.keep(record)

    def _expired(self, waited_for: str, until: datetime) -> WaitExpiredError:
        return WaitExpiredError(stage_id=self.stage.id, waited_for=waited_for, until=until)

    def _heard(self, record: StepRecord) -> None:
        """The wait that the lease was taken for is over: the commit that follows removes what answered it."""
        if record.name == self.lease.entry.step:
            self.used, self.has_answer = record.signal, True
            self.forget_noted()


def _looked_for(name: str) -> str:
    return f"what {name!r} looks for"
