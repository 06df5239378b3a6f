"""When a failed stage is tried again."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_engine import (
    InvalidInputError,
    PayloadTooLargeError,
    PermanentError,
    RetryPolicy,
    StageTimeoutError,
    TransientError,
)

SECOND = timedelta(seconds=1)


class FlakyError(Exception): ...


class HopelessError(FlakyError): ...


def test_any_exception_is_retried_by_default() -> None:
    assert RetryPolicy().retries(FlakyError())


@pytest.mark.parametrize(
    "error",
    [
        PermanentError("no"),
        InvalidInputError(what="input", problems=["wrong"]),
        PayloadTooLargeError(what="output", size_bytes=2, limit_bytes=1),
    ],
)
def test_an_engine_error_that_is_not_retryable_never_is_whatever_the_policy_says(error: Exception) -> None:
    assert not RetryPolicy(retry_on=(Exception, type(error))).retries(error)


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(1), KeyboardInterrupt()])
def test_asking_the_process_to_end_is_not_retried_even_where_it_is_named(error: BaseException) -> None:
    assert not RetryPolicy(retry_on=(BaseException,)).retries(error)


def test_only_what_retry_on_names_is_retried() -> None:
    policy = RetryPolicy(retry_on=FlakyError)
    assert policy.retries(HopelessError())
    assert not policy.retries(ValueError())


def test_give_up_on_wins_over_retry_on() -> None:
    policy = RetryPolicy(retry_on=(FlakyError,), give_up_on=(HopelessError,))
    assert policy.retries(FlakyError())
    assert not policy.retries(HopelessError())


def test_trouble_of_aws_is_retried_without_being_named_but_not_against_give_up_on() -> None:
    error = TransientError(service="s3", operation="PutObject", code="SlowDown")
    assert RetryPolicy(retry_on=(FlakyError,)).retries(error)
    assert not RetryPolicy(give_up_on=(TransientError,)).retries(error)


def test_a_timeout_follows_the_policy_like_any_other_error() -> None:
    error = StageTimeoutError(stage_id="slow", timeout=SECOND)
    assert RetryPolicy().retries(error)
    assert not RetryPolicy(retry_on=(FlakyError,)).retries(error)


def test_pauses_double_from_two_seconds_up_to_five_minutes() -> None:
    policy = RetryPolicy(jitter=False)
    pauses = [policy.delay(attempt, 0.0).total_seconds() for attempt in range(1, 11)]
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_pause_after_thousands_of_attempts_is_still_the_longest() -> None:
    assert RetryPolicy(jitter=False, max_attempts=100_000).delay(99_999, 0.0) == timedelta(minutes=5)


@pytest.mark.parametrize("jitter", [True, False])
@pytest.mark.parametrize("first", [timedelta(days=300_000_000), timedelta.max])
def test_no_pause_is_longer_than_python_can_say(first: timedelta, jitter: bool) -> None:
    policy = RetryPolicy(first_delay=first, max_delay=timedelta.max, jitter=jitter)
    assert first / 2 <= policy.delay(1, 0.999) <= policy.delay(5, 0.999) <= timedelta.max


def test_a_first_delay_of_zero_stays_zero() -> None:
    assert RetryPolicy(first_delay=timedelta(0)).delay(5, 0.9) == timedelta(0)


@given(
    attempt=st.integers(min_value=1, max_value=5000),
    spread=st.floats(min_value=0, max_value=1, exclude_max=True),
    backoff=st.floats(min_value=1, max_value=1e6),
)
def test_jitter_stays_in_the_upper_half_of_the_pause(attempt: int, spread: float, backoff: float) -> None:
    full = RetryPolicy(jitter=False, backoff=backoff).delay(attempt, spread)
    drawn = RetryPolicy(backoff=backoff).delay(attempt, spread)
    # timedelta rounds to a microsecond
    assert full / 2 - timedelta(microseconds=1) <= drawn <= full


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        RetryPolicy().delay(0, 0.0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_attempts": 0},
        {"first_delay": -SECOND},
        {"backoff": 0.5},
        {"backoff": float("nan")},
        {"backoff": float("inf")},
        {"first_delay": timedelta(hours=1)},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must"):
        RetryPolicy(**arguments)


@pytest.mark.parametrize("classes", [("ValueError",), (3,), (ValueError(),), None])
def test_what_is_no_exception_class_is_refused(classes: Any) -> None:
    with pytest.raises(TypeError, match="exception classes"):
        RetryPolicy(retry_on=classes)
    with pytest.raises(TypeError, match="exception classes"):
        RetryPolicy(give_up_on=classes)


def group(*errors: BaseException) -> BaseException:
    return BaseExceptionGroup("unhandled errors in a TaskGroup", errors)


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (group(ConnectionError()), True),
        (group(group(ConnectionError()), ConnectionError()), True),
        (group(TransientError(service="s3", operation="put", code="SlowDown")), True),
        (group(ConnectionError(), ValueError()), False),
        (group(PermanentError("declined")), False),
        (group(ConnectionError(), group(PermanentError("declined"))), False),
        (group(ConnectionError(), SystemExit(1)), False),
        (group(ConnectionResetError()), False),
    ],
)
def test_a_group_of_errors_is_retried_where_each_of_them_would_be(error: BaseException, retried: bool) -> None:
    policy = RetryPolicy(retry_on=(ConnectionError,), give_up_on=(ConnectionResetError,))
    assert policy.retries(error) is retried


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (group(ValueError()), True),
        (group(PermanentError("declined")), False),
        (group(ValueError(), KeyboardInterrupt()), False),
    ],
)
def test_by_default_a_group_is_retried_unless_it_holds_what_is_permanent(error: BaseException, retried: bool) -> None:
    assert RetryPolicy().retries(error) is retried


def test_a_policy_that_names_groups_retries_groups() -> None:
    assert RetryPolicy(retry_on=(ExceptionGroup,)).retries(group(ValueError()))


class PanicException(BaseException):
    """As a library in Rust raises it."""


@pytest.mark.parametrize("error", [asyncio.CancelledError(), PanicException("index out of bounds")])
def test_what_ends_programs_and_not_this_process_is_retried_like_any_exception(error: BaseException) -> None:
    assert RetryPolicy().retries(error)
    assert not RetryPolicy(retry_on=(ValueError,)).retries(error)
    assert not RetryPolicy(give_up_on=(type(error),)).retries(error)
