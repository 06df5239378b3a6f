"""Recurring starts: shows, puts and changes them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from rich.text import Text

from workflow_engine.authoring import Registry
from workflow_engine.cli.inputs import read_inputs
from workflow_engine.cli.option_values import valid
from workflow_engine.cli.output import clock_time, print_json, print_table, say
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.queries.documents import moment
from workflow_engine.kernel.schedules import Schedules
from workflow_engine.local.errors import InvalidOptionError, listed
from workflow_engine.model.recurrence import next_firing
from workflow_engine.model.schedules import Schedule
from workflow_engine.wiring.aws import build_kernel
from workflow_engine.wiring.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRequest:
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
    if missing := kernel.schedules.missing():
        say(Text(f"kept, but not firing: {listed(missing)}; see schedules sync", style="yellow"))


def put_schedule(kernel: Kernel, request: ScheduleRequest, *, as_json: bool) -> None:
    """Create or replace a schedule.

    Raises:
        WorkflowEngineError: the workflow does not take the input, or the service the expression.
    """
    read, refused = read_inputs([request.given], kernel.registry.get(request.workflow_id))
    if refused:
        raise refused[0].error
    if len(read) != 1:
        raise InvalidOptionError(option="--input", problem=f"a schedule has one input, not {len(read)}")
    schedule = valid(
        Schedule,
        name=request.name,
        workflow_id=request.workflow_id,
        expression=request.expression,
        input=read[0].data,
        timezone=request.timezone,
        config=dict(request.config),
    )
    kernel.schedules.put(schedule)
    if as_json:
        print_json(schedule.model_dump(mode="json"))
    else:
        say(f"schedule {request.name} starts {request.workflow_id} by {request.expression}")


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


def sync_schedules(kernel: Kernel, from_table: str | None, *, as_json: bool) -> None:
    """Make again what the table keeps and nobody fires; *from_table* is one that another stack left behind.

    Raises:
        AwsRequestError: there is no such table, or it may not be read.
    """
    left_behind = _schedules_on(from_table) if from_table else None
    synced = kernel.schedules.sync(left_behind)
    if as_json:
        print_json(asdict(synced))
    else:
        say(f"made again: {listed(synced.made)}; kept from now on: {listed(synced.kept)}")


def _schedules_on(table_name: str) -> Schedules:
    settings = replace(Settings.from_environment(), table_name=table_name)
    return build_kernel(settings, Registry([])).schedules


def _next(schedule: Schedule, now: datetime) -> datetime | None:
    """When it fires next; of a rate it is not known here when it began."""
    if schedule.paused or schedule.expression.startswith("rate("):
        return None
    return next_firing(schedule.expression, created_at=now, last=now, timezone=schedule.timezone)


def _next_text(schedule: Schedule, now: datetime) -> str:
    if schedule.paused:
        return "paused"
    return clock_time(_next(schedule, now)) or schedule.expression
