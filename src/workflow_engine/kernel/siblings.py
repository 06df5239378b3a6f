"""Performs an inline group: all of its stages side by side, in one invocation that holds all of their leases."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel.execution.attempt import Attempt, perform
from workflow_engine.kernel.execution.endings import concluded, is_final, outcome_of, result_of
from workflow_engine.kernel.execution.held_leases import HeldLeases
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.execution.together import Sibling, Together
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.transitions import Lease
from workflow_engine.kernel.turn import Turn
from workflow_engine.model.results import JobExecuted
from workflow_engine.ports.observer import Observer

_log = logging.getLogger(__name__)
# So long may the outcome of one stage wait for those of its siblings before it is stored.
PORTION = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Siblings:
    """Performs what the leases of an inline group are for, and keeps what comes of it."""

    together: Together
    held: HeldLeases
    observer: Observer

    def perform(
        self, turn: Turn, leases: Sequence[Lease], after: Callable[[Turn, Sequence[Sibling]], None]
    ) -> tuple[JobExecuted, Exception | None]:
        """Perform all *leases* and commit what comes of them, portion by portion; *after* each of them is
        called. Answers what came of the last one, and the first error of a portion.

        All are waited for, also where the run is over meanwhile: a thread cannot be stopped. So an error of one
        portion must not cost the others, which are at work.
        """
        result, first = JobExecuted(outcome="completed", ghost=True), None
        with ExitStack() as holding:
            for lease in leases:
                holding.enter_context(self.held.holding(turn.head.run_id, lease))
            for attempts in self._performed(turn, leases):
                try:
                    kept = self.together.keep(attempts, turn)
                    self._observe(turn, kept)
                    last = kept[-1]
                    result = result_of(last.attempt, turn.head, last.lease, ours=last.counts)
                    after(turn, kept)
                except Exception as error:
                    _log.warning("a portion of group %s of run %s: %r", leases[0].group, turn.head.run_id, error)
                    first = first or error
        return result, first

    def _performed(self, turn: Turn, leases: Sequence[Lease]) -> Iterator[list[tuple[Lease, Attempt]]]:
        invocation, group = turn.invocation, turn.definition.groups[leases[0].group]
        # What is skipped of the group has no lease.
        stages = [group[lease.ordinal] for lease in leases]
        for stage, lease in zip(stages, leases, strict=True):
            self.observer.stage_started(turn.head.run_id, turn.head.workflow_id, stage.id, lease.entry.attempt)
        try:
            turn.data.fetch_ahead()
        except WorkflowEngineError as error:
            _log.info("each stage of group %s reads for itself: %r", leases[0].group, error)
        calls = [
            partial(_perform, lease, stage, turn.data.apart(), invocation)
            for stage, lease in zip(stages, leases, strict=True)
        ]
        portions = invocation.settings.run_group(calls, patience=PORTION, is_urgent=lambda done: done.ends_the_run)
        for portion in portions:
            yield [(leases[index], done.attempt) for index, done in portion]

    def _observe(self, turn: Turn, kept: Sequence[Sibling]) -> None:
        for sibling in kept:
            attempt, stage_id = sibling.attempt, sibling.lease.stage_id
            seconds = (attempt.finished_at - attempt.started_at).total_seconds()
            self.observer.stage_ended(turn.head.workflow_id, stage_id, outcome_of(attempt), seconds)
            if not sibling.counts:
                self.observer.happened("Ghosts")


@dataclass(frozen=True, slots=True)
class _Done:
    attempt: Attempt
    ends_the_run: bool


def _perform(lease: Lease, stage: StageDefinition, data: RunData, invocation: Invocation) -> _Done:
    attempt = perform(lease, stage, data, invocation)
    attempt = concluded(attempt, lease, stage, attempt.finished_at)
    return _Done(attempt, is_final(attempt, lease, stage, data.head))
