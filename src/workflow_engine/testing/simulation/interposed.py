"""The ports of a simulated process, and the timers of the world: every call goes through the world."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.model.commands import Command
from workflow_engine.testing.simulation.troubles import Trouble, run_of

if TYPE_CHECKING:
    from workflow_engine.testing.simulation.world import World


class Firing:
    """What EventBridge Scheduler does with the timers that are due: late, twice or never, too."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def enqueue(self, command: Command) -> None:
        """Send *command* as its timer says, or not quite."""
        world = self._world
        world.ledger.fired(command, world.now)
        how = world.odd("timer", 150, 3)
        if how:
            world.ledger.trouble(None, run_of("jobs", "enqueue", [command]), Trouble(world.now, "timer"))
        if how == 1:
            return
        world.jobs.enqueue(command, delay=timedelta(seconds=600 if how == 2 else 0))
        if how == 3:
            world.jobs.enqueue(command)


class Interposed:
    """A port as a process sees it: every call goes through the world."""

    def __init__(self, world: "World", port: str, target: object) -> None:
        self._world, self._port, self._target = world, port, target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        world, port, method = self._world, self._port, getattr(self._target, name)
        if name == "head_sizes":
            return world.head_sizes

        def call(*args: Any, **kwargs: Any) -> Any:
            return world.call(port, name, method, args, kwargs=kwargs)

        setattr(self, name, call)
        return call
