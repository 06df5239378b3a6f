"""What of a stack's template its bill hangs on, beside what its runs do."""

from dataclasses import dataclass
from datetime import timedelta

from workflow_engine.local.template import Template
from workflow_engine.wiring.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A stack as it is deployed. *alarms* and *dashboards* are how many it has, *logs_kept* for how long its logs stay."""

    invocation: timedelta
    shards: int
    retention: timedelta
    alarms: int
    dashboards: int
    logs_kept: timedelta

    @classmethod
    def of(cls, template: Template) -> "Deployment":
        """The stack that *template* makes with its parameters."""
        settings = Settings.from_environment(template.variables())
        return cls(
            invocation=settings.invocation,
            shards=settings.due_shards,
            retention=settings.retention,
            alarms=len(list(template.resources({"AWS::CloudWatch::Alarm"}))),
            dashboards=len(list(template.resources({"AWS::CloudWatch::Dashboard"}))),
            logs_kept=timedelta(days=int(template.parameters["LogRetentionDays"])),
        )
