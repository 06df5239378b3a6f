"""What the views of runs answer: as many as were asked for, of the time that was asked for, and nothing of ghosts."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import CreateRun, PermanentError, RetryPolicy, StageContext, Status, Workflow, stage
from workflow_engine.model.commits import ClaimExpired, Committed, Shared
from workflow_engine.model.ids import StageId
from workflow_engine.model.runs import Annotation, LogLine, StageKey
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Item(BaseModel):
    number: int = 0


@stage("check", retry=RetryPolicy(max_attempts=1))
def check(item: Item) -> Item:
    if item.number % 3:
        raise PermanentError("not a multiple of three")
    return item


CHECKING = Workflow("checking", input=Item).pipe(check).build()


@pytest.fixture
def engine() -> VirtualEngine:
    return VirtualEngine()


def runs(engine: VirtualEngine, count: int) -> list[VirtualRun]:
    """One a minute, the oldest first."""
    found = []
    for number in range(count):
        found.append(engine.start(CHECKING, Item(number=number), attributes={"odd": bool(number % 2)}))
        engine.advance(MINUTE)
    return found


@pytest.mark.parametrize(
    "wanted",
    [{}, {"status": Status.COMPLETED}, {"status": Status.FAILED}, {"attributes": {"odd": True}}],
    ids=["all", "completed", "failed", "attribute"],
)
@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_no_page_is_larger_than_asked_for_and_the_pages_are_all_there_is(
    engine: VirtualEngine, wanted: dict[str, object], limit: int
) -> None:
    made = runs(engine, 30)
    cursor, pages = None, []
    while True:
        page = engine.kernel.queries.runs("checking", limit=limit, cursor=cursor, **wanted)  # type: ignore[arg-type]
        pages.append([head.run_id for head in page.heads])
        cursor = page.cursor
        if cursor is None:
            break
    whole = engine.kernel.queries.runs("checking", limit=1000, **wanted)  # type: ignore[arg-type]
    assert all(len(page) <= limit for page in pages)
    assert [run_id for page in pages for run_id in page] == [head.run_id for head in whole.heads]
    assert 10 <= len(whole.heads) <= len(made)


@pytest.mark.parametrize("status", [None, Status.FAILED, Status.COMPLETED])
def test_since_and_until_are_of_the_creation_whatever_else_is_asked(
    engine: VirtualEngine, status: Status | None
) -> None:
    made = runs(engine, 12)
    since, until = made[3].head.created_at, made[9].head.created_at
    long_ago, never = since - 24 * HOUR, until + 24 * HOUR
    for first, last in ((since, None), (None, until), (since, until)):
        found = engine.kernel.queries.runs("checking", status=status, limit=100, since=first, until=last)
        expected = {
            run.id
            for run in made
            if status in (None, run.status) and (first or long_ago) <= run.head.created_at < (last or never)
        }
        assert {head.run_id for head in found.heads} == expected


def test_notes_of_a_ghost_are_not_shown_while_its_stage_is_at_work(engine: VirtualEngine) -> None:
    views: list[tuple[list[str], list[str]]] = []

    @stage("slow")
    def slow(item: Item, ctx: StageContext) -> Item:
        run_id, at = run.id, engine.clock.now()
        steal = ClaimExpired(0, 0, at + 2 * HOUR, "thief.1", expired_before=at + 2 * HOUR)
        assert isinstance(engine.persistence.commit(Shared(run_id, 0, steal)), Committed)
        for epoch in (0, run.head.active[0].epoch):
            key = StageKey(0, StageId("slow"), epoch)
            line = LogLine(run_id, key, 0, at, "INFO", f"epoch {epoch}", {}, 1, at + 24 * HOUR)
            engine.persistence.put_logs([line])
            note = Annotation(run_id, f"0.slow.{epoch}.0", at, f"epoch {epoch}", 1, "slow", 1, key, at + 24 * HOUR)
            engine.persistence.put_annotations([note])
        views.append(
            (
                [line.message for line in engine.kernel.queries.logs(run_id)],
                [note.name for note in engine.kernel.queries.annotations(run_id)],
            )
        )
        return item

    run = engine.start(Workflow("slowly", input=Item).pipe(slow).build(), Item())
    engine.work()
    (view,) = views
    assert view == (["epoch 1"], ["epoch 1"])


def test_many_notes_of_one_instant_are_listed_in_the_order_in_which_they_were_made(engine: VirtualEngine) -> None:
    @stage("talk")
    def talk(item: Item, ctx: StageContext) -> Item:
        for number in range(25):
            ctx.annotate(f"note-{number}", number)
            ctx.log("info", str(number))
        return item

    run = engine.run(Workflow("talking", input=Item).pipe(talk).build(), Item())
    assert [note.value for note in engine.kernel.queries.annotations(run.id)] == list(range(25))
    assert [line.message for line in engine.kernel.queries.logs(run.id)] == [str(number) for number in range(25)]


def test_a_key_stands_for_a_start_at_an_instant_in_whatever_zone_it_is_said(engine: VirtualEngine) -> None:
    engine.deploy(CHECKING)
    said = ["2030-01-02T12:00:00Z", "2030-01-02T12:00:00+00:00", "2030-01-02T14:00:00+02:00"]
    created = {
        engine.kernel.dispatch(
            CreateRun.model_validate(
                {"workflow_id": "checking", "input": {}, "start_at": start_at, "idempotency_key": "k"}
            )
        ).run_id
        for start_at in said
    }
    assert len(created) == 1
