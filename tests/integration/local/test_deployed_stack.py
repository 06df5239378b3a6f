"""Commands with ``--stack``: found through CloudFormation's outputs and the function's own environment."""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.session import get_session
from typer.testing import CliRunner, Result

from tests.integration.local.conftest import ROOT
from workflow_engine.adapters.aws.dynamodb.persistence import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.system import RandomIds, SystemClock
from workflow_engine.cli.app import app
from workflow_engine.cli.run_watch import Watch
from workflow_engine.cli.stacks import Stack, open_stack
from workflow_engine.cli.where import Where
from workflow_engine.hosts import ServerlessHost
from workflow_engine.local.embedded_aws import EmbeddedAws
from workflow_engine.model.ids import RunId
from workflow_engine.model.schedules import Schedule
from workflow_engine.wiring.aws import client
from workflow_engine.wiring.settings import Settings

NAME = "workflow-engine-test"
FUNCTION = "deployed-job-function"
TICK = "deployed-tick-function"


@pytest.fixture(scope="module")
def deployed() -> Iterator[None]:
    """An AWS with a stack that has the outputs of ours, and its function. What a shell of a user's would
    have is in the environment, and none of the functions' own variables."""
    with EmbeddedAws(ROOT / "template.yaml") as aws:
        create_function(dict(aws.template.variables()))
        create_stack(NAME, {"JobFunctionName": FUNCTION})
        create_stack("another", {"Something": "else"})
        with pytest.MonkeyPatch.context() as patch:
            for name in aws.template.variables():
                patch.delenv(name)
            yield


def create_function(variables: dict[str, str], name: str = FUNCTION) -> None:
    role = client("iam").create_role(RoleName=f"role-of-{name}", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("code.py", "")
    client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="code.handler",
        Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": variables},
    )


def create_stack(name: str, outputs: dict[str, str]) -> None:
    template = {
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    # With botocore's own timeouts: moto loads all its services for the first stack, and ours would ask twice.
    cloudformation: Any = get_session().create_client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    cloudformation.close()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def said(*arguments: str) -> Any:
    result = call(*arguments, "--stack", NAME, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def work_as_lambda_would(stack: Stack, run_id: str) -> None:
    host = ServerlessHost(stack.kernel, stack.kernel.parts.job_transport, "lambda")
    while Watch(stack=stack, run_ids=[RunId(run_id)]).done() is False:
        host.process_available_jobs()


def test_a_run_is_started_listed_and_shown_on_a_deployed_stack(deployed: None) -> None:
    before = dict(os.environ)
    (run,) = said("run", "document-analysis", "--input", '{"text": "Some words."}', "--no-wait")["runs"]
    assert run["status"] == "PENDING"
    with open_stack(Where(stack=NAME)) as stack:
        work_as_lambda_would(stack, run["run_id"])

    listed = {one["run_id"]: one["status"] for one in said("list", "document-analysis")["runs"]}
    assert listed[run["run_id"]] == "COMPLETED"
    assert said("show", run["run_id"])["output"]["paragraphs"] == 1
    assert dict(os.environ) == before


def test_a_run_that_ends_while_it_is_watched_is_shown(deployed: None) -> None:
    (run,) = said("run", "document-analysis", "--input", '{"text": "More words."}', "--no-wait")["runs"]
    with open_stack(Where(stack=NAME)) as stack:
        work_as_lambda_would(stack, run["run_id"])

    assert said("watch", run["run_id"])["runs"][0]["status"] == "COMPLETED"


def test_runs_in_flight_are_checked_against_the_code_that_is_here(deployed: None) -> None:
    said("run", "publish-report", "--input", '{"text": "Some words."}', "--no-wait")
    document = said("check")

    assert document["runs_in_flight"] == 1
    assert document["stranded"] == []
    assert {workflow["id"] for workflow in document["workflows"]} >= {"document-analysis", "publish-report"}


@pytest.fixture
def account_of_ten(deployed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account as AWS gives it to a new customer, all of which a queue's functions may take. The embedded AWS knows no
    such limits, and runs a function that is mapped to a queue."""
    answers: dict[str, Any] = {
        "GetAccountSettings": {"AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}},
        "ListEventSourceMappings": {"EventSourceMappings": [{"ScalingConfig": {"MaximumConcurrency": 10}}]},
    }
    send = BaseClient._make_api_call  # type: ignore[attr-defined]

    def sent(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        return answers.get(operation) or send(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", sent)


def test_a_stack_that_leaves_its_tick_no_room_is_told_so(account_of_ten: None) -> None:
    create_function({}, TICK)
    create_stack("squeezed", {"JobFunctionName": FUNCTION, "TickFunctionName": TICK})

    result = call("check", "--stack", "squeezed")
    found = json.loads(call("check", "--stack", "squeezed", "--json").stdout)["concurrency"]

    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if "MaximumConcurrency" in line]
    assert line.startswith("! 10 job functions at once take all 10")
    assert found == {"account": 10, "unreserved": 10, "jobs": 10, "tick": 0, "starves_the_tick": True}


def test_a_check_that_may_not_ask_for_the_accounts_limits_says_so_and_goes_on(
    deployed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = BaseClient._make_api_call  # type: ignore[attr-defined]

    def denied(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "GetAccountSettings":
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)
        return send(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", denied)
    create_stack("reticent", {"JobFunctionName": FUNCTION, "TickFunctionName": FUNCTION})
    result = call("check", "--stack", "reticent")

    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("? ")]
    assert "GetAccountSettings" in line


def test_the_region_of_the_command_line_is_the_one_that_is_asked(deployed: None) -> None:
    result = call("list", "document-analysis", "--stack", NAME, "--region", "eu-north-1")

    assert (result.exit_code, result.stdout) == (3, "")


@pytest.mark.parametrize(
    ("stack", "error"),
    [
        ("no-such-stack", "AwsRequestError: CloudFormation DescribeStacks: ValidationError"),
        ("another", "StackNotFoundError: stack 'another' has no output JobFunctionName"),
    ],
)
def test_a_stack_that_is_none_of_ours_is_said_in_one_line(deployed: None, stack: str, error: str) -> None:
    result = call("list", "document-analysis", "--stack", stack)

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(error)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["list", "document-analysis"], ["show", "abc"], ["dead-letters"]])
def test_an_aws_that_cannot_be_reached_is_3(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = call(*command, "--stack", NAME)

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.count("\n") == 1


def test_a_profile_that_is_not_there_is_said_in_one_line() -> None:
    result = call("list", "document-analysis", "--stack", NAME, "--profile", "nobody")

    assert (result.exit_code, result.stdout) == (3, "")
    assert "nobody" in result.stderr


@pytest.fixture
def left_behind() -> Iterator[str]:
    """A table as a deleted stack leaves it, with a schedule in it that fires nowhere."""
    name = "left-behind"
    client("dynamodb").create_table(**create_table_request(name))
    persistence = DynamoPersistence(table_name=name, shards=8, clock=SystemClock(), ids=RandomIds())
    persistence.put_recurrence(schedule("monthly").as_recurrence())
    yield name
    client("dynamodb").delete_table(TableName=name)


def schedule(name: str) -> Schedule:
    return Schedule(name=name, workflow_id="publish-report", expression="cron(0 3 1 * ? *)", input={"text": "x"})


def replace_the_group() -> None:
    """What CloudFormation does to a schedule group that gets another name, or goes and comes with its stack."""
    with open_stack(Where(stack=NAME)):
        group = Settings.from_environment().schedule_group_name
        client("scheduler").delete_schedule_group(Name=group)
        client("scheduler").create_schedule_group(Name=group)


def test_schedules_that_went_with_their_group_are_made_again(deployed: None) -> None:
    said("schedules", "put", "nightly", "publish-report", "cron(0 3 * * ? *)", "--input", '{"text": "x"}')
    before = said("schedules")
    replace_the_group()
    assert said("schedules") == []
    assert "kept, but not firing: nightly" in call("schedules", "--stack", NAME).stdout

    assert said("schedules", "sync") == {"made": ["nightly"], "kept": []}
    assert said("schedules", "sync") == {"made": [], "kept": []}
    assert said("schedules") == before
    said("schedules", "delete", "nightly")


def test_schedules_of_a_table_that_a_deleted_stack_left_are_made_in_another(deployed: None, left_behind: str) -> None:
    assert said("schedules", "sync", "--from-table", left_behind) == {"made": ["monthly"], "kept": ["monthly"]}
    assert [one["name"] for one in said("schedules")] == ["monthly"]
    said("schedules", "delete", "monthly")


def test_a_table_that_is_not_there_is_said_in_one_line(deployed: None) -> None:
    result = call("schedules", "sync", "--from-table", "nowhere", "--stack", NAME)

    assert (result.exit_code, result.stdout) == (3, "")
    assert len(result.stderr.splitlines()) == 1
