"""The default source of ids: the randomness of the operating system. Nothing else here reads it."""

import os

from typing_extensions import override

from workflow_engine.ports.clock import IdSource

ID_LENGTH = 26
# 26 characters of 5 bits are 130 bits: each random byte gives one of 32 letters, all of them as often.
_LETTERS = b"abcdefghijklmnopqrstuvwxyz234567" * 8


class RandomIds(IdSource):
    """Ids of 130 random bits."""

    @override
    def new_id(self) -> str:
        return os.urandom(ID_LENGTH).translate(_LETTERS).decode()
