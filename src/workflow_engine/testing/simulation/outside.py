"""What a stage of a simulated workflow may do besides its work: take time, have an effect outside,
or kill its process. Outside of a simulation these do nothing, so that a workflow may call them
anywhere.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from workflow_engine.authoring.context import StageContext
from workflow_engine.errors import StageTimeoutError
from workflow_engine.kernel.execution.choosing import ROLE
from workflow_engine.model.events import RunEvent
from workflow_engine.model.ids import RunId
from workflow_engine.testing.simulation.baton import Aborted
from workflow_engine.testing.simulation.faults import Crash
from workflow_engine.testing.simulation.observer import Violation
from workflow_engine.testing.simulation.takings import Keys
from workflow_engine.testing.simulation.tasks import Task
from workflow_engine.testing.simulation.world import World, current_world

AnswerT = TypeVar("AnswerT")


def run_inline(call: Callable[[], Any], *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
    """Run a stage in the thread of its process; only ``take_time`` can make it late.

    Raises:
        StageTimeoutError: it took more simulated time than *timeout*.
        BaseException: whatever it raises.
    """
    world = current_world()
    task = world.current
    if task is None:
        raise LookupError("a stage runs outside of any task")
    problem = world.ledger.measures.called(task.lease, stage_id)
    if stage_id.startswith(ROLE):
        problem = world.ledger.measures.chosen(task, stage_id)
    if problem is not None:
        world.fail(Violation(problem))
        raise Aborted
    if world.in_threads and task.lease is not None:
        return _run_in_thread(call, world, task, stage_id=stage_id, timeout=timeout, is_async=is_async)
    task.stage_deadline = world.now + timeout
    try:
        return _called(call, world, task, is_async=is_async)
    except _TooLateError:
        raise StageTimeoutError(stage_id=stage_id, timeout=timeout) from None
    finally:
        task.stage_deadline = None


def _called(call: Callable[[], Any], world: World, task: Task, *, is_async: bool) -> Any:
    held = task.lease
    if held is not None:
        _check(world, world.takings.begins(held, task, world.observer.heads.get(held.run_id), world.now))
    try:
        returned = call()
        # Also what does not look async: a decorator may stand in front of an ``async def``.
        return asyncio.run(returned) if is_async or inspect.iscoroutine(returned) else returned
    finally:
        world.takings.ends(task)


def _run_in_thread(
    call: Callable[[], Any], world: World, task: Task, *, stage_id: str, timeout: timedelta, is_async: bool
) -> Any:
    """Run a stage in a thread of its own, which nobody can stop: once its time is over it is no longer waited for.

    Raises:
        StageTimeoutError: it goes on.
        BaseException: whatever it raises.
    """
    answers: list[tuple[Any, BaseException | None]] = []
    waits = True

    def work() -> None:
        try:
            answers.append((_called(call, world, thread, is_async=is_async), None))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            answers.append((None, error))

    def end() -> None:
        task.threads.remove(thread)
        if waits:
            task.wake_at = world.now

    name = f"{task.name}/{stage_id}@{task.lease.epoch if task.lease else 0}"
    thread = world.spawn(name, work, task.clock, on_end=end, on_crash=task.on_crash, kill_at=task.kill_at)
    thread.lease, thread.leases, thread.troubles = task.lease, task.leases, task.troubles
    task.threads.append(thread)
    _wait_for(thread, world, task, timeout)
    waits = False
    if not answers:
        raise StageTimeoutError(stage_id=stage_id, timeout=timeout, still_running=True)
    answer, error = answers[0]
    if error is not None:
        raise error
    return answer


def _wait_for(thread: Task, world: World, task: Task, timeout: timedelta) -> None:
    world.sleep(timeout)
    while thread in task.threads and not thread.hangs:
        # It is in the engine's hands, and may hold a lock that its conclusion takes.
        world.sleep(timedelta(seconds=1))


def _check(world: World, problems: Iterator[str]) -> None:
    for problem in problems:
        world.fail(Violation(problem))
        raise Aborted


def run_in_turns(
    calls: Sequence[Callable[[], AnswerT]], *, patience: timedelta, is_urgent: Callable[[AnswerT], bool]
) -> Iterator[Sequence[tuple[int, AnswerT]]]:
    """Run the stages of an inline group in the thread of their process, one after the other in an order that
    is drawn, and hand out what came of them in portions that are drawn, whatever *patience* would make of them."""
    world = current_world()
    assert patience > timedelta(0)
    task = world.current
    assert task is not None
    held = sorted(task.leases[-len(calls) :], key=lambda one: one.ordinal)
    left, portion = list(range(len(calls))), list[tuple[int, AnswerT]]()
    while left:
        index = left.pop(world.choices.pick(f"{task.name}/sibling", (1,) * len(left)))
        task.lease = held[index]
        answer = calls[index]()
        portion.append((index, answer))
        if not left or is_urgent(answer) or world.choices.pick(f"{task.name}/portion", (2, 1)):
            yield portion
            portion = []


class _TooLateError(Exception):
    pass


def take_time(span: timedelta) -> None:
    """Let *span* of simulated time pass, while others go on."""
    world = _world()
    task = world.current if world is not None else None
    if world is None or task is None:
        return
    deadline = task.stage_deadline
    if deadline is not None and world.now + span > deadline:
        world.sleep(deadline - world.now)
        raise _TooLateError
    task.hangs = True
    world.sleep(span)
    task.hangs = False


def apply_effect(ctx: StageContext[Any]) -> None:
    """Have an effect on the world outside, guarded by ``ctx.effect_key``: what a payment service
    does with an idempotency key. The simulation checks that it is applied once."""
    world = _world()
    if world is not None:
        task = world.current
        base = task.lease.base if task is not None and task.lease is not None else 0
        applied = world.effects.setdefault(ctx.effect_key, [])
        world.turn()
        applied.append((ctx.run_id, ctx.stage_id, base))
        world.turn()


def apply_step(ctx: StageContext[Any], name: str) -> None:
    """The same for the step *name*, guarded by ``ctx.key``."""
    world = _world()
    if world is not None:
        task = world.current
        base = task.lease.base if task is not None and task.lease is not None else 0
        world.turn()
        world.effects.setdefault(ctx.key(name), []).append((ctx.run_id, f"{ctx.stage_id}/{name}", base))
        world.turn()


def take(ctx: StageContext[Any], name: str | None = None) -> int:
    """Take something outside, guarded by ``ctx.effect_key``, or as the step *name* by ``ctx.key``: what an undo must
    give back. Answers the lease under which that is, for the undo to be told of."""
    world = _world()
    task = world.current if world is not None else None
    if world is None or task is None or task.lease is None:
        return 0
    world.turn()
    key = ctx.effect_key if name is None else ctx.key(name)
    _check(world, world.takings.take(task.lease, key, world.now))
    world.turn()
    return task.lease.epoch


def give_back(ctx: StageContext[Any], lease: int | None, name: str | None = None) -> None:
    """Give back what the stage that is undone took, whose output said *lease* (``None``: it has none)."""
    world = _world()
    task = world.current if world is not None else None
    if world is None or task is None or task.lease is None:
        return
    world.turn()
    keys = Keys(ctx.undoes.effect_key if name is None else ctx.undoes.key(name), ctx.effect_key)
    head = world.observer.heads[RunId(ctx.run_id)]
    _check(world, world.takings.give_back(task.lease, ctx.stage_id, head, keys, lease=lease))
    world.turn()


def undo_happens_to_fail(ctx: StageContext[Any], what: str) -> bool:
    """Whether an undo fails this time; in a calm world it does not."""
    world = _world()
    fails = world is not None and happens_to_fail(f"undo {what}")
    if world is not None and fails:
        world.takings.fail(RunId(ctx.run_id))
    return fails


def happens_to_fail(what: str) -> bool:
    """Whether something outside fails this time; in a calm world it does not."""
    world = _world()
    task = world.current if world is not None else None
    return world is not None and task is not None and world.odd(f"{task.name}/{what}", 300, 1) > 0


def tosses(what: str) -> bool:
    """An answer that may be another one each time that it is asked for; in no world it is no."""
    world = _world()
    task = world.current if world is not None else None
    return world is not None and task is not None and world.choices.pick(f"{task.name}/{what}", (1, 1)) > 0


def hear(event: RunEvent) -> None:
    """Listen to *event*, as a plugin does. The simulation checks that all are heard, in order."""
    world = _world()
    if world is not None:
        world.heard[event.run_id].append(event.sequence)


def die() -> None:
    """Kill the process, as running out of memory does."""
    if _world() is not None:
        raise Crash


def _world() -> World | None:
    try:
        return current_world()
    except LookupError:
        return None
