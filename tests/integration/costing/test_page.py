"""docs/cost.md says what ``make cost`` prints; so do the pages that quote it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.costing.conftest import MEMORY_MEGABYTES, deployed
from workflow_engine.cli.cost_report import show
from workflow_engine.costing.idle import idle_month
from workflow_engine.costing.measurement import measure
from workflow_engine.costing.peers import EXPRESS
from workflow_engine.costing.report import Report
from workflow_engine.costing.usage import Usage
from workflow_engine.costing.workloads import chain

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "cost.md").read_text()
README = (DOCS.parent / "README.md").read_text()
# What the page calls more fully than the command does.
NAMES = {
    "1 + 10 in parallel + join": "1 + 10 + join",
    "suspended, 3 polls": "suspend, 3 polls",
    "chain of 5 stages": "chain of 5",
    "a signal": "signal",
    "a timer of a day": "timer of a day",
}
Row = tuple[str, ...]


def table(heading: str, page: str = PAGE) -> Mapping[str, Row]:
    """The rows of the table whose first line is *heading*, by their first cell."""
    lines = page.partition(heading + "\n")[2].splitlines()[1:]
    rows: list[Row] = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return {NAMES.get(name, name): tuple(cells) for name, *cells in rows}


@pytest.fixture
def rows(consumed: Report) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = consumed.document()["workloads"]
    return found


def test_the_table_of_requests_is_what_was_counted(rows: Sequence[Mapping[str, Any]]) -> None:
    said = table(
        "| run | $ / M stages | $ / M runs | writes | units written | units read | SQS requests | events | invocations |"
    )
    counted = {
        row["name"]: (
            f"{row['dollars_per_million_stages']:.2f}",
            f"{row['dollars_per_million_runs']:.2f}",
            str(sum(count for name, count in row["requests"].items() if name.startswith("dynamodb.") and writes(name))),
            f"{row['write_units']:g}",
            f"{row['read_units']:g}",
            str(row["sqs_requests"]),
            str(row["events"]),
            str(row["invocations"]),
        )
        for row in rows
    }

    assert said == counted


def writes(request: str) -> bool:
    return any(word in request for word in ("Put", "Update", "Delete", "Write"))


def test_the_page_says_how_many_answers_were_compared(rows: Sequence[Mapping[str, Any]]) -> None:
    assert f"All {sum(row['compared_answers'] for row in rows)} answers of the reference\nworkloads agree." in PAGE


def test_the_table_of_what_comes_on_top_is_what_was_counted(rows: Sequence[Mapping[str, Any]]) -> None:
    said = table("| run | bytes kept | keeping them | traces, if traced |")
    counted = {
        row["name"]: (
            row["stored_bytes"],
            row["storage_dollars_per_million_runs"],
            row["trace_dollars_per_million_runs"],
        )
        for row in rows
    }

    assert said.keys() == counted.keys()
    for name, cells in said.items():
        # An instant that ends in zeros is a byte or two shorter.
        assert tuple(map(float, cells)) == pytest.approx(counted[name], rel=0.01)


def test_the_table_of_others_is_what_the_model_gives(rows: Sequence[Mapping[str, Any]]) -> None:
    said = table("| run | this engine | Step Functions | SFN Express | durable functions | Temporal Cloud |")

    assert said == {
        row["name"]: (
            f"{row['dollars_per_million_runs']:.2f}",
            *("not possible" if cost is None else f"{cost:.2f}" for cost in row["elsewhere"].values()),
        )
        for row in rows
    }


def test_the_readme_quotes_the_same_figures(rows: Sequence[Mapping[str, Any]]) -> None:
    quoted = table("| run | this engine | Step Functions | durable functions | Temporal Cloud |", README)
    full = {
        row["name"]: tuple(
            f"{cost:.2f}"
            for name, cost in {"": row["dollars_per_million_runs"], **row["elsewhere"]}.items()
            if name != EXPRESS
        )
        for row in rows
    }

    assert quoted
    assert quoted == {name: full[name] for name in quoted}


def test_the_bill_of_an_idle_stack_stands_whole(consumed: Report) -> None:
    idle = consumed.document()["idle_month"]
    total = f"{sum(idle.values()):.2f}"
    said = table("| item | $ a month |")

    assert said == {**{name: (f"{cost:.2f}",) for name, cost in idle.items()}, "all of it": (total,)}
    assert f"**${total} a month**" in PAGE
    assert f"| an idle stack for a month, whole | {total} |" in (DOCS / "guides" / "deploying.md").read_text()
    assert f"${total} a month" in README


def test_more_shards_cost_what_the_page_says() -> None:
    deployment = deployed(DueShards="256")
    tick = Usage(requests=Counter({"dynamodb.Query": deployment.shards}), read_units=deployment.shards / 2)
    idle = idle_month(deployment, tick, memory_megabytes=MEMORY_MEGABYTES)

    reads, seconds = idle["the tick's reads"], idle["the tick's GB-seconds"]
    assert f"the reads are\n${reads:.2f} and the GB-seconds ${seconds:.2f} a month" in PAGE


def test_runs_that_are_kept_for_longer_cost_what_the_page_says() -> None:
    report = measure(
        (chain(5),), (), deployed(RetentionDays="90"), dynamodb_url=None, memory_megabytes=MEMORY_MEGABYTES
    )
    (row,) = report.document()["workloads"]

    assert f"which is ${row['storage_dollars_per_million_runs']:.2f} for a million" in PAGE


def test_a_printed_report_has_every_part_of_the_bill(consumed: Report, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    show(consumed, Console(width=200))
    printed = capsys.readouterr().out

    for name in (
        "On top, $ / M runs (RetentionDays 30)",
        "keeping them",
        *consumed.document()["idle_month"],
        "all of it",
    ):
        assert name in printed
