"""Which handler executes a command, and what it is given."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from pydantic import BaseModel

from workflow_engine.kernel.handlers.annotate_run import annotate_run
from workflow_engine.kernel.handlers.cancel_run import cancel_run
from workflow_engine.kernel.handlers.claim_pending_runs import claim_pending_runs
from workflow_engine.kernel.handlers.create_run import create_run
from workflow_engine.kernel.handlers.execute_job import execute_job
from workflow_engine.kernel.handlers.flush_outbox import flush_outbox
from workflow_engine.kernel.handlers.poll_suspended_stages import poll_suspended_stages
from workflow_engine.kernel.handlers.reap_stale_leases import reap_stale_leases
from workflow_engine.kernel.handlers.reap_stuck_runs import reap_stuck_runs
from workflow_engine.kernel.handlers.replay_dead_letters import replay_dead_letters
from workflow_engine.kernel.handlers.rerun_from import rerun_from
from workflow_engine.kernel.handlers.signal_run import signal_run
from workflow_engine.kernel.handlers.transition_run import transition_run
from workflow_engine.kernel.handlers.undo_run import undo_run
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.parts import Parts
from workflow_engine.model import commands
from workflow_engine.model.results import ResultModel

Handler: TypeAlias = Callable[[Any, Invocation], ResultModel]
Handlers: TypeAlias = Mapping[type[BaseModel], Handler]


def handlers_over(parts: Parts) -> Handlers:
    """The handler of each command, with those of *parts* that it names."""
    return {**_started(parts), **_told(parts), **_carried_on(parts), **_looked_after(parts)}


def _started(parts: Parts) -> Handlers:
    """What starts a run, and starts it again."""
    return {
        commands.CreateRun: partial(
            create_run,
            registry=parts.registry,
            definitions=parts.definitions,
            persistence=parts.persistence,
            blob_store=parts.blob_store,
            ids=parts.ids,
            settings=parts.settings,
            advancer=parts.advancer,
        ),
        commands.RerunFrom: partial(
            rerun_from,
            registry=parts.registry,
            definitions=parts.definitions,
            persistence=parts.persistence,
            blob_store=parts.blob_store,
            teller=parts.teller,
            settings=parts.settings,
        ),
    }


def _told(parts: Parts) -> Handlers:
    """What somebody tells a run."""
    return {
        commands.CancelRun: partial(
            cancel_run,
            persistence=parts.persistence,
            advancer=parts.advancer,
            settings=parts.settings,
        ),
        commands.UndoRun: partial(
            undo_run,
            persistence=parts.persistence,
            definitions=parts.definitions,
            advancer=parts.advancer,
            settings=parts.settings,
        ),
        commands.SignalRun: partial(
            signal_run,
            persistence=parts.persistence,
            definitions=parts.definitions,
            teller=parts.teller,
            ids=parts.ids,
            settings=parts.settings,
        ),
        commands.AnnotateRun: partial(
            annotate_run,
            persistence=parts.persistence,
            rest=parts.rest,
            ids=parts.ids,
            settings=parts.settings,
        ),
    }


def _carried_on(parts: Parts) -> Handlers:
    """What carries a run on."""
    return {
        commands.ExecuteJob: partial(
            execute_job,
            persistence=parts.persistence,
            advancer=parts.advancer,
            definitions=parts.definitions,
            teller=parts.teller,
        ),
        commands.TransitionRun: partial(
            transition_run,
            persistence=parts.persistence,
            advancer=parts.advancer,
        ),
        commands.ClaimPendingRuns: partial(
            claim_pending_runs,
            persistence=parts.persistence,
            sweeper=parts.sweeper,
            definitions=parts.definitions,
            teller=parts.teller,
        ),
        commands.PollSuspendedStages: partial(
            poll_suspended_stages,
            persistence=parts.persistence,
            sweeper=parts.sweeper,
            advancer=parts.advancer,
        ),
    }


def _looked_after(parts: Parts) -> Handlers:
    """What finds runs, stages and events that nobody carries on."""
    return {
        commands.ReapStaleLeases: partial(
            reap_stale_leases,
            sweeper=parts.sweeper,
            advancer=parts.advancer,
            teller=parts.teller,
        ),
        commands.ReapStuckRuns: partial(
            reap_stuck_runs,
            sweeper=parts.sweeper,
            advancer=parts.advancer,
            settings=parts.settings,
        ),
        commands.FlushOutbox: partial(
            flush_outbox,
            sweeper=parts.sweeper,
            rest=parts.rest,
        ),
        commands.ReplayDeadLetters: partial(
            replay_dead_letters,
            persistence=parts.persistence,
            event_sink=parts.event_sink,
        ),
    }
