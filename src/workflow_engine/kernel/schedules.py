"""Recurring starts: created, listed, paused and deleted at the scheduler itself, which keeps them."""

from dataclasses import dataclass

from workflow_engine.authoring.registry import Registry
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.schedules import Schedule
from workflow_engine.ports.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Schedules:
    """The recurring starts of a deployment."""

    scheduler: Scheduler
    registry: Registry

    def put(self, schedule: Schedule) -> None:
        """Create *schedule*, or replace the one of that name.

        Raises:
            WorkflowNotFoundError, InvalidInputError, InvalidConfigError: it would start no run.
            InvalidCommandError: the expression or the time zone is none that the service takes.
        """
        definition = self.registry.get(schedule.workflow_id)
        definition.validate_input(schedule.input)
        definition.fixed_config(schedule.config)
        self.scheduler.put_recurrence(schedule.as_recurrence())

    def list(self) -> list[Schedule]:
        """All schedules, by name."""
        recurrences = self.scheduler.list_recurrences()
        return [Schedule.of(one) for one in recurrences if isinstance(one.command, CreateRun)]

    def pause(self, name: str, *, paused: bool = True) -> bool:
        """Stop or (``paused=False``) resume firing; whether there is such a schedule. What would
        have fired meanwhile is not made up for."""
        found = next((schedule for schedule in self.list() if schedule.name == name), None)
        if found is None:
            return False
        changed = found.model_copy(update={"paused": paused})
        self.scheduler.put_recurrence(changed.as_recurrence())
        return True

    def delete(self, name: str) -> bool:
        """Forget the schedule; whether there was one. Runs that it started go on."""
        return self.scheduler.delete_recurrence(name)
