"""What was measured, as JSON-compatible values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_engine.costing.deployment import Deployment
from workflow_engine.costing.idle import idle_month
from workflow_engine.costing.metered_engine import Outcome
from workflow_engine.costing.peers import peers
from workflow_engine.costing.prices import prices
from workflow_engine.costing.usage import Usage
from workflow_engine.costing.workloads import Workload

MILLION = 1_000_000


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
        rows = [{**_row(load.name, outcome, self), "elsewhere": elsewhere(load)} for load, outcome in self.workloads]
        return {
            "units": "consumed" if self.measured else "computed",
            "memory_megabytes": self.memory_megabytes,
            "workloads": rows + [_row(name, outcome, self) for name, outcome in self.others],
            "idle_month": dict(self.idle()),
            "prices": {name: f"{price.dollars:g} / {price.per}" for name, price in prices().items()},
        }

    def idle(self) -> Mapping[str, float]:
        """The bill of an idle month in dollars, part by part; empty where no tick was measured."""
        if self.tick is None:
            return {}
        return idle_month(self.deployment, self.tick, memory_megabytes=self.memory_megabytes)


def elsewhere(load: Workload) -> dict[str, float | None]:
    """What a million runs of *load* cost with each peer, in dollars; None where it cannot do that."""
    return {name: None if value is None else round(value * MILLION, 2) for name, value in peers(load).items()}


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
