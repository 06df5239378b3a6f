"""What a history must have left in the stores when it is over, and what it must not."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from workflow_engine.kernel import payloads, records, winners
from workflow_engine.model.limits import HEAD_OUTLIVES
from workflow_engine.model.runs import Head, StageKey
from workflow_engine.testing.simulation.deposits import Deposit
from workflow_engine.testing.simulation.world import World

# What DynamoDB's TTL keeps of an instant: whole seconds.
TTL_PRECISION = timedelta(seconds=1)
# What is kept for longer than this has not expired when a history ends.
LONGER_THAN_A_HISTORY = timedelta(days=7)


def check_left(world: World, head: Head) -> Iterator[str]:
    """What is wrong with what is left of a run that is over."""
    yield from _check_spilled(world, head)
    yield from _check_expiry(world, head)
    yield from _check_blobs(world, head)
    yield from _check_records(world, head)
    if world.settings.retention > LONGER_THAN_A_HISTORY:
        yield from _check_notes(world, head)


def _check_records(world: World, head: Head) -> Iterator[str]:
    """What rode in the head is in the run's history, and where it won, it is what is read."""
    rode = {key: record for (run_id, key), record in world.observer.rode.items() if run_id == head.run_id}
    if not rode or world.settings.retention <= LONGER_THAN_A_HISTORY:
        return
    history = {record.key: record for record in records.listed(head, world.persistence)}
    whole = winners.completed(head, world.persistence)
    for key, record in rode.items():
        if key not in history:
            yield f"records: {key} of run {head.run_id} rode in its head, and is gone"
        elif key.group < head.group and whole.winner(key.group, 0) == key.epoch:
            read = records.loaded(head, [key], world.persistence).get(key)
            if read is None or (read.status, read.output) != (record.status, record.output):
                yield f"records: of {key} of run {head.run_id}, {read} is read"


def _check_notes(world: World, head: Head) -> Iterator[str]:
    """What an attempt noted is there, whatever another one noted."""
    there = {one.stage for one in world.persistence.list_annotations(head.run_id)}
    for key in world.ledger.deposits.notes[head.run_id] - there:
        if not world.ledger.deposits.puts[(head.run_id, key)].is_explained:
            yield f"notes: what {key} of run {head.run_id} noted is gone"


def _check_spilled(world: World, head: Head) -> Iterator[str]:
    """Events that lay outside of the head are deleted by whoever let them go, and by whoever put them
    again afterwards. One that dies before leaves them to their expiry."""
    released = world.ledger.deposits.released
    total = len(world.observer.events[head.run_id])
    found = world.persistence.load_spilled(head.run_id, range(1, total + 1))
    for sequence in sorted(key for key in found if isinstance(key, int)):
        let_go = released.get((head.run_id, sequence))
        put = world.ledger.deposits.puts.get((head.run_id, sequence))
        explained = any(deposit is not None and deposit.is_explained for deposit in (let_go, put))
        if let_go is not None and not explained:
            yield f"left: event {sequence} of run {head.run_id} lies outside of its head, and was let go"


def _check_expiry(world: World, head: Head) -> Iterator[str]:
    """What belongs to a run lives as long as the run, and the head a week longer."""
    settled = head.deadline + world.settings.retention + HEAD_OUTLIVES
    if head.expires_at < settled - TTL_PRECISION:
        yield f"expiry: run {head.run_id} goes at {head.expires_at}, and may last until {head.deadline}"
    for what, expires_at in _belongings(world, head):
        if expires_at < head.expires_at - HEAD_OUTLIVES - TTL_PRECISION:
            yield f"expiry: {what} of run {head.run_id} goes at {expires_at}, its head at {head.expires_at}"


def _belongings(world: World, head: Head) -> Iterator[tuple[str, datetime]]:
    store = world.persistence
    found: list[tuple[str, StageKey | None, datetime]] = []
    found += [("a record", one.key, one.expires_at) for one in records.listed(head, store)]
    found += [("a note", one.stage, one.expires_at) for one in store.list_annotations(head.run_id)]
    found += [("a log line", one.key, one.expires_at) for one in store.list_logs(head.run_id)]
    for what, key, expires_at in found:
        if not _is_late(world, head, key):
            yield f"{what} of {key}", expires_at
    started = store.load_input(head.run_id, head.input_hash) if head.input_hash else None
    if started is not None:
        yield "the input", started.expires_at


def _is_late(world: World, head: Head, key: StageKey | None) -> bool:
    """Written by somebody who knew the run as it was before its rerun, after that had begun."""
    deposits = world.ledger.deposits
    extended_at, put = deposits.extended_at.get(head.run_id), deposits.puts.get((head.run_id, key))
    old = key is None or key.epoch < head.base_of(key.group)
    return old and extended_at is not None and (put is None or put.at >= extended_at)


def _check_blobs(world: World, head: Head) -> Iterator[str]:
    """A run's blobs are inputs that it was started with, and those of attempts that no rerun discarded.

    What a ghost wrote after the rerun, and what was written or not removed because something went
    wrong, is left to the bucket's lifecycle; and so is what an attempt without a record stored.
    """
    prefix, deposits = payloads.blob_prefix(head.run_id), world.ledger.deposits
    recorded = {payloads.attempt_prefix(head.run_id, one.key) for one in records.listed(head, world.persistence)}
    for key in world.blobs.list(prefix):
        put = deposits.puts.get(key)
        parts = key.removeprefix(prefix).split("/")
        if parts[0] == "input":
            stray = parts[1] not in deposits.inputs[head.run_id] and put is not None and not put.is_explained
        else:
            attempt = f"{prefix}{'/'.join(parts[:3])}/"
            discarded = int(parts[2]) < head.base_of(int(parts[0])) and attempt in recorded
            stray = discarded and put is not None and not _is_left_over(put.at, deposits.discarded[head.run_id])
        if stray:
            yield f"left: blob {key} is of nobody"


def _is_left_over(at: datetime, reruns: Sequence[Deposit]) -> bool:
    """Whether nobody had to remove what was put *at* a time, or something happened to whoever had."""
    later = [rerun for rerun in reruns if rerun.at > at]
    return not later or any(rerun.is_explained for rerun in later)
