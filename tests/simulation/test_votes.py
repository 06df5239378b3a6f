"""Histories of siblings that wait for the same signal: each answer counts once, whatever goes wrong."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from tests.simulation.reference import REFERENCE
from tests.simulation.reference_workflows import Number
from workflow_engine import RetryPolicy, Stage, StageContext, Status, WaitForSignal, Workflow, stage
from workflow_engine.testing.simulation import explore
from workflow_engine.testing.simulation.faults import FaultRates
from workflow_engine.testing.simulation.scenario import Ended, Plot, Scenario, Signalling, must_complete

SEEDS, BLOCK = 60, 20
VOTES = (1, 2, 4, 8)
VOID = 16
WHEN = tuple(timedelta(seconds=seconds) for seconds in (0, 2, 3, 300, 7200))


class Counted(BaseModel):
    a: Number
    b: Number
    c: Number


def voter(name: str) -> Stage[..., Any]:
    @stage(name, timeout=timedelta(minutes=2), retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=5)))
    def vote(number: Number) -> WaitForSignal[Number]:
        return WaitForSignal("vote", Number)

    @vote.on_signal
    def counted(given: Number, ctx: StageContext) -> Number | WaitForSignal[Number]:
        if ctx.attempt == 1 and given.value == VOTES[0]:
            raise ConnectionError("the first vote is counted at the second attempt")
        return WaitForSignal("vote", Number) if given.value == VOID else given

    return vote


@stage("late", timeout=timedelta(minutes=2))
def late(counted: Counted) -> WaitForSignal[Number]:
    """Waits for the vote that the three have left."""
    return WaitForSignal("vote", Number)


@late.on_signal
def closed(given: Number, ctx: StageContext) -> Number | WaitForSignal[Number]:
    """All votes together."""
    if given.value == VOID:
        return WaitForSignal("vote", Number)
    counted = ctx.input
    assert isinstance(counted, Counted)
    return Number(value=given.value + counted.a.value + counted.b.value + counted.c.value)


voting = Workflow("voting", input=Number).parallel(voter("a"), voter("b"), voter("c")).pipe(late).build()


def counts_each_vote_once(ended: Ended) -> str | None:
    if ended.head.status is not Status.COMPLETED:
        return must_complete(ended)
    expected = f'"value":{sum(VOTES)}'
    text = (ended.output or b"").decode().replace(" ", "")
    return None if expected in text else f"its output is {text}, and should have {expected}"


PLOT = Plot(
    "voting",
    {"value": 1},
    signals=[Signalling("vote", {"value": vote}, WHEN) for vote in (*VOTES, VOID)],
    judge=counts_each_vote_once,
)
VOTING: Scenario = replace(REFERENCE, workflows=(voting,), plots=(PLOT,), runs=3, rates=FaultRates(stall=20))


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_each_vote_counts_once_in_every_history(first: int) -> None:
    report = explore(VOTING, range(first, first + BLOCK))
    assert report.seeds == BLOCK
    assert report.fewest_steps is not None
    assert report.fewest_steps >= 200
