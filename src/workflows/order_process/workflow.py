"""The stages of an order, what takes each of them back, and who is told.

An undo is called for each stage that has begun, also where nobody knows how far it came: its first parameter is
``None`` then. So none of them looks at what the stage answered. They give back by the key that the stage took with.
"""

from datetime import timedelta

from workflow_engine import Failure, StageContext, Workflow, stage
from workflows.order_process.memory import Outside
from workflows.order_process.models import Charged, Informed, Order, Reserved, Shipped

SUPPORT = "support@example.org"
outside = Outside()


@stage("reserve")
def reserve(order: Order, ctx: StageContext) -> Reserved:
    """Put the goods aside."""
    return Reserved(reservation=outside.stock.reserve(order.article, order.quantity, ctx.effect_key))


@reserve.undo
def release(reserved: Reserved | None, ctx: StageContext) -> None:
    """Put them back."""
    outside.stock.release(ctx.undoes.effect_key)


@stage("charge")
def charge(reserved: Reserved, ctx: StageContext) -> Charged:
    """Take the money. A card that is declined is declined for good."""
    order: Order = ctx.run_input
    return Charged(receipt=outside.bank.charge(order.card, order.cents, ctx.effect_key), cents=order.cents)


@charge.undo
def refund(charged: Charged | None, ctx: StageContext) -> None:
    """Give it back."""
    outside.bank.refund(ctx.undoes.effect_key)


@stage("ship", timeout=timedelta(seconds=30))
def ship(charged: Charged, ctx: StageContext) -> Shipped:
    """Book a parcel and hand it over. A carrier that hangs is left after half a minute."""
    parcel = ctx.step("book", outside.carrier.book, ctx.run_input.address, ctx.key("book"))
    ctx.step("hand-over", outside.carrier.hand_over, parcel, ctx.key("hand-over"))
    return Shipped(parcel=parcel)


@ship.undo
def call_back(shipped: Shipped | None, ctx: StageContext) -> None:
    """Have the parcel brought back."""
    outside.carrier.call_back(ctx.undoes.key("book"))


@stage("mail")
def mail(charged: Charged, ctx: StageContext) -> Informed:
    """Tell the customer."""
    order: Order = ctx.run_input
    outside.mailer.send(order.email, f"Your {order.article} is on its way.", ctx.effect_key)
    return Informed(email=order.email)


@mail.undo
def apologise(informed: Informed | None, ctx: StageContext) -> None:
    """Tell who may have been told. A mail is not taken back: another one follows it, under the undo's own key."""
    outside.mailer.send(ctx.run_input.email, "It is not on its way after all. We are sorry.", ctx.effect_key)


@stage("tell-support")
def tell_support(failure: Failure, ctx: StageContext) -> None:
    """Tell support how it ended, and what somebody must still take back by hand."""
    left = ", ".join(failure.not_undone) or "nothing"
    outside.mailer.send(SUPPORT, f"Order {ctx.run_id} {failure.status}; left to take back: {left}.", ctx.effect_key)


order_process = (
    Workflow("order-process", input=Order, max_duration=timedelta(days=2))
    .pipe(reserve)
    .pipe(charge)
    .parallel(ship, mail)
    .on_failure(tell_support, on=("failed", "cancelled"))
    .build()
)
