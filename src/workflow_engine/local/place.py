"""Where a stack is: what the pseudo parameters of its template stand for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a stack is: what the pseudo parameters stand for. *endpoint* is the URL of the services."""

    endpoint: str
    stack_name: str = "workflow-engine-local"
    region: str = "us-east-1"
    account_id: str = "123456789012"
    partition: str = "aws"
