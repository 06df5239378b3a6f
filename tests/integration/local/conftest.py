"""Local mode on templates of the tests' own, and on the project's."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workflow_engine.adapters.system import SystemClock
from workflow_engine.local.embedded_aws import EmbeddedAws
from workflow_engine.local.functions import FunctionLog, FunctionRunner
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
        runner = FunctionRunner(place=aws.template.place, ids=SequentialIds(), clock=SystemClock(), log=FunctionLog())
        runner.load(aws.template.functions()[0])
        yield Recorded(aws, runner, sys.modules["recording_handler"])
    del sys.modules["recording_handler"]


# The command line, in a process that does not outlive a test that was killed.
COMMAND_THAT_ENDS_WITH_US = """
import os, signal, sys, threading

def end_with_input():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_input, daemon=True).start()
from workflow_engine.cli import main
main()
"""


class DevStack:
    """``workflow-engine dev`` in *folder*, until the end of the block."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder, self._options = folder, options

    def __enter__(self) -> "DevStack":
        self._errors = (self._folder / "dev.err").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND_THAT_ENDS_WITH_US, "dev", "--json", *self._options],
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if line == "}\n":
                break
        self.said: dict[str, Any] = json.loads(said)
        return self

    @property
    def errors(self) -> str:
        """What it and its functions said on standard error."""
        return (self._folder / "dev.err").read_text()

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            assert pipe is not None
            pipe.close()
