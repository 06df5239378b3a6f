"""``workflow-engine events``: what happened to a run."""

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def events(
    run: options.RunId,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Show what happened to a run, oldest first, and which events are not published yet.

    Example: workflow-engine events k3v5x2m7p4q6r8s2t4w6y2z4a6
    """
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.run_views import show_events
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        show_events(opened.kernel, run_named(opened, run), as_json=as_json)
