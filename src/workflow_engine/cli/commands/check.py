"""``workflow-engine check``: can this code be deployed?"""

from dataclasses import replace

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def check(
    as_json: options.Json = False,
    where: Where = HERE,
    parameter: options.Parameters = None,
) -> None:
    """Check the workflows and the template of this project, and that payloads outlive the runs that
    need them; with --stack, also whether the runs that
    are in flight there can go on with the workflows as they are here, and whether its job functions
    leave the tick room to run.

    Exits with 1 where some cannot: for a pipeline, before it deploys.

    Example: workflow-engine check --stack workflow-engine-prod
    """
    from workflow_engine.cli import option_values
    from workflow_engine.cli.project_check import check_project

    where = replace(where, parameters=option_values.pairs("--parameter", parameter))
    raise typer.Exit(check_project(where, as_json=as_json))
