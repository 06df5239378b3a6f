"""One attempt: calls the stage's function, its check or its signal handler, and says what came of it.

The function runs outside any write. Whatever it raises or returns becomes a value here; nothing of
it reaches the dispatch as an exception, but for what says that the process must go.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from workflow_engine.authoring.context import StageContext
from workflow_engine.authoring.journal import Journal
from workflow_engine.authoring.outcomes import NotReady, StageResult, Suspended, WaitForSignal
from workflow_engine.authoring.stage_definition import SignalDefinition, StageDefinition
from workflow_engine.errors import (
    DefinitionChangedError,
    InvalidInputError,
    InvalidOutputError,
    InvocationOverError,
    StageTimeoutError,
    TransientError,
    WaitExpiredError,
)
from workflow_engine.kernel.claim import reserve
from workflow_engine.kernel.execution.ending import (
    Awaits,
    Completed,
    Ending,
    Failed,
    KeptState,
    Postponed,
    StillWaits,
    Suspends,
    Unfit,
    kept_state,
)
from workflow_engine.kernel.execution.failures import error_info, is_retried
from workflow_engine.kernel.execution.handled import Place, here
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.execution.stage_storage import AttemptStorage
from workflow_engine.kernel.execution.tenure import Tenure
from workflow_engine.kernel.execution.undone import Undone, effect_key_of, failure_of, undo_key_of
from workflow_engine.kernel.invocation import COMMIT_MARGIN, Invocation
from workflow_engine.kernel.transitions import Lease
from workflow_engine.kernel.transitions.wakes import signal_for
from workflow_engine.model import plans
from workflow_engine.model.commands import SignalRun
from workflow_engine.model.ids import StageId
from workflow_engine.model.limits import MAX_RUN_DURATION
from workflow_engine.model.problems import problems_of
from workflow_engine.model.results import RunSignalled
from workflow_engine.model.runs import StageKey
from workflow_engine.model.steps import StepScope

if TYPE_CHECKING:
    from workflow_engine.kernel.execution.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of one lease, when, and what the stage noted on the way.

    *number* counts attempts, *by* names the lease. *signal* is the element that was used up, *taken* the one
    that a sibling has reserved, *kept* what the record of a suspended stage held.
    """

    ending: Ending
    number: int
    by: str
    started_at: datetime
    finished_at: datetime
    journal: Journal | None = None
    signal: str | None = None
    taken: str | None = None
    kept: KeptState | None = None


def perform(lease: Lease, stage: StageDefinition, data: RunData, invocation: Invocation) -> Attempt:
    """Run what the lease is for: the check of a suspended stage, the handler of a signal, or the
    stage's own function. Never raises, but for ``KeyboardInterrupt``."""
    call = _Call(lease=lease, stage=stage, data=data, invocation=invocation, signal=signal_for(data.head, lease.entry))
    started_at = invocation.clock.now()
    try:
        call.check_time(begins=not invocation.is_over)
        invocation.time.stage_begun = True
        function, is_async = call.prepare()
        # Reading may have taken long, or the process may have been stopped meanwhile.
        call.check_time(begins=invocation.has_time_for(stage.timeout))
        run_stage = invocation.settings.run_stage
        returned = run_stage(function, stage_id=stage.id, timeout=call.timeout, is_async=is_async)
        ending: Ending | BaseException = _ending(returned, stage)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        ending = error
    if call.steps is not None:
        ending = call.steps.conclude(ending)
    if isinstance(ending, BaseException):
        ending = _ended_by(ending, stage)
    journal = call.context.noted if call.context is not None else None
    return Attempt(
        ending=ending,
        number=lease.entry.attempt,
        by=lease.entry.by,
        started_at=started_at,
        finished_at=invocation.clock.now(),
        journal=journal,
        signal=call.used(ending),
        taken=call.signal,
        kept=call.kept,
    )


def _ended_by(error: BaseException, stage: StageDefinition) -> Ending:
    # By its type: what a user's class says it is an instance of is its own matter, and may raise.
    if issubclass(type(error), TransientError | InvocationOverError):
        return Postponed(error)  # type: ignore[arg-type]
    if issubclass(type(error), _UnfitSignalError):
        return Unfit(error.problems)  # type: ignore[attr-defined]
    return failed(error, stage)


def failed(error: BaseException, stage: StageDefinition) -> Failed:
    """What is kept of *error*: cleaned and cut to size, with the end of its traceback."""
    retryable = is_retried(stage.retry, error)
    at_work = type(error) is StageTimeoutError and error.still_running
    return Failed(error_info(error, retryable=retryable), retryable, at_work)


class _UnfitSignalError(Exception):
    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(*problems)
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """What a stage may ask of the engine."""

    call: "_Call"
    tenure: Tenure

    @property
    def data(self) -> RunData:
        """What is read of the run."""
        return self.call.data

    def steps(self) -> "Steps":
        """The steps and waits of the attempt."""
        return self.call.begin_steps(self.tenure)

    def is_over(self) -> bool:
        """Whether the run is over, or the lease another's, for ``ctx.cancelled``."""
        return self.tenure.is_over()

    def is_known_over(self) -> bool:
        """The same, as far as it is known by now."""
        return self.tenure.is_known_over()

    def run_input(self) -> BaseModel:
        """The run's input, for ``ctx.run_input``."""
        return self.data.run_input()

    def signal(self, run_id: str, name: str, payload: Any, key: str) -> bool:
        """Keep a signal for a run, for ``ctx.signal``."""
        try:
            command = SignalRun(run_id=run_id, name=name, payload=payload, idempotency_key=key)
        except ValidationError as error:
            raise InvalidInputError(what=f"signal {name!r}", problems=problems_of(error)) from error
        answer: RunSignalled = self.call.invocation.ask(command)
        return answer.delivered


@dataclass(slots=True, kw_only=True)
class _Call:
    """Chooses the function that a lease is for, and reads what it takes."""

    lease: Lease
    stage: StageDefinition
    data: RunData
    invocation: Invocation
    signal: str | None
    context: StageContext[Any] | None = None
    kept: KeptState | None = None
    steps: "Steps | None" = None
    home: Place | None = None
    undoes: Undone | None = None
    deadline: datetime | None = None

    @property
    def timeout(self) -> timedelta:
        """The stage's own, or what is left of the invocation, but for what its commit takes."""
        left = self.invocation.remaining() - COMMIT_MARGIN
        return max(min(self.stage.timeout, left), timedelta(milliseconds=100))

    def check_time(self, *, begins: bool) -> None:
        """Without its time it would be stopped as if it had taken too long.

        Raises:
            InvocationOverError: it does not begin: the time that there was is over.
        """
        if not begins:
            raise InvocationOverError(stage_id=self.stage.id)

    def prepare(self) -> tuple[Callable[[], Any], bool]:
        """The call, and whether it must be awaited."""
        if self.lease.entry.signal is not None and self.lease.entry.step is None:
            return self._handler()
        if self.lease.entry.suspended_epoch is not None:
            return self._check(self.lease.entry.suspended_epoch)
        stage, group = self.stage, self.lease.group
        if stage.undoes is not None:
            return self._undo(stage, stage.undoes)
        if group == plans.ON_FAILURE:
            value: BaseModel | None = failure_of(self.data)
        else:
            value = self.data.input_for(stage) if stage.input_model is not None else None
        ctx = self._context(value) if stage.wants_context else None
        return (lambda: stage.call(value, ctx)) if ctx is None else (lambda: self._body(value, ctx)), stage.is_async

    def _undo(self, stage: StageDefinition, undone: StageDefinition) -> tuple[Callable[[], Any], bool]:
        group, ordinal = plans.place_of(self.lease.group), self.lease.ordinal
        undoes = self.undoes = Undone(data=self.data, stage=undone, group=group, ordinal=ordinal)
        if undoes.was_skipped:
            # The head does not tell of all that were (``kernel.winners``).
            return (lambda: None), False
        value = undoes.output() if stage.facts.shape.wants_value else None
        ctx = self._context(None) if stage.wants_context else None
        return (lambda: stage.call(value, ctx)) if ctx is None else (lambda: self._body(value, ctx)), stage.is_async

    def _body(self, value: BaseModel | None, ctx: StageContext[Any]) -> Any:
        self.home = here()
        return self.stage.call(value, ctx)

    def used(self, ending: Ending) -> str | None:
        """The signal that the commit of *ending* uses up."""
        if self.lease.entry.step is None or isinstance(ending, Unfit):
            return self.signal
        return None if self.steps is None else self.steps.used

    def begin_steps(self, tenure: Tenure) -> "Steps":
        """The steps of the attempt, made once."""
        if self.steps is None:
            # What most stages have no use for costs their process nothing.
            from workflow_engine.kernel.execution.step_records import StepRecords
            from workflow_engine.kernel.execution.steps import Steps

            lease, data, invocation = self.lease, self.data, self.invocation
            base = data.head.base_of(lease.group)
            records = StepRecords(
                persistence=data.persistence,
                blobs=data.blobs,
                run_id=data.head.run_id,
                scope=StepScope(plans.place_of(lease.group), lease.stage_id, base),
                epoch=lease.entry.epoch,
                expires_at=data.head.deadline + invocation.settings.retention,
                are_new=lease.entry.epoch == base,
            )
            self.steps = Steps(
                records=records,
                lease=lease,
                stage=self.stage,
                data=data,
                invocation=invocation,
                deadline=self.deadline or invocation.clock.now() + self.timeout,
                home=self.home,
                tenure=tenure,
                take_signal=self._taken_signal,
                journal=lambda: None if self.context is None else self.context.noted,
                may_wait=not plans.is_closing(lease.group),
            )
        return self.steps

    def _taken_signal(self) -> str | None:
        """The signal that the lease is about, reserved now where it was not with the claim."""
        if self.signal is None and not self.data.head.is_alone:
            self.signal = reserve(self.data.persistence, self.data.head, self.lease)
        return self.signal

    def _check(self, epoch: int) -> tuple[Callable[[], Any], bool]:
        check = self.stage.check
        if check is None:
            raise self._changed("has no check_completion any more")
        key = StageKey(self.lease.group, StageId(self.stage.id), epoch)
        self.kept = kept_state(self.data.outputs([key])[0])
        state = self.stage.load_state(self.kept.state)
        ctx = self._context(self.data.input_for(self.stage)) if check.wants_context else None
        return (lambda: check.call(state, ctx)), check.is_async

    def _handler(self) -> tuple[Callable[[], Any], bool]:
        handler, entry = self.stage.signal, self.lease.entry
        if handler is None:
            raise self._changed("has no on_signal any more")
        if self._taken_signal() is None or self.signal is None:
            until = entry.give_up_at or entry.until or self.invocation.clock.now()
            waited_for = f"signal {entry.signal!r}"
            raise WaitExpiredError(stage_id=self.stage.id, waited_for=waited_for, until=until)
        payload = self._payload(handler, self.signal)
        ctx = self._context(self.data.input_for(self.stage)) if handler.wants_context else None
        return (lambda: handler.call(payload, ctx)), handler.is_async

    def _payload(self, handler: SignalDefinition, element: str) -> BaseModel | None:
        try:
            return handler.load_payload(self.data.signal(element).payload)
        except InvalidInputError as error:
            raise _UnfitSignalError(error.problems) from error

    def _context(self, value: BaseModel | None) -> StageContext[Any]:
        data, entry = self.data, self.lease.entry
        head, now = data.head, self.invocation.clock.now
        self.deadline = now() + self.timeout
        tenure = Tenure(run_id=head.run_id, lease=self.lease, invocation=self.invocation, persistence=data.persistence)
        self.context = StageContext(
            run_id=head.run_id,
            workflow=data.definition,
            stage_id=self.stage.id,
            group=min(plans.place_of(self.lease.group), len(data.definition.groups)),
            attempt=entry.attempt,
            input=value,
            config=data.config_for(self.stage),
            attributes=data.started_with()["attributes"],
            effect_key=self._effect_key(),
            deadline=self.deadline,
            now=now,
            outputs=data,
            make_storage=self._storage,
            engine=_Asking(call=self, tenure=tenure),
        )
        if self.undoes is not None:
            undoes = self.undoes
            self.context.undo(undoes, lambda: self.data.input_at(undoes.stage, undoes.group))
        return self.context

    def _effect_key(self) -> str:
        head = self.data.head
        if self.undoes is not None:
            return undo_key_of(head.run_id, self.stage.id, self.undoes.base)
        return effect_key_of(head.run_id, self.stage.id, head.base)

    def _storage(self) -> AttemptStorage:
        head, entry = self.data.head, self.lease.entry
        stage_id = StageId(self.stage.id)
        return AttemptStorage(
            blobs=self.data.blobs,
            run_id=head.run_id,
            group=plans.place_of(self.lease.group),
            stage_id=stage_id,
            epoch=entry.epoch,
            earlier_epoch=entry.suspended_epoch,
            further=self._further_epochs,
        )

    def _further_epochs(self) -> Sequence[int]:
        """The leases under which else the stage has stored something; what undoes it finds that, too."""
        own = () if self.steps is None else self.steps.epochs()
        return own if self.undoes is None else [*own, *self.undoes.epochs()]

    def _changed(self, problem: str) -> DefinitionChangedError:
        return DefinitionChangedError(
            run_id=self.data.head.run_id,
            workflow_id=self.data.head.workflow_id,
            differences=[f"stage {self.stage.id!r} {problem}"],
        )


def _ending(returned: object, stage: StageDefinition) -> Ending:
    if isinstance(returned, StageResult):
        output, _ = stage.dump_output(returned.output)
        return Completed(output, dict(returned.metrics), dict(returned.artifacts))
    if isinstance(returned, Suspended):
        if stage.check is None:
            raise InvalidOutputError(stage_id=stage.id, problems=["it has no check_completion"])
        state = stage.dump_state(returned.state)
        # Longer than any run lives is as good as for ever, and adds up with any instant.
        return Suspends(state, min(returned.poll_every, MAX_RUN_DURATION), returned.give_up_after)
    if isinstance(returned, NotReady):
        return StillWaits(returned.next_check_in)
    if isinstance(returned, WaitForSignal):
        if stage.signal is None:
            raise InvalidOutputError(stage_id=stage.id, problems=["it has no on_signal"])
        if stage.signal.names and returned.name not in stage.signal.names:
            problem = f"waits for signal {returned.name!r}, which its on_signal does not name"
            raise InvalidOutputError(stage_id=stage.id, problems=[problem])
        return Awaits(returned.name, returned.timeout)
    return Completed(stage.dump_output(returned)[0])
