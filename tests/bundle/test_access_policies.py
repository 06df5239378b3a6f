"""The policies for people and applications: each allows what its commands ask of AWS, and nothing that they do not.

The commands run as they are typed, with ``--stack``, against a stack that has runs, schedules and dead letters; a hook in
botocore notes what they ask for.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.client import BaseClient

from tests.bundle.flows import ROOT, WORKFLOWS, RecordedStack, recorded_stack
from tests.bundle.recording import Grant, Need, grants_of_managed, missing, unused
from tests.bundle.stack import Json, as_list, of_type
from tests.integration.local.test_deployed_stack import call, create_function, create_stack
from workflow_engine import CreateRun
from workflow_engine.local.template import Template
from workflow_engine.wiring import aws as wiring

POLICIES = ["StarterPolicy", "ReaderPolicy", "OperatorPolicy"]
# IAM user guide, "IAM and AWS STS quotas": characters of a managed policy, white space apart.
MAX_POLICY = 6144
LARGE = json.dumps({"text": "x" * 20_000})
# What the embedded AWS does not know of Lambda.
ANSWERS: dict[str, Any] = {
    "GetAccountSettings": {"AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}},
    "ListEventSourceMappings": {"EventSourceMappings": [{"ScalingConfig": {"MaximumConcurrency": 5}}]},
    "GetFunctionConcurrency": {},
}


@dataclass(frozen=True)
class Used:
    template: Template
    needs: dict[str, set[Need]]


class Somebody:
    """Who has one of the policies, and types commands."""

    def __init__(self, policy: str, stack: RecordedStack) -> None:
        self._policy, self._stack = policy, stack
        self._name = stack.aws.template.place.stack_name

    def types(self, *arguments: str, code: int = 0) -> None:
        self._stack.recorder.function = self._policy
        try:
            result = call(*arguments, "--stack", self._name, "--template", str(ROOT / "template.yaml"))
        finally:
            self._stack.recorder.function = None
        assert result.exit_code == code, result.output


@pytest.fixture(scope="module", params=["false", "true"], ids=["without-archive", "with-archive"])
def used(request: pytest.FixtureRequest) -> Iterator[Used]:
    send = BaseClient._make_api_call  # type: ignore[attr-defined]

    def sent(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        return ANSWERS[operation] if operation in ANSWERS else send(client, operation, parameters)

    with pytest.MonkeyPatch.context() as patch:
        # Below the recorder, which hears of these requests as of all.
        patch.setattr(BaseClient, "_make_api_call", sent)
        with recorded_stack(ArchiveRuns=request.param) as stack:
            deploy(stack)
            start(stack)
            read(stack, archived=request.param == "true")
            operate(stack)
            yield Used(stack.aws.template, stack.recorder.needs)


def deploy(stack: RecordedStack) -> None:
    """Make what a command looks for first: the stack's outputs, and the environment of its job function."""
    names = {name: stack.aws.template.identities[name].name for name in ("JobFunction", "TickFunction")}
    create_function(dict(stack.aws.template.variables()), names["JobFunction"])
    create_function({}, names["TickFunction"])
    create_stack(stack.aws.template.place.stack_name, {f"{name}Name": value for name, value in names.items()})


def start(stack: RecordedStack) -> None:
    """What an application does: the run's input fits into a message."""
    stack.recorder.function = "StarterPolicy"
    wiring.kernel_of_process().submit(CreateRun(workflow_id="fan", input={"text": "x"}))
    stack.recorder.function = None
    stack.work()


def read(stack: RecordedStack, *, archived: bool) -> None:
    done, waiting = stack.create("chain", attributes={"customer": "ada"}), stack.create("approval")
    day = stack.clock.now().date().isoformat()
    reader = Somebody("ReaderPolicy", stack)
    for run_id in (done, waiting, done[:10], "last"):
        reader.types("show", run_id)
    for command in ("watch", "events", "logs", "export"):
        reader.types(command, done)
    reader.types("logs", done, "--all")
    reader.types("graph", "--run", done)
    for options in ([], ["--status", "FAILED"], ["--attribute", "customer=ada"]):
        reader.types("list", "chain", *options)
    reader.types("export", "nobody-knows-it", code=2)
    if archived:
        reader.types("show", done, "--archived-on", day)
    reader.types("check", "--parameter", f"Workflows={WORKFLOWS}:registry")
    put_schedule(stack)
    reader.types("schedules")


def put_schedule(stack: RecordedStack, text: str = "cron(0 3 * * ? *)") -> None:
    operator = Somebody("OperatorPolicy", stack)
    operator.types("schedules", "put", "nightly", "chain", text, "--input", '{"text": "x"}')


def operate(stack: RecordedStack) -> None:
    operator = Somebody("OperatorPolicy", stack)
    for given in ('{"text": "x"}', LARGE):
        for how in ([], ["--submit"]):
            registry = ["--parameter", f"Workflows={WORKFLOWS}:registry"]
            operator.types("run", "chain", "--input", given, "--no-wait", *how, *registry)
    stack.work()
    done, waiting = stack.create("chain"), stack.create("approval")
    operator.types("signal", waiting, "go", "{}")
    operator.types("cancel", stack.create("approval"))
    operator.types("rerun", done, "--from", "store")
    operator.types("rerun", "--workflow", "chain", "--since", "2h", "--status", "COMPLETED")
    put_schedule(stack, "cron(0 4 * * ? *)")
    for verb in ("pause", "resume"):
        operator.types("schedules", verb, "nightly")
    operator.types("schedules", "sync")
    operator.types("schedules", "delete", "nightly")
    die(stack)
    for arguments in (["dead-letters"], ["dead-letters", "replay"], ["dead-letters", "forget"]):
        operator.types(*arguments)
    look(stack, operator, done)


def look(stack: RecordedStack, operator: Somebody, run_id: str) -> None:
    """An operator looks as well."""
    stack.work()
    operator.types("show", run_id)
    operator.types("list", "chain")
    operator.types("check", "--parameter", f"Workflows={WORKFLOWS}:registry")
    operator.types("schedules")
    stored = stack.create("chain")
    operator.types("export", stored)


def die(stack: RecordedStack) -> None:
    """A dead letter of each kind."""
    variables, sqs = stack.aws.template.variables(), wiring.client("sqs")
    for name in ("JOB_DLQ_URL", "SCHEDULE_DLQ_URL", "TICK_DLQ_URL"):
        sqs.send_message(QueueUrl=variables[name], MessageBody='{"type": "run.nonsense"}')
    chatty = stack.create("chatty")
    stack.recorder.refuse_events = True
    for _ in range(7):
        stack.send(type="run.transition", run_id=chatty)
    stack.recorder.refuse_events = False


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_is_missing(used: Used, policy: str) -> None:
    assert missing(used.needs[policy], grants_of_managed(used.template, policy)) == set()


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_is_granted_that_is_not_used(used: Used, policy: str) -> None:
    idle = unused(used.needs[policy], grants_of_managed(used.template, policy))
    # Archives stay where a stack has stopped to make them, and are found by the commands that find runs.
    idle = {grant for grant in idle if not (grant.action == "s3:GetObject" and "/archive/" in grant.resource)}

    assert idle == set()


def test_an_archive_is_read_by_whoever_may_read_runs(used: Used) -> None:
    archived = [need for need in used.needs["ReaderPolicy"] if "/archive/" in need.resource]
    kept = used.template.parameters["ArchiveRuns"] == "true"

    assert [need.action for need in archived] == (["s3:GetObject"] if kept else [])


def test_a_reader_changes_nothing(used: Used) -> None:
    verbs = {grant.action.partition(":")[2] for grant in grants_of_managed(used.template, "ReaderPolicy")}

    assert {verb for verb in verbs if not verb.startswith(("BatchGet", "Describe", "Get", "List", "Query"))} == set()


def test_an_operator_may_do_all_that_a_reader_and_a_starter_may(used: Used) -> None:
    reader, starter, operator = (
        grants_of_managed(used.template, f"{name}Policy") for name in ("Reader", "Starter", "Operator")
    )

    assert reader | starter <= operator


def test_a_permission_that_was_forgotten_is_seen(used: Used) -> None:
    granted = grants_of_managed(used.template, "OperatorPolicy")
    for grant in granted:
        if grant.action in {"iam:PassRole", "sqs:DeleteMessage", "scheduler:UpdateSchedule", "s3:PutObject"}:
            assert missing(used.needs["OperatorPolicy"], granted - {grant})


def test_a_permission_too_many_is_seen(used: Used) -> None:
    extra = Grant("dynamodb:Scan", str(used.template.identities["Table"].arn))

    assert extra in unused(used.needs["OperatorPolicy"], {extra})


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_no_longer_than_iam_takes(used: Used, policy: str) -> None:
    (found,) = [one for one in used.template.resources({"AWS::IAM::ManagedPolicy"}) if one.logical_id == policy]
    said = json.dumps(found.properties["PolicyDocument"], separators=(",", ":"))

    # Names on AWS are longer: a stack's of 128 characters, and what is added to it.
    assert len(said.replace("workflow-engine-local", "x" * 155)) < MAX_POLICY


def test_the_policies_are_given_to_nobody_by_the_stack(resources: Json) -> None:
    """No role of the stack is widened by one; who gets it is said by whoever attaches it."""
    policies = of_type(resources, "AWS::IAM::ManagedPolicy")

    assert set(policies) == set(POLICIES)
    assert all({"Roles", "Users", "Groups", "ManagedPolicyName"}.isdisjoint(policy) for policy in policies.values())


def test_only_what_has_no_resources_is_allowed_on_all_of_them(resources: Json) -> None:
    everywhere = {
        action
        for policy in of_type(resources, "AWS::IAM::ManagedPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if "*" in as_list(statement.get("Resource", []))
        for action in as_list(statement["Action"])
    }

    assert everywhere == {"lambda:GetAccountSettings", "lambda:ListEventSourceMappings", "scheduler:ListSchedules"}


def test_a_role_is_passed_to_scheduler_alone(resources: Json) -> None:
    statements = resources["OperatorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (passing,) = [one for one in statements if one.get("Action") == "iam:PassRole"]

    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
