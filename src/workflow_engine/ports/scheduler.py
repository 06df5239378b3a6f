"""Commands for later."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from workflow_engine.model.commands import Command
from workflow_engine.model.deliveries import Recurrence


class Scheduler(Protocol):
    """Sends commands to the job transport at set times. Passes ``testing.contracts.SchedulerContract``.

    At least once, up to 60 s late (EventBridge Scheduler, "Schedule types"); a firing may be lost
    where the service fails, which is why the due index stands behind every timer. Methods raise
    ``TransientError`` where the service did not answer.
    """

    def schedule(self, command: Command, run_at: datetime, correlation_id: str) -> None:
        """Send *command* at *run_at* (at once, if that is past), and forget the schedule then.

        *correlation_id* names it: scheduling the same again changes nothing while it has not fired.

        Raises:
            PayloadTooLargeError: the message is above 256 KB.
            ValueError: *correlation_id* is not 1 to 64 of ``A-Za-z0-9_.-``, begins with a dot, or
                with ``recurring-``.
        """
        ...

    def cancel(self, correlation_id: str) -> None:
        """Forget the schedule; one that is absent or has fired is no error."""
        ...

    def put_recurrence(self, recurrence: Recurrence) -> None:
        """Create or replace the recurrence of that name.

        Raises:
            InvalidCommandError: its name, expression or time zone is not one the service takes, or
                its key is too long with the time in it (``model.recurrence.check_recurrence``).
            PayloadTooLargeError: the message is above 256 KB.
        """
        ...

    def list_recurrences(self) -> Sequence[Recurrence]:
        """All recurrences, by name."""
        ...

    def delete_recurrence(self, name: str) -> bool:
        """Forget the recurrence; whether there was one."""
        ...
