"""A stack may be called anything that CloudFormation takes, and may stand inside another: no name becomes too long."""

import re

import pytest
from botocore.session import get_session

from tests.bundle.stack import Json, of_type

# CloudFormation user guide, "Specify stack details": a letter, then letters, digits and hyphens, 128 in all. A nested
# stack is called after its parent, its logical id and random characters, so it comes near that by itself.
LONGEST_STACK_NAME = "a" + "-Z9" * 42 + "z"
# The property that gives a resource its own name, and what the service's own model says of such a name.
NAMED = {
    "AWS::CloudWatch::Alarm": ("AlarmName", "cloudwatch", "AlarmName"),
    "AWS::CloudWatch::Dashboard": ("DashboardName", "cloudwatch", "DashboardName"),
    "AWS::DynamoDB::Table": ("TableName", "dynamodb", "TableName"),
    "AWS::Events::EventBus": ("Name", "events", "EventBusName"),
    "AWS::Events::Rule": ("Name", "events", "RuleName"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "iam", "policyNameType"),
    "AWS::IAM::Role": ("RoleName", "iam", "roleNameType"),
    "AWS::Lambda::Function": ("FunctionName", "lambda", "FunctionName"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs", "LogGroupName"),
    "AWS::S3::Bucket": ("BucketName", "s3", "BucketName"),
    "AWS::SQS::Queue": ("QueueName", "sqs", "String"),
    "AWS::Scheduler::ScheduleGroup": ("Name", "scheduler", "ScheduleGroupName"),
}
# What has no name of its own: it belongs to one that has.
NAMELESS = {
    "AWS::IAM::RolePolicy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
}


def test_the_longest_name_of_a_stack_is_one() -> None:
    assert len(LONGEST_STACK_NAME) == 128
    assert re.fullmatch("[a-zA-Z][-a-zA-Z0-9]*", LONGEST_STACK_NAME)


def test_every_resource_is_known_to_have_a_name_or_none(resources: Json) -> None:
    assert {resource["Type"] for resource in resources.values()} - NAMELESS <= NAMED.keys()


@pytest.mark.parametrize("kind", NAMED)
def test_a_name_that_the_template_gives_fits_the_longest_name_of_a_stack(resources: Json, kind: str) -> None:
    """A name that it leaves out is made by CloudFormation, which cuts it to what the service takes and makes it unique
    (user guide, "Name type")."""
    name_property, service, shape_name = NAMED[kind]
    limits = get_session().get_service_model(service).shape_for(shape_name).metadata
    given = [one[name_property] for one in of_type(resources, kind).values() if name_property in one]

    for name in given:
        assert name == {"Ref": "AWS::StackName"}
        assert len(LONGEST_STACK_NAME) <= limits["max"]
        assert re.fullmatch(limits["pattern"], LONGEST_STACK_NAME)


def test_only_the_bus_is_called_as_its_stack(resources: Json) -> None:
    """It must have a name (AWS::Events::EventBus), and stacks of a Region have no two names alike. Whoever renames it takes
    it from under the rules of its users."""
    named = {name for name, one in resources.items() if NAMED.get(one["Type"], ("",))[0] in one.get("Properties", {})}

    assert named == {"EventBus"}


def test_what_metrics_are_told_apart_by_fits_the_longest_name_of_a_stack() -> None:
    limits = get_session().get_service_model("cloudwatch").shape_for("DimensionValue").metadata

    assert len(LONGEST_STACK_NAME) <= limits["max"]
