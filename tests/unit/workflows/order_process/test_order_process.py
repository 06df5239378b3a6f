"""An order completes once or leaves nothing behind, whatever dies, hangs, is declined or is cancelled, and wherever.

A moment is one of a port's calls, before it has been made or after it took effect and before it has answered. The
outside of the workflow tells each, and a test says what happens at which.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial, wraps
from threading import Event
from typing import Any, TypeAlias

import pytest

from workflow_engine import CancelRun, KernelSettings, PermanentError, Status, UndoRun
from workflow_engine.kernel.execution.time_limit import run_within
from workflow_engine.testing.engine import VirtualEngine
from workflows.order_process import workflow
from workflows.order_process.memory import MemoryBank, MemoryCarrier, MemoryMailer, MemoryStock, Outside, Taken

CUSTOMER = "ada@example.org"
ORDER = {"article": "tea", "cents": 990, "card": "ada's", "address": "Vienna", "email": CUSTOMER}
FORWARD = ("stock.reserve", "bank.charge", "carrier.book", "carrier.hand_over", "mailer.send")
MOMENTS = tuple(f"{call} {when}" for call in FORWARD for when in ("before", "after"))
# What follows on a card that is declined, and on a carrier that does not answer when a parcel is handed over.
AFTER_A_DECLINED_CARD = ("bank.refund", "stock.release", "mailer.send")
WITHOUT_CARRIER = ("carrier.call_back", "mailer.send", *AFTER_A_DECLINED_CARD)
# Past the lease of a worker that died, and the message that it had.
A_LEASE = timedelta(minutes=20)
MAX_DEATHS = 60

Act: TypeAlias = Callable[[], object]


class Wired:
    """A port that tells the moments of its calls."""

    def __init__(self, name: str, port: object, tell: Callable[[str], None]) -> None:
        self._name, self._port, self._tell = name, port, tell

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._port, method)

        @wraps(call)
        def told(*arguments: Any) -> Any:
            self._tell(f"{self._name}.{method} before")
            answer = call(*arguments)
            self._tell(f"{self._name}.{method} after")
            return answer

        return told


class World:
    """An order in an engine, what is outside of it, and the moments that there were. *at* has what happens at the
    moment of that number, *always* what happens at each of that name."""

    def __init__(self, **settings: Any) -> None:
        self.stock, self.bank, self.carrier, self.mailer = MemoryStock(), MemoryBank(), MemoryCarrier(), MemoryMailer()
        self.moments: list[str] = []
        self.at: dict[int, Act] = {}
        self.always: dict[str, Act] = {}
        self.engine = VirtualEngine(workflow.order_process, settings=KernelSettings(due_shards=1, **settings))

    @property
    def outside(self) -> Outside:
        """What the workflow finds outside."""
        names = ("stock", "bank", "carrier", "mailer")
        return Outside(**{name: Wired(name, getattr(self, name), self.tell) for name in names})

    def tell(self, moment: str) -> None:
        self.moments.append(moment)
        self.at.get(len(self.moments) - 1, lambda: None)()
        self.always.get(moment, lambda: None)()

    def order(self, **changes: Any) -> "World":
        """Process an order to its end; whoever dies is found once the lease is over."""
        self.run = self.engine.start(workflow.order_process, {**ORDER, **changes})
        for _ in range(MAX_DEATHS):
            try:
                self.engine.drive(self.run)
            except KeyboardInterrupt:
                self.engine.clock.advance(A_LEASE)
            if self.run.status.is_terminal:
                break
        return self

    def cancel(self) -> None:
        """A customer changes their mind."""
        assert self.engine.kernel.dispatch(CancelRun(run_id=self.run.id, reason="changed my mind")).cancelled

    def mails_to(self, who: str) -> list[str]:
        """What was sent to *who*, in order."""
        return [text for to, text in self.mailer.sent.values() if to == who]

    @property
    def takings(self) -> tuple[Taken, Taken, Taken]:
        """What was taken of each kind."""
        return self.stock.reserved, self.bank.charged, self.carrier.booked

    def assert_complete(self) -> None:
        """The customer has paid once, and gets what they paid for once."""
        assert self.run.status is Status.COMPLETED, self.run.error
        assert [len(taken.history) for taken in self.takings] == [1, 1, 1]
        assert [len(taken.open) for taken in self.takings] == [1, 1, 1]
        assert len(self.carrier.handed_over) == 1
        assert self.mails_to(CUSTOMER) == ["Your tea is on its way."]
        assert self.mails_to(workflow.SUPPORT) == []

    def assert_undone(self, status: Status) -> None:
        """The money is back, the goods are free, no parcel is under way, and nobody believes anything else."""
        assert self.run.status is status
        assert [taken.open for taken in self.takings] == [{}, {}, {}]
        assert all(len(taken.history) <= 1 for taken in self.takings)
        assert self.carrier.handed_over == set()
        mails = self.mails_to(CUSTOMER)
        assert mails[-1:] in ([], ["It is not on its way after all. We are sorry."])
        assert len(mails) <= 2
        [told] = self.mails_to(workflow.SUPPORT)
        assert told == f"Order {self.run.id} {status}; left to take back: nothing."


@pytest.fixture
def make_world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Makes worlds; the newest one is outside of the workflow."""

    def make(**settings: Any) -> World:
        world = World(**settings)
        monkeypatch.setattr(workflow, "outside", world.outside)
        return world

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()


def die() -> None:
    """The process ends here."""
    raise KeyboardInterrupt


def lose_the_line() -> None:
    """Whoever was called does not answer."""
    raise ConnectionError("no answer")


each_moment = pytest.mark.parametrize("moment", range(len(MOMENTS)), ids=MOMENTS)


# An order that nothing is the matter with


def test_an_order_is_shipped_once_and_charged_once(world: World) -> None:
    world.order().assert_complete()
    # Nothing that the other tests begin with is missing.
    assert tuple(world.moments) == MOMENTS


@each_moment
def test_an_order_survives_a_worker_that_dies(world: World, moment: int) -> None:
    world.at[moment] = die
    world.order().assert_complete()


@each_moment
def test_an_order_survives_a_line_that_breaks(world: World, moment: int) -> None:
    world.at[moment] = lose_the_line
    world.order().assert_complete()


# Orders that come to nothing


@each_moment
def test_an_order_whose_workers_all_die_at_one_place_is_undone(world: World, moment: int) -> None:
    world.always[MOMENTS[moment]] = die
    if "mailer" in MOMENTS[moment]:
        # Support is told by mail as well: these workers live again once it is decided that the order fails.
        world.always = {MOMENTS[moment]: lambda: None if world.run.head.is_closing else die()}
    world.order().assert_undone(Status.FAILED)
    assert world.run.error is not None
    assert world.run.error.type == "LeaseLostError"


@each_moment
def test_an_order_that_everybody_forgets_expires_and_is_undone(world: World, moment: int) -> None:
    def fall_asleep() -> None:
        world.engine.clock.advance(timedelta(days=3))
        die()

    world.at[moment] = fall_asleep
    world.order().assert_undone(Status.FAILED)
    assert world.run.error is not None
    assert world.run.error.type == "RunExpiredError"


def test_a_declined_card_is_not_tried_again_and_frees_the_stock(world: World) -> None:
    world.order(card="declined").assert_undone(Status.FAILED)
    assert world.run.error is not None
    assert world.run.error.type == "DeclinedError"
    assert world.moments.count("bank.charge before") == 1
    assert (len(world.stock.reserved.history), world.bank.charged.history) == (1, [])
    assert world.mails_to(CUSTOMER) == []


def test_what_was_done_last_is_taken_back_first(world: World) -> None:
    world.always["carrier.hand_over before"] = lose_the_line
    world.order().assert_undone(Status.FAILED)
    undone = [moment.split()[0] for moment in world.moments if "after" in moment][3:]
    assert undone[0] == "mailer.send"
    assert sorted(undone[1:3]) == ["carrier.call_back", "mailer.send"]
    assert undone[3:] == list(AFTER_A_DECLINED_CARD)


def test_a_worker_that_dies_over_a_declined_card_changes_nothing(make_world: Callable[..., World]) -> None:
    crash_everywhere(make_world, lambda world: world.order(card="declined"), calls=(2, *AFTER_A_DECLINED_CARD))


def test_a_worker_that_dies_where_the_carrier_does_not_answer_changes_nothing(
    make_world: Callable[..., World],
) -> None:
    def order(world: World) -> World:
        world.always["carrier.hand_over before"] = lose_the_line
        return world.order()

    # Each of the five, and two more attempts to hand over what was booked in the first one.
    crash_everywhere(make_world, order, calls=(7, *WITHOUT_CARRIER))


def crash_everywhere(
    make_world: Callable[..., World], order: Callable[[World], World], *, calls: tuple[Any, ...]
) -> None:
    """A worker dies at each moment in turn of what *order* does, which fails; *calls* are how many calls go forward
    and the names of the others."""
    whole = order(make_world())
    whole.assert_undone(Status.FAILED)
    made = [moment.split()[0] for moment in whole.moments if "before" in moment]
    assert sorted(made[calls[0] :]) == sorted(calls[1:])
    for moment in range(len(whole.moments)):
        world = make_world()
        world.at[moment] = die
        order(world).assert_undone(Status.FAILED)


# A carrier that hangs


@pytest.mark.parametrize("moment", range(4, 8), ids=MOMENTS[4:8])
def test_a_carrier_that_hangs_is_left_and_the_order_undone(make_world: Callable[..., World], moment: int) -> None:
    world = make_world(run_stage=impatient)
    world.always[MOMENTS[moment]] = lambda: Event().wait(30)
    world.order().assert_undone(Status.FAILED)
    assert world.run.error is not None
    assert world.run.error.type == "StageTimeoutError"
    assert len(world.bank.charged.history) == 1


@pytest.mark.parametrize("moment", range(4, 8), ids=MOMENTS[4:8])
def test_a_carrier_that_hung_once_is_asked_again(make_world: Callable[..., World], moment: int) -> None:
    world = make_world(run_stage=impatient)
    world.at[moment] = lambda: Event().wait(30)
    world.order().assert_complete()


def impatient(call: Callable[[], Any], *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
    """As stages are run, with less patience for the carrier: a test has no half a minute."""
    timeout = timedelta(milliseconds=50) if timeout == timedelta(seconds=30) else timeout
    return run_within(call, stage_id=stage_id, timeout=timeout, is_async=is_async)


# A customer who changes their mind


@each_moment
def test_an_order_is_cancelled_in_the_middle(world: World, moment: int) -> None:
    world.at[moment] = world.cancel
    world.order().assert_undone(Status.CANCELLED)


@each_moment
def test_a_worker_that_dies_in_or_after_a_cancel_changes_nothing(make_world: Callable[..., World], moment: int) -> None:
    def cancelled_at(moment: int) -> World:
        world = make_world()
        world.at[moment] = world.cancel
        return world

    def cancel_and_die(world: World) -> None:
        world.cancel()
        die()

    whole = cancelled_at(moment).order()
    world = make_world()
    world.at[moment] = partial(cancel_and_die, world)
    world.order().assert_undone(Status.CANCELLED)
    for later in range(moment + 1, len(whole.moments)):
        world = cancelled_at(moment)
        world.at[later] = die
        world.order().assert_undone(Status.CANCELLED)


# An undo that fails


def test_a_bank_that_is_closed_gets_the_refund_when_it_opens(world: World) -> None:
    began, opens = world.engine.clock.now(), timedelta(hours=10)
    world.at[8] = world.cancel

    def look_at_the_clock() -> None:
        if world.engine.clock.now() < began + opens:
            lose_the_line()

    world.always["bank.refund before"] = look_at_the_clock
    world.order().assert_undone(Status.CANCELLED)
    assert opens <= world.engine.clock.now() - began < opens + timedelta(hours=1)


def test_money_that_cannot_be_given_back_is_told_and_given_back_when_somebody_asks(world: World) -> None:
    def refuse() -> None:
        raise PermanentError("this bank is no more")

    world.at[8] = world.cancel
    world.always["bank.refund before"] = refuse
    world.order()
    assert [len(taken.open) for taken in world.takings] == [0, 1, 0]
    [told] = world.mails_to(workflow.SUPPORT)
    assert told == f"Order {world.run.id} CANCELLED; left to take back: charge."
    world.always.clear()
    assert world.engine.kernel.dispatch(UndoRun(run_id=world.run.id)).stages == ["charge"]
    world.engine.drive(world.run)
    assert (world.run.status, world.bank.charged.open) == (Status.CANCELLED, {})
