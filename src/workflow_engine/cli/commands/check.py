"""``workflow-engine check``: can this code be deployed?"""

import typer

from workflow_engine.cli import options


def check(
    as_json: options.Json = False,
    stack: options.Stack = None,
    profile: options.Profile = None,
    region: options.Region = None,
    template: options.TemplateFile = None,
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
    from workflow_engine.cli.stacks import Wanted

    wanted = Wanted(stack, profile, region, template, option_values.pairs("--parameter", parameter))
    raise typer.Exit(check_project(wanted, as_json=as_json))
