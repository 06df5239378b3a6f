"""The ports in memory: what a process of the sample has instead of a warehouse, a bank, a carrier and a post office.

Put yours in their place, in ``outside`` of the workflow's module. What these know is gone with their process, so that
an undo in another one finds nothing that was taken: which is no error.
"""

from dataclasses import dataclass, field

from typing_extensions import override

from workflow_engine import PermanentError
from workflows.order_process.ports import Bank, Carrier, DeclinedError, Mailer, Stock

DECLINED = "declined"


def name_of(key: str) -> str:
    """What is taken with *key* is called so."""
    return key[:8]


@dataclass
class Taken:
    """What is taken, by key, the keys with which nothing can be taken any more, and each taking that had an effect."""

    open: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    history: list[str] = field(default_factory=list)

    def take(self, key: str, what: str) -> str:
        """Take it once; answers a name for it."""
        if key in self.closed:
            raise PermanentError(f"{key} was given back")
        if key not in self.open:
            self.history.append(key)
            self.open[key] = what
        return name_of(key)

    def give_back(self, key: str) -> None:
        """Nothing is taken with *key*, now and later."""
        self.open.pop(key, None)
        self.closed.add(key)


@dataclass
class MemoryStock(Stock):
    """Has everything."""

    reserved: Taken = field(default_factory=Taken)

    @override
    def reserve(self, article: str, quantity: int, key: str) -> str:
        return self.reserved.take(key, f"{quantity} x {article}")

    @override
    def release(self, key: str) -> None:
        self.reserved.give_back(key)


@dataclass
class MemoryBank(Bank):
    """Takes every card but the one called ``declined``."""

    charged: Taken = field(default_factory=Taken)

    @override
    def charge(self, card: str, cents: int, key: str) -> str:
        if card == DECLINED:
            raise DeclinedError("the card was declined")
        return self.charged.take(key, f"{cents} from {card}")

    @override
    def refund(self, key: str) -> None:
        self.charged.give_back(key)


@dataclass
class MemoryCarrier(Carrier):
    """Goes everywhere."""

    booked: Taken = field(default_factory=Taken)
    handed_over: set[str] = field(default_factory=set)

    @override
    def book(self, address: str, key: str) -> str:
        return self.booked.take(key, address)

    @override
    def hand_over(self, parcel: str, key: str) -> None:
        if parcel in map(name_of, self.booked.closed):
            raise PermanentError(f"parcel {parcel} was called back")
        self.handed_over.add(parcel)

    @override
    def call_back(self, key: str) -> None:
        self.booked.give_back(key)
        self.handed_over.discard(name_of(key))


@dataclass
class MemoryMailer(Mailer):
    """Keeps what was sent, by key: to whom, and what."""

    sent: dict[str, tuple[str, str]] = field(default_factory=dict)

    @override
    def send(self, to: str, text: str, key: str) -> None:
        self.sent.setdefault(key, (to, text))


@dataclass
class Outside:
    """All that the order needs from outside."""

    stock: Stock = field(default_factory=MemoryStock)
    bank: Bank = field(default_factory=MemoryBank)
    carrier: Carrier = field(default_factory=MemoryCarrier)
    mailer: Mailer = field(default_factory=MemoryMailer)
