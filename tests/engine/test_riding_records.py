"""Where the records of finished stages lie: what rides in the head, what leaves it, and what never does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel

from workflow_engine import (
    CreateRun,
    RerunFrom,
    RetryPolicy,
    Stage,
    StageContext,
    StageResult,
    Status,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.kernel import published_types
from workflow_engine.kernel.queries import archive_format
from workflow_engine.kernel.records import listed
from workflow_engine.model.limits import WRITE_UNIT_BYTES
from workflow_engine.model.runs import Head, StageRecord
from workflow_engine.ports.events import Refusal
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

MakeEngine: TypeAlias = Callable[..., VirtualEngine]
MINUTE = timedelta(minutes=1)


class Text(BaseModel):
    text: str = ""


def sized(name: str, size: int, **options: Any) -> Stage[..., Text]:
    """A stage whose output is *size* bytes of text."""

    @stage(name, timeout=MINUTE, **options)
    def body(given: Text, ctx: StageContext) -> Text:
        return Text(text=name[0] * size)

    return body


def chain(*sizes: int, name: str = "chain") -> WorkflowDefinition:
    workflow = Workflow(name, input=Text)
    for number, size in enumerate(sizes):
        workflow = workflow.pipe(sized(f"{chr(97 + number)}-stage", size))
    return workflow.build()


def units_of(engine: VirtualEngine, head: Head) -> tuple[int, int]:
    """The units of a head without and with what rides in it."""
    found = engine.persistence.head_sizes(head)
    whole = found.apart + found.frame + sum(found.recent)
    return -(-found.apart // WRITE_UNIT_BYTES), -(-whole // WRITE_UNIT_BYTES)


def watched(engine: VirtualEngine) -> list[Head]:
    """Every head that is committed from now on."""
    heads: list[Head] = []
    original = engine.persistence.commit

    def commit(given: Any) -> Any:
        answer = original(given)
        if answer.head is not None:
            heads.append(answer.head)
        return answer

    engine.persistence.commit = commit  # type: ignore[method-assign,assignment]
    return heads


def lie(engine: VirtualEngine, run: VirtualRun) -> tuple[list[str], list[str]]:
    """The stages whose records ride in the head, and those whose records lie in items."""
    in_items: list[StageRecord] = list(engine.persistence.list_records(run.id))
    return [one.key.stage_id[0] for one in run.head.recent], [one.key.stage_id[0] for one in in_items]


@pytest.mark.parametrize("sizes", [(10,) * 12, (200,) * 9, (300, 10, 300, 10, 300), (480,) * 5, (700,) * 4])
def test_it_never_takes_the_head_past_a_unit(engine: VirtualEngine, sizes: tuple[int, ...]) -> None:
    heads = watched(engine)
    run = engine.run(chain(*sizes), Text())
    assert run.output == {"text": chr(96 + len(sizes)) * sizes[-1]}
    assert any(head.recent for head in heads) or min(sizes) > 600
    for head in heads:
        apart, whole = units_of(engine, head)
        assert whole == apart
    assert len(run.records) == len(sizes)


def test_what_is_small_alone_and_too_large_with_the_others_makes_them_leave(engine: VirtualEngine) -> None:
    run = engine.run(chain(250, 400, 250), Text())
    riding, in_items = lie(engine, run)
    assert sorted(riding + in_items) == ["a", "b", "c"]
    assert "a" in in_items
    assert riding


def test_what_is_too_large_alone_is_an_item_and_leaves_the_others_where_they_are(engine: VirtualEngine) -> None:
    run = engine.run(chain(10, 2_000, 10), Text())
    assert lie(engine, run) == (["a", "c"], ["b"])


def test_what_goes_to_s3_rides_by_its_name(engine: VirtualEngine) -> None:
    run = engine.run(chain(10, 9_000, 10), Text())
    assert lie(engine, run) == (["a", "b", "c"], [])
    assert [len(engine.kernel.queries.output(one) or b"") for one in run.records] == [21, 9_011, 21]


def test_metrics_and_artifacts_ride_too(engine: VirtualEngine) -> None:
    @stage("measured", timeout=MINUTE)
    def measured(given: Text) -> StageResult[Text]:
        return StageResult(given, {"rows": 3.5}, {"page": "s3://bucket/page"})

    run = engine.run(Workflow("w", input=Text).pipe(measured).build(), Text())
    [record] = run.records
    assert lie(engine, run)[0] == ["m"]
    assert (dict(record.metrics), dict(record.artifacts)) == ({"rows": 3.5}, {"page": "s3://bucket/page"})


def test_a_failed_attempt_rides_while_its_stage_waits_to_be_tried_again(engine: VirtualEngine) -> None:
    @stage("shaky", timeout=MINUTE, retry=RetryPolicy(max_attempts=2, first_delay=MINUTE))
    def shaky(given: Text, ctx: StageContext) -> Text:
        if ctx.attempt == 1:
            raise ConnectionError("not yet")
        return given

    run = engine.run(Workflow("w", input=Text).pipe(sized("first", 10)).pipe(shaky).build(), Text())
    statuses = [(record.key.stage_id, record.attempt, record.status) for record in run.records]
    assert statuses == [
        ("first", 1, Status.COMPLETED),
        ("shaky", 1, Status.FAILED),
        ("shaky", 2, Status.COMPLETED),
    ]


def test_it_gives_way_to_events_that_nobody_takes(make_engine: MakeEngine) -> None:
    engine = make_engine(published=published_types(["*"]))

    def refuse(events: Any) -> Any:
        return [Refusal("busy", counts=False) for _ in events]

    engine.event_sink.emit = refuse  # type: ignore[method-assign]
    heads = watched(engine)
    run = engine.start(chain(*(100,) * 6), Text())
    engine.work()
    assert run.status is Status.COMPLETED
    for head in heads:
        if head.recent and not head.status.is_terminal:
            apart, whole = units_of(engine, head)
            assert whole == apart


@pytest.mark.parametrize("again", ["b-stage", "e-stage", "h-stage"])
def test_a_rerun_keeps_all_of_it_and_reads_what_was_before(engine: VirtualEngine, again: str) -> None:
    stages = [sized(f"{letter}-stage", 250) for letter in "abcdefg"]

    @stage("h-stage", timeout=MINUTE, requires=stages)
    def looks_back(given: Text, ctx: StageContext) -> Text:
        return Text(text="".join(ctx.require(one).text[:1] for one in stages))

    workflow = Workflow("w", input=Text)
    for one in (*stages, looks_back):
        workflow = workflow.pipe(one)
    run = engine.run(workflow.build(), Text())
    for times in (1, 2):
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id=again))
        assert run.head.recent == ()
        engine.drive(run)
        assert run.output == {"text": "abcdefg"}
        repeated = "abcdefgh".index(again[0])
        assert len(run.records) == 8 + times * (8 - repeated)


def test_a_stage_of_another_invocation_reads_nothing_of_what_rides(make_engine: MakeEngine) -> None:
    engine = make_engine()
    workflow = chain(100, 100, 100)
    run = engine.start(workflow, Text())
    reads: list[str] = []

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            reads.append(name)
            return original(*arguments)

        return call

    for name in ("load_records", "list_records", "load_bundle"):
        setattr(engine.persistence, name, counted(name, getattr(engine.persistence, name)))
    for _ in range(3):
        delivery = engine.job_transport.dequeue()
        assert delivery is not None
        engine.host.handle_job(delivery, deadline=engine.clock.now() + MINUTE)
        engine.job_transport.complete(delivery)
    assert (run.status, reads) == (Status.COMPLETED, [])


@pytest.mark.parametrize("first", [True, False])
def test_where_records_are_to_be_items_what_rides_is_read_all_the_same(engine: VirtualEngine, first: bool) -> None:
    workflow = chain(100, 100, 100, 100)
    engine.settings = replace(engine.settings, records_in_head=first)
    engine.deploy(workflow)
    run = VirtualRun(engine, engine.kernel.submit(CreateRun(workflow_id="chain", input={})))
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    engine.host.handle_job(delivery, deadline=engine.clock.now() + 1.5 * MINUTE)
    engine.job_transport.complete(delivery)
    engine.settings = replace(engine.settings, records_in_head=not first)
    engine.deploy(workflow)
    engine.drive(run)
    assert run.status is Status.COMPLETED
    assert [record.key.stage_id[0] for record in listed(run.head, engine.persistence)] == ["a", "b", "c", "d"]


def test_show_export_and_the_archive_have_what_lies_in_heads_and_bundles(make_engine: MakeEngine) -> None:
    engine = make_engine(archive=True)
    run = engine.run(chain(*(250,) * 6), Text())
    view = engine.kernel.queries.run(run.id)
    assert [len(one.attempts) for one in view.stages] == [1] * 6
    archived = engine.kernel.queries.archived(run.id)
    assert archived is not None
    read = archive_format.read(archived)
    assert [record.key.stage_id[0] for record in read.records] == list("abcdef")
