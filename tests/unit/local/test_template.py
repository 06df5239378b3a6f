"""What local mode reads out of the project's own template, and out of others."""

from pathlib import Path

import pytest

from workflow_engine.local.errors import TemplateError
from workflow_engine.local.place import Place
from workflow_engine.local.resources import CREATED, NOT_NEEDED
from workflow_engine.local.template import FUNCTION, Template
from workflow_engine.wiring.settings import Settings

ROOT = Path(__file__).parents[3]
PLACE = Place(endpoint="http://127.0.0.1:1234")
SMALL = """
Parameters:
  Size: {Type: Number, Default: 7}
  Needed: {Type: String}
Globals:
  Function:
    CodeUri: code/
    Environment: {Variables: {SHARED: "yes", SIZE: !Ref Size, FLAG: true}}
Resources:
  Last:
    Type: AWS::SQS::Queue
    Properties:
      RedrivePolicy: {deadLetterTargetArn: !GetAtt First.Arn, maxReceiveCount: 2}
  First:
    Type: AWS::SQS::Queue
    Properties: {QueueName: !Sub "${AWS::StackName}-dead"}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Handler: module.handler
      Timeout: 5
      Environment: {Variables: {OWN: !Ref Last}}
      Events:
        Jobs: {Type: SQS, Properties: {Queue: !GetAtt Last.Arn, BatchSize: !Ref Size}}
"""


def template(tmp_path: Path, text: str = SMALL, **overrides: str) -> Template:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    return Template.read(path, PLACE, overrides)


def own_template() -> Template:
    return Template.read(ROOT / "template.yaml", PLACE)


def test_every_resource_of_the_own_template_is_made_or_known_not_to_be_needed() -> None:
    """A new type must be decided on: without this, local mode would go on without it."""
    types = {resource["Type"] for resource in own_template().document["Resources"].values()}

    assert types <= CREATED | NOT_NEEDED | {FUNCTION}


def test_the_functions_environment_comes_from_the_template() -> None:
    settings = Settings.from_environment(own_template().variables())

    assert settings.table_name == "workflow-engine-local-Table"
    assert settings.job_queue_url == "http://127.0.0.1:1234/123456789012/workflow-engine-local-JobQueue"
    assert settings.job_queue_arn == "arn:aws:sqs:us-east-1:123456789012:workflow-engine-local-JobQueue"
    assert settings.schedule_dead_letter_arn == own_template().identities["ScheduleDeadLetterQueue"].arn
    assert settings.scheduler_role_arn == "arn:aws:iam::123456789012:role/workflow-engine-local-SchedulerRole"
    assert settings.publish_events is not None
    assert settings.workflows == "workflows:registry"


def test_the_functions_have_the_triggers_of_the_template() -> None:
    triggers = {function.logical_id: function.triggers for function in own_template().functions()}

    (jobs,), (tick,) = triggers["JobFunction"], triggers["TickFunction"]
    assert jobs.type == "SQS"
    assert jobs.properties["Queue"] == own_template().identities["JobQueue"].arn
    assert tick.properties["Schedule"] == "rate(1 minute)"


@pytest.mark.parametrize(("given", "found"), [("", [""]), ("a", ["a"]), ("a, b,c", ["a", "b", "c"])])
def test_a_list_of_a_parameter_is_one(tmp_path: Path, given: str, found: list[str]) -> None:
    text = "Parameters:\n  Names: {Type: CommaDelimitedList}\nResources:\n  A: {Type: AWS::SQS::Queue}\n"

    assert template(tmp_path, text, Names=given).resolver.resolve({"Ref": "Names"}) == found


def test_what_the_lists_of_the_own_template_add_is_there_where_they_have_something() -> None:
    policies = "arn:aws:iam::aws:policy/A,arn:aws:iam::aws:policy/B"
    widened = Template.read(ROOT / "template.yaml", PLACE, {"JobManagedPolicyArns": policies})

    def managed(template: Template) -> dict[str, object]:
        roles = template.resources({"AWS::IAM::Role"})
        return {one.logical_id: one.properties.get("ManagedPolicyArns") for one in roles}

    assert managed(widened)["JobRole"] == policies.split(",")
    assert set(managed(own_template()).values()) == {None}


def test_a_parameter_can_be_overridden() -> None:
    changed = Template.read(ROOT / "template.yaml", PLACE, {"DueShards": "2"})

    assert Settings.from_environment(changed.variables()).due_shards == 2


def test_a_parameter_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(TemplateError, match=r"DueShard\b.*DueShards"):
        Template.read(ROOT / "template.yaml", PLACE, {"DueShard": "2"})


def test_a_resource_comes_after_those_that_it_refers_to(tmp_path: Path) -> None:
    first, last = template(tmp_path).resources({"AWS::SQS::Queue"})

    assert (first.logical_id, last.logical_id) == ("First", "Last")
    assert last.properties["RedrivePolicy"]["deadLetterTargetArn"].endswith(":workflow-engine-local-dead")


def test_resources_that_refer_to_each_other_are_refused(tmp_path: Path) -> None:
    text = """
Resources:
  A: {Type: AWS::SQS::Queue, Properties: {X: !Ref B}}
  B: {Type: AWS::SQS::Queue, Properties: {X: !Ref A}}
"""
    with pytest.raises(TemplateError, match="each other"):
        template(tmp_path, text).resources({"AWS::SQS::Queue"})


def test_what_globals_say_holds_for_every_function(tmp_path: Path) -> None:
    (function,) = template(tmp_path).functions()

    assert function.environment == {
        "SHARED": "yes",
        "SIZE": "7",
        "FLAG": "true",
        "OWN": "http://127.0.0.1:1234/123456789012/workflow-engine-local-Last",
    }
    assert function.timeout_seconds == 5
    assert function.memory_megabytes == 128
    assert function.triggers[0].properties["BatchSize"] == 7
    assert template(tmp_path).code_folder() == (tmp_path / "code").resolve()


def test_functions_that_want_a_variable_to_differ_are_refused(tmp_path: Path) -> None:
    other = "\n  Other:\n    Type: AWS::Serverless::Function\n    Properties: {Environment: {Variables: {OWN: x}}}\n"

    with pytest.raises(TemplateError, match="OWN"):
        template(tmp_path, SMALL + other).variables()


def test_a_parameter_without_a_value_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    text = SMALL.replace("OWN: !Ref Last", "OWN: !Ref Needed")

    assert template(tmp_path, text, Needed="given").variables()["OWN"] == "given"
    with pytest.raises(TemplateError, match="Needed"):
        template(tmp_path, text).variables()


def test_a_resource_whose_condition_does_not_hold_is_not_made(tmp_path: Path) -> None:
    text = """
Conditions: {Never: !Equals [a, b]}
Resources:
  A: {Type: AWS::SQS::Queue, Condition: Never}
  B: {Type: AWS::SQS::Queue}
"""
    assert [found.logical_id for found in template(tmp_path, text).resources({"AWS::SQS::Queue"})] == ["B"]


@pytest.mark.parametrize("text", ["", "[]", "a: 1", "Resources: 3", "\x00"])
def test_what_is_no_template_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TemplateError):
        template(tmp_path, text)


def test_a_template_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"no-such\.yaml"):
        Template.read(tmp_path / "no-such.yaml", PLACE)
