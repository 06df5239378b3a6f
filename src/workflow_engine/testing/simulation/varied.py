"""Scenarios beyond the reference: people, workers, long chains, other code, and stores that forget."""

from dataclasses import replace
from datetime import timedelta

from workflow_engine.authoring.plugins import Plugin
from workflow_engine.model.status import Status
from workflow_engine.testing.simulation.allowances import Allowance
from workflow_engine.testing.simulation.faults import QUIET, FaultRates
from workflow_engine.testing.simulation.long_workflows import LENGTH, lasting, long_chain, short_lived
from workflow_engine.testing.simulation.outside import hear
from workflow_engine.testing.simulation.people_workflows import again, paging, panel, twins, wide_panel
from workflow_engine.testing.simulation.reference import DEPLOYED, PLOTS, REFERENCE, completes_with
from workflow_engine.testing.simulation.scenario import Ended, Judge, Plot, Signalling, must_complete

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
_YES = {"approved": True}


def _answers(siblings: int) -> list[Signalling]:
    return [Signalling(f"answer-{n}", _YES, (timedelta(0), 2 * MINUTE, HOUR)) for n in range(siblings // 2)]


def _judged_after_rerun(first: int, rerun: int) -> Judge:
    """Its output is *first*, or after a rerun with another input *rerun*."""

    def judge(ended: Ended) -> str | None:
        return completes_with(rerun if ended.reruns else first)(ended)

    return judge


def _one_of(*values: int) -> Judge:
    def judge(ended: Ended) -> str | None:
        problems = [completes_with(value)(ended) for value in values]
        return None if None in problems else problems[0]

    return judge


def _in_time(ended: Ended) -> str | None:
    """It completes within its four hours, of which a worker that hangs may take two."""
    return None if ended.error == "RunExpiredError" else must_complete(ended)


PEOPLE_PLOTS = (
    Plot("panel-4", {"value": 1}, signals=_answers(4), judge=completes_with(4)),
    Plot(
        "twins",
        {"value": 1},
        signals=[Signalling("vote", {"approved": vote}, (timedelta(0), 3 * MINUTE, HOUR)) for vote in (True, False)],
        judge=completes_with(2),
    ),
    Plot(
        "again",
        {"value": 1},
        signals=[
            Signalling("number", {"value": 2}, (timedelta(0), 25 * MINUTE)),
            Signalling("number", {"value": "many"}, (30 * MINUTE,)),
            Signalling("number", {"value": 3}, (HOUR,)),
        ],
        judge=completes_with(4),
    ),
    Plot("paging", {"value": 1}, rerun_from="page", judge=completes_with(43)),
    Plot("panel-4", {"value": 1}, start_after=HOUR, signals=_answers(4), judge=completes_with(4)),
)
PEOPLE = replace(REFERENCE, workflows=(panel, twins, again, paging), plots=PEOPLE_PLOTS, runs=4)
# Half of thirty ask people, and all of their events are published.
WIDE = replace(
    REFERENCE,
    workflows=(wide_panel,),
    plots=[Plot("panel-30", {"value": 1}, signals=_answers(30), judge=completes_with(30), cancel=False)],
    runs=1,
    operators=0,
    rates=FaultRates(most_faults=12),
)
WIDE_CALM = replace(
    WIDE,
    rates=QUIET,
    least_faults=0,
    workers=30,
    plots=[replace(WIDE.plots[0], allowance=Allowance(calls=2, head_bytes=24_000))],
)
LONG_PLOTS = (
    Plot(
        "long-chain",
        {"value": 1},
        config={"link-3": {"plus": 5, "times": 2, "name": "n" * 300}, "link-4": {"times": 3}},
        attributes={"customer": "c" * 200, "nested": {"deep": [1, 2]}},
        rerun_from="link-0",
        rerun_input={"value": 100},
        judge=_judged_after_rerun(1 + LENGTH + 9 + 2, 100 + LENGTH + 9 + 2),
    ),
    Plot("long-chain", {"value": 7}, rival={"value": 70}, judge=_one_of(7 + LENGTH, 70 + LENGTH)),
)
LONG = replace(REFERENCE, workflows=(long_chain, lasting), plots=LONG_PLOTS, runs=3)
# After a rerun the old key of a signal is a new signal.
AGAIN = replace(
    REFERENCE,
    plots=[replace(plot, signals_again=True) for plot in PLOTS if plot.workflow_id == "approval"],
    runs=4,
)
WORKERS = replace(
    REFERENCE,
    workflows=(lasting, *REFERENCE.workflows, long_chain),
    plots=(
        Plot("lasting", {"value": 1}, rerun_from="meet", judge=completes_with(112)),
        Plot("long-chain", {"value": 7}, judge=completes_with(7 + LENGTH)),
        *(plot for plot in PLOTS if plot.workflow_id not in ("deadly", "overtime")),
    ),
    workers=4,
    lease=timedelta(seconds=60),
    rates=FaultRates(most_skew=timedelta(seconds=2)),
)
# What is kept for half an hour may be gone when a run is started again, or while it goes on.
_FORGETS = replace(
    REFERENCE,
    workflows=(short_lived, *REFERENCE.workflows),
    plots=(
        Plot("short-lived", {"value": 1, "padding": "y" * 500}, rerun_from="read", judge=_in_time),
        Plot("short-lived", {"value": 1}, rerun_from="pause", judge=_in_time),
    ),
    expires=True,
    settings=replace(REFERENCE.settings, retention=30 * MINUTE),
)
EXPIRING = replace(_FORGETS, plots=[replace(plot, reruns_after=[3 * HOUR]) for plot in _FORGETS.plots])
# Rerun when its records are gone: refused, since a run that was COMPLETED must not fail for it.
EXPIRED = replace(_FORGETS, plots=[replace(plot, reruns_after=[8 * HOUR, 30 * HOUR]) for plot in _FORGETS.plots])
ARCHIVED = replace(
    REFERENCE,
    settings=replace(REFERENCE.settings, archive=True),
    plugins=(Plugin("listens", on=["workflow:*", "stage:completed"], handle=hear),),
)
QUEUED = replace(REFERENCE, by_queue=True, plots=[replace(plot, rival=None) for plot in PLOTS])
BATCHED = replace(REFERENCE, batch=10, workers=2)
SIDE_BY_SIDE = replace(DEPLOYED, side_by_side=True)


def _refused(ended: Ended) -> str | None:
    """It ended by its own means, or with an error that a port gave; never for want of a worker."""
    if ended.lost_leases:
        return f"a stage lost its worker {ended.lost_leases} times, and no worker was killed"
    if ended.head.status is Status.FAILED and ended.error in REFUSALS:
        return None
    return must_complete(ended)


REFUSALS = ("AwsRequestError", "PayloadTooLargeError", "UnicodeEncodeError", "CorruptItemError")
REFUSING = replace(
    REFERENCE,
    plots=[
        replace(plot, judge=_refused) for plot in PLOTS if plot.workflow_id in ("chain", "fan", "mixed", "batch", "big")
    ],
    rates=replace(QUIET, refused=12),
)
