"""How commands travel to whoever executes them."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from workflow_engine.model.commands import Command
from workflow_engine.model.deliveries import DeadReason, Delivery


class JobTransport(Protocol):
    """A queue of commands: at least once, in no order. Passes ``testing.contracts.JobTransportContract``.

    A dequeued message is invisible for the transport's visibility timeout, and is delivered again
    after it unless completed. After too many deliveries it moves to the dead-letter queue. A
    receipt serves until the message is delivered again or removed, and to change the visibility
    only while the message is invisible; after that it changes nothing, and nobody complains.
    Methods raise ``TransientError`` where the service did not answer; the effect may have happened.
    """

    def enqueue(self, command: Command, *, delay: timedelta = timedelta(0)) -> None:
        """Send *command*, to be delivered no sooner than after *delay* (0 to 900 s).

        Raises:
            PayloadTooLargeError: the message is above 1 MiB; nothing was sent.
            ValueError: *delay* is out of range.
        """
        ...

    def enqueue_parallel(self, commands: Sequence[Command]) -> Sequence[Command]:
        """Send all of *commands* in as few requests as possible; answers those not accepted.

        Where the service did not answer nothing is raised: those it was asked for, and those that
        were not tried after them, are answered as not accepted, though they may have been sent.

        Raises:
            PayloadTooLargeError: one of them is above 1 MiB; nothing was sent.
        """
        ...

    def waiting(self) -> int:
        """About how many messages could be taken now: those that are delayed or invisible apart. A hint,
        which may lag by a minute."""
        ...

    def dequeue(self, *, wait: timedelta = timedelta(0)) -> Delivery | None:
        """Take one message, waiting up to *wait* for it; ``None`` where none came.

        Raises:
            ValueError: *wait* is not within 0 to 20 s.
        """
        ...

    def complete(self, delivery: Delivery) -> None:
        """Remove the message."""
        ...

    def suspend(self, delivery: Delivery, *, delay: timedelta = timedelta(0)) -> None:
        """Give the message back undone, to be delivered again after *delay*.

        Raises:
            ValueError: *delay* is not within 0 to 12 h.
        """
        ...

    def fail(self, delivery: Delivery) -> None:
        """Give the message back after a failure, to be delivered again after some seconds.

        They grow with its ``receive_count``, as ``model.deliveries.redelivery_delay`` says.
        """
        ...

    def bury(self, delivery: Delivery, reason: DeadReason) -> bool:
        """Move the message to the dead-letter queue now, with its *reason*; answers whether it was.

        It is sent before it is removed: a crash in between makes a letter of it and leaves it in the
        queue. Its body carries the key that its id stood for, so that neither has an effect of its
        own. Where there is no dead-letter queue, or no room for the key in the message, it is given
        back as by ``fail``.
        """
        ...

    def touch(self, delivery: Delivery, *, visibility: timedelta) -> None:
        """Keep the message invisible for *visibility* from now: the heartbeat.

        Raises:
            ValueError: *visibility* is not within 0 to 12 h.
        """
        ...

    def list_dead(self, *, limit: int = 100) -> Sequence[Delivery]:
        """Messages in the dead-letter queue, which stay there; ``reason`` where it is known."""
        ...

    def redrive_dead(self, *, limit: int = 100) -> int:
        """Send messages of the dead-letter queue back; answers how many.

        Each is sent before it is removed: a crash in between repeats it. It starts anew, with another
        id and a ``receive_count`` of 1, but under its old key: a command that had none carries the
        one that its first id stood for. One that has no room for it stays where it is.
        """
        ...

    def forget_dead(self, *, limit: int = 100, message_ids: Collection[str] | None = None) -> int:
        """Remove messages of the dead-letter queue for good, all or those of *message_ids*; answers
        how many."""
        ...
