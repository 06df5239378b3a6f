"""Keeps the head of a large group small while its siblings work.

They all write the same head, in commits that only add to it, and none of them knows who is the last.
So the one whose commit makes its events many takes them out, and the others go on.
"""

from dataclasses import dataclass

from workflow_engine.kernel import transitions
from workflow_engine.kernel.commit import commit_decided
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.outbox import passes
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Told
from workflow_engine.model.commits import Shared, is_full
from workflow_engine.model.limits import MAX_HEAD_EVENTS_BYTES, TOLD_EARLY_BYTES
from workflow_engine.model.runs import Head
from workflow_engine.ports.persistence import Persistence


@dataclass(frozen=True, slots=True)
class Relief:
    """Takes events out of heads that others write."""

    persistence: Persistence
    teller: Teller

    def relieve(self, head: Head, added: int, told: Told, invocation: Invocation) -> tuple[Head, Told]:
        """After a sibling's commit that *added* events to *head*: take them out, if it was this one that
        made them many. They are told, unless somebody is about to, or could not.

        Were each sibling to tell all that is untold, a group of n would publish n² events; were all
        left to the last of them, each would write all of them.
        """
        if head.status.is_terminal or head.is_alone:
            return head, told
        if passes(head, added, MAX_HEAD_EVENTS_BYTES):
            return self._taken_out(head, told, invocation), told
        if passes(head, added, TOLD_EARLY_BYTES) and not head.spilled:
            told = self.teller.tell_events(head, told)
            return self._taken_out(head, told, invocation), told
        return head, told

    def make_room(self, head: Head, invocation: Invocation) -> Head:
        """A head that takes the events of one more sibling."""
        if head.is_alone or not is_full(head):
            return head
        return self._taken_out(head, Told(), invocation, above_bytes=0)

    def _taken_out(self, head: Head, told: Told, invocation: Invocation, *, above_bytes: int | None = None) -> Head:
        seen, outbox = head, self.teller.outbox

        def decide(now: Head) -> Shared | None:
            nonlocal seen
            seen = now
            if now.status.is_terminal or now.group != head.group or now.told > head.told:
                # Somebody else did, or the run has moved on, and whoever moved it tells.
                return None
            return transitions.relieve(now, told=outbox.spill(now, told, above_bytes=above_bytes))

        after, ours = commit_decided(self.persistence, head, decide)
        outbox.tidy(seen if ours else None, after, invocation)
        return after
