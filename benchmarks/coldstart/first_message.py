"""One cold start: from a bare interpreter to a handled first message. Run by ``measure.py``.

usage: ``first_message.py job|tick|floor-job|floor-tick EVENT``. Endpoints and settings come from the environment.
The floor is what no engine on these services can do without: boto3 with the same clients, pydantic with three
models, and the same requests.
"""

import json
import os
import sys
from typing import Any
from uuid import uuid4

UPDATES, SHARDS = 3, 8


class _Context:
    aws_request_id = "00000000-0000-0000-0000-000000000000"
    function_name = "cold"
    function_version = "1"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:cold"
    log_group_name = "/aws/lambda/cold"
    log_stream_name = "cold"

    def get_remaining_time_in_millis(self) -> int:
        """As the Lambda context has it."""
        return 300_000


def job(event: object) -> None:
    """The job handler's first message."""
    from workflow_engine.entrypoints.job_handler import handler

    answer = handler(event, _Context())
    assert answer == {"batchItemFailures": []}, answer


def tick(event: object) -> None:
    """The maintenance tick's first look."""
    from workflow_engine.entrypoints.maintenance_tick import handler

    answer = handler(event, _Context())
    assert answer["failed"] == 0, answer


def floor(kind: str) -> None:
    """The same clients and requests by boto3 itself."""
    import boto3
    from pydantic import BaseModel

    class First(BaseModel):
        number: int

    class Second(BaseModel):
        first: First

    class Third(BaseModel):
        second: Second
        texts: list[str]

    Third.model_validate_json('{"second": {"first": {"number": 1}}, "texts": ["a"]}')
    dynamodb = boto3.client("dynamodb")
    if kind == "tick":
        look(dynamodb)
        return
    write(dynamodb)
    entry: Any = {"Source": "cold", "DetailType": "cold", "Detail": "{}", "EventBusName": os.environ["EVENT_BUS_NAME"]}
    boto3.client("events").put_events(Entries=[entry])


def look(dynamodb: Any) -> None:
    """The tick's queries."""
    for shard in range(SHARDS):
        dynamodb.query(
            TableName=os.environ["TABLE_NAME"],
            IndexName="due",
            KeyConditionExpression="ds = :ds AND da <= :da",
            ExpressionAttributeValues={":ds": {"S": str(shard)}, ":da": {"N": "1"}},
            Limit=100,
        )


def write(dynamodb: Any) -> None:
    """The writes of a run of one stage: claim, record, outcome, removal of the last event."""
    key = {"pk": {"S": f"F#{uuid4()}"}, "sk": {"S": "RUN"}}
    for _ in range(UPDATES):
        dynamodb.update_item(
            TableName=os.environ["TABLE_NAME"],
            Key=key,
            UpdateExpression="SET a = :a, b = :b, c = :c REMOVE d",
            ConditionExpression="attribute_not_exists(x) AND attribute_not_exists(y)",
            ExpressionAttributeValues={":a": {"S": "a"}, ":b": {"N": "1"}, ":c": {"L": []}},
            ReturnValues="ALL_NEW",
        )
    dynamodb.put_item(
        TableName=os.environ["TABLE_NAME"],
        Item={**key, "sk": {"S": "STAGE"}},
        ConditionExpression="attribute_not_exists(pk)",
    )


def main() -> None:
    """Handle the event of the command line."""
    kind, event = sys.argv[1], json.loads(sys.argv[2])
    if kind.startswith("floor-"):
        floor(kind.removeprefix("floor-"))
    else:
        {"job": job, "tick": tick}[kind](event)


main()
