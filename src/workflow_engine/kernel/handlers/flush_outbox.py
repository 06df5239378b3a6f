"""``outbox.flush``: tells events that are committed and not told."""

from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.sweep import Sweeper
from workflow_engine.model.commands import FlushOutbox
from workflow_engine.model.results import OutboxFlushed

MAX_CANDIDATES = 1000


def flush_outbox(
    command: FlushOutbox, invocation: Invocation, *, sweeper: Sweeper, advancer: Advancer
) -> OutboxFlushed:
    """Publish untold events, run by run and in order; a run whose event is refused is left to the
    next look. Told events leave the head at once."""
    heads = sweeper.live_within_horizon(invocation, MAX_CANDIDATES, lambda head: bool(head.untold))
    published = 0
    for head in heads:
        if published >= command.max_events:
            break
        published += advancer.flush(head, invocation)
    return OutboxFlushed(published=published)
