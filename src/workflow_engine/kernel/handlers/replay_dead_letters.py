"""``plugin.replay_dlq``: publishes dead letters again, in order per run."""

from collections.abc import Sequence

from workflow_engine.kernel.invocation import Invocation
from workflow_engine.model.commands import ReplayDeadLetters
from workflow_engine.model.events import build_event
from workflow_engine.model.ids import RunId
from workflow_engine.model.results import DeadLettersReplayed
from workflow_engine.model.runs import DeadLetter
from workflow_engine.ports.events import EventSink
from workflow_engine.ports.persistence import Persistence

PAGE = 100


def replay_dead_letters(
    command: ReplayDeadLetters,
    invocation: Invocation,
    *,
    persistence: Persistence,
    event_sink: EventSink,
) -> DeadLettersReplayed:
    """Publish up to *max_events* dead letters under their old ids and sequences; one that is accepted is
    removed. A crash between the two publishes it twice, and loses nothing.

    An event that is refused again holds back the later ones of its run, and no other run's: it is not
    counted, and those behind it are read on while there is time.
    """
    replayed, refused, after = 0, set[RunId](), None
    while replayed < command.max_events and not invocation.is_over:
        page = persistence.list_dead_letters(limit=min(PAGE, command.max_events - replayed), after=after)
        if not page:
            break
        after = (page[-1].run_id, page[-1].sequence)
        told, heard = _replay(page, refused, persistence, event_sink)
        replayed += told
        if not heard:
            break
    return DeadLettersReplayed(replayed=replayed)


def _replay(
    page: Sequence[DeadLetter], refused: set[RunId], persistence: Persistence, event_sink: EventSink
) -> tuple[int, bool]:
    """Publish those of *page* whose run was not *refused* (more are added to it); answers how many were
    accepted, and whether the service answered for the rest."""
    left = [letter for letter in page if letter.run_id not in refused]
    replayed = 0
    while left:
        accepted, at_fault = _published(left, event_sink)
        for letter in accepted:
            persistence.delete_dead_letter(letter.run_id, letter.sequence)
        replayed += len(accepted)
        left = [letter for letter in left if letter not in accepted]
        if left and not at_fault:
            # The service does not answer: whoever comes next would not be heard either.
            return replayed, False
        refused |= at_fault
        left = [letter for letter in left if letter.run_id not in at_fault]
    return replayed, True


def _published(letters: Sequence[DeadLetter], event_sink: EventSink) -> tuple[list[DeadLetter], set[RunId]]:
    """Which of *letters* were accepted, and the runs one of whose events is itself at fault."""
    events = [build_event(letter.run_id, letter.workflow_id, letter.event, letter.sequence) for letter in letters]
    answers = list(zip(letters, event_sink.emit(events), strict=True))
    accepted = [letter for letter, answer in answers if answer is None]
    return accepted, {letter.run_id for letter, answer in answers if answer is not None and answer.counts}
