"""The environment of the functions, typed and read once. Nothing else reads it.

Endpoints, region and credentials are the AWS SDK's own variables and are left to it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlparse

from workflow_engine.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Settings:
    """What the functions are told by ``template.yaml``.

    *publish_events* are event types or patterns (``stage:*``). *invocation* is the function's
    timeout: leases end with it.
    """

    table_name: str
    bucket_name: str
    job_queue_url: str
    job_queue_arn: str
    event_bus_name: str
    schedule_group_name: str
    scheduler_role_arn: str
    schedule_dead_letter_arn: str | None
    dead_letter_queue_url: str | None
    publish_events: tuple[str, ...] | None
    workflows: str
    invocation: timedelta
    due_shards: int
    retention: timedelta
    archive: bool = False
    payload_lifetime: timedelta | None = None
    schedule_dead_letter_url: str | None = None
    tick_dead_letter_url: str | None = None
    records_in_head: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """The settings that *environment* (default: the process's) gives.

        Raises:
            SettingsError: a variable is missing, or is no number where it must be one.
        """
        env = _Environment(os.environ if environment is None else environment)
        queue_url = env.required("JOB_QUEUE_URL")
        return cls(
            table_name=env.required("TABLE_NAME"),
            bucket_name=env.required("BUCKET_NAME"),
            job_queue_url=queue_url,
            job_queue_arn=env.optional("JOB_QUEUE_ARN") or _queue_arn(queue_url, env),
            event_bus_name=env.required("EVENT_BUS_NAME"),
            schedule_group_name=env.required("SCHEDULE_GROUP_NAME"),
            scheduler_role_arn=env.required("SCHEDULER_ROLE_ARN"),
            schedule_dead_letter_arn=env.optional("SCHEDULE_DLQ_ARN"),
            dead_letter_queue_url=env.optional("JOB_DLQ_URL"),
            publish_events=env.names("PUBLISH_EVENTS"),
            workflows=env.optional("WORKFLOWS") or "workflows:registry",
            invocation=timedelta(seconds=env.number("INVOCATION_SECONDS", 900)),
            due_shards=env.number("DUE_SHARDS", 8),
            retention=timedelta(days=env.number("RETENTION_DAYS", 30)),
            archive=env.flag("ARCHIVE_RUNS", "false"),
            payload_lifetime=env.days("PAYLOAD_DAYS"),
            schedule_dead_letter_url=env.optional("SCHEDULE_DLQ_URL"),
            tick_dead_letter_url=env.optional("TICK_DLQ_URL"),
            records_in_head=env.one_of("RECORDS", ("head", "items")) == "head",
        )


def job_queue_url(environment: Mapping[str, str] | None = None) -> str:
    """The job queue, whatever is wrong with the rest of the environment.

    Raises:
        SettingsError: it is not named.
    """
    return _Environment(os.environ if environment is None else environment).required("JOB_QUEUE_URL")


@dataclass(frozen=True, slots=True)
class _Environment:
    variables: Mapping[str, str]

    def optional(self, name: str) -> str | None:
        return self.variables.get(name, "").strip() or None

    def required(self, name: str) -> str:
        value = self.optional(name)
        if value is None:
            raise SettingsError(variable=name, problem="is not set")
        return value

    def number(self, name: str, default: int) -> int:
        text = self.optional(name)
        if text is None:
            return default
        if not text.isdecimal() or int(text) < 1:
            raise SettingsError(variable=name, problem=f"must be a whole number from 1, not {text!r}")
        return int(text)

    def days(self, name: str) -> timedelta | None:
        """That many days; ``None`` where nothing is said."""
        return None if self.optional(name) is None else timedelta(days=self.number(name, 1))

    def flag(self, name: str, default: str) -> bool:
        text = self.optional(name) or default
        if text not in ("true", "false"):
            raise SettingsError(variable=name, problem=f"must be true or false, not {text!r}")
        return text == "true"

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """One of *choices*; the first of them where nothing is said."""
        text = self.optional(name) or choices[0]
        if text not in choices:
            raise SettingsError(variable=name, problem=f"must be {' or '.join(choices)}, not {text!r}")
        return text

    def names(self, name: str) -> tuple[str, ...] | None:
        """Comma-separated names; ``none`` stands for no names at all, absence for the default."""
        text = self.optional(name)
        if text is None:
            return None
        names = tuple(part.strip() for part in text.split(",") if part.strip())
        return () if names == ("none",) else names


def _queue_arn(url: str, env: _Environment) -> str:
    """The ARN that a queue URL stands for: its path is ``/account/name`` (SQS, queue URLs).

    Its Region is the queue's own where the URL names one. The partition is that of the scheduler's
    role: a queue in China or GovCloud has another than ``aws``.
    """
    parsed = urlparse(url)
    parts = parsed.path.strip("/").split("/")
    if len(parts) < 2:
        raise SettingsError(variable="JOB_QUEUE_URL", problem=f"is no queue URL: {url!r}")
    region = _region_in(parsed.hostname or "") or env.optional("AWS_REGION") or env.optional("AWS_DEFAULT_REGION")
    role = env.required("SCHEDULER_ROLE_ARN")
    partition = role.split(":")[1] if role.startswith("arn:") else "aws"
    return f"arn:{partition}:sqs:{region or 'us-east-1'}:{parts[-2]}:{parts[-1]}"


def _region_in(host: str) -> str | None:
    """The Region in the name of an endpoint of SQS, the older ones included (General reference,
    "Amazon SQS endpoints and quotas")."""
    found = re.match(r"sqs(?:-fips)?\.([a-z0-9-]+)\.|([a-z0-9-]+)\.queue\.", host)
    return found and (found[1] or found[2])
