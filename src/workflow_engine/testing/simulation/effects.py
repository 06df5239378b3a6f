"""What a port call of the simulated world does, and what the observer must see of it.

The world decides whether a call takes effect, and how often; here is how each kind of call does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workflow_engine.errors import AwsRequestError, CorruptItemError, PayloadTooLargeError, TransientError
from workflow_engine.model.commands import Command
from workflow_engine.model.commits import Committed
from workflow_engine.model.events import RunEvent
from workflow_engine.ports.events import NOT_TRIED, Refusal
from workflow_engine.testing.simulation.faults import READS
from workflow_engine.testing.simulation.observer import Violation

if TYPE_CHECKING:
    from workflow_engine.testing.simulation.world import World


def unanswered(port: str, name: str, args: Any) -> Any:
    """How each port says that the service did not answer.

    Raises:
        TransientError: that is how this one says it.
    """
    if name == "emit":
        first = Refusal(reason="InternalFailure", counts=False)
        return [first, *[NOT_TRIED] * (len(args[0]) - 1)]
    if name == "enqueue_parallel":
        return tuple(args[0])
    raise TransientError(service=port, operation=name, code="ServiceUnavailable")


def refusal(port: str, name: str, how: int) -> Exception:
    """An error that no retry mends, as each port has them."""
    if name in READS and how:
        return CorruptItemError(what=name, problem="simulated")
    if how == 1:
        return PayloadTooLargeError(what=name, size_bytes=500_000, limit_bytes=400 * 1024)
    if how == 2:
        return UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed")
    return AwsRequestError(service=port, operation=name, code="AccessDeniedException", detail="simulated")


class Effects:
    """Applies port calls, and has every effect checked.

    *partial* names the choice of how far a batch gets, where one is cut short.
    """

    def __init__(self, world: "World") -> None:
        self._world, self._ledger = world, world.ledger
        self._persistence, self._observer, self._choices = world.persistence, world.observer, world.choices

    def apply(
        self, port: str, name: str, method: Callable[..., Any], args: Any, *, kwargs: Any, partial: str | None
    ) -> Any:
        """Do what *method* does.

        Raises:
            Violation: an invariant does not hold any more.
        """
        self._ledger.asked(port, name, args, self._world.current, at=self._world.now)
        effect = _EFFECTS.get(name)
        return method(*args, **kwargs) if effect is None else effect(self, method, args, kwargs, partial)

    def _commit(self, method: Callable[..., Any], args: Any, _kwargs: Any, _partial: str | None) -> Any:
        commit = args[0]
        run_id = commit.after.run_id if hasattr(commit, "after") else commit.run_id
        before = self._persistence.load_head(run_id)
        answer = method(commit)
        world = self._world
        self._observer.committed(before, commit, answer, world.now)
        if isinstance(answer, Committed):
            world.takings.committed(before, self._observer.heads[run_id])
            self._ledger.committed(before, self._observer.heads[run_id], world.current, world.now)
        return answer

    def _rearm(self, method: Callable[..., Any], args: Any, _kwargs: Any, _partial: str | None) -> Any:
        wishes = args[0]
        before = self._persistence.load_heads([wish.run_id for wish in wishes])
        won = method(wishes)
        self._observer.rearmed(before, wishes, won, self._world.now)
        return won

    def _bury(self, method: Callable[..., Any], args: Any, _kwargs: Any, _partial: str | None) -> None:
        method(*args)
        self._observer.buried(args[0])
        for problem in self._ledger.chronicle.buried(args[0]):
            raise Violation(problem)

    def _unbury(self, method: Callable[..., Any], args: Any, _kwargs: Any, _partial: str | None) -> None:
        run_id, sequence = args
        if sequence not in self._ledger.measures.seen[run_id]:
            raise Violation(f"I5: the dead letter of event {sequence} of run {run_id} went, and nobody was told")
        method(*args)

    def _emit(self, method: Callable[..., Any], args: Any, _kwargs: Any, partial: str | None) -> Any:
        events: Sequence[RunEvent] = args[0]
        if partial is None or not events:
            answers: Sequence[Refusal | None] = method(events)
            self._accepted([event for event, answer in zip(events, answers, strict=True) if answer is None])
            for event, answer in zip(events, answers, strict=True):
                if answer is not None and answer.counts:
                    self._ledger.chronicle.refused(event.run_id, event.sequence)
            return answers
        return self._emit_partially(method, events, partial)

    def _accepted(self, events: Sequence[RunEvent]) -> None:
        self._observer.emitted(events)
        self._ledger.emitted(events)

    def _emit_partially(self, method: Callable[..., Any], events: Sequence[RunEvent], label: str) -> Any:
        """EventBridge judges entry by entry: those behind a refused one may be accepted."""
        refused = self._choices.pick(f"{label}/refused", (1,) * len(events))
        counts = self._choices.pick(f"{label}/counts", (1, 1)) > 0
        behind = self._choices.pick(f"{label}/behind", (1, 1)) > 0
        taken = [*events[:refused], *(events[refused + 1 :] if behind else [])]
        method(taken)
        self._accepted(taken)
        first = Refusal(reason="simulated", counts=counts)
        if counts:
            self._ledger.chronicle.refused(events[refused].run_id, events[refused].sequence)
        return [*[None] * refused, first, *[NOT_TRIED] * (len(events) - refused - 1)]

    def _enqueue(self, method: Callable[..., Any], args: Any, kwargs: Any, _partial: str | None) -> Any:
        self._observer.sent(args[0])
        return method(*args, **kwargs)

    def _enqueue_parallel(self, method: Callable[..., Any], args: Any, _kwargs: Any, partial: str | None) -> Any:
        commands: Sequence[Command] = args[0]
        for command in commands:
            self._observer.sent(command)
        if partial is None or not commands:
            return method(commands)
        sent = self._choices.pick(f"{partial}/sent", (1,) * len(commands))
        method(commands[:sent])
        return tuple(commands[sent:])

    def _batch(self, method: Callable[..., Any], args: Any, _kwargs: Any, partial: str | None) -> None:
        """BatchWriteItem takes 25 items a request, and may leave some of them undone."""
        *before, items = args
        if partial is None or not items:
            method(*args)
            return
        done = self._choices.pick(f"{partial}/done", (1,) * len(items))
        kept = dict(list(items.items())[:done]) if isinstance(items, Mapping) else list(items)[:done]
        if kept:
            method(*before, kept)
        raise TransientError(service="persistence", operation=method.__name__, code="UnprocessedItems")

    def _schedule(self, method: Callable[..., Any], args: Any, kwargs: Any, _partial: str | None) -> Any:
        self._observer.sent(args[0])
        return method(*args, **kwargs)


_EFFECTS: Mapping[str, Callable[..., Any]] = {
    "commit": Effects._commit,
    "rearm": Effects._rearm,
    "put_dead_letter": Effects._bury,
    "delete_dead_letter": Effects._unbury,
    "emit": Effects._emit,
    "enqueue": Effects._enqueue,
    "enqueue_parallel": Effects._enqueue_parallel,
    "schedule": Effects._schedule,
    "put_spilled": Effects._batch,
    "delete_spilled": Effects._batch,
    "put_logs": Effects._batch,
    "put_annotations": Effects._batch,
}
