"""``workflow-engine watch``: stay with a run until it is over."""

import typer

from workflow_engine.cli import options


def watch(
    run: options.RunId,
    as_json: options.Json = False,
    stack: options.Stack = None,
    profile: options.Profile = None,
    region: options.Region = None,
    template: options.TemplateFile = None,
) -> None:
    """Stay with a run until it is over, and show how it ended.

    Example: workflow-engine watch k3v5x2m7p4q6r8s2t4w6y2z4a6
    """
    from workflow_engine.cli.display import Display, JsonDisplay, TerminalDisplay
    from workflow_engine.cli.interrupts import saying
    from workflow_engine.cli.run_session import goes_on, watch_run
    from workflow_engine.cli.stacks import Wanted, open_stack

    wanted = Wanted(stack, profile, region, template)
    with saying(lambda: goes_on([run], wanted), [run]), open_stack(wanted) as opened:
        display: Display = JsonDisplay() if as_json else TerminalDisplay(full=True)
        raise typer.Exit(watch_run(opened, run, display))
