"""Workflows that between them make the functions do everything that they can do to AWS."""

from datetime import timedelta

from pydantic import BaseModel

from workflow_engine import Registry, StageContext, WaitForSignal, Workflow, stage

TIMEOUT = timedelta(seconds=4)
# Above what is kept inline (8 KB): it goes to the bucket.
BIG = "x" * 20_000
GO = "go"


class Text(BaseModel):
    text: str = ""


class Both(BaseModel):
    left: Text
    right: Text


class Go(BaseModel):
    approved: bool = True


@stage("store", timeout=TIMEOUT)
def store(text: Text, ctx: StageContext) -> Text:
    """Uses all of ``ctx.storage``, logs and annotates, and returns more than an item should hold."""
    ctx.storage.save("kept", b"1")
    ctx.storage.save("dropped", b"2")
    assert ctx.storage.exists("kept")
    assert ctx.storage.load("kept") == b"1"
    ctx.storage.delete("dropped")
    ctx.log("info", "stored")
    ctx.annotate("stored", 1)
    return Text(text=BIG)


@stage("small", timeout=TIMEOUT)
def small(text: Text) -> Text:
    return Text(text=str(len(text.text)))


@stage("look-back", timeout=TIMEOUT, requires=[store])
def look_back(text: Text, ctx: StageContext) -> Text:
    return Text(text=text.text + str(len(ctx.require(store).text)))


@stage("left", timeout=TIMEOUT)
def left(text: Text) -> Text:
    return text


@stage("right", timeout=TIMEOUT)
def right(text: Text) -> Text:
    return text


@stage("both", timeout=TIMEOUT)
def both(sides: Both) -> Text:
    return sides.left


@stage("ask", timeout=TIMEOUT)
def ask(text: Text) -> WaitForSignal[Go]:
    # Beyond the 900 s of an SQS delay: a schedule.
    return WaitForSignal(GO, Go, timeout=timedelta(hours=1))


@ask.on_signal
def answered(go: Go) -> Text:
    return Text(text=str(go.approved))


@stage("chatter", timeout=TIMEOUT)
def chatter(text: Text, ctx: StageContext) -> Text:
    """Tells more than the head of a run should hold while the bus refuses it."""
    for number in range(20):
        ctx.annotate(f"note-{number}", "x" * 400)
    return text


chain = Workflow("chain", input=Text).pipe(store).pipe(small).pipe(look_back).build()
fan = Workflow("fan", input=Text).pipe(small).parallel(left, right).pipe(both).build()
approval = Workflow("approval", input=Text).pipe(ask).pipe(small).build()
chatty = Workflow("chatty", input=Text).pipe(chatter).pipe(ask).build()

registry = Registry([chain, fan, approval, chatty])
# What a deploy may do to a run in flight: the stages behind the one it stands at may change.
longer = Workflow("approval", input=Text).pipe(ask).pipe(small).pipe(left).build()
after_a_deploy = Registry([chain, fan, longer, chatty])
