"""From an exception, whatever it is, to what is stored and published of it. Never raises.

The class is a user's: its name may be of any length, its ``__str__`` may raise, or answer anything, and
so may whatever else of it is looked at.
"""

import traceback

from pydantic import ValidationError

from workflow_engine.authoring.retry import RetryPolicy
from workflow_engine.model.limits import MAX_ERROR_MESSAGE_BYTES, MAX_TRACE_BYTES
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.problems import plain, problems_of
from workflow_engine.model.texts import head_of, name_of, tail_of

# The engine's own: a class may be called anything, and most readers show its name on one line.
MAX_TYPE_NAME_BYTES = 256
UNSHOWABLE = "(its message cannot be shown)"


def is_retried(retry: RetryPolicy, error: BaseException) -> bool:
    """What *retry* says of *error*; of one that cannot be looked at, that it is not."""
    try:
        return retry.retries(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a group too deep to look through, a class with an isinstance of its own
        return False


def error_info(error: BaseException, *, retryable: bool) -> ErrorInfo:
    """*error* cleaned and cut to size, with the end of its traceback."""
    name = head_of(name_of(type(error)), MAX_TYPE_NAME_BYTES)
    return ErrorInfo(name, message_of(error), retryable, _trace_of(error))


def message_of(error: BaseException) -> str:
    """What *error* says, cleaned and cut to size."""
    return head_of(_text_of(error), MAX_ERROR_MESSAGE_BYTES)


def bare(error: ErrorInfo) -> ErrorInfo:
    """*error* in printable characters, short and without its traceback: what any store takes."""
    return ErrorInfo(plain(error.type), plain(error.message), error.retryable)


def _text_of(error: BaseException) -> str:
    try:
        if isinstance(error, ValidationError):
            # pydantic's own text quotes the values that it found, and this one is published in events.
            return "; ".join(problems_of(error))
        if isinstance(error, BaseExceptionGroup):
            # "unhandled errors in a TaskGroup (1 sub-exception)" says nothing of what went wrong.
            return f"{error.message}: " + "; ".join(
                f"{name_of(type(one))}: {_text_of(one)}" for one in error.exceptions
            )
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return UNSHOWABLE


def _trace_of(error: BaseException) -> str | None:
    try:
        return tail_of("".join(traceback.format_exception(error)), MAX_TRACE_BYTES)
    except KeyboardInterrupt:
        raise
    except BaseException:  # somebody's class has it its own way; what it says is kept without
        return None
