"""``plugin.replay_dlq``: publishes dead letters again, in order per run."""

from workflow_engine.kernel.invocation import Invocation
from workflow_engine.model.commands import ReplayDeadLetters
from workflow_engine.model.events import build_event
from workflow_engine.model.results import DeadLettersReplayed
from workflow_engine.ports.events import EventSink
from workflow_engine.ports.persistence import Persistence


def replay_dead_letters(
    command: ReplayDeadLetters,
    _invocation: Invocation,
    *,
    persistence: Persistence,
    event_sink: EventSink,
) -> DeadLettersReplayed:
    """Publish dead letters under their old ids and sequences; one that is accepted is removed.
    A crash between the two publishes it twice, and loses nothing."""
    letters = sorted(
        persistence.list_dead_letters(limit=command.max_events),
        key=lambda letter: (letter.run_id, letter.sequence),
    )
    events = [build_event(letter.run_id, letter.workflow_id, letter.event, letter.sequence) for letter in letters]
    replayed = 0
    refused_runs: set[str] = set()
    for letter, answer in zip(letters, event_sink.emit(events) if events else [], strict=True):
        if answer is not None or letter.run_id in refused_runs:
            refused_runs.add(letter.run_id)
            continue
        persistence.delete_dead_letter(letter.run_id, letter.sequence)
        replayed += 1
    return DeadLettersReplayed(replayed=replayed)
