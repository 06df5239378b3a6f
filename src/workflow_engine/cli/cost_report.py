"""The figures as JSON-compatible values and as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from workflow_engine.costing.deployment import Deployment
from workflow_engine.costing.idle import idle_month
from workflow_engine.costing.metered_engine import Outcome
from workflow_engine.costing.peers import peers
from workflow_engine.costing.prices import prices
from workflow_engine.costing.usage import Usage
from workflow_engine.costing.workloads import Workload

MILLION = 1_000_000
# Below this share of a bill a service is not named.
SMALL_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured: the *workloads*, *others* (runs of the user's own), and one idle *tick*.

    *measured* says whether DynamoDB Local told the units, *deployment* is the stack that all of it ran in.
    """

    workloads: Sequence[tuple[Workload, Outcome]]
    others: Sequence[tuple[str, Outcome]]
    tick: Usage | None
    measured: bool
    memory_megabytes: int
    deployment: Deployment

    def document(self) -> dict[str, Any]:
        """All figures, for programs."""
        rows = [{**_row(load.name, outcome, self), "elsewhere": _millions(load)} for load, outcome in self.workloads]
        return {
            "units": "consumed" if self.measured else "computed",
            "memory_megabytes": self.memory_megabytes,
            "workloads": rows + [_row(name, outcome, self) for name, outcome in self.others],
            "idle_month": dict(self._idle()),
            "prices": {name: f"{price.dollars:g} / {price.per}" for name, price in prices().items()},
        }

    def _idle(self) -> Mapping[str, float]:
        if self.tick is None:
            return {}
        return idle_month(self.deployment, self.tick, memory_megabytes=self.memory_megabytes)

    def show(self, console: Console) -> None:
        """Print the tables."""
        outcomes = [(load.name, outcome) for load, outcome in self.workloads] + list(self.others)
        console.print(self._requests(outcomes))
        console.print(self._costs(outcomes))
        console.print(self._beside_requests(outcomes))
        if self.workloads:
            console.print(self._beside())
        if self.tick is not None:
            console.print(self._idle_table())
        console.print(self._footnote(outcomes))

    def _requests(self, outcomes: Sequence[tuple[str, Outcome]]) -> Table:
        said = "consumed, as DynamoDB Local says" if self.measured else "computed from item sizes"
        columns = ["stages", "writes", "refused", "WRU", "reads", "RRU", "SQS", "events", "schedules"]
        table = _table(f"What one run asks of AWS (WRU, RRU: units {said})", ["run", *columns, "S3", "calls"])
        for name, outcome in outcomes:
            used = outcome.usage
            cells: list[float] = [outcome.stages, used.writes, used.refused_writes, used.write_units, used.reads]
            cells += [used.read_units, used.sqs_requests, used.events, used.schedules]
            cells += [used.s3_puts + used.s3_gets, used.invocations]
            table.add_row(name, *(f"{cell:g}" for cell in cells))
        return table

    def _costs(self, outcomes: Sequence[tuple[str, Outcome]]) -> Table:
        columns = ["$ / M stages", "$ / M runs", "shares"]
        table = _table("What it costs, without GB-seconds", ["run", *columns])
        for name, outcome in outcomes:
            run = outcome.usage.total() * MILLION
            table.add_row(name, f"{run / outcome.stages:.2f}", f"{run:.2f}", _shares(outcome.usage))
        return table

    def _beside_requests(self, outcomes: Sequence[tuple[str, Outcome]]) -> Table:
        days = self.deployment.retention.days
        columns = ["bytes kept", "keeping them", "traces, if traced", "GB-seconds"]
        table = _table(f"On top, $ / M runs (RetentionDays {days})", ["run", *columns])
        for name, outcome in outcomes:
            costs = (
                outcome.stored.dollars(),
                outcome.usage.traces(),
                outcome.usage.compute(self.memory_megabytes),
            )
            kept = outcome.stored.table_bytes + outcome.stored.index_bytes
            table.add_row(name, str(kept), *(f"{cost * MILLION:.2f}" for cost in costs))
        return table

    def _beside(self) -> Table:
        names = list(peers(self.workloads[0][0]))
        table = _table("The same elsewhere, $ / M runs", ["run", "this engine", *names])
        for load, outcome in self.workloads:
            elsewhere = [_dollars(value) for value in _millions(load).values()]
            table.add_row(load.name, f"{outcome.usage.total() * MILLION:.2f}", *elsewhere)
        return table

    def _idle_table(self) -> Table:
        idle = self._idle()
        table = _table("An idle stack for a month", ["", "$"])
        for name, value in idle.items():
            table.add_row(name, f"{value:.2f}")
        table.add_row("all of it", f"{sum(idle.values()):.2f}")
        return table

    def _footnote(self, outcomes: Sequence[tuple[str, Outcome]]) -> str:
        days = sorted({price.read_on for price in prices().values()})
        lines = [
            f"Prices: us-east-1, list, no free tier, as of {days[0]}; GB-seconds: {self.memory_megabytes} MB on Arm, "
            "the time in the handler on this machine against emulators.",
        ]
        if self.measured:
            compared = sum(outcome.usage.compared for _, outcome in outcomes)
            differ = sum(outcome.usage.disagreements.total() for _, outcome in outcomes)
            lines.append(
                f"Of {compared} answers of DynamoDB Local {compared - differ} name the units that AWS's rules give. "
                "Refusals, transactions and empty queries, which it does not price or misprices, follow the rules."
            )
        return "\n".join(lines)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 or column == "shares" else "right")
    return table


def _row(name: str, outcome: Outcome, report: Report) -> dict[str, Any]:
    used = outcome.usage
    return {
        "name": name,
        "status": outcome.status,
        "stages": outcome.stages,
        "dollars_per_million_runs": round(used.total() * MILLION, 4),
        "dollars_per_million_stages": round(used.total() * MILLION / outcome.stages, 4),
        "stored_bytes": outcome.stored.table_bytes + outcome.stored.index_bytes,
        "storage_dollars_per_million_runs": round(outcome.stored.dollars() * MILLION, 4),
        "trace_dollars_per_million_runs": round(used.traces() * MILLION, 4),
        "compute_dollars_per_million_runs": round(used.compute(report.memory_megabytes) * MILLION, 4),
        "shares": {name: round(value / used.total(), 4) for name, value in used.bill().items()},
        "requests": dict(used.requests),
        "write_units": used.write_units,
        "read_units": used.read_units,
        "refused_writes": used.refused_writes,
        "sqs_requests": used.sqs_requests,
        "messages": used.messages,
        "events": used.events,
        "schedules": used.schedules,
        "invocations": used.invocations,
        "handler_seconds": round(used.seconds, 4),
        "compared_answers": used.compared,
        "disagreements": dict(used.disagreements),
    }


def _shares(usage: Usage) -> str:
    total = usage.total()
    named = [(name, value / total) for name, value in usage.bill().items() if value / total >= SMALL_SHARE]
    return ", ".join(f"{name} {share:.0%}" for name, share in sorted(named, key=lambda pair: -pair[1]))


def _millions(load: Workload) -> dict[str, float | None]:
    return {name: None if value is None else round(value * MILLION, 2) for name, value in peers(load).items()}


def _dollars(value: float | None) -> str:
    return "not possible" if value is None else f"{value:.2f}"
