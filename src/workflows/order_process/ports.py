"""What the order needs from outside. Each call has a key, and every port keeps to two promises.

The same call with the same key again has no further effect, and answers the same. And what is given back is named
by the key that it was taken with: where nothing was, that is no error, and nothing can be taken with that key any more.
So it may be given back by somebody who does not know whether it was taken, and a request that was on its way for
long, and comes in behind that, takes nothing. Whatever is not available, or does not answer, raises.
"""

from typing import Protocol

from workflow_engine import PermanentError


class DeclinedError(PermanentError):
    """The bank has said no. Asking again would be asking the same."""


class Stock(Protocol):
    """The goods."""

    def reserve(self, article: str, quantity: int, key: str) -> str:
        """Put goods aside; answers the name of the reservation."""
        ...

    def release(self, key: str) -> None:
        """Put them back."""
        ...


class Bank(Protocol):
    """The money."""

    def charge(self, card: str, cents: int, key: str) -> str:
        """Take money; answers the number of the receipt.

        Raises:
            DeclinedError: it gives none.
        """
        ...

    def refund(self, key: str) -> None:
        """Give back what was charged with *key*, all of it, once."""
        ...


class Carrier(Protocol):
    """The parcels."""

    def book(self, address: str, key: str) -> str:
        """Order a parcel to be brought to *address*; answers its number."""
        ...

    def hand_over(self, parcel: str, key: str) -> None:
        """Give it to the driver."""
        ...

    def call_back(self, key: str) -> None:
        """Have the parcel that was booked with *key* brought back, wherever it is."""
        ...


class Mailer(Protocol):
    """The mails, of which none can be given back."""

    def send(self, to: str, text: str, key: str) -> None:
        """Send a mail."""
        ...
