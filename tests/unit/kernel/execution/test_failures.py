"""What is kept and published of an exception."""

from workflow_engine.kernel.execution.failures import message_of
from workflow_engine.model.limits import MAX_ERROR_MESSAGE_BYTES


def test_a_group_of_errors_says_what_is_in_it() -> None:
    inner = ExceptionGroup("inner", [KeyError("k")])
    group = ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("declined"), inner])
    assert message_of(group) == (
        "unhandled errors in a TaskGroup: ValueError: declined; ExceptionGroup: inner: KeyError: 'k'"
    )


def test_a_large_group_is_cut_like_any_message() -> None:
    group = ExceptionGroup("many", [ValueError("x" * 100) for _ in range(100)])
    assert len(message_of(group).encode()) <= MAX_ERROR_MESSAGE_BYTES
