"""``outbox.flush``: tells events that are committed and not told."""

from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.rest import Rest
from workflow_engine.kernel.sweep import Sweeper
from workflow_engine.model.commands import FlushOutbox
from workflow_engine.model.results import OutboxFlushed
from workflow_engine.model.runs import Head


def flush_outbox(command: FlushOutbox, invocation: Invocation, *, sweeper: Sweeper, rest: Rest) -> OutboxFlushed:
    """Publish untold events, run by run and in order; a run whose event is refused is left to the
    next look. Told events leave the head at once."""
    published = 0

    def flush(head: Head) -> bool:
        nonlocal published
        published += rest.flush(head, invocation)
        return published >= command.max_events

    sweeper.serve(sweeper.live_within_horizon(invocation, lambda head: bool(head.untold)), flush)
    return OutboxFlushed(published=published)
