"""Every request to AWS, by the function that made it, as the permissions that it needs."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pytest
from botocore.client import BaseClient

from tests.bundle.stack import Json, as_list
from workflow_engine.local.place import Place
from workflow_engine.local.template import Template

# Service authorization reference: these are for all resources, or for none.
WITHOUT_RESOURCES = {
    ("lambda", "GetAccountSettings"),
    ("lambda", "ListEventSourceMappings"),
    ("scheduler", "ListSchedules"),
}


class CrashError(Exception):
    """The invocation ends here, as one does that runs out of memory."""


@dataclass(frozen=True, order=True)
class Need:
    """A permission: an action of IAM, on one resource."""

    action: str
    resource: str


@dataclass(frozen=True)
class Grant:
    """What a statement of a role's policy allows; *resource* may end in a wildcard."""

    action: str
    resource: str

    def covers(self, need: Need) -> bool:
        return self.action == need.action and fnmatchcase(need.resource, self.resource)


@dataclass(slots=True)
class Recorder:
    """Hears of every request that this process sends. *function* is who runs now (``None``: nobody of the stack).

    With *refuse_events* the bus refuses what is put; *crash_at* is the operation, and what the object's key begins with,
    at which an invocation dies.
    """

    place: Place
    function: str | None = None
    refuse_events: bool = False
    crash_at: str | None = None
    needs: dict[str, set[Need]] = field(default_factory=dict)
    requests: int = 0

    def heard(self, client: BaseClient, operation: str, parameters: Mapping[str, Any]) -> Any:
        """Note what the request needs; answers it where it is to be refused."""
        if self.function is None:
            return None
        if self.crash_at and f"{operation} {parameters.get('Key', '')}".startswith(self.crash_at):
            self.crash_at = None
            raise CrashError(operation)
        self.requests += 1
        service = client.meta.service_model.service_name
        needed = {Need(*need) for need in self._needs(service, operation, parameters)}
        assert needed, f"nobody knows what {service}:{operation} needs"
        self.needs.setdefault(self.function, set()).update(needed)
        if operation == "PutEvents" and self.refuse_events:
            failed = [{"ErrorCode": "NotAuthorizedForSource", "ErrorMessage": "no"}] * len(parameters["Entries"])
            return {"FailedEntryCount": len(failed), "Entries": failed}
        return None

    def _needs(self, service: str, operation: str, sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        if (service, operation) in WITHOUT_RESOURCES:
            return iter([(f"{service}:{operation}", "*")])
        known = _SERVICES.get(service)
        place = f"{self.place.region}:{self.place.account_id}"
        return known(place, operation, sent) if known else iter(())


def _sqs(place: str, operation: str, sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"sqs:{operation.removesuffix('Batch')}", f"arn:aws:sqs:{place}:{sent['QueueUrl'].rpartition('/')[2]}"


def _events(place: str, operation: str, sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for entry in sent["Entries"]:
        yield f"events:{operation}", f"arn:aws:events:{place}:event-bus/{entry['EventBusName']}"


def _scheduler(place: str, operation: str, sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"scheduler:{operation}", f"arn:aws:scheduler:{place}:schedule/{sent['GroupName']}/{sent['Name']}"
    if "Target" in sent:
        yield "iam:PassRole", sent["Target"]["RoleArn"]


def _lambda(place: str, operation: str, sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"lambda:{operation}", f"arn:aws:lambda:{place}:function:{sent['FunctionName']}"


def _cloudformation(place: str, operation: str, sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"cloudformation:{operation}", f"arn:aws:cloudformation:{place}:stack/{sent['StackName']}/an-id"


def _dynamodb(place: str, operation: str, sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    prefix = f"arn:aws:dynamodb:{place}:table/"
    if operation == "TransactWriteItems":
        # It has no permission of its own: it is authorised through what it consists of.
        for action in sent["TransactItems"]:
            [(kind, request)] = action.items()
            yield f"dynamodb:{kind}Item", prefix + request["TableName"]
    elif "RequestItems" in sent:
        for table in sent["RequestItems"]:
            yield f"dynamodb:{operation}", prefix + table
    else:
        index = f"/index/{sent['IndexName']}" if "IndexName" in sent else ""
        yield f"dynamodb:{operation}", prefix + sent["TableName"] + index


def _s3(_place: str, operation: str, sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    bucket = f"arn:aws:s3:::{sent['Bucket']}"
    if operation == "ListObjectsV2":
        yield "s3:ListBucket", bucket
    elif operation == "CopyObject":
        # API reference, CopyObject: s3:GetObject on the source, s3:PutObject on the destination.
        yield "s3:GetObject", f"arn:aws:s3:::{sent['CopySource']['Bucket']}/{sent['CopySource']['Key']}"
        yield "s3:PutObject", f"{bucket}/{sent['Key']}"
    else:
        # Service authorization reference: HeadObject is authorised as GetObject.
        yield f"s3:{operation.replace('Head', 'Get')}", f"{bucket}/{sent['Key']}"


_SERVICES = {
    "cloudformation": _cloudformation,
    "dynamodb": _dynamodb,
    "events": _events,
    "lambda": _lambda,
    "s3": _s3,
    "scheduler": _scheduler,
    "sqs": _sqs,
}


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Have *recorder* hear of every request, whoever made the client."""
    send = BaseClient._make_api_call  # type: ignore[attr-defined]

    def heard(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        answer = recorder.heard(client, operation, parameters)
        return send(client, operation, parameters) if answer is None else answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", heard)
        yield


def grants(template: Template, role: str) -> set[Grant]:
    """What the policies of *role* allow, one action on one resource each."""
    (found,) = [one for one in template.resources({"AWS::IAM::Role"}) if one.logical_id == role]
    # A policy on its own is there only under its condition.
    added = [one.properties for one in template.resources({"AWS::IAM::RolePolicy"})]
    return _granted([*found.properties["Policies"], *(one for one in added if one["RoleName"] == found.identity.name)])


def grants_of_managed(template: Template, policy: str) -> set[Grant]:
    """What a managed policy allows, one action on one resource each."""
    (found,) = [one for one in template.resources({"AWS::IAM::ManagedPolicy"}) if one.logical_id == policy]
    return _granted([found.properties])


def _granted(policies: Iterable[Mapping[str, Any]]) -> set[Grant]:
    statements: list[Json] = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    return {
        Grant(action, resource)
        for statement in statements
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def missing(needs: set[Need], granted: set[Grant]) -> set[Need]:
    """What a function does and may not."""
    return {need for need in needs if not any(grant.covers(need) for grant in granted)}


def unused(needs: set[Need], granted: set[Grant]) -> set[Grant]:
    """What a function may do and does not."""
    return {grant for grant in granted if not any(grant.covers(need) for need in needs)}
