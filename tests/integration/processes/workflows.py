"""The workflows that the processes run, one a kind of thing that a run can do.

Every stage leaves a line under its effect key, as a stage leaves its mark on the outside world: what
was done twice by two processes shows there, under one key.
"""

import json
import os
import threading
from datetime import datetime, timedelta

from pydantic import BaseModel

from workflow_engine import (
    NotReady,
    PermanentError,
    Registry,
    RetryPolicy,
    StageContext,
    Suspended,
    WaitForSignal,
    Workflow,
    sleep,
    stage,
)

EFFECTS_VARIABLE = "EFFECTS_FILE"
GO = "go"
# Above what is kept inline, so that it goes through S3.
BIG = "x" * 12_000
TIMEOUT = timedelta(seconds=4)
SOON = RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=1), jitter=False)


class Number(BaseModel):
    value: int
    padding: str = ""


class Parts(BaseModel):
    left: Number
    middle: Number
    right: Number


class Started(BaseModel):
    value: int
    ready_at: datetime


class Go(BaseModel):
    value: int


def leave_mark(ctx: StageContext) -> None:
    """One line, in one write: a process that dies leaves a whole line or none."""
    line = json.dumps({"key": ctx.effect_key, "run": ctx.run_id, "stage": ctx.stage_id, "pid": os.getpid()}) + "\n"
    file = os.open(os.environ[EFFECTS_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def work(ctx: StageContext) -> None:
    """Takes a while before and after the effect, so that a kill can fall on either side of it."""
    wait = threading.Event().wait
    wait(0.1)
    leave_mark(ctx)
    wait(0.2)


@stage("first", timeout=TIMEOUT)
def first(number: Number, ctx: StageContext) -> Number:
    work(ctx)
    return Number(value=number.value + 1)


@stage("flaky", timeout=TIMEOUT, retry=SOON)
def flaky(number: Number, ctx: StageContext) -> Number:
    work(ctx)
    if ctx.attempt == 1:
        raise ConnectionError("the first attempt always fails")
    return Number(value=number.value + 10)


@stage("big", timeout=TIMEOUT)
def big(number: Number, ctx: StageContext) -> Number:
    work(ctx)
    return Number(value=number.value + 100, padding=BIG)


@stage("last", timeout=TIMEOUT)
def last(number: Number, ctx: StageContext) -> Number:
    work(ctx)
    return Number(value=number.value + 1000 + len(number.padding))


@stage("left", timeout=TIMEOUT)
def left(number: Number, ctx: StageContext) -> Number:
    work(ctx)
    return Number(value=number.value + 1)


@stage("middle", timeout=TIMEOUT)
def middle(number: Number, ctx: StageContext) -> Number:
    work(ctx)
    return Number(value=number.value + 2)


@stage("right", timeout=TIMEOUT)
def right(number: Number, ctx: StageContext) -> Number:
    work(ctx)
    return Number(value=number.value + 3)


@stage("total", timeout=TIMEOUT)
def total(parts: Parts, ctx: StageContext) -> Number:
    work(ctx)
    return Number(value=parts.left.value + parts.middle.value + parts.right.value)


@stage("submit", timeout=TIMEOUT)
def submit(number: Number, ctx: StageContext) -> Suspended[Started]:
    work(ctx)
    started = Started(value=number.value, ready_at=ctx.now() + timedelta(seconds=1.5))
    return Suspended(started, poll_every=timedelta(seconds=1))


@submit.check_completion
def look(started: Started, ctx: StageContext) -> Number | NotReady:
    if ctx.now() < started.ready_at:
        return NotReady()
    return Number(value=started.value + 7)


@stage("ask", timeout=TIMEOUT)
def ask(number: Number, ctx: StageContext) -> WaitForSignal[Go]:
    work(ctx)
    return WaitForSignal(GO, Go, timeout=timedelta(minutes=20))


@ask.on_signal
def answered(go: Go, ctx: StageContext) -> Number:
    return Number(value=go.value)


@stage("doomed", timeout=TIMEOUT)
def doomed(number: Number, ctx: StageContext) -> Number:
    work(ctx)
    raise PermanentError("this one always fails")


@stage("touch", timeout=TIMEOUT)
def touch(number: Number, ctx: StageContext) -> Number:
    leave_mark(ctx)
    return number


chain = Workflow("chain", input=Number).pipe(first).pipe(flaky).pipe(big).pipe(last).build()
fan = Workflow("fan", input=Number).pipe(first).parallel(left, middle, right).pipe(total).build()
batch = Workflow("batch", input=Number).pipe(submit).pipe(last).build()
nap = Workflow("nap", input=Number).pipe(first).pipe(sleep("nap", timedelta(seconds=1))).pipe(last).build()
approval = Workflow("approval", input=Number).pipe(ask).pipe(last).build()
failing = Workflow("failing", input=Number).pipe(first).pipe(doomed).build()
single = Workflow("single", input=Number).pipe(touch).build()

registry = Registry([chain, fan, batch, nap, approval, failing, single])
