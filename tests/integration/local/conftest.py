"""Local mode on templates of the tests' own, and on the project's."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workflow_engine.adapters.system import SystemClock
from workflow_engine.cli.embedded.embedded_aws import EmbeddedAws
from workflow_engine.cli.embedded.functions import FunctionLog, FunctionRunner
from workflow_engine.testing.clock import SequentialIds
from workflow_engine.wiring.aws import client

ROOT = Path(__file__).parents[3]
# A queue with a function behind it that keeps its events and answers what the test tells it to.
TEMPLATE = """
Globals: {Function: {CodeUri: code/, Environment: {Variables: {SCHEDULE_GROUP_NAME: !Ref Group}}}}
Resources:
  Group: {Type: AWS::Scheduler::ScheduleGroup, Properties: {Name: timers}}
  Dead: {Type: AWS::SQS::Queue}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 0
      ReceiveMessageWaitTimeSeconds: 20
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}
  Other: {Type: AWS::SQS::Queue}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Handler: recording_handler.handler
      Timeout: 7
      MemorySize: 512
      Events:
        Jobs:
          Type: SQS
          Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 3, FunctionResponseTypes: [ReportBatchItemFailures]}
        EveryMinute: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}
"""
HANDLER = """
events, contexts, answers = [], [], []

def handler(event, context):
    events.append(event)
    contexts.append(context)
    print("handled", len(events))
    answer = answers.pop(0) if answers else None
    if isinstance(answer, Exception):
        raise answer
    return answer
"""


@dataclass(frozen=True)
class Recorded:
    """A stack whose function records. *handler* is its module."""

    aws: EmbeddedAws
    runner: FunctionRunner
    handler: Any

    def queue_url(self, name: str) -> str:
        """The URL of a queue of the template."""
        return self.aws.template.identities[name].ref

    def bodies(self, name: str) -> list[str]:
        """What lies in a queue and is visible."""
        answer = client("sqs").receive_message(
            QueueUrl=self.queue_url(name), MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0
        )
        return sorted(message["Body"] for message in answer.get("Messages", []))


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "recording_handler.py").write_text(HANDLER)
    with EmbeddedAws(tmp_path / "template.yaml") as aws:
        runner = FunctionRunner(aws.template.place, SequentialIds(), SystemClock(), FunctionLog())
        runner.load(aws.template.functions()[0])
        yield Recorded(aws, runner, sys.modules["recording_handler"])
    del sys.modules["recording_handler"]
