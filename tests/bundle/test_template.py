"""What template.yaml promises, and why. Each promise costs somebody dearly where it is broken.

Who may do what is in test_privileges.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from tests.bundle.stack import Json, arn_of, as_list, of_type
from workflow_engine.adapters.memory.jobs import DEFAULT_MAX_RECEIVES
from workflow_engine.hosts.patience import A_DAY, MAX_SURPRISES
from workflow_engine.model.deliveries import FIRST_REDELIVERY, MAX_REDELIVERY

ROOT = Path(__file__).parents[2]
SECONDS_OF_14_DAYS = 1_209_600
# Workflow(max_duration=…) unless it says otherwise, and the head's week after its children.
USUAL_MAX_DURATION_DAYS = 30
HEAD_OUTLIVES_CHILDREN_DAYS = 7


def environment(resources: Json, function: str) -> Json:
    variables: Json = resources[function]["Properties"]["Environment"]["Variables"]
    return variables


# ---------------------------------------------------------------- the whole


def test_cfn_lint_finds_nothing() -> None:
    """In all regions: test_build, which has the time for it."""
    command = [str(Path(sys.executable).parent / "cfn-lint"), str(ROOT / "template.yaml")]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout


def test_what_cannot_be_made_again_is_kept_but_not_by_a_first_deploy_that_failed(resources: Json) -> None:
    """`Retain` would leave an empty table and an empty bucket behind for each try (user guide, "DeletionPolicy")."""
    kept = {name: resource["DeletionPolicy"] for name, resource in resources.items() if "DeletionPolicy" in resource}

    assert kept == {"Table": "RetainExceptOnCreate", "Bucket": "RetainExceptOnCreate"}
    assert all(resources[name]["UpdateReplacePolicy"] == "Retain" for name in kept)


def test_the_table_can_be_protected_and_is_not_while_a_first_deploy_may_fail(template: Json, resources: Json) -> None:
    """CloudFormation cannot take back a table that is protected."""
    assert template["Parameters"]["DeletionProtection"]["Default"] == "false"
    assert template["Conditions"]["ProtectsTable"] == {"Fn::Equals": [{"Ref": "DeletionProtection"}, "true"]}
    assert resources["Table"]["Properties"]["DeletionProtectionEnabled"] == {"Fn::If": ["ProtectsTable", True, False]}


def test_every_name_that_a_user_needs_is_an_output(template: Json, resources: Json) -> None:
    """The command line finds a deployed stack by its outputs."""
    kinds = {
        "AWS::DynamoDB::Table",
        "AWS::S3::Bucket",
        "AWS::SQS::Queue",
        "AWS::Events::EventBus",
        "AWS::Scheduler::ScheduleGroup",
        "AWS::Lambda::Function",
        "AWS::Logs::LogGroup",
    }
    outputs = [output["Value"] for output in template["Outputs"].values()]

    missing = {
        name for name, resource in resources.items() if resource["Type"] in kinds and {"Ref": name} not in outputs
    }

    assert missing == set()


# ---------------------------------------------------------------- state


def test_the_table_costs_nothing_idle_and_can_be_restored(resources: Json) -> None:
    table = resources["Table"]["Properties"]

    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"]["SSEEnabled"] is True
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_the_table_has_the_keys_that_the_adapter_writes(resources: Json) -> None:
    table = resources["Table"]["Properties"]
    types = {item["AttributeName"]: item["AttributeType"] for item in table["AttributeDefinitions"]}

    def keys(schema: list[Json]) -> list[tuple[str, str, str]]:
        return [(key["AttributeName"], types[key["AttributeName"]], key["KeyType"]) for key in schema]

    assert keys(table["KeySchema"]) == [("pk", "S", "HASH"), ("sk", "S", "RANGE")]
    assert {index["IndexName"]: keys(index["KeySchema"]) for index in table["GlobalSecondaryIndexes"]} == {
        "due": [("ds", "S", "HASH"), ("da", "N", "RANGE")],
        "listing": [("ls", "S", "HASH"), ("lc", "S", "RANGE")],
        "failures": [("fs", "S", "HASH"), ("fc", "S", "RANGE")],
    }


def test_an_index_holds_keys_only(resources: Json) -> None:
    """An index that projected the head would be written with every commit, and billed for it."""
    indexes = resources["Table"]["Properties"]["GlobalSecondaryIndexes"]

    assert [index["Projection"] for index in indexes] == [{"ProjectionType": "KEYS_ONLY"}] * 3


def test_warm_throughput_covers_the_indexes_too(resources: Json) -> None:
    """A write waits for the slowest index that it changes."""
    table = resources["Table"]["Properties"]

    assert all(index["WarmThroughput"] == table["WarmThroughput"] for index in table["GlobalSecondaryIndexes"])


@pytest.mark.parametrize(("read", "write"), [("0", "4000"), ("12000", "0")])
def test_warm_throughput_is_set_for_reads_and_writes_or_not_at_all(template: Json, read: str, write: str) -> None:
    """Half of it would be left out without a word."""
    (rule,) = template["Rules"].values()
    (assertion,) = rule["Assertions"]
    values = {"WarmReadUnitsPerSecond": read, "WarmWriteUnitsPerSecond": write}

    assert not holds(assertion["Assert"], values)
    assert holds(assertion["Assert"], dict.fromkeys(values, "0"))
    assert holds(assertion["Assert"], {"WarmReadUnitsPerSecond": "12000", "WarmWriteUnitsPerSecond": "4000"})


def holds(condition: Json, values: Mapping[str, str]) -> bool:
    """Whether a condition of a rule is true of parameters."""
    ((name, parts),) = condition.items()
    if name == "Fn::Equals":
        left, right = (values[part["Ref"]] if isinstance(part, dict) else part for part in parts)
        return bool(left == right)
    found = [holds(part, values) for part in parts]
    if name == "Fn::Not":
        return not found[0]
    return all(found) if name == "Fn::And" else any(found)


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        # What a new table is ready for "cannot be decreased" (DynamoDB developer guide, "Understanding warm throughput").
        ("WarmReadUnitsPerSecond", ["0", "12000", "40000", "120000"], ["1", "11999", "-1", "012000", ""]),
        ("WarmWriteUnitsPerSecond", ["0", "4000", "9999", "40000"], ["1", "3999", "-1", "04000", ""]),
        # The functions' requests go there, with all data: to a machine of one's own, and nowhere else.
        (
            "EndpointUrl",
            ["", "http://127.0.0.1:4566", "http://localhost:4566/", "http://host.docker.internal:40123"],
            ["https://example.com", "http://localhost.example.com:80", "http://127.0.0.1.example.com", "localhost:1"],
        ),
        # Of lists, each value is looked at (CloudFormation user guide, "Parameters": AllowedPattern).
        (
            "JobManagedPolicyArns",
            ["", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess", "arn:aws-cn:iam::123456789012:policy/path/to/mine"],
            ["AmazonS3ReadOnlyAccess", "arn:aws:iam::123456789012:role/mine", "arn:aws:iam::12:policy/mine", "*"],
        ),
        (
            "PermissionsBoundary",
            ["", "arn:aws:iam::123456789012:policy/boundary"],
            ["boundary", "arn:aws:iam::123456789012:role/boundary"],
        ),
        (
            "Layers",
            ["", "arn:aws:lambda:us-east-1:123456789012:layer:watcher:7"],
            [
                "watcher",
                "arn:aws:lambda:us-east-1:123456789012:layer:watcher",
                "arn:aws:lambda:us-east-1:1:layer:watcher:7",
            ],
        ),
    ],
)
def test_a_parameter_takes_what_can_work(parameters: Json, name: str, taken: list[str], refused: list[str]) -> None:
    pattern = parameters[name]["AllowedPattern"]

    assert [value for value in taken if not re.search(pattern, value)] == []
    assert [value for value in refused if re.search(pattern, value)] == []
    assert parameters[name]["ConstraintDescription"]


def test_the_bucket_is_closed_to_the_public_and_encrypted(resources: Json) -> None:
    bucket = resources["Bucket"]["Properties"]

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def deployments() -> dict[str, dict[str, str]]:
    configuration = tomllib.loads((ROOT / "samconfig.toml").read_text())
    environments = {name: part for name, part in configuration.items() if isinstance(part, dict)}
    return {
        name: dict(pair.split("=", 1) for pair in part["global"]["parameters"].get("parameter_overrides", []))
        for name, part in environments.items()
    }


@pytest.mark.parametrize("deployment", ["default", "dev", "prod"])
def test_what_is_built_is_what_is_deployed(deployment: str) -> None:
    """`sam build` fetches the wheels of the Architecture that it is told: told to `sam deploy` alone, x86_64 gets functions
    that cannot import. Both read what is global (SAM developer guide, "AWS SAM CLI configuration file")."""
    configuration = tomllib.loads((ROOT / "samconfig.toml").read_text())[deployment]

    apart = {command for command, part in configuration.items() if "parameter_overrides" in part["parameters"]}
    assert apart <= {"global"}


@pytest.mark.parametrize("deployment", ["default", "dev", "prod"])
def test_payloads_outlive_the_runs_that_name_them(parameters: Json, resources: Json, deployment: str) -> None:
    """A run whose input was deleted cannot be rerun, shown or finished."""
    values = {name: parameter.get("Default") for name, parameter in parameters.items()} | deployments()[deployment]
    needed = int(values["RetentionDays"]) + USUAL_MAX_DURATION_DAYS + HEAD_OUTLIVES_CHILDREN_DAYS

    assert int(values["PayloadDays"]) >= needed
    expirations = [
        rule["ExpirationInDays"]
        for rule in resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    ]
    assert expirations == [{"Ref": "PayloadDays"}]


def test_an_archive_is_deleted_by_nothing(resources: Json) -> None:
    rules = resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule] == ["runs/"]


def test_the_tick_may_touch_payloads_only_where_runs_are_archived(template: Json, resources: Json) -> None:
    policy = resources["TickArchivePolicy"]
    allowed = {one["Action"]: one["Resource"] for one in policy["Properties"]["PolicyDocument"]["Statement"]}

    assert policy["Condition"] == "ArchivesRuns"
    assert template["Conditions"]["ArchivesRuns"] == {"Fn::Equals": [{"Ref": "ArchiveRuns"}, "true"]}
    assert template["Parameters"]["ArchiveRuns"]["Default"] == "false"
    assert allowed == {
        "dynamodb:Query": arn_of("Table"),
        "s3:GetObject": {"Fn::Sub": "${Bucket.Arn}/runs/*"},
        "s3:ListBucket": arn_of("Bucket"),
        "s3:PutObject": {"Fn::Sub": "${Bucket.Arn}/archive/*"},
    }


@pytest.mark.parametrize("deployment", ["default", "dev", "prod"])
def test_a_deployment_sets_parameters_that_exist(parameters: Json, deployment: str) -> None:
    """CloudFormation refuses an unknown parameter, after minutes."""
    assert deployments()[deployment].keys() <= parameters.keys()


# ---------------------------------------------------------------- queues


def test_a_message_in_work_is_not_given_to_a_second_function_and_comes_again_soon_after_its_death(
    template: Json, parameters: Json, resources: Json
) -> None:
    """CreateEventSourceMapping refuses a queue whose visibility timeout is below the function's (Lambda developer guide,
    "Configuring scalability for an SQS queue")."""
    visibility = resources["JobQueue"]["Properties"]["VisibilityTimeout"]
    seconds = template["Mappings"]["VisibilityOf"]

    assert visibility == {"Fn::FindInMap": ["VisibilityOf", {"Ref": "InvocationSeconds"}, "Seconds"]}
    assert {int(key): line["Seconds"] - int(key) for key, line in seconds.items()} == dict.fromkeys(
        parameters["InvocationSeconds"]["AllowedValues"], 60
    )


def spread(receives: int, share: float) -> timedelta:
    """How long a message is tried that fails at each of *receives* deliveries, at that share of the longest pauses."""
    pauses = [min(FIRST_REDELIVERY * 2 ** min(number, 16), MAX_REDELIVERY) for number in range(receives)]
    return sum(pauses, timedelta()) * share


def test_a_command_outlives_an_outage_of_a_day_and_people_have_a_week_for_what_does_not(resources: Json) -> None:
    redrive = resources["JobQueue"]["Properties"]["RedrivePolicy"]
    receives = redrive["maxReceiveCount"]
    retention = timedelta(seconds=SECONDS_OF_14_DAYS)

    assert redrive["deadLetterTargetArn"] == arn_of("JobDeadLetterQueue")
    assert spread(receives, 0.5) > timedelta(hours=36)
    assert spread(receives, 1) < timedelta(hours=74)
    # A message that kills its function each time. Its age counts from when it was first sent (SQS developer guide,
    # "Using dead-letter queues in Amazon SQS").
    assert retention - receives * timedelta(seconds=960) > timedelta(days=10)
    assert receives == DEFAULT_MAX_RECEIVES


def test_a_command_that_waits_for_people_is_given_up_by_the_engine_and_not_by_the_queue(resources: Json) -> None:
    """Else it would be a dead letter without a reason."""
    receives = resources["JobQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]

    assert spread(receives, 0.5) > A_DAY + MAX_REDELIVERY
    assert receives > MAX_SURPRISES


def test_an_alarm_rings_for_a_single_death_of_the_job_function(resources: Json) -> None:
    """All that it had is out of sight after it, so that a second one may be far away."""
    alarm = resources["JobErrorAlarm"]["Properties"]

    assert (alarm["MetricName"], alarm["Threshold"], alarm["EvaluationPeriods"]) == ("Errors", 0, 1)


def test_dead_letters_wait_as_long_as_sqs_allows(resources: Json) -> None:
    queues = of_type(resources, "AWS::SQS::Queue")

    assert {name: queue["MessageRetentionPeriod"] for name, queue in queues.items()} == {
        "JobQueue": SECONDS_OF_14_DAYS,
        "JobDeadLetterQueue": SECONDS_OF_14_DAYS,
        "ScheduleDeadLetterQueue": SECONDS_OF_14_DAYS,
        "TickDeadLetterQueue": SECONDS_OF_14_DAYS,
    }


def test_every_queue_is_encrypted(resources: Json) -> None:
    queues = of_type(resources, "AWS::SQS::Queue")

    assert {name for name, queue in queues.items() if queue.get("SqsManagedSseEnabled") is not True} == set()


def test_every_queue_and_the_bucket_refuse_plain_http(resources: Json) -> None:
    refusing: set[str] = set()
    for kind, subject in (("AWS::SQS::QueuePolicy", "Queues"), ("AWS::S3::BucketPolicy", "Bucket")):
        for policy in of_type(resources, kind).values():
            if any(denies_plain_http(statement) for statement in policy["PolicyDocument"]["Statement"]):
                refusing |= {reference["Ref"] for reference in as_list(policy[subject])}

    assert refusing == {*of_type(resources, "AWS::SQS::Queue"), "Bucket"}


def denies_plain_http(statement: Json) -> bool:
    condition = statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
    everything = statement["Action"] in ("sqs:*", "s3:*") and statement["Principal"] == "*"
    return statement["Effect"] == "Deny" and condition and everything


def test_nobody_else_may_send_to_a_queue(resources: Json) -> None:
    """The one exception is EventBridge, for the one rule whose delivery failed."""
    allowed = [
        (name, statement)
        for name, policy in of_type(resources, "AWS::SQS::QueuePolicy").items()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]

    ((name, statement),) = allowed
    assert name == "TickDeadLetterQueuePolicy"
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": arn_of("TickFunctionEveryMinute")}}


# ---------------------------------------------------------------- functions


def test_the_job_function_may_call_itself_through_the_queue(resources: Json) -> None:
    """Lambda's recursive loop detection stops Lambda -> SQS -> Lambda after about 16 hops and drops the message:
    a run with more hand-overs than that would be lost, on AWS alone. The engine bounds its own hops."""
    assert resources["JobFunction"]["Properties"]["RecursiveLoop"] == "Allow"


def test_only_the_job_function_may_loop(resources: Json) -> None:
    assert "RecursiveLoop" not in resources["TickFunction"]["Properties"]


def test_one_bad_record_does_not_bring_its_neighbours_back(resources: Json) -> None:
    (mapping,) = of_type(resources, "AWS::Lambda::EventSourceMapping").values()

    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["EventSourceArn"] == arn_of("JobQueue")
    assert mapping["FunctionName"] == {"Ref": "JobFunction"}


def test_the_load_is_bounded_and_adjustable(parameters: Json, resources: Json) -> None:
    (mapping,) = of_type(resources, "AWS::Lambda::EventSourceMapping").values()

    assert mapping["BatchSize"] == {"Ref": "BatchSize"}
    assert parameters["BatchSize"]["Default"] == 1
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "MaximumConcurrency"}}
    # Half of what a new account may run at once (developer guide, "Lambda quotas": 10 for new accounts), so that ticks run.
    assert parameters["MaximumConcurrency"]["Default"] == 5
    # Lambda API reference, ScalingConfig: at least 2.
    assert parameters["MaximumConcurrency"]["MinValue"] == 2


def test_jobs_can_be_stopped_for_an_incident_and_are_not_unless_somebody_says_so(
    template: Json, resources: Json
) -> None:
    """The queue keeps what comes meanwhile; a mapping that is off takes nothing from it."""
    (mapping,) = of_type(resources, "AWS::Lambda::EventSourceMapping").values()

    assert mapping["Enabled"] == {"Fn::If": ["EnablesJobs", True, False]}
    assert template["Conditions"]["EnablesJobs"] == {"Fn::Equals": [{"Ref": "JobsEnabled"}, "true"]}
    assert template["Parameters"]["JobsEnabled"]["Default"] == "true"


def test_writes_are_bounded_only_where_a_bound_was_given(template: Json, resources: Json) -> None:
    """The smallest that DynamoDB takes is 1 (API reference, OnDemandThroughput)."""
    table = resources["Table"]["Properties"]

    assert table["OnDemandThroughput"] == {
        "Fn::If": ["BoundsWrites", {"MaxWriteRequestUnits": {"Ref": "MaxWriteUnits"}}, {"Ref": "AWS::NoValue"}]
    }
    assert template["Conditions"]["BoundsWrites"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "MaxWriteUnits"}, 0]}]}
    assert template["Parameters"]["MaxWriteUnits"]["Default"] == 0
    assert not [index for index in table["GlobalSecondaryIndexes"] if "OnDemandThroughput" in index]


def test_layers_are_the_job_functions_alone(template: Json, resources: Json) -> None:
    """What watches stages has nothing to see in the tick, and would be paid for every minute."""
    layers = {name: function.get("Layers") for name, function in of_type(resources, "AWS::Lambda::Function").items()}

    assert layers == {
        "JobFunction": {"Fn::If": ["HasLayers", {"Ref": "Layers"}, []]},
        "TickFunction": None,
    }
    assert template["Parameters"]["Layers"]["Default"] == ""


def test_a_lease_ends_when_the_invocation_does(resources: Json) -> None:
    """The engine is told the timeout that Lambda enforces: one parameter feeds both."""
    assert resources["JobFunction"]["Properties"]["Timeout"] == {"Ref": "InvocationSeconds"}
    for function in ("JobFunction", "TickFunction"):
        assert environment(resources, function)["INVOCATION_SECONDS"] == {"Ref": "InvocationSeconds"}


def test_both_functions_have_the_environment_that_the_bundle_reads(resources: Json) -> None:
    engine = {
        # Absent on AWS; declared, since `sam local invoke --env-vars` sets only what the template names.
        "AWS_ENDPOINT_URL": {"Fn::If": ["HasEndpointUrl", {"Ref": "EndpointUrl"}, {"Ref": "AWS::NoValue"}]},
        "TABLE_NAME": {"Ref": "Table"},
        "BUCKET_NAME": {"Ref": "Bucket"},
        "JOB_QUEUE_URL": {"Ref": "JobQueue"},
        "JOB_QUEUE_ARN": arn_of("JobQueue"),
        "JOB_DLQ_URL": {"Ref": "JobDeadLetterQueue"},
        "EVENT_BUS_NAME": {"Ref": "EventBus"},
        "SCHEDULE_GROUP_NAME": {"Ref": "ScheduleGroup"},
        "SCHEDULER_ROLE_ARN": arn_of("SchedulerRole"),
        "SCHEDULE_DLQ_ARN": arn_of("ScheduleDeadLetterQueue"),
        "SCHEDULE_DLQ_URL": {"Ref": "ScheduleDeadLetterQueue"},
        "TICK_DLQ_URL": {"Ref": "TickDeadLetterQueue"},
        "WORKFLOWS": {"Ref": "Workflows"},
        "PUBLISH_EVENTS": {"Ref": "PublishEvents"},
        "RECORDS": {"Ref": "Records"},
        "INVOCATION_SECONDS": {"Ref": "InvocationSeconds"},
        "DUE_SHARDS": {"Ref": "DueShards"},
        "RETENTION_DAYS": {"Ref": "RetentionDays"},
        "PAYLOAD_DAYS": {"Ref": "PayloadDays"},
        "ARCHIVE_RUNS": {"Ref": "ArchiveRuns"},
    }
    for function in ("JobFunction", "TickFunction"):
        variables = environment(resources, function)
        assert {name: value for name, value in variables.items() if not name.startswith("POWERTOOLS_")} == engine


def test_the_functions_share_one_build(resources: Json) -> None:
    functions = of_type(resources, "AWS::Lambda::Function").values()

    assert {function["Handler"] for function in functions} == {
        "workflow_engine.entrypoints.job_handler.handler",
        "workflow_engine.entrypoints.maintenance_tick.handler",
    }
    assert {function["Runtime"] for function in functions} == {"python3.13"}
    assert [function["Architectures"] for function in functions] == [[{"Ref": "Architecture"}]] * 2


def test_logs_are_written_where_they_are_deleted_in_time(resources: Json) -> None:
    """A log group that Lambda makes itself keeps everything for ever."""
    groups = of_type(resources, "AWS::Logs::LogGroup")
    functions = of_type(resources, "AWS::Lambda::Function").values()

    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())
    assert [function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions] == list(groups)


def test_the_tick_comes_every_minute_and_its_failures_are_kept(resources: Json) -> None:
    (rule,) = of_type(resources, "AWS::Events::Rule").values()
    (target,) = rule["Targets"]
    (failed,) = of_type(resources, "AWS::Lambda::EventInvokeConfig").values()

    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert target["Arn"] == arn_of("TickFunction")
    assert target["DeadLetterConfig"] == {"Arn": arn_of("TickDeadLetterQueue")}
    assert failed["FunctionName"] == {"Ref": "TickFunction"}
    assert failed["DestinationConfig"] == {"OnFailure": {"Destination": arn_of("TickDeadLetterQueue")}}
    # The next tick is better than a repeated one.
    assert failed["MaximumRetryAttempts"] == 0


def test_a_tick_that_finds_no_room_waits_for_some(resources: Json) -> None:
    """A throttled asynchronous invocation is tried again until it is too old (developer guide, "How Lambda handles errors
    and retries with asynchronous invocation"): long enough for a squeeze to pass, and for several ticks to try."""
    (failed,) = of_type(resources, "AWS::Lambda::EventInvokeConfig").values()

    assert failed["MaximumEventAgeInSeconds"] == 300


def test_room_can_be_reserved_for_the_tick_and_is_not_by_default(template: Json, resources: Json) -> None:
    """A new account has none to reserve, and its first deploy would fail."""
    assert template["Parameters"]["TickReservedConcurrency"]["Default"] == 0
    assert template["Conditions"]["ReservesTick"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "TickReservedConcurrency"}, 0]}]
    }
    assert resources["TickFunction"]["Properties"]["ReservedConcurrentExecutions"] == {
        "Fn::If": ["ReservesTick", {"Ref": "TickReservedConcurrency"}, {"Ref": "AWS::NoValue"}]
    }
