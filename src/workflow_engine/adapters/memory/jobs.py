"""A queue of commands in the memory of this process, with the manners of SQS."""

import heapq
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from typing_extensions import override

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
from workflow_engine.ports.clock import Clock, IdSource
from workflow_engine.ports.jobs import JobTransport

DEFAULT_VISIBILITY = timedelta(minutes=5)
# As in template.yaml.
DEFAULT_MAX_RECEIVES = 300


@dataclass(slots=True)
class _Message:
    id: str
    body: str
    sent_at: datetime
    visible_at: datetime
    receive_count: int = 0
    # Of the entries in the heap, the one with this ticket is valid.
    ticket: int = 0
    reason: DeadReason | None = None

    @property
    def receipt(self) -> str:
        return f"{self.id}:{self.receive_count}"

    def delivery(self) -> Delivery:
        return Delivery(
            message_id=self.id,
            body=self.body,
            receipt=self.receipt,
            receive_count=self.receive_count,
            sent_at=self.sent_at,
            reason=self.reason,
        )


class MemoryJobTransport(JobTransport):
    """Delivers messages in the order in which they become visible. Threads may share it.

    Time passes by *clock* alone. ``dequeue`` answers at once, unless *blocking* is given: then it
    waits in real time, for hosts that run on the machine's clock.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        visibility: timedelta = DEFAULT_VISIBILITY,
        max_receives: int = DEFAULT_MAX_RECEIVES,
        ids: IdSource | None = None,
        blocking: bool = False,
    ) -> None:
        numbers = count(1)
        self._clock = clock
        self._visibility = visibility
        self._max_receives = max_receives
        self._blocking = blocking
        self._new_id: Callable[[], str] = ids.new_id if ids else lambda: f"message-{next(numbers)}"
        self._tickets = count(1)
        self._changed = threading.Condition()
        self._messages: dict[str, _Message] = {}
        self._by_time: list[tuple[datetime, int, str]] = []
        self._dead: dict[str, _Message] = {}

    @override
    def enqueue(self, command: Command, *, delay: timedelta = timedelta(0)) -> None:
        check_delay(delay)
        body = body_of(command)
        check_message(body)
        with self._changed:
            self._add(body, delay)

    @override
    def enqueue_parallel(self, commands: Sequence[Command]) -> Sequence[Command]:
        bodies = [body_of(command) for command in commands]
        for body in bodies:
            check_message(body)
        with self._changed:
            for body in bodies:
                self._add(body, timedelta(0))
        return ()

    @override
    def dequeue(self, *, wait: timedelta = timedelta(0)) -> Delivery | None:
        check_wait(wait)
        left = wait if self._blocking else timedelta(0)
        with self._changed:
            while True:
                delivery = self._take()
                if delivery is not None or left <= timedelta(0):
                    return delivery
                nap = min(left, self._until_next())
                self._changed.wait(nap.total_seconds())
                left -= nap

    @override
    def complete(self, delivery: Delivery) -> None:
        with self._changed:
            message = self._messages.get(delivery.message_id)
            if message is not None and message.receipt == delivery.receipt:
                del self._messages[message.id]

    @override
    def suspend(self, delivery: Delivery, *, delay: timedelta = timedelta(0)) -> None:
        check_visibility(delay)
        self._hide(delivery, delay)

    @override
    def fail(self, delivery: Delivery) -> None:
        self._hide(delivery, redelivery_delay(delivery))

    @override
    def bury(self, delivery: Delivery, reason: DeadReason) -> bool:
        body = body_to_send_again(delivery)
        if is_too_large(body):
            self.fail(delivery)
            return False
        with self._changed:
            now = self._clock.now()
            letter = _Message(id=self._new_id(), body=body, sent_at=now, visible_at=now, reason=reason)
            self._dead[letter.id] = letter
        self.complete(delivery)
        return True

    @override
    def touch(self, delivery: Delivery, *, visibility: timedelta) -> None:
        check_visibility(visibility)
        self._hide(delivery, visibility)

    @override
    def list_dead(self, *, limit: int = 100) -> Sequence[Delivery]:
        with self._changed:
            return [message.delivery() for message in list(self._dead.values())[:limit]]

    @override
    def redrive_dead(self, *, limit: int = 100) -> int:
        with self._changed:
            letters = [message.delivery() for message in self._dead.values()]
            bodies = {letter.message_id: body_to_send_again(letter) for letter in letters}
            chosen = [message_id for message_id, body in bodies.items() if not is_too_large(body)][:limit]
            for message_id in chosen:
                del self._dead[message_id]
                self._add(bodies[message_id], timedelta(0))
            return len(chosen)

    @override
    def forget_dead(self, *, limit: int = 100, message_ids: Collection[str] | None = None) -> int:
        with self._changed:
            chosen = [name for name in self._dead if message_ids is None or name in message_ids][:limit]
            for name in chosen:
                del self._dead[name]
            return len(chosen)

    @override
    def waiting(self) -> int:
        now = self._clock.now()
        with self._changed:
            return sum(message.visible_at <= now for message in self._messages.values())

    def pending(self) -> int:
        """How many messages are neither completed nor dead, the invisible ones included."""
        with self._changed:
            return len(self._messages)

    def next_visible_at(self) -> datetime | None:
        """When the next message can be taken (it may be past), or ``None`` where there is none."""
        with self._changed:
            return self._head_of_heap()

    def _add(self, body: str, delay: timedelta) -> None:
        now = self._clock.now()
        message = _Message(id=self._new_id(), body=body, sent_at=now, visible_at=now + delay)
        self._messages[message.id] = message
        self._place(message)

    def _place(self, message: _Message) -> None:
        message.ticket = next(self._tickets)
        heapq.heappush(self._by_time, (message.visible_at, message.ticket, message.id))
        if len(self._by_time) > 2 * len(self._messages) + 64:
            self._by_time = [entry for entry in self._by_time if self._is_valid(entry)]
            heapq.heapify(self._by_time)
        self._changed.notify()

    def _is_valid(self, entry: tuple[datetime, int, str]) -> bool:
        _, ticket, message_id = entry
        message = self._messages.get(message_id)
        return message is not None and message.ticket == ticket

    def _head_of_heap(self) -> datetime | None:
        while self._by_time and not self._is_valid(self._by_time[0]):
            heapq.heappop(self._by_time)
        return self._by_time[0][0] if self._by_time else None

    def _take(self) -> Delivery | None:
        now = self._clock.now()
        while (visible_at := self._head_of_heap()) is not None and visible_at <= now:
            message = self._messages[heapq.heappop(self._by_time)[2]]
            if message.receive_count >= self._max_receives:
                self._dead[message.id] = self._messages.pop(message.id)
                continue
            message.receive_count += 1
            message.visible_at = now + self._visibility
            self._place(message)
            return message.delivery()
        return None

    def _until_next(self) -> timedelta:
        visible_at = self._head_of_heap()
        return timedelta.max if visible_at is None else visible_at - self._clock.now()

    def _hide(self, delivery: Delivery, visibility: timedelta) -> None:
        with self._changed:
            message = self._messages.get(delivery.message_id)
            now = self._clock.now()
            if message is None or message.receipt != delivery.receipt or message.visible_at <= now:
                return
            message.visible_at = now + visibility
            self._place(message)
