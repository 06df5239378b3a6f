"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
Stack: TypeAlias = Annotated[
    str | None, typer.Option("--stack", help="A deployed stack, by its CloudFormation name.", show_default=False)
]
Profile: TypeAlias = Annotated[
    str | None, typer.Option("--profile", help="The AWS profile to reach it with.", show_default=False)
]
Region: TypeAlias = Annotated[str | None, typer.Option("--region", help="The AWS region it is in.", show_default=False)]
TemplateFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--template", help="The template of local mode (default: template.yaml, here or above).", show_default=False
    ),
]
Parameters: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", help="NAME=VALUE of the template, in local mode.", show_default=False),
]
RunId: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="The run's id, the first 8 characters of it or more, or `last`.", show_default=False
    ),
]
RunOfMany: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]",
        help="The run's id, the first 8 characters of it or more, or `last`; or choose many by filters.",
        show_default=False,
    ),
]
ManyOf: TypeAlias = Annotated[
    str | None, typer.Option("--workflow", help="Many: runs of this workflow.", show_default=False)
]
Limit: TypeAlias = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many at the most.")]
Rate: TypeAlias = Annotated[float, typer.Option("--rate", min=0.01, max=1000, help="Runs a second at the most.")]
BulkKey: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--key", help="Go on with what was interrupted: what this key did is not done again.", show_default=False
    ),
]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only say which runs there are.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask at a terminal before many are changed.")]
StatusName: TypeAlias = Annotated[
    str | None, typer.Option("--status", "-s", help="Only runs in this status.", show_default=False)
]
Attributes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--attribute", metavar="NAME=VALUE", help="Only runs with this attribute.", show_default=False),
]
Since: TypeAlias = Annotated[
    str | None, typer.Option("--since", help="Only runs created since then: a time, or 2h, 7d.", show_default=False)
]
Until: TypeAlias = Annotated[
    str | None, typer.Option("--until", help="Only runs created before then.", show_default=False)
]
ArchivedOn: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--archived-on",
        metavar="YYYY-MM-DD",
        help="The day (UTC) on which the run ended, which finds its archive without reading all names.",
        show_default=False,
    ),
]
