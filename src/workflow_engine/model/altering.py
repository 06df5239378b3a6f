"""Copies of frozen values with some fields changed, for those of which thousands a second are made."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A type checker knows this one, and checks the fields.
    from dataclasses import replace as altered
else:

    def altered(value: Any, /, **changes: Any) -> Any:
        """*value* with *changes*: a frozen dataclass without slots, whose fields are its dictionary.

        A twentieth of the time that ``dataclasses.replace`` takes for a head, which reads and sets
        each of its thirty fields in Python.
        """
        copy = object.__new__(type(value))
        fields = copy.__dict__
        fields.update(value.__dict__)
        fields.update(changes)
        return copy


__all__ = ["altered"]
