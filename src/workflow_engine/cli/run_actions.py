"""Changes runs for ``cancel``, ``signal`` and ``rerun``, and says what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflow_engine.cli import option_values
from workflow_engine.cli.output import print_json, say
from workflow_engine.kernel import Kernel
from workflow_engine.local.errors import listed
from workflow_engine.model.commands import CancelRun, RerunFrom, SignalRun, UndoRun
from workflow_engine.model.results import RunRerun, RunSignalled, dump_result
from workflow_engine.model.runs import Head


def cancel_run(kernel: Kernel, run_id: str, reason: str | None, *, undo: bool, as_json: bool) -> None:
    """End a run; one that is over already, or about to end, ends as it does."""
    head = kernel.queries.head(run_id)
    result = kernel.dispatch(option_values.valid(CancelRun, run_id=run_id, reason=reason, undo=undo))
    after = kernel.queries.head(run_id)
    if as_json:
        print_json({"run_id": run_id, **dump_result(result)})
    elif result.cancelled and after.is_closing:
        say(f"{run_id} is cancelled once what it did is undone (workflow-engine watch {run_id})")
    elif result.cancelled:
        say(f"{run_id} is cancelled")
    elif head.is_closing and head.closing is not None:
        state = "is undone no further, and" if after.status.is_terminal else "is being undone, and"
        say(f"{run_id} {state} ends as {head.closing.status.value}")
    else:
        say(f"{run_id} was over already: {head.status.value}")


def undo_run(kernel: Kernel, run_id: str, *, key: str | None, as_json: bool) -> None:
    """Undo what a finished run did, or what of it could not be undone."""
    result = kernel.dispatch(option_values.valid(UndoRun, run_id=run_id, idempotency_key=key))
    if as_json:
        print_json(dump_result(result))
    else:
        say(f"{run_id} undoes {listed(result.stages)} (workflow-engine watch {run_id})")


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
    result = send_rerun(kernel, kernel.queries.head(run_id), how, key=key)
    if as_json:
        print_json(dump_result(result))
        return
    say(f"{run_id} goes again from {result.from_stage_id} (workflow-engine watch {run_id})")


def send_rerun(kernel: Kernel, head: Head, how: HowAgain, *, key: str | None) -> RunRerun:
    """Let the run of *head* go again."""
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
    """The stage that failed, or else the first of the group that the run was in; of what was undone the first; the
    first of all with another input."""
    plan = kernel.registry.get(head.workflow_id).plan
    if has_new_input:
        return plan.first[0]
    if head.closing is not None and head.closing.undone_from is not None:
        return plan.nearest(head.closing.undone_from)[0]
    if head.failure is not None and head.failure.stage_id is not None:
        return head.failure.stage_id
    return plan.nearest(head.group)[0]
