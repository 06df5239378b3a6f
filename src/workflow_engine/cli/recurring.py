"""Recurring starts: shows, puts and changes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workflow_engine.cli.documents import moment
from workflow_engine.cli.errors import InvalidOptionError, listed
from workflow_engine.cli.inputs import read_inputs
from workflow_engine.cli.output import clock_time, print_json, print_table, say
from workflow_engine.kernel import Kernel
from workflow_engine.model.recurrence import next_firing
from workflow_engine.model.schedules import Schedule


@dataclass(frozen=True, slots=True)
class Wish:
    """The schedule that is wanted; *given* is its input as ``run`` takes it."""

    name: str
    workflow_id: str
    expression: str
    given: str
    config: Mapping[str, Any]
    timezone: str


def show_schedules(kernel: Kernel, *, as_json: bool) -> None:
    """Print all schedules."""
    found = kernel.schedules.list()
    now = kernel.clock.now()
    if as_json:
        print_json([{**one.model_dump(mode="json"), "next_at": moment(_next(one, now))} for one in found])
        return
    print_table(
        ("name", "workflow", "expression", "timezone", "next"),
        [(one.name, one.workflow_id, one.expression, one.timezone, _next_text(one, now)) for one in found],
        empty="no schedules",
    )


def put_schedule(kernel: Kernel, wish: Wish, *, as_json: bool) -> None:
    """Create or replace a schedule.

    Raises:
        WorkflowEngineError: the workflow does not take the input, or the service the expression.
    """
    read, refused = read_inputs([wish.given], kernel.registry.get(wish.workflow_id))
    if refused:
        raise refused[0].error
    if len(read) != 1:
        raise InvalidOptionError(option="--input", problem=f"a schedule has one input, not {len(read)}")
    schedule = Schedule(
        name=wish.name,
        workflow_id=wish.workflow_id,
        expression=wish.expression,
        input=read[0].data,
        timezone=wish.timezone,
        config=dict(wish.config),
    )
    kernel.schedules.put(schedule)
    if as_json:
        print_json(schedule.model_dump(mode="json"))
    else:
        say(f"schedule {wish.name} starts {wish.workflow_id} by {wish.expression}")


def change_schedule(kernel: Kernel, verb: str, name: str, *, as_json: bool) -> None:
    """Pause, resume or delete a schedule.

    Raises:
        InvalidOptionError: there is no such schedule.
    """
    if verb == "delete":
        changed = kernel.schedules.delete(name)
    else:
        changed = kernel.schedules.pause(name, paused=verb == "pause")
    if not changed:
        known = listed(one.name for one in kernel.schedules.list())
        raise InvalidOptionError(option="NAME", problem=f"no schedule {name!r}; there are {known}")
    done = f"{verb}d"
    if as_json:
        print_json({"name": name, "action": done})
    else:
        say(f"schedule {name} is {done}")


def _next(schedule: Schedule, now: datetime) -> datetime | None:
    """When it fires next; of a rate it is not known here when it began."""
    if schedule.paused or schedule.expression.startswith("rate("):
        return None
    return next_firing(schedule.expression, created_at=now, last=now, timezone=schedule.timezone)


def _next_text(schedule: Schedule, now: datetime) -> str:
    if schedule.paused:
        return "paused"
    return clock_time(_next(schedule, now)) or schedule.expression
