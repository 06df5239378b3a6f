"""The price list: one data file, with source and date of each price. No price stands anywhere else."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Price:
    """*dollars* buy *per* of *unit*, as *source* said on *read_on*."""

    unit: str
    dollars: float
    per: int
    source: str
    read_on: date

    def of(self, quantity: float) -> float:
        """What *quantity* units cost, in US dollars."""
        return quantity * self.dollars / self.per


@cache
def prices() -> Mapping[str, Price]:
    """All prices by name."""
    text = files(__package__ or __name__).joinpath("prices.toml").read_text(encoding="utf-8")
    return {name: _price(entry) for name, entry in tomllib.loads(text).items()}


def dollars(name: str, quantity: float) -> float:
    """What *quantity* of what *name* prices costs."""
    return prices()[name].of(quantity)


def _price(entry: Mapping[str, Any]) -> Price:
    return Price(
        unit=entry["unit"],
        dollars=float(entry["dollars"]),
        per=int(entry["per"]),
        source=entry["source"],
        read_on=entry["date"],
    )
