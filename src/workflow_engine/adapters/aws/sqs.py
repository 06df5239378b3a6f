"""A queue of commands in SQS."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from typing_extensions import override

from workflow_engine.adapters.aws.sqs_queue import SqsQueue, batches
from workflow_engine.errors import TransientError
from workflow_engine.model.commands import Command
from workflow_engine.model.deliveries import (
    Delivery,
    body_of,
    check_delay,
    check_message,
    check_visibility,
    check_wait,
    redelivery_delay,
)
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
    def touch(self, delivery: Delivery, *, visibility: timedelta) -> None:
        check_visibility(visibility)
        self._queue.hide(delivery.receipt, visibility)

    @override
    def list_dead(self, *, limit: int = 100) -> Sequence[Delivery]:
        dead = self._dead_letters()
        if dead is None:
            return ()
        seen: dict[str, Delivery] = {}
        while len(seen) < limit:
            found = dead.receive(limit=limit - len(seen), wait=LONG_POLL, visibility=LOOKING)
            if not found:
                break
            seen.update((delivery.message_id, delivery) for delivery in found)
        dead.show([delivery.receipt for delivery in seen.values()])
        return tuple(seen.values())

    @override
    def redrive_dead(self, *, limit: int = 100) -> int:
        dead = self._dead_letters()
        redriven = 0
        while dead is not None and redriven < limit:
            found = dead.receive(limit=limit - redriven, wait=LONG_POLL, visibility=LOOKING)
            sent = self._send_back(dead, found)
            redriven += sent
            if not found or sent < len(found):
                break
        return redriven

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

    def _send_back(self, dead: SqsQueue, found: Sequence[Delivery]) -> int:
        unsent = set(self._send_all([delivery.body for delivery in found]))
        dead.delete_all([delivery.receipt for index, delivery in enumerate(found) if index not in unsent])
        dead.show([found[index].receipt for index in unsent])
        return len(found) - len(unsent)

    def _dead_letters(self) -> SqsQueue | None:
        url = self._dead_letter_url or self._queue.dead_letter_url()
        self._dead_letter_url = url
        return None if url is None else SqsQueue(self._client, url)
