"""Two claimers, each a process, of one run; a hundred times: one wins."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.integration.processes.conftest import kernel_on
from tests.integration.processes.experiment import Experiment
from tests.integration.processes.rivals import contest, let_everybody_claim
from tests.integration.processes.stack import Stack
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.commits import ClaimFirst, Committed, Shared
from workflow_engine.model.ids import RunId
from workflow_engine.model.status import Status

TIMES = 100
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def kernel(on_dynamodb_local: Stack) -> Iterator[Kernel]:
    with kernel_on(on_dynamodb_local) as kernel:
        yield kernel


def created(kernel: Kernel, times: int = TIMES) -> list[RunId]:
    commands = [CreateRun(workflow_id="single", input={"value": number}) for number in range(times)]
    return [RunId(kernel.dispatch(command).run_id) for command in commands]


def test_a_first_lease_has_one_winner(on_dynamodb_local: Stack, kernel: Kernel) -> None:
    run_ids = created(kernel)

    won = contest(on_dynamodb_local, "first lease", run_ids)

    assert Counter(won[0] + won[1]) == Counter(run_ids)
    marks = Experiment(on_dynamodb_local, kernel).marks()
    # Not even the effect happened twice: the loser never called the stage.
    assert Counter(mark["run"] for mark in marks) == Counter(run_ids)
    assert all(head.status is Status.COMPLETED for head in kernel.parts.persistence.load_heads(run_ids).values())


def test_an_expired_lease_has_one_thief(on_dynamodb_local: Stack, kernel: Kernel) -> None:
    run_ids = created(kernel)
    long_ago = kernel.clock.now() - timedelta(minutes=5)
    for run_id in run_ids:
        dead = ClaimFirst(0, 0, until=long_ago, by="dead.1", required_status=Status.PENDING)
        assert isinstance(kernel.parts.persistence.commit(Shared(run_id, 0, dead, ())), Committed)

    won = contest(on_dynamodb_local, "expired lease", run_ids)

    assert Counter(won[0] + won[1]) == Counter(run_ids)
    heads = kernel.parts.persistence.load_heads(run_ids).values()
    assert {(head.status, *head.winners.values()) for head in heads} == {(Status.COMPLETED, 1)}


def test_a_pending_run_is_claimed_once(on_dynamodb_local: Stack, kernel: Kernel) -> None:
    run_ids = created(kernel)

    won = contest(on_dynamodb_local, "pending run", run_ids)

    assert Counter(won[0] + won[1]) == Counter(run_ids)
    # Both were at it, or there was no contest.
    assert won[0]
    assert won[1]


def test_a_claim_that_refuses_nobody_is_seen(on_dynamodb_local: Stack, kernel: Kernel) -> None:
    """A planted bug: the effects happen twice."""
    run_ids = created(kernel, times=20)

    contest(on_dynamodb_local, "first lease", run_ids, plant=let_everybody_claim)

    marks = Experiment(on_dynamodb_local, kernel).marks()
    assert max(Counter(mark["run"] for mark in marks).values()) == 2
