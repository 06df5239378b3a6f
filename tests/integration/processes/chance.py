"""Chance that can be had again: the same seed gives the same choices."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Chance:
    seed: int
    _count: "itertools.count[int]" = field(default_factory=itertools.count)

    def fraction(self) -> float:
        """From 0 to below 1."""
        drawn = sha256(f"{self.seed}.{next(self._count)}".encode()).digest()
        return int.from_bytes(drawn[:6], "big") / 2**48

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.fraction()

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[int(self.fraction() * len(choices))]
