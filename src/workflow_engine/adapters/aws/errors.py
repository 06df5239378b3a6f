"""What botocore raises, in the engine's words. Every adapter of this package sends within ``translating``."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from workflow_engine.errors import AwsRequestError, TransientError

MAX_DETAIL = 500
UNREADABLE = "UnreadableAnswer"

# "Retry behavior" of the AWS SDKs and tools reference guide names the throttling codes of all services;
# OverLimit is SQS's for too many messages in flight.
THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "OverLimit",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# Failures of the service that some services answer with a 4xx, or inside an answer of 200; two writers at
# once; and credentials or clocks that are right again by the next try.
TRANSIENT_CODES = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InternalError",
        "InternalException",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "OperationAborted",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "TransactionInProgressException",
    }
)
# What botocore raises where there was no answer, or only a part of one.
NO_ANSWER = (
    exceptions.ChecksumError,
    exceptions.ConnectionError,
    exceptions.CredentialRetrievalError,
    exceptions.FlexibleChecksumError,
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
    ResponseParserError,
)


@contextmanager
def translating(service: str, operation: str, *, also_transient: Sequence[str] = ()) -> Iterator[None]:
    """Raise what botocore raises inside as an error of ours.

    Raises:
        TransientError: no answer, throttled, the service failed, or a code of *also_transient*.
        AwsRequestError: the request was refused, or could not be made, and would be again.
    """
    try:
        yield
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        if code_of(error) in also_transient:
            raise TransientError(service=service, operation=operation, code=code_of(error)) from error
        raise translated(error, service=service, operation=operation) from error


def check_answer(answer: Mapping[str, Any], member: str, *, service: str, operation: str) -> None:
    """Refuse an answer of 200 that is none, as a proxy may give: botocore takes what is no JSON for empty.

    Raises:
        TransientError: *member*, which the service always answers, is not there.
    """
    if member not in answer:
        raise TransientError(service=service, operation=operation, code=UNREADABLE)


def translated(error: Exception, *, service: str, operation: str) -> TransientError | AwsRequestError:
    """The error of ours that says what *error* says."""
    code = code_of(error)
    if is_transient(error):
        return TransientError(service=service, operation=operation, code=code, throttled=is_throttling(code))
    detail = str(error)[:MAX_DETAIL]
    return AwsRequestError(service=service, operation=operation, code=code, detail=detail)


def code_of(error: Exception) -> str:
    """The service's own code; where it did not answer, the name of what botocore raised."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or type(error).__name__)
    return type(error).__name__


def is_transient(error: Exception) -> bool:
    """Whether the same request may work later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or is_transient_code(code_of(error))
    return isinstance(error, NO_ANSWER)


def is_transient_code(code: str) -> bool:
    """Whether a code, also one inside the answer to a batch, says that the same may work later."""
    return code in TRANSIENT_CODES or is_throttling(code)


def is_throttling(code: str) -> bool:
    """Whether the service asks to slow down. KMS's, as SQS passes it on, is ``KMS.ThrottlingException``."""
    return code in THROTTLING_CODES or code.endswith(("ThrottlingException", "KmsThrottled"))
