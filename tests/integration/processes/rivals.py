"""Two processes that want the same thing at the same moment, again and again."""

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.synchronize import Barrier
from typing import Any, Literal

from tests.integration.processes.fleet import PROCESSES
from tests.integration.processes.stack import Stack
from workflow_engine.errors import AwsRequestError

What = Literal["first lease", "expired lease", "pending run"]
SECONDS = 100


def compete(
    environment: Mapping[str, str],
    what: What,
    run_ids: Sequence[str],
    barrier: Barrier,
    wins: "multiprocessing.Queue[Any]",
    plant: Callable[[], None] | None,
) -> None:
    """Try to get each of *run_ids* at the same moment as the rival; tell which were got."""
    os.environ.update(environment)
    if plant:
        plant()
    from workflow_engine.wiring.aws import build_kernel
    from workflow_engine.wiring.settings import Settings

    take = _taker(what, build_kernel(Settings.from_environment()))
    won = []
    for run_id in run_ids:
        barrier.wait(SECONDS)
        try:
            won += take(run_id)
        except AwsRequestError:
            # What the planted bug lets pass may reach a run that is over, and has no lease to write.
            if plant is None:
                raise
    wins.put(won)


def let_everybody_claim() -> None:
    """A planted bug: a claim that somebody else's does not refuse."""
    from workflow_engine.adapters.aws.dynamodb import heads

    honest: Callable[[Any, Any], Any] = getattr(heads, "shared_update")  # noqa: B009

    def careless(commit: Any, form: Any) -> Any:
        update = honest(commit, form)
        if type(commit.change).__name__ == "ClaimFirst":
            update.conditions = [f"({' AND '.join(update.conditions)}) OR f <= :f"]
        return update

    setattr(heads, "shared_update", careless)  # noqa: B010


def _taker(what: What, kernel: Any) -> Callable[[str], list[str]]:
    if what == "pending run":
        return lambda _: list(
            kernel.dispatch({"type": "run.claim_pending", "worker_id": "rival", "max_claims": 1}).claimed
        )
    place = {"workflow_id": "single", "stage_id": "touch", "group": 0, "ordinal": 0, "epoch": 0}
    job = {"type": "job.execute", "claim": what.partition(" ")[0], **place}
    return lambda run_id: [] if kernel.dispatch({**job, "run_id": run_id}).ghost else [run_id]


def contest(
    stack: Stack, what: What, run_ids: Sequence[str], *, plant: Callable[[], None] | None = None
) -> list[list[str]]:
    """What each of two processes got of *run_ids*; each begins with *plant*, where one is given."""
    barrier, wins = PROCESSES.Barrier(2), PROCESSES.Queue()
    arguments = (dict(stack.environment), what, run_ids, barrier, wins, plant)
    rivals = [PROCESSES.Process(target=compete, args=arguments, daemon=True) for _ in range(2)]
    for rival in rivals:
        rival.start()
    won = [wins.get(timeout=SECONDS) for _ in rivals]
    for rival in rivals:
        rival.join()
    return won
