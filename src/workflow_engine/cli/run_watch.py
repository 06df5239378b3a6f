"""Follows runs until they are over, and gives those that wait what they wait for."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from workflow_engine.cli.interrupts import Interrupt
from workflow_engine.cli.stacks import Stack
from workflow_engine.errors import TransientError
from workflow_engine.kernel.transitions.wakes import awaited_signals
from workflow_engine.model.commands import SignalRun
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import EntryState, Head, WaitKind

LOOK_EVERY = timedelta(milliseconds=200)
# A message may be on its way; what is due for longer was lost, and a tick finds it.
OVERDUE = timedelta(seconds=3)


@dataclass(slots=True, kw_only=True)
class Watch:
    """The runs that are followed, as they stood when they were looked at last.

    *signals* are sent, once each, to a run that waits for one of that name.
    """

    stack: Stack
    run_ids: list[RunId]
    signals: Mapping[str, Any] = field(default_factory=dict)
    heads: dict[RunId, Head] = field(default_factory=dict)

    @property
    def live(self) -> list[RunId]:
        """The runs that are not over."""
        return [run_id for run_id in self.run_ids if not self._is_over(run_id)]

    def look(self) -> None:
        """Read how the live runs stand."""
        if self.live:
            self.heads.update(self.stack.kernel.queries.find(self.live))

    def done(self) -> bool:
        """Look, send what is waited for, and say whether all runs are over."""
        self.look()
        for run_id in self.live:
            if (head := self.heads.get(run_id)) is not None:
                self._answer(head)
        return not self.live

    def follow(self, stop: threading.Event | None = None) -> None:
        """Return when all runs are over, or at *stop*; a stack in this process is kept going by this."""
        driver, stop = self.stack.driver, stop or threading.Event()
        with Interrupt() as interrupt:

            def done() -> bool:
                interrupt.check()
                return self.done() if driver is None else self._done_or_ticked()

            if driver is not None:
                driver.drive(done, stop)
                return
            while not done() and not stop.wait(LOOK_EVERY.total_seconds()):
                pass

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look every now and then in the background, for a display, while this thread executes jobs."""
        over = threading.Event()

        def look_on() -> None:
            while not over.wait(LOOK_EVERY.total_seconds()):
                try:
                    self.look()
                except TransientError:
                    continue

        thread = threading.Thread(target=look_on, name="display", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _done_or_ticked(self) -> bool:
        if self.done():
            return True
        now = self.stack.kernel.clock.now()
        heads = (self.heads.get(run_id) for run_id in self.live)
        due = [head.due_at for head in heads if head is not None and head.due_at is not None]
        if self.stack.driver is not None and due and min(due) + OVERDUE < now:
            self.stack.driver.tick()
        return False

    def _is_over(self, run_id: RunId) -> bool:
        head = self.heads.get(run_id)
        return head is not None and head.status.is_terminal

    def _answer(self, head: Head) -> None:
        come = awaited_signals(head)
        for ordinal, entry in enumerate(head.active):
            name = entry.signal or ""
            waits = entry.state is EntryState.WAITING and entry.wait is WaitKind.SIGNAL
            if waits and name in self.signals and ordinal not in come:
                # One signal answers one wait: the same answer is given to each that asks for it.
                key = f"cli:{name}:{head.group}.{ordinal}.{entry.epoch}"
                command = SignalRun(run_id=head.run_id, name=name, payload=self.signals[name], idempotency_key=key)
                self.stack.kernel.dispatch(command)
