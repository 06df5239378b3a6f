"""When the state of a local stack is saved, and what is said where it cannot be."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta

from workflow_engine.local.errors import one_line
from workflow_engine.local.state import StackState
from workflow_engine.ports.clock import Clock

# Saving reads everything: not with every request, but not too seldom for a machine that crashes.
SAVE_EVERY = timedelta(seconds=5)
# Of the last save, where something does not answer.
LAST_TRIES = 3


class StateKeeper:
    """Saves *state* every now and then and at the end. Whatever happens to a save is told in a line, once,
    and ends nothing: it is tried again."""

    def __init__(self, state: StackState, changes: Callable[[], int], clock: Clock) -> None:
        self._state, self._changes, self._clock = state, changes, clock
        self._saved_changes, self._saved_at = changes(), clock.now()
        self._said = ""

    def save_if_due(self) -> None:
        """Save, if something has changed and the last save is some time ago."""
        changes, now = self._changes(), self._clock.now()
        if changes == self._saved_changes or now < self._saved_at + SAVE_EVERY:
            return
        self._saved_at = now
        try:
            unread = self._state.save()
        except Exception as error:  # a save is no reason to end for a stack that people work with
            self._tell(f"{type(error).__name__}: {error}")
            return
        self._tell(_summary(unread))
        if not unread:
            self._saved_changes = changes

    def save_last(self) -> None:
        """Save all there is, queues too.

        Raises:
            StateNotSavedError: the file cannot be written; the one from before is still there.
        """
        unread: Sequence[str] = ()
        for _ in range(LAST_TRIES):
            unread = self._state.save(with_messages=True)
            if not unread:
                return
        self._tell(_summary(unread))

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._said:
            print(f"not saved: {one_line(trouble)}", file=sys.stderr, flush=True)
        self._said = trouble


def _summary(unread: Sequence[str]) -> str:
    if not unread:
        return ""
    more = f" (and {len(unread) - 1} more)" if len(unread) > 1 else ""
    return f"{unread[0]}{more}; as it was saved before, the rest is saved"
