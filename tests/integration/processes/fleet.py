"""Worker and ticker processes: started, killed with SIGKILL, replaced."""

import multiprocessing
import signal
from dataclasses import asdict, dataclass, field
from itertools import count
from multiprocessing.context import ForkServerProcess

from tests.integration.processes.chance import Chance
from tests.integration.processes.member import Role, be
from tests.integration.processes.stack import Stack

# A clean process that has imported everything and forks: a replacement is there at once, and inherits no
# thread, no socket and no lock of the test's.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "workflow_engine.wiring.aws",
        "workflow_engine.hosts",
        "workflow_engine.adapters.aws.dynamodb.persistence",
        "botocore.session",
    ]
)


@dataclass(slots=True)
class Fleet:
    """*workers* and *tickers* processes on *stack*. ``kills`` counts who was killed, by role."""

    stack: Stack
    workers: int = 8
    tickers: int = 2
    kills: dict[Role, int] = field(default_factory=lambda: {"worker": 0, "ticker": 0})
    _running: list[tuple[Role, ForkServerProcess]] = field(default_factory=list)
    _names: "count[int]" = field(default_factory=count)

    def __enter__(self) -> "Fleet":
        for _ in range(self.workers):
            self._start("worker")
        for _ in range(self.tickers):
            self._start("ticker")
        return self

    def __exit__(self, *error: object) -> None:
        for _, process in self._running:
            process.kill()
        for _, process in self._running:
            process.join()

    def kill_one(self, chance: Chance, role: Role, pid: int | None = None) -> None:
        """SIGKILL one of that *role*, wherever it is, and start another in its place; if it still
        runs, the one of *pid*."""
        chosen = chance.one_of([running for running in self._running if running[0] == role])
        victim = next((running for running in self._running if running[1].pid == pid), chosen)
        self._running.remove(victim)
        role, process = victim
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"a {role} had ended by itself: {process.exitcode}"
        self.kills[role] += 1
        self._start(role)

    def assert_alive(self) -> None:
        """Nobody has died but of a kill."""
        assert all(process.is_alive() for _, process in self._running)

    def _start(self, role: Role) -> None:
        name = f"{role}-{next(self._names)}"
        arguments = (role, dict(self.stack.environment), asdict(self.stack.patience), name)
        process = PROCESSES.Process(target=be, args=arguments, name=name, daemon=True)
        process.start()
        self._running.append((role, process))
