"""How runs are spread over the shards of the due index and the listing."""

import zlib


def shard_of(run_id: str, shards: int) -> int:
    """The shard of a run. It is stored with the run, so *shards* may be raised at any time; runs
    that are there stay where they are, and readers look at all shards."""
    return zlib.crc32(run_id.encode()) % shards
