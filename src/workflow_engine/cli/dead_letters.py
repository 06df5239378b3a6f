"""Shows, replays and forgets dead letters: events of runs, and messages of the four dead-letter queues."""

from collections.abc import Mapping, Sequence
from typing import Any

from workflow_engine.cli.output import clock_time, print_json, print_table, say
from workflow_engine.cli.stacks import Stack
from workflow_engine.kernel.queries.documents import moment
from workflow_engine.local.errors import one_line
from workflow_engine.model.commands import ReplayDeadLetters
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.runs import DeadLetter
from workflow_engine.ports.jobs import JobTransport

SHOWN_BODY, SHOWN_REASON = 100, 200
# What is said of an empty queue, and of the letters that the queue's own redrive policy moved.
_EMPTY = {"messages": "no dead messages", "schedules": "no dead schedules", "ticks": "no dead ticks"}
NO_REASON = "not told: see the function's log"


def show_letters(stack: Stack, limit: int, *, as_json: bool) -> None:
    """Print up to *limit* dead letters of each kind, with the reason of each."""
    events = stack.kernel.queries.dead_letters(limit=limit)
    found = {kind: queue.list_dead(limit=limit) for kind, queue in _queues(stack).items()}
    if as_json:
        documents = {kind: [_message(one) for one in letters] for kind, letters in found.items()}
        print_json({"events": [_event(one) for one in events], **documents})
        return
    print_table(
        ("run", "sequence", "event", "died", "reason"),
        [
            (letter.run_id, str(letter.sequence), letter.event.type, clock_time(letter.died_at), letter.reason)
            for letter in events
        ],
        empty="no dead events",
    )
    for kind, letters in found.items():
        _print_messages(kind, letters)


def replay_letters(stack: Stack, limit: int, *, events: bool, jobs: bool, as_json: bool) -> None:
    """Send up to *limit* dead letters of each kind again. A tick that failed is not one of them: the next
    one did its work."""
    replayed = stack.kernel.dispatch(ReplayDeadLetters(max_events=limit)).replayed if events else 0
    sendable = [queue for kind, queue in _queues(stack).items() if kind != "ticks"]
    redriven = sum(queue.redrive_dead(limit=limit) for queue in sendable) if jobs else 0
    if as_json:
        print_json({"events": replayed, "messages": redriven})
    else:
        say(f"{replayed} events published, {redriven} messages sent back to the job queue")


def forget_letters(stack: Stack, message_ids: Sequence[str], limit: int, *, as_json: bool) -> None:
    """Remove the messages of these ids from the dead-letter queues, or else all dead ticks."""
    queues = _queues(stack)
    if message_ids:
        forgotten = sum(queue.forget_dead(limit=limit, message_ids=message_ids) for queue in queues.values())
    else:
        forgotten = queues["ticks"].forget_dead(limit=limit) if "ticks" in queues else 0
    if as_json:
        print_json({"forgotten": forgotten})
    else:
        say(f"{forgotten} messages forgotten")


def _queues(stack: Stack) -> Mapping[str, JobTransport]:
    return {"messages": stack.jobs, **stack.letters}


def _print_messages(kind: str, letters: Sequence[Delivery]) -> None:
    rows = [
        (
            one.message_id,
            clock_time((one.reason and one.reason.first_at) or one.sent_at),
            _reason(one)[:SHOWN_REASON],
            one_line(one.body)[:SHOWN_BODY],
        )
        for one in letters
    ]
    print_table((kind.removesuffix("s"), "sent", "reason", "body"), rows, empty=_EMPTY[kind])


def _reason(letter: Delivery) -> str:
    if letter.reason is None:
        return NO_REASON
    return one_line(f"{letter.reason.code}: {letter.reason.message}" if letter.reason.message else letter.reason.code)


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
    reason = delivery.reason
    return {
        "message_id": delivery.message_id,
        "sent_at": moment(delivery.sent_at),
        "receive_count": delivery.receive_count,
        "reason": None if reason is None else reason.code,
        "detail": None if reason is None else reason.message,
        "run_id": None if reason is None else reason.run_id,
        "first_sent_at": None if reason is None else moment(reason.first_at),
        "died_at": None if reason is None else moment(reason.died_at),
        "body": delivery.body,
    }
