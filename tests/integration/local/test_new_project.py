"""A project as ``workflow-engine init`` writes it runs here at once, with resources of its user's as well."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workflow_engine.scaffold import new_project

PARTS = {
    "parameters": """
  Salutation:
    Type: String
    Default: Hej
""",
    "environment": """
        GREETING: !Ref Salutation
        ORDERS: !Ref Orders
        ORDERS_IN_ORDER: !Ref OrdersInOrder
        TOLD: !Ref Told
""",
    "resources": """
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions:
        - { AttributeName: id, AttributeType: S }
      KeySchema:
        - { AttributeName: id, KeyType: HASH }
  OrdersInOrder:
    Type: AWS::SQS::Queue
    Properties:
      FifoQueue: true
  Told:
    Type: AWS::SNS::Topic
  Limit:
    Type: AWS::SSM::Parameter
    Properties:
      Type: String
      Value: "7"
  JobMayPutOrders:
    Type: AWS::IAM::RolePolicy
    Properties:
      RoleName: !Ref JobRole
      PolicyName: put-orders
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: dynamodb:PutItem
            Resource: !GetAtt Orders.Arn
  NightlyFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: orders.nightly.handler
      Role: !GetAtt JobRole.Arn
      Events:
        Nightly:
          Type: Schedule
          Properties:
            Schedule: rate(1 day)
""",
    "outputs": """
  OrdersName:
    Value: !Ref Orders
""",
}
STAGE = """
import boto3, os

def keep(name):
    boto3.client("dynamodb").put_item(TableName=os.environ["ORDERS"], Item={"id": {"S": name}})
    queue = boto3.client("sqs").get_queue_url(QueueName=os.environ["ORDERS_IN_ORDER"].rpartition("/")[2])["QueueUrl"]
    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody=name, MessageGroupId="g", MessageDeduplicationId=name)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "orders"
    new_project.begin(folder, package="orders", version="0.1.0")
    return folder


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def output(folder: Path) -> Any:
    result = command(folder, "workflow_engine.cli", "run", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    (document,) = json.loads(result.stdout)["runs"]
    return document["output"]


def add_parts(folder: Path) -> None:
    text = (folder / "template.yaml").read_text()
    for name, part in PARTS.items():
        indent = " " * (8 if name == "environment" else 2)
        text = text.replace(f"{indent}# <<< yours: {name}\n", f"{part.lstrip(chr(10))}{indent}# <<< yours: {name}\n")
    (folder / "template.yaml").write_text(text)
    (folder / "src" / "orders" / "nightly.py").write_text("def handler(event, context):\n    return None\n")
    (folder / "src" / "orders" / "kept.py").write_text(STAGE)
    greeting = folder / "src" / "orders" / "greeting.py"
    said = greeting.read_text().replace(
        "    return Greeting", "    from orders.kept import keep\n    keep(person.name)\n    return Greeting"
    )
    greeting.write_text(said)


def test_it_runs_without_a_word_and_its_tests_pass(project: Path) -> None:
    assert output(project)["text"] == "Hello, world!"
    tested = command(project, "pytest", "-q", "-p", "no:cacheprovider")

    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout
    assert command(project, "workflow_engine.cli", "check").returncode == 0


def test_what_its_user_adds_is_there(project: Path) -> None:
    add_parts(project)

    assert output(project)["text"] == "Hej, world!"
    assert command(project, "workflow_engine.cli", "check").returncode == 0


def test_an_upgrade_leaves_it_as_it_is(project: Path) -> None:
    add_parts(project)
    before = (project / "template.yaml").read_text()
    (project / "template.yaml").write_text(before.replace("workflow-engine 0.1.0 ", "workflow-engine 0.0.9 "))

    result = command(project, "workflow_engine.cli", "upgrade", "--json")

    assert result.returncode == 0, result.stdout
    assert (project / "template.yaml").read_text() == before
    assert json.loads(command(project, "workflow_engine.cli", "upgrade", "--json").stdout)["files"] == []
    assert output(project)["text"] == "Hej, world!"


def test_cloudformation_takes_it_with_what_its_user_adds(project: Path) -> None:
    add_parts(project)
    lint = [str(Path(sys.executable).parent / "cfn-lint"), str(project / "template.yaml")]
    result = subprocess.run(lint, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout
