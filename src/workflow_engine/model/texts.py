"""Text from users' code as every store takes it: UTF-8, and not too long."""

from collections.abc import Callable

# The name of a class, as C has it: its metaclass may have a ``__name__`` of its own, which raises.
name_of: Callable[[type], str] = type.__dict__["__name__"].__get__


def clean(text: str) -> str:
    """*text* with lone surrogates written out, since they cannot be stored as UTF-8."""
    # Not the method: a subclass may have another.
    return str.encode(text, "utf-8", "backslashreplace").decode()


def head_of(text: str, limit_bytes: int) -> str:
    """The beginning of *text*, cleaned, with dots where something was cut off."""
    raw = clean(text).encode()
    return raw.decode() if len(raw) <= limit_bytes else raw[: limit_bytes - 3].decode(errors="ignore") + "..."


def tail_of(text: str, limit_bytes: int) -> str:
    """The end of *text*, cleaned."""
    return clean(text).encode()[-limit_bytes:].decode(errors="ignore")
