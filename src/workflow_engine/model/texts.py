"""Text from users' code as every store takes it: UTF-8, and not too long."""

# What a class may be called before its name is cut.
MAX_TYPE_NAME_BYTES = 256


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


def plain(text: str, limit_bytes: int) -> str:
    """The beginning of *text* in nothing but ASCII that can be printed."""
    escaped = text.encode("unicode_escape").decode("ascii")
    return head_of(escaped, limit_bytes)
