"""A queue of commands in SQS."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from typing_extensions import override

from workflow_engine.adapters.aws.letters import attributes_of
from workflow_engine.adapters.aws.sqs_queue import SqsQueue, batches
from workflow_engine.errors import TransientError
from workflow_engine.model.commands import Command
from workflow_engine.model.deliveries import (
    DeadReason,
    Delivery,
    body_of,
    body_to_send_again,
    check_delay,
    check_message,
    check_visibility,
    check_wait,
    is_too_large,
    redelivery_delay,
)
from workflow_engine.model.limits import MAX_MESSAGE_BATCH
from workflow_engine.ports.jobs import JobTransport

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# How long dead letters that somebody looks at stay out of sight, should the reader die.
LOOKING = timedelta(seconds=30)
# A short poll asks only some of the servers and may miss messages (developer guide, "Short and long polling").
LONG_POLL = timedelta(seconds=1)


class SqsJobTransport(JobTransport):
    """Sends and takes the messages of a queue.

    Dead letters are those of *dead_letter_url*, or else of the queue that the queue's own redrive
    policy names. The client's read timeout must be above the longest ``wait`` of ``dequeue``.
    """

    def __init__(self, client: "SQSClient", queue_url: str, dead_letter_url: str | None = None) -> None:
        self._client = client
        self._queue = SqsQueue(client, queue_url)
        self._dead_letter_url = dead_letter_url

    @override
    def enqueue(self, command: Command, *, delay: timedelta = timedelta(0)) -> None:
        check_delay(delay)
        body = body_of(command)
        check_message(body)
        self._queue.send(body, delay=delay)

    @override
    def enqueue_parallel(self, commands: Sequence[Command]) -> Sequence[Command]:
        bodies = [body_of(command) for command in commands]
        for body in bodies:
            check_message(body)
        return [commands[index] for index in self._send_all(bodies)]

    @override
    def waiting(self) -> int:
        return self._queue.waiting()

    @override
    def dequeue(self, *, wait: timedelta = timedelta(0)) -> Delivery | None:
        check_wait(wait)
        deliveries = self._queue.receive(limit=1, wait=wait)
        return deliveries[0] if deliveries else None

    @override
    def complete(self, delivery: Delivery) -> None:
        self._queue.delete(delivery.receipt)

    @override
    def suspend(self, delivery: Delivery, *, delay: timedelta = timedelta(0)) -> None:
        check_visibility(delay)
        self._queue.hide(delivery.receipt, delay)

    @override
    def fail(self, delivery: Delivery) -> None:
        self._queue.hide(delivery.receipt, redelivery_delay(delivery))

    @override
    def bury(self, delivery: Delivery, reason: DeadReason) -> bool:
        dead, body = self._dead_letters(), body_to_send_again(delivery)
        attributes = attributes_of(reason, body)
        if dead is None or attributes is None:
            self.fail(delivery)
            return False
        dead.send(body, attributes=attributes)
        self.complete(delivery)
        return True

    @override
    def touch(self, delivery: Delivery, *, visibility: timedelta) -> None:
        check_visibility(visibility)
        self._queue.hide(delivery.receipt, visibility)

    @override
    def list_dead(self, *, limit: int = 100) -> Sequence[Delivery]:
        dead = self._dead_letters()
        seen = {} if dead is None else _taken(dead, limit)
        if dead is not None:
            dead.show([delivery.receipt for delivery in seen.values()])
        return tuple(seen.values())

    @override
    def redrive_dead(self, *, limit: int = 100) -> int:
        dead = self._dead_letters()
        redriven, kept = 0, list[Delivery]()
        while dead is not None and redriven < limit:
            found = _look(dead, limit - redriven)
            bodies = {letter.receipt: body_to_send_again(letter) for letter in found}
            fit = [letter for letter in found if not is_too_large(bodies[letter.receipt])]
            kept += [letter for letter in found if letter not in fit]
            sent = self._send_back(dead, fit, [bodies[letter.receipt] for letter in fit])
            redriven += sent
            if not found or sent < len(fit):
                break
        if dead is not None:
            dead.show([letter.receipt for letter in kept])
        return redriven

    @override
    def forget_dead(self, *, limit: int = 100, message_ids: Collection[str] | None = None) -> int:
        dead = self._dead_letters()
        if dead is None:
            return 0
        # Those that are named may lie behind any number of others.
        seen = _taken(dead, limit if message_ids is None else None)
        doomed = [name for name in seen if message_ids is None or name in message_ids][:limit]
        dead.delete_all([seen[name].receipt for name in doomed])
        dead.show([letter.receipt for name, letter in seen.items() if name not in doomed])
        return len(doomed)

    def _send_all(self, bodies: Sequence[str]) -> list[int]:
        """Send *bodies*; the indexes of those that were not accepted."""
        unsent: list[int] = []
        for batch in batches(bodies):
            try:
                unsent.extend(self._queue.send_batch({index: bodies[index] for index in batch}))
            except TransientError:
                # The batches after it would wait for the same service while the caller's time runs out.
                unsent.extend(range(batch.start, len(bodies)))
                break
        return sorted(unsent)

    def _send_back(self, dead: SqsQueue, found: Sequence[Delivery], bodies: Sequence[str]) -> int:
        unsent = set(self._send_all(bodies))
        dead.delete_all([delivery.receipt for index, delivery in enumerate(found) if index not in unsent])
        dead.show([found[index].receipt for index in unsent])
        return len(found) - len(unsent)

    def _dead_letters(self) -> SqsQueue | None:
        url = self._dead_letter_url or self._queue.dead_letter_url()
        self._dead_letter_url = url
        return None if url is None else SqsQueue(self._client, url)


def _look(dead: SqsQueue, limit: int) -> list[Delivery]:
    return dead.receive(limit=limit, wait=LONG_POLL, visibility=LOOKING, dead=True)


def _taken(dead: SqsQueue, limit: int | None) -> dict[str, Delivery]:
    """Up to *limit* dead letters, by their ids, out of sight until they are shown again."""
    seen: dict[str, Delivery] = {}
    while limit is None or len(seen) < limit:
        found = _look(dead, MAX_MESSAGE_BATCH if limit is None else limit - len(seen))
        news = {delivery.message_id for delivery in found} - seen.keys()
        seen.update((delivery.message_id, delivery) for delivery in found)
        if not news:
            # None is left, or so many were there that the first are in sight again.
            break
    return seen
