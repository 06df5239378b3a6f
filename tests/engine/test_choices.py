"""Which stages run is decided by what comes before them: what that leaves, shows and costs, and what it withstands."""

from datetime import timedelta
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from tests.engine.choosing import (
    Asked,
    Mail,
    Order,
    Text,
    buy,
    by_mail,
    by_truck,
    card,
    gift,
    gift_first,
    gifting,
    no,
    raising,
    say,
    say_packed,
    say_sent,
    sending,
    statuses,
    wrap,
)
from tests.engine.conftest import MakeEngine
from workflow_engine import (
    RerunFrom,
    StageContext,
    StageSkipped,
    StageSkippedError,
    Status,
    WaitForSignal,
    Workflow,
    sleep,
    stage,
)
from workflow_engine.kernel import published_types
from workflow_engine.kernel.execution import time_limit
from workflow_engine.kernel.queries import archive_format
from workflow_engine.model.runs import SKIPPED_EPOCH, EntryState, Head
from workflow_engine.testing.engine import VirtualEngine


class Kind(Enum):
    SMALL = "small"
    LARGE = "large"


def test_a_stage_runs_where_its_predicate_says_so(engine: VirtualEngine) -> None:
    run = engine.run(gifting(lambda order: order.total > 100), Order(total=101))
    assert run.output == {"text": "Order(total=101, kind='small')"}
    assert set(statuses(run).values()) == {Status.COMPLETED}


def test_it_is_skipped_where_that_says_no_and_what_follows_gets_none(engine: VirtualEngine) -> None:
    run = engine.run(gifting(lambda order: order.total > 100), Order(total=100))
    assert run.output == {"text": "None"}
    assert statuses(run) == {"buy": Status.COMPLETED, "gift": Status.SKIPPED, "say": Status.COMPLETED}
    assert dict(run.head.winners) == {(1, 0): SKIPPED_EPOCH}
    assert [record.key.stage_id for record in run.records] == ["buy", "say"]


@pytest.mark.parametrize(("kind", "text"), [("small", "Mail(stamps=7)"), ("large", "Truck(wheels=7)")])
def test_one_arm_of_a_choice_runs(engine: VirtualEngine, kind: str, text: str) -> None:
    run = engine.run(sending(lambda order: order.kind), Order(total=7, kind=kind))
    assert run.output == {"text": text}
    assert sorted(statuses(run).values()) == ["COMPLETED", "COMPLETED", "COMPLETED", "SKIPPED"]


def test_the_arm_is_chained_in_the_invocation_that_decides(engine: VirtualEngine) -> None:
    run = engine.start(sending(lambda order: order.kind), Order())
    assert engine.host.process_available_jobs(max_jobs=1).processed == 1
    assert (run.status, engine.job_transport.pending()) == (Status.COMPLETED, 0)


def test_otherwise_is_for_all_that_has_no_case() -> None:
    workflow = sending(lambda order: order.kind, small=by_mail, otherwise=by_truck)
    run = VirtualEngine().run(workflow, Order(kind="huge"))
    assert statuses(run)["by-truck"] is Status.COMPLETED


@pytest.mark.parametrize("answer", ["by-mail", Kind.SMALL, 1, True])
def test_cases_are_text_enums_numbers_and_bools(answer: Any) -> None:
    workflow = Workflow("w", input=Order).choose(lambda _: answer, {answer: by_mail}, otherwise=by_truck).build()
    assert statuses(VirtualEngine().run(workflow, Order()))["by-mail"] is Status.COMPLETED


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(("total", "gifts"), [(1, "None"), (200, "Order(total=200, kind='small')")])
def test_what_follows_a_group_has_none_for_what_was_skipped(
    engine: VirtualEngine, total: int, gifts: str, inline: bool
) -> None:
    group = (wrap, gift.when(lambda order: order.total > 100))
    workflow = Workflow("w", input=Order).pipe(buy).parallel(*group, inline=inline).pipe(say_packed).build()
    run = engine.run(workflow, Order(total=total))
    assert run.output == {"text": f"Packed(wrap=Order(total={total}, kind='small'), gift={gifts})"}


def test_a_group_with_one_left_is_carried_as_one_stage(engine: VirtualEngine) -> None:
    workflow = Workflow("w", input=Order).pipe(buy).parallel(wrap, gift.when(no)).pipe(say_packed).build()
    run = engine.start(workflow, Order())
    assert engine.host.process_available_jobs(max_jobs=1).processed == 1
    # Its record rides in the head, as that of any stage without siblings.
    assert run.status is Status.COMPLETED
    assert {record.key.stage_id for record in run.head.recent} >= {"wrap", "say-packed"}


def test_groups_of_which_all_is_skipped_are_passed_in_one_write(engine: VirtualEngine) -> None:
    group = (wrap.when(no), gift.when(no))
    workflow = Workflow("w", input=Order).pipe(buy).parallel(*group).pipe(card, when=no).pipe(say).build()
    run = engine.start(workflow, Order())
    before = run.head.version
    engine.drive(run)
    assert run.output == {"text": "None"}
    assert set(run.head.winners.values()) == {SKIPPED_EPOCH}
    # The claim, the stage before with all that is skipped, and the last one with the end and its telling.
    assert run.head.version - before == 4


def test_a_predicate_behind_a_skipped_group_is_asked_for_none() -> None:
    asked = Asked(no)
    workflow = Workflow("w", input=Order).pipe(buy).pipe(gift, when=no).pipe(card, when=asked).pipe(say).build()
    VirtualEngine().run(workflow, Order())
    assert asked.values == [None]


def test_a_run_whose_last_stages_are_skipped_is_complete_with_none(engine: VirtualEngine) -> None:
    workflow = Workflow("w", input=Order).pipe(buy).pipe(gift, when=no).pipe(card, when=no).build()
    run = engine.run(workflow, Order())
    assert (run.status, run.outcome.output, run.output) == (Status.COMPLETED, b"null", None)
    assert statuses(run)["card"] is Status.SKIPPED


def test_a_run_of_which_nothing_runs_is_complete_with_none(engine: VirtualEngine) -> None:
    run = engine.run(Workflow("w", input=Order).parallel(gift.when(no), wrap.when(no)).build(), Order())
    assert (run.status, run.outcome.output) == (Status.COMPLETED, b"null")
    assert set(statuses(run).values()) == {Status.SKIPPED}


def test_a_predicate_gets_what_the_stage_would_get_and_cannot_change_it() -> None:
    def meddling(order: Order) -> bool:
        order.total = 1_000
        return True

    asked = Asked(meddling)
    run = VirtualEngine().run(gifting(asked), Order(total=3))
    assert (type(asked.values[0]), run.output) == (Order, {"text": "Order(total=3, kind='small')"})


def test_a_chooser_behind_a_group_gets_all_of_its_outputs() -> None:
    @stage("both")
    def both(packed: BaseModelPacked) -> Text:
        return Text(text="both")

    asked = Asked(lambda packed: "b" if packed.gift is None else "a")
    group = (wrap, gift.when(no))
    workflow = Workflow("w", input=Order).parallel(*group).choose(asked, a=say_packed, b=both).build()
    run = VirtualEngine().run(workflow, Order(total=4))
    assert run.output == {"text": "both"}
    assert (asked.values[0].wrap, asked.values[0].gift) == (Order(total=4), None)


class BaseModelPacked(BaseModel):
    gift: Order | None = None


def test_a_sleep_can_be_skipped() -> None:
    engine = VirtualEngine()
    workflow = Workflow("w", input=Order).pipe(sleep("nap", timedelta(hours=1)), when=no).pipe(say).build()
    began = engine.clock.now()
    assert engine.run(workflow, Order()).output == {"text": "None"}
    assert engine.clock.now() - began < timedelta(hours=1)


def test_a_sleep_hands_on_which_of_several_came() -> None:
    workflow = (
        Workflow("w", input=Order)
        .choose(lambda order: order.kind, small=by_mail, large=by_truck)
        .pipe(sleep("nap", timedelta(hours=1)))
        .pipe(say_sent)
        .build()
    )
    assert VirtualEngine().run(workflow, Order(total=2, kind="large")).output == {"text": "Truck(wheels=2)"}


def test_of_models_that_look_alike_the_one_of_the_arm_that_ran_is_meant() -> None:
    class Plain(BaseModel):
        model_config = ConfigDict(extra="allow")
        total: int = 0

    class Fancy(BaseModel):
        total: int = 0

    @stage("plain")
    def plain(order: Order) -> Plain:
        return Plain()

    @stage("fancy")
    def fancy(order: Order) -> Fancy:
        return Fancy()

    @stage("which")
    def which(one: Plain | Fancy) -> Text:
        return Text(text=type(one).__name__)

    workflow = Workflow("w", input=Order).choose(lambda order: order.kind, a=plain, b=fancy).pipe(which).build()
    engine = VirtualEngine()
    assert [engine.run(workflow, Order(kind=kind)).output["text"] for kind in "ab"] == ["Plain", "Fancy"]


def test_require_of_a_skipped_stage_raises_and_optional_gives_none(engine: VirtualEngine) -> None:
    caught: list[Exception] = []

    @stage("ask", requires=[gift])
    def ask(order: Order | None, ctx: StageContext) -> Text:
        try:
            ctx.require(gift)
        except StageSkippedError as error:
            caught.append(error)
        return Text(text=repr(ctx.optional(gift)))

    workflow = Workflow("w", input=Order).pipe(gift, when=no).pipe(ask).build()
    assert engine.run(workflow, Order()).output == {"text": "None"}
    assert "was skipped in this run" in str(caught[0])


def test_a_stage_that_requires_a_skipped_one_fails_at_once() -> None:
    calls = []

    @stage("ask", requires=[gift])
    def ask(order: Order | None, ctx: StageContext) -> Text:
        calls.append(1)
        return Text(text=repr(ctx.require(gift)))

    run = VirtualEngine().run(Workflow("w", input=Order).pipe(gift, when=no).pipe(ask).build(), Order())
    assert (run.error and run.error.type, len(calls)) == ("StageSkippedError", 1)


def test_a_skipped_stage_is_told_where_that_is_asked_for(make_engine: MakeEngine) -> None:
    engine = make_engine(published=published_types(["*"]))
    run = engine.run(gifting(no), Order())
    skipped = [event for event in run.events if isinstance(event, StageSkipped)]
    assert [event.stage_id for event in skipped] == ["gift"]
    assert [event.sequence for event in run.events] == list(range(1, len(run.events) + 1))
    assert "stage:skipped" not in {event.type for event in VirtualEngine().run(gifting(no), Order()).events}


def test_the_events_of_a_run_that_skips_its_first_stage_begin_like_any(make_engine: MakeEngine) -> None:
    engine = make_engine(published=published_types(["*"]))
    run = engine.run(gift_first(no), Order())
    types = list({event.sequence: event.type for event in run.events}.values())
    assert types[:4] == ["workflow:created", "workflow:started", "stage:skipped", "stage:started"]


def test_history_and_archive_say_what_was_skipped(engine: VirtualEngine) -> None:
    run = engine.run(sending(lambda order: order.kind), Order())
    assert ("stage:skipped", "by-truck") in [
        (event.type, event.facts.get("stage_id")) for event in engine.kernel.queries.events(run.id)
    ]
    archived = archive_format.read(engine.kernel.queries.archive_lines(run.head))
    definition = engine.kernel.queries.definition_of(run.head)
    assert {one.stage_id: one.status for one in archived.view(definition).stages} == statuses(run)


def test_a_chosen_stage_may_wait_for_a_signal_as_one_without_siblings(engine: VirtualEngine) -> None:
    @stage("ask-mail")
    def ask_mail(order: Order) -> Mail | WaitForSignal[Mail]:
        return WaitForSignal("stamps", Mail)

    @ask_mail.on_signal
    def stamped(mail: Mail, ctx: StageContext) -> Mail:
        return mail

    run = engine.run(sending(lambda order: order.kind, small=ask_mail, large=by_truck), Order())
    assert (run.status, run.waiting_for) == (Status.SUSPENDED, ("stamps",))
    engine.signal(run, "stamps", Mail(stamps=3))
    assert run.output == {"text": "Mail(stamps=3)"}


def test_many_skipped_stages_are_found_beside_the_head(engine: VirtualEngine) -> None:
    workflow = Workflow("many", input=Order).pipe(buy)
    for number in range(70):

        @stage(f"maybe-{number}")
        def maybe(order: Order | None) -> Order:
            return order or Order()

        workflow.pipe(maybe, when=lambda order, number=number: number % 2 == 1)  # type: ignore[misc]

    @stage("last", requires=["maybe-0"])
    def last(order: Order | None, ctx: StageContext) -> Text:
        return Text(text=repr(ctx.optional("maybe-0")))

    run = engine.run(workflow.pipe(last).build(), Order())
    assert (run.output, run.head.winners_from > 0) == ({"text": "None"}, True)
    assert [one.status for one in engine.kernel.queries.run(run.id).stages].count(Status.SKIPPED) == 35
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="last"))
    engine.drive(run)
    assert run.output == {"text": "None"}


# What it withstands


def failed(run: Any) -> tuple[str, str | None, int, tuple[Any, ...]]:
    """The error of a run, the stage that has it, and where the run stands."""
    head: Head = run.head
    assert head.failure is not None
    return head.failure.error.type, head.failure.stage_id, head.group, head.active


NO_BOOLS: dict[str, Any] = {
    "raises": raising,
    "a number": lambda _: 1,
    "nothing": lambda _: None,
    "text": lambda _: "yes",
    "a generator": lambda _: (_ for _ in ()),
}
NO_CASES: dict[str, Any] = {
    "raises": raising,
    "an unknown case": lambda _: "huge",
    "nothing": lambda _: None,
    "a fraction": lambda _: 3.5,
}


@pytest.mark.parametrize("answer", NO_BOOLS.values(), ids=NO_BOOLS)
def test_a_predicate_without_an_answer_fails_the_run_behind_the_group_before(
    engine: VirtualEngine, answer: Any
) -> None:
    run = engine.run(gifting(answer), Order())
    assert failed(run) == ("ChoiceError", "gift", 1, ())
    assert statuses(run) == {"buy": Status.COMPLETED, "gift": Status.PENDING, "say": Status.PENDING}
    assert [event.type for event in run.events] == ["workflow:failed"]


@pytest.mark.parametrize("answer", NO_CASES.values(), ids=NO_CASES)
def test_so_does_a_choice_without_a_stage(engine: VirtualEngine, answer: Any) -> None:
    assert failed(engine.run(sending(answer), Order())) == ("ChoiceError", "by-mail", 1, ())


def test_one_that_raises_is_quoted_and_says_whose_it_is() -> None:
    error = VirtualEngine().run(gifting(raising), Order()).error
    assert error is not None
    assert error.message == "whether stage 'gift' runs: what decides it raised ValueError: out of order"


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), BaseException("x")])
def test_nothing_that_a_predicate_raises_ends_the_worker(error: BaseException) -> None:
    def ends(_: Any) -> bool:
        raise error

    assert failed(VirtualEngine().run(gifting(ends), Order()))[0] == "ChoiceError"


def test_one_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch, make_engine: MakeEngine) -> None:
    def slow(call: Any, *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
        # Real time is not simulated: what the runner is given of it is.
        short = timedelta(milliseconds=30) if timeout <= timedelta(seconds=10) else timeout
        return time_limit.run_within(call, stage_id=stage_id, timeout=short, is_async=is_async)

    def endless(_: Any) -> bool:
        while True:
            pass

    run = make_engine(run_stage=slow).run(gifting(endless), Order())
    assert failed(run)[:2] == ("ChoiceError", "gift")
    assert run.error is not None
    assert "longer than 10 s" in run.error.message


def test_an_async_predicate_is_awaited() -> None:
    async def later(order: Order) -> bool:
        return order.total > 1

    assert VirtualEngine().run(gifting(later), Order(total=2)).output != {"text": "None"}


def test_one_that_looks_at_something_that_changes_is_asked_once(engine: VirtualEngine) -> None:
    answers = [True, False, False, False]
    asked = Asked(lambda _: answers.pop(0))
    flaky: list[int] = []

    @stage("flaky")
    def flaky_gift(order: Order) -> Order:
        flaky.append(1)
        if len(flaky) < 3:
            raise ConnectionError("again")
        return order

    workflow = Workflow("w", input=Order).pipe(buy).pipe(flaky_gift, when=asked).pipe(say).build()
    run = engine.run(workflow, Order())
    assert (run.output, asked.times, len(flaky)) == ({"text": "Order(total=0, kind='small')"}, 1, 3)


def test_the_run_goes_again_from_the_stage_that_could_not_be_decided(engine: VirtualEngine) -> None:
    answers: list[Any] = [None, True]
    run = engine.run(gifting(Asked(lambda _: answers.pop(0))), Order())
    assert run.status is Status.FAILED
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="gift"))
    engine.drive(run)
    assert run.output == {"text": "Order(total=0, kind='small')"}


def test_a_rerun_from_there_decides_anew_and_one_behind_it_does_not(engine: VirtualEngine) -> None:
    answers = ["small", "large"]
    asked = Asked(lambda _: answers.pop(0))
    run = engine.run(sending(asked), Order(total=1))
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="say-sent"))
    engine.drive(run)
    assert (run.output, asked.times) == ({"text": "Mail(stamps=1)"}, 1)
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="by-mail"))
    engine.drive(run)
    assert (run.output, asked.times) == ({"text": "Truck(wheels=1)"}, 2)


def test_a_rerun_behind_a_skipped_stage_needs_nothing_of_it(engine: VirtualEngine) -> None:
    run = engine.run(gifting(no), Order())
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="say"))
    engine.drive(run)
    assert run.output == {"text": "None"}


def test_a_rerun_of_a_chosen_stage_finds_the_steps_that_are_kept(engine: VirtualEngine) -> None:
    calls: list[int] = []

    def count() -> int:
        calls.append(1)
        return len(calls)

    @stage("steps")
    def steps(order: Order, ctx: StageContext) -> Mail:
        return Mail(stamps=ctx.step("count", count))

    run = engine.run(sending(lambda order: order.kind, small=steps, large=by_truck), Order())
    command = RerunFrom(run_id=run.id, from_stage_id="steps", keep_steps=True)
    engine.kernel.dispatch(command)
    engine.drive(run)
    assert (run.output, calls) == ({"text": "Mail(stamps=1)"}, [1])


def test_what_was_skipped_is_not_undone(engine: VirtualEngine) -> None:
    undone: list[str] = []

    def undoable(name: str) -> Any:
        @stage(name)
        def body(order: Order) -> Order:
            return order

        @body.undo
        def back(done: Order | None, ctx: StageContext) -> None:
            undone.append(name)

        return body

    @stage("end")
    def end(order: Order) -> Order:
        raise ValueError("no")

    first, second = undoable("first"), undoable("second")
    workflow = Workflow("w", input=Order).choose(lambda order: order.kind, small=first, large=second).pipe(end)
    run = engine.run(workflow.build(), Order())
    assert (run.status, undone) == (Status.FAILED, ["first"])


def test_a_choice_that_cannot_be_made_undoes_what_was_done(engine: VirtualEngine) -> None:
    undone: list[str] = []

    @stage("first")
    def first(order: Order) -> Order:
        return order

    @first.undo
    def back(done: Order | None, ctx: StageContext) -> None:
        undone.append("first")

    workflow = Workflow("w", input=Order).pipe(first).pipe(gift, when=raising).build()
    began = engine.clock.now()
    run = engine.run(workflow, Order())
    assert (run.status, undone, run.error and run.error.type) == (Status.FAILED, ["first"], "ChoiceError")
    assert engine.clock.now() == began


def test_the_entries_say_what_is_skipped_while_the_group_runs(engine: VirtualEngine) -> None:
    seen: list[tuple[EntryState, ...]] = []

    @stage("look")
    def look(order: Order, ctx: StageContext) -> Mail:
        head = engine.persistence.load_head(ctx.run_id)  # type: ignore[arg-type]
        assert head is not None
        seen.append(tuple(entry.state for entry in head.active))
        return Mail(stamps=0)

    engine.run(sending(lambda order: order.kind, small=look, large=by_truck), Order())
    assert seen == [(EntryState.SKIPPED, EntryState.LEASED)]


def test_literals_have_cases() -> None:
    def by(order: Order) -> Literal["small", "large"]:
        return "large"

    assert statuses(VirtualEngine().run(sending(by), Order()))["by-truck"] is Status.COMPLETED


def test_a_stage_may_be_that_of_several_cases() -> None:
    workflow = sending(lambda order: order.kind, small=by_mail, medium=by_mail, large=by_truck)
    assert statuses(VirtualEngine().run(workflow, Order(kind="medium")))["by-mail"] is Status.COMPLETED
