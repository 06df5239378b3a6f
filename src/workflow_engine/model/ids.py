"""Identifiers: what they are made of, and the keys that are derived from them.

No id may contain a separator of a storage key (``#``, ``/``) or a control character, so that a
crafted id can reach no other run's items, blobs or schedules.
"""

import base64
import hashlib
import json
import re
from typing import Annotated, NewType

from pydantic import StringConstraints

RunId = NewType("RunId", str)
WorkflowId = NewType("WorkflowId", str)
StageId = NewType("StageId", str)

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,63}\Z"
SIGNAL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z"
_NAME = re.compile(NAME_PATTERN)

# pydantic-core's regex engine knows \z, not \Z; `$` alone would let a trailing newline through.
_CORE_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}\z"
_CORE_RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\z"
_CORE_SIGNAL = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\z"

Name = Annotated[str, StringConstraints(pattern=_CORE_NAME)]
RunIdText = Annotated[str, StringConstraints(pattern=_CORE_RUN_ID)]
SignalName = Annotated[str, StringConstraints(pattern=_CORE_SIGNAL)]
KeyText = Annotated[str, StringConstraints(min_length=1, max_length=512)]


def is_name(text: str) -> bool:
    """Whether *text* may name a workflow or a stage: a letter, then up to 63 of ``A-Za-z0-9_-``."""
    return _NAME.match(text) is not None


def digest(*parts: str, length: int = 26) -> str:
    """A lower-case base32 digest (5 bits a character) of *parts*, unambiguous in their borders."""
    framed = json.dumps(parts, ensure_ascii=True).encode()
    # Whole groups of 5 bytes are 8 characters: no more of them are written than are wanted.
    wanted = -(-length // 8) * 5
    return base64.b32encode(hashlib.sha256(framed).digest()[:wanted]).decode().lower()[:length]


def run_id_for(workflow_id: str, idempotency_key: str) -> RunId:
    """The id of the run that *idempotency_key* starts: 26 characters, 130 bits.

    The key is part of the id, so one conditional put both creates the run and records the key.
    """
    return RunId(digest("run", workflow_id, idempotency_key))


def content_hash(content: object) -> str:
    """A digest of JSON-compatible *content* that does not depend on the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return digest("content", canonical)
