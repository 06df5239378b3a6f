"""What ``run`` and ``watch`` show: on a terminal a live table, then outputs and timelines; elsewhere
plain lines; for programs one JSON document."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from workflow_engine.cli.inputs import RefusedInput
from workflow_engine.cli.option_values import took
from workflow_engine.cli.output import Json, complain, console, is_cut, print_json, show
from workflow_engine.cli.run_watch import Watch
from workflow_engine.cli.stacks import Stack
from workflow_engine.cli.timeline import standing_text, timeline
from workflow_engine.kernel.queries.documents import Shown, refusal_document, run_document
from workflow_engine.local.errors import one_line
from workflow_engine.model import plans as order
from workflow_engine.model.ids import RunId
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import EntryState, Head
from workflow_engine.model.status import Status

if TYPE_CHECKING:
    from workflow_engine.local.functions import FunctionRunner

REFRESH_PER_SECOND = 8
SHOWN_LINES = 16
LIVE_ROWS = 20


class Display(Protocol):
    """Shows what becomes of runs."""

    def refused(self, refused: Sequence[RefusedInput]) -> None:
        """Say at once what could not be used."""
        ...

    def starting(self) -> AbstractContextManager[None]:
        """Show that something is going on, until the end of the block."""
        ...

    def following(self, watch: Watch, sources: Mapping[RunId, str]) -> AbstractContextManager[None]:
        """Show how the runs of *watch* stand, until the end of the block."""
        ...

    def finished(self, shown: Sequence[tuple[str, Shown]], refused: Sequence[RefusedInput]) -> None:
        """Show what came out of each source."""
        ...

    def submitted(self, sources: Mapping[RunId, str]) -> None:
        """Show runs that the queue has, and that are not there yet."""
        ...

    def failures(self, runner: "FunctionRunner") -> None:
        """Show what handlers raised: an error of the engine, or of the template."""
        ...


class JsonDisplay(Display):
    """One document at the end, and nothing before it."""

    def __init__(self) -> None:
        self._submitted: dict[RunId, str] = {}

    @override
    def refused(self, refused: Sequence[RefusedInput]) -> None:
        pass

    @override
    def starting(self) -> AbstractContextManager[None]:
        return nullcontext()

    @override
    def following(self, watch: Watch, sources: Mapping[RunId, str]) -> AbstractContextManager[None]:
        return nullcontext()

    @override
    def finished(self, shown: Sequence[tuple[str, Shown]], refused: Sequence[RefusedInput]) -> None:
        document = {
            "runs": [{"source": source, **run_document(one)} for source, one in shown],
            "refused": [refusal_document(item.source, item.error) for item in refused],
        }
        if self._submitted:
            document["submitted"] = [{"run_id": run_id, "source": one} for run_id, one in self._submitted.items()]
        print_json(document)

    @override
    def submitted(self, sources: Mapping[RunId, str]) -> None:
        self._submitted = dict(sources)

    @override
    def failures(self, runner: "FunctionRunner") -> None:
        pass


class TerminalDisplay(Display):
    """For people. *full* shows outputs whole, however long they are."""

    def __init__(self, *, full: bool = False) -> None:
        # The functions' own output is redirected while they run; ours is not.
        self._console = console(sys.stdout)
        self._full = full

    @override
    def refused(self, refused: Sequence[RefusedInput]) -> None:
        for item in refused:
            complain(f"{item.error.code}: {_named(item)}")

    @override
    @contextmanager
    def starting(self) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        with self._console.status("starting"):
            yield

    @override
    @contextmanager
    def following(self, watch: Watch, sources: Mapping[RunId, str]) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        plans: dict[str, Plan] = {}

        def table() -> RenderableType:
            return _progress(watch, sources, plans, watch.stack.kernel.clock.now())

        live = Live(get_renderable=table, console=self._console, refresh_per_second=REFRESH_PER_SECOND, transient=True)
        with live, watch.looking():
            yield

    @override
    def finished(self, shown: Sequence[tuple[str, Shown]], refused: Sequence[RefusedInput]) -> None:
        full = self._full or len(shown) == 1 or not is_cut(self._console)
        for source, one in shown:
            show(self._console, *_result(source, one, full=full, line_width=self._console.width))
        if len(shown) > 1:
            show(self._console, _summary([one for _, one in shown], refused))

    @override
    def submitted(self, sources: Mapping[RunId, str]) -> None:
        for run_id, source in sources.items():
            show(self._console, f"{run_id} is submitted ({one_line(source)}): workflow-engine watch {run_id}")

    @override
    def failures(self, runner: "FunctionRunner") -> None:
        for failure in runner.failures:
            text = f"{failure.function} raised {type(failure.error).__name__}: {one_line(str(failure.error))}"
            complain(f"{text} (--verbose shows its log)")


def _progress(watch: Watch, sources: Mapping[RunId, str], plans: dict[str, Plan], now: datetime) -> Table:
    """A row a live run; of finished ones only how many there are."""
    table, live = Table(box=None, pad_edge=False), watch.live
    for heading in ("run", "source", "status", "stages", "now"):
        # The id is there to be copied; a terminal that is too narrow cuts the rest.
        table.add_column(heading, no_wrap=True, min_width=len(live[0]) if heading == "run" and live else None)
    for run_id in live[:LIVE_ROWS]:
        head = watch.heads.get(run_id)
        if head is None:
            table.add_row(str(run_id), sources[run_id], "", "", "")
            continue
        if head.fingerprint not in plans:
            plans[head.fingerprint] = plan_of(watch.stack, head)
        plan = plans[head.fingerprint]
        age = took(now - head.created_at)
        # One that is undoing what it did goes back.
        place = min(order.place_of(head.group), len(plan))
        bar = "█" * place + "░" * max(len(plan) - place, 0)
        table.add_row(str(run_id), sources[run_id], standing_text(head), bar, f"{doing(head, plan)} {age}")
    done = len(watch.run_ids) - len(live)
    if done:
        table.add_row("", Text(f"{done} of {len(watch.run_ids)} done", style="green"))
    return table


def plan_of(stack: Stack, head: Head) -> Plan:
    """The ids of the run's stages by group; none where its workflow is not known here."""
    definition = stack.kernel.queries.definition_of(head)
    return Plan() if definition is None else definition.plan


def doing(head: Head, plan: Plan) -> str:
    """The stages that a run is at, and what they wait for."""
    if head.status.is_terminal or (head.group >= len(plan) and not order.is_closing(head.group)):
        return ""
    if order.is_closing(head.group) and not plan:
        return ""
    if head.is_undecided:
        return "what runs next is to be decided"
    parts = []
    for stage_id, entry in zip(plan.stages(head.group), head.active, strict=False):
        if entry.state is EntryState.WAITING and entry.signal:
            parts.append(f"{stage_id} (waits for {entry.signal})")
        elif entry.state not in (EntryState.DONE, EntryState.SKIPPED):
            parts.append(stage_id)
    return ", ".join(parts)


def result_title(source: str, head: Head) -> Text:
    """One line: how a run stands, what it was made of, how long it took."""
    text = Text.assemble(standing_text(head), "  ", (source, "bold"), "  ", (head.run_id, "dim"))
    if head.ended_at is not None:
        text.append(f"  {took(head.ended_at - head.created_at)}", style="dim")
    return text


def failure_text(head: Head) -> Text | None:
    """Why a run failed, if it did."""
    if head.failure is None:
        return None
    where = f" in stage {head.failure.stage_id}" if head.failure.stage_id else ""
    return Text(f"{head.failure.error.type}{where}: {one_line(head.failure.error.message)}", style="red")


def _result(source: str, shown: Shown, *, full: bool, line_width: int) -> Iterator[RenderableType | Json]:
    head = shown.view.head
    yield result_title(source, head)
    if (failure := failure_text(head)) is not None:
        yield failure
    if head.status is Status.COMPLETED:
        yield from _output(shown.output, full=full)
    yield timeline(shown.view, head.ended_at or head.created_at, line_width=line_width)
    yield Text()


def _output(output: Any, *, full: bool) -> Iterator[RenderableType | Json]:
    lines = json.dumps(output, ensure_ascii=False, indent=2, default=str).splitlines()
    if full or len(lines) <= SHOWN_LINES:
        yield Json(output)
        return
    yield Text("\n".join(lines[:SHOWN_LINES]))
    yield Text(f"… {len(lines) - SHOWN_LINES} more lines (--full shows them)", style="dim")


def _named(item: RefusedInput) -> str:
    """What is wrong with an input, after what it was made of."""
    said = one_line(str(item.error))
    return said if said.startswith(item.source) else f"{one_line(item.source)}: {said}"


def _summary(shown: Sequence[Shown], refused: Sequence[RefusedInput]) -> Text:
    statuses = [one.view.head.status for one in shown]
    said = [f"{statuses.count(status)} {status.value}" for status in Status if status in statuses]
    if refused:
        said.append(f"{len(refused)} refused")
    return Text(f"{len(shown)} runs: " + ", ".join(said), style="bold")
