"""``run.transition``: the wake-up. Does whatever is due for one run."""

from workflow_engine.errors import RunNotFoundError
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.model.commands import TransitionRun
from workflow_engine.model.ids import RunId
from workflow_engine.model.results import RunTransitioned
from workflow_engine.ports.persistence import Persistence


def transition_run(
    command: TransitionRun, invocation: Invocation, *, persistence: Persistence, advancer: Advancer
) -> RunTransitioned:
    """Tell what is untold, send what nobody holds, join, expire. A worker also decides what the run goes on with, where
    that is open, and goes on with it.

    Raises:
        RunNotFoundError: there is no such run.
    """
    head = persistence.load_head(RunId(command.run_id))
    if head is None:
        raise RunNotFoundError(run_id=command.run_id)
    if head.is_undecided and invocation.performs:
        return advancer.enter(head, invocation)
    return advancer.wake(head, invocation, send_jobs=True)
