"""Limits of AWS and of the engine, each with its source. Sizes are bytes, checked before a request.

AWS's are from the service quotas pages named beside them; the engine's own are decisions.
"""

from datetime import timedelta

# DynamoDB, "Service, account, and table quotas": 400 KB an item, attribute names included.
MAX_ITEM_BYTES = 400 * 1024
# DynamoDB, TransactWriteItems: 100 actions, 4 MB in all.
MAX_TRANSACTION_ACTIONS = 100
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
# SQS, "Message quotas": 1 MiB a message and a batch, 10 messages a batch, DelaySeconds 0 to 900.
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_MESSAGE_BATCH = 10
MAX_DELAY = timedelta(seconds=900)
# EventBridge, PutEvents: 10 entries, the request below 1 MB (entries count source, type, detail).
MAX_EVENT_BATCH = 10
MAX_EVENT_REQUEST_BYTES = 1_000_000
# EventBridge Scheduler, "Schedule quotas": a name has at most 64 characters.
MAX_SCHEDULE_NAME = 64
# EventBridge Scheduler, "Schedule types": precision is 60 seconds.
SCHEDULE_PRECISION = timedelta(seconds=60)

# DynamoDB, "Read and write operations": an item is written in units of 1 KB, and a part of one counts whole.
WRITE_UNIT_BYTES = 1024

# An update is billed by the whole item, so the run's input stays out of the head above this size.
MAX_HEAD_INPUT_BYTES = 256
# A stage's named steps, its waits among them; what is in their items is read in one page of 1 MB (DynamoDB, Query).
MAX_STEPS = 1000
MAX_STEP_NAME_BYTES = 256
MAX_INLINE_STEPS_BYTES = 640 * 1024
# An S3 PUT costs what 8 write units do; below 8 KB the item is the cheaper place.
MAX_INLINE_BYTES = 8 * 1024
# A stage's input and output live in the memory of one Lambda function, several copies at a time.
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
# Winners that the head names itself: some ten bytes each, in an item that every stage writes.
MAX_HEAD_WINNERS = 24
# Untold events beyond this size move from the head to items of their own.
MAX_HEAD_EVENTS_BYTES = 4 * 1024
# The events that one commit adds to a head stay in it up to this size; in a group, whose siblings
# all write the same head, up to the smaller one.
MAX_ADDED_EVENTS_BYTES = 4 * 1024
MAX_SIBLING_EVENTS_BYTES = 256
# The sibling whose commit takes a group's untold events past this size tells them.
TOLD_EARLY_BYTES = 2 * 1024
# A sibling's outcome adds events to fewer than this many only.
MAX_HEAD_EVENTS = 128
MAX_ERROR_MESSAGE_BYTES = 1024
MAX_TRACE_BYTES = 4 * 1024
MAX_ATTRIBUTES_BYTES = 16 * 1024
# A record is one item, with an output of up to 8 KB in it.
MAX_METRICS_AND_ARTIFACTS_BYTES = 384 * 1024
MAX_ANNOTATION_BYTES = 16 * 1024
MAX_LOG_MESSAGE_BYTES = 8 * 1024
MAX_LOGS_PER_ATTEMPT = 1000
# What belongs to a run is kept that long, and dates stay within what Python holds.
MAX_RUN_DURATION = timedelta(days=3660)
MAX_GROUP_STAGES = 100
# They share the memory and the time of one invocation.
MAX_INLINE_STAGES = 16
# Signals that are kept and not used up, whatever their names. Beyond them there is room for the first
# of another name, and beyond that for one that a stage waits for at that moment.
MAX_KEPT_SIGNALS = 100
ROOM_FOR_NAMES = 50
ROOM_FOR_WAITS = MAX_GROUP_STAGES

# What a run has done is undone within that time of its end, or the retention where that is less: its records must last.
MAX_CLOSING = timedelta(days=7)

# What runs of a group is decided within that time, all predicates of the group together.
MAX_CHOICE_TIME = timedelta(seconds=10)

# What the tick and the due index add to the function's timeout (I2).
WAKE_MARGIN = timedelta(seconds=60)
# Leases are compared with this margin: the clocks of two machines are never the same.
CLOCK_SKEW = timedelta(seconds=5)
# So long may the code of before a deploy (or of after a rollback) be at work beside that of the other side.
A_DEPLOY = timedelta(hours=1)
# Killed processes a stage survives before the run fails with LeaseLostError.
MAX_LOST_LEASES = 5
# Refusals of one event before it becomes a dead letter.
MAX_REFUSALS = 5
# The head outlives everything that belongs to it, so that no id is reborn over leftovers.
HEAD_OUTLIVES = timedelta(days=7)
