"""What the processes share: a table, a bucket, the job queue, a bus that a queue hears, a schedule group."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.integration.processes.patience import Patience
from tests.integration.processes.workflows import EFFECTS_VARIABLE
from workflow_engine.adapters.aws.dynamodb.table import create_table_request

ACCOUNT = "123456789012"
REGION = "us-east-1"
WORKFLOWS = "tests.integration.processes.workflows:registry"
NUMBERS = count()
# A client of ours must not give up while eight processes keep one emulator busy.
PATIENT = Config(
    s3={"addressing_style": "path"}, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5}
)


@dataclass(frozen=True)
class Stack:
    moto_url: str
    dynamodb_url: str
    name: str
    effects: Path
    patience: Patience

    @property
    def environment(self) -> Mapping[str, str]:
        """What a function's environment would say, and where the emulators are."""
        return {
            "AWS_ENDPOINT_URL": self.moto_url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb_url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "TABLE_NAME": self.name,
            "BUCKET_NAME": self.name,
            "JOB_QUEUE_URL": self.queue_url(self.name),
            "EVENT_BUS_NAME": self.name,
            "SCHEDULE_GROUP_NAME": self.name,
            "SCHEDULER_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/{self.name}",
            "WORKFLOWS": WORKFLOWS,
            "PUBLISH_EVENTS": "*",
            "INVOCATION_SECONDS": str(self.patience.invocation_seconds),
            "DUE_SHARDS": "2",
            EFFECTS_VARIABLE: str(self.effects),
        }

    def queue_url(self, name: str) -> str:
        return f"{self.moto_url}/{ACCOUNT}/{name}"

    def client(self, service: str) -> Any:
        return _client(service, self.dynamodb_url if service == "dynamodb" else self.moto_url)


@cache
def _client(service: str, url: str) -> Any:
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": REGION}
    return boto3.client(service, endpoint_url=url, config=PATIENT, **keys)  # type: ignore[call-overload]


@contextmanager
def stack(moto_url: str, dynamodb_url: str, folder: Path, patience: Patience) -> Iterator[Stack]:
    """A stack with names of its own; its table is gone afterwards."""
    made = Stack(moto_url, dynamodb_url, f"processes-{next(NUMBERS)}", folder / "effects.jsonl", patience)
    made.effects.touch()
    made.client("dynamodb").create_table(**create_table_request(made.name))
    made.client("s3").create_bucket(Bucket=made.name)
    made.client("scheduler").create_schedule_group(Name=made.name)
    _create_queues(made)
    _create_bus(made)
    try:
        yield made
    finally:
        made.client("dynamodb").delete_table(TableName=made.name)


def _create_queues(made: Stack) -> None:
    sqs = made.client("sqs")
    sqs.create_queue(QueueName=f"{made.name}-dead")
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{made.name}-dead", "maxReceiveCount": 50}
    attributes = {"VisibilityTimeout": str(made.patience.visibility_seconds), "RedrivePolicy": json.dumps(redrive)}
    sqs.create_queue(QueueName=made.name, Attributes=attributes)
    sqs.create_queue(QueueName=f"{made.name}-heard")


def _create_bus(made: Stack) -> None:
    events = made.client("events")
    events.create_event_bus(Name=made.name)
    pattern = json.dumps({"source": ["workflow-engine"]})
    events.put_rule(Name=f"{made.name}-all", EventBusName=made.name, EventPattern=pattern)
    target = {"Id": "heard", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{made.name}-heard"}
    events.put_targets(Rule=f"{made.name}-all", EventBusName=made.name, Targets=[target])
