"""The way to DynamoDB: one client, its timeouts and retries, and every error's translation.

Requests of the cold paths are built by pynamodb's ``Connection``, which sends them through
``dispatch``; the head's are built beside it, since pynamodb cannot ask for the item that refused
one, and go through the same ``dispatch``.
"""

from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any
from zlib import crc32

from botocore import xform_name
from botocore.exceptions import ClientError
from pynamodb.connection.base import Connection, MetaTable
from typing_extensions import override

from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.aws.dynamodb.wire import Item
from workflow_engine.adapters.aws.errors import translating
from workflow_engine.errors import TransientError
from workflow_engine.ports.clock import IdSource

SERVICE = "dynamodb"
CONNECT_SECONDS = 2
READ_SECONDS = 3
# botocore's standard mode: exponential with jitter, under a quota that stops a storm of retries.
ATTEMPTS = 4
# What botocore does not retry and may work in a moment: a transaction in the way, keys left over.
OWN_TRIES = 6
MAX_CONNECTIONS = 16
FIRST_WAIT_SECONDS = 0.025
LONGEST_WAIT_SECONDS = 1.0

# Not among those that botocore sends again: another transaction holds the item for a moment.
CONTENDED = ("TransactionConflict", "TransactionConflictException", "TransactionInProgressException")
# What a transaction names as its reason where its item's partition is too busy.
THROTTLED = ("ProvisionedThroughputExceeded", "ThrottlingError")
# The item that an update would leave is above 400 KB; only DynamoDB knows, since it has the item.
TOO_LARGE = "Item size"


class ConditionFailedError(Exception):
    """A condition did not hold. Never leaves the adapter.

    *failed* says for each action whether it was at fault, *items* what it found (``None``: nothing).
    """

    def __init__(self, *, failed: Sequence[bool], items: Sequence[Item | None]) -> None:
        super().__init__("a condition did not hold")
        self.failed, self.items = tuple(failed), tuple(items)


class ItemTooLargeError(Exception):
    """An update would have left an item above 400 KB. Never leaves the adapter."""


class DynamoConnection(Connection):
    """pynamodb's connection to one table, with errors of our own.

    Without a *client*, region, endpoint and credentials come from where the SDK looks for them.
    """

    def __init__(
        self,
        *,
        table_name: str,
        ids: IdSource,
        client: Any = None,
    ) -> None:
        super().__init__(
            connect_timeout_seconds=CONNECT_SECONDS,
            read_timeout_seconds=READ_SECONDS,
            retry_configuration={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            max_pool_connections=MAX_CONNECTIONS,
        )
        self.add_meta_table(MetaTable(create_table_request(table_name)))
        self.table_name = table_name
        self._ids = ids
        self._given = client

    @property
    @override
    def client(self) -> Any:
        """The client that was given, or one that is made with the first request."""
        return super().client if self._given is None else self._given

    @override
    def dispatch(self, operation_name: str, operation_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Send a request; one that a transaction stood in the way of is sent again.

        Raises:
            ConditionFailedError: a condition did not hold.
            ItemTooLargeError: the update would have left an item above 400 KB.
            TransientError: DynamoDB did not answer; the effect may have happened.
            AwsRequestError: it refuses such requests.
        """
        with translating(SERVICE, operation_name, also_transient=CONTENDED):
            return self._sent(operation_name, operation_kwargs)

    def _sent(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        tries = 0
        while True:
            try:
                answer: dict[str, Any] = getattr(self.client, xform_name(operation))(**request)
            except ClientError as error:
                tries += 1
                if tries == OWN_TRIES or not _is_contended(error):
                    raise _own_error(operation, error) or error from error
                self.wait(tries)
            else:
                return answer

    def wait(self, tries: int) -> None:
        """Let others pass: longer with each of *tries*, and never two alike."""
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**tries)
        fraction = crc32(self._ids.new_id().encode()) / 2**32
        Event().wait(longest * fraction)


def _reasons(error: ClientError) -> Sequence[Mapping[str, Any]]:
    """Why a transaction was cancelled, action by action; nothing for other requests."""
    return error.response.get("CancellationReasons", ())


def _contention(error: ClientError) -> str | None:
    """The code that says that the same request may work in a moment."""
    # Throttling as such was sent again by botocore; within a transaction it does not look.
    codes = [error.response["Error"]["Code"], *(reason["Code"] for reason in _reasons(error))]
    return next((code for code in codes if code in (*CONTENDED, *THROTTLED)), None)


def _is_contended(error: ClientError) -> bool:
    return _contention(error) is not None


def _own_error(operation: str, error: ClientError) -> Exception | None:
    """What *error* means beyond what it means for any service; ``None``: nothing."""
    code, detail = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    reasons = _reasons(error)
    if code == "ConditionalCheckFailedException":
        response: Any = error.response
        return ConditionFailedError(failed=[True], items=[response.get("Item")])
    contention = _contention(error)
    if contention:
        throttled = contention in THROTTLED
        return TransientError(service=SERVICE, operation=operation, code=contention, throttled=throttled)
    failed = [reason["Code"] == "ConditionalCheckFailed" for reason in reasons]
    if any(failed):
        return ConditionFailedError(failed=failed, items=[reason.get("Item") for reason in reasons])
    details = [detail, *(reason.get("Message", "") for reason in reasons)]
    return ItemTooLargeError(detail) if any(TOO_LARGE in each for each in details) else None
