"""Recurring starts: EventBridge Scheduler fires them, the table keeps them.

Schedules go with their group when a stack is deleted, or the group replaced. What is kept in the table makes
them again.
"""

from dataclasses import dataclass

from workflow_engine.authoring.registry import Registry
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.schedules import Schedule
from workflow_engine.ports.persistence import Persistence
from workflow_engine.ports.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Synced:
    """By name: the schedules that fire again, and those that are kept from now on."""

    made: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedules:
    """The recurring starts of a deployment."""

    scheduler: Scheduler
    registry: Registry
    persistence: Persistence

    def put(self, schedule: Schedule) -> None:
        """Create *schedule*, or replace the one of that name.

        Raises:
            WorkflowNotFoundError, InvalidInputError, InvalidConfigError: it would start no run.
            InvalidCommandError: the expression or the time zone is none that the service takes.
        """
        definition = self.registry.get(schedule.workflow_id)
        definition.validate_input(schedule.input)
        definition.validate_config(schedule.config)
        self._put(schedule.as_recurrence())

    def list(self) -> list[Schedule]:
        """All schedules that fire, or are paused, by name."""
        recurrences = self.scheduler.list_recurrences()
        return [Schedule.of(one) for one in recurrences if isinstance(one.command, CreateRun)]

    def missing(self) -> tuple[str, ...]:
        """The names of those that are kept and do not fire: ``sync`` makes them again."""
        firing = {one.name for one in self.scheduler.list_recurrences()}
        return tuple(one.name for one in self.persistence.list_recurrences() if one.name not in firing)

    def pause(self, name: str, *, paused: bool = True) -> bool:
        """Stop or (``paused=False``) resume firing; whether there is such a schedule. What would
        have fired meanwhile is not made up for."""
        found = next((schedule for schedule in self.list() if schedule.name == name), None)
        if found is None:
            return False
        changed = found.model_copy(update={"paused": paused})
        self._put(changed.as_recurrence())
        return True

    def delete(self, name: str) -> bool:
        """Forget the schedule; whether there was one. Runs that it started go on."""
        # In this order: were it kept and fired no more, the next ``sync`` would bring it back.
        kept = self.persistence.delete_recurrence(name)
        return self.scheduler.delete_recurrence(name) or kept

    def put_for_now(self, recurrence: Recurrence) -> None:
        """Let *recurrence* fire until ``delete``: it is not kept, and ends with the service that fires it."""
        self.scheduler.put_recurrence(recurrence)

    def sync(self, left_behind: "Schedules | None" = None) -> Synced:
        """Make again what is kept and does not fire as it was put, and keep what fires and is not
        kept. Whatever is in order is left alone; nothing is removed.

        *left_behind* are those of another deployment, such as of the table of a deleted
        stack: what is there is made here, too. A name that is known here stands as it is here. A
        ``rate(…)`` that is made again fires at once.
        """
        firing = _by_name(self.scheduler)
        kept = _by_name(self.persistence)
        # The later of two counts.
        wanted = {**(_by_name(left_behind.persistence) if left_behind else {}), **firing, **kept}
        made = tuple(sorted(name for name, one in wanted.items() if firing.get(name) != one))
        new = tuple(sorted(wanted.keys() - kept.keys()))
        for name in made:
            self.scheduler.put_recurrence(wanted[name])
        for name in new:
            self.persistence.put_recurrence(wanted[name])
        return Synced(made, new)

    def _put(self, recurrence: Recurrence) -> None:
        # In this order: what the service refuses is not kept.
        self.scheduler.put_recurrence(recurrence)
        self.persistence.put_recurrence(recurrence)


def _by_name(where: Scheduler | Persistence) -> dict[str, Recurrence]:
    return {one.name: one for one in where.list_recurrences()}
