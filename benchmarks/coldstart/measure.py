"""``make coldstart``: what the first message costs a new process, beside the least that it could.

Each variant is a process of its own, in turns, so that all see the same machine. CPU is the child's own; the
emulators run elsewhere. The modules that are loaded are pinned by ``tests/bundle/test_imports.py``.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PAIRS = (("job", "floor-job"), ("tick", "floor-tick"))
VARIANTS = ("bare", *(variant for pair in PAIRS for variant in pair))
REGION = "us-east-1"
TARGET = 1.3


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    from workflow_engine.local.server import MotoServer

    with MotoServer() as server:
        environment = _environment(server.url)
        os.environ.update(environment)
        _create(environment)
        for variant in VARIANTS:
            _child(variant, environment)
        found: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
        for _ in range(arguments.rounds):
            for variant in VARIANTS:
                found[variant].append(_child(variant, environment))
    _show(found, arguments.rounds)
    return 0


def _environment(url: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "POWERTOOLS_SERVICE_NAME": "cold",
        "POWERTOOLS_METRICS_NAMESPACE": "cold",
        "TABLE_NAME": "cold",
        "BUCKET_NAME": "cold",
        "JOB_QUEUE_URL": f"{url}/123456789012/cold",
        "EVENT_BUS_NAME": "cold",
        "SCHEDULE_GROUP_NAME": "cold",
        "SCHEDULER_ROLE_ARN": "arn:aws:iam::123456789012:role/cold",
        "WORKFLOWS": "cold_workflows:registry",
        "PYTHONPATH": str(HERE),
    }


def _client(service: str) -> Any:
    from botocore.session import Session

    return Session().create_client(service)


def _create(environment: Mapping[str, str]) -> None:
    from workflow_engine.adapters.aws.dynamodb.table import create_table_request

    _client("dynamodb").create_table(**create_table_request(environment["TABLE_NAME"]))
    _client("events").create_event_bus(Name=environment["EVENT_BUS_NAME"])
    _client("sqs").create_queue(QueueName="cold")


def _job_event() -> Mapping[str, Any]:
    """A run that was just created, and the record that Lambda would bring of its message."""
    from workflow_engine.model.commands import CreateRun
    from workflow_engine.wiring.aws import build_kernel, client
    from workflow_engine.wiring.settings import Settings

    sys.path.insert(0, str(HERE))
    kernel = build_kernel(Settings.from_environment())
    kernel.dispatch(CreateRun(workflow_id="cold", input={"number": 1}))
    sqs = client("sqs")
    queue = os.environ["JOB_QUEUE_URL"]
    [message] = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1767225600000"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:cold",
        "awsRegion": REGION,
    }
    return {"Records": [record]}


def _child(variant: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """CPU and wall seconds of one process."""
    event = _job_event() if variant == "job" else {}
    program = [str(HERE / "first_message.py"), variant, json.dumps(event)]
    command = [sys.executable, *(["-c", "pass"] if variant == "bare" else program)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begun
    if result.returncode != 0:
        raise SystemExit(f"{variant}: {result.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def _show(found: Mapping[str, Sequence[tuple[float, float]]], rounds: int) -> None:
    print(f"Cold start, median of {rounds} rounds, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print(f"{'':12}{'CPU ms':>10}{'wall ms':>10}{'CPU / floor':>14}{'wall / floor':>14}")
    floors = dict(PAIRS)
    for variant, figures in found.items():
        cpu, wall = (median(column) for column in zip(*figures, strict=True))
        line = f"{variant:12}{cpu * 1000:10.0f}{wall * 1000:10.0f}"
        if variant in floors:
            ratios = [_ratio(figures, found[floors[variant]], column) for column in (0, 1)]
            line += "".join(f"{ratio:14.2f}" for ratio in ratios)
        print(line)
    print(f"Target: at most {TARGET} times the floor (boto3 with the same clients and requests, and pydantic).")


def _ratio(ours: Sequence[tuple[float, float]], floor: Sequence[tuple[float, float]], column: int) -> float:
    return median(mine[column] / theirs[column] for mine, theirs in zip(ours, floor, strict=True))


if __name__ == "__main__":
    sys.exit(main())
