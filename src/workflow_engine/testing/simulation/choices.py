"""What chance decides in a simulated history, and how to make it decide the same again.

Each decision has a name (what asks, and the how-manieth time), and its value follows from the seed
and that name alone: leaving one decision out does not shift the others, so that a failing history
can be made shorter. Value 0 is always "nothing special", and only other values are remembered.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from zlib import crc32

Name: TypeAlias = tuple[str, int]
Script: TypeAlias = Mapping[Name, int]

_MASK = (1 << 64) - 1


def mixed(number: int) -> int:
    """64 well-mixed bits of *number*: the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


class Choices:
    """Decisions of one history, out of *seed* or, where a *script* is given, out of that alone."""

    def __init__(self, seed: int, script: Script | None = None) -> None:
        self._base = mixed(seed)
        self._script = script
        self._asked: dict[str, int] = {}
        self.taken: dict[Name, int] = {}

    def pick(self, label: str, weights: Sequence[int]) -> int:
        """An index into *weights*, each as likely as its weight."""
        times = self._asked.get(label, 0)
        self._asked[label] = times + 1
        name = (label, times)
        if self._script is not None:
            value = min(self._script.get(name, 0), len(weights) - 1)
        else:
            value = self._drawn(label, times, weights)
        if value:
            self.taken[name] = value
        return value

    def asked(self, label: str) -> int:
        """How often *label* was decided so far."""
        return self._asked.get(label, 0)

    def _drawn(self, label: str, times: int, weights: Sequence[int]) -> int:
        number = mixed(self._base ^ mixed((crc32(label.encode()) << 32) | times)) % sum(weights)
        for index, weight in enumerate(weights):
            number -= weight
            if number < 0:
                return index
        raise AssertionError("the weights add up to less than their sum")
