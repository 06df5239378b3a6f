"""The machine's own clock and randomness. The one place that reads either."""

import base64
import os
from datetime import UTC, datetime

from typing_extensions import override

from workflow_engine.ports.clock import Clock, IdSource

ID_LENGTH = 26
# 26 characters of base32 are 130 bits; 17 bytes are the first whole number of bytes above that.
RANDOM_BYTES = 17


class SystemClock(Clock):
    """The time of this machine, cut to milliseconds.

    That is what a head stores, so that an instant read back equals the one that was written.
    """

    @override
    def now(self) -> datetime:
        instant = datetime.now(UTC)
        return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


class RandomIds(IdSource):
    """Ids of 130 random bits from the operating system."""

    @override
    def new_id(self) -> str:
        return base64.b32encode(os.urandom(RANDOM_BYTES)).decode().lower()[:ID_LENGTH]
