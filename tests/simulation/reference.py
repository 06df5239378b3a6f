"""What happens to the reference workflows, and what must become of them."""

from dataclasses import replace
from datetime import timedelta

from tests.simulation.reference_workflows import (
    BIG_CHARS,
    Number,
    approval,
    batch,
    big,
    chain,
    confirm,
    deadly,
    expiring,
    fan,
    hopeless,
    mixed,
    one,
    oversized,
    overtime,
    three,
    two,
)
from workflow_engine.authoring import Workflow, stage
from workflow_engine.model.status import Status
from workflow_engine.testing.simulation.faults import QUIET, FaultRates, Outage
from workflow_engine.testing.simulation.scenario import Ended, Judge, Plot, Scenario, Signalling, must_complete


def completes_with(value: int) -> Judge:
    """Demands COMPLETED, with an output of that value."""
    expected = f'"value":{value}'

    def judge(ended: Ended) -> str | None:
        if ended.head.status is not Status.COMPLETED:
            return must_complete(ended)
        text = (ended.output or b"").decode().replace(" ", "")
        return None if expected in text else f"its output is {text[:60]}, and should have {expected}"

    return judge


def fails_with(*errors: str) -> Judge:
    """Demands FAILED, with one of these errors."""

    def judge(ended: Ended) -> str | None:
        if ended.head.status is Status.FAILED and ended.error in errors:
            return None
        if ended.head.status is Status.CANCELLED and ended.cancelled:
            return None
        if ended.error == "LeaseLostError" and ended.lost_leases > 5:
            return None
        return f"it is {ended.head.status} ({ended.error}), and should have failed with {errors}"

    return judge


def _approved_in_time(ended: Ended) -> str | None:
    """Signal against timeout: the signal wins where it came clearly before the timeout."""
    at = ended.signalled.get("approval")
    asked = ended.suspended_at
    clearly_before = at is not None and (asked is None or at < asked + timedelta(hours=4) - timedelta(minutes=10))
    if ended.head.status is Status.FAILED and ended.error == "WaitExpiredError":
        if ended.reruns or not clearly_before:
            return None
        return "its signal came in time, and it failed for want of it"
    if ended.head.status is Status.COMPLETED and at is None:
        return "no signal came, and it is COMPLETED"
    return completes_with(2)(ended) if ended.head.status is Status.COMPLETED else must_complete(ended)


APPROVAL_AFTER = (
    timedelta(0),
    timedelta(minutes=5),
    timedelta(minutes=41),
    timedelta(hours=2),
    timedelta(hours=4, minutes=40),
    None,
)
PLOTS = (
    Plot("chain", {"value": 1}, config={"one": {"plus": 5}}, rerun_from="two", judge=completes_with(8)),
    Plot("fan", {"value": 1}, rerun_from="sum", judge=completes_with(112)),
    Plot("mixed", {"value": 1}, rerun_from="quick", judge=completes_with(12)),
    Plot("batch", {"value": 4}, rerun_from="submit", judge=completes_with(9)),
    Plot(
        "approval",
        {"value": 1},
        signals=[Signalling("approval", {"approved": True}, APPROVAL_AFTER)],
        rerun_from="rest",
        judge=_approved_in_time,
    ),
    Plot("big", {"value": 1, "padding": "y" * BIG_CHARS}, rerun_from="measure", judge=completes_with(1 + BIG_CHARS)),
    Plot("hopeless", {"value": 1}, rerun_from="left", judge=fails_with("PermanentError")),
    Plot("overtime", {"value": 1}, judge=completes_with(1)),
    Plot("deadly", {"value": 1}, judge=fails_with("LeaseLostError")),
    Plot("expiring", {"value": 1}, cancel=False, judge=fails_with("RunExpiredError", "WaitExpiredError")),
    Plot("chain", {"value": 2}, start_after=timedelta(hours=2), judge=completes_with(5)),
)
WORKFLOWS = (chain, fan, mixed, batch, approval, big, hopeless, overtime, deadly, expiring)
REFERENCE = Scenario(WORKFLOWS, PLOTS)
# Of its own, since it moves 16 MB a run.
OVERSIZED = Scenario(
    (oversized,),
    [Plot("oversized", {"value": 1}, judge=fails_with("PayloadTooLargeError"))],
    runs=1,
    least_steps=0,
    least_faults=0,
)


def _without_lost_leases(ended: Ended) -> str | None:
    if ended.lost_leases:
        return f"a stage lost its worker {ended.lost_leases} times, and no worker was killed"
    return None


# A request that is sent twice costs nothing: nobody takes the refusal of the second for a defeat.
DOUBLED = replace(
    REFERENCE,
    plots=[replace(plot, judge=_without_lost_leases) for plot in PLOTS if plot.workflow_id != "deadly"],
    rates=replace(QUIET, twice=60),
)


def _after_deploy(ended: Ended) -> str | None:
    """A compatible definition changes nothing that can be seen but the end; another one fails it."""
    if ended.error == "DefinitionChangedError" and ended.deployed:
        return None
    return must_complete(ended)


@stage("two-renamed", timeout=timedelta(minutes=2))
def two_renamed(number: Number) -> Number:
    """What stage two is called after the second deploy."""
    return number


longer = Workflow("chain", input=Number).pipe(one).pipe(two).pipe(three).pipe(confirm).build()
other = Workflow("chain", input=Number).pipe(one).pipe(two_renamed).pipe(three).build()
# Two deploys in the middle: one that a run can follow, and one that it can follow only before stage two.
DEPLOYED = replace(
    REFERENCE,
    plots=[replace(plot, judge=_after_deploy) for plot in PLOTS if plot.workflow_id == "chain"]
    + [plot for plot in PLOTS if plot.workflow_id in ("fan", "approval")],
    deploys=[(longer, *WORKFLOWS[1:]), (other, *WORKFLOWS[1:])],
)
# An event bus that refuses most of what it is given: events pile up, leave the head, become dead
# letters and are replayed.
REFUSED = replace(
    REFERENCE,
    runs=4,
    operators=12,
    rates=FaultRates(partial=850, crash=3, fail=3, answer_lost=3, twice=3, stall=2, most_faults=150),
)
# Groups alone, on workers that often hang, for what can go wrong between siblings.
SIBLINGS = replace(
    REFERENCE,
    plots=[plot for plot in PLOTS if plot.workflow_id in ("fan", "mixed")],
    runs=4,
    rates=FaultRates(stall=25),
)


def out_of_order(*ports: str, runs: int = 120) -> Scenario:
    """*runs* runs within two hours, of all kinds but the deadly one, while *ports* do not answer for one of them."""
    kinds = [plot for plot in PLOTS if plot.workflow_id != "deadly"]
    return replace(
        REFERENCE,
        plots=[replace(plot, cancel=False, rerun_from=None) for plot in kinds],
        runs=runs,
        every=timedelta(hours=2) / runs,
        operators=0,
        outages=[Outage(port, begin=timedelta(minutes=20), length=timedelta(hours=1)) for port in ports],
        rates=QUIET,
        least_faults=0,
    )


def soak(runs: int) -> Scenario:
    """*runs* runs of all kinds within an hour, everything going wrong now and then, all the time."""
    return replace(
        REFERENCE,
        runs=runs,
        workers=20,
        every=timedelta(hours=1) / runs,
        rates=FaultRates(
            crash=1, fail=2, answer_lost=1, twice=1, stall=1, partial=10, most_faults=10**9, most_steps=10**9
        ),
    )
