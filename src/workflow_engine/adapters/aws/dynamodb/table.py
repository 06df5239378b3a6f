"""The one table: its keys and indexes, as ``template.yaml`` declares them, and the keys of items."""

from typing import Any, Final

from workflow_engine.adapters.aws.dynamodb.wire import Item
from workflow_engine.errors import CorruptItemError
from workflow_engine.model.ids import RunId, StageId, digest
from workflow_engine.model.runs import EventKey, StageKey
from workflow_engine.model.shards import shard_of
from workflow_engine.model.steps import StepScope

DUE: Final = "due"
LISTING: Final = "listing"
FAILURES: Final = "failures"

HEAD: Final = "RUN"
STAGES: Final = "STAGE#"
# Sorts right behind the records, so that one query reads both; no stage's record has a key among these.
BUNDLES: Final = "STAGES#"
RECORDS: Final = "STAGE"
# Between a lease's epoch and the part of its stage that it was on; no id or number has it.
_PART: Final = "+"
STEPS: Final = "STEP#"
INPUTS: Final = "INPUT#"
WINNERS: Final = "WINNERS#"
EVENTS: Final = "EVENT#"
SIGNALS: Final = "SIGNAL#"
LOGS: Final = "LOG#"
ANNOTATIONS: Final = "ANNOTATION#"
DEAD: Final = "DEAD#"
KEY: Final = "KEY"

# Partitions of one letter each: no run id reaches another kind's, whatever it is.
_RUN, _KEY, _DEFINITION = "R#", "K#", "D#"
# The one partition of all recurring starts, whose names are the sort keys: few, and rarely written.
RECURRENCES: Final = "S#"
# No workflow's name begins like this, so dead letters have the failures index to themselves.
_DEAD_SHARD = "~dead#"


def create_table_request(table_name: str) -> dict[str, Any]:
    """What ``CreateTable`` takes for a table like the template's; pynamodb builds requests from it too."""
    indexes = ((DUE, "ds", "da"), (LISTING, "ls", "lc"), (FAILURES, "fs", "fc"))
    texts = ("pk", "sk", "ds", "ls", "lc", "fs", "fc")
    return {
        "TableName": table_name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            *({"AttributeName": name, "AttributeType": "S"} for name in texts),
            {"AttributeName": "da", "AttributeType": "N"},
        ],
        "KeySchema": _key_schema("pk", "sk"),
        "GlobalSecondaryIndexes": [
            {"IndexName": name, "KeySchema": _key_schema(*keys), "Projection": {"ProjectionType": "KEYS_ONLY"}}
            for name, *keys in indexes
        ],
    }


def _key_schema(hash_key: str, range_key: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": hash_key, "KeyType": "HASH"},
        {"AttributeName": range_key, "KeyType": "RANGE"},
    ]


def run_partition(run_id: str) -> str:
    """The partition of everything that belongs to a run."""
    return _RUN + run_id


def run_of(partition: str) -> RunId:
    """The run whose partition that is.

    Raises:
        CorruptItemError: it is no run's.
    """
    if not partition.startswith(_RUN):
        raise CorruptItemError(what="an index entry", problem=f"{partition!r} is no run")
    return RunId(partition.removeprefix(_RUN))


def is_head(key: Item) -> bool:
    """Whether *key* is that of a run's head."""
    partition: str = key["pk"]["S"]
    return partition.startswith(_RUN) and key["sk"]["S"] == HEAD


def record_key(key: StageKey) -> str:
    """The sort key of a stage's record."""
    return STAGES + _lease(key)


def log_key(key: StageKey, index: int) -> str:
    """The sort key of a log line."""
    return f"{LOGS}{_lease(key)}#{index:06d}"


def stage_key_of(sort_key: str) -> StageKey:
    """What ``record_key`` made the sort key from."""
    _, group, stage_id, epoch = sort_key.split("#")[:4]
    number, _, part = epoch.partition(_PART)
    return StageKey(int(group), StageId(stage_id), int(number), part)


def bundle_key(base: int, group: int, epoch: int) -> str:
    """The sort key of the bundle whose last record that is; bundles of one base sort like their records."""
    return f"{bundles_of(base)}{group:04d}#{epoch:06d}"


def bundles_of(base: int) -> str:
    """What the sort keys of all bundles of one base begin with."""
    return f"{BUNDLES}{base:06d}#"


def base_of_bundle(sort_key: str) -> int:
    """The base in what ``bundle_key`` made."""
    return int(sort_key.split("#")[1])


def step_key(scope: StepScope, name: str) -> str:
    """The sort key of a step, whose name may be any text."""
    return steps_of(scope) + name


def steps_of(scope: StepScope) -> str:
    """What the sort keys of all steps of one scope begin with."""
    return f"{STEPS}{scope.group:04d}#{scope.stage_id}#{scope.base:06d}#"


def step_of(sort_key: str) -> tuple[StepScope, str]:
    """What ``step_key`` made the sort key from."""
    _, group, stage_id, base, name = sort_key.split("#", 4)
    return StepScope(int(group), StageId(stage_id), int(base)), name


def winners_key(base: int, through: int) -> str:
    """The sort key of winners outside of the head."""
    return f"{WINNERS}{base:06d}#{through:04d}"


def event_key(key: EventKey) -> str:
    """The sort key of an untold event outside the head."""
    return EVENTS + (f"{key:010d}" if isinstance(key, int) else key)


def event_key_of(sort_key: str) -> EventKey:
    """What ``event_key`` made the sort key from: names have a dot."""
    text = sort_key.removeprefix(EVENTS)
    return int(text) if text.isdecimal() else text


def dead_letter_key(sequence: int) -> str:
    """The sort key of a dead letter."""
    return f"{DEAD}{sequence:010d}"


def dead_letter_order(run_id: str, sequence: int) -> str:
    """What the failures index sorts dead letters by: the run, then the sequence."""
    return f"{run_id}#{sequence:010d}"


def sequence_of(sort_key: str) -> int:
    """What ``dead_letter_key`` made the sort key from."""
    return int(sort_key.partition("#")[2])


def idempotency_partition(key: str, command_type: str) -> str:
    """The partition of one idempotency key. The key itself is free text, so its digest stands here."""
    return _KEY + digest(command_type, key, length=52)


def definition_partition(workflow_id: str) -> str:
    """The partition of all definitions of a workflow."""
    return _DEFINITION + workflow_id


def listing_shard(workflow_id: str, shard: int) -> str:
    """A shard of a workflow in the listing and failures indexes."""
    return f"{workflow_id}#{shard}"


def dead_shard(run_id: str, shards: int) -> str:
    """The shard of the failures index that lists a run's dead letters."""
    return dead_shard_name(shard_of(run_id, shards))


def dead_shard_name(shard: int) -> str:
    """What the failures index calls a shard of the dead letters."""
    return f"{_DEAD_SHARD}{shard}"


def _lease(key: StageKey) -> str:
    part = _PART + key.part if key.part else ""
    return f"{key.group:04d}#{key.stage_id}#{key.epoch:06d}{part}"
