"""The default source of ids: the randomness of the operating system. Nothing else here reads it."""

import base64
import os

from typing_extensions import override

from workflow_engine.ports.clock import IdSource

ID_LENGTH = 26
# 26 characters of base32 are 130 bits; 17 bytes are the first whole number of bytes above that.
RANDOM_BYTES = 17


class RandomIds(IdSource):
    """Ids of 130 random bits."""

    @override
    def new_id(self) -> str:
        return base64.b32encode(os.urandom(RANDOM_BYTES)).decode().lower()[:ID_LENGTH]
