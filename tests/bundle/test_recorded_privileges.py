"""Each function uses everything that its policy allows, and needs nothing that it does not.

The functions run as they are deployed, through their handlers, and a hook in botocore notes what they ask of AWS.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.bundle.flows import recorded_stack, use_everything
from tests.bundle.recording import Grant, Need, Recorder, grants, missing, unused
from workflow_engine.local.place import Place
from workflow_engine.local.template import Template

ROLES = {"JobFunction": "JobRole", "TickFunction": "TickRole"}
# What AWS does with a function's role beside the function's code, by role and Sid. Each is listed with its source.
BY_AWS_ITSELF = {
    "JobRole": {
        # Lambda developer guide, "Configuring an SQS queue to trigger a function": the poller uses the function's role.
        "sqs:ReceiveMessage",
        "sqs:GetQueueAttributes",
    },
    "TickRole": {
        # Lambda developer guide, "Capturing records of asynchronous invocations": to TickDeadLetterQueue.
        "sqs:SendMessage",
    },
}
# The runtime writes logs, whatever the code does (developer guide, "execution role").
BY_THE_RUNTIME = {"logs:CreateLogStream", "logs:PutLogEvents"}


@dataclass(frozen=True)
class Used:
    template: Template
    recorder: Recorder


@pytest.fixture(scope="module", params=["false", "true"], ids=["without-archive", "with-archive"])
def used(request: pytest.FixtureRequest) -> Iterator[Used]:
    with recorded_stack(ArchiveRuns=request.param) as stack:
        use_everything(stack)
        yield Used(stack.aws.template, stack.recorder)


@pytest.mark.parametrize("function", ROLES)
def test_nothing_is_missing(used: Used, function: str) -> None:
    assert missing(used.recorder.needs[function], grants(used.template, ROLES[function])) == set()


@pytest.mark.parametrize("function", ROLES)
def test_nothing_is_granted_that_is_not_used(used: Used, function: str) -> None:
    role = ROLES[function]
    idle = {
        grant
        for grant in unused(used.recorder.needs[function], grants(used.template, role))
        if grant.action not in BY_THE_RUNTIME
    }

    # Another has no object to miss: it is what lets S3 answer that one is gone.
    idle = {grant for grant in idle if grant.action != "s3:ListBucket" or role != "TickRole"}
    assert {grant.action for grant in idle} == BY_AWS_ITSELF[role]
    queue = "TickDeadLetterQueue" if role == "TickRole" else "JobQueue"
    assert {grant.resource for grant in idle} == {used.template.identities[queue].arn}


def test_the_functions_did_enough_to_show_it(used: Used) -> None:
    assert used.recorder.requests > 200
    assert {need.action.partition(":")[0] for need in used.recorder.needs["JobFunction"]} == {
        "dynamodb",
        "events",
        "iam",
        "s3",
        "scheduler",
        "sqs",
    }


# A planted bug turns them red


def test_a_permission_that_was_forgotten_is_seen(used: Used) -> None:
    granted = grants(used.template, "JobRole")
    for grant in granted:
        if grant.action in {"s3:DeleteObject", "iam:PassRole", "scheduler:DeleteSchedule"}:
            assert {need.action for need in missing(used.recorder.needs["JobFunction"], granted - {grant})} == {
                grant.action
            }


def test_a_permission_too_many_is_seen(used: Used) -> None:
    extra = Grant("dynamodb:Scan", str(used.template.identities["Table"].arn))

    assert extra in unused(used.recorder.needs["JobFunction"], {extra})


def test_a_permission_on_another_resource_does_not_count() -> None:
    granted = {Grant("s3:GetObject", "arn:aws:s3:::bucket/*")}

    assert missing({Need("s3:GetObject", "arn:aws:s3:::other/key")}, granted)
    assert not missing({Need("s3:GetObject", "arn:aws:s3:::bucket/key")}, granted)


def test_a_request_that_nobody_knows_is_not_passed_over() -> None:
    from workflow_engine.wiring.aws import _session

    recorder = Recorder(Place(endpoint="http://127.0.0.1"), function="JobFunction")
    client = _session().create_client("sts", region_name="us-east-1")

    with pytest.raises(AssertionError, match="nobody knows"):
        recorder.heard(client, "GetCallerIdentity", {})
