"""Where the records of finished attempts lie: in the head, in bundles, or in items of their own.

A small record of a group of one rides in the head's own commit while that costs no unit more, since a head
is billed whole by units of 1 KB whatever is in them. Where there is no room for all, those that were committed
before leave it together, in a bundle that is put before the commit that drops them; what has no room beside
an empty list is an item of its own, as are the records of a larger group's siblings.

A bundle has the name of its last record, and a reader takes the least name that is not below what it looks
for. So whoever puts one under a name that is taken finds there at least what he wanted to put: what is
committed does not change, and a bundle is a prefix of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from workflow_engine.model import plans
from workflow_engine.model.altering import altered
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.limits import HEAD_OUTLIVES, WRITE_UNIT_BYTES
from workflow_engine.model.runs import Bundle, EntryState, Head, StageKey, StageRecord
from workflow_engine.ports.persistence import Persistence

# What a claim adds to an entry, and to the head beside it: an event that says so, and longer numbers.
LEASE_BYTES = 32
CLAIM_BYTES = 96
# From so many on, all records of a run are read at once: two bundles in three would be read for one record.
MANY = 4


def carrying(commit: Exclusive, record: StageRecord) -> Exclusive:
    """*commit*, in whose head *record* rides, if there is room (``fitted``)."""
    after = commit.after
    goes_at = after.expires_at - HEAD_OUTLIVES
    rider = record if record.expires_at == goes_at else replace(record, expires_at=goes_at)
    return Exclusive(commit.before, altered(after, recent=(*after.recent, rider), bundled=True), commit.idempotency)


def fitted(commit: Exclusive, persistence: Persistence) -> Exclusive:
    """*commit* as it may be sent: its head takes no unit more than without the records in it. What has to
    leave it, and a new one that has no room in it, is stored before."""
    before, after = commit.before, commit.after
    if before is None or not after.recent or _only_shrinks(before, after):
        return commit
    known = len(before.recent)
    older, new = after.recent[:known], after.recent[known:]
    sizes = persistence.head_sizes(after)
    room = _room(after, sizes.apart) - sizes.frame
    weight, own = sum(sizes.recent[:known]), sum(sizes.recent[known:])
    if weight + own <= room:
        return commit
    if len(new) > 1:
        small = _small(new, sizes.recent[known:], persistence)
        # Of a group whose leases are all ours: nobody else puts a bundle under their epoch.
        put_aside(after, (*older, *small), persistence)
        return replace(commit, after=altered(after, recent=()))
    if own > room:
        for record in new:
            persistence.put_record(record)
        new, own = (), 0
    if weight + own > room:
        put_aside(before, older, persistence)
        older = ()
    left = altered(after, recent=(*older, *new), bundled=before.bundled or bool(new))
    return Exclusive(before, left, commit.idempotency)


def _small(records: Sequence[StageRecord], sizes: Sequence[int], persistence: Persistence) -> Sequence[StageRecord]:
    """Those of *records* that are small; the others are stored as items of their own."""
    for record, size in zip(records, sizes, strict=True):
        if size > WRITE_UNIT_BYTES:
            persistence.put_record(record)
    return [record for record, size in zip(records, sizes, strict=True) if size <= WRITE_UNIT_BYTES]


def flush(head: Head, persistence: Persistence) -> None:
    """Store all that rides in *head*: the next commit may drop it."""
    put_aside(head, head.recent, persistence)


def put_aside(head: Head, records: Sequence[StageRecord], persistence: Persistence) -> None:
    """Store *records*, which ride in *head*, in a bundle. They are of one base, since a
    rerun, which draws another, leaves nothing in the head."""
    if records:
        base = head.base_of(records[-1].key.group)
        persistence.put_bundle(Bundle(head.run_id, base, tuple(records), head.expires_at - HEAD_OUTLIVES))


def listed(head: Head, persistence: Persistence) -> Sequence[StageRecord]:
    """All records of a run, by group, stage and epoch. *head* was read before, so that what leaves it
    meanwhile is found in the items."""
    if not head.recent:
        return persistence.list_records(head.run_id)
    found = {record.key: record for record in persistence.list_records(head.run_id)}
    found |= {record.key: record for record in head.recent}
    return sorted(found.values(), key=lambda record: _order(record.key))


def loaded(head: Head, keys: Sequence[StageKey], persistence: Persistence) -> Mapping[StageKey, StageRecord]:
    """The records of those *keys* that exist, and whatever else was read on the way."""
    found = {record.key: record for record in head.recent}
    missing = [key for key in keys if key not in found]
    if not missing:
        return found
    if not head.bundled:
        return {**found, **persistence.load_records(head.run_id, missing)}
    # The newest is in the head or in an item of its own, until a rerun has put all of it aside.
    last = plans.before(head.group)
    near = [key for key in missing if last is None or key.group >= last]
    if near:
        found |= persistence.load_records(head.run_id, near)
    return _searched(head, missing, found, persistence)


def _searched(
    head: Head, keys: Sequence[StageKey], found: dict[StageKey, StageRecord], persistence: Persistence
) -> Mapping[StageKey, StageRecord]:
    """*found*, and those of *keys* that lie in bundles, or else in items of their own."""
    if len(set(keys) - found.keys()) > MANY:
        return found | {record.key: record for record in persistence.list_records(head.run_id)}
    for key in keys:
        if key not in found:
            bundle = persistence.load_bundle(head.run_id, head.base_of(key.group), key)
            found |= {record.key: record for record in bundle.records} if bundle else {}
    last = plans.before(head.group)
    apart = [key for key in keys if key not in found and last is not None and key.group < last]
    return {**found, **persistence.load_records(head.run_id, apart)} if apart else found


def _only_shrinks(before: Head, after: Head) -> bool:
    """Whether *after* is *before* with nothing more in it, as once it has told what there is to tell."""
    same = after.recent is before.recent and after.active is before.active and after.group == before.group
    return same and len(after.events) <= len(before.events) and after.status is before.status


def _room(head: Head, apart: int) -> int:
    """How much more fits into the units that *head* takes with *apart* bytes: now, and when somebody has
    claimed what nobody holds. Where those are several, each claim on the way counts."""
    left = -apart % WRITE_UNIT_BYTES
    free = sum(entry.state not in (EntryState.LEASED, EntryState.SKIPPED) for entry in head.active)
    if not free or head.status.is_terminal:
        return left
    claimed = free * LEASE_BYTES + CLAIM_BYTES
    return left - claimed if free > 1 else min(left, -(apart + claimed) % WRITE_UNIT_BYTES)


def _order(key: StageKey) -> tuple[int, str, int, str]:
    return key.group, key.stage_id, key.epoch, key.part
