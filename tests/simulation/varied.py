"""Scenarios beyond the reference: people, workers, long chains, other code, and stores that forget.

Long as it is: a scenario is a variation of another one, which stands above it.
"""

from dataclasses import replace
from datetime import timedelta

from tests.simulation import choice_workflows, inline_workflows, saga_workflows, step_workflows
from tests.simulation.choice_workflows import came_to
from tests.simulation.long_workflows import (
    LENGTH,
    RECALLS,
    endless,
    lasting,
    long_chain,
    recalled,
    recalling_chain,
    short_lived,
    stubborn,
)
from tests.simulation.people_workflows import again, alone, paging, panel, telling, twins, wide_panel
from tests.simulation.reference import DEPLOYED, PLOTS, REFERENCE, completes_with, fails_with
from workflow_engine.authoring.plugins import Plugin
from workflow_engine.model.status import Status
from workflow_engine.testing.simulation.allowances import Allowance
from workflow_engine.testing.simulation.faults import QUIET, FaultRates
from workflow_engine.testing.simulation.outside import hear
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


_RERUN_FROM = {"mixed": "flaky", "big": "grow", "chain": "one", "batch": "submit"}


def _expires_in_time(ended: Ended) -> str | None:
    """An answer that does not fit gives no more time than was asked for."""
    asked, ended_at = ended.suspended_at, ended.head.ended_at
    if asked is not None and ended_at is not None and ended_at - asked > 12 * HOUR:
        return f"it asked at {asked}, and waited until {ended_at}"
    return fails_with("WaitExpiredError")(ended)


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
    Plot(
        "alone",
        {"value": 1},
        signals=[
            # Fits the later stage alone, so that it is kept, and does not fit the one that gets it.
            Signalling("number", _YES, (timedelta(0),)),
            Signalling("number", {"value": 1}, (timedelta(0), 25 * MINUTE)),
            Signalling("number", {"value": 4}, (30 * MINUTE, HOUR)),
            Signalling("number-last", _YES, (2 * HOUR, timedelta(0))),
        ],
        judge=completes_with(1),
    ),
    Plot("alone", {"value": 1}, signals=[Signalling("number", _YES, (timedelta(0),))], judge=_expires_in_time),
    Plot("paging", {"value": 1}, rerun_from="page", judge=completes_with(43)),
    Plot("panel-4", {"value": 1}, start_after=HOUR, signals=_answers(4), judge=completes_with(4)),
)
PEOPLE = replace(REFERENCE, workflows=(panel, twins, again, alone, paging), plots=PEOPLE_PLOTS, runs=4)
# Stages that signal: each signal is kept once, however often its stage is tried.
TELLING = replace(
    REFERENCE,
    workflows=(telling,),
    plots=[Plot("telling", {"value": 1}, rerun_from="tell", judge=completes_with(2))],
    rates=replace(FaultRates(), crash=14, answer_lost=14, twice=14),
)
# Half of thirty ask people, and all of their events are published, to a bus that takes a second.
WIDE = replace(
    REFERENCE,
    workflows=(wide_panel,),
    plots=[Plot("panel-30", {"value": 1}, signals=_answers(30), judge=completes_with(30), cancel=False)],
    runs=1,
    operators=0,
    rates=FaultRates(most_faults=12),
    emit_takes=timedelta(seconds=1),
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
# Workers that hang, and answers that are lost: somebody else has their lease by then.
GHOSTS = replace(
    WORKERS,
    plots=[
        replace(plot, allowance=Allowance(writes=40))
        for plot in WORKERS.plots
        if plot.workflow_id in ("lasting", "long-chain", "chain")
    ],
    rates=FaultRates(answer_lost=80, stall=60, crash=2, most_skew=timedelta(seconds=2), most_faults=120),
)
# Records that leave the head in bundles: put late, by ghosts too, and read again, after reruns as well.
RIDING = replace(
    REFERENCE,
    workflows=(recalling_chain, long_chain),
    plots=[
        Plot(
            "recalling",
            {"value": 3},
            rerun_from=f"recall-{again}",
            reruns_after=[timedelta(hours=1), timedelta(hours=3)],
            judge=completes_with(recalled(3, RECALLS)),
        )
        for again in (2, 5, 8)
    ],
    runs=5,
    rates=replace(FaultRates(), stall=12, answer_lost=12, twice=12),
)


def _answered_in_time(ended: Ended) -> str | None:
    """COMPLETED, or failed where the answer came too late or not at all."""
    if ended.head.status is Status.FAILED and ended.error == "WaitExpiredError":
        return (
            None if "answer" not in ended.signalled or ended.reruns else "its answer came, and it failed for want of it"
        )
    return completes_with(2 + 1002 + 1 + 5)(ended)


# Groups of which one invocation holds all leases.
INLINE = replace(
    REFERENCE,
    workflows=inline_workflows.WORKFLOWS,
    plots=(
        Plot("at-once", {"value": 1}, rerun_from="near", judge=completes_with(112)),
        Plot("at-once", {"value": 1}, rerun_from="add-up", judge=completes_with(112)),
        Plot(
            "mixed-inline",
            {"value": 1},
            signals=[Signalling("answer", {"approved": True}, [timedelta(seconds=1), timedelta(minutes=20)])],
            rerun_from="begin",
            judge=_answered_in_time,
        ),
        Plot("breaking", {"value": 1}, judge=fails_with("PermanentError")),
        Plot("wide-inline", {"value": 1}, rerun_from="pause", judge=completes_with(inline_workflows.WIDE_TOTAL)),
    ),
    rates=replace(FaultRates(), stall=10, answer_lost=12, twice=12),
)
INLINE_BY_QUEUE = replace(INLINE, by_queue=True)
INLINE_CALM = replace(
    INLINE_BY_QUEUE, runs=6, rates=QUIET, operators=0, least_steps=0, least_faults=0, workers=20, plots=INLINE.plots
)
_OFFERS = [Signalling("offer", {"value": value}, (timedelta(0), 15 * MINUTE, HOUR, None)) for value in (7, 8)]
_VOTES = [Signalling("vote", {"value": value}, (timedelta(0), 3 * MINUTE, HOUR)) for value in range(4)]
# Bodies that name their steps, and wait in the middle.
STEPPING = replace(
    REFERENCE,
    workflows=step_workflows.WORKFLOWS,
    plots=(
        Plot("stepping", {"value": 1}, signals=_OFFERS, rerun_from="steps", judge=step_workflows.judged),
        Plot("paging-body", {"value": 1}, rerun_from="long", judge=completes_with(190)),
        Plot("paging-body", {"value": 1}, rerun_from="long", keep_steps=True, judge=completes_with(190)),
        Plot(
            "stepping",
            {"value": 1},
            signals=_OFFERS,
            rerun_from="steps",
            keep_steps=True,
            judge=step_workflows.judged,
        ),
        Plot("voting", {"value": 1}, signals=_VOTES, judge=step_workflows.judged),
    ),
    rates=replace(FaultRates(), stall=12, answer_lost=12, twice=12),
)
STEPPING_GHOSTS = replace(STEPPING, rates=replace(GHOSTS.rates, most_faults=60))
STEPPING_WORKERS = replace(
    STEPPING, workers=4, lease=timedelta(seconds=60), rates=replace(STEPPING.rates, most_skew=timedelta(seconds=2))
)
STEPPING_CALM = replace(STEPPING, runs=6, rates=QUIET, operators=0, least_steps=0, least_faults=0, workers=20)
# Sagas: what stages take outside is given back where the run fails, expires or is cancelled.
_CANCELS = (timedelta(0), timedelta(seconds=1), timedelta(seconds=22), 3 * MINUTE, 15 * MINUTE, 40 * MINUTE)


def _saga(name: str, fails: str = "", *errors: str, rerun_from: str | None = None) -> Plot:
    return Plot(
        name,
        {"fails": fails},
        cancels_after=_CANCELS,
        undoes=True,
        rerun_from=rerun_from,
        judge=saga_workflows.ends_with(*errors),
        # Whoever finds that a group can be left sends what follows, too. A message may wait for a worker that hangs.
        allowance=Allowance(messages=6, late=MINUTE),
    )


UNDOING = replace(
    REFERENCE,
    workflows=saga_workflows.WORKFLOWS,
    plots=(
        _saga("trips", rerun_from="insure"),
        _saga("trips", "leave", "PermanentError", rerun_from="reserve"),
        _saga("trips", "car", "PermanentError", rerun_from="reserve"),
        _saga("trips", "visa", "PermanentError"),
        _saga("trips", "papers", "PermanentError"),
        _saga("short", "pay", "PermanentError", rerun_from="hold"),
        _saga("pair", "hotel", "PermanentError", rerun_from="begin"),
        _saga("pair-inline", "car", "PermanentError", rerun_from="begin"),
        _saga("too-long", "", "RunExpiredError", rerun_from="hold"),
        _saga("asking", "hotel", "PermanentError"),
        _saga("sinking", "", "LeaseLostError"),
    ),
    rates=replace(FaultRates(), stall=10, answer_lost=10, twice=10),
)
UNDOING_GHOSTS = replace(
    UNDOING, rates=FaultRates(answer_lost=60, stall=60, crash=6, skewed_clocks=False, most_faults=60)
)
UNDOING_THREADS = replace(UNDOING, in_threads=True, rates=replace(UNDOING.rates, skewed_clocks=False))
UNDOING_WORKERS = replace(
    UNDOING,
    in_threads=True,
    workers=4,
    lease=timedelta(seconds=60),
    rates=replace(UNDOING.rates, most_skew=timedelta(seconds=2)),
)
# Cancelled while stages are at work, and undone after all.
UNDOING_CANCELLED = replace(
    UNDOING,
    plots=[replace(UNDOING.plots[0], cancels_after=(timedelta(seconds=22), timedelta(seconds=30), MINUTE))],
    workers=20,
    rates=replace(QUIET, unruly_messages=True),
)
UNDOING_BY_QUEUE = replace(UNDOING, by_queue=True)
UNDOING_CALM = replace(
    UNDOING,
    plots=[replace(plot, allowance=Allowance(messages=6)) for plot in UNDOING.plots],
    runs=6,
    rates=QUIET,
    operators=0,
    least_steps=0,
    least_faults=0,
    workers=20,
)
# What runs is decided on the way, and would be decided otherwise each time.
CHOOSING = replace(
    REFERENCE,
    workflows=choice_workflows.WORKFLOWS,
    plots=(
        Plot("choosing", {"value": 1}, rerun_from="small", judge=came_to(12, 1022)),
        Plot("beginning", {"value": 1}, rerun_from="gift", judge=came_to(102, 1)),
        Plot("beginning", {"value": 1}, start_after=HOUR, judge=came_to(102, 1)),
        Plot("grouped", {"value": 1}, rerun_from="maybe", judge=came_to(2, 5, 7, 10)),
        Plot("grouped-inline", {"value": 1}, rerun_from="sum", judge=came_to(2, 5, 7, 10)),
        Plot("behind-a-group", {"value": 1}, rerun_from="joined", judge=came_to(None, 105, 110)),
        Plot("skipping", {"value": 1}, rerun_from="never", judge=came_to(70, None)),
    ),
    rates=replace(FaultRates(), stall=12, answer_lost=12, twice=12),
)
CHOOSING_BY_QUEUE = replace(CHOOSING, by_queue=True)
CHOOSING_WORKERS = replace(
    CHOOSING, workers=4, lease=timedelta(seconds=60), rates=replace(CHOOSING.rates, most_skew=timedelta(seconds=2))
)
CHOOSING_GHOSTS = replace(CHOOSING, rates=replace(GHOSTS.rates, most_faults=60))
# A deploy turns a choice around: what was decided stands, and what is open is decided by the new one.
TURNED = replace(
    CHOOSING,
    plots=CHOOSING.plots[:1],
    deploys=[(choice_workflows.turned, *choice_workflows.WORKFLOWS[1:]), choice_workflows.WORKFLOWS],
)
CHOOSING_CALM = replace(CHOOSING, runs=6, rates=QUIET, operators=0, least_steps=0, least_faults=0, workers=20)
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
QUEUED = replace(REFERENCE, by_queue=True)
# A message may wait in its batch for what came before it.
BATCHED = replace(
    REFERENCE,
    batch=10,
    workers=2,
    plots=[replace(plot, allowance=Allowance(late=20 * MINUTE)) for plot in PLOTS],
)
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
# From stages that had to be tried again, and those that left blobs; some are cancelled, or asked for twice.
RERUN = replace(
    REFERENCE,
    workflows=(*REFERENCE.workflows, long_chain),
    plots=[replace(plot, rerun_from=_RERUN_FROM[plot.workflow_id]) for plot in PLOTS if plot.workflow_id in _RERUN_FROM]
    + [Plot("long-chain", {"value": 7}, rerun_from="link-2", judge=completes_with(7 + LENGTH))],
    rates=FaultRates(crash=3, fail=3, answer_lost=3, twice=3, stall=2, partial=20),
)
STUBBORN = replace(
    REFERENCE,
    workflows=(stubborn, endless),
    plots=(
        Plot("stubborn", {"value": 1}, judge=fails_with("ConnectionError"), allowance=Allowance(calls=3)),
        Plot("endless", {"value": 1}, judge=fails_with("WaitExpiredError"), allowance=Allowance(calls=4)),
    ),
)
# Nobody answers, and many are cancelled while they wait.
CANCELLED = replace(
    REFERENCE,
    workflows=(twins,),
    plots=[Plot("twins", {"value": 1}, judge=fails_with("WaitExpiredError"))],
    rates=FaultRates(crash=3, fail=3, answer_lost=3, twice=3, stall=2, partial=20),
)
# Events that are refused, in the middle of a batch, and leave the head for items of their own.
SPILLED = replace(
    REFERENCE,
    plots=[plot for plot in PLOTS if plot.workflow_id in ("big", "mixed")],
    rates=replace(QUIET, partial=400),
    operators=0,
    least_faults=0,
)
# A history to which nothing happens: whatever comes late or costs more is the engine's.
CALM = replace(REFERENCE, plots=(*PLOTS, *PEOPLE_PLOTS), workflows=(*REFERENCE.workflows, *PEOPLE.workflows))
CALM = replace(CALM, rates=QUIET, operators=0, least_steps=0, least_faults=0, workers=20)
# Each of a kind that came after the reference, for its crash points: records that ride and their bundles, inline
# groups, runs that their own message begins, stages that signal, bodies with steps and waits.
LATER = {
    **{f"riding-{n}": replace(RIDING, plots=(plot,)) for n, plot in enumerate(RIDING.plots)},
    **{f"inline-{n}": replace(INLINE, plots=(plot,)) for n, plot in enumerate(INLINE.plots)},
    **{f"queued-{n}": replace(INLINE_BY_QUEUE, plots=(plot,)) for n, plot in enumerate(INLINE.plots)},
    "telling": TELLING,
    **{f"choosing-{n}": replace(CHOOSING, plots=(plot,)) for n, plot in enumerate(CHOOSING.plots)},
    **{f"stepping-{n}": replace(STEPPING, plots=(plot,)) for n, plot in enumerate(STEPPING.plots)},
    **{f"undoing-{n}": replace(UNDOING, plots=(plot,)) for n, plot in enumerate(UNDOING.plots)},
}
