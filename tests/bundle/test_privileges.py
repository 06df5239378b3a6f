"""Who may do what: no more than the code of each function does, on nothing but the stack's own resources."""

import pytest

from tests.bundle.stack import Json, actions, arn_of, as_list, of_type, statements

ROLES = ["JobRole", "TickRole", "SchedulerRole"]
NO_VALUE = {"Ref": "AWS::NoValue"}


def test_no_managed_policy_widens_a_role_unless_it_was_asked_for(template: Json, resources: Json) -> None:
    """What SAM attaches by itself (logs, X-Ray, SQS) names `*` as its resource."""
    roles = of_type(resources, "AWS::IAM::Role")
    widened = {name: role["ManagedPolicyArns"] for name, role in roles.items() if "ManagedPolicyArns" in role}

    assert sorted(roles) == sorted(ROLES)
    # Stages may need more than the engine; the tick runs none, and Scheduler only sends.
    assert widened == {"JobRole": {"Fn::If": ["AddsJobPolicies", {"Ref": "JobManagedPolicyArns"}, NO_VALUE]}}
    assert template["Parameters"]["JobManagedPolicyArns"]["Default"] == ""
    assert template["Conditions"]["AddsJobPolicies"] == is_given("JobManagedPolicyArns")


def test_an_organisations_boundary_holds_for_every_role(template: Json, resources: Json) -> None:
    """One role without it, and an organisation that asks for it refuses the whole stack."""
    roles = of_type(resources, "AWS::IAM::Role")

    assert {role: found.get("PermissionsBoundary") for role, found in roles.items()} == {
        key: {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundary"}, NO_VALUE]} for key in ROLES
    }
    assert template["Parameters"]["PermissionsBoundary"]["Default"] == ""
    assert template["Conditions"]["HasBoundary"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "PermissionsBoundary"}, ""]}]}


def is_given(parameter: str) -> Json:
    """The condition that a list has something in it. An empty one is a list of one empty text."""
    return {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": parameter}]}, ""]}]}


@pytest.mark.parametrize("role", ROLES)
def test_no_action_has_a_wildcard(resources: Json, role: str) -> None:
    assert {action for action in actions(resources, role) if "*" in action} == set()
    assert all("NotAction" not in statement for statement in statements(resources, role))


@pytest.mark.parametrize("role", ROLES)
def test_every_resource_is_named(resources: Json, role: str) -> None:
    for statement in statements(resources, role):
        assert "*" not in as_list(statement["Resource"])
        assert "NotResource" not in statement


def test_a_wildcard_ends_inside_the_bucket_and_the_schedule_group(resources: Json) -> None:
    patterns = {
        resource["Fn::Sub"]
        for role in ROLES
        for statement in statements(resources, role)
        for resource in as_list(statement["Resource"])
        if isinstance(resource, dict) and "*" in resource.get("Fn::Sub", "")
    }

    assert patterns == {
        "${Bucket.Arn}/runs/*",
        "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/${ScheduleGroup}/*",
    }


def test_the_job_function_hands_over_only_the_schedulers_role_and_only_to_scheduler(resources: Json) -> None:
    """Whoever may pass a role may act as it."""
    passing = {
        role: [statement for statement in statements(resources, role) if "iam:PassRole" in as_list(statement["Action"])]
        for role in ROLES
    }

    (statement,) = passing.pop("JobRole")
    assert statement["Action"] == "iam:PassRole"
    assert statement["Resource"] == arn_of("SchedulerRole")
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    assert list(passing.values()) == [[], []]


def test_scheduler_may_only_send_to_the_job_queue_and_its_dead_letters(resources: Json) -> None:
    (statement,) = statements(resources, "SchedulerRole")

    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Resource"] == [arn_of("JobQueue"), arn_of("ScheduleDeadLetterQueue")]


def test_scheduler_acts_only_for_this_stacks_schedules(resources: Json) -> None:
    """The confused deputy: without the condition, another account's schedule could use the role."""
    (trust,) = resources["SchedulerRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]

    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {
        "aws:SourceAccount": {"Ref": "AWS::AccountId"},
        "aws:SourceArn": arn_of("ScheduleGroup"),
    }


def test_code_of_a_stage_can_delete_and_read_payloads_alone(resources: Json) -> None:
    """An archive is there to be kept, from whoever writes stages as well."""
    on_objects = {
        action: as_list(statement["Resource"])
        for statement in statements(resources, "JobRole")
        for action in as_list(statement["Action"])
        if action.startswith("s3:") and action != "s3:ListBucket"
    }

    assert on_objects.keys() == {"s3:DeleteObject", "s3:GetObject", "s3:PutObject"}
    assert all(on == [{"Fn::Sub": "${Bucket.Arn}/runs/*"}] for on in on_objects.values())
    added = resources["JobArchivePolicy"]
    assert added["Condition"] == "ArchivesRuns"
    assert added["Properties"]["RoleName"] == {"Ref": "JobRole"}
    (statement,) = added["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("s3:PutObject", {"Fn::Sub": "${Bucket.Arn}/archive/*"})


LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
# TransactWriteItems has no permission of its own: it is authorised through the actions that it consists of.
COMMITS = {
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
}


def test_the_job_function_may_do_what_commands_need_and_no_more(resources: Json) -> None:
    """No administration: it neither lists schedules nor purges queues, and cannot change the stack."""
    assert actions(resources, "JobRole") == {
        *LOGS,
        *COMMITS,
        # Dead letters that were replayed; a run's records, logs and signals; the due and failures indexes.
        "dynamodb:DeleteItem",
        "dynamodb:Query",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        # The event source mapping receives and deletes with the function's role, and asks for the attributes.
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        # A failed record comes back after seconds; jobs and delayed wake-ups are sent.
        "sqs:ChangeMessageVisibility",
        "sqs:SendMessage",
        "events:PutEvents",
        "scheduler:CreateSchedule",
        "scheduler:DeleteSchedule",
        "iam:PassRole",
    }


def test_the_tick_wakes_runs_up_and_no_more(resources: Json) -> None:
    """It executes no stage, so it reads no payload, takes no job and sets no timer: a weakness in it reaches no
    document, and it cannot act as Scheduler."""
    assert actions(resources, "TickRole") == {
        *LOGS,
        *COMMITS,
        # The due index alone.
        "dynamodb:Query",
        "events:PutEvents",
        "scheduler:DeleteSchedule",
        # How long the queue is: what it holds already is not sent again.
        "sqs:GetQueueAttributes",
        "sqs:SendMessage",
    }
    (query,) = [s for s in statements(resources, "TickRole") if s["Action"] == "dynamodb:Query"]
    assert query["Resource"] == {"Fn::Sub": "${Table.Arn}/index/due"}
