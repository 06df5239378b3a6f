"""Runs as version 0.1.0 left them in the table, one in each state, and the workflows that they are of.

``stored_by_0_1_0.json`` is what that version wrote: ``python tests/engine/stored_runs.py FILE`` made it, in
a checkout of it. It is never made anew: what is tested is that code of today goes on with items of then.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from workflow_engine import (
    CreateRun,
    RerunFrom,
    RetryPolicy,
    StageContext,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.model.commands import ExecuteJob
from workflow_engine.model.ids import RunId
from workflow_engine.testing.engine import VirtualEngine

FILE = Path(__file__).with_name("stored_by_0_1_0.json")
TIMEOUT = timedelta(minutes=5)
# Enough for one stage, and not for one more after it.
ONE_STAGE = TIMEOUT + timedelta(seconds=1)
broken = {"failing": True}


class Item(BaseModel):
    trace: str = ""


class Pair(BaseModel):
    left: Item
    right: Item


class Approval(BaseModel):
    by: str


class Job(BaseModel):
    trace: str


def _adds(name: str) -> Any:
    @stage(name, timeout=TIMEOUT)
    def adds(item: Item) -> Item:
        return Item(trace=item.trace + name[0])

    return adds


before = _adds("before")


@stage("join", timeout=TIMEOUT)
def join(pair: Pair) -> Item:
    return Item(trace=f"{pair.left.trace}+{pair.right.trace}")


@stage("polls", timeout=TIMEOUT)
def polls(item: Item) -> Suspended[Job]:
    return Suspended(state=Job(trace=item.trace), poll_every=timedelta(hours=1))


@polls.check_completion
def polled(job: Job) -> Item:
    return Item(trace=job.trace + "p")


@stage("asks", timeout=TIMEOUT)
def asks(item: Item) -> WaitForSignal[Approval]:
    return WaitForSignal("approval", Approval, timeout=timedelta(days=7))


@asks.on_signal
def approved(approval: Approval, ctx: StageContext) -> Item:
    return Item(trace=ctx.require(before).trace + approval.by)


@stage("flaky", timeout=TIMEOUT, retry=RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=4), jitter=False))
def flaky(item: Item, ctx: StageContext) -> Item:
    if broken["failing"]:
        raise ValueError("not today")
    return Item(trace=item.trace + "f")


chain = Workflow("chain", input=Item)
for letter in "abcde":
    chain = chain.pipe(_adds(letter))
CHAIN = chain.build()
GROUP = Workflow("group", input=Item).pipe(_adds("first")).parallel(_adds("left"), _adds("right")).pipe(join).build()
POLLING = Workflow("polling", input=Item).pipe(before).pipe(polls).pipe(_adds("last")).build()
ASKING = Workflow("asking", input=Item).pipe(before).pipe(asks).pipe(_adds("last")).build()
FLAKY = Workflow("flaky", input=Item).pipe(before).pipe(flaky).pipe(_adds("last")).build()
WORKFLOWS = (CHAIN, GROUP, POLLING, ASKING, FLAKY)


def _one_stage(engine: VirtualEngine, count: int = 1) -> None:
    """Execute *count* messages, each in an invocation that has time for its stage alone."""
    for _ in range(count):
        delivery = engine.job_transport.dequeue()
        assert delivery is not None
        engine.host.handle_job(delivery, deadline=engine.clock.now() + ONE_STAGE)
        engine.job_transport.complete(delivery)


def _started(engine: VirtualEngine, workflow: WorkflowDefinition, name: str, stages: int) -> RunId:
    command = CreateRun(workflow_id=workflow.id, input={"trace": ""}, idempotency_key=name)
    run_id = RunId(engine.kernel.dispatch(command).run_id)
    _one_stage(engine, stages)
    return run_id


def _leased(engine: VirtualEngine, name: str) -> RunId:
    """In the middle of a chain, whose worker has died."""
    run_id = _started(engine, CHAIN, name, 2)
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    command = ExecuteJob.model_validate_json(delivery.body)
    head = engine.persistence.load_head(run_id)
    assert head is not None
    assert command.stage_id == "c"

    def dies(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    from dataclasses import replace

    settings, engine.settings = engine.settings, replace(engine.settings, run_stage=dies)
    engine.deploy(*WORKFLOWS)
    with contextlib.suppress(KeyboardInterrupt):
        engine.kernel.dispatch(command)
    engine.settings = settings
    engine.deploy(*WORKFLOWS)
    return run_id


def _failed(engine: VirtualEngine, name: str) -> RunId:
    run_id = _started(engine, FLAKY, name, 2)
    engine.advance(timedelta(hours=2))
    return run_id


def _rerun(engine: VirtualEngine, name: str) -> RunId:
    run_id = _failed(engine, name)
    engine.kernel.dispatch(RerunFrom(run_id=run_id, from_stage_id="flaky", idempotency_key=name))
    return run_id


def _completed(engine: VirtualEngine, name: str) -> RunId:
    run_id = _started(engine, CHAIN, name, 0)
    engine.work()
    return run_id


STATES: Mapping[str, Callable[[VirtualEngine, str], RunId]] = {
    "chain, ready": lambda engine, name: _started(engine, CHAIN, name, 2),
    "chain, leased": _leased,
    "group, one done": lambda engine, name: _started(engine, GROUP, name, 2),
    "suspended": lambda engine, name: _started(engine, POLLING, name, 2),
    "waiting": lambda engine, name: _started(engine, ASKING, name, 2),
    "retrying": lambda engine, name: _started(engine, FLAKY, name, 2),
    "failed": _failed,
    "rerun": _rerun,
    "completed": _completed,
}


def stored(make: Callable[[], tuple[VirtualEngine, Callable[[], list[Any]]]]) -> Mapping[str, Any]:
    """Each state's run and its items, from an engine of its own."""
    found = {}
    for name, reach in STATES.items():
        engine, items = make()
        engine.deploy(*WORKFLOWS)
        run_id = reach(engine, name)
        found[name] = {"run_id": run_id, "at": engine.clock.now().isoformat(), "items": items()}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": value.decode()}
    raise TypeError(type(value).__name__)


def main(path: str) -> None:
    """Write the runs to *path*, from DynamoDB as moto plays it."""
    import boto3
    from moto import mock_aws

    from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
    from workflow_engine.adapters.aws.dynamodb.table import create_table_request
    from workflow_engine.kernel import KernelSettings
    from workflow_engine.testing.clock import FakeClock, SequentialIds

    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")

        def make() -> tuple[VirtualEngine, Callable[[], list[Any]]]:
            name, clock, ids = f"t{len(client.list_tables()['TableNames'])}", FakeClock(), SequentialIds()
            client.create_table(**create_table_request(name))
            persistence = DynamoPersistence(table_name=name, shards=2, clock=clock, ids=ids, client=client)
            engine = VirtualEngine(clock=clock, ids=ids, persistence=persistence, settings=KernelSettings(due_shards=2))
            return engine, lambda: client.scan(TableName=name)["Items"]

        text = json.dumps(stored(make), default=_plain, indent=1, sort_keys=True)
    Path(path).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
