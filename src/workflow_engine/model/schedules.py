"""Recurring starts, as users say them."""

from pydantic import BaseModel, ConfigDict, Field

from workflow_engine.model.commands import CreateRun
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.ids import Name
from workflow_engine.model.json_values import JsonObject


class Schedule(BaseModel):
    """Start a run of *workflow_id* at every firing of *expression*.

    *expression* is ``rate(5 minutes)`` or ``cron(0 9 ? * MON-FRI *)`` as EventBridge Scheduler
    reads them ("Schedule types on EventBridge Scheduler"), in *timezone* (an IANA name). The
    scheduled time is the idempotency key: each firing starts exactly one run, however often and
    late it is delivered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    workflow_id: Name
    expression: str = Field(min_length=1, max_length=256)
    input: JsonObject
    timezone: str = "UTC"
    config: JsonObject = Field(default_factory=dict)
    attributes: JsonObject = Field(default_factory=dict)
    priority: int = Field(default=5, ge=0, le=10)
    paused: bool = False

    def as_recurrence(self) -> Recurrence:
        """The recurrence that fires it."""
        command = CreateRun(
            workflow_id=self.workflow_id,
            input=self.input,
            config=self.config,
            attributes=self.attributes,
            priority=self.priority,
            idempotency_key=f"schedule:{self.name}:{{time}}",
        )
        return Recurrence(self.name, self.expression, command, self.timezone, self.paused)

    @classmethod
    def of(cls, recurrence: Recurrence) -> "Schedule":
        """The schedule that *recurrence* fires.

        Raises:
            ValueError: it sends another command than ``run.create``.
        """
        command = recurrence.command
        if not isinstance(command, CreateRun):
            raise ValueError(f"recurrence {recurrence.name!r} sends {command.type}")  # noqa: TRY004
        return cls(
            name=recurrence.name,
            workflow_id=command.workflow_id,
            expression=recurrence.expression,
            input=command.input,
            timezone=recurrence.timezone,
            config=command.config,
            attributes=command.attributes,
            priority=command.priority,
            paused=recurrence.paused,
        )
