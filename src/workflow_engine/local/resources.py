"""Creates the resources that the engine needs, as the template describes them, through AWS's own
APIs. What is there already stays as it is."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from workflow_engine.local.errors import TemplateError
from workflow_engine.local.template import Resource, Template

# Nothing runs with a role here, nobody is asked for permission, and nothing alarms.
NOT_NEEDED = frozenset(
    {
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Role",
        "AWS::IAM::RolePolicy",
        "AWS::Logs::LogGroup",
        "AWS::Logs::MetricFilter",
        "AWS::Logs::QueryDefinition",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::Topic",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
    }
)
_EXISTS = frozenset(
    {
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
        "ConflictException",
        "QueueAlreadyExists",
        "QueueNameExists",
        "ResourceAlreadyExistsException",
        "ResourceInUseException",
    }
)
_QUEUE_ATTRIBUTES = (
    "ContentBasedDeduplication",
    "DelaySeconds",
    "FifoQueue",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
)
# Throughput, encryption, backups and tags change nothing about what a local table answers, and not
# every emulator takes them.
_INDEX_PROPERTIES = ("IndexName", "KeySchema", "Projection")


def create_resources(template: Template, client: Callable[[str], Any]) -> None:
    """Create what the engine needs of *template*; *client* answers the client of a service.

    Raises:
        TemplateError: an emulator refused a resource.
    """
    for resource in template.resources(_CREATORS.keys()):
        service, create = _CREATORS[resource.type]
        with _may_exist(resource):
            create(resource, client(service))


def _create_table(resource: Resource, client: Any) -> None:
    properties = resource.properties
    # A table of the user's own may have none of either kind, and none is no list of indexes.
    indexes = {
        kind: [{name: index[name] for name in _INDEX_PROPERTIES} for index in properties[kind]]
        for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        if properties.get(kind)
    }
    client.create_table(
        TableName=resource.identity.name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=properties["AttributeDefinitions"],
        KeySchema=properties["KeySchema"],
        **indexes,
    )
    ttl = properties.get("TimeToLiveSpecification")
    if ttl is not None:
        client.update_time_to_live(TableName=resource.identity.name, TimeToLiveSpecification=ttl)


def _create_bucket(resource: Resource, client: Any) -> None:
    client.create_bucket(Bucket=resource.identity.name)


def _create_queue(resource: Resource, client: Any) -> None:
    found = {name: resource.properties[name] for name in _QUEUE_ATTRIBUTES if name in resource.properties}
    attributes = {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}
    client.create_queue(QueueName=resource.identity.name, Attributes=attributes)


def _create_bus(resource: Resource, client: Any) -> None:
    client.create_event_bus(Name=resource.identity.name)


def _create_schedule_group(resource: Resource, client: Any) -> None:
    client.create_schedule_group(Name=resource.identity.name)


# By type: the service that makes it, and how it is asked to.
_CREATORS: Mapping[str, tuple[str, Callable[[Resource, Any], None]]] = {
    "AWS::DynamoDB::Table": ("dynamodb", _create_table),
    "AWS::Events::EventBus": ("events", _create_bus),
    "AWS::S3::Bucket": ("s3", _create_bucket),
    "AWS::SQS::Queue": ("sqs", _create_queue),
    "AWS::Scheduler::ScheduleGroup": ("scheduler", _create_schedule_group),
}
CREATED = frozenset(_CREATORS)
# Where the state of a stack is.
RESOURCE_TYPES = {
    "tables": "AWS::DynamoDB::Table",
    "buckets": "AWS::S3::Bucket",
    "queues": "AWS::SQS::Queue",
    "groups": "AWS::Scheduler::ScheduleGroup",
}


@contextmanager
def _may_exist(resource: Resource) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code.rpartition(".")[2] not in _EXISTS:
            raise TemplateError(where=f"resource {resource.logical_id}", problem=str(error)) from error
    except BotoCoreError as error:
        raise TemplateError(where=f"resource {resource.logical_id}", problem=str(error)) from error
