"""The alarms and the dashboard of template.yaml: what they watch exists, and who is told can be chosen."""

import ast
import json
import re
from pathlib import Path

from tests.bundle.stack import Json, of_type

SOURCE = Path(__file__).parents[2] / "src" / "workflow_engine"
NAMESPACE = "WorkflowEngine"
METRIC = re.compile(r"^([A-Z][a-z]+)+$")


def written_metrics() -> set[str]:
    """The metric names that stand in the code: as literals, or put together from a stage's outcome."""
    found = {f"Stages{outcome}" for outcome in ("Completed", "Failed", "Suspended")}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and METRIC.match(node.value):
                found.add(node.value)
    return found


def dashboard_of(resources: Json) -> str:
    """The dashboard's body, with the names of resources still to be filled in."""
    (dashboard,) = of_type(resources, "AWS::CloudWatch::Dashboard").values()
    body = dashboard["DashboardBody"]
    text: str = body["Fn::Sub"] if isinstance(body, dict) else body
    return text


def test_every_alarm_watches_a_metric_that_is_written(resources: Json) -> None:
    """An alarm on a name that nobody writes stays green for ever."""
    alarms = of_type(resources, "AWS::CloudWatch::Alarm").values()
    watched = {a["MetricName"] for a in alarms if a["Namespace"] == NAMESPACE}

    assert watched
    assert watched <= written_metrics()


def test_no_alarm_rings_for_another_stack_of_the_account(resources: Json) -> None:
    """Custom metrics have no place but their name and dimensions: dev's failures would ring prod's alarm."""
    alarms = of_type(resources, "AWS::CloudWatch::Alarm").values()
    own = [alarm["Dimensions"] for alarm in alarms if alarm["Namespace"] == NAMESPACE]

    assert own == [[{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]] * len(own)
    assert '"workflow-engine"' not in dashboard_of(resources)


def test_the_dashboard_shows_only_metrics_that_are_written(resources: Json) -> None:
    widgets = json.loads(dashboard_of(resources))["widgets"]
    shown = {m[1] for w in widgets for m in w["properties"]["metrics"] if m[0] == NAMESPACE}

    assert shown
    assert shown <= written_metrics()


def test_throttled_writes_are_seen_on_the_table_and_on_each_index(resources: Json) -> None:
    """`TableName` alone counts the table without its indexes (DynamoDB developer guide, "Metrics and dimensions",
    WriteThrottleEvents), and what is sharded, and may be too hot, are the indexes."""
    table = [{"Name": "TableName", "Value": {"Ref": "Table"}}]
    indexes = [index["IndexName"] for index in resources["Table"]["Properties"]["GlobalSecondaryIndexes"]]
    wanted = [table, *([*table, {"Name": "GlobalSecondaryIndexName", "Value": index}] for index in indexes)]
    alarms = [a for a in of_type(resources, "AWS::CloudWatch::Alarm").values() if a["Namespace"] == "AWS/DynamoDB"]

    assert sorted(map(str, (alarm["Dimensions"] for alarm in alarms))) == sorted(map(str, wanted))
    assert {alarm["MetricName"] for alarm in alarms} == {"WriteThrottleEvents"}
    # A burst is throttled for a minute or two, until DynamoDB has split what is hot.
    assert {(alarm["Period"], alarm["EvaluationPeriods"]) for alarm in alarms} == {(300, 1)}


def test_the_dashboard_shows_the_same_throttling(resources: Json) -> None:
    shown = [m for w in json.loads(dashboard_of(resources))["widgets"] for m in w["properties"]["metrics"]]
    places = {tuple(m[2:-1]) for m in shown if m[1] == "WriteThrottleEvents"}
    indexes = [index["IndexName"] for index in resources["Table"]["Properties"]["GlobalSecondaryIndexes"]]

    table = ("TableName", "${Table}")
    assert places == {table, *((*table, "GlobalSecondaryIndexName", index) for index in indexes)}


def test_an_event_that_nobody_takes_is_heard_of_though_its_run_is_looked_at_seldom(
    resources: Json, parameters: Json
) -> None:
    """A tick moves a run that it looked at a function's timeout and a minute ahead: for so long nothing is said of its
    events, and an alarm with shorter periods finds none in most of them."""
    alarm = resources["UntoldEventAlarm"]["Properties"]

    assert alarm["Period"] >= max(parameters["InvocationSeconds"]["AllowedValues"]) + 60
    assert alarm["EvaluationPeriods"] == 1


def test_a_dashboard_is_there_only_where_it_is_asked_for(template: Json, resources: Json) -> None:
    """It would be the largest part of an idle stack's bill."""
    (name,) = of_type(resources, "AWS::CloudWatch::Dashboard")

    assert resources[name]["Condition"] == "HasDashboard"
    assert template["Parameters"]["Dashboard"]["Default"] == "false"
    assert template["Outputs"]["DashboardName"] == {"Condition": "HasDashboard", "Value": {"Ref": name}}


def test_every_dead_letter_queue_has_an_alarm(resources: Json) -> None:
    queues = {name for name in of_type(resources, "AWS::SQS::Queue") if "DeadLetter" in name}
    watched = {
        name
        for name in queues
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        if name in json.dumps(alarm["Dimensions"])
    }

    assert watched == queues


def test_alarms_tell_the_topic_only_where_there_is_one(resources: Json) -> None:
    alarms = of_type(resources, "AWS::CloudWatch::Alarm")
    action = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}

    assert {json.dumps(a["AlarmActions"]) for a in alarms.values()} == {json.dumps(action)}


def test_a_tick_that_does_not_run_is_told_of_and_one_that_has_not_run_yet_is_not(resources: Json) -> None:
    """Missing data is the failure there: no invocation writes no metric. Taken for a breach, it would ring on each first
    deploy, before the first tick; so the alarm tells when it goes back to INSUFFICIENT_DATA, in which it also begins, and
    from which no action is taken ("Using Amazon CloudWatch alarms": actions are invoked when the state changes)."""
    alarm = resources["TickMissingAlarm"]["Properties"]

    assert (alarm["TreatMissingData"], alarm["ComparisonOperator"]) == ("missing", "LessThanThreshold")
    assert alarm["InsufficientDataActions"] == alarm["AlarmActions"]
    # Some minutes of ticks, so that one that is late rings no alarm.
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 300


def test_the_other_alarms_take_a_metric_that_is_not_there_for_a_good_one(resources: Json) -> None:
    alarms = of_type(resources, "AWS::CloudWatch::Alarm")

    assert {name for name, alarm in alarms.items() if alarm["TreatMissingData"] != "notBreaching"} == {
        "TickMissingAlarm"
    }
    assert [name for name, alarm in alarms.items() if "InsufficientDataActions" in alarm] == ["TickMissingAlarm"]
