"""Shows and replays dead letters: events of runs, and messages of the job queue."""

from typing import Any

from workflow_engine.cli.documents import moment
from workflow_engine.cli.errors import one_line
from workflow_engine.cli.output import clock_time, print_json, print_table, say
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import ReplayDeadLetters
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.runs import DeadLetter

SHOWN_BODY = 100


def show_letters(kernel: Kernel, limit: int, *, as_json: bool) -> None:
    """Print up to *limit* dead letters of each kind."""
    events = kernel.persistence.list_dead_letters(limit=limit)
    messages = kernel.job_transport.list_dead(limit=limit)
    if as_json:
        print_json({"events": [_event(one) for one in events], "messages": [_message(one) for one in messages]})
        return
    print_table(
        ("run", "sequence", "event", "died", "reason"),
        [
            (letter.run_id, str(letter.sequence), letter.event.type, clock_time(letter.died_at), letter.reason)
            for letter in events
        ],
        empty="no dead events",
    )
    print_table(
        ("message", "sent", "body"),
        [(one.message_id, clock_time(one.sent_at), one_line(one.body)[:SHOWN_BODY]) for one in messages],
        empty="no dead messages",
    )


def _event(letter: DeadLetter) -> dict[str, Any]:
    return {
        "run_id": letter.run_id,
        "workflow_id": letter.workflow_id,
        "sequence": letter.sequence,
        "type": letter.event.type,
        "reason": letter.reason,
        "died_at": moment(letter.died_at),
    }


def _message(delivery: Delivery) -> dict[str, Any]:
    return {
        "message_id": delivery.message_id,
        "sent_at": moment(delivery.sent_at),
        "receive_count": delivery.receive_count,
        "body": delivery.body,
    }


def replay_letters(kernel: Kernel, limit: int, *, events: bool, jobs: bool, as_json: bool) -> None:
    """Send up to *limit* dead letters of each kind again."""
    replayed = kernel.dispatch(ReplayDeadLetters(max_events=limit)).replayed if events else 0
    redriven = kernel.job_transport.redrive_dead(limit=limit) if jobs else 0
    if as_json:
        print_json({"events": replayed, "messages": redriven})
    else:
        say(f"{replayed} events published, {redriven} messages sent back to the job queue")
