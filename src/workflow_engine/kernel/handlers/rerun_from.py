"""``run.rerun_from``: a finished run goes again from a stage, on the definition of the day."""

from dataclasses import dataclass
from datetime import timedelta

from workflow_engine.authoring.registry import Registry
from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import (
    BlobNotFoundError,
    DefinitionChangedError,
    InvalidStateError,
    RunNotFoundError,
    StageNotFoundError,
    StaleRunError,
    WorkflowNotFoundError,
)
from workflow_engine.kernel import idempotency, payloads, records, transitions, winners
from workflow_engine.kernel.commit import MAX_TRIES, commit_once
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.kept_steps import keep_under, kept_steps
from workflow_engine.kernel.lifetimes import check_lifetime
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Moment, Rerun, Told, wakes
from workflow_engine.model import plans
from workflow_engine.model.commands import RerunFrom
from workflow_engine.model.commits import Committed, Exclusive, newest_base
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.instants import whole
from workflow_engine.model.limits import HEAD_OUTLIVES
from workflow_engine.model.payloads import Payload
from workflow_engine.model.results import RunRerun
from workflow_engine.model.runs import SKIPPED_EPOCH, Head, StageKey
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence


def rerun_from(
    command: RerunFrom,
    invocation: Invocation,
    *,
    registry: Registry,
    definitions: Definitions,
    persistence: Persistence,
    blob_store: BlobStore,
    teller: Teller,
    settings: KernelSettings,
) -> RunRerun:
    """Run again from a stage; outputs from its group on are no longer seen, older attempts stay as history.

    Raises:
        RunNotFoundError, WorkflowNotFoundError, StageNotFoundError: no such thing.
        InvalidStateError: the run is not over, or what it was started with, or an output that it keeps,
            is gone; nothing has changed.
        InvalidInputError: *input* does not validate, or payloads would be deleted before the run's end.
        NewerDefinitionError: this process does not know the run's definition, and other code does.
        DefinitionChangedError: outputs that would be kept do not fit the definition of the day.
        IdempotencyConflictError: the key was used for another rerun.
    """
    before = idempotency.replayed(command, RunRerun, persistence)
    if before is not None:
        return before
    rerun = _Rerunning(
        command=command,
        invocation=invocation,
        definitions=definitions,
        persistence=persistence,
        blobs=blob_store,
        settings=settings,
    )
    return rerun.go(registry, teller)


# What lives no longer than this is not counted on: it may be gone before its life is prolonged.
AT_ONCE = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class _Rerunning:
    command: RerunFrom
    invocation: Invocation
    definitions: Definitions
    persistence: Persistence
    blobs: BlobStore
    settings: KernelSettings
    base: int | None = None

    def go(self, registry: Registry, teller: Teller) -> RunRerun:
        head = self.load()
        for _ in range(MAX_TRIES):
            definition, group = self.place(head, registry)
            result = self.result(head, definition, group)
            if self.command.keep_steps and not self.has_base(head):
                head = self.keep_steps(head, definition, group)
                continue
            outcome = commit_once(self.persistence, self.commit(head, definition, group, result))
            if isinstance(outcome, Committed):
                self.remove_blobs(outcome.head)
                jobs = wakes.sendable(outcome.head, self.invocation.clock.now())
                teller.tell(outcome.head, definition.plan, Told(), jobs=jobs)
                return result
            if outcome.replay is not None:
                return idempotency.result_from(outcome.replay, self.command, RunRerun)
            head = outcome.head or head
        raise StaleRunError(run_id=head.run_id, tries=MAX_TRIES)

    def load(self) -> Head:
        head = self.persistence.load_head(RunId(self.command.run_id))
        if head is None:
            raise RunNotFoundError(run_id=self.command.run_id)
        return head

    def place(self, head: Head, registry: Registry) -> tuple[WorkflowDefinition, int]:
        """The definition that the run goes again on, and from which group."""
        try:
            definition = registry.get(head.workflow_id)
            group, _ = definition.position(self.command.from_stage_id)
            self.check(head, definition, group)
        except (WorkflowNotFoundError, StageNotFoundError, DefinitionChangedError) as error:
            self.definitions.leave_to_others(head, error)
            raise
        return definition, group

    def check(self, head: Head, definition: WorkflowDefinition, group: int) -> None:
        if not head.status.is_terminal:
            raise InvalidStateError(run_id=head.run_id, status=head.status, command=self.command.type)
        if group > head.group:
            raise StageNotFoundError(
                workflow_id=head.workflow_id,
                stage_id=self.command.from_stage_id,
                detail=f"the run has not come that far; it ended in group {plans.number(head.group)}",
            )
        self._check_undone(head, definition, group)
        if definition.fingerprint != head.fingerprint:
            self._check_kept(head, definition, group)

    def _check_undone(self, head: Head, definition: WorkflowDefinition, group: int) -> None:
        """What was undone is not there any more: a run that goes again does it anew."""
        undone_from = head.closing.undone_from if head.closing is not None else None
        if undone_from is not None and group > undone_from:
            stages = ", ".join(map(repr, definition.plan.nearest(undone_from)))
            detail = f"what it did from {stages} on was undone: start there, or before"
            raise InvalidStateError(run_id=head.run_id, status=head.status, command=self.command.type, detail=detail)

    def _check_kept(self, head: Head, definition: WorkflowDefinition, group: int) -> None:
        """The outputs that are kept were written by another definition: try them."""
        found = list(self.definitions.kept_differences(head, definition, group))
        if found:
            raise DefinitionChangedError(run_id=head.run_id, workflow_id=head.workflow_id, differences=found)

    def result(self, head: Head, definition: WorkflowDefinition, group: int) -> RunRerun:
        discarded = definition.plan.between(group, head.group)
        return RunRerun(run_id=head.run_id, from_stage_id=self.command.from_stage_id, discarded_stages=discarded)

    def commit(self, head: Head, definition: WorkflowDefinition, group: int, result: RunRerun) -> Exclusive:
        """The commit with which the run goes again, once all that it goes on with is sure to live long enough."""
        moment = self.invocation.moment()
        record = idempotency.record_of(self.command, result, moment.at, self.settings.retention)
        self.keep_alive(head, definition, group)
        facts = self.facts(head, definition, group, moment)
        if self.invocation.clock.now() - moment.at > AT_ONCE:
            # Its process stood still, and what was there then may have expired before its life was prolonged.
            self.keep_alive(head, definition, group)
        return transitions.rerun(head, facts, definition.plan, moment, record=record)

    def keep_alive(self, head: Head, definition: WorkflowDefinition, group: int) -> None:
        """Make sure that all that the run goes on with is there, and that its blobs stay so: they are
        deleted by their age, and the run begins anew."""
        check_lifetime(definition, self.settings)
        gone: list[str] = []
        for what, payload in self._needed(head, definition, group).items():
            try:
                if payload is None:
                    gone.append(what)
                elif payload.blob_key is not None:
                    self.blobs.renew(payload.blob_key)
            except BlobNotFoundError:
                gone.append(what)
        if gone:
            detail = f"{', '.join(gone)} expired; start a new run"
            raise InvalidStateError(run_id=head.run_id, status=head.status, command=self.command.type, detail=detail)

    def _needed(self, head: Head, definition: WorkflowDefinition, group: int) -> dict[str, Payload | None]:
        """What the run was started with and the outputs that it keeps, each by what it is called."""
        at, found = self.invocation.clock.now() + AT_ONCE, dict[str, Payload | None]()
        if head.input_inline is None:
            item = self.persistence.load_input(head.run_id, head.input_hash or "")
            # DynamoDB removes what has expired within days: what is still there may be gone any moment.
            found["its input"] = item.payload if item is not None and item.expires_at > at else None
        whole = winners.completed(head, self.persistence)
        keys = [
            StageKey(earlier, StageId(stage_id), whole.winner(earlier, ordinal))
            for earlier, stages in definition.plan.until(group)
            for ordinal, stage_id in enumerate(stages)
        ]
        keys = [key for key in keys if key.epoch != SKIPPED_EPOCH]
        stored = records.loaded(head, keys, self.persistence) if keys else {}
        for key in keys:
            record = stored.get(key)
            lives = record is not None and record.expires_at > at
            found[f"the output of {key.stage_id}"] = record.output if record is not None and lives else None
        return found

    def facts(self, head: Head, definition: WorkflowDefinition, group: int, moment: Moment) -> Rerun:
        deadline = whole(moment.at + definition.max_duration)
        expires_at = deadline + self.settings.retention
        # Before their lives are prolonged, and before nothing rides in the head any more.
        records.flush(head, self.persistence)
        self.persistence.extend_expiry(head.run_id, expires_at)
        inline, input_hash = head.input_inline, head.input_hash
        if self.command.input is not None:
            fixed, _ = definition.fixed_input(self.command.input)
            started = payloads.load_input(head, persistence=self.persistence, blobs=self.blobs)
            inline, input_hash = payloads.keep_input(
                head.run_id,
                input=fixed,
                config=started["config"],
                attributes=started["attributes"],
                expires_at=expires_at,
                persistence=self.persistence,
                blobs=self.blobs,
            )
        return Rerun(
            group=group,
            fingerprint=definition.fingerprint,
            deadline=deadline,
            expires_at=expires_at + HEAD_OUTLIVES,
            input_inline=inline,
            input_hash=input_hash,
            base=self.base,
            closes_on=definition.plan.closes_on,
        )

    def has_base(self, head: Head) -> bool:
        """Whether steps are kept under a base that is newer than that of any rerun."""
        return self.base is not None and self.base > newest_base(head)

    def keep_steps(self, head: Head, definition: WorkflowDefinition, group: int) -> Head:
        """Draw a base, which nobody else has, and keep the steps under it; answers the head as it is then."""
        stages = [stage.id for stage in definition.groups[group]]
        command = self.command
        steps = kept_steps(
            self.persistence, head, group, stages, of=command.from_stage_id, discarded=command.discard_steps
        )
        outcome = commit_once(self.persistence, transitions.draw(head, self.invocation.moment()))
        if isinstance(outcome, Committed):
            self.base = head.epochs
            expires_at = self.invocation.clock.now() + definition.max_duration + self.settings.retention
            keep_under(self.base, steps, persistence=self.persistence, blobs=self.blobs, expires_at=expires_at)
        return outcome.head or head

    def remove_blobs(self, head: Head) -> None:
        """Remove the blobs of discarded attempts, now that nobody can look for them any more: of those
        groups, all that is older than the rerun. The records stay, as history."""
        for key in list(self.blobs.list(payloads.blob_prefix(head.run_id))):
            place = payloads.attempt_of(head.run_id, key)
            if place is not None and place.group >= head.group and place.epoch < newest_base(head):
                self.blobs.delete(key)
