"""Changes runs for ``cancel``, ``signal`` and ``rerun``, and says what became of it."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from workflow_engine.adapters.system import RandomIds
from workflow_engine.cli import option_values
from workflow_engine.cli.errors import BAD_USAGE, COMPLETED
from workflow_engine.cli.output import complain, print_json, say
from workflow_engine.cli.run_filters import RunFilter, runs
from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.queries.documents import refusal_document, summary_document
from workflow_engine.local.errors import InvalidOptionError, listed, one_line
from workflow_engine.model.commands import CancelRun, RerunFrom, SignalRun
from workflow_engine.model.results import RunRerun, RunSignalled, dump_result
from workflow_engine.model.runs import Head
from workflow_engine.model.status import LIVE


def cancel_run(kernel: Kernel, run_id: str, reason: str | None, *, as_json: bool) -> None:
    """End a run; one that is over already stays as it is."""
    head = kernel.queries.head(run_id)
    result = kernel.dispatch(option_values.valid(CancelRun, run_id=run_id, reason=reason))
    if as_json:
        print_json({"run_id": run_id, **dump_result(result)})
    elif result.cancelled:
        say(f"{run_id} is cancelled")
    else:
        say(f"{run_id} was over already: {head.status.value}")


def signal_run(kernel: Kernel, run_id: str, name: str, payload: str, *, key: str | None, as_json: bool) -> None:
    """Send a signal."""
    value = option_values.json_value("PAYLOAD", payload)
    command = option_values.valid(SignalRun, run_id=run_id, name=name, payload=value, idempotency_key=key)
    result = kernel.dispatch(command)
    if as_json:
        early = {"early": True, "waits_for": list(result.waits_for)} if result.early else {}
        print_json({"run_id": run_id, "name": name, "delivered": result.delivered, **early})
    elif result.delivered:
        say(f"signal {name} is kept for {run_id}{_early(result)}")
    else:
        say(f"{run_id} is over: nobody waits for signal {name} any more")


def _early(result: RunSignalled) -> str:
    if not result.early:
        return ""
    waits_for = f"; it waits for {listed(result.waits_for)}" if result.waits_for else ""
    return f", but nobody waits for it yet{waits_for}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HowAgain:
    """How runs go again: from which stage, with which input and steps."""

    from_stage: str | None = None
    new_input: Mapping[str, Any] | None = None
    keep_steps: bool = False
    discard_steps: tuple[str, ...] = ()


def rerun_one(kernel: Kernel, run_id: str, how: HowAgain, *, key: str | None, as_json: bool) -> None:
    """Let one run go again."""
    result = _rerun(kernel, kernel.queries.head(run_id), how, key=key)
    if as_json:
        print_json(dump_result(result))
        return
    say(f"{run_id} goes again from {result.from_stage_id} (workflow-engine watch {run_id})")


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRerun:
    """Many runs to let go again: at most *limit*, and *rate* a second."""

    wanted: RunFilter
    how: HowAgain
    limit: int
    rate: float
    key: str | None
    dry_run: bool


def rerun_many(kernel: Kernel, bulk: BulkRerun, *, as_json: bool) -> int:
    """Let all wanted runs go again, one after another; answers the exit code.

    A run that cannot (the workflow changed, its outputs expired) is reported and holds up none.
    """
    if bulk.wanted.status in LIVE:
        raise InvalidOptionError(option="--status", problem="only finished runs can go again")
    key = bulk.key or f"rerun-{RandomIds().new_id()}"
    # Read before the first is sent: a run that goes again is not FAILED any more.
    heads = list(islice(runs(kernel, bulk.wanted), bulk.limit))
    if bulk.dry_run:
        _say_which(heads, as_json=as_json)
        return COMPLETED
    if not as_json and heads:
        complain(f"if this is interrupted, go on with --key {key}", style="dim")
    rerun: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for head in at_rate(heads, bulk.rate):
        try:
            result = _rerun(kernel, head, bulk.how, key=f"{key}:{head.run_id}")
            rerun.append(dump_result(result))
        except WorkflowEngineError as error:
            if error.retryable:
                raise
            refused.append(refusal_document(head.run_id, error))
    _say_what(key, rerun, refused, as_json=as_json)
    return BAD_USAGE if refused else COMPLETED


def at_rate(heads: list[Head], rate: float) -> Iterator[Head]:
    """*heads* one after another, *rate* a second at the most."""
    never = threading.Event()
    for number, head in enumerate(heads):
        if number:
            never.wait(1 / rate)
        yield head


def _say_which(heads: list[Head], *, as_json: bool) -> None:
    if as_json:
        print_json({"runs": [summary_document(head) for head in heads]})
        return
    for head in heads:
        why = head.failure.error if head.failure else None
        say(f"{head.run_id}  {head.status.value}  {'' if why is None else one_line(f'{why.type}: {why.message}')}")
    say(f"{len(heads)} runs would go again")


def _say_what(key: str, rerun: list[dict[str, Any]], refused: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"key": key, "rerun": rerun, "refused": refused})
        return
    for one in refused:
        complain(f"{one['source']}: {one['error']}: {one_line(one['message'])}")
    say(f"{len(rerun)} runs go again, {len(refused)} cannot")


def _rerun(kernel: Kernel, head: Head, how: HowAgain, *, key: str | None) -> RunRerun:
    new_input = how.new_input
    command = option_values.valid(
        RerunFrom,
        run_id=head.run_id,
        from_stage_id=how.from_stage or _where_it_ended(kernel, head, has_new_input=new_input is not None),
        idempotency_key=key,
        input=None if new_input is None else dict(new_input),
        keep_steps=how.keep_steps,
        discard_steps=how.discard_steps,
    )
    return kernel.dispatch(command)


def _where_it_ended(kernel: Kernel, head: Head, *, has_new_input: bool) -> str:
    """The stage that failed, or else the first of the group that the run was in; the first of all with
    another input."""
    plan = kernel.registry.get(head.workflow_id).plan
    if has_new_input:
        return plan.first[0]
    if head.failure is not None and head.failure.stage_id is not None:
        return head.failure.stage_id
    return plan.nearest(head.group)[0]
