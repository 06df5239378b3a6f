"""The figures of a bill as tables on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from workflow_engine.costing.metered_engine import Outcome
from workflow_engine.costing.peers import peers
from workflow_engine.costing.prices import prices
from workflow_engine.costing.report import MILLION, Report, elsewhere
from workflow_engine.costing.usage import Usage

# Below this share of a bill a service is not named.
SMALL_SHARE = 0.005


def show(report: Report, console: Console) -> None:
    """Print the tables of *report*."""
    outcomes = [(load.name, outcome) for load, outcome in report.workloads] + list(report.others)
    console.print(_requests(report, outcomes))
    console.print(_costs(outcomes))
    console.print(_beside_requests(report, outcomes))
    if report.workloads:
        console.print(_beside(report))
    if report.tick is not None:
        console.print(_idle_table(report))
    console.print(_footnote(report, outcomes))


def _requests(report: Report, outcomes: Sequence[tuple[str, Outcome]]) -> Table:
    said = "consumed, as DynamoDB Local says" if report.measured else "computed from item sizes"
    columns = ["stages", "writes", "refused", "WRU", "reads", "RRU", "SQS", "events", "schedules"]
    table = _table(f"What one run asks of AWS (WRU, RRU: units {said})", ["run", *columns, "S3", "calls"])
    for name, outcome in outcomes:
        used = outcome.usage
        cells: list[float] = [outcome.stages, used.writes, used.refused_writes, used.write_units, used.reads]
        cells += [used.read_units, used.sqs_requests, used.events, used.schedules]
        cells += [used.s3_puts + used.s3_gets, used.invocations]
        table.add_row(name, *(f"{cell:g}" for cell in cells))
    return table


def _costs(outcomes: Sequence[tuple[str, Outcome]]) -> Table:
    columns = ["$ / M stages", "$ / M runs", "shares"]
    table = _table("What it costs, without GB-seconds", ["run", *columns])
    for name, outcome in outcomes:
        run = outcome.usage.total() * MILLION
        table.add_row(name, f"{run / outcome.stages:.2f}", f"{run:.2f}", _shares(outcome.usage))
    return table


def _beside_requests(report: Report, outcomes: Sequence[tuple[str, Outcome]]) -> Table:
    days = report.deployment.retention.days
    columns = ["bytes kept", "keeping them", "traces, if traced", "GB-seconds"]
    table = _table(f"On top, $ / M runs (RetentionDays {days})", ["run", *columns])
    for name, outcome in outcomes:
        costs = (
            outcome.stored.dollars(),
            outcome.usage.traces(),
            outcome.usage.compute(report.memory_megabytes),
        )
        kept = outcome.stored.table_bytes + outcome.stored.index_bytes
        table.add_row(name, str(kept), *(f"{cost * MILLION:.2f}" for cost in costs))
    return table


def _beside(report: Report) -> Table:
    names = list(peers(report.workloads[0][0]))
    table = _table("The same elsewhere, $ / M runs", ["run", "this engine", *names])
    for load, outcome in report.workloads:
        others = [_dollars(value) for value in elsewhere(load).values()]
        table.add_row(load.name, f"{outcome.usage.total() * MILLION:.2f}", *others)
    return table


def _idle_table(report: Report) -> Table:
    idle = report.idle()
    table = _table("An idle stack for a month", ["", "$"])
    for name, value in idle.items():
        table.add_row(name, f"{value:.2f}")
    table.add_row("all of it", f"{sum(idle.values()):.2f}")
    return table


def _footnote(report: Report, outcomes: Sequence[tuple[str, Outcome]]) -> str:
    days = sorted({price.read_on for price in prices().values()})
    lines = [
        f"Prices: us-east-1, list, no free tier, as of {days[0]}; GB-seconds: {report.memory_megabytes} MB on Arm, "
        "the time in the handler on this machine against emulators.",
    ]
    if report.measured:
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


def _shares(usage: Usage) -> str:
    total = usage.total()
    named = [(name, value / total) for name, value in usage.bill().items() if value / total >= SMALL_SHARE]
    return ", ".join(f"{name} {share:.0%}" for name, share in sorted(named, key=lambda pair: -pair[1]))


def _dollars(value: float | None) -> str:
    return "not possible" if value is None else f"{value:.2f}"
