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
