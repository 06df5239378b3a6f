"""What a workload used, in the units that AWS bills, and what that costs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from workflow_engine.costing.prices import dollars

CHUNK_BYTES = 64 * 1024
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem")
READS = ("GetItem", "BatchGetItem", "Query", "TransactGetItems")


def chunks(size_bytes: int) -> int:
    """How often a message or an event of that size is billed: for each 64 KB begun."""
    return max(-(-size_bytes // CHUNK_BYTES), 1)


@dataclass(slots=True, kw_only=True)
class Usage:
    """Counts. *requests* are calls by ``service.Operation``.

    *write_units* and *read_units* are what the emulator said it consumed, indexes included, where it says
    so and is right, and what AWS's rules give where not. *disagreements* are requests in which it said
    something else than the rules. *seconds* are the time within the function's handler, on this machine
    and against emulators.
    """

    requests: Counter[str] = field(default_factory=Counter)
    write_units: float = 0.0
    read_units: float = 0.0
    compared: int = 0
    disagreements: Counter[str] = field(default_factory=Counter)
    refused_writes: int = 0
    sqs_requests: int = 0
    messages: int = 0
    events: int = 0
    schedules: int = 0
    s3_puts: int = 0
    s3_gets: int = 0
    invocations: int = 0
    seconds: float = 0.0

    @property
    def writes(self) -> int:
        """Write requests to DynamoDB."""
        return sum(self.requests[f"dynamodb.{operation}"] for operation in WRITES)

    @property
    def reads(self) -> int:
        """Read requests to DynamoDB."""
        return sum(self.requests[f"dynamodb.{operation}"] for operation in READS)

    def bill(self) -> Mapping[str, float]:
        """US dollars by service, without the function's GB-seconds."""
        return {
            "DynamoDB": dollars("dynamodb_write", self.write_units) + dollars("dynamodb_read", self.read_units),
            "SQS": dollars("sqs_request", self.sqs_requests),
            "EventBridge": dollars("event", self.events),
            "Scheduler": dollars("schedule", self.schedules),
            "S3": dollars("s3_put", self.s3_puts) + dollars("s3_get", self.s3_gets),
            "Lambda requests": dollars("lambda_request", self.invocations),
        }

    def total(self) -> float:
        """US dollars in all, without the function's GB-seconds."""
        return sum(self.bill().values())

    def traces(self) -> float:
        """US dollars for X-Ray where it is active: at the most a trace an invocation, as it is below one
        invocation a second (developer guide, "Sampling": the first of each second, and 5 % of the rest)."""
        return dollars("trace", self.invocations)

    def compute(self, memory_megabytes: int) -> float:
        """US dollars for the measured seconds at that memory."""
        return dollars("lambda_gb_second", self.seconds * memory_megabytes / 1024)
